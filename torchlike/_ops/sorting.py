"""Order: sorting, the greatest k, medians and modes, distinct elements, searching and counting."""

from __future__ import annotations

from typing import Any

import numpy as np
from jax import lax

from torchlike._ops.bodies import (
    INT64,
    choose,
    constant,
    convert,
    evenly,
    kind,
    positions,
    selecting,
    take_along,
    type_name_of,
    widened,
)
from torchlike._ops.op import apply, composite, delivered, reduction
from torchlike._tensor.promotion import SCALAR_TYPE_NAMES
from torchlike._tensor.tensor import from_array, host_array, wrap_dim


def _key(x: Any) -> Any:
    """Integers of 32 bits in the order of elements of at most as many: NaN last, zeros of both signs alike."""
    if kind(x) != "f":
        return convert(x, INT64)
    x = widened(x)
    x = choose(lax.eq(x, constant(x, 0)), constant(x, 0), x)
    bits = lax.bitcast_convert_type(x, np.int32)
    sign = lax.shift_right_arithmetic(bits, np.int32(31))
    ordered = lax.bitwise_xor(bits, lax.bitwise_and(sign, np.int32(0x7FFFFFFF)))
    return convert(choose(lax.ne(x, x), np.int32(0x7FFFFFFF), ordered), INT64)


def _sorted_packed(x: Any, axis: int, descending: bool) -> tuple[Any, Any]:
    """A stable sort as that of one integer for each element, its key above its position: several times faster."""
    keys = _key(x)
    keys = lax.bitwise_not(keys) if descending else keys
    packed = lax.bitwise_or(lax.shift_left(keys, np.int64(32)), positions(x.shape, axis))
    index = lax.bitwise_and(lax.sort(packed, dimension=axis, is_stable=False), np.int64(0xFFFFFFFF))
    return take_along(x, index, axis), index


def sorted_along(x: Any, axis: int, descending: bool = False) -> tuple[Any, Any]:
    """The elements in order along an axis and the positions they came from; equal elements keep their order."""
    if np.dtype(x.dtype).itemsize <= 4:
        return _sorted_packed(x, axis, descending)
    where = positions(x.shape, axis)
    if descending:
        x, where = lax.rev(x, (axis,)), lax.rev(where, (axis,))
    values, index = lax.sort((x, where), dimension=axis, is_stable=True, num_keys=1)
    return (lax.rev(values, (axis,)), lax.rev(index, (axis,))) if descending else (values, index)


def _no_complex(name: str, x: Any) -> None:
    if kind(x) == "c":
        raise RuntimeError(f" {name} does not support complex dtypes on CPU")


def _order(x: Any, dim: int, descending: bool) -> tuple[Any, Any]:
    axis = wrap_dim(dim, x.ndim)
    _no_complex("Sort", x)
    if not x.ndim:
        return x, np.zeros((), INT64)
    return selecting(lambda a: sorted_along(a, axis, descending), x, axis)


def _sort_node(stable: bool | None = None, **_: Any) -> str:
    return "SortBackward0" if stable is None else "SortBackward1"


@reduction(name="sort", namespaces=("_private",), node=_sort_node, returns=("sort", ("values", "indices")))
def _sort(input, dim, descending, stable):
    """The elements in order along a dimension, NaN counting as the greatest, and their positions."""
    return _order(input, dim, descending)


@composite()
def sort(input, dim=-1, descending=False, stable=None, *, out=None, axis=None):
    """The elements in order along ``dim`` and the positions they came from, as ``(values, indices)``.

    NaN counts as the greatest. Equal elements keep their order whether or not ``stable`` asks for it.
    """
    static = (None, (int(dim if axis is None else axis), bool(descending), stable), None)
    return apply(_sort.operator, (input,), static, out)


@composite()
def argsort(input, dim=-1, descending=False, stable=False, axis=None):
    """The positions that bring the elements into order along ``dim``."""
    return sort(input.detach(), dim if axis is None else axis, descending)[1]


