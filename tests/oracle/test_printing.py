"""Tensors print as in native torch, character by character."""

import math
import warnings

import numpy as np
import pytest

from torchlike._tensor import dtypes, printing

torch = pytest.importorskip("torch")

OPTIONS = [
    {},
    {"precision": 2},
    {"precision": 0},
    {"precision": 8, "linewidth": 120},
    {"linewidth": 20},
    {"threshold": 0},
    {"threshold": 5},
    {"threshold": 10, "edgeitems": 1},
    {"threshold": 10, "edgeitems": 0},
    {"edgeitems": 0},
    {"profile": "short"},
    {"profile": "full"},
    {"sci_mode": True},
    {"sci_mode": False},
]

SHAPES = [
    (), (0,), (0, 3), (2, 0, 3), (1,), (5,), (30,), (2, 3), (3, 1, 4), (1, 1, 1), (2, 2, 2, 2), (3, 7, 2, 5),
    (1001,), (34, 30), (2, 501), (501, 2), (7, 11, 14),
]  # fmt: skip

KINDS = ("normal", "whole", "large whole", "spread", "tiny", "huge", "zero", "sparse")


@pytest.fixture(autouse=True)
def fresh_options():
    yield
    torch.set_printoptions(profile="default")
    printing.set_printoptions(profile="default")
    torch.set_default_dtype(torch.float32)
    dtypes.set_default_dtype(dtypes.float32)


def set_everywhere(options, default="float32"):
    for library in (torch, printing):
        library.set_printoptions(profile="default")
        library.set_printoptions(**options)
    torch.set_default_dtype(getattr(torch, default))
    dtypes.set_default_dtype(getattr(dtypes, default))


def reals(rng, shape):
    """Random float64 numbers of one of several kinds, at times with nan, infinities and zeros of both signs."""
    a = np.asarray(rng.standard_normal(shape))
    match rng.choice(KINDS):
        case "whole":
            a = np.round(a * 50)
        case "large whole":
            a = np.round(a * 1e6)
        case "spread":
            a = a * 10.0 ** rng.integers(-6, 9, shape)
        case "tiny":
            a = a * 1e-5
        case "huge":
            a = a * 1e9
        case "zero":
            a = a * 0
        case "sparse":
            a = a * rng.integers(0, 2, shape) * rng.choice([1.0, 100.0, 600.0])
    if rng.random() < 0.3:
        for special in (math.nan, math.inf, -math.inf, 0.0, -0.0):
            if rng.random() < 0.5:
                a = np.where(rng.random(shape) < 0.1, special, a)
    return np.asarray(a)


def random_array(rng, dtype, shape):
    if dtype is dtypes.bool_:
        return np.asarray(rng.random(shape) < 0.5)
    if not (dtype.is_floating_point or dtype.is_complex):
        limits = np.iinfo(dtype.np)
        high = int(rng.choice([3, 100, limits.max]))
        low = max(int(limits.min), int(rng.choice([0, -1])) * high)
        return np.asarray(rng.integers(low, high, shape, dtype=dtype.np))
    if dtype is dtypes.float8_e8m0fnu:  # powers of two; where it holds nan, torch prints it by other rules
        low, high = ((-2, 3), (0, 5), (-30, 30))[rng.integers(3)]
        return np.asarray((2.0 ** rng.integers(low, high, shape)).astype(dtype.np))
    if dtype.is_complex:
        a = np.empty(shape, dtype.np)
        with np.errstate(all="ignore"):
            a.real, a.imag = reals(rng, shape), reals(rng, shape)
        return a
    with np.errstate(all="ignore"):
        return np.asarray(reals(rng, shape).astype(dtype.np))


def native_tensor(array, dtype):
    """``array`` as a native tensor, bit for bit, also for the types that NumPy has only by way of ml_dtypes."""
    if dtype.np.isbuiltin == 1:  # 2 stands for a type that a package added
        return torch.from_numpy(array.copy())
    carrier = {1: np.uint8, 2: np.int16}[dtype.itemsize]
    raw = torch.from_numpy(array.reshape(-1).view(carrier).copy())
    return raw.view(getattr(torch, dtype.name)).reshape(array.shape)


def ours(array, dtype, **about):
    return printing.tensor_repr(array, dtype, suffixes=printing.suffixes(dtype, array.shape, **about))


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
def test_random_arrays(dtype):
    rng = np.random.default_rng([7, dtypes.ALL.index(dtype)])
    for case in range(120):
        shape = SHAPES[case % len(SHAPES)]
        options = OPTIONS[rng.integers(len(OPTIONS))]
        default = rng.choice(["float32", "float32", "float64", "float16"])
        array = random_array(rng, dtype, shape)
        native = native_tensor(array, dtype)
        inexact = (dtype.is_floating_point or dtype.is_complex) and dtype.itemsize > 1
        requires_grad = inexact and rng.random() < 0.3
        if requires_grad:
            native.requires_grad_()
        set_everywhere(options, default)
        assert ours(array, dtype, requires_grad=requires_grad) == repr(native), (shape, options, default)


