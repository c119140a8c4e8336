"""Comparisons, Python's comparison and bit operators, masks, and choice by a mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jax import lax

from torchlike._ops import op as machinery
from torchlike._ops.bodies import c_name, constant, kind, truth, type_name_of
from torchlike._ops.op import Array, Number, Promote, apply, call, call_inplace, composite, delivered, op, pointwise
from torchlike._tensor import dtypes
from torchlike._tensor.promotion import DIMENSIONED, NUMBER, SCALAR_TYPE_NAMES, ZERO_DIM, result_type_of
from torchlike._tensor.tensor import Tensor, from_array, host_array

_PLAIN = (None, (), None)
_BOOL = Promote.BOOL_RESULT


# Order.


@pointwise(_BOOL, inplace="method", nondiff=True)
def eq(input, other, *, out=None):
    """Whether each element equals ``other``'s."""
    return lax.eq(input, other)


@pointwise(_BOOL, inplace="method", nondiff=True, alias=("not_equal",))
def ne(input, other, *, out=None):
    """Whether each element differs from ``other``'s."""
    return lax.ne(input, other)


def _ordered(name: str, x: Any) -> None:
    if kind(x) == "c":
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{type_name_of(x)}'")


@pointwise(_BOOL, inplace="method", nondiff=True, alias=("less",))
def lt(input, other, *, out=None):
    """Whether each element is less than ``other``'s."""
    _ordered("lt", input)
    return lax.lt(input, other)


@pointwise(_BOOL, inplace="method", nondiff=True, alias=("less_equal",))
def le(input, other, *, out=None):
    """Whether each element is less than ``other``'s or equal to it."""
    _ordered("le", input)
    return lax.le(input, other)


@pointwise(_BOOL, inplace="method", nondiff=True, alias=("greater",))
def gt(input, other, *, out=None):
    """Whether each element is greater than ``other``'s."""
    _ordered("gt", input)
    return lax.gt(input, other)


@pointwise(_BOOL, inplace="method", nondiff=True, alias=("greater_equal",))
def ge(input, other, *, out=None):
    """Whether each element is greater than ``other``'s or equal to it."""
    _ordered("ge", input)
    return lax.ge(input, other)


# Kinds of number.


@op(nondiff=True)
def isnan(input):
    """Whether each element is not a number."""
    return lax.ne(input, input)


@op(nondiff=True)
def isinf(input):
    """Whether each element is infinite."""
    if kind(input) == "c":
        return lax.bitwise_or(_infinite(lax.real(input)), _infinite(lax.imag(input)))
    return _infinite(input) if kind(input) == "f" else lax.ne(input, input)


def _infinite(x: Any) -> Any:
    return lax.eq(lax.abs(x), constant(x, np.inf))


@op(nondiff=True)
def isfinite(input):
    """Whether each element is neither infinite nor NaN."""
    if kind(input) == "c":
        return lax.bitwise_and(lax.is_finite(lax.real(input)), lax.is_finite(lax.imag(input)))
    return lax.is_finite(input) if kind(input) == "f" else lax.eq(input, input)


@op(nondiff=True)
def isposinf(input, *, out=None):
    """Whether each element is plus infinity."""
    if kind(input) == "c":
        raise RuntimeError("isposinf does not support complex inputs.")
    return lax.eq(input, constant(input, np.inf)) if kind(input) == "f" else lax.ne(input, input)


@op(nondiff=True)
def isneginf(input, *, out=None):
    """Whether each element is minus infinity."""
    if kind(input) == "c":
        raise RuntimeError("isneginf does not support complex inputs.")
    return lax.eq(input, constant(input, -np.inf)) if kind(input) == "f" else lax.ne(input, input)


@op(nondiff=True)
def isreal(input):
    """Whether each element has no imaginary part."""
    if kind(input) != "c":
        return lax.full(input.shape, True, np.bool_)
    return lax.eq(lax.imag(input), constant(lax.imag(input), 0))


@composite()
def is_nonzero(input):
    """Whether the only element is not zero; a Python bool."""
    return bool(input)


# Whether two tensors are alike.


def _tolerances(rtol: float, atol: float) -> None:
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value < 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {value:g}")


