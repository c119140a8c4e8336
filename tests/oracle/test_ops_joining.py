"""Joining, repeating, gathering, scattering, triangles and diagonals agree with native torch: samples and errors."""

import pytest

torch = pytest.importorskip("torch")

from oracle import (  # noqa: E402
    assert_same_evaluation,
    check,
    check_samples,
    check_second_derivatives,
    infos,
    loosen,
    samples,
    tier,
    words,
)

import torchlike  # noqa: E402

loosen("scatter_reduce", "float32", 2e-5, 1e-4)  # quotients of products
loosen("index_reduce", "float32", 2e-5, 1e-4)
loosen("gradient", "float32", 2e-5, 1e-4)

OPERATORS = words(
    """
    argwhere atleast_1d atleast_2d atleast_3d block_diag cartesian_prod cat column_stack combinations
    cumulative_trapezoid diag diag_embed diagflat diagonal_copy diagonal_scatter diff dstack flip fliplr flipud
    gather gradient hstack index_add index_copy index_fill index_reduce index_select meshgrid nonzero nonzero_static
    put repeat repeat_interleave roll rot90 scatter scatter_add scatter_reduce select_scatter slice_scatter stack
    take take_along_dim tile trapezoid trapz tril tril_indices triu triu_indices unravel_index vstack
    """
)

IN_PLACE = words(
    """
    index_add index_copy index_fill index_reduce put scatter scatter_add scatter_reduce tril triu
    """
)

#: Composites in which native divides or multiplies by a number inside C++, under another node's name.
OTHER_NODE = {"cumulative_trapezoid", "diff", "trapezoid", "trapz"}


@pytest.mark.parametrize("name", OPERATORS)
def test_samples(name):
    check_samples(name, ("float32", "int64", "bool", "complex64"), 6, node=name not in OTHER_NODE)


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place(name):
    def apply(tensor, *args, **kwargs):
        target = tensor.clone()
        result = getattr(target, name + "_")(*args, **kwargs)
        assert result is target
        return target

    for info in infos(name):
        for args, kwargs in samples(info, torch.float32, 4, requires_grad=True):
            check(name, apply, apply, args, kwargs, text=False)


@pytest.mark.parametrize(
    "name",
    ["cat", "gather", "index_add", "index_select", "repeat", "roll", "scatter", "scatter_reduce", "stack", "tril"],
)
def test_both_tiers(name):
    for each in ("host", "xla"):
        with tier(each):
            check_samples(name, ("float32",), 1)


def test_scatter_writes_only_a_part_where_the_index_is_smaller():
    index = torch.tensor([[0, 1, 2], [2, 0, 1]])
    for name in ("scatter", "scatter_add"):
        for shape in ((2, 3), (4, 6)):  # native takes no gradient of a source larger than the index
            x, src = torch.zeros(3, 5, requires_grad=True), torch.ones(shape, requires_grad=shape == (2, 3))
            check(name, getattr(torch, name), getattr(torchlike, name), [x, 0, index, src])


def test_gather_is_differentiated_where_positions_repeat():
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    check("gather", torch.gather, torchlike.gather, [x, 1, torch.tensor([[0, 0, 1], [3, 3, 3], [2, 1, 2]])])


@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
@pytest.mark.parametrize("include_self", [True, False])
def test_scatter_reduce_with_ties_and_zeros(reduce, include_self):
    x = torch.tensor([1.0, 0.0, 2.0, 2.0], requires_grad=True)
    src = torch.tensor([1.0, 0.0, 3.0, 2.0, 0.0, 0.0, 2.0], requires_grad=True)
    index = torch.tensor([0, 0, 1, 2, 1, 1, 2])
    kwargs = {"include_self": include_self}
    check("scatter_reduce", torch.scatter_reduce, torchlike.scatter_reduce, [x, 0, index, src, reduce], kwargs)


def test_an_empty_vector_joins_with_anything():
    parts = [torch.empty(0), torch.ones(2, 3, requires_grad=True), torch.empty(0)]
    check("cat", torch.cat, torchlike.cat, [parts, 1])


