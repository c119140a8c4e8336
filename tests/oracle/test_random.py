"""Random numbers against native PyTorch: the same seed, the same numbers, the same state afterwards."""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from torchlike import random as random_module
from torchlike._engine import draws, rejection
from torchlike._engine.mt19937 import BLOCK, DEFAULT_SEED, STATE_SIZE, MT19937Stream
from torchlike._engine.permutation import shuffled_inside_out
from torchlike._tensor import dtypes
from torchlike._tensor.tensor import from_array, host_array

torch = pytest.importorskip("torch", reason="native PyTorch is the oracle")

SIZES = (1, 5, 15, 16, 17, 31, 100, 1000)
SEEDS = (0, 1, 123, 2**31 + 7, 2**63 + 5)

FLOATS = ["float64", "float32", "float16", "bfloat16"]
ALL = [*FLOATS, "int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64", "bool"]
RANDOM = [name for name in ALL if not name.startswith("uint") or name == "uint8"]
COMPLEX = ["complex64", "complex128"]

F4, I8, C8 = np.dtype("f4"), np.dtype("i8"), np.dtype("c8")
ZEROS = np.zeros(3, F4)

#: Units in the last place by which NumPy's transcendental functions may differ from the C library's, per dtype. The
#: narrower types are rounded from float64, where such a difference is invisible but for one number in 2**29.
ULPS = {"float64": 4, "complex128": 4}


def numpy_dtype(name: str) -> np.dtype:
    return getattr(dtypes, "bool_" if name == "bool" else name).np


def to_numpy(tensor: Any) -> np.ndarray:
    """A native tensor's contents."""
    if tensor.dtype is torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def to_native(array: np.ndarray) -> Any:
    """A native tensor of the same contents."""
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def native_state(generator: Any) -> bytes:
    return generator.get_state().numpy().tobytes()


def assert_close(ours: np.ndarray, theirs: np.ndarray, ulps: int) -> None:
    """Equal bits, or, where ``ulps`` is not 0, floats that many units in the last place apart."""
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    if ours.dtype.kind == "c":
        ours, theirs = (a.reshape(-1).view(a.real.dtype) for a in (ours, theirs))
    if ulps:
        # Near their zeros, sines and sums are as good as the numbers near 1 that they come from.
        scale = np.maximum(np.abs(theirs), 1)
        assert np.all(np.abs(ours - theirs) <= ulps * np.spacing(scale)), np.abs(ours - theirs).max()
    else:
        np.testing.assert_array_equal(ours.view(f"u{ours.itemsize}"), theirs.view(f"u{ours.itemsize}"))


def assert_same_state(stream: MT19937Stream, generator: Any) -> None:
    """The same state, the normal variate kept for the next call up to rounding."""
    ours, theirs = MT19937Stream(), MT19937Stream()
    ours.set_state(stream.get_state())
    theirs.set_state(native_state(generator))
    assert (ours.next_normal is None) == (theirs.next_normal is None)
    if theirs.next_normal is not None:
        assert ours.next_normal == pytest.approx(theirs.next_normal, rel=1e-14, abs=1e-15)
    ours.next_normal = theirs.next_normal = None
    assert ours.get_state() == theirs.get_state()


class Draw:
    """One distribution: how native PyTorch fills a tensor with it, how ``draws`` makes the array."""

    def __init__(self, native: Callable, ours: Callable, types: list[str], ulps: dict[str, int] | None = None):
        self.native, self.ours, self.types, self.ulps = native, ours, types, ulps or {}

    def check(self, stream: MT19937Stream, generator: Any, name: str, size: int) -> None:
        native = torch.empty(size, dtype=getattr(torch, name))
        theirs = to_numpy(self.native(native, generator))
        ours = self.ours(stream, size, numpy_dtype(name))
        assert_close(ours, theirs, self.ulps.get(name, 0))
        assert_same_state(stream, generator)


