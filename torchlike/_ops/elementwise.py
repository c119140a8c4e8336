"""Functions of each element: roots, exponentials, trigonometry, rounding, bounds, and functions of two or three tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jax import lax
from jax import numpy as jnp

from torchlike._ops import arithmetic
from torchlike._ops import op as machinery
from torchlike._ops.bodies import broadcast_numbers, c_name, choose, constant, convert, kind, signs, type_name_of, with_slopes
from torchlike._ops.op import Array, Number, Promote, call, call_inplace, call_out, composite, op, pointwise
from torchlike._tensor import dtypes
from torchlike._tensor.promotion import SCALAR_TYPE_NAMES
from torchlike._tensor.tensor import Tensor

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


def _atan2_slopes(out: Any, y: Any, x: Any) -> tuple:
    square = lax.add(lax.mul(x, x), lax.mul(y, y))
    origin = lax.eq(square, constant(square, 0))
    over = choose(origin, constant(square, 0), lax.div(constant(square, 1), choose(origin, constant(square, 1), square)))
    return lax.mul(x, over), lax.mul(lax.neg(y), over)


_atan2 = with_slopes(lax.atan2, _atan2_slopes)


@pointwise(_TO_FLOAT, inplace=True, alias=("arctan2",))
def atan2(input, other, *, out=None):
    """The angle in radians of the point ``(other_i, input_i)`` in the plane, between -pi and pi."""
    return _atan2(*broadcast_numbers(input, other))


@pointwise(_TO_FLOAT, inplace=True)
def deg2rad(input, *, out=None):
    """Degrees as radians."""
    return lax.mul(input, constant(input, math.pi / 180))


@pointwise(_TO_FLOAT, inplace=True)
def rad2deg(input, *, out=None):
    """Radians as degrees."""
    return lax.mul(input, constant(input, 180 / math.pi))


@pointwise(inplace=True)
def hypot(input, other, *, out=None):
    """The hypotenuse of the right triangle whose legs are ``input_i`` and ``other_i``."""
    if kind(input) not in "f":
        raise NotImplementedError(f"\"hypot_cpu\" not implemented for '{type_name_of(input)}'")
    return _hypot(*broadcast_numbers(input, other))


def _hypotenuse(a: Any, b: Any) -> Any:
    a, b = lax.abs(a), lax.abs(b)
    large, small = lax.max(a, b), lax.min(a, b)
    one, zero = constant(large, 1), constant(large, 0)
    fine = lax.bitwise_and(lax.gt(large, zero), lax.lt(large, constant(large, math.inf)))
    ratio = lax.div(choose(fine, small, zero), choose(fine, large, one))
    usual = choose(fine, lax.mul(large, lax.sqrt(lax.add(one, lax.mul(ratio, ratio)))), lax.add(large, small))
    infinity = constant(large, math.inf)
    return choose(lax.bitwise_or(lax.eq(a, infinity), lax.eq(b, infinity)), infinity, usual)  # whatever the other is


_hypot = with_slopes(_hypotenuse, lambda out, a, b: (lax.div(a, out), lax.div(b, out)))


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


@pointwise(inplace=True)
def sign(input, *, out=None):
    """-1, 0 or 1 as each element is negative, zero or positive."""
    if kind(input) == "c":
        raise NotImplementedError(
            "Unlike NumPy, torch.sign is not intended to support complex numbers. Please use torch.sgn instead."
        )
    return signs(input)


@pointwise(inplace=True)
def sgn(input, *, out=None):
    """The sign of each element; of a complex one, the number of modulus one in its direction, or zero."""
    if kind(input) != "c":
        return signs(input)
    modulus = lax.abs(input)
    zero = lax.eq(modulus, constant(modulus, 0))
    safe = choose(zero, constant(modulus, 1), modulus)
    return choose(zero, constant(input, 0), lax.div(input, lax.complex(safe, lax.full_like(safe, 0))))


def _is_negative(x: Any) -> Any:
    """Where the sign bit of floating-point numbers is set."""
    word = lax.bitcast_convert_type(x, np.dtype(f"i{x.dtype.itemsize}"))
    return lax.lt(word, constant(word, 0))


@op(nondiff=True)
def signbit(input, *, out=None):
    """Whether each element is negative, or the negative zero."""
    if kind(input) == "c":
        raise RuntimeError("signbit is not implemented for complex tensors.")
    if kind(input) == "f":
        return _is_negative(input)
    return lax.ne(input, input) if kind(input) in "bu" else lax.lt(input, constant(input, 0))


def _copy_sign(input: Any, other: Any) -> Any:
    if kind(input) == "c":
        raise NotImplementedError(f"\"copysign_cpu\" not implemented for '{type_name_of(input)}'")
    return _with_sign_of(*broadcast_numbers(input, other))


def _copied_sign(x: Any, y: Any) -> Any:
    magnitude = lax.abs(x)
    return choose(_is_negative(y), lax.neg(magnitude), magnitude)


def _copied_sign_slopes(out: Any, x: Any, y: Any) -> tuple:
    zero = lax.eq(x, constant(x, 0))
    return choose(zero, constant(x, 0), lax.div(out, choose(zero, constant(x, 1), x))), lax.full_like(y, 0)


_with_sign_of = with_slopes(_copied_sign, _copied_sign_slopes)


@pointwise(_TO_FLOAT, name="copysign", namespaces=("_private",), node="CopysignBackward0")
def _copysign_tensor(input, other):
    """Magnitudes of one tensor, signs of another."""
    return _copy_sign(input, other)


@pointwise(_TO_FLOAT, name="_copysign_number", namespaces=("_private",), node="CopysignBackward1")
def _copysign_number(input, other):
    """Magnitudes of a tensor, the sign of a number."""
    return _copy_sign(input, other)


_PLAIN = (None, (), None)


@composite()
def copysign(input, other, *, out=None):
    """The magnitude of each element of ``input`` with the sign of ``other``'s."""
    operator = (_copysign_tensor if isinstance(other, Tensor) else _copysign_number).operator
    return call(operator, (input, other), _PLAIN) if out is None else call_out(operator, out, (input, other), _PLAIN)