def _close(a: np.ndarray, b: np.ndarray, rtol: float, atol: float, equal_nan: bool) -> np.ndarray:
    with np.errstate(all="ignore"):
        if a.dtype.kind in "bui":
            a, b = a.astype(np.float64), b.astype(np.float64)
        allowed = atol + np.abs(rtol * b)
        near = np.abs(a - b) <= allowed
        same = (a == b) | (np.isfinite(a - b) & np.isfinite(allowed) & near)
        return same | (np.isnan(a) & np.isnan(b)) if equal_nan else same


def _alike(name: str, input: Any, other: Any) -> tuple[np.ndarray, np.ndarray]:
    for position, x in enumerate((input, other)):
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{name}(): argument '{('input', 'other')[position]}' (position {position + 1}) must be Tensor, not "
                f"{type(x).__name__}"
            )
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{SCALAR_TYPE_NAMES[input.dtype]} did not match {SCALAR_TYPE_NAMES[other.dtype]}")
    machinery.broadcast_shapes([input._spec.shape, other._spec.shape])
    a, b = host_array(input), host_array(other)
    if input.dtype in (dtypes.float16, dtypes.bfloat16):
        a, b = a.astype(np.float32), b.astype(np.float32)
    return a, b


@composite()
def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Whether ``|input_i - other_i| <= atol + rtol * |other_i|``; equal infinities are close."""
    a, b = _alike("isclose", input, other)
    _tolerances(rtol, atol)
    return from_array(np.asarray(_close(a, b, rtol, atol, equal_nan)))


@composite()
def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Whether all elements are close, as :func:`isclose` has it; a Python bool."""
    a, b = _alike("allclose", input, other)
    _tolerances(rtol, atol)
    return bool(_close(a, b, rtol, atol, equal_nan).all())


@composite()
def equal(input, other):
    """Whether two tensors have the same shape and elements; a Python bool."""
    if not isinstance(other, Tensor):
        raise TypeError(f"equal(): argument 'other' (position 2) must be Tensor, not {type(other).__name__}")
    if input._spec.shape != other._spec.shape:
        return False
    return bool(np.array_equal(host_array(input), host_array(other)))


# Bits.


def _bits(name: str, x: Any) -> None:
    if kind(x) in "fc":
        raise NotImplementedError(f"\"{name}\" not implemented for '{type_name_of(x)}'")


@pointwise(inplace="method", nondiff=True)
def bitwise_and(input, other, *, out=None):
    """The bits set in both elements; of bool, whether both hold."""
    _bits("bitwise_and_cpu", input)
    return lax.bitwise_and(input, other)


@pointwise(inplace="method", nondiff=True)
def bitwise_or(input, other, *, out=None):
    """The bits set in either element; of bool, whether either holds."""
    _bits("bitwise_or_cpu", input)
    return lax.bitwise_or(input, other)


@pointwise(inplace="method", nondiff=True)
def bitwise_xor(input, other, *, out=None):
    """The bits set in one element and not the other."""
    _bits("bitwise_xor_cpu", input)
    return lax.bitwise_xor(input, other)


@pointwise(inplace="method", nondiff=True)
def bitwise_not(input, *, out=None):
    """Every bit turned over; of bool, the opposite."""
    _bits("bitwise_not_cpu", input)
    return lax.bitwise_not(input)


def _shifts(name: str, x: Any) -> None:
    if kind(x) in "bfc":
        raise NotImplementedError(f"\"{name}\" not implemented for '{type_name_of(x)}'")


@pointwise(inplace="method", nondiff=True)
def bitwise_left_shift(input, other, *, out=None):
    """The bits moved up by ``other_i`` places."""
    _shifts("lshift_cpu", input)
    return lax.shift_left(input, other)


@pointwise(inplace="method", nondiff=True)
def bitwise_right_shift(input, other, *, out=None):
    """The bits moved down by ``other_i`` places, the sign kept."""
    _shifts("rshift_cpu", input)
    if kind(input) == "u":
        return lax.shift_right_logical(input, other)
    return lax.shift_right_arithmetic(input, other)


# Truth.


@op(nondiff=True, name="_logical_and", namespaces=("_private",))
def _logical_and(input, other: Array):
    """Whether both elements are non-zero."""
    return lax.bitwise_and(*_truths(input, other))


@op(nondiff=True, name="_logical_or", namespaces=("_private",))
def _logical_or(input, other: Array):
    """Whether either element is non-zero."""
    return lax.bitwise_or(*_truths(input, other))


