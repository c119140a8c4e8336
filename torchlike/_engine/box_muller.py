"""Normal variates in float32, bit for bit those of PyTorch's vectorised kernel.

Box and Muller: from uniforms ``u1`` in (0, 1] and ``u2`` in [0, 1), the numbers ``r cos t`` and ``r sin t`` with
``r = sqrt(-2 log u1)`` and ``t = 2 pi u2`` are normal and independent. In every block of sixteen uniforms the first
eight are ``1 - u1``, the last eight ``u2``; the cosines take the place of the former, the sines of the latter.

On processors with AVX2 PyTorch evaluates log, sin and cos by the float32 polynomials of the Cephes library (S. Moshier,
1984), compiled to fused multiply-adds. A library's ``np.log`` would differ from them in the last bit of one number in
seven, so they are evaluated here, each fused step as a float64 product and sum rounded to float32. (The product of two
float32 is exact in float64, and the sum's own rounding makes a difference once in some 2**28 steps.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_f32 = np.float32

# Constants are arrays without dimensions, which cost a ufunc less than scalars do.


def _coefficients(*values: float) -> tuple[np.ndarray, ...]:
    """Constants of the float32 kernel, in the float64 they are used in."""
    return tuple(np.array(_f32(v), np.float64) for v in values)


def _narrow(value: float) -> np.ndarray:
    return np.array(value, _f32)


def _whole(value: int) -> np.ndarray:
    return np.array(value, np.int32)


# log(1 + x) = x - x**2 / 2 + x**3 P(x) for 1 + x in [sqrt(1/2), sqrt(2))
_LOG = _coefficients(
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
    2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
_LOG2_LOW, _LOG2_HIGH = _narrow(-2.12194440e-4), _narrow(0.693359375)  # their sum is log 2
_SQRT_HALF_BITS = _narrow(0.707106781186547524).view(np.int32)

# cos x = 1 - x**2 / 2 + x**4 C(x**2) and sin x = x + x**3 S(x**2) for |x| <= pi/4
_COS = _coefficients(2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_SIN = _coefficients(-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_FOUR_OVER_PI = _narrow(1.27323954473516)
_ANGLE_UNIT = _narrow(_f32(2 * np.pi) * 2**-24)
# pi/4 in three parts, subtracted one after the other. The first two are short, so that both steps are exact in float64.
_PI_4 = _coefficients(-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8)
_PI_4_HIGH, _PI_4_LOW = np.array(_PI_4[0] + _PI_4[1]), _PI_4[2]

_ZERO, _ONE, _HALF, _MINUS_HALF, _MINUS_TWO, _BITS = (_narrow(v) for v in (0, 1, 0.5, -0.5, -2, 24))
_I1, _I2, _I4, _EVEN, _MANTISSA, _SIGN = (_whole(v) for v in (1, 2, 4, -2, 23, 29))
_UNIFORM_MASK, _UNIFORM_RANGE = _whole(0xFFFFFF), _whole(1 << 24)  # a uniform is 24 low bits of a word, times 2**-24

#: Numbers made at a time: few enough for the scratch to stay in the cache of a core.
_CHUNK = 1 << 16

#: Eight float32 as one item: NumPy moves these between the halves of a block faster than single numbers.
_OCTET = np.dtype("V32")


_HALF_UNIT, _FLOAT32_BITS = np.array(1 << 28, np.int64), np.array(-1 << 29, np.int64)


def _round(bits: np.ndarray) -> None:
    """Round float64 numbers to what float32 holds, on their bits.

    Ties go away from zero instead of to even. For the arguments that occur, 2**24 angles and as many radii, this makes
    no difference in the end, as a run through all of them showed.
    """
    np.add(bits, _HALF_UNIT, out=bits)
    np.bitwise_and(bits, _FLOAT32_BITS, out=bits)


def _polynomial(coefficients: tuple[np.ndarray, ...], x: np.ndarray, wide: np.ndarray, y: np.ndarray) -> None:
    """Horner's rule in fused steps: ``y``, float32, becomes the polynomial's value at ``x``, float64."""
    first, *between, last = coefficients
    bits = wide.view(np.int64)
    np.multiply(x, first, out=wide)
    for coefficient in between:
        np.add(wide, coefficient, out=wide)
        _round(bits)
        np.multiply(wide, x, out=wide)
    np.add(wide, last, out=wide)
    np.copyto(y, wide, casting="same_kind")


def _fused(y: np.ndarray, factor: np.ndarray, addend: np.ndarray, wide: np.ndarray) -> None:
    """``y = y * factor + addend``, rounded once. ``y`` is float32, ``factor`` and the scratch ``wide`` float64."""
    np.copyto(wide, y)
    np.multiply(wide, factor, out=wide)
    np.add(wide, addend, out=wide)
    np.copyto(y, wide, casting="same_kind")


class _Work:
    """Scratch for a number of pairs: ``k`` for whole numbers, five rows of float32, three of float64."""

    def __init__(self, pairs: int):
        self.k = np.empty(pairs, np.int32)
        self.narrow = np.empty((5, pairs), _f32)
        self.wide = np.empty((3, pairs), np.float64)


def _radius(work: _Work) -> np.ndarray:
    """``sqrt(-2 log(1 - k / 2**24))`` in the first row of float32; overwrites ``k`` and three rows more."""
    k = work.k
    y, x, z, e, _ = work.narrow
    wide, x_wide, z_wide = work.wide
    # 2**24 (1 - u) = (1 + x) 2**exponent; the split is done on the bits of the whole number as a float32
    np.subtract(_UNIFORM_RANGE, k, out=k)
    np.copyto(x, k, casting="unsafe")
    bits, exponent = x.view(np.int32), k
    np.subtract(bits, _SQRT_HALF_BITS, out=exponent)
    np.right_shift(exponent, _MANTISSA, out=exponent)
    np.copyto(e, exponent, casting="unsafe")
    np.left_shift(exponent, _MANTISSA, out=exponent)
    np.subtract(bits, exponent, out=bits)
    np.subtract(x, _ONE, out=x)
    np.subtract(e, _BITS, out=e)
    np.multiply(x, x, out=z)
    np.copyto(x_wide, x)
    np.copyto(z_wide, z)

    _polynomial(_LOG, x_wide, wide, y)
    np.multiply(y, x, out=y)
    low = k.view(_f32)
    np.multiply(e, _LOG2_LOW, out=low)
    _fused(y, z_wide, low, wide)
    np.multiply(z, _HALF, out=z)
    np.subtract(y, z, out=y)
    np.add(y, x, out=y)
    np.multiply(e, _LOG2_HIGH, out=e)
    np.add(y, e, out=y)

    np.multiply(y, _MINUS_TWO, out=y)
    return np.sqrt(y, out=y)


def _cos_sin(work: _Work) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine of ``2 pi k / 2**24`` in the last rows of float32; overwrites ``k``, spares the first row."""
    k = work.k
    _, x, z, c, s = work.narrow
    wide, x_wide, z_wide = work.wide
    np.copyto(x, k, casting="unsafe")
    np.multiply(x, _ANGLE_UNIT, out=x)
    # the nearest even octant; the angle less that
    octant = k
    np.multiply(x, _FOUR_OVER_PI, out=z)
    np.copyto(octant, z, casting="unsafe")
    np.add(octant, _I1, out=octant)
    np.bitwise_and(octant, _EVEN, out=octant)
    np.copyto(z_wide, octant)
    for part in (_PI_4_HIGH, _PI_4_LOW):
        np.copyto(x_wide, x)
        np.multiply(z_wide, part, out=wide)
        np.add(x_wide, wide, out=x_wide)
        np.copyto(x, x_wide, casting="same_kind")
    np.copyto(x_wide, x)
    np.multiply(x, x, out=z)
    np.copyto(z_wide, z)

    _polynomial(_SIN, z_wide, wide, s)
    np.multiply(s, z, out=s)
    _fused(s, x_wide, x, wide)
    _polynomial(_COS, z_wide, wide, c)
    np.multiply(c, z, out=c)
    half = x
    np.multiply(z, _MINUS_HALF, out=half)
    _fused(c, z_wide, half, wide)
    np.add(c, _ONE, out=c)

    # octants 2 and 6 swap the two; the cosine is negative in 2 and 4, the sine in 4 and 6
    cos_bits, sin_bits, swap, flag = c.view(np.int32), s.view(np.int32), z.view(np.int32), x.view(np.int32)
    np.bitwise_and(octant, _I2, out=flag)
    np.right_shift(flag, _I1, out=flag)
    np.negative(flag, out=flag)
    np.bitwise_xor(cos_bits, sin_bits, out=swap)
    np.bitwise_and(swap, flag, out=swap)
    np.bitwise_xor(cos_bits, swap, out=cos_bits)
    np.bitwise_xor(sin_bits, swap, out=sin_bits)
    for target in (sin_bits, cos_bits):
        np.bitwise_and(octant, _I4, out=flag)
        np.left_shift(flag, _SIGN, out=flag)
        np.bitwise_xor(target, flag, out=target)
        np.add(octant, _I2, out=octant)
    return c, s


