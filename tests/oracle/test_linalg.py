"""Linear algebra against native PyTorch: values, dtypes, nodes, gradients and errors."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from oracle import array_of, check, infos, loosen, ours, outcome, samples

import torchlike

INF = float("inf")

# Products of many rounded numbers, and inverses of matrices that are not well conditioned.
for _op, _rtol in {
    "linalg.householder_product": 1e-3, "linalg.cond": 1e-3, "linalg.lstsq": 1e-2, "kron": 1e-4, "matrix_exp": 1e-3,
    "linalg.svd": 1e-2, "svd": 1e-2, "linalg.eigh": 1e-2, "linalg.eig": 1e-2, "linalg.pinv": 1e-2, "linalg.svdvals": 1e-4,
    "linalg.eigvals": 1e-3, "linalg.eigvalsh": 1e-4, "linalg.qr": 1e-3, "qr": 1e-3, "linalg.matrix_power": 1e-4,
    "linalg.multi_dot": 1e-4, "linalg.matrix_norm": 1e-4, "linalg.norm": 1e-4, "ormqr": 1e-4, "cholesky_inverse": 1e-2,
    "linalg.inv": 1e-3, "linalg.inv_ex": 1e-3, "linalg.det": 1e-4, "linalg.slogdet": 1e-3, "logdet": 1e-3,
    "linalg.solve": 1e-3, "linalg.solve_ex": 1e-3, "linalg.tensorinv": 1e-3, "linalg.tensorsolve": 1e-3,
    "linalg.lu_solve": 1e-3, "lu_solve": 1e-3, "cholesky_solve": 1e-3, "linalg.cholesky": 1e-3, "linalg.cholesky_ex": 1e-3,
    "cholesky": 1e-3, "linalg.lu": 1e-3, "linalg.lu_factor": 1e-3, "linalg.lu_factor_ex": 1e-3, "lu": 1e-3,
    "triangular_solve": 1e-3, "linalg.solve_triangular": 1e-3, "linalg.vander": 1e-4, "linalg.vecdot": 1e-4,
}.items():  # fmt: skip
    for _dtype in ("float32", "complex64"):
        loosen(_op, _dtype, _rtol, 2e-3)

LINALG = [
    "cholesky",
    "cholesky_ex",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eigvals",
    "eigvalsh",
    "householder_product",
    "inv",
    "inv_ex",
    "ldl_factor",
    "ldl_factor_ex",
    "ldl_solve",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_factor_ex",
    "lu_solve",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_ex",
    "solve_triangular",
    "svdvals",
    "tensorsolve",
    "vander",
    "vecdot",
    "vector_norm",
]
TORCH = [
    "cholesky",
    "cholesky_inverse",
    "cholesky_solve",
    "cross",
    "geqrf",
    "kron",
    "logdet",
    "lu",
    "lu_solve",
    "lu_unpack",
    "matrix_exp",
    "ormqr",
    "qr",
    "trace",
    "triangular_solve",
]
DTYPES = ["float32", "float64", "complex64", "complex128"]
GRADUAL = {"linalg.ldl_factor", "linalg.ldl_factor_ex", "linalg.ldl_solve"}


def _functions(name: str):
    native_function, function = torch, torchlike
    for part in name.split("."):
        native_function, function = getattr(native_function, part), getattr(function, part)
    return native_function, function


def _run(name: str, dtype: str, count: int, project=None, **options) -> None:
    native_function, function = _functions(name)
    dtype = getattr(torch, dtype)
    for info in infos(name):
        if dtype not in info.supported_dtypes("cpu"):
            continue
        for args, kwargs in samples(info, dtype, count, requires_grad=info.supports_autograd):
            if project is None:
                check(name, native_function, function, args, kwargs, **options)
            else:
                check(
                    name, lambda *a, **k: project(native_function(*a, **k)), lambda *a, **k: project(function(*a, **k)), args,
                    kwargs, **options,
                )  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*[f"linalg.{n}" for n in LINALG], *TORCH])
def test_samples(name, dtype):
    _run(name, dtype, 3, node=name not in GRADUAL)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["linalg.svd", "svd"])
def test_svd_up_to_phases(name, dtype):
    _run(name, dtype, 3, lambda r: (r[0].abs(), r[1], r[2].abs()), node=False)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["linalg.eigh", "linalg.eig"])
def test_eigenvectors_up_to_phases(name, dtype):
    _run(name, dtype, 3, lambda r: (r[0], r[1].abs()), node=False)


def test_tensorinv():
    _run("linalg.tensorinv", "float64", 4, node=False)  # native's inverse lies in memory in another order


@pytest.mark.parametrize(
    "name",
    ["svd", "eigh", "qr", "cholesky", "inv", "det", "slogdet", "pinv", "matrix_exp", "lu", "solve", "eig", "lstsq"],
)
def test_second_derivatives(name):
    torchlike.manual_seed(0)
    a = torchlike.randn(3, 3, dtype=torchlike.float64, requires_grad=True)
    b = torchlike.randn(3, 2, dtype=torchlike.float64, requires_grad=True)
    function = getattr(torchlike.linalg, name)

    def run(a, *rest):
        if name in ("eigh", "cholesky"):
            a = a @ a.mT + 3 * torchlike.eye(3, dtype=a.dtype)
        result = function(a, *rest)
        if name == "svd":
            return result.S, (result.U @ result.Vh)
        if name == "eigh":
            return result.eigenvalues, result.eigenvectors.square()
        if name == "eig":
            return result.eigenvalues.abs(), result.eigenvectors.abs()
        return tuple(r for r in result if r.requires_grad) if isinstance(result, tuple) else result

    inputs = (a, b) if name in ("solve", "lstsq") else (a,)
    assert torchlike.autograd.gradcheck(run, inputs, atol=1e-4, rtol=1e-3)
    assert torchlike.autograd.gradgradcheck(run, inputs, atol=1e-3, rtol=1e-2)


def test_matrix_exp_of_large_norm():
    a = torch.randn(6, 6, generator=torch.Generator().manual_seed(1)) * 3
    wanted = torch.matrix_exp(a.double())
    for got in (torchlike.matrix_exp(ours(a)), torchlike.linalg.matrix_exp(ours(a))):
        error = abs(array_of(got) - array_of(wanted)).max() / abs(array_of(wanted)).max()
        assert error < 1e-6


def test_results_are_named():
    a = ours(torch.eye(2))
    result = torchlike.linalg.eigh(a)
    assert type(result).__name__ == "linalg_eigh" and result.eigenvalues is result[0]
    assert repr(torch.linalg.eigh(torch.eye(2))) == repr(result)
    q, r = torchlike.linalg.qr(a)
    assert isinstance(torchlike.linalg.qr(a), torchlike.return_types.linalg_qr) and q.shape == r.shape


def test_out():
    a = torch.tensor([[2.0, 1.0], [1.0, 3.0]])
    out = torchlike.empty(0)
    assert torchlike.linalg.inv(ours(a), out=out) is out
    assert abs(array_of(out) - array_of(torch.linalg.inv(a))).max() < 1e-6
    values, vectors = torchlike.empty(0), torchlike.empty(0)
    torchlike.linalg.eigh(ours(a), out=(values, vectors))
    assert abs(array_of(values) - array_of(torch.linalg.eigh(a).eigenvalues)).max() < 1e-6


ONE, RECTANGLE, WHOLE = torch.zeros(3), torch.ones(3, 4), torch.eye(3, dtype=torch.int64)
SINGULAR, HALF, NAN = torch.zeros(2, 3, 3), torch.eye(3).half(), torch.full((3, 3), float("nan"))
A, B, V = torch.eye(3), torch.ones(3, 2), torch.ones(3)
UNARY = [
    "linalg.det",
    "linalg.slogdet",
    "linalg.inv",
    "linalg.inv_ex",
    "linalg.pinv",
    "linalg.svd",
    "linalg.svdvals",
    "linalg.eigh",
    "linalg.eigvalsh",
    "linalg.qr",
    "linalg.cholesky",
    "linalg.cholesky_ex",
    "linalg.lu",
    "linalg.lu_factor",
    "linalg.lu_factor_ex",
    "linalg.matrix_rank",
    "linalg.matrix_exp",
    "linalg.cond",
    "linalg.matrix_norm",
    "linalg.vector_norm",
    "linalg.norm",
    "logdet",
    "det",
    "slogdet",
    "inverse",
    "pinverse",
    "svd",
    "qr",
    "cholesky",
    "cholesky_inverse",
    "geqrf",
    "lu",
    "matrix_exp",
    "trace",
]


@pytest.mark.parametrize("name", UNARY)
def test_errors_of_one_matrix(name):
    native_function, function = _functions(name)
    for x in (ONE, RECTANGLE, WHOLE, SINGULAR, HALF, WHOLE.bool(), torch.zeros(0, 0), torch.zeros(0, 3, 3)):
        check(name, native_function, function, [x])
    if name not in ("linalg.eigvalsh",):  # whose error code depends on the library underneath
        check(name, native_function, function, [NAN], text=name != "linalg.eigh")


ERRORS = [
    ("linalg.eig", [ONE], {}), ("linalg.eig", [RECTANGLE], {}), ("linalg.eig", [WHOLE], {}), ("linalg.eig", [HALF], {}),
    ("linalg.solve", [A, torch.ones(4, 2)], {}), ("linalg.solve", [A, B.double()], {}), ("linalg.solve", [SINGULAR[0], B], {}),
    ("linalg.solve", [SINGULAR, B], {}), ("linalg.solve", [RECTANGLE, B], {}), ("linalg.solve", [V, V], {}),
    ("linalg.solve", [A, V], {"left": False}), ("linalg.solve", [A, torch.tensor(1.0)], {}),
    ("linalg.solve", [WHOLE, WHOLE], {}), ("linalg.solve", [torch.ones(2, 3, 3), torch.ones(4, 3, 2)], {}),
    ("linalg.solve_ex", [SINGULAR, B], {"check_errors": True}), ("linalg.solve_ex", [SINGULAR[0], B], {"check_errors": True}),
    ("linalg.solve_triangular", [RECTANGLE, B], {"upper": True}), ("linalg.solve_triangular", [A, V], {"upper": True}),
    ("linalg.solve_triangular", [A, torch.ones(4, 2)], {"upper": True}),
    ("linalg.solve_triangular", [A, torch.ones(4, 2)], {"upper": True, "left": False}),
    ("cholesky_solve", [V, A], {}), ("cholesky_solve", [B.double(), A], {}), ("cholesky_solve", [torch.ones(4, 2), A], {}),
    ("cholesky_solve", [B, RECTANGLE], {}), ("triangular_solve", [B, RECTANGLE], {}),
    ("linalg.lu_solve", [A, torch.ones(3), B], {}),
    ("linalg.lu_solve", [A, torch.ones(3, dtype=torch.int32), B.double()], {}),
    ("linalg.lu_solve", [A, torch.ones(2, dtype=torch.int32), B], {}), ("lu_unpack", [A, torch.ones(3)], {}),
    ("linalg.lu_factor", [A], {"pivot": False}), ("linalg.lstsq", [RECTANGLE, B], {"driver": "x"}),
    ("linalg.lstsq", [RECTANGLE, torch.ones(4, 2)], {}), ("linalg.lstsq", [V, V], {}), ("linalg.lstsq", [WHOLE, WHOLE], {}),
    ("linalg.lstsq", [RECTANGLE, B.double()], {}), ("linalg.lstsq", [RECTANGLE, torch.tensor(0.0)], {}),
    ("linalg.cross", [RECTANGLE, RECTANGLE], {}), ("linalg.cross", [V, V], {"dim": 3}),
    ("linalg.cross", [torch.ones(2, 3), V], {}), ("linalg.cross", [V, V.double()], {}), ("cross", [RECTANGLE[:2], RECTANGLE[:2]], {}),
    ("linalg.cross", [torch.ones(2, 3), torch.ones(4, 3)], {}), ("linalg.matrix_power", [RECTANGLE, 2], {}),
    ("linalg.matrix_power", [V, 2], {}), ("linalg.multi_dot", [[V]], {}), ("linalg.multi_dot", [[RECTANGLE, RECTANGLE]], {}),
    ("linalg.multi_dot", [[V, torch.ones(3, 3, 3), V]], {}), ("linalg.multi_dot", [[torch.ones(2, 3, 4), RECTANGLE]], {}),
    ("linalg.multi_dot", [[RECTANGLE.double(), RECTANGLE.T]], {}), ("linalg.cond", [A, "x"], {}), ("linalg.cond", [A, 3], {}),
    ("linalg.cond", [RECTANGLE, 1], {}), ("linalg.tensorinv", [A], {"ind": 0}), ("linalg.tensorinv", [RECTANGLE], {"ind": 1}),
    ("linalg.tensorsolve", [RECTANGLE, V], {}), ("linalg.vander", [torch.tensor(1.0)], {}), ("linalg.vander", [V > 0], {}),
    ("linalg.vander", [V], {"N": 1}), ("linalg.householder_product", [RECTANGLE, V], {}),
    ("linalg.householder_product", [RECTANGLE.T, torch.ones(4)], {}), ("linalg.householder_product", [A, V.double()], {}),
    ("linalg.householder_product", [V, V], {}), ("linalg.householder_product", [torch.ones(2, 3, 3), V], {}),
    ("linalg.vecdot", [V, V.double()], {}), ("linalg.vecdot", [V, torch.ones(4)], {}), ("linalg.vecdot", [V.long(), V.long()], {}),
    ("linalg.matrix_norm", [RECTANGLE, "x"], {}), ("linalg.matrix_norm", [RECTANGLE, 3], {}),
    ("linalg.matrix_norm", [RECTANGLE], {"dim": (0, 0)}), ("linalg.matrix_norm", [RECTANGLE], {"dim": (0, 1, 2)}),
    ("linalg.matrix_norm", [RECTANGLE], {"dtype": torch.int64}), ("linalg.matrix_norm", [HALF, 2], {}),
    ("linalg.matrix_norm", [torch.zeros(0, 3), 2], {}), ("linalg.matrix_norm", [torch.zeros(3, 0), 1], {}),
    ("linalg.vector_norm", [RECTANGLE, "fro"], {}), ("linalg.vector_norm", [RECTANGLE], {"dtype": torch.int64}),
    ("linalg.vector_norm", [A.cfloat()], {"dtype": torch.float32}), ("linalg.vector_norm", [torch.zeros(0), INF], {}),
    ("linalg.norm", [torch.ones(2, 3, 4), 2], {}), ("linalg.norm", [torch.ones(2, 3, 4)], {"dim": (0, 1, 2)}),
    ("linalg.norm", [RECTANGLE, "x"], {}), ("linalg.norm", [V, "fro"], {}), ("linalg.norm", [RECTANGLE, "fro"], {"dim": 1}),
    ("linalg.matrix_rank", [A], {"atol": torch.tensor(1j)}), ("linalg.qr", [RECTANGLE, "x"], {}),
    ("linalg.svd", [RECTANGLE], {"driver": "gesvd"}), ("linalg.eigh", [A, "x"], {}), ("linalg.det", [3], {}),
    ("linalg.ldl_solve", [A, torch.ones(3), B], {}), ("linalg.inv", [3], {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "kwargs"), ERRORS)
def test_errors(name, args, kwargs):
    check(name, *_functions(name), args, kwargs)


@pytest.mark.parametrize(("shape", "mode"), [((4, 3), "complete"), ((4, 3), "r")], ids=["complete", "without Q"])
def test_qr_without_a_gradient(shape, mode):
    a = torch.ones(shape).requires_grad_()

    def run(torch_):
        x = a if torch_ is torch else ours(a)
        return outcome(lambda: torch_.linalg.qr(x, mode)[1].sum().backward())[1]

    error, native_error = run(torchlike), run(torch)
    assert type(error) is type(native_error) is RuntimeError and str(error) == str(native_error)


def test_the_error_is_a_class_of_its_own():
    with pytest.raises(torchlike.linalg.LinAlgError):
        torchlike.linalg.inv(torchlike.zeros(2, 2))
    assert issubclass(torchlike.linalg.LinAlgError, RuntimeError)
    assert torchlike.linalg.LinAlgError.__name__ == torch.linalg.LinAlgError.__name__