@composite(namespaces=("Tensor",))
def copysign_(self, other):
    """In-place form of :func:`copysign`."""
    return call_inplace((_copysign_tensor if isinstance(other, Tensor) else _copysign_number).operator, (self, other), _PLAIN)


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
def nan_to_num(input, nan: Number | None = None, posinf: Number | None = None, neginf: Number | None = None, *, out=None):
    """``input`` with NaN and the infinities replaced: by zero and the largest finite numbers where no others are given."""
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
    """The inverse of the sigmoid, ``log(input_i / (1 - input_i))``; ``eps`` first bounds the input by eps and 1 - eps."""
    if eps is not None:
        input = choose(lax.lt(input, constant(input, eps)), constant(input, eps), input)
        input = choose(lax.gt(input, constant(input, 1 - eps)), constant(input, 1 - eps), input)
    return lax.log(lax.div(input, lax.sub(constant(input, 1), input)))


# Bounds. At a bound itself the gradient passes, as if the element were inside.


def _refuse_complex(function: str, x: Any) -> None:
    if kind(x) == "c":
        raise NotImplementedError(f"{function} is not supported for complex types")


def _between_bounds(x: Any, low: Any, high: Any) -> Any:
    """``x`` between two numbers, either of which may be None; beyond them, and where it is NaN, no gradient passes."""
    out, inside = x, None
    if low is not None:
        out, inside = _at_least(out, low), lax.ge(x, low)
    if high is not None:
        under = lax.le(x, high)
        out, inside = _at_most(out, high), under if inside is None else lax.bitwise_and(inside, under)
    if kind(x) != "f":
        return out
    return choose(inside, x, lax.stop_gradient(out))


def _at_least(x: Any, bound: Any) -> Any:
    below = lax.lt(x, bound)
    if np.shape(bound) and kind(x) == "f":  # a NaN among the bounds shows; one number is seldom NaN
        below = lax.bitwise_or(below, lax.ne(bound, bound))
    return choose(below, bound, x)


def _at_most(x: Any, bound: Any) -> Any:
    above = lax.gt(x, bound)
    if np.shape(bound) and kind(x) == "f":
        above = lax.bitwise_or(above, lax.ne(bound, bound))
    return choose(above, bound, x)


@pointwise(name="clamp", namespaces=("_private",), node="ClampBackward1")
def _clamp(input, min: Number | None = None, max: Number | None = None):
    """The elements between two numbers."""
    _refuse_complex("clamp", input)
    return _between_bounds(input, min, max)


@pointwise(name="_clamp_tensor", namespaces=("_private",), node="ClampBackward0")
def _clamp_tensor(input, min: Array | None = None, max: Array | None = None):
    """The elements between those of two tensors."""
    _refuse_complex("clamp", input)
    input = input if min is None else _at_least(input, min)
    return input if max is None else _at_most(input, max)