@op(nondiff=True, name="_logical_xor", namespaces=("_private",))
def _logical_xor(input, other: Array):
    """Whether just one element is non-zero."""
    return lax.bitwise_xor(*_truths(input, other))


@op(nondiff=True, name="_logical_not", namespaces=("_private",))
def _logical_not(input):
    """Whether each element is zero."""
    return lax.eq(input, constant(input, 0))


def _truths(a: Any, b: Any) -> list[Any]:
    shape = machinery.broadcast_shapes([a.shape, b.shape])
    return [machinery._broadcast(truth(x), shape) for x in (a, b)]


def _logical(name: str, declared: Callable, doc: str) -> None:
    operator = declared.operator

    def function(input, other, *, out=None):
        if not isinstance(other, Tensor):
            raise TypeError(f"{name}(): argument 'other' (position 2) must be Tensor, not {type(other).__name__}")
        return apply(operator, (input, other), _PLAIN, out)

    def apply_in_place(input, other):
        return call_inplace(operator, (input, other), _PLAIN)

    _public(name, function, doc)
    _public(name + "_", apply_in_place, f"In-place form of :func:`{name}`.")


def _public(name: str, function: Callable, doc: str) -> None:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    composite(("Tensor",) if name.endswith("_") else ("torch", "Tensor"))(function)


_logical("logical_and", _logical_and, "Whether both elements are non-zero.")
_logical("logical_or", _logical_or, "Whether either element is non-zero.")
_logical("logical_xor", _logical_xor, "Whether just one of two elements is non-zero.")


@composite()
def logical_not(input, *, out=None):
    """Whether each element is zero."""
    operator = _logical_not.operator
    return apply(operator, (input,), _PLAIN, out)


@composite(namespaces=("Tensor",))
def logical_not_(input):
    """In-place form of :func:`logical_not`."""
    return call_inplace(_logical_not.operator, (input,), _PLAIN)


# Python's operators.

_OPERANDS = (Tensor, bool, int, float, complex, np.generic)


def _operator(function: Callable, reverse: bool = False) -> Callable:
    operator = function.operator

    def forwards(self, other):
        return call(operator, (self, other), _PLAIN) if isinstance(other, _OPERANDS) else NotImplemented

    def backwards(self, other):
        if not isinstance(other, _OPERANDS):
            return NotImplemented
        return call(operator, (Tensor._scalar_tensor(other, self.device), self), _PLAIN)

    return backwards if reverse else forwards


def _in_place(function: Callable) -> Callable:
    operator = function.operator

    def method(self, other):
        return call_inplace(operator, (self, other), _PLAIN) if isinstance(other, _OPERANDS) else NotImplemented

    return method


def _invert(self):
    if kind(self._spec) in "fc":
        raise TypeError("~ (operator.invert) is only implemented on integer and Boolean-type tensors")
    return bitwise_not(self)


_METHODS = {
    "__eq__": _operator(eq), "__ne__": _operator(ne), "__lt__": _operator(lt), "__le__": _operator(le),
    "__gt__": _operator(gt), "__ge__": _operator(ge),
    "__invert__": _invert,
}  # fmt: skip
for _symbol, _function in (
    ("and", bitwise_and), ("or", bitwise_or), ("xor", bitwise_xor), ("lshift", bitwise_left_shift),
    ("rshift", bitwise_right_shift),
):  # fmt: skip
    _METHODS[f"__{_symbol}__"] = _operator(_function)
    _METHODS[f"__r{_symbol}__"] = _operator(_function, reverse=_symbol.endswith("shift"))
    _METHODS[f"__i{_symbol}__"] = _in_place(_function)
for _name, _method in _METHODS.items():
    _method.__name__ = _method.__qualname__ = _name
    setattr(Tensor, _name, _method)


# Choice.


@op(name="where", namespaces=("_private",), node="WhereBackward0", recompute=True)
def _where(condition: Array, input: Number, other: Number, dtype):
    """One of two values for each element, in ``dtype``."""
    target = dtype.np
    a, b = machinery._cast(input, target), machinery._cast(other, target)
    shape = machinery.broadcast_shapes([condition.shape, np.shape(a), np.shape(b)])
    if condition.dtype != np.bool_:
        condition = truth(condition)
    return lax.select(*[machinery._broadcast(x, shape) for x in (condition, a, b)])


