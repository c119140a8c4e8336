"""Look-up tables: rows of a matrix by their numbers, bags of rows, one-hot vectors."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import jax
import numpy as np
from jax import lax

from torchlike._engine.trace import threads
from torchlike._engine.value import host
from torchlike._ops.bodies import INT64, constant, convert, type_name_of, widened
from torchlike._ops.loss import in_range, looked_at
from torchlike._ops.op import Array, composite, op
from torchlike._tensor.tensor import Tensor, assign, from_array, value_of

_F = ("nn.functional",)

_ROWS = lax.GatherDimensionNumbers(offset_dims=(1,), collapsed_slice_dims=(0,), start_index_map=(0,))
_INTO_ROWS = lax.ScatterDimensionNumbers(
    update_window_dims=(1,), inserted_window_dims=(0,), scatter_dims_to_operand_dims=(0,)
)


def rows(matrix: Any, index: Any) -> Any:
    """``matrix[index]`` for a vector of row numbers that are in range."""
    index = lax.expand_dims(index, (1,))
    return lax.gather(matrix, index, _ROWS, (1, matrix.shape[1]), mode="promise_in_bounds")


def add_rows(shape: tuple[int, ...], index: Any, updates: Any) -> Any:
    """A matrix of zeros to whose rows at ``index`` the updates are added."""
    zero = lax.broadcast_in_dim(constant(updates, 0), shape, ())
    index = lax.expand_dims(index, (1,))
    return lax.scatter_add(zero, index, updates, _INTO_ROWS, mode="promise_in_bounds")


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _look_up(weight, index, padding_idx, by_frequency):
    return rows(weight, index)


def _look_up_forward(weight, index, padding_idx, by_frequency):
    return rows(weight, index), (index, lax.slice_in_dim(weight, 0, 0, axis=1))


def _look_up_backward(padding_idx, by_frequency, saved, g):
    index, empty = saved
    n = empty.shape[0]
    factor = None
    if padding_idx >= 0:
        factor = convert(lax.ne(index, constant(index, padding_idx)), g.dtype)
    if by_frequency:
        one = lax.broadcast_in_dim(constant(g, 1), (index.shape[0], 1), ())
        often = rows(add_rows((n, 1), index, one), index)
        share = lax.div(constant(g, 1), lax.squeeze(often, (1,)))
        factor = share if factor is None else lax.mul(factor, share)
    if factor is not None:
        g = lax.mul(g, lax.broadcast_in_dim(factor, g.shape, (0,)))
    return add_rows((n, g.shape[1]), index, g), None


_look_up.defvjp(_look_up_forward, _look_up_backward)


def check_index(index: Tensor, rows: int) -> None:
    """IndexError for a row number out of range."""
    array = looked_at(index)
    if array is not None and array.size and array.dtype.kind in "iu" and not in_range(array, rows):
        raise IndexError("index out of range in self")


def _check(weight, indices, padding_idx, scale_grad_by_freq):
    if weight._spec.ndim == 2:
        check_index(indices, weight._spec.shape[0])


def check_index_dtype(name: str, index: Any) -> None:
    """RuntimeError unless row numbers are of type int32 or int64."""
    if index.dtype not in (np.int32, np.int64):
        legacy = type_name_of(index)
        raise RuntimeError(
            f"Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got "
            f"torch.{legacy}Tensor instead (while checking arguments for {name})"
        )


@op(namespaces=("_private",), name="_embedding", node="EmbeddingBackward0", check=_check)
def _embedding(weight: Array, indices: Array, padding_idx, scale_grad_by_freq):
    """The rows of the weight at the indices."""
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    check_index_dtype("embedding", indices)
    flat = lax.reshape(indices, (indices.size,))
    found = _look_up(weight, flat, padding_idx, scale_grad_by_freq)
    return lax.reshape(found, (*indices.shape, weight.shape[1]))


@composite(namespaces=("torch",), name="embedding")
def torch_embedding(weight, indices, padding_idx=-1, scale_grad_by_freq=False, sparse=False):
    """The rows of ``weight`` at ``indices``; see ``torch.nn.functional.embedding``."""
    return _embedding(weight, indices, padding_idx, bool(scale_grad_by_freq))


@composite(namespaces=_F)
def embedding(input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False):
    """The rows of ``weight`` (V, D) whose numbers are in ``input`` (...): a tensor (..., D).

    The row ``padding_idx`` gets no gradient. With ``max_norm``, rows that are looked up and have a larger norm are first
    scaled down to it, in ``weight`` itself. ``scale_grad_by_freq`` divides gradients by how often a row occurs. With
    ``sparse`` the gradient is dense all the same.

    Raises IndexError for numbers out of range.
    """
    if not isinstance(input, Tensor) or not isinstance(weight, Tensor):
        bad, name, at = (weight, "weight", 1) if not isinstance(weight, Tensor) else (input, "indices", 2)
        raise TypeError(f"embedding(): argument '{name}' (position {at}) must be Tensor, not {type(bad).__name__}")
    padding_idx = _padding(padding_idx, weight)
    if max_norm is not None:
        embedding_renorm_(weight, input, max_norm, norm_type)
    return _embedding(weight, input, padding_idx, bool(scale_grad_by_freq))


def _padding(padding_idx: int | None, weight: Tensor) -> int:
    """The padding row counted from the front; -1 for none."""
    if padding_idx is None:
        return -1
    n = weight._spec.shape[0]
    if (padding_idx > 0 and padding_idx >= n) or padding_idx < -n:
        raise AssertionError("Padding_idx must be within num_embeddings")
    return padding_idx + n if padding_idx < 0 else padding_idx


# Rows whose norm is too large.


@op(namespaces=("_private",), name="_renormed_rows", nondiff=True)
def _renormed_rows(input, indices: Array, max_norm, norm_type):
    """The matrix, its rows at ``indices`` scaled down to ``max_norm`` where their norm is larger."""
    check_index_dtype("embedding_renorm_", indices)
    x = widened(input)
    norms = _row_norms(x, norm_type)
    limit = constant(norms, max_norm)
    scale = lax.div(limit, lax.add(norms, constant(norms, 1e-7)))
    flat = lax.reshape(indices, (indices.size,))
    one = lax.broadcast_in_dim(constant(x, 1), (flat.shape[0], 1), ())
    used = lax.gt(lax.squeeze(add_rows((x.shape[0], 1), flat, one), (1,)), constant(x, 0))
    scale = lax.select(lax.bitwise_and(used, lax.gt(norms, limit)), scale, lax.full_like(scale, 1))
    return convert(lax.mul(x, lax.broadcast_in_dim(scale, x.shape, (0,))), input.dtype)


def _row_norms(x: Any, p: float) -> Any:
    size = lax.abs(x)
    if p == float("inf"):
        return lax.reduce_max(size, (1,))
    if p == 2:
        return lax.sqrt(lax.reduce_sum(lax.mul(x, x), (1,)))
    if p == 1:
        return lax.reduce_sum(size, (1,))
    return lax.pow(lax.reduce_sum(lax.pow(size, constant(x, p)), (1,)), constant(x, 1 / p))


@composite(namespaces=("torch",))
def embedding_renorm_(input, indices, max_norm, norm_type):
    """Scale the rows of ``input`` at ``indices`` down to the norm ``max_norm`` where they exceed it; off the tape."""
    check_index(indices, input._spec.shape[0])
    enabled, threads.grad_enabled = threads.grad_enabled, False
    try:
        result = _renormed_rows(input, indices, float(max_norm), float(norm_type))
    finally:
        threads.grad_enabled = enabled
    assign(input, value_of(result))
    return input


@composite(namespaces=_F)
def one_hot(tensor, num_classes=-1):
    """For each class number in ``tensor`` (...) a vector of ``num_classes`` zeros but for a one: int64 (..., C).

    ``num_classes`` of -1 takes the largest number plus one. RuntimeError for negative or too large numbers.
    """
    if tensor._spec.dtype != np.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if not tensor._spec.numel and num_classes <= 0:
        raise RuntimeError("Can not infer total number of classes from empty tensor.")
    array = host(value_of(tensor)) if num_classes == -1 else looked_at(tensor)
    if tensor._spec.numel and array is not None:
        if array.min() < 0:
            raise RuntimeError("Class values must be non-negative.")
        if num_classes == -1:
            num_classes = int(array.max()) + 1
        elif array.max() >= num_classes:
            raise RuntimeError("Class values must be smaller than num_classes.")
    return _one_hot(tensor, num_classes)


@op(namespaces=("_private",), name="_one_hot", nondiff=True)
def _one_hot(input, num_classes):
    """Ones where a class's number is the input, else zeros."""
    shape = (*input.shape, num_classes)
    classes = lax.broadcasted_iota(INT64, shape, input.ndim)
    return convert(lax.eq(classes, lax.broadcast_in_dim(input, shape, tuple(range(input.ndim)))), INT64)