def _clamp_call(input: Any, min: Any, max: Any) -> tuple[Any, tuple, tuple]:
    """The operator that clamps to these bounds, its operands and static arguments."""
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    bounds = [b for b in (min, max) if b is not None]
    which = _clamp
    if isinstance(bounds[0], Tensor):
        which = _clamp_tensor
    for b in bounds:
        if isinstance(b, Tensor) is not (which is _clamp_tensor) or isinstance(b, (str, list, tuple)):
            raise TypeError(
                f"clamp() received an invalid combination of arguments - got ({_types(input, min, max)}), but expected "
                "one of:\n * (Tensor input, Tensor min = None, Tensor max = None, *, Tensor out = None)\n * (Tensor input, "
                "Number min = None, Number max = None, *, Tensor out = None)\n"
            )
    return which.operator, (input, *bounds), ((1, int(min is not None), int(max is not None)), (), None)


def _types(input: Any, min: Any, max: Any) -> str:
    return ", ".join(type(x).__name__ for x in (input, min, max) if x is not None)


@composite(alias=("clip",))
def clamp(input, min=None, max=None, *, out=None):
    """Each element, raised to ``min`` where it is below and lowered to ``max`` where it is above; numbers or tensors."""
    operator, operands, static = _clamp_call(input, min, max)
    return call(operator, operands, static) if out is None else call_out(operator, out, operands, static)


@composite(alias=("clip_",))
def clamp_(input, min=None, max=None):
    """In-place form of :func:`clamp`."""
    if isinstance(input, Tensor) and any(isinstance(b, float) for b in (min, max)) and kind(input._spec) in "iu":
        raise RuntimeError(f"result type Float can't be cast to the desired output type {c_name(input)}")
    return call_inplace(*_clamp_call(input, min, max))


@pointwise(name="clamp_min", namespaces=("_private",), node="ClampMinBackward0")
def _clamp_min(input, min: Number):
    """The elements, at least a number."""
    _refuse_complex("clamp", input)
    return _between_bounds(input, min, None)


@pointwise(name="clamp_max", namespaces=("_private",), node="ClampMaxBackward0")
def _clamp_max(input, max: Number):
    """The elements, at most a number."""
    _refuse_complex("clamp", input)
    return _between_bounds(input, None, max)


# With a tensor of bounds these are the maximum and the minimum: at a tie both sides take half of the gradient.
@pointwise(name="_clamp_min_tensor", namespaces=("_private",), node="ClampMinBackward1")
def _clamp_min_tensor(input, min: Array):
    """The elements, at least those of another tensor."""
    _refuse_complex("clamp", input)
    return _at_least(input, min)


@pointwise(name="_clamp_max_tensor", namespaces=("_private",), node="ClampMaxBackward1")
def _clamp_max_tensor(input, max: Array):
    """The elements, at most those of another tensor."""
    _refuse_complex("clamp", input)
    return _at_most(input, max)


@composite()
def clamp_min(input, min, *, out=None):
    """Each element, raised to ``min`` where it is below."""
    operator = (_clamp_min_tensor if isinstance(min, Tensor) else _clamp_min).operator
    return call(operator, (input, min), _PLAIN) if out is None else call_out(operator, out, (input, min), _PLAIN)


@composite()
def clamp_max(input, max, *, out=None):
    """Each element, lowered to ``max`` where it is above."""
    operator = (_clamp_max_tensor if isinstance(max, Tensor) else _clamp_max).operator
    return call(operator, (input, max), _PLAIN) if out is None else call_out(operator, out, (input, max), _PLAIN)


@composite()
def clamp_min_(input, min):
    """In-place form of :func:`clamp_min`."""
    return call_inplace((_clamp_min_tensor if isinstance(min, Tensor) else _clamp_min).operator, (input, min), _PLAIN)


@composite()
def clamp_max_(input, max):
    """In-place form of :func:`clamp_max`."""
    return call_inplace((_clamp_max_tensor if isinstance(max, Tensor) else _clamp_max).operator, (input, max), _PLAIN)


def _need_tensor(function: str, other: Any) -> None:
    if not isinstance(other, Tensor):
        raise TypeError(f"{function}(): argument 'other' (position 2) must be Tensor, not {type(other).__name__}")


@pointwise(check=lambda input, other: _need_tensor("maximum", other))
def maximum(input, other, *, out=None):
    """The greater of two elements, NaN where one is; at a tie each takes half of the gradient."""
    if kind(input) == "c":
        raise RuntimeError("maximum not implemented for complex tensors.")
    return lax.max(input, other)


