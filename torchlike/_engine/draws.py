"""PyTorch's CPU distributions as NumPy functions that draw from a stream of random words.

Every function takes the stream, a shape and a NumPy dtype (or the arrays of parameters), and returns a new array;
errors are PyTorch's. The numbers, and how many words are taken for them, are those of PyTorch's portable kernels, seed
for seed. Where float64 numbers come out of a logarithm, sine and the like, their last bits are NumPy's and may differ
from PyTorch's; numbers of the narrower types agree.

A complex array is drawn as the array of its real and imaginary parts.
"""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np

from torchlike._engine.box_muller import normal_fill
from torchlike._engine.mt19937 import MT19937Stream
from torchlike._engine.permutation import shuffled, shuffled_inside_out
from torchlike._engine.uniforms import (
    BFLOAT16,
    BOOL,
    CHUNK,
    DIGITS,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    FLOATS,
    HALVES,
    INT64,
    MASK24,
    MASK53,
    NAMES,
    SIGNED_AND_BYTE,
    UINT64,
    UNSIGNED,
    Shape,
    double_words,
    doubles_of,
    fused,
    narrow,
    require_dtype,
    size_of,
    unit_doubles,
    unit_floats,
)  # fmt: skip

#: From this range on a bounded integer takes two words, so that the remainder's bias stays small.
_WIDE_RANGE = 1 << 28
#: From this length on a permutation takes two words for each element.
_LONG_PERMUTATION = (2**32 - 1) // 20
#: The most categories that multinomial takes: the largest run of whole numbers in float32.
_MOST_CATEGORIES = 1 << 24

BAD_PROBABILITY = (
    "Expected p_in >= 0 && p_in <= 1 to be true, but got false.  (Could this error message be improved?  If so, please "
    "report an enhancement request to PyTorch.)"
)
BAD_WEIGHTS = "probability tensor contains either `inf`, `nan` or element < 0"
ZERO_WEIGHTS = "invalid multinomial distribution (sum of probabilities <= 0)"


def _as_parts(draw: Any, stream: MT19937Stream, shape: Shape, dtype: np.dtype, *parameters: float) -> np.ndarray:
    """A complex array, its parts drawn by ``draw`` as one real array of twice the size."""
    parts = draw(stream, 2 * size_of(shape), FLOAT32 if dtype.itemsize == 8 else FLOAT64, *parameters)
    return parts.view(dtype).reshape(shape)


# ---------------------------------------------------------------------------------------------------- uniform


def _check_uniform(dtype: np.dtype, low: float, high: float) -> None:
    name, cpp = NAMES[dtype]
    largest = float(ml_dtypes.finfo(dtype).max)
    for bound, value in (("from", low), ("to", high)):
        if not -largest <= value <= largest:
            raise RuntimeError(f"{bound} is out of bounds for {cpp}")
    if low > high:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}")
    if high - low > largest:
        raise RuntimeError(
            f"uniform_ expects to-from <= std::numeric_limits<{name}>::max(), but found to={high:g} and from={low:g} "
            "which result in to-from to exceed the limit"
        )


def _scaled_floats(stream: MT19937Stream, count: int, start: np.floating, span: np.floating) -> np.ndarray:
    """``u * span + start`` in float32, rounded once: the product of two float32 is exact in float64."""
    out = np.empty(count, FLOAT32)
    unit = np.array(float(span) * 2.0**-24)
    offset = np.array(float(start))
    for begin in range(0, count, CHUNK):
        part = out[begin : begin + CHUNK]
        wide = np.bitwise_and(stream.raw(part.size), MASK24).view(np.int32).astype(FLOAT64)
        np.multiply(wide, unit, out=wide)
        np.add(wide, offset, out=wide)
        np.copyto(part, wide, casting="same_kind")
    return out


def _scaled_doubles(stream: MT19937Stream, count: int, low: float, span: float) -> np.ndarray:
    """``u * span + low`` in float64, rounded once."""
    out = unit_doubles(stream, count)
    for begin in range(0, count, CHUNK):
        part = out[begin : begin + CHUNK]
        part[:] = fused(part, span, low)
    return out


