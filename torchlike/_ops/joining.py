"""Joining tensors, repeating, reversing and shifting them, and their triangles and diagonals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax import lax
from jax import numpy as jnp

from torchlike._ops import op as machinery
from torchlike._ops.bodies import INT64, choose, constant
from torchlike._ops.op import Array, Arrays, composite, delivered, op
from torchlike._tensor import dtypes, views
from torchlike._tensor.dtypes import from_numpy_dtype
from torchlike._tensor.promotion import DIMENSIONED, ZERO_DIM, result_type_of
from torchlike._tensor.tensor import Tensor, from_array, wrap_dim

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
                    f"Sizes of tensors must match except in dimension {axis}. Expected size {first.shape[d]} but got "
                    "size "
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
                f"stack expects each tensor to be equal size, but got {list(shape)} at entry 0 and {list(t.shape)} "
                f"at entry {i}"
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
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
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
            f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}"
            if shifts
            else "`shifts` required"
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

#: Up to this many elements, the mask of a triangle is a constant of the program.
_KNOWN_MASK = 1 << 20


def _below(shape: Sequence[int], diagonal: int) -> Any:
    """Where the column is at most ``diagonal`` to the right of the row."""
    if math.prod(shape[-2:]) <= _KNOWN_MASK:
        return lax.broadcast_in_dim(
            np.tri(shape[-2], shape[-1], diagonal, np.bool_), tuple(shape), (len(shape) - 2, len(shape) - 1)
        )
    rows, columns = (lax.broadcasted_iota(INT64, tuple(shape), len(shape) - k) for k in (2, 1))
    return lax.le(columns, lax.add(rows, np.int64(diagonal)))


def _triangle(name: str, x: Any) -> None:
    if x.ndim < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")


@op(inplace="method")
def tril(input, diagonal=0, *, out=None):
    """The lower triangle of each matrix, up to ``diagonal`` (counted to the right), zeros elsewhere."""
    _triangle("tril", input)
    return choose(_below(input.shape, diagonal), input, constant(input, 0))


@op(inplace="method")
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
            raise RuntimeError("meshgrid expects all tensors to have the same dtype")
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


@composite(namespaces=("torch",))
def cartesian_prod(*tensors):
    """All combinations of an element of each one-dimensional tensor, a row for each."""
    tensors = _list(tensors)
    for t in tensors:
        if t._spec.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(t._spec.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    return stack([g.flatten() for g in meshgrid(*tensors, indexing="ij")], 1)


@composite(namespaces=("torch",))
def combinations(input, r=2, with_replacement=False):
    """All choices of ``r`` elements of a one-dimensional tensor, a row for each."""
    if input._spec.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input._spec.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return input.new_empty((0,))
    n = input._spec.numel
    choose_from = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = np.array(list(choose_from(range(n), r)), np.int64).reshape(-1, r)
    picked = np.zeros((n,) * r, bool)
    picked[tuple(rows.T)] = True
    mask = from_array(picked, input.device)
    return stack([g.masked_select(mask) for g in meshgrid(*[input] * r, indexing="ij")], 1)


# Diagonals.


@op()
def diag_embed(input, offset=0, dim1=-2, dim2=-1):
    """Matrices, in dimensions ``dim1`` and ``dim2``, with the last dimension's elements on a diagonal."""
    n = input.ndim + 1
    a, b = wrap_dim(dim1, n), wrap_dim(dim2, n)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    size = input.shape[-1] + abs(offset)
    before, after = (-offset, 0) if offset < 0 else (0, offset)
    padded = lax.pad(input, constant(input, 0), [(0, 0, 0)] * (input.ndim - 1) + [(before, after, 0)])
    shape = (*input.shape[:-1], size, size)
    rows, columns = (lax.broadcasted_iota(INT64, shape, n - k) for k in (2, 1))
    spread = lax.broadcast_in_dim(padded, shape, range(n - 1))
    out = choose(lax.eq(columns, lax.add(rows, np.int64(offset))), spread, constant(input, 0))
    order = [d for d in range(n) if d not in (a, b)]
    places = dict(zip([*order, a, b], range(n), strict=True))
    return lax.transpose(out, [places[d] for d in range(n)])


