"""Functions of two and of three elements: angles and distances, logarithms of sums, interpolation, whole numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jax import lax
from jax import numpy as jnp

from torchlike._engine.value import concrete
from torchlike._ops import arithmetic
from torchlike._ops import op as machinery
from torchlike._ops.bodies import broadcast_numbers, c_name, choose, constant, convert, kind, type_name_of, with_slopes
from torchlike._ops.bounds import need_tensor
from torchlike._ops.elementwise import is_negative
from torchlike._ops.op import Array, Number, Promote, apply, call_inplace, composite, op, pointwise
from torchlike._tensor import dtypes
from torchlike._tensor.promotion import SCALAR_TYPE_NAMES
from torchlike._tensor.tensor import Tensor, assign, host_array

_TO_FLOAT = Promote.INT_TO_FLOAT
_SPECIAL = ("torch", "Tensor", "special")
_PLAIN = (None, (), None)


def _atan2_slopes(out: Any, y: Any, x: Any) -> tuple:
    square = lax.add(lax.mul(x, x), lax.mul(y, y))
    origin = lax.eq(square, constant(square, 0))
    over = choose(
        origin, constant(square, 0), lax.div(constant(square, 1), choose(origin, constant(square, 1), square))
    )
    return lax.mul(x, over), lax.mul(lax.neg(y), over)


_atan2 = with_slopes(lax.atan2, _atan2_slopes)


@pointwise(_TO_FLOAT, inplace="method", alias=("arctan2",))
def atan2(input, other, *, out=None):
    """The angle in radians of the point ``(other_i, input_i)`` in the plane, between -pi and pi."""
    return _atan2(*broadcast_numbers(input, other))


@pointwise(inplace="method")
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


def _copy_sign(input: Any, other: Any) -> Any:
    if kind(input) == "c":
        raise NotImplementedError(f"\"copysign_cpu\" not implemented for '{type_name_of(input)}'")
    return _with_sign_of(*broadcast_numbers(input, other))


def _copied_sign(x: Any, y: Any) -> Any:
    magnitude = lax.abs(x)
    return choose(is_negative(y), lax.neg(magnitude), magnitude)


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


@composite()
def copysign(input, other, *, out=None):
    """The magnitude of each element of ``input`` with the sign of ``other``'s."""
    operator = (_copysign_tensor if isinstance(other, Tensor) else _copysign_number).operator
    return apply(operator, (input, other), _PLAIN, out)


@composite(namespaces=("Tensor",))
def copysign_(self, other):
    """In-place form of :func:`copysign`."""
    return call_inplace(
        (_copysign_tensor if isinstance(other, Tensor) else _copysign_number).operator, (self, other), _PLAIN
    )


@pointwise(_TO_FLOAT, check=lambda input, other: need_tensor("logaddexp", other))
def logaddexp(input, other, *, out=None):
    """``log(exp(input_i) + exp(other_i))``, without overflow."""
    return _log_sum(input, other, 1.0)


@pointwise(_TO_FLOAT, check=lambda input, other: need_tensor("logaddexp2", other))
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


@pointwise(_TO_FLOAT, name="_xlogy_number", namespaces=("_private",), node="XlogyBackward1")
def _xlogy_number(input: Number, other):
    """A number times the logarithm of each element."""
    return _x_log_y(input, other)


@pointwise(_TO_FLOAT, name="_xlogy_by_number", namespaces=("_private",), node="XlogyBackward2")
def _xlogy_by_number(input, other: Number):
    """Each element times the logarithm of a number."""
    return _x_log_y(input, other)


def _xlogy_operator(input: Any, other: Any) -> Any:
    chosen = (
        _xlogy_number if not isinstance(input, Tensor) else _xlogy if isinstance(other, Tensor) else _xlogy_by_number
    )
    return chosen.operator


@composite(namespaces=_SPECIAL)
def xlogy(input, other, *, out=None):
    """``input_i * log(other_i)``, zero where ``input_i`` is zero (unless ``other_i`` is NaN)."""
    operator = _xlogy_operator(input, other)
    return apply(operator, (input, other), _PLAIN, out)


@composite()
def xlogy_(input, other):
    """In-place form of :func:`xlogy`."""
    return call_inplace(_xlogy_operator(input, other), (input, other), _PLAIN)