DIFFERENTIATED_TWICE = words(
    """
    cat diag_embed gather index_add index_copy index_fill index_select put repeat roll scatter scatter_add
    scatter_reduce stack take tril
    """
)


@pytest.mark.parametrize("name", DIFFERENTIATED_TWICE)
def test_second_derivatives(name):
    check_second_derivatives(name)


EXPRESSIONS = """
torch.cat([])
torch.cat([y, v])
torch.cat([y, L(1.)])
torch.cat([y, y[:, :2]])
torch.cat([y, 1])
torch.cat(y)
torch.cat((x, x.long()))
torch.cat([y, y], dim=5)
torch.cat([y, y], axis=1)
torch.stack([y, v])
torch.stack([])
torch.stack((x, x), dim=-1)
torch.stack((x, x.double()))
torch.hstack((x, x))
torch.repeat_interleave(y, 2)
torch.repeat_interleave(y, L([1, 2]), 0)
torch.repeat_interleave(y, L([1., 2, 3]), 0)
torch.repeat_interleave(y, -1, 0)
torch.repeat_interleave(L([1, 2]))
y.repeat(2)
y.repeat(1, 2)
torch.tile(x, (2, 2))
torch.roll(y, 1, 5)
torch.roll(x, 1)
torch.flip(y, [0, 0])
torch.flip(x, (0,))
torch.rot90(y, 1, [0, 0])
torch.rot90(y)
torch.take(y, L([0, 55]))
torch.put(y, L([0, 55]), L([1., 2.]))
torch.gather(y, 0, L([[5, 0]]))
torch.gather(y, 0, L([5]))
torch.gather(y, 0, L([[0.]]))
torch.scatter(y, 0, L([[5]]), 1.)
torch.scatter(y, 0, L([[0, 0, 0, 0, 0]]), 1.)
torch.scatter(y, 0, L([[0, 0, 0]]), L([[1., 2.]]))
torch.scatter_add(y, 0, L([[0]]), L([[1]]))
torch.scatter_reduce(y, 0, L([[0, 1]]), L([[1., 2.]]), 'foo')
torch.zeros(2, 3).scatter_(1, L([[0], [2]]), 1.)
torch.zeros(2, 3).scatter_(1, L([[0], [2]]), 1., reduce='add')
torch.index_select(y, 0, L([5]))
torch.index_select(y, 0, L([[5]]))
torch.index_select(y, 0, L([5.]))
torch.index_add(y, 0, L([0]), y[:2])
torch.index_add(y, 0, L([5]), y[:1])
torch.index_copy(y, 0, L([7]), y[:1])
torch.index_fill(y, 0, L([9]), 1.)
torch.index_fill(x, 0, L([-1]), 9.)
torch.nonzero(x > 1)
torch.nonzero(x > 1, as_tuple=True)
torch.nonzero(L(1.))
torch.nonzero_static(y, size=3)
torch.meshgrid(x, x, indexing='ij')
torch.meshgrid(x, x, indexing='foo')
torch.meshgrid(x, x.long(), indexing='ij')
torch.tril(v)
torch.tril(torch.ones(3, 3, dtype=torch.bool))
torch.triu(torch.ones(2, 3), diagonal=1)
torch.tril_indices(3, 3)
torch.triu_indices(2, 3, 1, dtype=torch.int32)
torch.diag(y)
torch.diag(torch.ones(1, 1, 1))
torch.diag_embed(x, 1)
torch.block_diag(x, L(1))
torch.cartesian_prod(v, v)
torch.combinations(v)
torch.combinations(y)
torch.diff(x)
torch.diff(L(1.))
torch.trapezoid(x)
torch.vander(x)
torch.vander(x, 2, increasing=True)
torch.unravel_index(L([3]), (2, 2))
"""


@pytest.mark.parametrize("expression", EXPRESSIONS.strip().splitlines())
def test_results_and_errors(expression):
    assert_same_evaluation(expression)
