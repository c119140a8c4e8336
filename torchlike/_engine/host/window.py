"""Host rules of windowed reductions (pooling) and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from torchlike._engine.host.base import (
    NoRuleError,
    along,
    dtype_of,
    fresh,
    out_dtype,
    out_shape,
    rule,
    shape_of,
    through,
    wide,
)
from torchlike._engine.host.reduce import neutral
from torchlike._engine.host.shape import padder

WINDOWED: dict[str, np.ufunc] = {
    "reduce_window_sum": np.add,
    "reduce_window_max": np.maximum,
    "reduce_window_min": np.minimum,
}


def _ints(values: Any) -> tuple[int, ...]:
    return tuple(map(int, values))


@rule(*WINDOWED)
def _reduce_window(eqn: Any) -> Callable:
    """Reduction of each window, one axis after the other: a window of a x b costs a + b passes, not a * b."""
    ufunc, params = WINDOWED[eqn.primitive.name], eqn.params
    dtype, shape = out_dtype(eqn), out_shape(eqn)
    work = wide(dtype) if ufunc is np.add else dtype
    config = [
        (int(low), int(high), int(dilation) - 1)
        for (low, high), dilation in zip(params["padding"], params["base_dilation"], strict=True)
    ]
    padded = padder(shape_of(eqn), config, work)
    edge = np.array(neutral(ufunc, dtype)).astype(work)
    passes: list[list[tuple]] = []
    for axis, (window, stride, dilation) in enumerate(
        zip(*(_ints(params[name]) for name in ("window_dimensions", "window_strides", "window_dilation")), strict=True)
    ):
        if window > 1 or stride > 1:
            span = (shape[axis] - 1) * stride + 1
            starts = range(0, window * dilation, dilation)
            passes.append([along(axis, slice(start, start + span, stride)) for start in starts])

    if 0 in shape:
        return fresh(lambda x: np.empty(shape, dtype))

    def call(x: Any) -> Any:
        if padded is not None:
            x = padded(x, edge)
        for first, *others in passes:
            total = x[first]
            for index, other in enumerate(others):
                total = ufunc(total, x[other], out=total) if index else ufunc(total, x[other])
            x = total
        return x

    return through(work, fresh(call), dtype) if work is not dtype else call


def _chosen(eqn: Any, index: int) -> tuple[Callable, list[tuple], Callable | None, np.ndarray]:
    """How to walk the windows of input ``index`` in which one element is chosen.

    Returns the comparison that keeps an earlier element, one index per tap of the window, the padder and its value.
    """
    params, dtype = eqn.params, dtype_of(eqn, index)
    name = params["select_prim"].name
    if name not in ("ge", "le"):
        raise NoRuleError(f"windows that select by {name}")
    keeps = np.greater_equal if name == "ge" else np.less_equal
    edge = np.array(neutral(np.maximum if name == "ge" else np.minimum, dtype)).astype(dtype)
    config = [(int(low), int(high), 0) for low, high in params["padding"]]
    strides = _ints(params["window_strides"])
    counts = [
        (size + low + high - window) // stride + 1
        for size, (low, high, _), window, stride in zip(
            shape_of(eqn, index), config, _ints(params["window_dimensions"]), strides, strict=True
        )
    ]
    taps = [
        tuple(
            slice(start, start + (count - 1) * stride + 1, stride)
            for start, count, stride in zip(corner, counts, strides, strict=True)
        )
        for corner in product(*(range(window) for window in _ints(params["window_dimensions"])))
    ]
    return keeps, taps, padder(shape_of(eqn, index), config, dtype), edge


def _choose(x: np.ndarray, taps: list[tuple], keeps: Callable) -> np.ndarray:
    """For each window, the number of the tap that is chosen: of equals the first in row-major order."""
    best, choice = x[taps[0]], np.zeros(x[taps[0]].shape, np.intp)
    for number, tap in enumerate(taps[1:], 1):
        lost = ~keeps(best, x[tap])
        best = np.where(lost, x[tap], best)
        choice[lost] = number
    return choice


@rule("select_and_scatter_add")
def _select_and_scatter_add(eqn: Any) -> Callable:
    """The gradient of max pooling: each source value is added where its window's chosen element stands."""
    keeps, taps, pad, edge = _chosen(eqn, 1)
    dtype = out_dtype(eqn)
    inside = tuple(
        slice(int(low), int(low) + size) for (low, _), size in zip(eqn.params["padding"], out_shape(eqn), strict=True)
    )
    if any(int(low) < 0 or int(high) < 0 for low, high in eqn.params["padding"]):
        raise NoRuleError("windows with negative padding")
    work = wide(dtype)
    zero = work.type(0)

    def call(source: Any, operand: Any) -> Any:
        source = source.astype(work, copy=False)
        if pad is not None:
            operand = pad(operand, edge)
        choice = _choose(operand, taps, keeps)
        total = np.zeros(operand.shape, work)
        for number, tap in enumerate(taps):
            total[tap] += np.where(choice == number, source, zero)
        return total[inside].astype(dtype, copy=False)

    return fresh(call)


@rule("select_and_gather_add")
def _select_and_gather_add(eqn: Any) -> Callable:
    """The tangent of max pooling: for each window, the tangent of its chosen element."""
    if any(int(dilation) != 1 for name in ("base_dilation", "window_dilation") for dilation in eqn.params[name]):
        raise NoRuleError("dilated windows")
    keeps, taps, pad, edge = _chosen(eqn, 1)
    zero = dtype_of(eqn, 0).type(0)

    def call(tangents: Any, operand: Any) -> Any:
        if pad is not None:
            tangents, operand = pad(tangents, zero), pad(operand, edge)
        choice = _choose(operand, taps, keeps)
        result = tangents[taps[0]]
        for number, tap in enumerate(taps[1:], 1):
            result = np.where(choice == number, tangents[tap], result)
        return result

    return call
