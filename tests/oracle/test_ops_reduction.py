"""Reductions, running totals, sorting and statistics agree with native torch: samples, ties, zeros, NaN, and errors."""

import pytest

torch = pytest.importorskip("torch")

from oracle import assert_same_evaluation, check, check_samples, check_second_derivatives, loosen, operator, tier, words  # noqa: E402

import torchlike  # noqa: E402

# Native takes this gradient in logarithms and loses digits on the way; ours agrees with the one in double precision.
loosen("logcumsumexp", "float32", 5e-3, 5e-3)
loosen("logsumexp", "complex64", 5e-2, 2e-2)
for _name in (
    "prod",
    "cumprod",
    "std",
    "var",
    "std_mean",
    "var_mean",
    "norm",
    "dist",
    "renorm",
    "quantile",
    "nanquantile",
):
    loosen(_name, "float32", 2e-5, 1e-4)
    loosen(_name, "complex64", 2e-5, 1e-4)

REDUCTIONS = words(
    """
    all amax amin aminmax any argmax argmin count_nonzero cummax cummin cumprod cumsum dist logcumsumexp logsumexp
    max mean min nanmean nanquantile nansum prod quantile renorm std std_mean sum var var_mean argsort bucketize
    histc histogram histogramdd msort searchsorted sort unique unique_consecutive bincount
    """
)

#: Where equal elements are found at several positions, which of them is reported is up to the library.
FIRST_OF_TIES = words("kthvalue median mode nanmedian topk")

NO_NODE = {"quantile", "nanquantile", "unique", "unique_consecutive"}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_samples(name):
    dtypes = ("float32", "float64", "int64", "bool", "complex64")
    if name in ("logcumsumexp", "renorm"):  # native's complex branch cut, and its complex gradient
        dtypes = dtypes[:-1]
    check_samples(name, dtypes, 4, node=name not in NO_NODE)


@pytest.mark.parametrize("name", FIRST_OF_TIES)
def test_samples_of_values(name):
    check_samples(
        name, ("int64", "bool", "uint8"), 4, pick=lambda result: result[0] if isinstance(result, tuple) else result
    )
    check_samples(name, ("float32", "float64"), 4)


@pytest.mark.parametrize("name", ["sum", "mean", "std", "cumsum", "logsumexp", "prod", "var"])
def test_half_precision_is_accumulated_in_single(name):
    check_samples(name, ("float16", "bfloat16"), 3, gradients=False)


@pytest.mark.parametrize(
    "name", ["sum", "mean", "max", "std", "prod", "cumsum", "cummax", "sort", "topk", "median", "logsumexp", "quantile"]
)
def test_both_tiers(name):
    for each in ("host", "xla"):
        with tier(each):
            check_samples(name, ("float32",), 1, node=False)