DRAWS = {
    "rand": Draw(lambda t, g: t.uniform_(generator=g), draws.uniform, FLOATS + COMPLEX),
    "uniform(-0.1, 0.1)": Draw(
        lambda t, g: t.uniform_(-0.1, 0.1, generator=g), lambda *a: draws.uniform(*a, -0.1, 0.1), FLOATS + COMPLEX
    ),
    "uniform(0, 7.3)": Draw(
        lambda t, g: t.uniform_(0, 7.3, generator=g), lambda *a: draws.uniform(*a, 0.0, 7.3), FLOATS
    ),
    "uniform(3, 3)": Draw(lambda t, g: t.uniform_(3, 3, generator=g), lambda *a: draws.uniform(*a, 3.0, 3.0), FLOATS),
    "uniform(999, 1001)": Draw(
        lambda t, g: t.uniform_(999, 1001, generator=g), lambda *a: draws.uniform(*a, 999.0, 1001.0), FLOATS
    ),
    "randn": Draw(lambda t, g: t.normal_(generator=g), draws.normal, FLOATS + COMPLEX, ULPS),
    "normal(1.5, 0.02)": Draw(
        lambda t, g: t.normal_(1.5, 0.02, generator=g), lambda *a: draws.normal(*a, 1.5, 0.02), FLOATS + COMPLEX, ULPS
    ),
    "normal(0, 0)": Draw(lambda t, g: t.normal_(0, 0, generator=g), lambda *a: draws.normal(*a, 0.0, 0.0), FLOATS),
    "log_normal": Draw(lambda t, g: t.log_normal_(generator=g), draws.log_normal, FLOATS, {"float64": 64}),
    "log_normal(0, 0.25)": Draw(
        lambda t, g: t.log_normal_(0, 0.25, generator=g),
        lambda *a: draws.log_normal(*a, 0.0, 0.25),
        FLOATS,
        {"float64": 8},
    ),
    "exponential": Draw(lambda t, g: t.exponential_(generator=g), draws.exponential, FLOATS, ULPS),
    "exponential(3.7)": Draw(
        lambda t, g: t.exponential_(3.7, generator=g), lambda *a: draws.exponential(*a, 3.7), FLOATS, ULPS
    ),
    "cauchy": Draw(lambda t, g: t.cauchy_(generator=g), draws.cauchy, FLOATS, ULPS),
    "cauchy(2, 5)": Draw(
        lambda t, g: t.cauchy_(2, 5, generator=g), lambda *a: draws.cauchy(*a, 2.0, 5.0), FLOATS, ULPS
    ),
    "geometric(0.3)": Draw(
        lambda t, g: t.geometric_(0.3, generator=g),
        lambda *a: draws.geometric(*a, 0.3),
        [name for name in RANDOM if name != "bool"],
    ),
    "random_": Draw(lambda t, g: t.random_(generator=g), draws.random_integers, RANDOM),
    "random_(-100, 28)": Draw(
        lambda t, g: t.random_(-100, 28, generator=g),
        lambda *a: draws.randint(*a, -100, 28),
        [name for name in ALL if name != "bool" and not name.startswith("uint")],
    ),
    "random_(10)": Draw(lambda t, g: t.random_(10, generator=g), lambda *a: draws.randint(*a, 0, 10), ALL[:-1]),
    "random_(64)": Draw(lambda t, g: t.random_(64, generator=g), lambda *a: draws.randint(*a, 0, 64), ALL[:-1]),
    "random_(0, 2)": Draw(lambda t, g: t.random_(0, 2, generator=g), lambda *a: draws.randint(*a, 0, 2), ALL),
    "random_(1, None)": Draw(
        lambda t, g: t.random_(1, None, generator=g),
        lambda *a: draws.randint(*a, 1, None),
        [name for name in ALL if name != "uint64"],
    ),
    "random_(-2**63, None)": Draw(
        lambda t, g: t.random_(-(2**63), None, generator=g),
        lambda *a: draws.randint(*a, -(2**63), None),
        ["int64", "float64", "float32", "bfloat16"],
    ),
    "bernoulli_(0.3)": Draw(lambda t, g: t.bernoulli_(0.3, generator=g), lambda *a: draws.bernoulli(*a, 0.3), RANDOM),
    "bernoulli_(0)": Draw(lambda t, g: t.bernoulli_(0, generator=g), lambda *a: draws.bernoulli(*a, 0), RANDOM),
    "bernoulli_(1)": Draw(lambda t, g: t.bernoulli_(1, generator=g), lambda *a: draws.bernoulli(*a, 1), RANDOM),
    **{
        f"bernoulli_(p: {kind})": Draw(
            lambda t, g, kind=kind: t.bernoulli_(torch.linspace(0, 1, len(t)).to(getattr(torch, kind)), generator=g),
            lambda stream, size, dtype, kind=kind: draws.bernoulli(
                stream, size, dtype, to_numpy(torch.linspace(0, 1, size).to(getattr(torch, kind)))
            ),
            RANDOM,
        )
        for kind in FLOATS
    },
    "randperm": Draw(
        lambda t, g: torch.randperm(min(len(t), 128), dtype=t.dtype, generator=g),
        lambda stream, size, dtype: draws.randperm(stream, min(size, 128), dtype),
        [name for name in RANDOM if name != "bool"],
    ),
    "dropout(0.3)": Draw(
        lambda t, g: t.bernoulli_(1 - 0.3, generator=g).div_(1 - 0.3), lambda *a: draws.dropout_mask(*a, 0.3), FLOATS
    ),
}