@pointwise(check=lambda input, other: _need_tensor("minimum", other))
def minimum(input, other, *, out=None):
    """The lesser of two elements, NaN where one is; at a tie each takes half of the gradient."""
    if kind(input) == "c":
        raise RuntimeError("minimum not implemented for complex tensors.")
    return lax.min(input, other)


@pointwise(check=lambda input, other: _need_tensor("fmax", other))
def fmax(input, other, *, out=None):
    """The greater of two elements, the other one where one is NaN."""
    if kind(input) == "c":
        raise RuntimeError("fmax not implemented for complex tensors.")
    if kind(input) != "f":
        return lax.max(input, other)
    return choose(lax.bitwise_or(lax.ge(input, other), lax.ne(other, other)), input, other)


@pointwise(check=lambda input, other: _need_tensor("fmin", other))
def fmin(input, other, *, out=None):
    """The lesser of two elements, the other one where one is NaN."""
    if kind(input) == "c":
        raise RuntimeError("fmin not implemented for complex tensors.")
    if kind(input) != "f":
        return lax.min(input, other)
    return choose(lax.bitwise_or(lax.le(input, other), lax.ne(other, other)), input, other)


# Of two and three tensors.


@pointwise(_TO_FLOAT, check=lambda input, other: _need_tensor("logaddexp", other))
def logaddexp(input, other, *, out=None):
    """``log(exp(input_i) + exp(other_i))``, without overflow."""
    return _log_sum(input, other, 1.0)


@pointwise(_TO_FLOAT, check=lambda input, other: _need_tensor("logaddexp2", other))
def logaddexp2(input, other, *, out=None):
    """``log2(2 ** input_i + 2 ** other_i)``, without overflow."""
    if kind(input) == "c":
        raise NotImplementedError(f"\"logaddexp2_cpu\" not implemented for '{type_name_of(input)}'")
    return _log_sum(input, other, math.log(2))


def _log_sum(a: Any, b: Any, base: float) -> Any:
    """The logarithm of the sum of two powers, ``base`` being the natural logarithm of what is raised."""

    def share(a, b):
        gap = lax.sub(b, a)
        power = lax.exp(gap if base == 1.0 else lax.mul(gap, constant(gap, base)))
        return lax.div(constant(gap, 1), lax.add(constant(gap, 1), power))

    ruled = with_slopes(lambda a, b: _log_sum_value(a, b, base), lambda out, a, b: (share(a, b), share(b, a)))
    return ruled(*broadcast_numbers(a, b))


def _log_sum_value(a: Any, b: Any, base: float) -> Any:
    first = lax.ge(a, b) if kind(a) != "c" else lax.ge(lax.real(a), lax.real(b))
    large, small = choose(first, a, b), choose(first, b, a)
    gap = lax.sub(small, large)
    gap = choose(lax.eq(a, b), constant(a, 0), gap)  # of equal infinities
    if base == 1.0:
        return lax.add(large, lax.log1p(lax.exp(gap)))
    scale = constant(a, base)
    return lax.add(large, lax.div(lax.log1p(lax.exp(lax.mul(gap, scale))), scale))


@pointwise(_TO_FLOAT, name="xlogy", namespaces=("_private",), node="XlogyBackward0")
def _xlogy(input, other):
    """Each element times the logarithm of another."""
    return _x_log_y(input, other)


def _x_log_y(input: Any, other: Any) -> Any:
    return _xlogy_ruled(*broadcast_numbers(input, other))


def _xlogy_value(x: Any, y: Any) -> Any:
    zero = lax.bitwise_and(lax.eq(x, constant(x, 0)), lax.eq(y, y))
    return choose(zero, constant(x, 0), lax.mul(x, lax.log(y)))


def _xlogy_slopes(out: Any, x: Any, y: Any) -> tuple:
    nothing = lax.bitwise_and(lax.eq(x, constant(x, 0)), lax.le(y, constant(y, 0)))
    return choose(nothing, constant(x, 0), lax.log(y)), lax.div(x, y)


_xlogy_ruled = with_slopes(_xlogy_value, _xlogy_slopes)


def _same_types(input: Tensor, values: Tensor) -> None:
    if input.dtype is not values.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")


@pointwise(inplace=True, check=_same_types)
def heaviside(input, values: Array, *, out=None):
    """The step function: 0 below zero, 1 above, ``values_i`` at zero."""
    zero = constant(input, 0)
    step = choose(lax.gt(input, zero), constant(input, 1), zero)
    return choose(lax.eq(input, zero), values, step)


