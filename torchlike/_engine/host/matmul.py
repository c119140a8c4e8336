"""Host rules of matrix products and convolutions: everything goes to one BLAS call, or one per batch."""

from __future__ import annotations

from collections.abc import Callable
from operator import methodcaller
from typing import Any

import numpy as np

from torchlike._engine.host.base import (
    NoRuleError,
    dtype_of,
    fresh,
    identity,
    out_dtype,
    out_shape,
    rule,
    shape_of,
    through,
    wide,
)
from torchlike._engine.host.shape import padder, windows

dot = np.ndarray.dot  # as a method: half the overhead of np.matmul, and none of np.dot's dispatch

PLAIN: dict[tuple[int, int, int, int], Callable] = {
    (1, 2, 0, 1): fresh(lambda x, y: x.dot(y.T)),
    (1, 2, 0, 0): dot,
    (2, 1, 0, 0): fresh(lambda x, y: x.T.dot(y)),
    (2, 1, 1, 0): dot,
    (2, 2, 0, 0): fresh(lambda x, y: x.T.dot(y)),
    (2, 2, 0, 1): fresh(lambda x, y: x.T.dot(y.T)),
    (2, 2, 1, 0): dot,
    (2, 2, 1, 1): fresh(lambda x, y: x.dot(y.T)),
    (1, 1, 0, 0): dot,
}
"""Products of vectors and matrices, by (left rank, right rank, left contracted axis, right contracted axis)."""


def _mover(permutation: tuple[int, ...]) -> Callable:
    return identity if permutation == tuple(range(len(permutation))) else methodcaller("transpose", permutation)


def _shaper(old: tuple[int, ...], new: tuple[int, ...]) -> Callable:
    return identity if old == new else methodcaller("reshape", new)


def _size(lengths: Any) -> int:
    size = 1
    for length in lengths:
        size *= length
    return size


@rule("dot_general")
def _dot_general(eqn: Any) -> Callable:
    """Sum of products over the contracted axes; the result's axes are the batch's, the left's, the right's."""
    (left_sum, right_sum), (left_batch, right_batch) = (
        tuple(tuple(map(int, axes)) for axes in pair) for pair in eqn.params["dimension_numbers"]
    )
    left, right = shape_of(eqn, 0), shape_of(eqn, 1)
    if left_batch:
        product = _batched(left, right, left_sum, right_sum, left_batch, right_batch, out_shape(eqn))
    else:
        product = _single(left, right, left_sum, right_sum, out_shape(eqn))
    return _typed(eqn, product)


def _typed(eqn: Any, product: Callable) -> Callable:
    """``product`` with the inputs cast to the dtype of the sum: the result's own, or float32 for 16-bit floats."""
    result = out_dtype(eqn)
    work = wide(result)
    if work == result and dtype_of(eqn, 0) == dtype_of(eqn, 1) == work:
        return product
    return through(work, product, result)


def _single(left: tuple, right: tuple, left_sum: tuple, right_sum: tuple, shape: tuple) -> Callable:
    if not left_sum:
        column = _shaper(left, left + (1,) * len(right))
        return fresh(lambda x, y: np.multiply(column(x), y))
    if len(left_sum) == 1:
        plain = PLAIN.get((len(left), len(right), left_sum[0], right_sum[0]))
        if plain is not None:
            return plain
    left_free = tuple(axis for axis in range(len(left)) if axis not in left_sum)
    right_free = tuple(axis for axis in range(len(right)) if axis not in right_sum)
    depth = _size(left[axis] for axis in left_sum)
    move_left, move_right = _mover(left_free + left_sum), _mover(right_sum + right_free)
    rows = methodcaller("reshape", (_size(left[axis] for axis in left_free), depth))
    columns = methodcaller("reshape", (depth, _size(right[axis] for axis in right_free)))

    def call(x: Any, y: Any) -> Any:
        return rows(move_left(x)).dot(columns(move_right(y))).reshape(shape)

    return fresh(call)