def _priority(x: Any) -> tuple[Any, int]:
    if isinstance(x, Tensor):
        return x.dtype, DIMENSIONED if x._spec.ndim else ZERO_DIM
    if isinstance(x, (bool, int, float, complex, np.generic)):
        return dtypes.of_number(x.item() if isinstance(x, np.generic) else x), NUMBER
    raise TypeError(f"where(): argument 'other' must be Tensor or Number, not {type(x).__name__}")


def _chosen(condition: Any, input: Any, other: Any) -> Tensor:
    if not isinstance(condition, Tensor):
        raise TypeError(f"where(): argument 'condition' (position 1) must be Tensor, not {type(condition).__name__}")
    if condition.dtype not in (dtypes.bool_, dtypes.uint8):
        raise RuntimeError(
            "where expected condition to be a boolean tensor, but got a tensor with dtype "
            f"{SCALAR_TYPE_NAMES[condition.dtype]}"
        )
    if isinstance(input, Tensor) and isinstance(other, Tensor) and input._spec.dtype == other._spec.dtype:
        dtype = input.dtype
    else:
        dtype = result_type_of([_priority(input), _priority(other)])
    return call(_where.operator, (condition, input, other), (None, (dtype,), None))


@composite(namespaces=("torch",))
def where(condition, input=None, other=None, *, out=None):
    """``input_i`` where the condition holds, ``other_i`` where not; without the two, the positions where it holds."""
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    if input is None or other is None:
        given = ", ".join(type(x).__name__ for x in (condition, input, other) if x is not None)
        raise TypeError(
            f"where() received an invalid combination of arguments - got ({given}), but expected one of:\n * (Tensor "
            "condition)\n * (Tensor condition, Tensor input, Tensor other, *, Tensor out = None)\n * (Tensor "
            "condition, "
            "Number self, Tensor other)\n * (Tensor condition, Tensor input, Number other)\n * (Tensor condition, "
            "Number "
            "self, Number other)\n"
        )
    result = _chosen(condition, input, other)
    return delivered(result, out)


@composite(namespaces=("Tensor",), name="where")
def _where_method(self, condition, other):
    """This tensor's elements where the condition holds and ``other``'s where not."""
    return _chosen(condition, self, other)


# Masks.


def _check_mask(name: str, mask: Any) -> None:
    if not isinstance(mask, Tensor):
        raise TypeError(f"{name}(): argument 'mask' (position 1) must be Tensor, not {type(mask).__name__}")
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError(f"{name} only supports boolean masks, but got mask with dtype {c_name(mask)}")


@op(name="masked_fill", namespaces=("_private",), node="MaskedFillBackward0", recompute=True)
def _masked_fill(input, mask: Array, value: Number):
    """The input with a number where the mask holds."""
    return _filled(input, mask, value)


@op(name="_masked_fill_tensor", namespaces=("_private",), node="MaskedFillBackward1", recompute=True)
def _masked_fill_tensor(input, mask: Array, value: Array):
    """The input with a tensor's only element where the mask holds."""
    return _filled(input, mask, value)


def _filled(x: Any, mask: Any, value: Any) -> Any:
    shape = machinery.broadcast_shapes([x.shape, mask.shape])
    value = machinery._cast(value, x.dtype)
    return lax.select(*[machinery._broadcast(a, shape) for a in (mask, value, x)])


def _fill_call(self: Tensor, mask: Any, value: Any) -> tuple:
    _check_mask("masked_fill_", mask)
    if isinstance(value, Tensor):
        if value._spec.ndim:
            raise RuntimeError(
                f"masked_fill_ only supports a 0-dimensional value tensor, but got tensor with {value._spec.ndim} "
                "dimension(s)."
            )
        return _masked_fill_tensor.operator, (self, mask, value), _PLAIN
    check_fits(value, self.dtype)
    return _masked_fill.operator, (self, mask, value), _PLAIN


_C_NAMES = {
    "float64": "double", "float32": "float", "float16": "c10::Half", "bfloat16": "c10::BFloat16", "int64": "int64_t",
    "int32": "int", "int16": "int16_t", "int8": "int8_t", "uint8": "uint8_t", "bool": "bool",
}  # fmt: skip