# Bags of rows.


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _bag_maxima(found, bags, real, n):
    return _bag_maxima_forward(found, bags, real, n)[0]


def _bag_maxima_forward(found, bags, real, n):
    """The greatest of each column in each bag, zero for an empty bag; the first of equals gets the gradient."""
    shape, index = (n, found.shape[1]), lax.expand_dims(bags, (1,))
    least = lax.broadcast_in_dim(constant(found, -np.inf), shape, ())
    shown = found if real is None else lax.select(_columns(real, found), found, lax.full_like(found, -np.inf))
    top = lax.scatter_max(least, index, shown, _INTO_ROWS, mode="promise_in_bounds")
    place = lax.broadcasted_iota(INT64, found.shape, 0)
    last = found.shape[0]
    hit = lax.select(lax.eq(shown, rows(top, bags)), place, lax.full_like(place, last))
    none = lax.full(shape, np.int64(last))
    first = lax.scatter_min(none, index, hit, _INTO_ROWS, mode="promise_in_bounds")
    empty = lax.eq(top, least)
    return lax.select(empty, lax.full_like(top, 0), top), (first, bags, place)


def _columns(mask: Any, like: Any) -> Any:
    return lax.broadcast_in_dim(mask, like.shape, (0,))


def _bag_maxima_backward(n, saved, g):
    first, bags, place = saved
    chosen = lax.eq(place, rows(first, bags))
    spread = rows(g, bags)
    return lax.select(chosen, spread, lax.full_like(spread, 0)), None, None