@pytest.mark.parametrize("name", DRAWS)
def test_same_numbers_and_state(name):
    """Every distribution, dtype and size, calls following one another."""
    draw = DRAWS[name]
    for dtype in draw.types:
        for seed in SEEDS:
            stream, generator = MT19937Stream(seed), torch.Generator().manual_seed(seed)
            for size in SIZES:
                draw.check(stream, generator, dtype, size)


@pytest.mark.parametrize("seed", range(12))
def test_interleaved_calls(seed):
    """Distributions in random order: block ends, odd numbers of words, the normal variate kept between calls."""
    choose = np.random.default_rng(seed)
    stream, generator = MT19937Stream(seed), torch.Generator().manual_seed(seed)
    names = list(DRAWS)
    for _ in range(150):
        draw = DRAWS[names[choose.integers(len(names))]]
        size = int(choose.choice([1, 2, 3, 7, 15, 16, 33, 311, 624, 625, 2000]))
        draw.check(stream, generator, draw.types[choose.integers(len(draw.types))], size)


def test_documented_numbers():
    """What the tutorials print after ``torch.manual_seed``."""
    np.testing.assert_array_equal(
        draws.uniform(MT19937Stream(123), 5, np.dtype("f4")).round(4),
        np.float32([0.2961, 0.5166, 0.2517, 0.6886, 0.0740]),
    )
    np.testing.assert_array_equal(
        draws.normal(MT19937Stream(0), 3, np.dtype("f4")).round(4), np.float32([1.5410, -0.2934, -2.1788])
    )


@pytest.mark.parametrize("dtype", FLOATS)
def test_large_normal_is_exact(dtype):
    for seed, size in ((5, 200_003), (6, 1 << 17)):
        generator = torch.Generator().manual_seed(seed)
        theirs = to_numpy(torch.empty(size, dtype=getattr(torch, dtype)).normal_(-1, 3, generator=generator))
        stream = MT19937Stream(seed)
        assert_close(draws.normal(stream, size, numpy_dtype(dtype), -1.0, 3.0), theirs, ULPS.get(dtype, 0))
        assert_same_state(stream, generator)


BOUNDS = [
    (0, 2**28 - 1), (0, 2**28), (5, 2**32), (-(2**40), 2**40 + 7), (-(2**63), 2**63 - 1), (2**62, 2**63 - 1),
    (0, 2**33), (-3, 70_000), (0, 300), (3, 4),
]  # fmt: skip


@pytest.mark.parametrize("low, high", BOUNDS)
@pytest.mark.parametrize("dtype", ALL)
def test_bounds_of_whole_numbers(dtype, low, high):
    """Numbers, errors and warnings of ``random_`` with bounds."""
    generator, stream = torch.Generator().manual_seed(9), MT19937Stream(9)

    def outcome(function):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                result = function()
            except (RuntimeError, NotImplementedError) as error:
                result = type(error), first_line(error)
        return result, [str(w.message).split(" (Triggered")[0] for w in caught]

    theirs, their_warnings = outcome(
        lambda: to_numpy(torch.empty(50, dtype=getattr(torch, dtype)).random_(low, high, generator=generator))
    )
    ours, our_warnings = outcome(lambda: draws.randint(stream, 50, numpy_dtype(dtype), low, high))
    if isinstance(theirs, tuple):
        assert ours == theirs
    else:
        assert_close(ours, theirs, 0)
        assert our_warnings == their_warnings
        assert_same_state(stream, generator)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 100, 399, 400, 401, 402, 3000, 30_000, 100_000, 1_000_000])
def test_randperm(n):
    for seed in (0, 7):
        stream, generator = MT19937Stream(seed), torch.Generator().manual_seed(seed)
        np.testing.assert_array_equal(draws.randperm(stream, n), torch.randperm(n, generator=generator).numpy())
        assert_same_state(stream, generator)