def _same_types(input: Tensor, values: Tensor) -> None:
    if input.dtype is not values.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")


@pointwise(inplace="method", check=_same_types)
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


@op(inplace="method", nondiff=True)
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
    return apply(operator, operands, static, out)


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
            "Integer division with addcdiv is no longer supported, and in a future  release addcdiv will perform a "
            "true division "
            "of tensor1 and tensor2. The historic addcdiv behavior can be implemented as (input + value * "
            "torch.trunc(tensor1 / tensor2)).to(input.dtype) for integer inputs and as (input + value * tensor1 / "
            "tensor2) for "
            "float inputs. The future addcdiv behavior is just the latter implementation: (input + value * tensor1 / "
            "tensor2), for all dtypes."
        )
    return lax.add(input, lax.div(_times(value, tensor1), tensor2))


def _times(number: Any, x: Any) -> Any:
    return x if type(number) is int and number == 1 else lax.mul(x, machinery._cast(number, x.dtype))


def _with_legacy_value(operator: Any, args: tuple, value: Any) -> tuple:
    """The operands of ``f(input, tensor1, tensor2, value=v)``, or of the older ``f(input, v, tensor1, tensor2)``."""
    if len(args) == 4 and not isinstance(args[1], Tensor):
        args, value = (args[0], args[2], args[3]), args[1]
    absent = type(value) is int and value == 1
    return operator, args if absent else (*args, value), ((1, 1, 1, 0 if absent else 1), (), None)


def _scaled_addition(declared: Any, doc: str) -> None:
    operator = declared.operator
    name = operator.name

    def function(input, *tensors, value=1, out=None, **named):
        args = (input, *tensors, *[named[n] for n in ("tensor1", "tensor2") if n in named])
        operator_, operands, static = _with_legacy_value(operator, args, value)
        return apply(operator_, operands, static, out)

    def apply_in_place(self, *tensors, value=1, **named):
        args = (self, *tensors, *[named[n] for n in ("tensor1", "tensor2") if n in named])
        return call_inplace(*_with_legacy_value(operator, args, value))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    composite()(function)
    apply_in_place.__name__ = apply_in_place.__qualname__ = name + "_"
    apply_in_place.__doc__ = f"In-place form of :func:`{name}`."
    composite(namespaces=("Tensor",))(apply_in_place)


_scaled_addition(addcmul, "``input_i + value * tensor1_i * tensor2_i``.")
_scaled_addition(addcdiv, "``input_i + value * tensor1_i / tensor2_i``.")


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
    return arithmetic.pow(base, power, out=out)


@composite(namespaces=("Tensor",))
def float_power_(self, exponent):
    """In-place form of :func:`float_power`; the tensor has to be of double precision."""
    base, power = _wide(self, exponent)
    if base.dtype is not self.dtype:
        raise RuntimeError(
            f"the base given to float_power_ has dtype {SCALAR_TYPE_NAMES[self.dtype]} but the operation's result "
            "requires dtype "
            f"{SCALAR_TYPE_NAMES[base.dtype]}"
        )
    return self.pow_(power)


# Python functions of elements, one at a time.


def _by_element(name: str, count: int, doc: str) -> None:
    def apply_in_place(self, *tensors_and_callable):
        *others, function = tensors_and_callable
        if len(others) != count - 1:
            raise TypeError(f"{name}() takes {count} arguments ({len(tensors_and_callable)} given)")
        if self.requires_grad:
            raise RuntimeError(f"{name}() doesn't support tensors that require grad")
        arrays = [np.broadcast_to(host_array(t), self._spec.shape) for t in (self, *others)]
        numbers = [function(*row) for row in zip(*[a.reshape(-1).tolist() for a in arrays], strict=True)]
        assign(self, concrete(np.array(numbers, self._spec.dtype).reshape(self._spec.shape)))
        return self

    apply_in_place.__name__ = apply_in_place.__qualname__ = name
    apply_in_place.__doc__ = doc
    composite(namespaces=("Tensor",))(apply_in_place)


_by_element("apply_", 1, "Replace each element by ``callable`` of it.")
_by_element("map_", 2, "Replace each element by ``callable`` of it and of the other tensor's.")
_by_element("map2_", 3, "Replace each element by ``callable`` of it and of two other tensors'.")