_bag_maxima.defvjp(_bag_maxima_forward, _bag_maxima_backward)


def _bag_of_each(offsets: Any, n: int, bags: int) -> Any:
    """For each of ``n`` numbers, the bag it is in."""
    flat = lax.convert_element_type(offsets, INT64)
    ones = lax.broadcast_in_dim(np.ones((), np.int64), (flat.shape[0],), ())
    zero = lax.broadcast_in_dim(np.zeros((), np.int64), (n + 1,), ())
    numbers = lax.ScatterDimensionNumbers((), (0,), (0,))
    starts = lax.scatter_add(zero, lax.expand_dims(flat, (1,)), ones, numbers, mode="clip")
    found = lax.sub(lax.cumsum(lax.slice(starts, (0,), (n,))), np.int64(1))
    return lax.clamp(np.int64(0), found, np.int64(max(bags - 1, 0)))


def check_index_of_bag(index: Tensor, rows_: int) -> None:
    """RuntimeError for a row number out of range."""
    array = looked_at(index)
    if array is None or not array.size:
        return
    bad = array[(array < 0) | (array >= rows_)]
    if bad.size:
        place = int(np.flatnonzero((array < 0) | (array >= rows_))[0])
        raise RuntimeError(
            f"Index {place} of input takes value {int(bad.flat[0])} which is not in the valid range [0, {rows_})"
        )


def _check_bag_call(
    weight, indices, offsets, per_sample_weights, mode, scale_grad_by_freq, include_last_offset, padding_idx
):
    check_index_of_bag(indices, weight._spec.shape[0])


@op(namespaces=("_private",), name="_embedding_bag", node="EmbeddingBagBackward0", check=_check_bag_call)
def _embedding_bag(
    weight: Array, indices: Array, offsets: Array, per_sample_weights: Array | None, mode, scale_grad_by_freq,
    include_last_offset, padding_idx,
):  # fmt: skip
    """The sum, mean or maximum of the rows in each bag."""
    check_index_dtype("embedding_bag", indices)
    n = offsets.shape[0] - bool(include_last_offset)
    bags = _bag_of_each(offsets, indices.shape[0], n)
    found = widened(_look_up(weight, indices, padding_idx, scale_grad_by_freq))
    real = None if padding_idx < 0 else lax.ne(indices, constant(indices, padding_idx))
    if mode == "max":
        return convert(_bag_maxima(found, bags, real, n), weight.dtype)
    if per_sample_weights is not None:
        found = lax.mul(found, _columns(convert(per_sample_weights, found.dtype), found))
    if real is not None:
        found = lax.select(_columns(real, found), found, lax.full_like(found, 0))
    total = add_rows((n, weight.shape[1]), bags, found)
    if mode == "mean":
        one = (
            lax.full((indices.shape[0], 1), found.dtype.type(1))
            if real is None
            else convert(lax.expand_dims(real, (1,)), found.dtype)
        )
        counts = lax.max(add_rows((n, 1), bags, one), constant(found, 1))
        total = lax.div(total, lax.broadcast_in_dim(counts, total.shape, (0, 1)))
    return convert(total, weight.dtype)