@op(namespaces=("torch",), node="DiagonalBackward0_copy")
def diagonal_copy(input, offset=0, dim1=0, dim2=1, *, out=None):
    """A copy of :func:`diagonal`."""
    if wrap_dim(dim1, input.ndim) == wrap_dim(dim2, input.ndim):
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return jnp.diagonal(input, offset, dim1, dim2)


@composite()
def diag(input, diagonal=0, *, out=None):
    """The diagonal of a matrix, or the matrix with a vector on its diagonal."""
    n = input._spec.ndim
    if n not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {n}D")
    return delivered(diag_embed(input, diagonal) if n == 1 else diagonal_copy(input, diagonal), out)


@composite()
def diagflat(input, offset=0):
    """The matrix with all elements of ``input`` on its diagonal."""
    return diag_embed(input.reshape(-1), offset)


@op(name="_block_diag", namespaces=("_private",), node="BlockDiagBackward0")
def _block_diag(tensors: Arrays):
    """The matrices along the diagonal of one, zeros elsewhere."""
    blocks = [lax.reshape(t, (1,) * (2 - t.ndim) + t.shape) for t in _common(tensors)]
    width = sum(b.shape[1] for b in blocks)
    rows, left = [], 0
    for b in blocks:
        rows.append(lax.pad(b, constant(b, 0), [(0, 0, 0), (left, width - left - b.shape[1], 0)]))
        left += b.shape[1]
    return lax.concatenate(rows, 0)


@composite(namespaces=("torch",))
def block_diag(*tensors):
    """The tensors, of at most two dimensions, as blocks along the diagonal of one matrix."""
    tensors = _list(tensors)
    for i, t in enumerate(tensors):
        if t._spec.ndim > 2:
            raise RuntimeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has {t._spec.ndim} "
                "dimensions"
            )
    if not tensors:
        return Tensor._scalar_tensor(0.0, "cpu").new_empty((1, 0))
    return _block_diag(tensors)


# Parts put back: functions that return a copy in which a view was overwritten.


def _embedded(step: views.Step, static: tuple, input: Any, src: Any, shape: Sequence[int]) -> Any:
    if tuple(src.shape) != tuple(shape):
        raise RuntimeError(
            "expected src to have a size equal to the slice of self. src size = "
            f"{list(src.shape)}, slice size = {list(shape)}"
        )
    return step.write.bind(static, None)(input, machinery._cast(src, input.dtype))


@op()
def select_scatter(input, src: Array, dim, index):
    """A copy of ``input`` with ``src`` at position ``index`` of ``dim``."""
    axis = wrap_dim(dim, input.ndim)
    n = input.shape[axis]
    if not -n <= index < n:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(input.shape)} at dimension {dim}"
        )
    return _embedded(views.SELECT, (axis, index % n), input, src, input.shape[:axis] + input.shape[axis + 1 :])


@op()
def slice_scatter(input, src: Array, dim=0, start=None, end=None, step=1):
    """A copy of ``input`` with ``src`` at positions ``start``, ``start + step``, ... before ``end`` of ``dim``."""
    axis = wrap_dim(dim, input.ndim)
    if step <= 0:
        raise RuntimeError("slice step must be positive")
    begin, stop, _ = slice(start, end).indices(input.shape[axis])
    stop = max(begin, stop)
    shape = list(input.shape)
    shape[axis] = len(range(begin, stop, step))
    return _embedded(views.SLICE, (axis, begin, stop, step), input, src, shape)


@op()
def diagonal_scatter(input, src: Array, offset=0, dim1=0, dim2=1):
    """A copy of ``input`` with ``src`` on a diagonal."""
    a, b = wrap_dim(dim1, input.ndim), wrap_dim(dim2, input.ndim)
    length = max(0, min(input.shape[a] + min(offset, 0), input.shape[b] - max(offset, 0)))
    shape = [n for d, n in enumerate(input.shape) if d not in (a, b)] + [length]
    return _embedded(views.DIAGONAL, (offset, a, b), input, src, shape)


@op()
def as_strided_scatter(input, src: Array, size, stride, storage_offset=None):
    """A copy of ``input`` with ``src`` where ``as_strided`` would show it."""
    return _embedded(views.AS_STRIDED, (size, stride, storage_offset or 0), input, src, size)