def _batched(
    left: tuple, right: tuple, left_sum: tuple, right_sum: tuple, left_batch: tuple, right_batch: tuple, shape: tuple
) -> Callable:
    left_free = tuple(axis for axis in range(len(left)) if axis not in left_sum + left_batch)
    right_free = tuple(axis for axis in range(len(right)) if axis not in right_sum + right_batch)
    batch = tuple(left[axis] for axis in left_batch)
    rows, columns = tuple(left[axis] for axis in left_free), tuple(right[axis] for axis in right_free)
    sums = tuple(left[axis] for axis in left_sum)
    move_left, move_right = _mover(left_batch + left_free + left_sum), _mover(right_batch + right_sum + right_free)
    if not sums:
        spread = methodcaller("reshape", batch + rows + (1,) * len(columns))
        across = methodcaller("reshape", batch + (1,) * len(rows) + columns)
        return fresh(lambda x, y: np.multiply(spread(move_left(x)), across(move_right(y))))
    matmul = np.matmul
    shape_left = _shaper(batch + rows + sums, (*batch, _size(rows), _size(sums)))
    shape_right = _shaper(batch + sums + columns, (*batch, _size(sums), _size(columns)))
    finish = _shaper((*batch, _size(rows), _size(columns)), shape)

    def call(x: Any, y: Any) -> Any:
        return finish(matmul(shape_left(move_left(x)), shape_right(move_right(y))))

    return fresh(call)


@rule("ragged_dot_general")
def _ragged_dot_general(eqn: Any) -> Callable:
    """Consecutive groups of rows, each times its own matrix: the form that ``lax.ragged_dot`` makes."""
    numbers = eqn.params["ragged_dot_dimension_numbers"]
    (contract, batch), ragged = numbers.dot_dimension_numbers, tuple(numbers.lhs_ragged_dimensions)
    form = (
        tuple(contract[0]),
        tuple(contract[1]),
        tuple(batch[0]),
        tuple(batch[1]),
        ragged,
        tuple(numbers.rhs_group_dimensions),
    )
    if form != ((1,), (1,), (), (), (0,), (0,)) or len(shape_of(eqn, 0)) != 2:
        raise NoRuleError("a general ragged product")
    shape, result = out_shape(eqn), out_dtype(eqn)
    work = wide(result)

    def call(x: Any, matrices: Any, sizes: Any) -> np.ndarray:
        out, start = np.zeros(shape, work), 0
        for matrix, size in zip(matrices, sizes.tolist(), strict=True):
            out[start : start + size] = x[start : start + size].astype(work).dot(matrix.astype(work))
            start += size
        return out.astype(result, copy=False)

    return fresh(call)


# Convolution

COLUMNS_BYTES = 1 << 22
"""Unfolded windows larger than this are made one batch element at a time, so that they stay in the cache."""

FEW_POSITIONS = 64
"""With fewer output positions than this, one product takes the positions of the whole batch."""


@rule("conv_general_dilated")
def _conv(eqn: Any) -> Callable:
    """Convolution as the product of the kernel with the unfolded windows of the input (im2col)."""
    params, numbers = eqn.params, eqn.params["dimension_numbers"]
    lhs_spec, rhs_spec, out_spec = (
        tuple(map(int, spec)) for spec in (numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec)
    )
    lhs = tuple(shape_of(eqn, 0)[axis] for axis in lhs_spec)
    rhs = tuple(shape_of(eqn, 1)[axis] for axis in rhs_spec)
    out = tuple(out_shape(eqn)[axis] for axis in out_spec)
    if 0 in out or 0 in lhs or 0 in rhs:
        zeros_shape, zeros_dtype = out_shape(eqn), out_dtype(eqn)
        return fresh(lambda x, kernel: np.zeros(zeros_shape, zeros_dtype))
    config = [(0, 0, 0)] * 2 + [
        (int(low), int(high), int(dilation) - 1)
        for (low, high), dilation in zip(params["padding"], params["lhs_dilation"], strict=True)
    ]
    work = wide(out_dtype(eqn))
    pad = padder(lhs, config, work)
    groups, batch_groups = int(params["feature_group_count"]), int(params["batch_group_count"])
    correlate = _grouped(
        lhs,
        rhs,
        out,
        groups,
        batch_groups,
        tuple(map(int, params["window_strides"])),
        tuple(map(int, params["rhs_dilation"])),
        work,
    )
    move_lhs, move_rhs = _mover(lhs_spec), _mover(rhs_spec)
    move_out = _mover(tuple(int(axis) for axis in np.argsort(out_spec)))
    zero = work.type(0)

    def call(x: Any, kernel: Any) -> Any:
        x = move_lhs(x)
        if pad is not None:
            x = pad(x, zero)
        return move_out(correlate(x, move_rhs(kernel)).reshape(out))

    return _typed(eqn, fresh(call))