@pointwise(_TO_FLOAT, inplace=True)
def ldexp(input, other, *, out=None):
    """``input_i * 2 ** other_i``."""
    return lax.mul(input, lax.exp2(other))


@pointwise(inplace=True, nondiff=True)
def gcd(input, other, *, out=None):
    """The greatest common divisor of two elements, not negative."""
    if kind(input) not in "iu":
        raise NotImplementedError(f"\"gcd_cpu\" not implemented for '{type_name_of(input)}'")
    return jnp.gcd(input, other)


@pointwise(inplace=True, nondiff=True)
def lcm(input, other, *, out=None):
    """The least common multiple of two elements, not negative."""
    if kind(input) not in "iu":
        raise NotImplementedError(f"\"lcm_cpu\" not implemented for '{type_name_of(input)}'")
    return jnp.lcm(input, other)


@op(inplace=True, nondiff=True)
def nextafter(input, other, *, out=None):
    """The floating-point number next to each element in the direction of ``other``'s."""
    shape = machinery.broadcast_shapes([input.shape, other.shape])
    common = jnp.promote_types(input.dtype, other.dtype)
    return lax.nextafter(*[machinery._broadcast(convert(x, common), shape) for x in (input, other)])


@pointwise(name="lerp", namespaces=("_private",), node="LerpBackward0", promote=Promote.FIRST)
def _lerp(input, end: Array, weight: Number):
    """Between two tensors, by a number."""
    _only_fractions("lerp_kernel_scalar", input)
    return _between(input, end, weight)


@pointwise(name="_lerp_tensor", namespaces=("_private",), node="LerpBackward1", promote=Promote.FIRST)
def _lerp_tensor(input, end: Array, weight: Array):
    """Between two tensors, by a tensor."""
    _only_fractions("lerp_kernel_tensor", input)
    return _between(input, end, weight)


def _only_fractions(kernel: str, x: Any) -> None:
    if kind(x) in "biu":
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{type_name_of(x)}'")


def _between(start: Any, end: Any, weight: Any) -> Any:
    # Reckoned from the nearer end, so that the ends come out exactly.
    span = lax.sub(end, start)
    rest = lax.sub(constant(start, 1), weight)
    size = lax.stop_gradient(lax.abs(weight if kind(start) != "c" else lax.real(weight)))
    low = lax.lt(size, constant(size, 0.5))
    return choose(low, lax.add(start, lax.mul(weight, span)), lax.sub(end, lax.mul(span, rest)))


def _lerp_call(input: Any, end: Any, weight: Any) -> tuple:
    for name, x in (("end", end), ("weight", weight)):
        if isinstance(x, Tensor) and x.dtype is not input.dtype:
            raise RuntimeError(f"expected dtype {c_name(input)} for `{name}` but got dtype {c_name(x)}")
    return (_lerp_tensor if isinstance(weight, Tensor) else _lerp).operator, (input, end, weight), _PLAIN


@composite()
def lerp(input, end, weight, *, out=None):
    """``input_i + weight_i * (end_i - input_i)``, the weight a number or a tensor."""
    operator, operands, static = _lerp_call(input, end, weight)
    return call(operator, operands, static) if out is None else call_out(operator, out, operands, static)


@composite(namespaces=("Tensor",))
def lerp_(self, end, weight):
    """In-place form of :func:`lerp`."""
    return call_inplace(*_lerp_call(self, end, weight))


@pointwise(namespaces=("_private",))
def addcmul(input, tensor1: Array, tensor2: Array, *, value: Number = 1):
    """The input plus a number times the product of two tensors."""
    return lax.add(input, _times(value, lax.mul(tensor1, tensor2)))


@pointwise(namespaces=("_private",))
def addcdiv(input, tensor1: Array, tensor2: Array, *, value: Number = 1):
    """The input plus a number times the quotient of two tensors."""
    if kind(input) in "biu":
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported, and in a future  release addcdiv will perform a true division "
            "of tensor1 and tensor2. The historic addcdiv behavior can be implemented as (input + value * "
            "torch.trunc(tensor1 / tensor2)).to(input.dtype) for integer inputs and as (input + value * tensor1 / tensor2) for "
            "float inputs. The future addcdiv behavior is just the latter implementation: (input + value * tensor1 / "
            "tensor2), for all dtypes."
        )
    return lax.add(input, lax.div(_times(value, tensor1), tensor2))