# Differences along a dimension, and sums of areas.


def _part(t: Tensor, dim: int, start: int, stop: int) -> Tensor:
    return t.narrow(dim, start, stop - start)


@composite()
def diff(input, n=1, dim=-1, prepend=None, append=None, *, out=None):
    """The differences of neighbours along ``dim``, ``n`` times; ``prepend`` and ``append`` are joined on first."""
    if not input._spec.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    parts = [t for t in (prepend, input, append) if t is not None] if n else [input]
    axis = wrap_dim(dim, input._spec.ndim)
    result = cat(parts, axis) if len(parts) > 1 else input
    n = min(n, result._spec.shape[axis])
    for _ in range(n):
        size = result._spec.shape[axis]
        later, sooner = _part(result, axis, 1, size), _part(result, axis, 0, size - 1)
        result = later.logical_xor(sooner) if result.dtype is dtypes.bool_ else later - sooner
    result = result.clone() if n == 0 else result
    return delivered(result, out)


def _steps(x: Tensor, y: Tensor, dim: int, name: str) -> Tensor:
    """The widths between sample points, in a shape that goes with pieces of ``y``."""
    if x._spec.ndim == 1:
        if x._spec.shape[0] != y._spec.shape[dim]:
            raise RuntimeError(f"{name}: There must be one `x` value for each sample point")
        shape = [1] * y._spec.ndim
        shape[dim] = x._spec.shape[0]
        x = x.view(shape)
    elif x._spec.ndim < y._spec.ndim:
        x = x.view((1,) * (y._spec.ndim - x._spec.ndim) + x._spec.shape)
    along = wrap_dim(dim - y._spec.ndim, x._spec.ndim)
    size = x._spec.shape[along]
    return _part(x, along, 1, size) - _part(x, along, 0, size - 1)


def _areas(y: Tensor, x: Any, dx: Any, dim: int, name: str) -> tuple[Tensor, int]:
    """Twice the area under each pair of neighbours along a dimension."""
    axis = wrap_dim(dim, y._spec.ndim)
    size = y._spec.shape[axis]
    if x is not None and dx is not None:
        raise TypeError(f"{name}() received an invalid combination of arguments")
    pairs = _part(y, axis, 1, size) + _part(y, axis, 0, max(size - 1, 0))
    if x is not None:
        return pairs * _steps(x, y, axis, name), axis
    return pairs * (1.0 if dx is None else dx), axis


@composite(namespaces=("torch",), alias=("trapz",))
def trapezoid(y, x=None, *, dx=None, dim=-1):
    """The area under samples ``y`` along ``dim`` by the trapezoidal rule, at points ``x`` or ``dx`` apart."""
    if y._spec.shape[wrap_dim(dim, y._spec.ndim)] == 0:
        shape = [n for d, n in enumerate(y._spec.shape) if d != wrap_dim(dim, y._spec.ndim)]
        return y.new_zeros(shape)
    areas, axis = _areas(y, x, dx, dim, "trapezoid")
    return areas.sum(axis) / 2.0


@composite(namespaces=("torch",))
def cumulative_trapezoid(y, x=None, *, dx=None, dim=-1):
    """The running area under samples ``y`` along ``dim`` by the trapezoidal rule."""
    areas, axis = _areas(y, x, dx, dim, "cumulative_trapezoid")
    return (areas / 2.0).cumsum(axis) if x is None else areas.cumsum(axis) / 2.0


@composite(namespaces=("torch",))
def vander(x, N=None, increasing=False):
    """The Vandermonde matrix: a row of powers of each element, from the highest down unless ``increasing``."""
    if x._spec.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    columns = x._spec.numel if N is None else N
    if columns < 0:
        raise RuntimeError("N must be non-negative.")
    powers = [
        x.new_ones(x._spec.shape, dtype=x.dtype if x.dtype.is_floating_point or x.dtype.is_complex else dtypes.int64)
    ]
    for _ in range(1, columns):
        powers.append(powers[-1] * x)
    made = stack(powers[:columns], 1) if columns else powers[0].new_empty((x._spec.numel, 0))
    return made if increasing else flip(made, (1,))


