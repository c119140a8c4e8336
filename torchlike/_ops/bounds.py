"""Elements held between bounds, and the greater and the lesser of two."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax import lax

from torchlike._ops.bodies import c_name, choose, constant, kind
from torchlike._ops.op import Array, Number, apply, call_inplace, composite, pointwise
from torchlike._tensor.tensor import Tensor

_PLAIN = (None, (), None)

# Bounds. At a bound itself the gradient passes, as if the element were inside.


def _refuse_complex(function: str, x: Any) -> None:
    if kind(x) == "c":
        raise NotImplementedError(f"{function} is not supported for complex types")


@jax.custom_jvp
def _held(x: Any, low: Any, high: Any) -> Any:
    """``x`` between two numbers, either of which may be None."""
    if low is None:
        return lax.min(x, high)
    return lax.max(x, low) if high is None else lax.clamp(low, x, high)


@_held.defjvp
def _held_jvp(primals, tangents):
    # Beyond the bounds, and where x is NaN, no gradient passes.
    x, low, high = primals
    above, below = low is None or lax.ge(x, low), high is None or lax.le(x, high)
    inside = above if high is None else below if low is None else lax.bitwise_and(above, below)
    return _held(x, low, high), choose(inside, tangents[0], constant(x, 0))


def _between_bounds(x: Any, low: Any, high: Any) -> Any:
    return _held(x, *[None if b is None else lax.stop_gradient(b) for b in (low, high)])


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
                "one of:\n * (Tensor input, Tensor min = None, Tensor max = None, *, Tensor out = None)\n * (Tensor "
                "input, "
                "Number min = None, Number max = None, *, Tensor out = None)\n"
            )
    return which.operator, (input, *bounds), ((1, int(min is not None), int(max is not None)), (), None)


def _types(input: Any, min: Any, max: Any) -> str:
    return ", ".join(type(x).__name__ for x in (input, min, max) if x is not None)


@composite(alias=("clip",))
def clamp(input, min=None, max=None, *, out=None):
    """Each element, raised to ``min`` where it is below, lowered to ``max`` where above; numbers or tensors."""
    operator, operands, static = _clamp_call(input, min, max)
    return apply(operator, operands, static, out)


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
    return apply(operator, (input, min), _PLAIN, out)


@composite()
def clamp_max(input, max, *, out=None):
    """Each element, lowered to ``max`` where it is above."""
    operator = (_clamp_max_tensor if isinstance(max, Tensor) else _clamp_max).operator
    return apply(operator, (input, max), _PLAIN, out)


@composite()
def clamp_min_(input, min):
    """In-place form of :func:`clamp_min`."""
    return call_inplace((_clamp_min_tensor if isinstance(min, Tensor) else _clamp_min).operator, (input, min), _PLAIN)


@composite()
def clamp_max_(input, max):
    """In-place form of :func:`clamp_max`."""
    return call_inplace((_clamp_max_tensor if isinstance(max, Tensor) else _clamp_max).operator, (input, max), _PLAIN)


def need_tensor(function: str, other: Any) -> None:
    if not isinstance(other, Tensor):
        raise TypeError(f"{function}(): argument 'other' (position 2) must be Tensor, not {type(other).__name__}")


@pointwise(check=lambda input, other: need_tensor("maximum", other))
def maximum(input, other, *, out=None):
    """The greater of two elements, NaN where one is; at a tie each takes half of the gradient."""
    if kind(input) == "c":
        raise RuntimeError("maximum not implemented for complex tensors.")
    return lax.max(input, other)


@pointwise(check=lambda input, other: need_tensor("minimum", other))
def minimum(input, other, *, out=None):
    """The lesser of two elements, NaN where one is; at a tie each takes half of the gradient."""
    if kind(input) == "c":
        raise RuntimeError("minimum not implemented for complex tensors.")
    return lax.min(input, other)


@pointwise(check=lambda input, other: need_tensor("fmax", other))
def fmax(input, other, *, out=None):
    """The greater of two elements, the other one where one is NaN."""
    if kind(input) == "c":
        raise RuntimeError("fmax not implemented for complex tensors.")
    if kind(input) != "f":
        return lax.max(input, other)
    return choose(lax.bitwise_or(lax.ge(input, other), lax.ne(other, other)), input, other)


@pointwise(check=lambda input, other: need_tensor("fmin", other))
def fmin(input, other, *, out=None):
    """The lesser of two elements, the other one where one is NaN."""
    if kind(input) == "c":
        raise RuntimeError("fmin not implemented for complex tensors.")
    if kind(input) != "f":
        return lax.min(input, other)
    return choose(lax.bitwise_or(lax.le(input, other), lax.ne(other, other)), input, other)
