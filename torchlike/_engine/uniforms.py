"""What the distributions are made of: uniform numbers from a stream of words, and the dtypes as PyTorch names them.

A float32 uniform takes one word, of which it keeps 24 bits; a float64 one takes two, the first for the high half, and
keeps 53 bits. Half-precision types go through float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from torchlike._engine.mt19937 import MT19937Stream

Shape = int | Sequence[int]

FLOAT16, BFLOAT16 = np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
BOOL, INT64, UINT64 = np.dtype(np.bool_), np.dtype(np.int64), np.dtype(np.uint64)
HALVES = frozenset({FLOAT16, BFLOAT16})
FLOATS = HALVES | {FLOAT32, FLOAT64}
SIGNED_AND_BYTE = frozenset(np.dtype(t) for t in (np.uint8, np.int8, np.int16, np.int32, np.int64))
UNSIGNED = frozenset(np.dtype(t) for t in (np.uint16, np.uint32, np.uint64))

#: Bits of precision, the leading one included.
DIGITS = {FLOAT64: 53, FLOAT32: 24, FLOAT16: 11, BFLOAT16: 8}

#: What PyTorch's messages call each dtype: its own name for it, and the C++ type's.
NAMES = {
    np.dtype(numpy_type): (name, cpp)
    for numpy_type, name, cpp in [
        (np.float64, "Double", "double"), (np.float32, "Float", "float"), (np.float16, "Half", "c10::Half"),
        (ml_dtypes.bfloat16, "BFloat16", "c10::BFloat16"), (np.complex64, "ComplexFloat", "c10::complex<float>"),
        (np.complex128, "ComplexDouble", "c10::complex<double>"), (np.int64, "Long", "long int"),
        (np.int32, "Int", "int"), (np.int16, "Short", "short int"), (np.int8, "Char", "signed char"),
        (np.uint8, "Byte", "unsigned char"), (np.uint16, "UInt16", "short unsigned int"),
        (np.uint32, "UInt32", "unsigned int"), (np.uint64, "UInt64", "long unsigned int"), (np.bool_, "Bool", "bool"),
        (ml_dtypes.float8_e4m3fn, "Float8_e4m3fn", "c10::Float8_e4m3fn"),
        (ml_dtypes.float8_e5m2, "Float8_e5m2", "c10::Float8_e5m2"),
        (ml_dtypes.float8_e4m3fnuz, "Float8_e4m3fnuz", "c10::Float8_e4m3fnuz"),
        (ml_dtypes.float8_e5m2fnuz, "Float8_e5m2fnuz", "c10::Float8_e5m2fnuz"),
        (ml_dtypes.float8_e8m0fnu, "Float8_e8m0fnu", "c10::Float8_e8m0fnu"),
    ]
}  # fmt: skip

#: Numbers made at a time, so that what is between the words and the result stays in a core's cache.
CHUNK = 1 << 15

MASK24 = np.array(0xFFFFFF, np.uint32)
_UNIT24 = np.array(2.0**-24, FLOAT32)
MASK53 = np.array(2**53 - 1, np.uint64)
_UNIT53 = np.array(2.0**-53)
_32 = np.array(32, np.uint64)


def type_label(dtype: np.dtype) -> str:
    """PyTorch's own name for a dtype, as its messages have it: ``Float``, ``Long``."""
    return NAMES[dtype][0]


def require_dtype(dtype: np.dtype, allowed: frozenset[np.dtype], kernel: str) -> None:
    """NotImplementedError, in PyTorch's words, unless ``kernel`` is defined for the dtype."""
    if dtype not in allowed:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{type_label(dtype)}'")


def size_of(shape: Shape) -> int:
    return shape if isinstance(shape, int) else math.prod(shape)


def narrow(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Numbers as ``dtype``; half-precision types are reached through float32, as in C++."""
    if dtype in HALVES:
        values = values.astype(FLOAT32, copy=False)
    return values.astype(dtype, copy=False)


def unit_floats(stream: MT19937Stream, count: int) -> np.ndarray:
    """Uniform on [0, 1) in float32."""
    out = np.empty(count, FLOAT32)
    for start in range(0, count, CHUNK):
        part = out[start : start + CHUNK]
        bits = np.bitwise_and(stream.raw(part.size), MASK24)
        np.copyto(part, bits.view(np.int32), casting="unsafe")
        np.multiply(part, _UNIT24, out=part)
    return out


def double_words(words: np.ndarray) -> np.ndarray:
    """Pairs of words as 64-bit numbers, the first word of each the high half."""
    pairs = words.view(np.uint64)  # little-endian: the first word is the low half
    return np.bitwise_or(np.left_shift(pairs, _32), np.right_shift(pairs, _32))


def doubles_of(words: np.ndarray) -> np.ndarray:
    """Uniform on [0, 1) in float64, from an even number of words."""
    bits = double_words(words)
    np.bitwise_and(bits, MASK53, out=bits)
    return np.multiply(bits.view(np.int64), _UNIT53)


def unit_doubles(stream: MT19937Stream, count: int) -> np.ndarray:
    """``count`` numbers, uniform on [0, 1), in float64."""
    if count <= CHUNK:
        return doubles_of(stream.raw(2 * count))
    out = np.empty(count, FLOAT64)
    for start in range(0, count, CHUNK):
        part = out[start : start + CHUNK]
        part[:] = doubles_of(stream.raw(2 * part.size))
    return out


def _split(x: Any) -> tuple[Any, Any]:
    """Veltkamp's splitting of float64 numbers into two halves of at most 27 bits each."""
    t = x * 134217729.0
    high = t - (t - x)
    return high, x - high


def fused(x: np.ndarray, factor: float, addend: float) -> np.ndarray:
    """``x * factor + addend`` in float64, rounded once (product by Dekker, sum by Knuth, both with their errors)."""
    if addend == 0 or factor == 1 or not abs(factor) < 1e290:
        return x * factor + addend
    product = x * factor
    (x_high, x_low), (f_high, f_low) = _split(x), _split(factor)
    error = ((x_high * f_high - product) + x_high * f_low + x_low * f_high) + x_low * f_low
    total = product + addend
    back = total - product
    error += (product - (total - back)) + (addend - back)
    return total + error