def uniform(stream: MT19937Stream, shape: Shape, dtype: np.dtype, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Uniform on [low, high), a floating-point or complex dtype; what is rounded up to ``high`` becomes ``low``."""
    if dtype.kind == "c":
        return _as_parts(uniform, stream, shape, dtype, low, high)
    require_dtype(dtype, FLOATS, "check_uniform_bounds")
    _check_uniform(dtype, low, high)
    count = size_of(shape)
    if low == 0 and high == 1:
        out = unit_doubles(stream, count) if dtype == FLOAT64 else unit_floats(stream, count)
        may_round_up = dtype in HALVES
    elif dtype == FLOAT64:
        out = _scaled_doubles(stream, count, low, high - low)
        may_round_up = fused(np.array([1 - 2.0**-53]), high - low, low)[0] == high
    else:
        start, stop = np.float32(low), np.float32(high)
        span = stop - start
        out = _scaled_floats(stream, count, start, span)
        may_round_up = dtype in HALVES or np.float32((1 - 2.0**-24) * float(span) + float(start)) == stop
    out = narrow(out, dtype)
    if may_round_up:
        top, bottom = (narrow(np.array(bound), dtype) for bound in (high, low))
        rounded_up = out == top
        if rounded_up.any():
            out[rounded_up] = bottom
    return out.reshape(shape)


# ----------------------------------------------------------------------------------------------------- normal

#: Up to so many numbers, the scalar path runs in Python floats: exactly the C library's functions, and no slower.
_FEW = 64


def one_by_one_normals(stream: MT19937Stream, count: int) -> np.ndarray:
    """Standard normal variates in float64, made in pairs of which the second may wait for the next call.

    From uniforms u1 and u2: ``sqrt(-2 log(1 - u2))`` times the cosine, then the sine, of ``2 pi u1``.
    """
    out = np.empty(count, FLOAT64)
    filled = 0
    if count and stream.next_normal is not None:
        out[0], stream.next_normal, filled = stream.next_normal, None, 1
    pairs = (count - filled + 1) // 2
    uniforms = unit_doubles(stream, 2 * pairs)
    if count <= _FEW:
        values: list[float] = []
        for u1, u2 in zip(*(iter(uniforms.tolist()),) * 2):
            radius, angle = math.sqrt(-2.0 * math.log1p(-u2)), 2.0 * math.pi * u1
            values += (radius * math.cos(angle), radius * math.sin(angle))
        both = np.array(values)
    else:
        both = uniforms
        for begin in range(0, both.size, CHUNK):
            part = both[begin : begin + CHUNK]
            radius = np.sqrt(-2.0 * np.log1p(-part[1::2]))
            angle = 2.0 * np.pi * part[0::2]
            np.multiply(radius, np.cos(angle), out=part[0::2])
            np.multiply(radius, np.sin(angle), out=part[1::2])
    out[filled:] = both[: count - filled]
    if both.size > count - filled:
        stream.next_normal = float(both[-1])
    return out


def _normal_blocks64(stream: MT19937Stream, count: int, mean: float, std: float) -> np.ndarray:
    """``box_muller.normal_fill`` in float64."""
    out = np.empty(count, FLOAT64)
    whole, rest = count - count % 16, count % 16
    for begin in range(0, whole, CHUNK):
        part = out[begin : min(begin + CHUNK, whole)]
        part[:] = _blocks_of_doubles(stream.raw(2 * part.size), mean, std)
    if rest:
        stream.raw(2 * rest)
        out[-16:] = _blocks_of_doubles(stream.raw(32), mean, std)
    return out


def _blocks_of_doubles(words: np.ndarray, mean: float, std: float) -> np.ndarray:
    uniforms = doubles_of(words).reshape(-1, 2, 8)
    radius = np.sqrt(-2.0 * np.log(1.0 - uniforms[:, 0]))
    angle = 2.0 * np.pi * uniforms[:, 1]
    np.multiply(radius, np.cos(angle), out=uniforms[:, 0])
    np.multiply(radius, np.sin(angle), out=uniforms[:, 1])
    return fused(uniforms.reshape(-1), std, mean)


def _check_std(std: float) -> None:
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")


def normal(
    stream: MT19937Stream, shape: Shape, dtype: np.dtype, mean: float = 0.0, std: float = 1.0, *, dense: bool = True
) -> np.ndarray:
    """Normal with the given mean and standard deviation, a floating-point or complex dtype.

    Sixteen numbers or more are made in blocks; fewer, or those of a tensor that is not contiguous (``dense`` false),
    one by one in float64. A complex number's parts have half of the variance each.
    """
    _check_std(std)
    count = size_of(shape)
    if count == 0:
        return np.empty(shape, dtype)
    if dtype.kind == "c":
        return _as_parts(partial(normal, dense=dense), stream, shape, dtype, mean, std / math.sqrt(2.0))
    require_dtype(dtype, FLOATS, "normal_kernel_cpu")
    if count < 16 or not dense:
        out = fused(one_by_one_normals(stream, count), std, mean)
    elif dtype == FLOAT64:
        out = _normal_blocks64(stream, count, mean, std)
    else:
        out = normal_fill(stream.raw, count, mean, std, skip_rest=dtype == FLOAT32)
    return narrow(out, dtype).reshape(shape)


def normal_around(stream: MT19937Stream, mean: np.ndarray | float, std: np.ndarray | float) -> np.ndarray:
    """``torch.normal`` with a mean, a standard deviation, or both, for each element.

    The result has the dtype of ``mean`` if that is an array, else of ``std``.
    """
    if isinstance(std, np.ndarray):
        if std.dtype.kind == "c":
            raise RuntimeError("normal expects standard deviation to be non-complex")
        if std.size and not std.min() >= 0:
            raise RuntimeError("normal expects all elements of std >= 0.0")
        dtype = mean.dtype if isinstance(mean, np.ndarray) else std.dtype
        out = normal(stream, np.broadcast_shapes(np.shape(mean), std.shape), dtype)
        out = narrow(out * std, dtype)
    else:
        assert isinstance(mean, np.ndarray)
        dtype = mean.dtype
        out = normal(stream, mean.shape, dtype, 0.0, std)
    return narrow(out + (mean if isinstance(mean, np.ndarray) else narrow(np.array(mean), dtype)), dtype)


def log_normal(stream: MT19937Stream, shape: Shape, dtype: np.dtype, mean: float = 1.0, std: float = 2.0) -> np.ndarray:
    """The exponential of normal variates, which are made one by one whatever their number."""
    if not std > 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std:g}")
    count = size_of(shape)
    if count == 0:
        return np.empty(shape, dtype)
    require_dtype(dtype, FLOATS, "log_normal_cpu")
    with np.errstate(over="ignore"):
        return narrow(np.exp(fused(one_by_one_normals(stream, count), std, mean)), dtype).reshape(shape)


# ------------------------------------------------------------------------------- other continuous distributions


def exponential(stream: MT19937Stream, shape: Shape, dtype: np.dtype, rate: float = 1.0) -> np.ndarray:
    """``-log(1 - u) / rate``."""
    if not rate > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={rate:g}")
    if size_of(shape) == 0:
        return np.empty(shape, dtype)
    if dtype not in FLOATS:
        name = NAMES[dtype][0]
        if not name.startswith("Float8"):
            raise RuntimeError(
                "Exponential distribution is a continuous probability distribution. dtype must be a floating point but "
                f"you specified {name}"
            )
        require_dtype(dtype, FLOATS, "exponential_cpu")
    with np.errstate(over="ignore"):
        return narrow((-1.0 / rate) * np.log1p(-unit_doubles(stream, size_of(shape))), dtype).reshape(shape)


def cauchy(stream: MT19937Stream, shape: Shape, dtype: np.dtype, median: float = 0.0, sigma: float = 1.0) -> np.ndarray:
    """``median + sigma * tan(pi (u - 1/2))``."""
    if not sigma > 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
    name, cpp = NAMES[dtype]
    if dtype not in FLOATS and not name.startswith("Float8"):
        raise RuntimeError(
            "Cauchy distribution is a continuous probability distribution. dtype must be a floating point but you "
            f"specified {cpp}"
        )
    if size_of(shape) == 0:
        return np.empty(shape, dtype)
    require_dtype(dtype, FLOATS, "cauchy_cpu")
    tangent = np.tan(np.pi * (unit_doubles(stream, size_of(shape)) - 0.5))
    with np.errstate(over="ignore"):
        return narrow(fused(tangent, sigma, median), dtype).reshape(shape)


def geometric(stream: MT19937Stream, shape: Shape, dtype: np.dtype, p: float) -> np.ndarray:
    """The number of trials up to the first success: ``ceil(log(u) / log(1 - p))``."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p:g}")
    if size_of(shape) == 0:
        return np.empty(shape, dtype)
    require_dtype(dtype, FLOATS | SIGNED_AND_BYTE, "geometric_cpu")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        trials = np.ceil(np.log(unit_doubles(stream, size_of(shape))) / math.log1p(-p))
        return narrow(trials, dtype).reshape(shape)


