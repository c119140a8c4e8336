"""Look-up tables: rows of a matrix by their numbers, bags of rows, one-hot vectors."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
from jax import lax

from torchlike._engine.trace import threads
from torchlike._engine.value import host
from torchlike._ops.bodies import INT64, constant, convert, type_name_of, widened
from torchlike._ops.op import Array, composite, op
from torchlike._tensor.tensor import Tensor, assign, value_of

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
    """IndexError for a row number out of range, where the numbers are at hand."""
    value = value_of(index)
    if value.array is None or not value.spec.numel:
        return
    array = host(value)
    if array.dtype == np.int64:
        bad = array.view(np.uint64).max() >= rows if array.flags.c_contiguous else array.min() < 0 or array.max() >= rows
    else:
        bad = array.dtype.kind in "iu" and (array.min() < 0 or array.max() >= rows)
    if bad:
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
def embedding(
    input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False
):
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
    if padding_idx >= n > 0 and padding_idx > 0 or padding_idx < -n:
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
        if num_classes == -1:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        raise RuntimeError("num_classes should be positive")
    value = value_of(tensor)
    if tensor._spec.numel and (num_classes == -1 or value.array is not None):
        array = host(value)
        if array.min() < 0:
            raise RuntimeError("Class values must be non-negative.")
        if num_classes == -1:
            num_classes = int(array.max()) + 1
        elif num_classes < 1:
            raise RuntimeError("num_classes should be positive")
        elif array.max() >= num_classes:
            raise RuntimeError("Class values must be smaller than num_classes.")
    return _one_hot(tensor, num_classes)


@op(namespaces=("_private",), name="_one_hot", nondiff=True)
def _one_hot(input, num_classes):
    """Ones where a class's number is the input, else zeros."""
    shape = (*input.shape, num_classes)
    classes = lax.broadcasted_iota(INT64, shape, input.ndim)
    return convert(lax.eq(classes, lax.broadcast_in_dim(input, shape, tuple(range(input.ndim)))), INT64)