def test_randperm_inside_out():
    """The algorithm for very long permutations, against its definition."""
    numbers = np.random.default_rng(0).integers(0, 2**63, 1000, dtype=np.uint64)
    expected: list[int] = []
    for i, number in enumerate(numbers.tolist()):
        expected.append(i)
        place = number % (i + 1)
        expected[i], expected[place] = expected[place], i
    taken = iter(numbers)
    ours = shuffled_inside_out(lambda count: np.array([next(taken) for _ in range(count)]), 1000)
    assert ours.tolist() == expected
    assert sorted(expected) == list(range(1000))


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 5), (0,), (4, 0), ()])
def test_shapes(shape):
    stream, generator = MT19937Stream(3), torch.Generator().manual_seed(3)
    for ours, theirs in [
        (draws.uniform(stream, shape, np.dtype("f4")), torch.rand(shape, generator=generator)),
        (draws.normal(stream, shape, np.dtype("f4")), torch.randn(shape, generator=generator)),
        (draws.uniform(stream, shape, np.dtype("c8")), torch.rand(shape, generator=generator, dtype=torch.complex64)),
        (draws.randint(stream, shape, np.dtype("i8"), 0, 9), torch.randint(9, shape, generator=generator)),
        (draws.bernoulli(stream, shape, np.dtype("f4"), 0.5), torch.empty(shape).bernoulli_(0.5, generator=generator)),
    ]:
        assert_close(np.ascontiguousarray(ours.reshape(-1)), np.ascontiguousarray(theirs.numpy().reshape(-1)), 0)
        assert ours.shape == shape
        assert_same_state(stream, generator)


def test_normal_of_a_tensor_that_is_not_contiguous():
    generator, stream = torch.Generator().manual_seed(4), MT19937Stream(4)
    theirs = torch.empty(8, 5).t().normal_(1, 2, generator=generator)
    ours = draws.normal(stream, (8, 5), np.dtype("f4"), 1.0, 2.0, dense=False)
    assert_close(ours, theirs.t().numpy(), 0)
    assert_same_state(stream, generator)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", [3, 40])
def test_normal_around(dtype, size):
    kind, npt = getattr(torch, dtype), numpy_dtype(dtype)
    mean = torch.linspace(-2, 3, size).to(kind)
    std = torch.linspace(0, 2, size).to(kind)
    generator, stream = torch.Generator().manual_seed(8), MT19937Stream(8)
    for ours, theirs in [
        (draws.normal_around(stream, to_numpy(mean), to_numpy(std)), torch.normal(mean, std, generator=generator)),
        (draws.normal_around(stream, to_numpy(mean), 0.7), torch.normal(mean, 0.7, generator=generator)),
        (draws.normal_around(stream, 1.3, to_numpy(std)), torch.normal(1.3, std, generator=generator)),
    ]:
        assert ours.dtype == npt
        assert_close(ours, to_numpy(theirs), ULPS.get(dtype, 0))
        assert_same_state(stream, generator)


# ------------------------------------------------------------------------------------------------------ multinomial


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "samples, replacement", [(1, False), (1, True), (2, False), (7, False), (20, True), (40, False)]
)
def test_multinomial(dtype, samples, replacement):
    for seed in (0, 1):
        weights = torch.rand(6, 40, generator=torch.Generator().manual_seed(seed + 50)).to(getattr(torch, dtype))
        for native in (weights, weights[0]):
            generator, stream = torch.Generator().manual_seed(seed), MT19937Stream(seed)
            theirs = torch.multinomial(native, samples, replacement, generator=generator)
            ours = draws.multinomial(stream, to_numpy(native), samples, replacement)
            if dtype in ("float16", "bfloat16") and not replacement and samples > 1:
                # Ratios of so few bits are often equal, and the order of equal ones is that of an unstable sort.
                ratios = to_numpy(native) / draws.exponential(MT19937Stream(seed), native.shape, numpy_dtype(dtype))
                ours, theirs = (np.take_along_axis(ratios, np.asarray(a), -1) for a in (ours, theirs.numpy()))
                np.testing.assert_array_equal(ours, theirs)
            else:
                np.testing.assert_array_equal(ours, theirs.numpy())
            assert_same_state(stream, generator)


def test_multinomial_of_many_categories():
    weights = torch.rand(3, 5000, generator=torch.Generator().manual_seed(1))
    generator, stream = torch.Generator().manual_seed(0), MT19937Stream(0)
    theirs = torch.multinomial(weights, 50, generator=generator)
    np.testing.assert_array_equal(draws.multinomial(stream, weights.numpy(), 50), theirs.numpy())


# ---------------------------------------------------------------------------------------------- sampled by rejection