def _fill(out: np.ndarray, words: np.ndarray, mean: np.ndarray, std: np.ndarray, work: _Work) -> None:
    """Normal variates into ``out``, sixteen from every sixteen words."""
    first, second = words.view(_OCTET)[0::2], words.view(_OCTET)[1::2]
    octets, whole = out.view(_OCTET), work.k.view(_OCTET)
    whole[:] = first
    np.bitwise_and(work.k, _UNIFORM_MASK, out=work.k)
    radius = _radius(work)
    whole[:] = second
    np.bitwise_and(work.k, _UNIFORM_MASK, out=work.k)
    for offset, values in enumerate(_cos_sin(work)):
        np.multiply(values, radius, out=values)
        if std == 1 and mean == 0:
            np.add(values, _ZERO, out=values)  # turns -0 into 0, as the fused step does
        else:
            _fused(values, std, mean, work.wide[0])
        octets[offset::2] = values.view(_OCTET)


def normal_fill(
    draw: Callable[[int], np.ndarray], count: int, mean: float, std: float, skip_rest: bool = True
) -> np.ndarray:
    """Normal variates by whole blocks. Where the count is no multiple of sixteen, the last sixteen are drawn anew.

    Args:
        draw: gives the next so many words, uint32.
        count: at least sixteen.
        mean, std: rounded to float32.
        skip_rest: whether the numbers after the last whole block take words too before they are drawn anew. PyTorch's
            kernel for float32 fills its whole array with uniforms first; those for half precision go block by block.

    Returns:
        float32, ``count`` numbers.
    """
    out = np.empty(count, _f32)
    mean64, std64 = _coefficients(mean, std)
    whole, rest = count - count % 16, count % 16
    work = _Work(min(whole, _CHUNK) // 2)
    start = 0
    while whole - start >= _CHUNK:
        _fill(out[start : start + _CHUNK], draw(_CHUNK), mean64, std64, work)
        start += _CHUNK
    words = draw(whole - start)
    if rest:
        draw(rest if skip_rest else 0)
        words = np.concatenate((words, draw(16)))
    if words.size:
        final = np.empty(words.size, _f32)
        _fill(final, words, mean64, std64, _Work(words.size // 2))
        out[start:whole] = final[: whole - start]
        if rest:
            out[-16:] = final[-16:]
    return out