def _times(number: Any, x: Any) -> Any:
    return x if type(number) is int and number == 1 else lax.mul(x, machinery._cast(number, x.dtype))


def _with_legacy_value(operator: Any, args: tuple, value: Any) -> tuple:
    """The operands of ``f(input, tensor1, tensor2, value=...)``, or of the older ``f(input, value, tensor1, tensor2)``."""
    if len(args) == 4 and not isinstance(args[1], Tensor):
        args, value = (args[0], args[2], args[3]), args[1]
    absent = type(value) is int and value == 1
    return operator, args if absent else (*args, value), ((1, 1, 1, 0 if absent else 1), (), None)


def _scaled_addition(function: Any, doc: str) -> None:
    operator = function.operator
    name = operator.name

    def apply(input, *tensors, value=1, out=None, **named):
        args = (input, *tensors, *[named[n] for n in ("tensor1", "tensor2") if n in named])
        operator_, operands, static = _with_legacy_value(operator, args, value)
        return call(operator_, operands, static) if out is None else call_out(operator_, out, operands, static)

    def apply_in_place(self, *tensors, value=1, **named):
        args = (self, *tensors, *[named[n] for n in ("tensor1", "tensor2") if n in named])
        return call_inplace(*_with_legacy_value(operator, args, value))

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = doc
    composite()(apply)
    apply_in_place.__name__ = apply_in_place.__qualname__ = name + "_"
    apply_in_place.__doc__ = f"In-place form of :func:`{name}`."
    composite(namespaces=("Tensor",))(apply_in_place)


_scaled_addition(addcmul, "``input_i + value * tensor1_i * tensor2_i``.")
_scaled_addition(addcdiv, "``input_i + value * tensor1_i / tensor2_i``.")


@op(returns=("frexp", ("mantissa", "exponent")))
def frexp(input, *, out=None):
    """Mantissas between a half and one, and exponents of two, whose product each element is."""
    if kind(input) != "f":
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    mantissa, exponent = jnp.frexp(input)
    return mantissa, lax.convert_element_type(exponent, np.int32)


@pointwise(_TO_FLOAT, name="_xlogy_number", namespaces=("_private",), node="XlogyBackward1")
def _xlogy_number(input: Number, other):
    """A number times the logarithm of each element."""
    return _x_log_y(input, other)


@pointwise(_TO_FLOAT, name="_xlogy_by_number", namespaces=("_private",), node="XlogyBackward2")
def _xlogy_by_number(input, other: Number):
    """Each element times the logarithm of a number."""
    return _x_log_y(input, other)


def _xlogy_operator(input: Any, other: Any) -> Any:
    chosen = _xlogy_number if not isinstance(input, Tensor) else _xlogy if isinstance(other, Tensor) else _xlogy_by_number
    return chosen.operator


@composite(namespaces=_SPECIAL)
def xlogy(input, other, *, out=None):
    """``input_i * log(other_i)``, zero where ``input_i`` is zero (unless ``other_i`` is NaN)."""
    operator = _xlogy_operator(input, other)
    return call(operator, (input, other), _PLAIN) if out is None else call_out(operator, out, (input, other), _PLAIN)


@composite()
def xlogy_(input, other):
    """In-place form of :func:`xlogy`."""
    return call_inplace(_xlogy_operator(input, other), (input, other), _PLAIN)


def _wide(*operands: Any) -> list[Any]:
    """The operands as float_power takes them: in double precision."""
    is_complex = any(x.is_complex() if isinstance(x, Tensor) else isinstance(x, complex) for x in operands)
    target = dtypes.complex128 if is_complex else dtypes.float64
    number = complex if is_complex else float
    return [x.to(target) if isinstance(x, Tensor) else number(x) for x in operands]


@composite()
def float_power(input, exponent, *, out=None):
    """``input_i ** exponent_i`` in double precision."""
    base, power = _wide(input, exponent)
    return Tensor.pow(base, power) if out is None and isinstance(base, Tensor) else arithmetic.pow(base, power, out=out)


@composite(namespaces=("Tensor",))
def float_power_(self, exponent):
    """In-place form of :func:`float_power`; the tensor has to be of double precision."""
    base, power = _wide(self, exponent)
    if base.dtype is not self.dtype:
        raise RuntimeError(
            f"the base given to float_power_ has dtype {SCALAR_TYPE_NAMES[self.dtype]} but the operation's result requires dtype "
            f"{SCALAR_TYPE_NAMES[base.dtype]}"
        )
    return self.pow_(power)
