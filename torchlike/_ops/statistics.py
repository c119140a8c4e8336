"""Quantiles, modes, distances, histograms, and the search in sorted sequences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from torchlike._ops.bodies import (
    INT64,
    back,
    choose,
    constant,
    convert,
    kind,
    positions,
    selecting,
    take_along,
    type_name_of,
    widened,
)
from torchlike._ops.op import Array, Promote, composite, delivered, op, reduction
from torchlike._ops.reduction import norm_over
from torchlike._ops.sorting import sorted_along
from torchlike._tensor import dtypes
from torchlike._tensor.promotion import SCALAR_TYPE_NAMES
from torchlike._tensor.tensor import Tensor, from_array, host_array, wrap_dim
from torchlike.return_types import named

# Quantiles.

_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _check_quantile(name: str, input: Any, q: Any, interpolation: str) -> Tensor:
    if not input._spec.numel:
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    if input.dtype not in (dtypes.float32, dtypes.float64):
        raise RuntimeError(f"{name}() input tensor must be either float or double dtype")
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(
            f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {interpolation}"
        )
    if not isinstance(q, Tensor):
        if not 0 <= q <= 1:
            raise RuntimeError(f"{name}() q must be in the range [0, 1] but got {q:g}")
        return from_array(np.asarray(q, input.dtype.np), input.device)
    if q._spec.ndim > 1:
        raise RuntimeError(f"{name}() q must be a scalar or 1D tensor")
    if q.dtype is not input.dtype:
        raise RuntimeError(f"{name}() q tensor must be same dtype as the input tensor")
    values = host_array(q)
    if not ((values >= 0) & (values <= 1)).all():
        raise RuntimeError(f"{name}() q values must be in the range [0, 1]")
    return q


def _quantiles(x: Any, q: Any, dim: Any, keepdim: bool, interpolation: str, skip_nan: bool) -> Any:
    """The quantiles along a dimension; with a vector ``q`` the first dimension goes over its elements."""
    axis = 0 if dim is None else wrap_dim(dim, x.ndim)
    kept = (1,) * x.ndim if dim is None else tuple(1 if d == axis else n for d, n in enumerate(x.shape))
    rows = lax.reshape(x, (1, x.size)) if dim is None or not x.ndim else jnp.moveaxis(x, axis, -1)
    n = rows.shape[-1]
    last = rows.ndim - 1
    ordered, _ = selecting(lambda a: sorted_along(a, last), rows, last)
    missing = convert(lax.ne(ordered, ordered), x.dtype)
    top = lax.expand_dims(lax.sub(constant(x, n - 1), lax.reduce_sum(missing, (last,))), (last,))
    points = lax.reshape(q, (q.size,))
    shape = (*rows.shape[:-1], q.size)
    share = lax.broadcast_in_dim(points, shape, (last,))
    if skip_nan:
        top = lax.max(top, constant(top, 0))
        rank = lax.mul(share, lax.broadcast_in_dim(top, shape, range(rows.ndim)))
    else:
        # One NaN makes the whole row NaN: all ranks then point to the last element, which is it.
        whole = lax.broadcast_in_dim(lax.lt(top, constant(top, n - 1)), shape, range(rows.ndim))
        rank = choose(whole, constant(x, n - 1), lax.mul(share, constant(share, n - 1)))
    if interpolation in ("lower", "higher", "nearest"):
        rounded = {"lower": lax.floor, "higher": lax.ceil, "nearest": _to_even}[interpolation](rank)
        found = take_along(ordered, convert(rounded, INT64), last)
    else:
        low = lax.floor(rank)
        weight = lax.full_like(rank, 0.5) if interpolation == "midpoint" else lax.sub(rank, lax.stop_gradient(low))
        below = take_along(ordered, convert(low, INT64), last)
        above = take_along(ordered, convert(lax.ceil(rank), INT64), last)
        found = _between(below, above, weight)
    kept = kept if keepdim else (() if dim is None else x.shape[:axis] + x.shape[axis + 1 :])
    return lax.reshape(lax.reshape(jnp.moveaxis(found, -1, 0), (q.size, *kept)), (*q.shape, *kept))


def _to_even(x: Any) -> Any:
    return lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN)


def _between(a: Any, b: Any, weight: Any) -> Any:
    span = lax.sub(b, a)
    low = lax.lt(weight, constant(weight, 0.5))
    rest = lax.sub(constant(weight, 1), weight)
    return choose(low, lax.add(a, lax.mul(weight, span)), lax.sub(b, lax.mul(span, rest)))


@op(name="_quantile", namespaces=("_private",), node="SqueezeBackward4")
def _quantile(input, q: Array, dim, keepdim, interpolation, skip_nan):
    """The quantiles along a dimension."""
    return _quantiles(input, q, dim, keepdim, interpolation, skip_nan)


def _declare_quantile(name: str, skip_nan: bool) -> None:
    def function(input, q, dim=None, keepdim=False, *, interpolation="linear", out=None):
        q = _check_quantile(name, input, q, interpolation)
        result = _quantile(input, q, dim, keepdim, interpolation, skip_nan)
        return delivered(result, out)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        "The quantiles of all elements, or along ``dim``, for each fraction in ``q``"
        + (", NaN passed over." if skip_nan else ".")
        + "\n\n``interpolation`` says what stands for a rank between two elements."
    )
    composite()(function)


_declare_quantile("quantile", False)
_declare_quantile("nanquantile", True)


@reduction(returns=("mode", ("values", "indices")))
def mode(input, dim=-1, keepdim=False, *, out=None):
    """The most frequent element along ``dim``, the least of several, and the last position where it occurs."""
    axis = wrap_dim(dim, input.ndim)
    if not input.ndim:
        return input, np.zeros((), INT64)
    if not input.shape[axis]:
        raise IndexError(f"mode(): Expected reduction dim {axis} to have non-zero size.")

    def find(x):
        values, index = sorted_along(x, axis)
        n = x.shape[axis]
        first = lax.slice_in_dim(values, 0, 1, axis=axis)
        before = lax.concatenate([first, lax.slice_in_dim(values, 0, n - 1, axis=axis)], axis)
        where = positions(x.shape, axis)
        start = lax.cummax(choose(lax.ne(values, before), where, constant(where, 0)), axis)
        best = lax.expand_dims(lax.argmax(lax.sub(where, start), axis, INT64), (axis,))
        return take_along(values, best, axis), take_along(index, best, axis)

    values, index = selecting(find, input, axis)
    return (values, index) if keepdim else (lax.squeeze(values, (axis,)), lax.squeeze(index, (axis,)))


# Distances.


@op(Promote.DEFAULT)
def dist(input, other, p=2):
    """The ``p``-norm of the difference of two tensors."""
    if kind(input) in "biu":
        raise RuntimeError(
            f"norm(): input dtype should be either floating point or complex. Got {type_name_of(input)} instead."
        )
    difference = lax.sub(input, other)
    return norm_over(difference, p, tuple(range(difference.ndim)))


@op(inplace="method")
def renorm(input, p, dim, maxnorm, *, out=None):
    """The slices along ``dim``, those whose ``p``-norm is more than ``maxnorm`` scaled down to it."""
    if input.ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {input.ndim} dimensions")
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm:g}")
    axis = wrap_dim(dim, input.ndim)
    axes = tuple(d for d in range(input.ndim) if d != axis)
    x = widened(input)
    size = norm_over(x, p, axes)
    limit = constant(size, maxnorm)
    # The small number keeps the quotient finite, as torch's own does.
    factor = choose(lax.gt(size, limit), lax.div(limit, lax.add(size, constant(size, 1e-7))), constant(size, 1))
    return convert(lax.mul(x, convert(back(factor, x.shape, axes), x.dtype)), input.dtype)


# Counting.


@composite()
def bincount(input, weights=None, minlength=0):
    """How often each number 0, 1, 2, ... occurs in a one-dimensional tensor, or the sum of its places' weights."""
    array = host_array(input)
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if input.dtype.is_floating_point or input.dtype.is_complex or input.dtype is dtypes.bool_:
        raise NotImplementedError(f"\"bincount_cpu\" not implemented for '{SCALAR_TYPE_NAMES[input.dtype]}'")
    if array.ndim != 1 or (array.size and array.min() < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    array = array.astype(np.int64)
    if weights is None:
        return from_array(np.bincount(array, minlength=minlength).astype(np.int64), input.device)
    if weights._spec.shape != input._spec.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    target = np.float32 if weights.dtype is dtypes.float32 else np.float64
    counts = np.zeros(max(minlength, int(array.max()) + 1 if array.size else 0), target)
    np.add.at(counts, array, host_array(weights).astype(target))
    return from_array(counts, input.device)


def _edges(low: Any, high: Any, bins: int, dtype: np.dtype) -> np.ndarray:
    """``bins + 1`` evenly spaced edges, reckoned from the nearer end."""
    step = dtype.type((dtype.type(high) - dtype.type(low)) / dtype.type(bins))
    i = np.arange(bins + 1).astype(dtype)
    return np.where(i < (bins + 1) // 2, low + step * i, high - step * (bins - i)).astype(dtype)


def _range_of(name: str, values: np.ndarray, low: Any, high: Any, margin: float) -> tuple[Any, Any]:
    """The outermost edges: those given, or those of the values; a range of no width gets a margin to each side."""
    if low == high:
        low, high = (values.min(), values.max()) if values.size else (0, 1)
    if not (math.isfinite(low) and math.isfinite(high)):
        sign = "-" if math.isnan(low) else ""
        raise RuntimeError(f"{name}: range of [{sign}{low:g}, {sign}{high:g}] is not finite")
    if low > high:
        raise RuntimeError(f"{name}: max must be larger than min")
    return (low - margin, high + margin) if low == high else (low, high)


def _counted(values: np.ndarray, edges: Sequence[np.ndarray], weights: Any, dtype: np.dtype) -> np.ndarray:
    """The histogram of points, one a row, over bins that take in their left edges (and the last its right one)."""
    counts = np.zeros([len(e) - 1 for e in edges], dtype)
    places, inside = [], np.ones(len(values), bool)
    for column, e in zip(values.T, edges, strict=True):
        with np.errstate(invalid="ignore"):
            inside &= (column >= e[0]) & (column <= e[-1])
        places.append(np.minimum(np.searchsorted(e, column, "right") - 1, len(e) - 2))
    amounts = np.ones(len(values), dtype) if weights is None else weights.reshape(-1)
    np.add.at(counts, tuple(p[inside] for p in places), amounts[inside])
    return counts


@composite()
def histc(input, bins=100, min=0, max=0, *, out=None):
    """How many elements fall into each of ``bins`` bins from ``min`` to ``max`` (the elements' own, if both are 0)."""
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f"\"histogram_cpu\" not implemented for '{SCALAR_TYPE_NAMES[input.dtype]}'")
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    values = host_array(input).reshape(-1)
    low, high = _range_of("torch.histc", values, min, max, 1)
    dtype = values.dtype
    counts = _counted(values.reshape(-1, 1), [_edges(low, high, bins, dtype)], None, dtype)
    result = from_array(counts, input.device)
    return delivered(result, out)


def _density(counts: np.ndarray, edges: Sequence[np.ndarray]) -> np.ndarray:
    """Counts as a density, whose integral is one."""
    total = counts.sum()
    for axis, e in enumerate(edges):
        shape = [1] * counts.ndim
        shape[axis] = -1
        counts = counts / np.diff(e).reshape(shape)
    return (counts / total).astype(counts.dtype)


def _bin_edges(name: str, bins: Any, column: np.ndarray, limits: Any, dim: int = 0) -> np.ndarray:
    if isinstance(bins, Tensor):
        return host_array(bins)
    if bins <= 0:
        raise RuntimeError(f"{name}(): bins must be > 0, but got {bins} for dimension {dim}")
    low, high = limits or (0, 0)
    low, high = _range_of(name + "()", column, low, high, 0.5)
    return _edges(low, high, bins, column.dtype)


@composite()
def histogram(input, bins, *, range=None, weight=None, density=False, out=None):
    """The histogram of all elements as ``(hist, bin_edges)``.

    ``bins`` is a number of bins of equal width over ``range``, or a tensor of edges; ``weight`` has an amount for each
    element; ``density`` makes the integral one.
    """
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f"\"histogram_cpu\" not implemented for '{SCALAR_TYPE_NAMES[input.dtype]}'")
    values = host_array(input).reshape(-1)
    edges = _bin_edges("torch.histogram", bins, values, range)
    amounts = None if weight is None else host_array(weight)
    counts = _counted(values.reshape(-1, 1), [edges], amounts, values.dtype)
    counts = _density(counts, [edges]) if density else counts
    return named("histogram", ("hist", "bin_edges"))(
        (from_array(counts, input.device), from_array(np.array(edges), input.device))
    )