@pytest.mark.parametrize("dtype", [dtypes.float64, dtypes.float32], ids=str)
def test_where_scientific_notation_begins(dtype):
    edges = [1e-4, 1e8, 1e-3, 1.0, 1000.0, 0.5]
    near = [edge * (1 + shift) for edge in edges for shift in (-1e-3, -1e-6, 0, 1e-6, 1e-3)]
    for values in [*([v] for v in near), *([1.0, -v] for v in near), *([0.25, v / 4, 0] for v in near)]:
        array = np.asarray(values, dtype.np)
        assert ours(array, dtypes.from_numpy_dtype(array.dtype)) == repr(torch.from_numpy(array)), values


@pytest.mark.parametrize("width", [20, 38, 60, 80, 100])
def test_suffixes_wrap_like_native(width):
    set_everywhere({"linewidth": width})
    for count in range(1, 14):
        array = np.linspace(-1, 1, count)
        leaf = torch.from_numpy(array.copy()).requires_grad_()
        assert ours(array, dtypes.float64, requires_grad=True) == repr(leaf)
        made = (leaf + 1).reshape(1, -1)
        name = type(made.grad_fn).__name__
        written = ours(array.reshape(1, -1) + 1, dtypes.float64, grad_fn=name, requires_grad=True)
        assert written == repr(made)
        assert f"grad_fn=<{name}>" in written


def test_meta_tensors():
    for shape in SHAPES:
        for name in ("float32", "float64", "int64", "bool"):
            dtype = getattr(dtypes, "bool_" if name == "bool" else name)
            about = printing.suffixes(dtype, shape, device="meta", meta=True)
            native = torch.empty(shape, dtype=getattr(torch, name), device="meta")
            assert printing.tensor_repr(None, dtype, suffixes=about) == repr(native)


def test_subclasses_print_under_their_own_name():
    class Temperature(torch.Tensor):
        pass

    array = np.arange(60, dtype=np.float32).reshape(3, 20) / 7
    native = torch.from_numpy(array).as_subclass(Temperature)
    about = printing.suffixes(dtypes.float32, array.shape)
    assert printing.tensor_repr(array, dtypes.float32, prefix="Temperature(", suffixes=about) == repr(native)


@pytest.mark.parametrize("values", [[1.5, -2.25], [], np.arange(40.0)], ids=["two", "none", "many"])
@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float64, dtypes.int64], ids=str)
def test_sparse_tensors(values, dtype):
    values = np.asarray(values, dtype.np)
    indices = np.stack([np.arange(len(values)), np.arange(len(values))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        native = torch.sparse_coo_tensor(torch.from_numpy(indices), torch.from_numpy(values), (50, 50))
    about = printing.suffixes(dtype, (50, 50), layout="torch.sparse_coo", nnz=len(values))
    parts = [("indices", indices, dtypes.int64), ("values", values, dtype)]
    assert printing.sparse_repr(parts, suffixes=about, force_newline=True) == repr(native)


def test_device_is_named_where_it_is_not_the_default():
    def about(**given):
        return printing.suffixes(dtypes.float32, (2,), **given)

    assert about(device="cuda:0") == ["device='cuda:0'"]
    assert about(device="cpu") == []
    assert about(device="cuda:0", default_device_type="cuda", current_index=0) == []
    assert about(device="cuda:1", default_device_type="cuda", current_index=0) == ["device='cuda:1'"]


@pytest.mark.parametrize("options", [o for o in OPTIONS if o], ids=str)
def test_options(options):
    set_everywhere(options)
    assert printing.get_printoptions() == torch._tensor_str.get_printoptions()
    with printing.printoptions(precision=1), torch._tensor_str.printoptions(precision=1):
        assert printing.get_printoptions() == torch._tensor_str.get_printoptions()
    assert printing.get_printoptions() == torch._tensor_str.get_printoptions()


def test_options_come_back_after_an_error():
    before = printing.get_printoptions()
    with pytest.raises(ZeroDivisionError), printing.printoptions(precision=9, sci_mode=True):
        raise ZeroDivisionError
    assert printing.get_printoptions() == before


def test_a_large_array_is_not_read_beyond_its_summary():
    class Watched(np.ndarray):
        largest = 0

        def __array_finalize__(self, source):
            if source is not None and self.base is None:  # memory of its own: a copy
                Watched.largest = max(Watched.largest, self.size)

    array = np.zeros((1000, 5, 1000), np.float32).view(Watched)
    Watched.largest = 0
    assert ours(array, dtypes.float32).count("...") == 1 + 6 * 5
    assert Watched.largest <= 6 * 5 * 6