# ------------------------------------------------------------------------------------------------ whole numbers


def _remainders(words: np.ndarray, divisor: int) -> np.ndarray:
    """``words % divisor``, by a division that NumPy has vectorised."""
    by = words.dtype.type(divisor)
    if divisor & (divisor - 1) == 0:
        return np.bitwise_and(words, by - words.dtype.type(1))
    quotient = np.floor_divide(words, by)
    np.multiply(quotient, by, out=quotient)
    return np.subtract(words, quotient, out=quotient)


def _whole_as(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """64-bit whole numbers as another type, with C++'s wrapping."""
    return values.astype(bool) if dtype == BOOL else narrow(values, dtype)


def random_integers(stream: MT19937Stream, shape: Shape, dtype: np.dtype) -> np.ndarray:
    """``random_()``: from 0 to the largest whole number of the type, or through 2**24 and the like for floats."""
    count = size_of(shape)
    if count == 0:
        return np.empty(shape, dtype)
    require_dtype(dtype, FLOATS | SIGNED_AND_BYTE | {BOOL}, "random_kernel_cpu")
    if dtype in FLOATS:
        outcomes = (1 << DIGITS[dtype]) + 1
    else:
        outcomes = 2 if dtype == BOOL else int(np.iinfo(dtype).max) + 1
    wide = dtype in (FLOAT64, INT64)
    words = double_words(stream.raw(2 * count)) if wide else stream.raw(count)
    return _whole_as(_remainders(words, outcomes).astype(np.int64), dtype).reshape(shape)


def _through(value: int, dtype: np.dtype) -> int:
    """A 64-bit integer cast to a floating-point type and back, as x86 does it: what does not fit is the smallest."""
    with np.errstate(over="ignore"):
        cast = float(narrow(np.array(max(min(value, 2**63 - 1), -(2**63)), np.int64), dtype))
    return int(cast) if -(2.0**63) <= cast < 2.0**63 else -(2**63)


def _floor_of_log2(value: int) -> int:
    return max(abs(value).bit_length() - 1, 0)


def _representable_bounds(low: int, high: int | None, dtype: np.dtype) -> tuple[int, int | None]:
    """The bounds moved inwards to where a number that is rounded to ``dtype`` cannot leave them."""
    digits = DIGITS[dtype]
    above = _through(low + 1, dtype)
    if above < low:
        low = above + (1 << max(_floor_of_log2(low + 1) - digits + 1, 0))
    if high is not None:
        below = _through(high - 1, dtype)
        if below >= high:
            high = below - (1 << max(_floor_of_log2(high - 1) - digits + 1, 0))
    return low, high


def _check_whole_bounds(low: int, last: int, dtype: np.dtype) -> None:
    cpp = NAMES[dtype][1]
    if dtype in FLOATS:
        largest = float(ml_dtypes.finfo(dtype).max)
        least, most = -largest, largest
    elif dtype == UINT64:
        least, most = 0, 2**63 - 1
    elif dtype == BOOL:
        least, most = 0, 1
    else:
        least, most = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    for name, value in (("from", low), ("to - 1", last)):
        if not least <= value <= most:
            raise RuntimeError(f"{name} is out of bounds for {cpp}")
    if dtype in FLOATS:
        digits = DIGITS[dtype]
        for name, value in (("from", low), ("to - 1", last)):
            if abs(value) > 1 << digits:
                warnings.warn(
                    f"{name} is out of bounds [-(2^{digits}), 2^{digits}]. Due to precision limitations {cpp} can "
                    "support discrete uniform distribution only within this range. This warning will become an error "
                    "in version 1.7 release, please fix the code in advance",
                    UserWarning,
                    stacklevel=4,
                )


def _largest_whole(dtype: np.dtype) -> int:
    """The last number of an open-ended range."""
    if dtype in FLOATS:
        return 1 << DIGITS[dtype]
    if dtype == BOOL:
        return 1
    if dtype == UINT64:
        return -1  # its largest number as a signed one, which the check of bounds refuses
    return int(np.iinfo(dtype).max)


def randint(stream: MT19937Stream, shape: Shape, dtype: np.dtype, low: int, high: int | None) -> np.ndarray:
    """Whole numbers in [low, high), both of 64 bits; ``high`` None: through the largest number of the type.

    The word (or two, from a range of 2**28 on) modulo the range.
    """
    if high is None and low == -(2**63):
        return _all_integers(stream, shape, dtype)
    kind = "random_update_from_to" if high is not None else "random_from_to_range_calc"
    if high is not None and low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    whole = dtype in SIGNED_AND_BYTE or dtype in UNSIGNED or dtype == BOOL
    if not whole:
        if dtype.kind == "c":
            where = "check_random_bounds" if high is not None else "random_from_to_impl"
            raise RuntimeError(f"{where} handles only integral, floating-point and boolean types")
        require_dtype(dtype, FLOATS, kind)
        low, high = _representable_bounds(low, high, dtype)
        if high is not None and low >= high:
            raise RuntimeError(
                "random_ expects 'from' casted to dtype to be less than 'to' casted to dtype, but got "
                f"from={low} >= to={high}"
            )
        if high is None and low >= _largest_whole(dtype):
            raise RuntimeError(
                "random_ expects 'from' casted to dtype to be less than or equal to 'to_inc' casted to dtype, but got "
                f"from={low} > to_inc={_largest_whole(dtype)}"
            )
    last = _largest_whole(dtype) if high is None else high - 1
    _check_whole_bounds(low, last, dtype)
    count = size_of(shape)
    outcomes = last - low + 1
    if count <= CHUNK:
        return _bounded(stream, count, dtype, low, outcomes).reshape(shape)
    out = np.empty(count, dtype)
    for begin in range(0, count, CHUNK):
        part = out[begin : begin + CHUNK]
        part[:] = _bounded(stream, part.size, dtype, low, outcomes)
    return out.reshape(shape)


def _bounded(stream: MT19937Stream, count: int, dtype: np.dtype, low: int, outcomes: int) -> np.ndarray:
    """Whole numbers from ``low`` on, with so many outcomes."""
    if outcomes >= _WIDE_RANGE:
        values = _remainders(double_words(stream.raw(2 * count)), outcomes)
        np.add(values, np.uint64(low & 0xFFFFFFFFFFFFFFFF), out=values)
        values = values.view(np.int64)
    else:
        values = _remainders(stream.raw(count), outcomes).astype(np.int64)
        if low:
            np.add(values, np.int64(low), out=values)
    return _whole_as(values, dtype)


def _all_integers(stream: MT19937Stream, shape: Shape, dtype: np.dtype) -> np.ndarray:
    """``random_(-2**63, None)``: every integer of 64 bits."""
    count = size_of(shape)
    if count == 0:
        return np.empty(shape, dtype)
    kernel = "random_full_64_bits_range_kernel_cpu"
    require_dtype(dtype, SIGNED_AND_BYTE | {FLOAT64, FLOAT32, BFLOAT16}, kernel)
    if dtype not in (INT64, FLOAT64, FLOAT32, BFLOAT16):
        raise RuntimeError(f"{kernel} handles only int64, double, float and bfloat16")
    return _whole_as(double_words(stream.raw(2 * count)).view(np.int64), dtype).reshape(shape)


def randperm(stream: MT19937Stream, n: int, dtype: np.dtype = INT64) -> np.ndarray:
    """A permutation of ``0, ..., n - 1``."""
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")
    _check_permutation_dtype(n, dtype)
    if n >= _LONG_PERMUTATION:
        return narrow(shuffled_inside_out(lambda count: double_words(stream.raw(2 * count)), n), dtype)
    return narrow(shuffled(stream.raw(max(n - 1, 0)), n), dtype)


def _check_permutation_dtype(n: int, dtype: np.dtype) -> None:
    """Refuse a length that the dtype cannot count to, and the types that have no permutations."""
    limits = {FLOAT16: (2049, "2049"), FLOAT32: (2**24 + 1, "2^24+1"), FLOAT64: (2**53 + 1, "2^53+1")}
    if dtype in limits:
        limit, text = limits[dtype]
        if n > limit:
            raise RuntimeError(f"n cannot be greater than {text} for {NAMES[dtype][0]} type.")
    elif dtype.kind in "iu" and n - 1 > np.iinfo(dtype).max:
        raise RuntimeError(f"value cannot be converted to type {dtype.name}_t without overflow")
    require_dtype(dtype, FLOATS | SIGNED_AND_BYTE, "randperm")


# ---------------------------------------------------------------------------------------- bernoulli, dropout


def bernoulli(stream: MT19937Stream, shape: Shape, dtype: np.dtype, p: float | np.ndarray) -> np.ndarray:
    """Ones with probability ``p``, a number or an array that broadcasts to ``shape``, else zeros: ``u < p``.

    The uniform is of float64 where ``p`` is a number or of that type, else of float32.
    """
    if isinstance(p, np.ndarray):
        return _bernoulli_each(stream, shape, dtype, p)
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")
    count = size_of(shape)
    if count == 0:
        return np.empty(shape, dtype)
    require_dtype(dtype, FLOATS | SIGNED_AND_BYTE | {BOOL}, "bernoulli_scalar_cpu_")
    return _ones_below(stream, count, p).astype(dtype).reshape(shape)


def _ones_below(stream: MT19937Stream, count: int, p: float) -> np.ndarray:
    """Whether a float64 uniform is less than ``p``: a comparison of 53-bit whole numbers."""
    bound = np.uint64(math.ceil(p * 2.0**53))
    out = np.empty(count, bool)
    for start in range(0, count, CHUNK):
        part = out[start : start + CHUNK]
        bits = double_words(stream.raw(2 * part.size))
        np.bitwise_and(bits, MASK53, out=bits)
        np.less(bits, bound, out=part)
    return out


def _bernoulli_each(stream: MT19937Stream, shape: Shape, dtype: np.dtype, p: np.ndarray) -> np.ndarray:
    count = size_of(shape)
    if count == 0:
        return np.empty(shape, dtype)
    require_dtype(dtype, FLOATS | SIGNED_AND_BYTE | {BOOL}, "bernoulli_tensor_cpu_self_")
    require_dtype(p.dtype, FLOATS, "bernoulli_tensor_cpu_p_")
    draw, kind = (unit_doubles, FLOAT64) if p.dtype == FLOAT64 else (unit_floats, FLOAT32)
    each = np.broadcast_to(p, (shape,) if isinstance(shape, int) else tuple(shape)).reshape(-1).astype(kind)
    valid = (each >= 0) & (each <= 1)
    if not valid.all():
        draw(stream, int(valid.argmin()))  # what was drawn before the bad one was met
        raise RuntimeError(BAD_PROBABILITY)
    return (draw(stream, count) < each).astype(dtype).reshape(shape)


def dropout_mask(stream: MT19937Stream, shape: Shape, dtype: np.dtype, p: float) -> np.ndarray:
    """What dropout multiplies by: 0 with probability ``p``, else ``1 / (1 - p)`` rounded to ``dtype``.

    Nothing is drawn for ``p`` 0 or 1. Dropout of whole channels takes a mask of shape ``(N, C, 1, ...)``.
    """
    if not 0 <= p <= 1:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {p:g}")
    if p in (0, 1):
        return np.full(shape, 1 - p, dtype)
    if dtype.kind == "c":  # found out, as in PyTorch, where the mask is drawn
        require_dtype(dtype, FLOATS, "bernoulli_scalar_cpu_")
    kept = bernoulli(stream, shape, dtype, 1.0 - p)
    wide = FLOAT64.type if dtype == FLOAT64 else FLOAT32.type
    return kept * narrow(np.array(wide(1) / wide(1.0 - p)), dtype)


# ------------------------------------------------------------------------------------------------- multinomial


def exponential_race(stream: MT19937Stream, weights: np.ndarray, winners: int) -> np.ndarray:
    """The ``winners`` largest, in order, of ``weights / e`` along the last axis, with ``e`` exponential variates.

    Racing exponential clocks come in as a sample without replacement with probabilities proportional to the weights.
    """
    ratios = exponential(stream, weights.shape, weights.dtype)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratios = weights / ratios
    if winners == 1:
        return np.argmax(ratios, axis=-1, keepdims=True)
    losses = -narrow(ratios, FLOAT32) if ratios.dtype in HALVES else -ratios
    if winners * 8 > losses.shape[-1]:
        return np.argsort(losses, axis=-1, kind="stable")[..., :winners]
    ahead = np.sort(np.argpartition(losses, winners - 1, axis=-1)[..., :winners], axis=-1)
    order = np.argsort(np.take_along_axis(losses, ahead, -1), axis=-1, kind="stable")
    return np.take_along_axis(ahead, order, -1)


def _with_replacement(stream: MT19937Stream, weights: np.ndarray, samples: int) -> np.ndarray:
    """Inversion of the cumulative distribution of each row, which is summed in the weights' order and dtype."""
    rows = np.atleast_2d(narrow(weights, FLOAT32) if weights.dtype in HALVES else weights)
    bad = ~((rows >= 0) & np.isfinite(rows))
    if bad.any():
        entry = rows[bad][0]
        what = "= infinity or NaN" if entry >= 0 else "< 0"
        raise RuntimeError(f"invalid multinomial distribution (encountering probability entry {what})")
    cumulative = np.cumsum(rows, axis=-1, dtype=rows.dtype)
    if not (cumulative[:, -1] > 0).all():
        raise RuntimeError(ZERO_WEIGHTS)
    cumulative /= cumulative[:, -1:].copy()
    cumulative[:, -1] = 1
    uniforms = unit_doubles(stream, len(rows) * samples).reshape(len(rows), samples)
    out = np.empty(uniforms.shape, np.int64)
    for row, u, found in zip(cumulative.astype(FLOAT64, copy=False), uniforms, out):
        found[:] = np.searchsorted(row, u, side="left")
    return out if weights.ndim == 2 else out[0]


def multinomial(stream: MT19937Stream, weights: np.ndarray, samples: int, replacement: bool = False) -> np.ndarray:
    """``samples`` indices for each row, int64, drawn in proportion to the weights, a vector or a matrix of floats.

    Among categories whose ratios are equal, as those of zero weight are, the lower index is taken first.
    """
    if not 0 < weights.ndim <= 2:
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    name = NAMES[weights.dtype][0]
    if weights.dtype not in FLOATS and not name.startswith("Float8"):
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {name}")
    if samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    categories = weights.shape[-1]
    if not replacement and samples > categories:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    if categories > _MOST_CATEGORIES:
        raise RuntimeError("number of categories cannot exceed 2^24")
    if weights.shape[:-1] == (0,):
        return np.empty((0, samples), np.int64)
    race = not replacement or samples == 1
    require_dtype(weights.dtype, FLOATS, "aminmax_cpu" if race else "multinomial")
    if not race:
        return _with_replacement(stream, weights, samples)
    if categories == 0:
        raise RuntimeError(
            "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity."
        )
    if not (weights.max() < np.inf and weights.min() >= 0):
        raise RuntimeError(BAD_WEIGHTS)
    if (narrow(weights, FLOAT64).sum(axis=-1) == 0).any():
        raise RuntimeError(ZERO_WEIGHTS)
    return exponential_race(stream, weights, samples)