@pytest.mark.parametrize("dtype", FLOATS)
def test_poisson(dtype):
    rates = torch.tensor([0.0, 0.1, 1, 5, 9.99, 10, 11.5, 40, 300, 5000] * 30).to(getattr(torch, dtype))
    for seed in (0, 1):
        generator, stream = torch.Generator().manual_seed(seed), MT19937Stream(seed)
        for shift in range(3):  # from even and odd positions in the block of words
            theirs = torch.poisson(rates, generator=generator)
            assert_close(rejection.poisson(stream, to_numpy(rates)), to_numpy(theirs), 0)
            assert_same_state(stream, generator)
            torch.rand(shift + 1, generator=generator)
            stream.raw(shift + 1)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_binomial(dtype):
    kind = getattr(torch, dtype)
    count = torch.tensor([0.0, 1, 5, 30, 100, 1000, 1e5, -2]).to(kind)[:, None].expand(8, 11).contiguous()
    prob = torch.tensor([-0.5, 0, 0.01, 0.1, 0.3, 0.5, 0.6, 0.95, 0.999, 1, 1.5]).to(kind).expand(8, 11).contiguous()
    for seed in range(20):
        generator, stream = torch.Generator().manual_seed(seed), MT19937Stream(seed)
        theirs = torch.binomial(count, prob, generator=generator)
        assert_close(rejection.binomial(stream, count.numpy(), prob.numpy()), theirs.numpy(), 0)
        assert_same_state(stream, generator)
    assert math.isnan(rejection.binomial(MT19937Stream(), np.float32([3.0]), np.float32([math.nan]))[0])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gamma_and_dirichlet(dtype):
    alpha = (
        torch.tensor([0, 1e-3, 0.1, 0.5, 0.999, 1, 1.5, 3, 20, 1e4])
        .to(getattr(torch, dtype))
        .expand(20, 10)
        .contiguous()
    )
    for seed in range(5):
        generator, stream = torch.Generator().manual_seed(seed), MT19937Stream(seed)
        theirs = torch._standard_gamma(alpha, generator=generator).numpy()
        np.testing.assert_allclose(rejection.standard_gamma(stream, alpha.numpy()), theirs, rtol=4e-15)
        assert_same_state(stream, generator)
        theirs = torch._sample_dirichlet(alpha[:, 2:], generator=generator).numpy()
        ours = rejection.dirichlet(stream, alpha[:, 2:].numpy())
        np.testing.assert_allclose(ours, theirs, rtol=1e-14 if dtype == "float64" else 1.2e-7)
        assert_same_state(stream, generator)


# ------------------------------------------------------------------------------------------------------------ errors


def first_line(error: BaseException) -> str:
    return str(error).split("\nException raised")[0]


def fill(dtype: str = "float32", size: int = 3) -> Any:
    return torch.zeros(size, dtype=getattr(torch, dtype))


NAN, INF = math.nan, math.inf

