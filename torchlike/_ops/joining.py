"""Joining tensors, repeating, reversing and shifting them, and their triangles and diagonals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax import lax

from torchlike._ops import op as machinery
from torchlike._ops.bodies import INT64, choose, constant
from torchlike._ops.op import Array, Arrays, composite, op
from torchlike._tensor.dtypes import from_numpy_dtype
from torchlike._tensor.promotion import DIMENSIONED, ZERO_DIM, result_type_of
from torchlike._tensor.tensor import Tensor, from_array, host_array, wrap_dim

# Joining.


def _common(arrays: Sequence[Any]) -> tuple:
    """The arrays in their common type."""
    first = arrays[0].dtype
    if all(a.dtype == first for a in arrays):
        return tuple(arrays)
    types = [(from_numpy_dtype(np.dtype(a.dtype)), DIMENSIONED if a.ndim else ZERO_DIM) for a in arrays]
    target = result_type_of(types).np
    return tuple(machinery._cast(a, target) for a in arrays)


@op(name="cat", alias=("concat", "concatenate"), namespaces=("torch",))
def cat(tensors: Arrays, dim=0, *, out=None):
    """The tensors one after the other along ``dim``; they agree in all other dimensions."""
    if not tensors:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    for i, t in enumerate(tensors):
        if not t.ndim:
            raise RuntimeError(f"zero-dimensional tensor (at position {i}) cannot be concatenated")
    tensors = _common(tensors)
    # An empty one-dimensional tensor joins with anything.
    solid = [(i, t) for i, t in enumerate(tensors) if t.shape != (0,)]
    if not solid:
        return tensors[0]
    first = solid[0][1]
    axis = wrap_dim(dim, first.ndim)
    for i, t in solid[1:]:
        if t.ndim != first.ndim:
            raise RuntimeError(f"Tensors must have same number of dimensions: got {first.ndim} and {t.ndim}")
        for d in range(t.ndim):
            if d != axis and t.shape[d] != first.shape[d]:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {axis}. Expected size {first.shape[d]} but got size "
                    f"{t.shape[d]} for tensor number {i} in the list."
                )
    return lax.concatenate([t for _, t in solid], axis)


@op(name="stack", namespaces=("torch",))
def stack(tensors: Arrays, dim=0, *, out=None):
    """The tensors, all of one shape, side by side along a new dimension ``dim``."""
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    tensors = _common(tensors)
    shape = tensors[0].shape
    for i, t in enumerate(tensors):
        if t.shape != shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(shape)} at entry 0 and {list(t.shape)} at entry {i}"
            )
    axis = wrap_dim(dim, len(shape) + 1)
    return lax.concatenate([lax.expand_dims(t, (axis,)) for t in tensors], axis)


def _list(tensors: Any) -> list[Any]:
    return list(tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors)


def atleast(n: int, t: Tensor) -> Tensor:
    """The tensor with at least ``n`` dimensions, as ``atleast_1d``, ``_2d`` and ``_3d`` make them."""
    if not t._spec.ndim:
        return t.reshape((1,) * n)
    while t._spec.ndim < n:
        t = t.unsqueeze(-1 if n == 3 and t._spec.ndim == 2 else 0)
    return t


def _atleast(n: int) -> None:
    def function(*tensors):
        if len(tensors) == 1 and isinstance(tensors[0], Tensor):
            return atleast(n, tensors[0])
        return tuple(atleast(n, t) for t in _list(tensors))

    function.__name__ = function.__qualname__ = f"atleast_{n}d"
    function.__doc__ = f"The tensors, those of fewer than {n} dimensions as views of {n} dimensions."
    composite(namespaces=("torch",))(function)


for _n in (1, 2, 3):
    _atleast(_n)


@composite(namespaces=("torch",))
def hstack(tensors, *, out=None):
    """The tensors side by side: along the second dimension, or the first where they have one."""
    tensors = [atleast(1, t) for t in tensors]
    return cat(tensors, 0 if tensors and tensors[0]._spec.ndim == 1 else 1, out=out)


@composite(namespaces=("torch",), alias=("row_stack",))
def vstack(tensors, *, out=None):
    """The tensors on top of one another, along the first dimension."""
    return cat([atleast(2, t) for t in tensors], 0, out=out)


@composite(namespaces=("torch",))
def dstack(tensors, *, out=None):
    """The tensors behind one another, along the third dimension."""
    return cat([atleast(3, t) for t in tensors], 2, out=out)


@composite(namespaces=("torch",))
def column_stack(tensors, *, out=None):
    """The tensors side by side, one-dimensional ones as columns."""
    return hstack([t.reshape(t._spec.numel, 1) if t._spec.ndim <= 1 else t for t in tensors], out=out)


# Repeating, reversing, shifting.


def _sizes(given: Sequence[Any]) -> tuple[int, ...]:
    if len(given) == 1 and isinstance(given[0], (tuple, list)):
        given = given[0]
    return tuple(n.__index__() for n in given)


@op(name="repeat", namespaces=("_private",), node="RepeatBackward0")
def _repeat(input, repeats):
    """The tensor repeated along each dimension."""
    lead = len(repeats) - input.ndim
    shape = (1,) * lead + input.shape
    # Between the repeats of a dimension and its own elements stands a new dimension.
    spread = [n for r, size in zip(repeats, shape, strict=True) for n in (r, size)]
    places = [2 * (lead + d) + 1 for d in range(input.ndim)]
    tiled = lax.broadcast_in_dim(input, spread, places)
    return lax.reshape(tiled, [r * size for r, size in zip(repeats, shape, strict=True)])


@composite(namespaces=("Tensor",))
def repeat(self, *repeats, **named):
    """A copy with each dimension repeated so many times, new dimensions first."""
    counts = _sizes(repeats or (named["repeats"],))
    if len(counts) < self._spec.ndim:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor"
        )
    if any(n < 0 for n in counts):
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(counts)}: {list(counts)}")
    return _repeat(self, counts)


@composite()
def tile(input, *dims, **named):
    """A copy with each dimension repeated so many times; missing counts are one, for the first dimensions."""
    counts = _sizes(dims or (named["dims"],))
    return repeat(input, (1,) * (input._spec.ndim - len(counts)) + counts)


@op(name="flip", namespaces=("_private",), node="FlipBackward0")
def _flip(input, dims):
    """The tensor reversed along dimensions."""
    axes = tuple(wrap_dim(d, input.ndim) for d in dims)
    for i, axis in enumerate(axes):
        if axis in axes[:i]:
            raise RuntimeError(f"dim {axis} appears multiple times in the list of dims")
    return lax.rev(input, axes) if input.ndim else input


@composite()
def flip(input, *dims, **named):
    """A copy reversed along these dimensions."""
    return _flip(input, _sizes(dims or (named["dims"],)))


@composite()
def fliplr(input):
    """A copy with the columns in reverse order."""
    if input._spec.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return _flip(input, (1,))


@composite()
def flipud(input):
    """A copy with the rows in reverse order."""
    if input._spec.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return _flip(input, (0,))


@op()
def roll(input, shifts, dims=()):
    """The elements moved on by ``shifts`` along ``dims``, round the ends; without ``dims``, in the flattened tensor."""
    shifts = (shifts,) if isinstance(shifts, int) else shifts
    dims = (dims,) if isinstance(dims, int) else tuple(dims or ())
    if not dims and len(shifts) == 1:
        return lax.reshape(_rolled(lax.reshape(input, (input.size,)), shifts[0], 0), input.shape)
    if len(shifts) != len(dims):
        raise RuntimeError(
            f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}" if shifts else "`shifts` required"
        )
    for shift, dim in zip(shifts, dims, strict=True):
        axis = wrap_dim(dim, input.ndim)
        input = _rolled(input, shift, axis) if input.ndim else input
    return input


def _rolled(x: Any, shift: int, axis: int) -> Any:
    n = x.shape[axis]
    cut = -shift % n if n else 0
    if not cut:
        return x
    return lax.concatenate([lax.slice_in_dim(x, cut, n, axis=axis), lax.slice_in_dim(x, 0, cut, axis=axis)], axis)


@op()
def rot90(input, k=1, dims=(0, 1)):
    """The tensor turned by 90 degrees ``k`` times, from the first dimension of ``dims`` towards the second."""
    n = input.ndim
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if n < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {n}")
    if dims[0] == dims[1] or abs(dims[0] - dims[1]) == n:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    for i, d in enumerate(dims):
        if not -n <= d < n:
            raise RuntimeError(f"Rotation dim{i} out of range, dim{i} = {d}")
    a, b = (d % n for d in dims)
    order = list(range(n))
    order[a], order[b] = b, a
    turns = k % 4
    if turns == 1:
        return lax.transpose(lax.rev(input, (b,)), order)
    if turns == 2:
        return lax.rev(input, (a, b))
    return lax.rev(lax.transpose(input, order), (b,)) if turns == 3 else input


# Triangles.


def _below(shape: Sequence[int], diagonal: int) -> Any:
    """Where the column is at most ``diagonal`` to the right of the row."""
    rows, columns = (lax.broadcasted_iota(INT64, tuple(shape), len(shape) - k) for k in (2, 1))
    return lax.le(columns, lax.add(rows, np.int64(diagonal)))


def _triangle(name: str, x: Any) -> None:
    if x.ndim < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")


@op(inplace=True)
def tril(input, diagonal=0, *, out=None):
    """The lower triangle of each matrix, up to ``diagonal`` (counted to the right), zeros elsewhere."""
    _triangle("tril", input)
    return choose(_below(input.shape, diagonal), input, constant(input, 0))


@op(inplace=True)
def triu(input, diagonal=0, *, out=None):
    """The upper triangle of each matrix, from ``diagonal`` (counted to the right) on, zeros elsewhere."""
    _triangle("triu", input)
    return choose(_below(input.shape, diagonal - 1), constant(input, 0), input)


def _indices(make: Any, row: int, col: int, offset: int, dtype: Any, device: Any) -> Tensor:
    places = np.stack(make(row, offset, col)) if row and col else np.zeros((2, 0))
    t = from_array(places.astype(np.int64 if dtype is None else dtype.np))
    return t if device is None else t.to(device)


@composite(namespaces=("torch",))
def tril_indices(row, col, offset=0, *, dtype=None, device=None, layout=None):
    """The rows and the columns of the elements of a matrix's lower triangle."""
    return _indices(np.tril_indices, row, col, offset, dtype, device)


