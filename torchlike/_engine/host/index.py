"""Host rules of ``gather`` and the ``scatter`` family.

The general case counts elements: the window at a start index is the flat position of its corner plus a fixed pattern of
offsets, so a gather is one ``take`` from the flattened operand and a scatter is one indexed update of it. The common
cases (rows by number, one window) are found when the rule is resolved and use views instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.lax import GatherScatterMode

from torchlike._engine.host.base import (
    NoRuleError,
    constant,
    fresh,
    identity,
    out_dtype,
    out_shape,
    rule,
    shape_of,
    wide,
)

INDEX = np.dtype(np.int64)
FEW_ROWS = 16
"""Up to this many rows are scattered one by one."""


def _ints(values: Any) -> tuple[int, ...]:
    return tuple(map(int, values))


def _size(lengths: Any) -> int:
    size = 1
    for length in lengths:
        size *= length
    return size


class _Windows:
    """Where the windows of one gather or scatter lie in its operand.

    ``operand`` is the operand's shape, ``sizes`` the window's extent along each of its axes, ``mapped`` the axes that
    the components of a start index speak of, ``dropped`` the axes that the window lacks, ``batching`` pairs (operand
    axis, index axis) that run together, ``starts`` the shape of the start indices, components last.
    """

    def __init__(
        self,
        operand: tuple[int, ...],
        sizes: tuple[int, ...],
        mapped: tuple[int, ...],
        dropped: tuple[int, ...],
        batching: Sequence[tuple[int, int]],
        starts: tuple[int, ...],
    ):
        self.operand, self.sizes, self.mapped, self.batching = operand, sizes, mapped, batching
        self.batch = starts[:-1]
        self.window_axes = tuple(axis for axis in range(len(operand)) if axis not in dropped)
        self.window = tuple(sizes[axis] for axis in self.window_axes)
        self.limits = tuple(operand[axis] - sizes[axis] for axis in mapped)

    def rows_axis(self) -> int | None:
        """The axis whose single entries the windows are, if they are that."""
        if len(self.mapped) != 1 or self.batching:
            return None
        (axis,) = self.mapped
        whole = all(
            size == extent for d, (size, extent) in enumerate(zip(self.sizes, self.operand, strict=True)) if d != axis
        )
        return axis if whole and axis not in self.window_axes and self.sizes[axis] == 1 else None

    def corner(self, start: np.ndarray) -> tuple | None:
        """The basic index of the one window that starts at ``start``, or None if it sticks out."""
        index: list[Any] = [
            slice(0, self.sizes[axis]) if axis in self.window_axes else 0 for axis in range(len(self.operand))
        ]
        for axis, first, limit in zip(self.mapped, start.ravel().tolist(), self.limits, strict=True):
            if not 0 <= first <= limit:
                return None
            index[axis] = slice(first, first + self.sizes[axis]) if axis in self.window_axes else first
        return tuple(index)

    def flat(self) -> Callable[[np.ndarray], np.ndarray]:
        """A callable from in-range start indices to the flat positions, of shape batch + window."""
        strides = [_size(self.operand[axis + 1 :]) for axis in range(len(self.operand))]
        pattern = np.zeros((1,) * len(self.batch) + self.window, INDEX)
        for place, axis in enumerate(self.window_axes):
            steps = np.arange(self.sizes[axis]) * strides[axis]
            pattern = pattern + steps.reshape([-1 if d == place else 1 for d in range(len(self.window))])
        for axis, place in self.batching:
            steps = np.arange(self.batch[place]) * strides[axis]
            rank = len(self.batch) + len(self.window)
            pattern = pattern + steps.reshape([-1 if d == place else 1 for d in range(rank)])
        weights = [strides[axis] for axis in self.mapped]
        spread = self.batch + (1,) * len(self.window)
        plain = pattern.size == 1
        if len(weights) == 1:
            weight = weights[0]

            def single(starts: np.ndarray) -> np.ndarray:
                corners = starts.astype(INDEX, copy=False).reshape(spread)
                if weight != 1:
                    corners = corners * weight
                return corners if plain else corners + pattern

            return single
        factors = np.array(weights, INDEX)
        return lambda starts: starts.astype(INDEX, copy=False).dot(factors).reshape(spread) + pattern

    def clip(self) -> Callable[[np.ndarray], np.ndarray]:
        """A callable that moves start indices so far that the windows lie inside."""
        high = np.array(self.limits, INDEX)
        return lambda starts: np.minimum(np.maximum(starts, 0), high)

    def inside(self) -> Callable[[np.ndarray], np.ndarray | None]:
        """A callable from start indices to the mask of windows that lie inside, or to None if all do."""
        high = np.array(self.limits, INDEX)
        whole = len(self.batch)

        def mask(starts: np.ndarray) -> np.ndarray | None:
            if starts.dtype.kind == "u":
                good = np.less_equal(starts, high)
            else:
                good = np.logical_and(np.greater_equal(starts, 0), np.less_equal(starts, high))
            return None if good.all() else np.logical_and.reduce(good, whole)

        return mask


@rule("gather")
def _gather(eqn: Any) -> Callable:
    params, numbers = eqn.params, eqn.params["dimension_numbers"]
    mode = params["mode"]
    batching = tuple(zip(_ints(numbers.operand_batching_dims), _ints(numbers.start_indices_batching_dims), strict=True))
    collapsed = _ints(numbers.collapsed_slice_dims) + tuple(axis for axis, _ in batching)
    where = _Windows(
        shape_of(eqn),
        _ints(params["slice_sizes"]),
        _ints(numbers.start_index_map),
        collapsed,
        batching,
        shape_of(eqn, 1),
    )
    shape, fill = out_shape(eqn), constant(_fill_value(params["fill_value"], out_dtype(eqn)), out_dtype(eqn))
    order = _result_order(_ints(numbers.offset_dims), len(where.batch), len(shape))
    if 0 in shape:
        return fresh(lambda x, starts: np.empty(shape, out_dtype(eqn)))
    filled = mode == GatherScatterMode.FILL_OR_DROP
    axis = where.rows_axis()
    if axis is not None:
        return _take_rows(where, axis, shape, order, fill if filled else None)
    if _size(where.batch) == 1 and not batching:
        return _take_window(where, shape, fill if filled else None)
    flat, clip, inside = where.flat(), where.clip(), where.inside()
    arrange = _mover(order)

    def call(x: Any, starts: Any) -> Any:
        mask = inside(starts)
        if mask is None:
            return arrange(x.reshape(-1).take(flat(starts)))
        result = x.reshape(-1).take(flat(clip(starts)))
        if filled:
            result = np.where(mask.reshape(mask.shape + (1,) * (result.ndim - mask.ndim)), result, fill)
        return arrange(result)

    return fresh(call)


def _mover(order: tuple[int, ...]) -> Callable:
    return identity if order == tuple(range(len(order))) else lambda x: x.transpose(order)


def _fill_value(value: Any, dtype: np.dtype) -> Any:
    """What stands for elements out of range: NaN, the least signed or the greatest unsigned integer, True."""
    if value is not None:
        return value
    if dtype.kind in "iu":
        return np.iinfo(dtype).min if dtype.kind == "i" else np.iinfo(dtype).max
    return True if dtype.kind == "b" else np.nan


def _result_order(offsets: tuple[int, ...], batch: int, rank: int) -> tuple[int, ...]:
    """The permutation from (batch axes, window axes) to a layout in which the window axes stand at ``offsets``."""
    others = iter(range(batch))
    return tuple(batch + offsets.index(axis) if axis in offsets else next(others) for axis in range(rank))


def _take_rows(where: _Windows, axis: int, shape: tuple, order: tuple, fill: np.ndarray | None) -> Callable:
    """Whole entries along ``axis``. The result of ``take`` has the batch axes in place of ``axis``."""
    batch, rank = len(where.batch), len(shape)
    before = list(range(batch, batch + axis))
    laid = (
        *before,
        *range(batch),
        *range(batch + axis, rank),
    )  # of each axis of take's result, its number in (batch, window)
    arrange = _mover(tuple(laid.index(source) for source in order))
    drop = where.batch  # the shape of the indices without their axis of components
    inside = where.inside()
    spread = (1,) * axis + where.batch + (1,) * (rank - axis - batch)

    def clipped(x: Any, starts: Any) -> Any:
        return arrange(x.take(starts.reshape(drop), axis, None, "clip"))

    def filled(x: Any, starts: Any) -> Any:
        result = x.take(starts.reshape(drop), axis, None, "clip")
        mask = inside(starts)
        return arrange(result if mask is None else np.where(mask.reshape(spread), result, fill))

    return fresh(clipped if fill is None else filled)


def _take_window(where: _Windows, shape: tuple, fill: np.ndarray | None) -> Callable:
    """A single window, as a view: with one element in the batch, its place among the axes is a matter of shape."""
    clip = where.clip()

    def call(x: Any, starts: Any) -> Any:
        index = where.corner(starts)
        if index is None:
            if fill is not None:
                return np.broadcast_to(fill, shape)
            index = where.corner(clip(starts))
        return x[index].reshape(shape)

    return call


# Scatter

COMBINERS: dict[str, np.ufunc | None] = {
    "scatter": None,
    "scatter-add": np.add,
    "scatter-sub": np.subtract,
    "scatter-mul": np.multiply,
    "scatter-min": np.minimum,
    "scatter-max": np.maximum,
}


@rule(*COMBINERS)
def _scatter(eqn: Any) -> Callable:
    """A copy of the operand with windows replaced by or combined with the updates, but for windows that stick out."""
    combine, params, numbers = COMBINERS[eqn.primitive.name], eqn.params, eqn.params["dimension_numbers"]
    if combine is None and params["update_jaxpr"] is not None:
        raise NoRuleError("scatter_apply")
    operand, updates = shape_of(eqn), shape_of(eqn, 2)
    batching = tuple(
        zip(_ints(numbers.operand_batching_dims), _ints(numbers.scatter_indices_batching_dims), strict=True)
    )
    dropped = _ints(numbers.inserted_window_dims) + tuple(axis for axis, _ in batching)
    window_axes = _ints(numbers.update_window_dims)
    lengths = iter([updates[axis] for axis in window_axes])
    sizes = tuple(1 if axis in dropped else next(lengths) for axis in range(len(operand)))
    where = _Windows(operand, sizes, _ints(numbers.scatter_dims_to_operand_dims), dropped, batching, shape_of(eqn, 1))
    if 0 in updates:
        return lambda x, starts, values: x
    dtype = out_dtype(eqn)
    work = wide(dtype) if combine in (np.add, np.subtract, np.multiply) else dtype
    other_axes = tuple(axis for axis in range(len(updates)) if axis not in window_axes)
    arrange = _mover(other_axes + window_axes)
    unique = bool(params["unique_indices"])
    axis = where.rows_axis()
    if _size(where.batch) == 1 and not batching:
        store = _store_window(where, combine)
    elif axis is not None and where.window and (combine is None or unique or _size(where.batch) <= FEW_ROWS):
        store = _store_rows(where, axis, combine, unique)
    else:
        store = _store_flat(where, combine, unique)
    clip = where.clip() if params["mode"] == GatherScatterMode.CLIP else identity
    inside = where.inside()

    def call(x: Any, starts: Any, values: Any) -> Any:
        out = np.array(x, work, order="C")  # a 0-dim operand may be a NumPy scalar
        starts, values = clip(starts), arrange(values).astype(work, copy=False)
        store(out, starts, values, inside(starts))
        return out.astype(dtype, copy=False)

    return fresh(call)


def _store_window(where: _Windows, combine: np.ufunc | None) -> Callable:
    shape = where.window

    def store(out: np.ndarray, starts: np.ndarray, values: np.ndarray, mask: np.ndarray | None) -> None:
        if mask is None:
            index = where.corner(starts)
            values = values.reshape(shape)
            out[index] = values if combine is None else combine(out[index], values)

    return store


def _store_rows(where: _Windows, axis: int, combine: np.ufunc | None, unique: bool) -> Callable:
    """Whole entries along ``axis``, in one assignment if none is named twice or the last one wins."""
    count, window = _size(where.batch), where.window
    front = (axis, *(d for d in range(len(where.operand)) if d != axis))

    def store(out: np.ndarray, starts: np.ndarray, values: np.ndarray, mask: np.ndarray | None) -> None:
        target, rows, values = out.transpose(front), starts.reshape(count), values.reshape(count, *window)
        if mask is not None:
            kept = mask.reshape(count)
            rows, values = rows[kept], values[kept]
        if combine is None:
            target[rows] = values
        elif unique:
            target[rows] = combine(target[rows], values)
        else:
            for row, value in zip(rows.tolist(), values, strict=True):
                target[row] = combine(target[row], value)

    return store


def _store_flat(where: _Windows, combine: np.ufunc | None, unique: bool) -> Callable:
    flat, clip = where.flat(), where.clip()

    def store(out: np.ndarray, starts: np.ndarray, values: np.ndarray, mask: np.ndarray | None) -> None:
        target = out.reshape(-1)
        if mask is None:
            places, values = flat(starts).reshape(-1), values.reshape(-1)
        else:
            places, values = flat(clip(starts))[mask].reshape(-1), values[mask].reshape(-1)
        if combine is None:
            target[places] = values
        elif unique:
            target[places] = combine(target[places], values)
        else:
            combine.at(target, places, values)

    return store
