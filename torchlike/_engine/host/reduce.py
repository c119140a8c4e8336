"""Host rules of reductions, running totals and sorting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from torchlike._engine.host.base import (
    BFLOAT16,
    FLOAT32,
    NoRuleError,
    adapt,
    along,
    dtype_of,
    fresh,
    identity,
    out_dtype,
    out_shape,
    rule,
    shape_of,
    wide,
)
from torchlike._engine.host.shape import full

REDUCTIONS: dict[str, np.ufunc] = {
    "reduce_sum": np.add,
    "reduce_prod": np.multiply,
    "reduce_max": np.maximum,
    "reduce_min": np.minimum,
    "reduce_and": np.bitwise_and,
    "reduce_or": np.bitwise_or,
    "reduce_xor": np.bitwise_xor,
}

RUNNING: dict[str, np.ufunc] = {
    "cumsum": np.add,
    "cumprod": np.multiply,
    "cummax": np.maximum,
    "cummin": np.minimum,
    "cumlogsumexp": np.logaddexp,
}


def neutral(ufunc: np.ufunc, dtype: np.dtype) -> Any:
    """What ``ufunc`` leaves alone: 0 for a sum, the least value for a maximum."""
    if ufunc is np.maximum or ufunc is np.minimum:
        low = ufunc is np.maximum
        if dtype.kind == "b":
            return not low
        if dtype.kind in "iu":
            return np.iinfo(dtype).min if low else np.iinfo(dtype).max
        return -np.inf if low else np.inf
    if ufunc is np.bitwise_and:
        return True if dtype.kind == "b" else np.array(-1).astype(dtype)
    return 1 if ufunc is np.multiply else 0


@rule(*REDUCTIONS)
def _reduce(eqn: Any) -> Callable:
    ufunc, dtype = REDUCTIONS[eqn.primitive.name], out_dtype(eqn)
    shape, axes = shape_of(eqn), tuple(map(int, eqn.params["axes"]))
    if not axes:
        return identity
    if 0 in shape:
        return full(out_shape(eqn), neutral(ufunc, dtype), dtype)
    work = wide(dtype) if ufunc in (np.add, np.multiply) else dtype
    if dtype.kind == "b" and ufunc in (np.bitwise_and, np.bitwise_or):  # these stop at the first answer
        ufunc = np.logical_and if ufunc is np.bitwise_and else np.logical_or
    where = axes[0] if len(axes) == 1 else axes
    reduce = ufunc.reduce
    if work is not dtype:
        return fresh(lambda x: reduce(x.astype(work), where, work).astype(dtype))
    return fresh(lambda x: reduce(x, where, dtype))


@rule("argmax", "argmin")
def _argmax(eqn: Any) -> Callable:
    """Position of the first greatest (least) element along one axis; of the first NaN where there is one."""
    (axis,) = map(int, eqn.params["axes"])
    dtype, greatest = out_dtype(eqn), eqn.primitive.name == "argmax"
    if dtype_of(eqn) == BFLOAT16:
        find = np.argmax if greatest else np.argmin
        return fresh(lambda x: find(x.astype(FLOAT32), axis).astype(dtype))
    if greatest:
        return fresh(lambda x: x.argmax(axis).astype(dtype))
    return fresh(lambda x: x.argmin(axis).astype(dtype))


@rule(*RUNNING)
def _cumulative(eqn: Any) -> Callable:
    ufunc, dtype = RUNNING[eqn.primitive.name], out_dtype(eqn)
    axis = int(eqn.params["axis"])
    if ufunc is np.logaddexp and dtype.kind == "c":
        raise NoRuleError("complex logaddexp")
    accumulate, work = ufunc.accumulate, wide(dtype)
    if eqn.params["reverse"]:
        flip = along(axis, slice(None, None, -1))
        return adapt(eqn, fresh(lambda x: accumulate(x[flip], axis, work)[flip]))
    return adapt(eqn, fresh(lambda x: accumulate(x, axis, work)))


# Sorting


def taker(shape: tuple[int, ...], axis: int) -> Callable:
    """A callable ``(x, order)`` that permutes ``x`` along ``axis``; the other axes have the lengths in ``shape``."""
    if len(shape) == 1:
        return lambda x, order: x[order]
    rest = [np.arange(n).reshape([-1 if d == k else 1 for d in range(len(shape))]) for k, n in enumerate(shape)]
    before, after = tuple(rest[:axis]), tuple(rest[axis + 1 :])
    return lambda x, order: x[(*before, order, *after)]


def _sortable(x: np.ndarray) -> np.ndarray:
    """``x`` in a dtype that NumPy sorts with NaN last."""
    return x.astype(FLOAT32) if x.dtype == BFLOAT16 else x


@rule("sort")
def _sort(eqn: Any) -> Callable:
    """Sort along one axis by the first ``num_keys`` operands, the first foremost, NaN last; equals keep their order."""
    axis, keys = int(eqn.params["dimension"]), int(eqn.params["num_keys"])
    sort = np.sort
    if len(eqn.invars) == 1 and dtype_of(eqn) == BFLOAT16:
        return fresh(lambda x: (sort(x.astype(FLOAT32), axis, "stable").astype(BFLOAT16),))
    if len(eqn.invars) == 1:
        kind = None if dtype_of(eqn).kind in "iub" else "stable"  # equal integers are alike; the default is far faster
        return fresh(lambda x: (sort(x, axis, kind),))
    take = taker(shape_of(eqn), axis)

    def call(*xs: Any) -> tuple:
        order = _sortable(xs[keys - 1]).argsort(axis, "stable")
        for key in reversed(xs[: keys - 1]):
            order = take(order, _sortable(take(key, order)).argsort(axis, "stable"))
        return tuple([take(x, order) for x in xs])

    return fresh(call)


@rule("top_k", "approx_top_k")
def _top_k(eqn: Any) -> Callable:
    """The greatest k along an axis and their positions, the greatest first, of equals the foremost first."""
    params, shape = eqn.params, shape_of(eqn)
    axis = int(params.get("axis", params.get("reduction_dimension", -1))) % len(shape)
    if not (params.get("is_max_k", True) and params.get("aggregate_to_topk", True)):
        raise NoRuleError("another kind of approx_top_k")
    head = along(axis, slice(0, int(params["k"])))
    take, key = taker(shape, axis), _descending(dtype_of(eqn))
    positions, k, n = out_dtype(eqn, 1), int(params["k"]), shape[axis]

    def call(x: Any) -> tuple:
        order = key(x).argsort(axis, "stable")[head]
        return take(x, order), order.astype(positions)

    # A short key and the position make one integer; no two are equal, so that a partition finds the first k.
    where = np.arange(n).reshape([-1 if d == axis else 1 for d in range(len(shape))])
    low = np.int64(0xFFFFFFFF)

    def packed(x: Any) -> tuple:
        keys = np.left_shift(key(x).astype(np.int64), 32) | where
        if 0 < k < n:
            keys = np.partition(keys, k - 1, axis)[head]
        order = np.sort(keys, axis)[head] & low
        return take(x, order), order.astype(positions)

    return fresh(packed if dtype_of(eqn).itemsize <= 4 else call)


def _descending(dtype: np.dtype) -> Callable:
    """A callable to integers that ascend as ``dtype`` descends; floats in total order (NaN greatest, -0 below 0)."""
    if dtype.kind in "iub":
        return np.invert
    if dtype.kind == "c":
        raise NoRuleError("complex numbers have no order")
    bits = np.dtype(f"i{dtype.itemsize}")
    greatest, width = bits.type(np.iinfo(bits).max), bits.type(8 * dtype.itemsize - 1)

    def key(x: Any) -> Any:
        word = x.view(bits)
        return np.invert(np.bitwise_xor(word, np.bitwise_and(np.right_shift(word, width), greatest)))

    return fresh(key)


TOTAL_ORDER: dict[str, np.ufunc] = {"eq_to": np.equal, "le_to": np.greater_equal, "lt_to": np.greater}
"""Comparisons in which NaN has a place, as comparisons of the descending keys."""


@rule(*TOTAL_ORDER)
def _total_order(eqn: Any) -> Callable:
    compare, key = TOTAL_ORDER[eqn.primitive.name], _descending(dtype_of(eqn))
    return fresh(lambda x, y: compare(key(x), key(y)))