@composite(namespaces=("torch",))
def histogramdd(input, bins, *, range=None, weight=None, density=False):
    """The histogram of the rows of ``input`` as ``(hist, bin_edges)``, with a tensor of edges for each coordinate."""
    points = host_array(input)
    n = points.shape[-1]
    points = points.reshape(-1, n)
    bins = [bins] * n if isinstance(bins, int) else list(bins)
    limits = [None] * n if range is None else list(zip(range[::2], range[1::2], strict=True))
    edges = [
        _bin_edges("torch.histogramdd", b, column, limit, d)
        for d, (b, column, limit) in enumerate(zip(bins, points.T, limits, strict=True))
    ]
    counts = _counted(points, edges, None if weight is None else host_array(weight), points.dtype)
    counts = _density(counts, edges) if density else counts
    return named("histogramdd", ("hist", "bin_edges"))(
        (from_array(counts, input.device), tuple(from_array(np.array(e), input.device) for e in edges))
    )


# Searching.


@op(name="searchsorted", namespaces=("_private",), nondiff=True)
def _searchsorted(sorted_sequence: Array, input, right, out_int32):
    """Where elements belong in sorted rows."""
    side = "right" if right else "left"
    common = (
        np.promote_types(sorted_sequence.dtype, input.dtype) if sorted_sequence.dtype != input.dtype else input.dtype
    )
    rows, values = convert(sorted_sequence, common), convert(input, common)
    if not rows.size or not values.size:
        return lax.full(values.shape, 0, np.int32 if out_int32 else INT64)
    if rows.ndim == 1:
        found = jnp.searchsorted(rows, values, side=side)
    else:
        n, m = rows.shape[-1], values.shape[-1]
        flat = rows.reshape(-1, n), values.reshape(-1, m)
        found = jax.vmap(lambda a, v: jnp.searchsorted(a, v, side=side))(*flat).reshape(values.shape)
    return convert(found, np.int32 if out_int32 else INT64)


