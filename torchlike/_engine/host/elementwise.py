"""Host rules of the elementwise primitives: arithmetic, comparisons, bits, conversions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from torchlike._engine.host.base import (
    FLOAT16,
    FLOAT32,
    HALVES,
    RULES,
    NoRuleError,
    adapt,
    constant,
    dtype_of,
    fresh,
    identity,
    out_dtype,
    out_shape,
    rule,
    shape_of,
    through,
    ufunc_of,
    wide,
)

UFUNCS: dict[str, np.ufunc] = {
    "abs": np.absolute,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "add": np.add,
    "add_any": np.add,
    "and": np.bitwise_and,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "atanh": np.arctanh,
    "cbrt": np.cbrt,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "eq": np.equal,
    "exp": np.exp,
    "expm1": np.expm1,
    "floor": np.floor,
    "ge": np.greater_equal,
    "gt": np.greater,
    "is_finite": np.isfinite,
    "le": np.less_equal,
    "log": np.log,
    "log1p": np.log1p,
    "lt": np.less,
    "max": np.maximum,
    "min": np.minimum,
    "mul": np.multiply,
    "ne": np.not_equal,
    "neg": np.negative,
    "nextafter": np.nextafter,
    "not": np.invert,
    "or": np.bitwise_or,
    "shift_left": np.left_shift,
    "sign": np.sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "square": np.square,
    "sub": np.subtract,
    "tan": np.tan,
    "tanh": np.tanh,
    "xor": np.bitwise_xor,
}
"""Primitives that mean what a ufunc means, on every dtype that both have."""

BROADCASTING = frozenset(UFUNCS) | {"div", "rem", "pow", "clamp", "select_n", "complex"}
"""Primitives whose callables broadcast as NumPy does, so that an operand may come in a narrower shape."""


def _ufunc_rule(ufunc: np.ufunc) -> Callable[[Any], Callable]:
    return lambda eqn: ufunc_of(eqn, ufunc)


RULES.update({name: _ufunc_rule(ufunc) for name, ufunc in UFUNCS.items()})


# Arithmetic


@rule("div")
def _div(eqn: Any) -> Callable:
    """Division; of integers towards zero, with -1 (all bits set) for a division by zero."""
    dtype = dtype_of(eqn)
    if dtype.kind not in "iu":
        return ufunc_of(eqn, np.true_divide)
    zero, all_bits = constant(0, dtype), constant(-1 if dtype.kind == "i" else np.iinfo(dtype).max, dtype)

    def unsigned(x: Any, y: Any) -> Any:
        return np.where(np.equal(y, zero), all_bits, np.floor_divide(x, y))

    def signed(x: Any, y: Any) -> Any:
        quotient = np.floor_divide(x, y)
        inexact = np.not_equal(np.multiply(quotient, y), x)
        quotient = np.add(quotient, inexact & np.not_equal(np.less(x, zero), np.less(y, zero)), dtype=dtype)
        return np.where(np.equal(y, zero), all_bits, quotient)

    return fresh(signed if dtype.kind == "i" else unsigned)


@rule("rem")
def _rem(eqn: Any) -> Callable:
    """Remainder with the sign of the dividend; the dividend itself for an integer remainder by zero."""
    dtype = dtype_of(eqn)
    if dtype.kind not in "iu":
        return ufunc_of(eqn, np.fmod)
    zero = constant(0, dtype)
    return fresh(lambda x, y: np.where(np.equal(y, zero), x, np.fmod(x, y)))


@rule("pow")
def _pow(eqn: Any) -> Callable:
    base, exponent = dtype_of(eqn, 0), dtype_of(eqn, 1)
    if base in HALVES:
        return through(FLOAT32, np.power, base)
    if base == exponent:
        return np.power
    return fresh(lambda x, y: np.power(x, y.astype(base)))


@rule("integer_pow")
def _integer_pow(eqn: Any) -> Callable:
    """Power by repeated multiplication; of the reciprocal for a negative exponent."""
    dtype, exponent = dtype_of(eqn), int(eqn.params["y"])
    if exponent == 2 and dtype not in HALVES:
        return np.square
    if exponent == 1:
        return identity
    return adapt(eqn, _POWERS.get(exponent) or _repeated_squaring(exponent, constant(1, wide(dtype))))


_POWERS: dict[int, Callable] = {
    -1: np.reciprocal,
    2: np.square,
    3: fresh(lambda x: np.multiply(np.square(x), x)),
    4: fresh(lambda x: np.square(np.square(x))),
}


def _repeated_squaring(exponent: int, one: np.ndarray) -> Callable:
    def call(x: Any) -> Any:
        result, factor, left = None, x, abs(exponent)
        while left:
            if left & 1:
                result = factor if result is None else np.multiply(result, factor)
            left >>= 1
            if left:
                factor = np.square(factor)
        if result is None:
            return np.full(x.shape, one)
        return np.divide(one, result) if exponent < 0 else result

    return fresh(call)


@rule("rsqrt")
def _rsqrt(eqn: Any) -> Callable:
    one = constant(1, wide(dtype_of(eqn)))
    if out_shape(eqn) == ():
        return adapt(eqn, fresh(lambda x: np.divide(one, np.sqrt(x))))

    def call(x: Any) -> Any:
        root = np.sqrt(x)
        return np.divide(one, root, root)

    return adapt(eqn, fresh(call))


@rule("exp2")
def _exp2(eqn: Any) -> Callable:
    if dtype_of(eqn).kind != "c":
        return ufunc_of(eqn, np.exp2)
    log2 = constant(np.log(2.0), dtype_of(eqn))
    return fresh(lambda x: np.exp(np.multiply(x, log2)))


@rule("logistic")
def _logistic(eqn: Any) -> Callable:
    one = constant(1, wide(dtype_of(eqn)))
    if out_shape(eqn) == ():
        return adapt(eqn, fresh(lambda x: np.divide(one, np.add(one, np.exp(np.negative(x))))))

    def call(x: Any) -> Any:
        y = np.negative(x)
        np.exp(y, y)
        np.add(y, one, y)
        return np.divide(one, y, y)

    return adapt(eqn, fresh(call))


@rule("round")
def _round(eqn: Any) -> Callable:
    """Rounding; halves go away from zero or to the even neighbour."""
    if int(eqn.params["rounding_method"]) == 1:
        return ufunc_of(eqn, np.rint)
    half = constant(0.5, wide(dtype_of(eqn)))

    def away(x: Any) -> Any:
        whole = np.trunc(x)
        return np.where(np.abs(x - whole) >= half, whole + np.sign(x), whole)

    return adapt(eqn, fresh(away))


@rule("clamp")
def _clamp(eqn: Any) -> Callable:
    maximum, minimum = np.maximum, np.minimum
    return fresh(lambda low, x, high: minimum(maximum(x, low), high))


# Choices


@rule("select_n")
def _select_n(eqn: Any) -> Callable:
    """One of the cases for each element; with a Boolean selector the first case is the one for False."""
    where = np.where
    if len(eqn.invars) == 2:
        return lambda which, case: case
    if len(eqn.invars) == 3:
        if shape_of(eqn, 0) == () and out_shape(eqn) != ():
            return lambda which, no, yes: yes if which else no
        return fresh(lambda which, no, yes: where(which, yes, no))
    last = len(eqn.invars) - 2

    def call(which: Any, *cases: Any) -> Any:
        result = cases[last]
        for position in range(last - 1, -1, -1):
            result = where(np.less_equal(which, position), cases[position], result)
        return result

    return fresh(call)


# Bits


@rule("shift_right_logical", "shift_right_arithmetic")
def _shift_right(eqn: Any) -> Callable:
    """A shift that fills with zeros, or with the highest bit, whatever the sign of the dtype says."""
    dtype, kind = dtype_of(eqn), "u" if eqn.primitive.name == "shift_right_logical" else "i"
    if dtype.kind == kind:
        return np.right_shift
    bits = np.dtype(f"{kind}{dtype.itemsize}")
    return fresh(lambda x, y: np.right_shift(x.view(bits), y.view(bits)).view(dtype))


@rule("population_count")
def _population_count(eqn: Any) -> Callable:
    dtype = dtype_of(eqn)
    bits = np.dtype(f"u{dtype.itemsize}")  # NumPy counts the bits of the absolute value
    return fresh(lambda x: np.bitwise_count(x.view(bits)).astype(dtype))


@rule("clz")
def _clz(eqn: Any) -> Callable:
    """Number of leading zero bits: the width less the number of bits once every bit below the highest is set."""
    dtype = dtype_of(eqn)
    width, bits = 8 * dtype.itemsize, np.dtype(f"u{dtype.itemsize}")

    def call(x: Any) -> Any:
        filled, shift = x.view(bits), 1
        while shift < width:
            filled = np.bitwise_or(filled, np.right_shift(filled, constant(shift, bits)))
            shift *= 2
        return np.subtract(constant(width, np.dtype("u1")), np.bitwise_count(filled)).astype(dtype)

    return fresh(call)


@rule("mulhi")
def _mulhi(eqn: Any) -> Callable:
    """The high half of the double-width product."""
    dtype = dtype_of(eqn)
    width = 8 * dtype.itemsize
    if width == 64:
        raise NoRuleError("no integer of 128 bits")
    double = np.dtype(f"{dtype.kind}{2 * dtype.itemsize}")
    shift = constant(width, double)
    return fresh(lambda x, y: np.right_shift(np.multiply(x, y, dtype=double), shift).astype(dtype))


@rule("reduce_precision")
def _reduce_precision(eqn: Any) -> Callable:
    """Rounding to fewer exponent and mantissa bits, ties to even; subnormals to zero, what is too large to infinity."""
    dtype = dtype_of(eqn)
    exponent_bits, mantissa_bits = int(eqn.params["exponent_bits"]), int(eqn.params["mantissa_bits"])
    if dtype in HALVES:
        if (exponent_bits, mantissa_bits) == ((5, 10) if dtype == FLOAT16 else (8, 7)):
            return identity
        raise NoRuleError("reduce_precision of a 16-bit float")
    info = np.finfo(dtype)
    bits = np.dtype(f"u{dtype.itemsize}")
    dropped = max(info.nmant - mantissa_bits, 0)
    half, one = constant((1 << dropped) >> 1, bits), constant(1, bits)
    keep, shift = constant((1 << 8 * dtype.itemsize) - (1 << dropped), bits), constant(dropped, bits)
    bias = (1 << (exponent_bits - 1)) - 1
    narrow = exponent_bits < info.nexp
    least = constant(2.0 ** (1 - bias) if narrow else 0, dtype)
    most = constant((2.0 - 2.0**-mantissa_bits) * 2.0**bias if narrow else info.max, dtype)

    def call(x: Any) -> Any:
        word = x.view(bits)
        if dropped:
            odd = np.bitwise_and(np.right_shift(word, shift), one)
            word = np.bitwise_and(np.add(word, np.subtract(np.add(half, odd), one)), keep)
        rounded = word.view(dtype)
        size = np.abs(rounded)
        rounded = np.where(size > most, np.copysign(np.inf, x).astype(dtype), rounded)
        rounded = np.where(size < least, np.copysign(np.zeros((), dtype), x), rounded)
        return np.where(np.isnan(x), x, rounded)

    return fresh(call)


# Conversions


@rule("convert_element_type")
def _convert(eqn: Any) -> Callable:
    source, target = dtype_of(eqn), out_dtype(eqn)
    if source == target:
        return identity
    if target.kind == "b":
        zero = constant(0, source)
        return fresh(lambda x: np.not_equal(x, zero))
    if source.kind == "c" and target.kind != "c":
        part = np.dtype(f"f{source.itemsize // 2}")
        finish = identity if part == target else _cast(part, target)
        return lambda x: finish(x.real)
    return _cast(source, target)


def _cast(source: np.dtype, target: np.dtype) -> Callable:
    if target.kind in "iu" and source.kind not in "iub":
        return _saturating(source, target)
    if target in HALVES and source == np.float64:  # through float32, as the compiled tier rounds
        return fresh(lambda x: x.astype(FLOAT32).astype(target))
    return fresh(lambda x: x.astype(target))


def _saturating(source: np.dtype, target: np.dtype) -> Callable:
    """From a float to an integer towards zero: values out of range become the nearest bound, NaN becomes 0."""
    info = np.iinfo(target)
    floats = wide(source)
    lowest, highest, zero = constant(info.min, target), constant(info.max, target), constant(0, target)
    # The bound above is a power of two, which every float holds exactly. The bound below is open: min - 1 where float32
    # can tell it from min; else min itself, which then counts as out of range and is put right with what lies below.
    above = constant(float(info.max) + 1, floats)
    below = constant(float(info.min) - (1 if info.bits <= 16 else 0), floats)

    def call(x: Any) -> Any:
        x = x.astype(floats, copy=False)
        inside = np.logical_and(np.less(x, above), np.greater(x, below))
        if inside.all():
            return x.astype(target)
        result = np.where(inside, x, constant(0, floats)).astype(target)
        result = np.where(np.less_equal(x, below), lowest, result)
        return np.where(np.greater_equal(x, above), highest, np.where(np.isnan(x), zero, result))

    return fresh(call)


@rule("bitcast_convert_type")
def _bitcast(eqn: Any) -> Callable:
    source, target, shape = dtype_of(eqn), out_dtype(eqn), out_shape(eqn)
    if source.itemsize == target.itemsize:
        return lambda x: x.view(target)
    if source.kind == "b" or target.kind == "b":
        raise NoRuleError("bits of a bool")
    return lambda x: np.frombuffer(np.ascontiguousarray(x).tobytes(), target).reshape(shape)


# Complex numbers


@rule("complex")
def _complex(eqn: Any) -> Callable:
    dtype, shape = out_dtype(eqn), out_shape(eqn)

    def call(real: Any, imaginary: Any) -> Any:
        out = np.empty(shape, dtype)
        out.real = real
        out.imag = imaginary
        return out

    return fresh(call)


@rule("real")
def _real(eqn: Any) -> Callable:
    return lambda x: x.real


@rule("imag")
def _imag(eqn: Any) -> Callable:
    return lambda x: x.imag


@rule("conj")
def _conj(eqn: Any) -> Callable:
    source, target = dtype_of(eqn), out_dtype(eqn)
    return np.conjugate if source == target else fresh(lambda x: np.conjugate(x).astype(target))