@composite()
def msort(input, *, out=None):
    """The elements in order along the first dimension."""
    result = sort(input, 0)[0]
    return delivered(result, out)


@reduction(returns=("topk", ("values", "indices")))
def topk(input, k, dim=-1, largest=True, sorted=True, *, out=None):
    """The ``k`` greatest elements along ``dim`` (the least with ``largest=False``), in order, and their positions."""
    axis = wrap_dim(dim, input.ndim)
    _no_complex("topk", input)
    if kind(input) == "b":
        raise RuntimeError("topk does not support bool dtypes on CPU")
    if not 0 <= k <= (input.shape[axis] if input.ndim else 1):
        raise RuntimeError("selected index k out of range")
    if not input.ndim:
        return input, np.zeros((), INT64)

    def greatest(x):
        if not largest:
            return tuple(lax.slice_in_dim(part, 0, k, axis=axis) for part in sorted_along(x, axis, largest))
        values, index = lax.top_k(x, k, axis=axis)
        return values, convert(index, INT64)

    return selecting(greatest, input, axis)


def _place(input: Any, axis: int, rank: Any, keepdim: bool) -> tuple[Any, Any]:
    """The element that sorting would put at ``rank``, and its position."""

    def find(x):
        return tuple(lax.slice_in_dim(part, rank, rank + 1, axis=axis) for part in sorted_along(x, axis))

    return _dropped(selecting(find, input, axis), axis, keepdim)


def _dropped(found: tuple, axis: int, keepdim: bool) -> tuple:
    return found if keepdim else tuple(lax.squeeze(part, (axis,)) for part in found)


@reduction(returns=("kthvalue", ("values", "indices")))
def kthvalue(input, k, dim=-1, keepdim=False, *, out=None):
    """The ``k``-th least element along ``dim``, counted from 1, and its position."""
    axis = wrap_dim(dim, input.ndim)
    size = input.shape[axis] if input.ndim else 1
    if input.ndim and not size:
        raise IndexError(f"kthvalue(): Expected reduction dim {axis} to have non-zero size.")
    if not 1 <= k <= size:
        raise RuntimeError("kthvalue(): selected number k out of range for dimension " + str(axis))
    return _place(input, axis, k - 1, keepdim) if input.ndim else (input, np.zeros((), INT64))