def test_norm():
    for p in ("fro", 2, 1, 0, 3, 0.5, -1, float("inf"), float("-inf")):
        for dim, keepdim in ((None, False), (1, False), ((0, 1), True)):
            x = torch.randn(3, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
            check("norm", torch.norm, torchlike.norm, [x], {"p": p, "dim": dim, "keepdim": keepdim})


NAN = float("nan")
TIES = [[1.0, 3.0, 3.0, 2.0], [0.0, 0.0, 0.0, 0.0], [-1.0, NAN, 2.0, NAN], [2.0, -0.0, 0.0, 1.0], [5.0, 5.0, 5.0, 5.0]]


@pytest.mark.parametrize("row", TIES, ids=str)
@pytest.mark.parametrize(
    "name",
    [
        "max",
        "min",
        "amax",
        "amin",
        "argmax",
        "argmin",
        "aminmax",
        "median",
        "nanmedian",
        "sort",
        "cummax",
        "cummin",
        "sum",
        "nansum",
        "prod",
        "cumprod",
        "std",
        "var",
        "norm",
        "logsumexp",
    ],
)
def test_ties_zeros_and_nan(name, row):
    function, ours = getattr(torch, name), operator(name)
    differentiable = name not in ("argmax", "argmin")
    checks = [((0,), {})] if name in ("sort", "cummax", "cummin", "cumprod", "logsumexp") else [((), {}), ((0,), {})]
    if name == "norm":
        checks = [((2,), {}), ((1,), {}), ((float("inf"),), {}), ((3,), {})]
    if name == "aminmax":
        checks = [((), {}), ((), {"dim": 0})]
    for args, kwargs in checks:
        if name in ("median", "nanmedian") and args:
            continue  # which of equal elements is reported is up to the library
        x = torch.tensor(row, requires_grad=differentiable)
        check(f"{name}{args}", function, ours, [x, *args], kwargs)


def test_gradient_of_products_with_zeros():
    for row in ([0.0, 2.0, 3.0], [0.0, 0.0, 3.0], [1.0, 2.0, 0.0]):
        for function in (lambda T: lambda t: T.prod(t), lambda T: lambda t: T.cumprod(t, 0)):
            check("prod", function(torch), function(torchlike), [torch.tensor(row, requires_grad=True)])


def test_a_single_element_has_no_deviation():
    x = torchlike.tensor([3.0], requires_grad=True)
    with pytest.warns(UserWarning, match=r"std\(\): degrees of freedom is <= 0"):
        assert torchlike.std(x).isnan()


DIFFERENTIATED_TWICE = words(
    """
    amax cummax cumprod cumsum logcumsumexp logsumexp max mean median prod quantile sort std sum topk var
    """
)


@pytest.mark.parametrize("name", DIFFERENTIATED_TWICE)
def test_second_derivatives(name):
    check_second_derivatives(name)


EXPRESSIONS = """
x.sum(axis=0)
y.sum(axis=1, keepdims=True)
y.sum((0, 1), True)
y.sum(5)
y.sum((0, 0))
torch.sum(x, 0, True)
torch.sum(x, dtype=torch.int64)
torch.sum(input=x, dim=0)
x.long().sum()
x.half().sum()
x.bool().sum()
x.long().prod()
torch.prod(L([True, True]))
y.mean(dtype=torch.int64)
y.long().mean()
x.any()
x.all(0)
L([1, 2], dtype=torch.uint8).all()
y.max()
y.max(axis=0)
y.max(5)
torch.max(x, x * 2)
torch.max(x, other=x * 2)
torch.min(y, 1, keepdim=True)
torch.max(torch.empty(0))
torch.empty(0, 2).max(0)
torch.max(x * 1j)
torch.max(x * 1j, 0)
torch.min(x > 1, 0)
torch.amax(x * 1j)
torch.amin(torch.empty(0))
y.argmax(7)
y.argmax(1, keepdim=True)
torch.empty(0).argmax()
torch.argmax(x > 1)
torch.argmin(x * 1j)
torch.aminmax(x * 1j)
torch.aminmax(torch.empty(0))
y.std()
y.var(1, unbiased=False)
y.std(1, False)
y.std(False)
y.std(axis=0)
y.std(5)
y.long().std()
torch.std(y, dim=1, keepdim=True)
torch.std_mean(y, 1)
torch.std_mean(L([1]))
torch.var(x, 0, 1)
torch.var(x, correction=2.5)
y.norm(2, 1, True)
y.norm(p=float('inf'))
torch.norm(y, p=1)
y.long().norm()
torch.logsumexp(y, (0, 1))
torch.logsumexp(x > 1, 0)
torch.cumsum(x > 1, 0)
y.cumsum(5)
x.cumsum_(0)
torch.nansum(x * 1j)
torch.cummax(x * 1j, 0)
torch.sort(x, descending=True)
torch.sort(L([3., nan, 1.]))
torch.sort(x * 1j)
y.sort(5)
x.argsort(descending=True)
y.topk(9)
y.topk(2, largest=False)
torch.topk(x * 1j, 1)
torch.topk(x > 1, 1)
torch.median(torch.empty(0))
torch.median(L([True]))
torch.median(L([1, nan, 3]), 0)
torch.nanmedian(L([nan] * 2), 0)
torch.kthvalue(x, 9)
torch.mode(L([3, 3, 1, 1, 2]))
torch.mode(torch.empty(0))
torch.quantile(x, 1.5)
torch.quantile(x, L([1.5]))
torch.quantile(x.half(), .5)
torch.quantile(x, L([.5]).double())
torch.quantile(x, L([[.5]]))
torch.quantile(x, .5, interpolation='foo')
torch.quantile(torch.empty(0), .5)
torch.nanquantile(L([nan]), .5)
torch.dist(L([1]), L([2]))
torch.renorm(x, 2, 0, 1.)
x.unique(return_counts=True)
torch.unique(x * 1j)
torch.unique(L([[1, 2], [1, 2]]), dim=0, return_inverse=True)
torch.unique_consecutive(L([1, 1, 2, 2, 1]), return_inverse=True, return_counts=True)
torch.bincount(L([1, 2]), weights=L([.5, .5])).dtype
torch.bincount(L([1, 2]), minlength=-1)
torch.bincount(L([[1, 2]]))
torch.bincount(L([1., 2]))
torch.histc(x, 4)
torch.histc(x, 0)
torch.histc(L([1, 2]))
torch.histc(x, 4, min=3, max=1)
torch.histc(L([inf, 1.]), 4)
torch.histc(L([1., 1.]), 4)
torch.histogram(x, 4, range=(0., 2.), weight=x, density=True)
torch.searchsorted(x, 2)
torch.searchsorted(x, L([2.]), side='foo')
torch.searchsorted(x, L([2.]), right=True, side='left')
torch.searchsorted(torch.ones(2, 3), x)
torch.searchsorted(x, L([nan]))
torch.bucketize(2, x)
torch.bucketize(x, x.view(1, 3))
"""


@pytest.mark.parametrize("expression", EXPRESSIONS.strip().splitlines())
def test_results_and_errors(expression):
    assert_same_evaluation(expression)