ERRORS: list[tuple[Callable[[], Any], Callable[[MT19937Stream], Any]]] = [
    (lambda: fill().uniform_(1, 0.5), lambda s: draws.uniform(s, 3, F4, 1.0, 0.5)),
    (lambda: fill().uniform_(0, 1e39), lambda s: draws.uniform(s, 3, F4, 0.0, 1e39)),
    (lambda: fill().uniform_(NAN, 1), lambda s: draws.uniform(s, 3, F4, NAN, 1.0)),
    (lambda: fill().uniform_(-3e38, 3e38), lambda s: draws.uniform(s, 3, F4, -3e38, 3e38)),
    (lambda: fill("float16").uniform_(-6e4, 6e4), lambda s: draws.uniform(s, 3, np.dtype("f2"), -6e4, 6e4)),
    (lambda: fill("int64").uniform_(), lambda s: draws.uniform(s, 3, I8)),
    (lambda: fill().normal_(0, -1), lambda s: draws.normal(s, 3, F4, 0.0, -1.0)),
    (lambda: fill().normal_(0, NAN), lambda s: draws.normal(s, 3, F4, 0.0, NAN)),
    (lambda: fill("bool").normal_(), lambda s: draws.normal(s, 3, np.dtype("?"))),
    (
        lambda: torch.normal(fill(), fill() - 1.5),
        lambda s: draws.normal_around(s, np.zeros(3, F4), np.full(3, -1.5, F4)),
    ),
    (
        lambda: torch.normal(fill(), fill("complex64")),
        lambda s: draws.normal_around(s, np.zeros(3, F4), np.zeros(3, C8)),
    ),
    (lambda: fill().log_normal_(0, 0), lambda s: draws.log_normal(s, 3, F4, 0.0, 0.0)),
    (lambda: fill().exponential_(-1.5), lambda s: draws.exponential(s, 3, F4, -1.5)),
    (lambda: fill("int64").exponential_(), lambda s: draws.exponential(s, 3, I8)),
    (lambda: fill().geometric_(1.5), lambda s: draws.geometric(s, 3, F4, 1.5)),
    (lambda: fill("bool").geometric_(0.5), lambda s: draws.geometric(s, 3, np.dtype("?"), 0.5)),
    (lambda: fill().cauchy_(0, 0), lambda s: draws.cauchy(s, 3, F4, 0.0, 0.0)),
    (lambda: fill("int64").cauchy_(), lambda s: draws.cauchy(s, 3, I8)),
    (lambda: fill().bernoulli_(1.5), lambda s: draws.bernoulli(s, 3, F4, 1.5)),
    (lambda: fill().bernoulli_(-1e-7), lambda s: draws.bernoulli(s, 3, F4, -1e-7)),
    (lambda: fill("complex64").bernoulli_(0.5), lambda s: draws.bernoulli(s, 3, C8, 0.5)),
    (
        lambda: torch.bernoulli(torch.tensor([0.5, 1.5, 0.5])),
        lambda s: draws.bernoulli(s, 3, F4, np.array([0.5, 1.5, 0.5], F4)),
    ),
    (lambda: fill().bernoulli_(fill("int64")), lambda s: draws.bernoulli(s, 3, F4, np.zeros(3, I8))),
    (lambda: fill("uint16").random_(), lambda s: draws.random_integers(s, 3, np.dtype("u2"))),
    (lambda: fill().random_(3, 3), lambda s: draws.randint(s, 3, F4, 3, 3)),
    (lambda: fill("bfloat16").random_(70000, None), lambda s: draws.randint(s, 3, draws.BFLOAT16, 70000, None)),
    (lambda: fill("int32").random_(-(2**63), None), lambda s: draws.randint(s, 3, np.dtype("i4"), -(2**63), None)),
    (lambda: fill("float16").random_(-(2**63), None), lambda s: draws.randint(s, 3, np.dtype("f2"), -(2**63), None)),
    (lambda: fill("complex64").random_(3), lambda s: draws.randint(s, 3, C8, 0, 3)),
    (lambda: fill("uint64").random_(3, None), lambda s: draws.randint(s, 3, np.dtype("u8"), 3, None)),
    (lambda: torch.randperm(-1), lambda s: draws.randperm(s, -1)),
    (lambda: torch.randperm(2050, dtype=torch.half), lambda s: draws.randperm(s, 2050, np.dtype("f2"))),
    (lambda: torch.randperm(2**24 + 2, dtype=torch.float), lambda s: draws.randperm(s, 2**24 + 2, F4)),
    (lambda: torch.randperm(257, dtype=torch.uint8), lambda s: draws.randperm(s, 257, np.dtype("u1"))),
    (lambda: torch.randperm(3, dtype=torch.bool), lambda s: draws.randperm(s, 3, np.dtype("?"))),
    (lambda: torch.dropout(fill(), 1.5, True), lambda s: draws.dropout_mask(s, 3, F4, 1.5)),
    *(
        (
            lambda w=w, k=k, r=r: torch.multinomial(torch.tensor(w), k, r),
            lambda s, w=w, k=k, r=r: draws.multinomial(s, np.array(w, None if isinstance(w[0], int) else F4), k, r),
        )
        for w, k, r in [
            ([0.5, -0.5], 1, False),
            ([0.5, -0.5], 2, True),
            ([0.5, INF], 1, False),
            ([0.5, INF], 2, True),
            ([0.5, NAN], 1, True),
            ([0.5, NAN], 2, True),
            ([0.0, 0.0], 1, False),
            ([0.0, 0.0], 2, True),
            ([1.0, 1.0], 0, False),
            ([1.0, 1.0], 3, False),
            ([[[1.0]]], 1, False),
            ([1, 2], 1, False),
            ([[0.0, 0.0], [1.0, 1.0]], 1, False),
        ]
    ),
    (lambda: torch.poisson(torch.tensor([1.0, -1.0])), lambda s: rejection.poisson(s, np.array([1, -1], F4))),
    (lambda: torch.poisson(fill("int64")), lambda s: rejection.poisson(s, np.zeros(3, I8))),
    (lambda: torch.binomial(fill("int64"), fill()), lambda s: rejection.binomial(s, np.zeros(3, I8), np.zeros(3, F4))),
    (lambda: torch.binomial(fill(), fill("int64")), lambda s: rejection.binomial(s, np.zeros(3, F4), np.zeros(3, I8))),
    (lambda: torch.binomial(fill(), fill("float64")), lambda s: rejection.binomial(s, np.zeros(3, F4), np.zeros(3))),
    (lambda: torch._standard_gamma(fill("float16")), lambda s: rejection.standard_gamma(s, np.zeros(3, "f2"))),
    (lambda: torch._sample_dirichlet(fill("int64")), lambda s: rejection.dirichlet(s, np.zeros(3, I8))),
]