def check_fits(number: Any, dtype: Any) -> None:
    """RuntimeError where a Python number is out of the range of a dtype, or would lose an imaginary part."""
    fits = True
    if isinstance(number, complex) and not dtype.is_complex:
        fits = number.imag == 0
    elif isinstance(number, float) and dtype.np.kind in "iu":
        fits = number == number and np.iinfo(dtype.np).min <= number <= np.iinfo(dtype.np).max
    elif type(number) is int and dtype.np.kind in "iu":
        fits = (
            np.iinfo(dtype.np).min - (dtype.np.kind == "u") * np.iinfo(dtype.np).max <= number <= np.iinfo(dtype.np).max
        )
    elif isinstance(number, (int, float)) and dtype.is_floating_point and abs(number) != np.inf:
        import ml_dtypes

        fits = not abs(number) > float(ml_dtypes.finfo(dtype.np).max)
    if not fits:
        raise RuntimeError(f"value cannot be converted to type {_C_NAMES.get(dtype.name, dtype.name)} without overflow")


@composite()
def masked_fill(input, mask, value):
    """A copy of ``input`` with ``value``, a number or 0-dim tensor, where the mask holds."""
    return call(*_fill_call(input, mask, value))


@composite(namespaces=("Tensor",))
def masked_fill_(self, mask, value):
    """In-place form of :func:`masked_fill`."""
    return call_inplace(*_fill_call(self, mask, value))


@op(name="masked_select", namespaces=("_private",), node="MaskedSelectBackward0")
def _masked_select(input, places: Array, shape):
    """The elements at flat positions of the input broadcast to a shape."""
    flat = lax.reshape(machinery._broadcast(input, shape), (int(np.prod(shape)),))
    return flat.at[places].get(mode="promise_in_bounds", unique_indices=True, indices_are_sorted=True)


@composite()
def masked_select(input, mask, *, out=None):
    """The elements of ``input`` where the mask holds, in one dimension."""
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = machinery.broadcast_shapes([input._spec.shape, mask._spec.shape])
    places = np.flatnonzero(np.broadcast_to(host_array(mask), shape))
    result = _masked_select(input, from_array(places, input.device), shape)
    return delivered(result, out)


@op(name="masked_scatter", namespaces=("_private",), node="MaskedScatterBackward0")
def _masked_scatter(input, places: Array, source: Array, shape):
    """The input, broadcast to a shape, with the source's first elements at flat positions."""
    flat = lax.reshape(machinery._broadcast(input, shape), (int(np.prod(shape)),))
    values = lax.slice(lax.reshape(source, (source.size,)), (0,), places.shape)
    return lax.reshape(flat.at[places].set(values, unique_indices=True, indices_are_sorted=True), shape)


def _scatter_call(self: Tensor, mask: Any, source: Any) -> tuple:
    _check_mask("masked_scatter_", mask)
    if self.dtype is not source.dtype:
        raise RuntimeError(
            "masked_scatter_: expected self and source to have same dtypes but got"
            f"{SCALAR_TYPE_NAMES[self.dtype]} and {SCALAR_TYPE_NAMES[source.dtype]}"
        )
    shape = machinery.broadcast_shapes([self._spec.shape, mask._spec.shape])
    places = np.flatnonzero(np.broadcast_to(host_array(mask), shape))
    if places.size > source._spec.numel:
        raise RuntimeError("Number of elements of source < number of ones in mask")
    return _masked_scatter.operator, (self, from_array(places, self.device), source), (None, (shape,), None)


@composite()
def masked_scatter(input, mask, source):
    """A copy of ``input`` with the elements of ``source``, in order, where the mask holds."""
    return call(*_scatter_call(input, mask, source))


@composite(namespaces=("Tensor",))
def masked_scatter_(self, mask, source):
    """In-place form of :func:`masked_scatter`."""
    return call_inplace(*_scatter_call(self, mask, source))


@composite(namespaces=("torch",))
def isin(elements, test_elements, *, assume_unique=False, invert=False, out=None):
    """Whether each of ``elements`` is among ``test_elements``; ``invert`` for the opposite."""
    among, wanted = [host_array(x) if isinstance(x, Tensor) else np.asarray(x) for x in (elements, test_elements)]
    return delivered(from_array(np.asarray(np.isin(among, wanted, invert=invert))), out)
