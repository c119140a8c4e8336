"""Host rules of the primitives that move elements about: shapes, slices, joining, padding."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter, methodcaller
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from torchlike._engine.host.base import (
    along,
    constant,
    fresh,
    identities,
    identity,
    out_dtype,
    out_shape,
    rule,
    shape_of,
)

VIEW_FROM = 1 << 14
"""Elements from which a broadcast is a view: dense arrays are faster to compute with while they fit the cache."""


@rule("copy", "stop_gradient", "name")
def _identity(eqn: Any) -> Callable:
    return identity


@rule("optimization_barrier", "device_put")
def _identities(eqn: Any) -> Callable:
    return identities


@rule("reshape", "squeeze")
def _reshape(eqn: Any) -> Callable:
    dimensions = eqn.params.get("dimensions")
    shape = out_shape(eqn)
    if eqn.primitive.name == "reshape" and dimensions is not None:
        return lambda x: x.transpose(dimensions).reshape(shape)
    return identity if shape == shape_of(eqn) else methodcaller("reshape", shape)


@rule("transpose")
def _transpose(eqn: Any) -> Callable:
    permutation = tuple(map(int, eqn.params["permutation"]))
    return identity if permutation == tuple(range(len(permutation))) else methodcaller("transpose", permutation)


@rule("rev")
def _rev(eqn: Any) -> Callable:
    reverse, keep = slice(None, None, -1), slice(None)
    dimensions = set(map(int, eqn.params["dimensions"]))
    return itemgetter(tuple(reverse if axis in dimensions else keep for axis in range(len(shape_of(eqn)))))


def narrow_shape(eqn: Any) -> tuple[int, ...]:
    """Shape of the operand of a ``broadcast_in_dim`` with axes of 1 set in, so that NumPy broadcasts the rest."""
    shape = [1] * len(out_shape(eqn))
    for axis, size in zip(eqn.params["broadcast_dimensions"], shape_of(eqn), strict=True):
        shape[int(axis)] = size
    return tuple(shape)


@rule("broadcast_in_dim")
def _broadcast_in_dim(eqn: Any) -> Callable:
    shape, source, narrow = out_shape(eqn), shape_of(eqn), narrow_shape(eqn)
    if shape == narrow:
        return identity if shape == source else methodcaller("reshape", shape)
    size = int(np.prod(shape))
    if size >= VIEW_FROM:
        return lambda x: np.broadcast_to(np.asarray(x).reshape(narrow), shape)
    dtype, empty = out_dtype(eqn), np.empty
    if source == ():

        def fill(x: Any) -> np.ndarray:
            out = empty(shape, dtype)
            out.fill(x)
            return out

        return fresh(fill)
    trailing = narrow[len(shape) - len(source) :] == source

    def spread(x: Any) -> np.ndarray:
        out = empty(shape, dtype)
        out[...] = x if trailing else x.reshape(narrow)
        return out

    return fresh(spread)


@rule("iota")
def _iota(eqn: Any) -> Callable:
    shape, dtype, axis = out_shape(eqn), out_dtype(eqn), int(eqn.params["dimension"])
    ramp = np.arange(shape[axis]).astype(dtype).reshape([-1 if d == axis else 1 for d in range(len(shape))])
    values = np.broadcast_to(ramp, shape)
    return lambda: values


@rule("empty", "empty2")
def _zeros(eqn: Any) -> Callable:
    shape, dtype = out_shape(eqn), out_dtype(eqn)
    return fresh(lambda *_: np.zeros(shape, dtype))


# Joining and splitting


@rule("concatenate")
def _concatenate(eqn: Any) -> Callable:
    axis, join = int(eqn.params["dimension"]), np.concatenate
    return identity if len(eqn.invars) == 1 else fresh(lambda *xs: join(xs, axis))


@rule("stack")
def _stack(eqn: Any) -> Callable:
    axis, join = int(eqn.params["axis"]), np.concatenate
    shape = out_shape(eqn)
    single = methodcaller("reshape", (*shape[:axis], 1, *shape[axis + 1 :]))
    return fresh(lambda *xs: join([single(x) for x in xs], axis))


@rule("unstack")
def _unstack(eqn: Any) -> Callable:
    axis = int(eqn.params["axis"])
    parts = [along(axis, index) for index in range(len(eqn.outvars))]
    return lambda x: tuple([x[part] for part in parts])


@rule("split")
def _split(eqn: Any) -> Callable:
    axis = int(eqn.params["axis"])
    ends = np.cumsum([int(size) for size in eqn.params["sizes"]]).tolist()
    parts = [along(axis, slice(start, end)) for start, end in zip([0, *ends], ends, strict=False)]
    return lambda x: tuple([x[part] for part in parts])


@rule("tile")
def _tile(eqn: Any) -> Callable:
    repeats = tuple(map(int, eqn.params["reps"]))
    return fresh(lambda x: np.tile(x, repeats))


# Slices


@rule("slice")
def _slice(eqn: Any) -> Callable:
    starts, limits = eqn.params["start_indices"], eqn.params["limit_indices"]
    strides = eqn.params["strides"] or (1,) * len(starts)
    index = tuple(slice(int(a), int(b), int(c)) for a, b, c in zip(starts, limits, strides, strict=True))
    return identity if out_shape(eqn) == shape_of(eqn) and all(s.step == 1 for s in index) else itemgetter(index)


def _corner(limits: list[int], sizes: tuple[int, ...], starts: tuple) -> tuple[slice, ...]:
    """The window of ``sizes`` at ``starts``, moved inside where it would stick out."""
    index = []
    for start, limit, size in zip(starts, limits, sizes):
        first = min(max(int(start), 0), limit)
        index.append(slice(first, first + size))
    return tuple(index)


@rule("dynamic_slice")
def _dynamic_slice(eqn: Any) -> Callable:
    sizes = tuple(map(int, eqn.params["slice_sizes"]))
    limits = [extent - size for extent, size in zip(shape_of(eqn), sizes, strict=True)]
    if not any(limits):
        return lambda x, *starts: x
    return lambda x, *starts: x[_corner(limits, sizes, starts)]


@rule("dynamic_update_slice")
def _dynamic_update_slice(eqn: Any) -> Callable:
    sizes = shape_of(eqn, 1)
    limits = [extent - size for extent, size in zip(shape_of(eqn), sizes, strict=True)]
    if not any(limits):
        return lambda x, update, *starts: update

    def call(x: Any, update: Any, *starts: Any) -> Any:
        out = x.copy()
        out[_corner(limits, sizes, starts)] = update
        return out

    return fresh(call)


# Padding


def padder(shape: tuple[int, ...], config: list[tuple[int, int, int]], dtype: np.dtype) -> Callable | None:
    """A callable ``(x, value)`` that pads ``x`` by (low, high, interior) along each axis; None if nothing is to do.

    Negative ``low`` and ``high`` cut; interior padding comes first.
    """
    if not any(any(edges) for edges in config):
        return None
    extents, targets, sources = [], [], []
    for size, (low, high, interior) in zip(shape, config, strict=True):
        step = interior + 1
        dilated = max((size - 1) * step + 1, 0)
        extent = low + dilated + high
        first = max(-(low // step), 0) if low < 0 else 0  # the first element at or after the cut
        last = min(size, (extent - 1 - low) // step + 1)
        count = max(last - first, 0)
        begin = low + first * step
        extents.append(max(extent, 0))
        targets.append(slice(begin, begin + (count - 1) * step + 1, step) if count else slice(0, 0))
        sources.append(slice(first, first + count))
    extents, target, source = tuple(extents), tuple(targets), tuple(sources)
    if all(a <= 0 and b <= 0 and c == 0 for a, b, c in config):
        return lambda x, value: x[source]
    empty = np.empty

    def call(x: Any, value: Any) -> np.ndarray:
        out = empty(extents, dtype)
        out.fill(value)
        out[target] = x[source]
        return out

    return fresh(call)


@rule("pad")
def _pad(eqn: Any) -> Callable:
    config = [(int(low), int(high), int(interior)) for low, high, interior in eqn.params["padding_config"]]
    return padder(shape_of(eqn), config, out_dtype(eqn)) or (lambda x, value: x)


def windows(x: np.ndarray, sizes: tuple, strides: tuple, dilations: tuple, counts: tuple, lead: int) -> np.ndarray:
    """All windows of ``x`` as a read-only view of shape ``x.shape[:lead] + counts + sizes``."""
    steps = x.strides[lead:]
    moves = tuple(step * stride for step, stride in zip(steps, strides, strict=True))
    taps = tuple(step * dilation for step, dilation in zip(steps, dilations, strict=True))
    return as_strided(x, x.shape[:lead] + counts + sizes, x.strides[:lead] + moves + taps, writeable=False)


def full(shape: tuple[int, ...], value: Any, dtype: np.dtype) -> Callable:
    """A callable that gives the same constant array whatever its inputs."""
    values = np.broadcast_to(constant(value, dtype), shape)
    return lambda *_: values