@pytest.mark.parametrize("index", range(len(ERRORS)))
def test_errors(index):
    native, ours = ERRORS[index]
    with pytest.raises(Exception) as expected:
        native()
    with pytest.raises(expected.type) as raised:
        ours(MT19937Stream())
    assert str(raised.value) == first_line(expected.value)


def test_a_bad_probability_leaves_the_state_where_it_was_met():
    generator, stream = torch.Generator().manual_seed(1), MT19937Stream(1)
    p = torch.tensor([0.5, 0.5, 0.1, 1.5, 0.5])
    with pytest.raises(RuntimeError):
        torch.bernoulli(p, generator=generator)
    with pytest.raises(RuntimeError):
        draws.bernoulli(stream, 5, F4, p.numpy())
    assert_same_state(stream, generator)


# -------------------------------------------------------------------------------------------------------- the state


def test_state_after_every_number_of_words():
    """Bytes of the state all the way through the first blocks, with requests of changing sizes."""
    stream, generator = MT19937Stream(11), torch.Generator().manual_seed(11)
    assert stream.get_state() == native_state(generator)
    for count in [1] * 5 + [100, 518, 1, 622, 1, 1, 623, 1, 624, 1, 1247, 1248, 1249, 700, 1871]:
        stream.raw(count)
        torch.empty(count, dtype=torch.int32).random_(generator=generator)
        assert stream.get_state() == native_state(generator), count


@pytest.mark.parametrize("used", [0, 1, 17, 623, 624, 625, 5000])
def test_states_travel_both_ways(used):
    stream, generator = MT19937Stream(5), torch.Generator().manual_seed(5)
    for target, count in ((generator, used), (generator, 1)):
        torch.randn(count, generator=target)
    restored = MT19937Stream()
    restored.set_state(native_state(generator))
    assert restored.get_state() == native_state(generator)
    np.testing.assert_array_equal(draws.normal(restored, 5, F4), torch.randn(5, generator=generator).numpy())

    draws.normal(stream, used, F4)
    draws.normal(stream, 1, F4)
    other = torch.Generator()
    other.set_state(torch.frombuffer(bytearray(stream.get_state()), dtype=torch.uint8))
    np.testing.assert_array_equal(draws.normal(stream, 5, F4), torch.randn(5, generator=other).numpy())
    assert stream.get_state() == native_state(other)


def test_peeking_takes_nothing():
    stream, other = MT19937Stream(2), MT19937Stream(2)
    for taken in (1, 622, 1, 3):
        ahead = stream.peek()
        count = min(ahead.size, taken)
        np.testing.assert_array_equal(ahead[:count], stream.raw(count))
        other.raw(count)
        assert stream.get_state() == other.get_state()
    assert stream.peek().size <= BLOCK


# ---------------------------------------------------------------------------------------------------- the generator


def test_generator_attributes():
    ours, native = random_module.Generator(), torch.Generator()
    assert ours.initial_seed() == native.initial_seed() == DEFAULT_SEED
    assert str(ours.device) == str(native.device) == "cpu"
    assert repr(ours).startswith("<torch._C.Generator object at 0x")
    assert str(type(ours)) == str(type(native))
    public = {name for name in dir(native) if not name.startswith("_")}
    assert public <= set(dir(ours))
    assert ours.manual_seed(3) is ours
    assert host_array(ours.get_state()).tobytes() == native_state(native.manual_seed(3))


@pytest.mark.parametrize(
    "seed", [0, -1, -5, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 1.5, "a", True, None]
)
def test_seeds(seed):
    def outcome(generator, function):
        try:
            function(seed)
        except Exception as error:
            return type(error), str(error)
        return generator.initial_seed()

    ours, native = random_module.Generator(), torch.Generator()
    assert outcome(ours, ours.manual_seed) == outcome(native, native.manual_seed)
    assert host_array(ours.get_state()).tobytes() == native_state(native)