def _grouped(
    lhs: tuple,
    rhs: tuple,
    out: tuple,
    groups: int,
    batch_groups: int,
    strides: tuple,
    dilations: tuple,
    dtype: np.dtype,
) -> Callable:
    """The correlation of a padded (N, C, *S) input with a (O, I, *K) kernel, its axes in the order (N, O, *positions).

    Within, the input is (N, G, I, *S), the kernel (G, O/G, I*K) and the result (N, G, O/G, positions).
    """
    kernel_lengths, positions = rhs[2:], out[2:]
    taps, spots = rhs[1] * _size(kernel_lengths), _size(positions)
    count = groups * batch_groups
    batch, features = lhs[0] // batch_groups, rhs[0] // count
    kernel_shape = (count, features, taps)
    rank = len(positions)

    def unfold(x: np.ndarray) -> np.ndarray:
        """The windows, as a view of shape (N, G, I, *positions, *kernel)."""
        if batch_groups > 1:
            x = x.reshape(batch_groups, batch, *x.shape[1:]).swapaxes(0, 1)
        else:
            x = x.reshape(batch, groups, rhs[1], *x.shape[2:])
        return windows(x, kernel_lengths, strides, dilations, positions, 3)

    spot_axes, tap_axes = tuple(range(3, 3 + rank)), tuple(range(3 + rank, 3 + 2 * rank))
    matmul = np.matmul

    if kernel_lengths[-1] > positions[-1]:  # gradients of kernels: copy along the windows, which are the long runs
        by_spots = (0, 1, *spot_axes, 2, *tap_axes)
        if count == 1:

            def one_product(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
                rows = unfold(x).transpose(by_spots).reshape(batch * spots, taps)
                return kernel.reshape(features, taps).dot(rows.T).reshape(features, batch, spots).swapaxes(0, 1)

            return one_product

        def by_window(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
            rows = unfold(x).transpose(by_spots).reshape(batch, count, spots, taps)
            return matmul(kernel.reshape(kernel_shape), rows.swapaxes(2, 3))

        return by_window

    if spots < FEW_POSITIONS and batch > 1:
        folded = (1, 2, *tap_axes, 0, *spot_axes)

        def whole_batch(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
            columns = unfold(x).transpose(folded).reshape(count, taps, batch * spots)
            product = matmul(kernel.reshape(kernel_shape), columns)
            return product.reshape(count, features, batch, spots).transpose(2, 0, 1, 3)

        return whole_batch

    by_taps = (0, 1, 2, *tap_axes, *spot_axes)
    small = batch == 1 or batch * count * taps * spots * dtype.itemsize <= COLUMNS_BYTES or _size(kernel_lengths) == 1
    shape = (batch, count, taps, spots)

    def at_once(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        return matmul(kernel.reshape(kernel_shape), unfold(x).transpose(by_taps).reshape(shape))

    def one_by_one(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        view = unfold(x).transpose(by_taps)
        kernel = kernel.reshape(kernel_shape)
        product = np.empty((batch, count, features, spots), dtype)
        columns = np.empty(view.shape[1:], dtype)
        flat = columns.reshape(count, taps, spots)
        for source, target in zip(view, product, strict=True):
            columns[...] = source
            matmul(kernel, flat, target)
        return product

    return at_once if small else one_by_one