def _bag_layout(input, offsets, per_sample_weights):
    """Flat numbers, where each bag starts, and flat weights of samples."""
    if input.dim() == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length sequences. "
                f"However, found offsets of type {type(offsets)}"
            )
        count, length = input._spec.shape
        offsets = from_array(np.arange(count, dtype=input._spec.dtype) * length, input._storage.device)
        weights = None if per_sample_weights is None else per_sample_weights.reshape(-1)
        return input.reshape(-1), offsets, weights, False
    if input.dim() == 1:
        if offsets is None:
            raise ValueError("offsets has to be a 1D Tensor but got None")
        if offsets.dim() != 1:
            raise ValueError("offsets has to be a 1D Tensor")
        return input, offsets, per_sample_weights, True
    raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.dim()}")


@composite(namespaces=_F)
def embedding_bag(
    input, weight, offsets=None, max_norm=None, norm_type=2, scale_grad_by_freq=False, mode="mean", sparse=False,
    per_sample_weights=None, include_last_offset=False, padding_idx=None,
):  # fmt: skip
    """The sum, mean or maximum (``mode``) of the rows of ``weight`` (V, D) in each bag of row numbers: (B, D).

    ``input`` is (B, L), or the numbers of all bags in a row with ``offsets`` (B) where each starts, which with
    ``include_last_offset`` also has where the last one ends. ``per_sample_weights`` scale the rows of a sum. Numbers equal
    to ``padding_idx`` do not count.
    """
    if weight._spec.dtype == np.int64 and input.is_floating_point():
        warnings.warn(
            "Argument order of nn.functional.embedding_bag was changed. Usage `embedding_bag(weight, input, ...)` is "
            "deprecated, and should now be `embedding_bag(input, weight, ...)`.",
            stacklevel=2,
        )
        weight, input = input, weight
    if per_sample_weights is not None and input.size() != per_sample_weights.size():
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({per_sample_weights.shape}) is not None, then it must have the same "
            f"shape as the input ({input.shape})"
        )
    if weight.dim() != 2:
        raise ValueError(f"weight has to be a 2D Tensor, but got Tensor of dimension {weight.dim()}")
    flat, starts, weights, one_row = _bag_layout(input, offsets, per_sample_weights)
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError("max mode does not support scaling the gradient by the frequency")
    if mode == "max" and sparse:
        raise ValueError("max mode does not support sparse weights")
    if max_norm is not None:
        embedding_renorm_(weight, flat, max_norm, norm_type)
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' "
            f"(got mode='{mode}'). Please open a feature request on GitHub."
        )
    last = bool(include_last_offset and one_row)
    _check_offsets(starts, flat, last)
    padding_idx = _padding_of_bag(padding_idx, weight)
    return _embedding_bag(weight, flat, starts, weights, mode, bool(scale_grad_by_freq), last, padding_idx)


def _padding_of_bag(padding_idx: int | None, weight: Tensor) -> int:
    if padding_idx is None:
        return -1
    n = weight._spec.shape[0]
    if not -n <= padding_idx < n:
        raise RuntimeError(
            f"padding_idx must be within the number of embeddings, -{n} through {n - 1}, but got {padding_idx}"
        )
    return padding_idx % n


def _check_offsets(offsets: Tensor, input: Tensor, include_last_offset: bool) -> None:
    if include_last_offset and offsets._spec.shape[0] < 1:
        raise RuntimeError("include_last_offset: number of offset should be at least 1")
    array, n = looked_at(offsets), input._spec.shape[0]
    if array is None or not array.size:
        return
    if array[0] != 0:
        raise RuntimeError(
            f"offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. However, got "
            f"{int(array[0])}"
        )
    if array[-1] > n:
        raise RuntimeError(
            f"offsets[-1] can not be greater than input's length {n} but got offsets[-1] of {int(array[-1])}"
        )