def _middle(x: Any, axis: int, skip_nan: bool) -> tuple[Any, Any]:
    """The lower median along an axis and its position, with the axis kept; NaN where there is one unless skipped."""
    n = x.shape[axis]

    def find(x):
        values, index = sorted_along(x, axis)
        if kind(x) != "f":
            return tuple(lax.slice_in_dim(part, (n - 1) // 2, (n - 1) // 2 + 1, axis=axis) for part in (values, index))
        missing = lax.reduce_sum(convert(lax.ne(x, x), INT64), (axis,))
        good = lax.sub(constant(missing, n), missing)
        half = lax.max(lax.div(lax.sub(good, constant(good, 1)), constant(good, 2)), constant(good, 0))
        if not skip_nan:  # the first NaN stands right after the numbers
            half = lax.select(lax.gt(missing, constant(missing, 0)), good, half)
        half = lax.expand_dims(half, (axis,))
        return take_along(values, half, axis), take_along(index, half, axis)

    return selecting(find, x, axis)


def _ordered_numbers(x: Any) -> None:
    if kind(x) in "bc":
        raise NotImplementedError(f"\"median_cpu\" not implemented for '{type_name_of(x)}'")


def _median_body(skip_nan: bool) -> Any:
    name = "nanmedian" if skip_nan else "median"

    def along(input, dim, keepdim):
        axis = wrap_dim(dim, input.ndim)
        _ordered_numbers(input)
        if not input.ndim:
            return input, np.zeros((), INT64)
        if not input.shape[axis]:
            raise IndexError(f"{name}(): Expected reduction dim {axis} to have non-zero size.")
        return _dropped(_middle(input, axis, skip_nan), axis, keepdim)

    def every(input):
        _ordered_numbers(input)
        flat = lax.reshape(input, (input.size,))
        if not input.size:
            return np.full((), np.nan, input.dtype)
        if kind(flat) != "f":
            return lax.squeeze(_middle(flat, 0, skip_nan)[0], (0,))
        every = tuple(range(input.ndim))
        return evenly(lambda x: lax.squeeze(_middle(lax.reshape(x, (x.size,)), 0, skip_nan)[0], (0,)), input, every)

    along.__doc__ = "The lower median along a dimension, and where it is."
    every.__doc__ = "The lower median of all elements."
    title = name.capitalize()
    along_op = reduction(
        name=f"_{name}_along", namespaces=("_private",), node=f"{title}Backward1", returns=(name, ("values", "indices"))
    )(along)
    every_op = reduction(name=name, namespaces=("_private",), node=f"{title}Backward0")(every)

    def function(input, dim=None, keepdim=False, *, out=None, axis=None, keepdims=None):
        dim, keepdim = dim if axis is None else axis, keepdim if keepdims is None else keepdims
        if dim is None:
            return every_op(input)
        static = (None, (int(dim), bool(keepdim)), None)
        return apply(along_op.operator, (input,), static, out)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        "The median of all elements, the lower of two middle ones; with ``dim`` a named tuple of those along it and of "
        "their positions." + (" NaN are passed over." if skip_nan else "")
    )
    composite()(function)


_median_body(False)
_median_body(True)


# Distinct elements.


def _unique_rows(array: np.ndarray, axis: int) -> tuple:
    return np.unique(array, return_inverse=True, return_counts=True, axis=axis)


@composite()
def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """The distinct elements in order, or the distinct slices along ``dim``.

    With ``return_inverse`` also where each element went, with ``return_counts`` also how often each occurs.
    """
    if input.is_complex():
        raise NotImplementedError(f"\"unique\" not implemented for '{SCALAR_TYPE_NAMES[input.dtype]}'")
    array = host_array(input)
    if dim is None:
        values, inverse, counts = np.unique(array, return_inverse=True, return_counts=True, equal_nan=False)
        inverse = inverse.reshape(array.shape)
    else:
        axis = wrap_dim(dim, array.ndim)
        values, inverse, counts = _unique_rows(array, axis)
        inverse = inverse.reshape(-1)
    return _with_extras(input, values, inverse, counts, return_inverse, return_counts)


def _with_extras(like: Any, values: Any, inverse: Any, counts: Any, return_inverse: bool, return_counts: bool) -> Any:
    found = [values]
    if return_inverse:
        found.append(inverse.astype(np.int64))
    if return_counts:
        found.append(counts.astype(np.int64))
    made = [from_array(np.ascontiguousarray(a), like.device) for a in found]
    return made[0] if len(made) == 1 else tuple(made)


@composite()
def unique_consecutive(input, return_inverse=False, return_counts=False, dim=None):
    """The elements, or slices along ``dim``, that differ from the one before."""
    array = host_array(input)
    shape = array.shape
    axis = 0 if dim is None else wrap_dim(dim, array.ndim)
    rows = array.reshape(-1) if dim is None else np.moveaxis(array, axis, 0)
    n = len(rows)
    changed = np.ones(n, bool)
    if n > 1:
        changed[1:] = (rows[1:] != rows[:-1]).reshape(n - 1, -1).any(1)
    starts = np.flatnonzero(changed)
    inverse = np.cumsum(changed) - 1
    counts = np.diff(np.append(starts, n))
    values = rows[starts] if dim is None else np.moveaxis(rows[starts], 0, axis)
    inverse = inverse.reshape(shape) if dim is None else inverse
    return _with_extras(input, values, inverse, counts, return_inverse, return_counts)
