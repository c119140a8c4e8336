"""Arithmetic on elements: the four operations, powers, remainders, and Python's operators on tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jax import lax
from jax import numpy as jnp

from torchlike._ops import op as machinery
from torchlike._ops.bodies import absolute
from torchlike._ops.op import Number, Promote, call, call_inplace, composite, op, pointwise
from torchlike._tape.graph import Bridge
from torchlike._tensor import dtypes
from torchlike._tensor.tensor import CPU, Tensor, host_array


def _check_alpha(input: Any, other: Any, alpha: Any = 1) -> None:
    """RuntimeError where an integer result would need a fraction of an operand."""
    if isinstance(alpha, float) and _is_integral(input) and _is_integral(other):
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")


def _scaled(other: Any, alpha: Any) -> Any:
    if isinstance(alpha, (bool, int)) and alpha == 1:
        return other
    return lax.mul(other, lax.convert_element_type(jnp.asarray(alpha), other.dtype))


@pointwise(inplace=True, check=_check_alpha)
def add(input, other, *, alpha: Number = 1, out=None):
    """The sum, element by element: ``out_i = input_i + alpha * other_i``."""
    if input.dtype == np.bool_:
        scaled = other if type(alpha) is int else lax.bitwise_and(*_same_rank(other, alpha))
        return lax.bitwise_or(*_same_rank(input, scaled))
    return lax.add(input, _scaled(other, alpha))


def _same_rank(a: Any, b: Any) -> tuple[Any, Any]:
    return tuple(jnp.broadcast_arrays(a, b)) if np.shape(a) != np.shape(b) else (a, b)


def _check_subtract(input: Any, other: Any, alpha: Any = 1) -> None:
    """Bool operands, and a fractional ``alpha`` for integers, are refused before anything is promoted."""
    kinds = [getattr(x, "dtype", None) is dtypes.bool_ or isinstance(x, bool) for x in (input, other)]
    if all(kinds):
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` "
            "operator instead."
        )
    _check_alpha(input, other, alpha)
    if any(kinds):
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, "
            "use "
            "the `~` or `logical_not()` operator instead."
        )


def _is_integral(x: Any) -> bool:
    if isinstance(x, Tensor):
        return x._spec.dtype.kind in "iub"
    return isinstance(x, (int, np.integer))


def _check_divisor(input: Any, other: Any) -> None:
    """Integer division by zero raises where the divisor is at hand, as it does in torch on the host."""
    if not (_is_integral(input) and _is_integral(other)):
        return
    if isinstance(other, Tensor):
        if other._storage.device is CPU and not host_array(other).all():
            raise RuntimeError("ZeroDivisionError")
    elif other == 0:
        raise RuntimeError("ZeroDivisionError")


@pointwise(inplace=True, alias=("subtract",), check=_check_subtract)
def sub(input, other, *, alpha: Number = 1, out=None):
    """The difference, element by element: ``out_i = input_i - alpha * other_i``."""
    return lax.sub(input, _scaled(other, alpha))


@pointwise(check=_check_subtract, node="RsubBackward1")
def rsub(input, other, *, alpha: Number = 1):
    """The difference the other way round: ``out_i = other_i - alpha * input_i``."""
    return lax.sub(other, _scaled(input, alpha))


@pointwise(inplace=True, alias=("multiply",))
def mul(input, other, *, out=None):
    """The product, element by element: ``out_i = input_i * other_i``."""
    if input.dtype == np.bool_:
        return lax.bitwise_and(*_same_rank(input, other))
    return lax.mul(input, other)


def _floor(a: Any, b: Any) -> Any:
    """The quotient rounded towards minus infinity, exact where ``a / b`` would round up to a whole number."""
    if np.dtype(a.dtype).kind in "iu":
        quotient, rest = lax.div(a, b), lax.rem(a, b)
        if np.dtype(a.dtype).kind == "u":
            return quotient
        zero = np.zeros((), a.dtype)
        wrong = lax.bitwise_and(lax.ne(rest, zero), lax.ne(lax.lt(rest, zero), lax.lt(b, zero)))
        return lax.sub(quotient, lax.convert_element_type(wrong, a.dtype))
    rest = lax.rem(a, b)
    zero, one = np.zeros((), a.dtype), np.ones((), a.dtype)
    quotient = lax.div(lax.sub(a, rest), b)
    wrong = jnp.logical_and(lax.ne(rest, zero), lax.ne(lax.lt(rest, zero), lax.lt(b, zero)))
    quotient = jnp.where(wrong, lax.sub(quotient, one), quotient)
    floored = lax.floor(quotient)
    floored = jnp.where(lax.gt(lax.sub(quotient, floored), np.asarray(0.5, a.dtype)), lax.add(floored, one), floored)
    signed_zero = lax.mul(lax.div(a, b), zero)
    result = jnp.where(lax.ne(quotient, zero), floored, signed_zero)
    return jnp.where(lax.eq(b, zero), lax.div(a, b), result)


@pointwise(Promote.INT_TO_FLOAT, name="true_divide", inplace=True, node="DivBackward0")
def true_divide(input, other, *, out=None):
    """The quotient, element by element, always a fraction: ``out_i = input_i / other_i``."""
    return lax.div(input, other)


@pointwise(name="_div_floor", namespaces=("_private",), inplace=False, node="DivBackward1")
def _div_floor(input, other):
    """The quotient rounded down."""
    return _floor(input, other)


@pointwise(name="_div_trunc", namespaces=("_private",), node="DivBackward1")
def _div_trunc(input, other):
    """The quotient rounded towards zero."""
    if np.dtype(input.dtype).kind in "iu":
        return lax.div(input, other)
    quotient = lax.div(input, other)
    return jnp.trunc(quotient)


def _by_mode(rounding_mode: str | None) -> Any:
    """The operator that divides with this rounding."""
    if rounding_mode is None:
        return true_divide.operator
    if rounding_mode == "floor":
        return _div_floor.operator
    if rounding_mode == "trunc":
        return _div_trunc.operator
    raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'")


_PLAIN = (None, (), None)


@composite(alias=("divide",))
def div(input, other, *, rounding_mode=None, out=None):
    """The quotient, element by element; ``rounding_mode`` None for a fraction, ``"trunc"`` or ``"floor"``."""
    chosen = _by_mode(rounding_mode)
    if rounding_mode is not None:
        _check_divisor(input, other)
    if out is not None:
        return machinery.call_out(chosen, out, (input, other), _PLAIN)
    return call(chosen, (input, other), _PLAIN)


@composite(alias=("divide_",), namespaces=("Tensor",))
def div_(input, other, *, rounding_mode=None):
    """In-place form of :func:`div`."""
    return call_inplace(_by_mode(rounding_mode), (input, other), _PLAIN)


@pointwise(inplace=True, nondiff=True, check=_check_divisor)
def floor_divide(input, other, *, out=None):
    """The quotient rounded down, ``floor(input_i / other_i)``."""
    return _floor(input, other)


@pointwise(inplace=True, check=_check_divisor)
def remainder(input, other, *, out=None):
    """Python's modulus: the remainder with the divisor's sign."""
    rest = lax.rem(input, other)
    if np.dtype(input.dtype).kind == "u":
        return rest
    zero = np.zeros((), input.dtype)
    wrong = jnp.logical_and(lax.ne(rest, zero), lax.ne(lax.lt(rest, zero), lax.lt(other, zero)))
    return jnp.where(wrong, lax.add(rest, other), rest)


@pointwise(inplace=True, check=_check_divisor)
def fmod(input, other, *, out=None):
    """C's remainder: with the dividend's sign."""
    return lax.rem(input, other)


def _pow(base: Any, exponent: Any) -> Any:
    kind = np.dtype(base.dtype).kind
    if kind == "b":
        return jnp.logical_or(base, jnp.logical_not(exponent))
    if kind in "iu":
        if isinstance(exponent, np.ndarray) and exponent.ndim == 0 and exponent < 0:
            raise RuntimeError("Integers to negative integer powers are not allowed.")
        return _integer_power(base, exponent)
    if isinstance(exponent, np.ndarray) and exponent.ndim == 0 and kind == "f":
        known = float(exponent)
        if known in (1.0, 2.0, 3.0, -1.0, -2.0):
            return lax.integer_pow(base, int(known))
        if known == 0.5:
            return lax.sqrt(base)
        if known == 0.0:
            return lax.full_like(base, 1)
    return _differentiable_pow(base, exponent)


def _integer_power(base: Any, exponent: Any) -> Any:
    if isinstance(exponent, np.ndarray) and exponent.ndim == 0:
        return lax.integer_pow(base, int(exponent))
    return jnp.power(base, exponent)


def _differentiable_pow(base: Any, exponent: Any) -> Any:
    return lax.pow(*_same_rank(jnp.asarray(base), jnp.asarray(exponent)))


@pointwise(name="_pow", namespaces=("_private",), node="PowBackward0")
def _pow_op(input, other):
    """Powers: ``out_i = input_i ** other_i``."""
    return _pow(input, other)


@pointwise(name="_pow_tensor", namespaces=("_private",), node="PowBackward1")
def _pow_tensor_op(input, other):
    """Powers with a tensor of exponents."""
    return _pow(input, other)


def _pow_of(exponent: Any) -> Any:
    return (_pow_tensor_op if isinstance(exponent, Tensor) else _pow_op).operator


@composite()
def pow(input, exponent, *, out=None):
    """Powers, element by element: ``out_i = input_i ** exponent_i``."""
    chosen = _pow_of(exponent)
    if not isinstance(input, Tensor):
        input = Tensor._scalar_tensor(input, exponent.device)
    if out is not None:
        return machinery.call_out(chosen, out, (input, exponent), _PLAIN)
    return call(chosen, (input, exponent), _PLAIN)


@composite(namespaces=("Tensor",))
def pow_(input, exponent):
    """In-place form of :func:`pow`."""
    return call_inplace(_pow_of(exponent), (input, exponent), _PLAIN)


@pointwise(Promote.DEFAULT, inplace=True, alias=("negative",))
def neg(input, *, out=None):
    """The negative of each element."""
    if input.dtype == np.bool_:
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use "
            "the "
            "`~` or `logical_not()` operator instead."
        )
    return lax.neg(input)


@op(inplace=True, alias=("absolute",), recompute=True)
def abs(input, *, out=None):
    """The absolute value of each element; the modulus of a complex one, a real number."""
    return absolute(input)


@pointwise(Promote.INT_TO_FLOAT, inplace=True)
def reciprocal(input, *, out=None):
    """One over each element."""
    return lax.div(np.ones((), input.dtype), input)


# Python's operators.

_SCALED = ((1, 1, 0), (), None)
_OPERANDS = (Tensor, bool, int, float, complex, np.generic)


def _binary(function: Callable, static: Any, reverse: bool = False) -> Callable:
    operator = function.operator
    if operator.check is not None and function is not add:
        # What is checked needs the general function; alpha is never given to an operator.

        def method(self, other):  # pyright: ignore[reportRedeclaration]
            if isinstance(other, _OPERANDS):
                return function(_as_tensor(other, self), self) if reverse else function(self, other)
            return NotImplemented

    elif reverse:

        def method(self, other):
            if isinstance(other, _OPERANDS):
                return call(operator, (_as_tensor(other, self), self), static)
            return NotImplemented

    else:

        def method(self, other):
            if isinstance(other, _OPERANDS):
                return call(operator, (self, other), static)
            return NotImplemented

    return method


def _as_tensor(number: Any, like: Tensor) -> Any:
    return number if isinstance(number, Tensor) else Tensor._scalar_tensor(number, like.device)


def _inplace(function: Callable, static: Any) -> Callable:
    operator = function.operator

    def method(self, other):
        if isinstance(other, _OPERANDS):
            return call_inplace(operator, (self, other), static)
        return NotImplemented

    return method


def _operators() -> dict[str, Callable]:
    return {
        "__add__": _binary(add, _SCALED), "__radd__": _binary(add, _SCALED), "__iadd__": _inplace(add, _SCALED),
        "__sub__": _binary(sub, _SCALED), "__rsub__": _binary(rsub, _SCALED), "__isub__": _inplace(sub, _SCALED),
        "__mul__": _binary(mul, _PLAIN), "__rmul__": _binary(mul, _PLAIN), "__imul__": _inplace(mul, _PLAIN),
        "__truediv__": _binary(true_divide, _PLAIN), "__itruediv__": _inplace(true_divide, _PLAIN),
        "__rtruediv__": lambda self, other: reciprocal(self) * other,
        "__floordiv__": _binary(floor_divide, _PLAIN), "__ifloordiv__": _inplace(floor_divide, _PLAIN),
        "__rfloordiv__": _binary(floor_divide, _PLAIN, reverse=True),
        "__mod__": _binary(remainder, _PLAIN), "__imod__": _inplace(remainder, _PLAIN),
        "__rmod__": _binary(remainder, _PLAIN, reverse=True),
        "__pow__": lambda self, other: pow(self, other) if isinstance(other, _OPERANDS) else NotImplemented,
        "__ipow__": lambda self, other: pow_(self, other) if isinstance(other, _OPERANDS) else NotImplemented,
        "__rpow__": lambda self, other: pow(_as_tensor(other, self), self),
        "__neg__": lambda self: neg(self), "__pos__": lambda self: self, "__abs__": lambda self: abs(self),
    }  # fmt: skip


for _name, _method in _operators().items():
    _method.__name__ = _name
    setattr(Tensor, _name, _method)

Bridge.add = staticmethod(add)