@composite(namespaces=("torch",))
def triu_indices(row, col, offset=0, *, dtype=None, device=None, layout=None):
    """The rows and the columns of the elements of a matrix's upper triangle."""
    return _indices(np.triu_indices, row, col, offset, dtype, device)


# Products of positions.


@composite(namespaces=("torch",))
def meshgrid(*tensors, indexing=None):
    """The coordinates of a grid: for each tensor its elements along a dimension of its own, as a view.

    ``indexing`` is ``"ij"`` (the first tensor goes with the first dimension) or ``"xy"`` (with the second).
    """
    tensors = _list(tensors)
    if indexing is None:
        import warnings

        warnings.warn(
            "torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument. (Triggered "
            "internally at /pytorch/aten/src/ATen/native/TensorShape.cpp:4381.)",
            UserWarning,
            stacklevel=2,
        )
        indexing = "ij"
    if not tensors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for t in tensors:
        if t._spec.ndim > 1:
            raise RuntimeError(f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {t!r}")
        if t.dtype is not tensors[0].dtype:
            raise RuntimeError("torch.meshgrid expects all tensors to have the same dtype")
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    swapped = indexing == "xy" and len(tensors) >= 2
    if swapped:
        tensors[0], tensors[1] = tensors[1], tensors[0]
    sizes = [t._spec.numel for t in tensors]
    grids = []
    for i, t in enumerate(tensors):
        shape = [1] * len(tensors)
        shape[i] = -1
        grids.append(t.view(shape).expand(sizes))
    if swapped:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)