def _spacings(input: Tensor, spacing: Any, dims: Sequence[int]) -> list[Any]:
    if isinstance(spacing, (Tensor, int, float)):
        return [spacing] * len(dims)
    if len(spacing) != len(dims):
        raise RuntimeError(
            "torch.gradient expected spacing to be unspecified, a scalar, or it's spacing and dim arguments to have "
            "the same "
            f"length, but got a spacing argument of length {len(spacing)} and a dim argument of length {len(dims)}."
        )
    return list(spacing)


@composite(namespaces=("torch",))
def gradient(input, *, spacing=1, dim=None, edge_order=1):
    """Estimates of the derivative along each dimension by second-order central differences, one for each."""
    spacing = 1 if spacing is None else spacing
    dims = range(input._spec.ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    dims = [wrap_dim(d, input._spec.ndim) for d in dims]
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    for d in dims:
        if input._spec.shape[d] < edge_order + 1:
            raise RuntimeError("torch.gradient expected each dimension size to be at least edge_order+1")
    return tuple(
        [_derivative(input, s, d, edge_order) for s, d in zip(_spacings(input, spacing, dims), dims, strict=True)]
    )


def _derivative(t: Tensor, spacing: Any, axis: int, edge_order: int) -> Tensor:
    n = t._spec.shape[axis]
    if isinstance(spacing, (tuple, list)) or (isinstance(spacing, Tensor) and spacing._spec.ndim):
        return _uneven_derivative(t, spacing, axis, edge_order)

    def at(i):
        return _part(t, axis, i % n, i % n + 1)

    middle = (_part(t, axis, 2, n) - _part(t, axis, 0, n - 2)) / (spacing * 2)
    if edge_order == 1:
        first, last = (at(1) - at(0)) / spacing, (at(-1) - at(-2)) / spacing
    else:
        first = (at(1) * 4 - at(0) * 3 - at(2)) / (spacing * 2)
        last = (at(-1) * 3 - at(-2) * 4 + at(-3)) / (spacing * 2)
    return cat([first, middle, last], axis)


def _uneven_derivative(t: Tensor, points: Any, axis: int, edge_order: int) -> Tensor:
    n = t._spec.shape[axis]
    points = points if isinstance(points, Tensor) else t.new_tensor(points)
    shape = [1] * t._spec.ndim
    shape[axis] = -1
    steps = diff(points).view(shape)

    def at(i):
        return _part(t, axis, i % n, i % n + 1)

    def step(i):
        return _part(steps, axis, i % (n - 1), i % (n - 1) + 1)

    left, right = _part(steps, axis, 0, n - 2), _part(steps, axis, 1, n - 1)
    a = -right / (left * (left + right))
    b = (right - left) / (left * right)
    c = left / (right * (left + right))
    middle = a * _part(t, axis, 0, n - 2) + b * _part(t, axis, 1, n - 1) + c * _part(t, axis, 2, n)
    if edge_order == 1:
        first, last = (at(1) - at(0)) / step(0), (at(-1) - at(-2)) / step(-1)
    else:
        near, far = step(0), step(1)
        first = (
            -(near * 2 + far) / (near * (near + far)) * at(0)
            + (near + far) / (near * far) * at(1)
            - near / (far * (near + far)) * at(2)
        )
        near, far = step(-1), step(-2)
        last = (
            (near * 2 + far) / (near * (near + far)) * at(-1)
            - (near + far) / (near * far) * at(-2)
            + near / (far * (near + far)) * at(-3)
        )
    return cat([first, middle, last], axis)


@composite(namespaces=("Tensor",))
def fill_diagonal_(self, fill_value, wrap=False):
    """Write a number on the main diagonal; ``wrap`` starts it again below a tall matrix."""
    shape = self._spec.shape
    if len(shape) < 2:
        raise RuntimeError("dimensions must larger than 1")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    length, step = min(shape), sum(self.stride())
    self.as_strided((length,), (step,), self.storage_offset()).fill_(fill_value)
    rows, columns = shape[0], shape[1]
    if wrap and len(shape) == 2 and rows > columns + 1:
        start = self.stride(0) * (columns + 1)
        rest = -(-(rows - columns - 1) * columns // (columns + 1))
        self.as_strided((rest,), (step,), self.storage_offset() + start).fill_(fill_value)
    return self
