"""Functions of each element alone: roots, exponentials, trigonometry, rounding, signs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jax import lax
from jax import numpy as jnp

from torchlike._ops.bodies import choose, constant, kind, signs, type_name_of, with_slopes
from torchlike._ops.op import Number, Promote, composite, op, pointwise
from torchlike._tensor import dtypes

_TO_FLOAT = Promote.INT_TO_FLOAT
_SPECIAL = ("torch", "Tensor", "special")


# Roots, exponentials and logarithms.


@pointwise(_TO_FLOAT, inplace=True)
def sqrt(input, *, out=None):
    """The square root of each element."""
    return lax.sqrt(input)


_rsqrt = with_slopes(lax.rsqrt, lambda y, x: (lax.mul(constant(y, -0.5), lax.mul(y, lax.mul(y, y))),))


@pointwise(_TO_FLOAT, inplace=True)
def rsqrt(input, *, out=None):
    """One over the square root of each element."""
    return _rsqrt(input)


@op(inplace=True, node="PowBackward0", recompute=True)
def square(input, *, out=None):
    """The square of each element; of bool as int64."""
    if input.dtype == np.bool_:
        return lax.convert_element_type(input, np.int64)
    return lax.mul(input, input)


@pointwise(_TO_FLOAT, inplace=True)
def exp(input, *, out=None):
    """e to the power of each element."""
    return lax.exp(input)


@pointwise(_TO_FLOAT, inplace=True, namespaces=_SPECIAL)
def exp2(input, *, out=None):
    """Two to the power of each element."""
    return lax.exp2(input)


@pointwise(_TO_FLOAT, inplace=True, namespaces=_SPECIAL)
def expm1(input, *, out=None):
    """e to the power of each element, less one, exact for small elements."""
    return lax.expm1(input)


@pointwise(_TO_FLOAT, inplace=True)
def log(input, *, out=None):
    """The natural logarithm of each element."""
    return lax.log(input)


def _log_to(x: Any, base: float) -> Any:
    """The logarithm to another base; worked out in double precision so that powers of the base come out whole."""
    if kind(x) == "c":
        return lax.div(lax.log(x), constant(x, math.log(base)))
    wide = lax.log(lax.convert_element_type(x, np.float64))
    return lax.convert_element_type(lax.mul(wide, np.float64(1 / math.log(base))), x.dtype)


@pointwise(_TO_FLOAT, inplace=True)
def log2(input, *, out=None):
    """The logarithm of each element to the base two."""
    return _log_to(input, 2)


@pointwise(_TO_FLOAT, inplace=True)
def log10(input, *, out=None):
    """The logarithm of each element to the base ten."""
    return _log_to(input, 10)


@pointwise(_TO_FLOAT, inplace=True, namespaces=_SPECIAL)
def log1p(input, *, out=None):
    """The natural logarithm of one plus each element, exact for small elements."""
    return lax.log1p(input)


@pointwise(_TO_FLOAT, inplace=True)
def sigmoid(input, *, out=None):
    """The logistic function, ``out_i = 1 / (1 + exp(-input_i))``."""
    return lax.logistic(input)


composite(namespaces=("special",), name="expit")(sigmoid)


# Trigonometry.


@pointwise(_TO_FLOAT, inplace=True)
def sin(input, *, out=None):
    """Sine of each element, ``out_i = sin(input_i)``, the angle in radians."""
    return lax.sin(input)


@pointwise(_TO_FLOAT, inplace=True)
def cos(input, *, out=None):
    """Cosine of each element, the angle in radians."""
    return lax.cos(input)


@pointwise(_TO_FLOAT, inplace=True)
def tan(input, *, out=None):
    """Tangent of each element, the angle in radians."""
    return lax.tan(input)


@pointwise(_TO_FLOAT, inplace=True, alias=("arcsin",))
def asin(input, *, out=None):
    """The angle in radians whose sine each element is."""
    return lax.asin(input)


@pointwise(_TO_FLOAT, inplace=True, alias=("arccos",))
def acos(input, *, out=None):
    """The angle in radians whose cosine each element is."""
    return lax.acos(input)


@pointwise(_TO_FLOAT, inplace=True, alias=("arctan",))
def atan(input, *, out=None):
    """The angle in radians whose tangent each element is."""
    return lax.atan(input)


@pointwise(_TO_FLOAT, inplace=True)
def sinh(input, *, out=None):
    """Hyperbolic sine of each element."""
    return lax.sinh(input)


@pointwise(_TO_FLOAT, inplace=True)
def cosh(input, *, out=None):
    """Hyperbolic cosine of each element."""
    return lax.cosh(input)


@pointwise(_TO_FLOAT, inplace=True)
def tanh(input, *, out=None):
    """Hyperbolic tangent of each element."""
    return lax.tanh(input)


@pointwise(_TO_FLOAT, inplace=True, alias=("arcsinh",))
def asinh(input, *, out=None):
    """The inverse of the hyperbolic sine at each element."""
    return lax.asinh(input)


@pointwise(_TO_FLOAT, inplace=True, alias=("arccosh",))
def acosh(input, *, out=None):
    """The inverse of the hyperbolic cosine at each element."""
    return lax.acosh(input)


@pointwise(_TO_FLOAT, inplace=True, alias=("arctanh",))
def atanh(input, *, out=None):
    """The inverse of the hyperbolic tangent at each element."""
    return lax.atanh(input)


@pointwise(_TO_FLOAT, inplace=True)
def deg2rad(input, *, out=None):
    """Degrees as radians."""
    return lax.mul(input, constant(input, math.pi / 180))


@pointwise(_TO_FLOAT, inplace=True)
def rad2deg(input, *, out=None):
    """Radians as degrees."""
    return lax.mul(input, constant(input, 180 / math.pi))


# Rounding and signs.


def _whole(x: Any) -> bool:
    return kind(x) in "iu"


def _refuse_bool_and_complex(kernel: str, x: Any) -> None:
    if kind(x) in "bc":
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{type_name_of(x)}'")


@pointwise(inplace=True)
def floor(input, *, out=None):
    """The largest whole number that is not greater, of each element."""
    if kind(input) == "c":
        raise NotImplementedError("floor is not supported for complex inputs")
    _refuse_bool_and_complex("floor_vml_cpu", input)
    return input if _whole(input) else lax.floor(input)


@pointwise(inplace=True)
def ceil(input, *, out=None):
    """The smallest whole number that is not less, of each element."""
    if kind(input) == "c":
        raise NotImplementedError("ceil is not supported for complex inputs")
    _refuse_bool_and_complex("ceil_vml_cpu", input)
    return input if _whole(input) else lax.ceil(input)


def truncated(x: Any) -> Any:
    """``x`` without its fraction."""
    return choose(lax.lt(x, constant(x, 0)), lax.ceil(x), lax.floor(x))


@pointwise(inplace=True, alias=("fix",))
def trunc(input, *, out=None):
    """Each element without its fraction."""
    if kind(input) == "c":
        raise NotImplementedError("trunc is not supported for complex inputs")
    _refuse_bool_and_complex("trunc_vml_cpu", input)
    return input if _whole(input) else truncated(input)


@pointwise(inplace=True)
def frac(input, *, out=None):
    """The fraction of each element, with its sign."""
    if kind(input) != "f":
        raise NotImplementedError(f"\"frac_cpu\" not implemented for '{type_name_of(input)}'")
    return lax.sub(input, lax.stop_gradient(truncated(input)))


def _round_node(decimals: int | None = None) -> str:
    return "RoundBackward0" if decimals is None else "RoundBackward1"


@pointwise(inplace=True, name="round", node=_round_node)
def _round(input, *, decimals=None, out=None):
    """Each element rounded to ``decimals`` digits after the point (0 unless given), halves to the even neighbour."""
    _refuse_bool_and_complex("round_cpu" if decimals else "round_vml_cpu", input)
    if _whole(input):
        if decimals:
            raise NotImplementedError(f"\"round_cpu\" not implemented for '{type_name_of(input)}'")
        return input
    to_even = lax.RoundingMethod.TO_NEAREST_EVEN
    if not decimals:
        return lax.round(input, to_even)
    scale = constant(input, 10.0 ** abs(decimals))
    if decimals < 0:
        return lax.mul(lax.round(lax.div(input, scale), to_even), scale)
    return lax.div(lax.round(lax.mul(input, scale), to_even), scale)


composite(namespaces=("special",), name="round")(_round)


@pointwise(inplace="method")
def sign(input, *, out=None):
    """-1, 0 or 1 as each element is negative, zero or positive."""
    if kind(input) == "c":
        raise NotImplementedError(
            "Unlike NumPy, torch.sign is not intended to support complex numbers. Please use torch.sgn instead."
        )
    return signs(input)


@pointwise(inplace="method")
def sgn(input, *, out=None):
    """The sign of each element; of a complex one, the number of modulus one in its direction, or zero."""
    if kind(input) != "c":
        return signs(input)
    modulus = lax.abs(input)
    zero = lax.eq(modulus, constant(modulus, 0))
    safe = choose(zero, constant(modulus, 1), modulus)
    return choose(zero, constant(input, 0), lax.div(input, lax.complex(safe, lax.full_like(safe, 0))))


def is_negative(x: Any) -> Any:
    """Where the sign bit of floating-point numbers is set."""
    word = lax.bitcast_convert_type(x, np.dtype(f"i{x.dtype.itemsize}"))
    return lax.lt(word, constant(word, 0))


@op(nondiff=True)
def signbit(input, *, out=None):
    """Whether each element is negative, or the negative zero."""
    if kind(input) == "c":
        raise RuntimeError("signbit is not implemented for complex tensors.")
    if kind(input) == "f":
        return is_negative(input)
    return lax.ne(input, input) if kind(input) in "bu" else lax.lt(input, constant(input, 0))


@op(recompute=True)
def angle(input, *, out=None):
    """The angle in radians of each complex element; 0 or pi for real ones."""
    if kind(input) == "c":
        return lax.atan2(lax.imag(input), lax.real(input))
    if kind(input) in "iub":
        input = lax.convert_element_type(input, dtypes.get_default_dtype().np)
    turned = choose(lax.lt(input, constant(input, 0)), constant(input, math.pi), constant(input, 0))
    return choose(lax.ne(input, input), lax.stop_gradient(input), turned)


@composite()
def positive(input):
    """The tensor itself."""
    if input.dtype is dtypes.bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


@pointwise(inplace=True)
def nan_to_num(
    input, nan: Number | None = None, posinf: Number | None = None, neginf: Number | None = None, *, out=None
):
    """``input`` with NaN and the infinities replaced: by zero and the largest finite numbers unless given."""
    if kind(input) in "iub":
        return input
    if kind(input) == "c":
        parts = [_without_nan(part, nan, posinf, neginf) for part in (lax.real(input), lax.imag(input))]
        return lax.complex(*parts)
    return _without_nan(input, nan, posinf, neginf)


def _without_nan(x: Any, nan: Any, posinf: Any, neginf: Any) -> Any:
    limits = np.finfo(x.dtype)
    infinity = constant(x, math.inf)
    x = choose(lax.eq(x, infinity), constant(x, limits.max if posinf is None else posinf), x)
    x = choose(lax.eq(x, -infinity), constant(x, limits.min if neginf is None else neginf), x)
    return choose(lax.ne(x, x), constant(x, 0 if nan is None else nan), x)


@pointwise(_TO_FLOAT, inplace=True, namespaces=_SPECIAL)
def logit(input, eps=None, *, out=None):
    """The inverse of the sigmoid, ``log(input_i / (1 - input_i))``, of the input held between eps and 1 - eps."""
    if eps is not None:
        input = choose(lax.lt(input, constant(input, eps)), constant(input, eps), input)
        input = choose(lax.gt(input, constant(input, 1 - eps)), constant(input, 1 - eps), input)
    return lax.log(lax.div(input, lax.sub(constant(input, 1), input)))


@op(returns=("frexp", ("mantissa", "exponent")))
def frexp(input, *, out=None):
    """Mantissas between a half and one, and exponents of two, whose product each element is."""
    if kind(input) != "f":
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    mantissa, exponent = jnp.frexp(input)
    return mantissa, lax.convert_element_type(exponent, np.int32)