@pytest.mark.parametrize(
    "state",
    [lambda s: s[:10], lambda s: s.astype("f4"), lambda s: s.reshape(8, -1), lambda s: s[:-1], np.zeros_like, list],
)
def test_bad_states(state):
    native, ours = torch.Generator().manual_seed(1), random_module.Generator().manual_seed(1)
    array = state(native.get_state().numpy())

    def outcome(function):
        try:
            function()
        except Exception as error:
            return type(error), first_line(error)
        return "set"

    theirs = array if isinstance(array, list) else torch.from_numpy(array.copy())
    mine = array if isinstance(array, list) else from_array(array.copy())
    assert outcome(lambda: ours.set_state(mine)) == outcome(lambda: native.set_state(theirs))


def test_operations_that_a_cpu_generator_refuses():
    native, ours = torch.Generator(), random_module.Generator()
    for call in (
        lambda g: g.get_offset(), lambda g: g.set_offset(4), lambda g: g.graphsafe_get_state(),
        lambda g: g.graphsafe_set_state(g), lambda g: setattr(g, "device", "cpu"), lambda g: type(g)("meta"),
        lambda g: type(g)("foo"), lambda g: type(g)("mps"),
    ):  # fmt: skip
        with pytest.raises(Exception) as expected:
            call(native)
        with pytest.raises(expected.type) as raised:
            call(ours)
        assert str(raised.value) == first_line(expected.value)


def test_generator_copies():
    generator = random_module.Generator().manual_seed(77)
    draws.normal(random_module.cpu_stream(generator), 5, F4)
    state = host_array(generator.get_state()).tobytes()
    assert len(state) == STATE_SIZE
    for clone in (
        generator.clone_state(),
        copy.deepcopy(generator),
        copy.copy(generator),
        pickle.loads(pickle.dumps(generator)),
    ):
        assert clone is not generator
        assert host_array(clone.get_state()).tobytes() == state
        assert clone.initial_seed() == 77
        draws.uniform(random_module.cpu_stream(clone), 9, F4)
    assert host_array(generator.get_state()).tobytes() == state
    restored = random_module.Generator()
    restored.__setstate__((77, None, generator.get_state()))
    assert host_array(restored.get_state()).tobytes() == state


def test_default_generator():
    default = random_module.default_generator
    stream = random_module.cpu_stream(None)
    before = random_module.get_rng_state()
    try:
        assert random_module.manual_seed(13) is default
        assert random_module.initial_seed() == default.initial_seed() == 13
        np.testing.assert_array_equal(
            draws.uniform(stream, 4, F4), torch.rand(4, generator=torch.Generator().manual_seed(13))
        )
        assert random_module.manual_seed(2.7).initial_seed() == 2
        first, second = random_module.seed(), random_module.seed()
        assert first != second == random_module.initial_seed()
        saved = random_module.get_rng_state()
        expected = draws.normal(stream, 33, F4)
        random_module.set_rng_state(saved)
        np.testing.assert_array_equal(draws.normal(stream, 33, F4), expected)
        assert random_module.thread_safe_generator() is None
    finally:
        random_module.set_rng_state(before)


def test_fork_rng():
    stream = random_module.cpu_stream(None)
    before = stream.get_state()
    with random_module.fork_rng():
        draws.normal(stream, 100, F4)
        assert stream.get_state() != before
    assert stream.get_state() == before
    with pytest.raises(KeyError), random_module.fork_rng(devices=[]):
        draws.normal(stream, 100, F4)
        raise KeyError
    assert stream.get_state() == before
    with random_module.fork_rng(enabled=False):
        draws.normal(stream, 1, F4)
    assert stream.get_state() != before
    stream.set_state(before)
    with pytest.raises(RuntimeError, match="at start of device string: foo"), random_module.fork_rng(device_type="foo"):
        pass


def test_accelerator_stream():
    """The generator of an accelerator: CUDA's state, and a new key for every operation."""
    stream = random_module._CounterStream()
    stream.reseed(-1)
    assert stream.get_state() == b"\xff" * 8 + bytes(8)
    first, second = stream.key(), stream.key()
    assert stream.offset == 8
    assert not (first == second).all()
    state = stream.get_state()
    third = stream.key()
    stream.set_state(state)
    assert (stream.key() == third).all()
    with pytest.raises(RuntimeError, match="RNG state is wrong size"):
        stream.set_state(bytes(9))