def _searched(name: str, boundaries: Tensor, values: Any, right: bool, out_int32: bool, out: Any) -> Tensor:
    if not isinstance(values, Tensor):
        values = Tensor._scalar_tensor(values, boundaries.device)
    result = _searchsorted(boundaries, values, bool(right), bool(out_int32))
    return delivered(result, out)


@composite(namespaces=("torch",))
def searchsorted(sorted_sequence, input, *, out_int32=False, right=False, side=None, sorter=None, out=None):
    """Where each element of ``input`` would go in the sorted last dimension of ``sorted_sequence`` to keep it sorted.

    Before equal elements, or behind them with ``right`` (or ``side="right"``); ``sorter`` holds the positions that sort
    an unsorted sequence.
    """
    if side not in (None, "left", "right"):
        raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError(
            "torch.searchsorted(): side and right can't be set to opposites, got side of left while right was True"
        )
    if sorter is not None:
        if sorter.dtype is not dtypes.int64:
            raise RuntimeError(
                "torch.searchsorted(): sorter must be a tensor of long dtype but got dtype "
                f"{SCALAR_TYPE_NAMES[sorter.dtype]}"
            )
        if sorter._spec.shape != sorted_sequence._spec.shape:
            raise RuntimeError(
                "torch.searchsorted(): boundary and sorter must have the same size, but got boundary tensor "
                f"{list(sorted_sequence._spec.shape)}and got sorter tensor {list(sorter._spec.shape)}"
            )
        sorted_sequence = sorted_sequence.gather(-1, sorter)
    have = sorted_sequence._spec.shape
    want = input._spec.shape if isinstance(input, Tensor) else ()
    if len(have) != 1 and (not isinstance(input, Tensor) or have[:-1] != want[:-1]):
        if not isinstance(input, Tensor):
            raise RuntimeError(
                "torch.searchsorted(): input value can be a scalar only when boundaries tensor dimension is 1, but "
                "we got "
                f"boundaries tensor dim({len(have)}) and input value's dim(0) numel(1)"
            )
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries "
            "tensor and "
            f"input value tensor must match, but we got boundaries tensor {list(have)} and input value tensor "
            f"{list(want)}"
        )
    return _searched("searchsorted", sorted_sequence, input, right or side == "right", out_int32, out)


@composite(namespaces=("torch",))
def bucketize(input, boundaries, *, out_int32=False, right=False, out=None):
    """The number of the bucket, between sorted boundaries, that each element falls into."""
    if boundaries._spec.ndim != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({boundaries._spec.ndim})")
    return _searched("bucketize", boundaries, input, right, out_int32, out)
