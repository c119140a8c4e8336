"""Pooling to a given size: window ``i`` of ``m`` over ``n`` elements is ``[floor(i n / m), ceil((i + 1) n / m))``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax import lax

from torchlike._ops.bodies import constant, convert, kind, type_name_of, widened
from torchlike._ops.convolution import listed
from torchlike._ops.op import composite, op
from torchlike._ops.pooling import check_dims_1d, max_pooled, max_positions
from torchlike._ops.sliding_windows import Windows
from torchlike._tensor.tensor import Tensor

_F = ("nn.functional",)


def _bounds(n: int, out: int) -> list[tuple[int, int]]:
    return [(i * n // out, -(-(i + 1) * n // out)) for i in range(out)]


def output_sizes(output_size: Any, input: Tensor, n: int) -> tuple[int, ...]:
    """The size asked for in each dimension; None keeps the input's."""
    inside = input._spec.shape[max(input._spec.ndim - n, 0) :]
    if output_size is None or isinstance(output_size, int):
        output_size = (output_size,) * n
    elif n > 1 and input._spec.ndim <= len(output_size):
        raise ValueError(f"Input dimension should be at least {len(output_size) + 1}")
    if len(output_size) != len(inside):
        return tuple(output_size)
    return tuple(have if want is None else want for want, have in zip(output_size, inside, strict=True))


def _check(name: str, x: Any, n: int, colon: str, lead: int) -> None:
    if x.ndim not in (n + 1, n + 2):
        raise RuntimeError(f"{name}(): Expected {n + 1}D or {n + 2}D tensor, but got{colon} {listed(x.shape)}")
    for axis in range(lead, x.ndim):
        if x.shape[axis] == 0:
            raise RuntimeError(
                f"{name}(): Expected input to have non-zero size for non-batch dimensions, but input has sizes "
                f"{listed(x.shape)} with dimension {axis} being empty"
            )


# Means.


def _average_axis(x: Any, axis: int, out: int) -> Any:
    n = x.shape[axis]
    if n == out:
        return x
    if out and n % out == 0:
        k = n // out
        total = lax.reduce_sum(lax.reshape(x, (*x.shape[:axis], out, k, *x.shape[axis + 1 :])), (axis + 1,))
        return lax.div(total, constant(x, k))
    weights = np.zeros((n, out), x.dtype)
    for j, (start, stop) in enumerate(_bounds(n, out)):
        weights[start:stop, j] = 1 / (stop - start)
    mixed = lax.dot_general(x, weights, (((axis,), (0,)), ((), ())))
    return lax.transpose(mixed, (*range(axis), x.ndim - 1, *range(axis, x.ndim - 1)))


def _average_node(output_size, squeezed, **_: Any) -> str:
    n = len(output_size)
    if n == 1:
        return "SqueezeBackward1"
    return "MeanBackward1" if all(o == 1 for o in output_size) else f"AdaptiveAvgPool{n}DBackward0"


@op(namespaces=("_private",), name="_adaptive_avg", node=_average_node)
def _adaptive_avg(input, output_size, squeezed):
    """The means of as many windows as are asked for."""
    n = len(output_size)
    if not (n == 1 or all(o == 1 for o in output_size)):
        _check(f"adaptive_avg_pool{n}d", input, n, "", input.ndim - n)
        if kind(input) != "f":
            raise NotImplementedError(f"\"adaptive_avg_pool{n}d\" not implemented for '{type_name_of(input)}'")
    x = widened(input)
    lead = x.ndim - n
    if all(x.shape[lead + i] % max(o, 1) == 0 and o for i, o in enumerate(output_size)):
        factors = [x.shape[lead + i] // o for i, o in enumerate(output_size)]
        pairs = itertools.chain.from_iterable(zip(output_size, factors, strict=True))
        apart = lax.reshape(x, (*x.shape[:lead], *pairs))
        total = lax.reduce_sum(apart, tuple(lead + 2 * i + 1 for i in range(n)))
        return convert(lax.div(total, constant(x, math.prod(factors))), input.dtype)
    for i, o in enumerate(output_size):
        x = _average_axis(x, lead + i, o)
    return convert(x, input.dtype)


def _check_sizes(name: str, output_size: Sequence[int], n: int) -> None:
    if len(output_size) != n:
        raise RuntimeError(f"{name}: output_size must be {n}")
    if any(o < 0 for o in output_size):
        shown = [str(o) for o in ((1, *output_size) if n == 1 else output_size)]
        shown = ", ".join(shown[:2]) + "".join(f",{o}" for o in shown[2:])
        name = "adaptive_avg_pool2d" if n == 1 else name
        raise RuntimeError(
            f"{name}: elements of output_size must be greater than or equal to 0 but received {{{shown}}}"
        )


@composite(namespaces=("torch", "nn.functional"))
def adaptive_avg_pool1d(input, output_size):
    """The means of ``output_size`` windows over (N, C, L) or (C, L)."""
    check_dims_1d("adaptive_avg_pool1d", input)
    size = (output_size,) if isinstance(output_size, int) else tuple(output_size)
    if len(size) != 1:
        raise RuntimeError(f"adaptive_avg_pool1d() argument 'output_size' should contain one int (got {len(size)})")
    _check_sizes("adaptive_avg_pool1d", size, 1)
    return _adaptive_avg(input, size, True)


@composite(namespaces=_F)
def adaptive_avg_pool2d(input, output_size):
    """The means of ``output_size`` windows (one number or two, None for the input's) over (N, C, H, W) or (C, H, W)."""
    return _averaged("adaptive_avg_pool2d", 2, input, output_size)


@composite(namespaces=_F)
def adaptive_avg_pool3d(input, output_size):
    """The means of ``output_size`` windows (one number or three) over (N, C, D, H, W) or (C, D, H, W)."""
    return _averaged("adaptive_avg_pool3d", 3, input, output_size)


def _averaged(name: str, n: int, input, output_size):
    if not isinstance(output_size, (int, list, tuple, type(None))) or (
        isinstance(output_size, (list, tuple)) and not all(o is None or isinstance(o, int) for o in output_size)
    ):
        bad = (
            output_size
            if not isinstance(output_size, (list, tuple))
            else next(o for o in output_size if not isinstance(o, int))
        )
        kind_of = type(bad).__name__
        raise TypeError(
            f"{name}(): argument 'output_size' (position 2) must be tuple of ints, but found element of type {kind_of} at "
            "pos 0"
        )
    size = output_sizes(output_size, input, n)
    _check_sizes(name, size, n)
    if all(o == 1 for o in size) and input._spec.ndim not in (n + 1, n + 2):
        _check(name, input._spec, n, "", 0)
    return _adaptive_avg(input, size, False)


# Maxima.


def _max_windows(x: Any, sizes: Sequence[int]) -> tuple[Any, Windows, list[np.ndarray]]:
    """The input laid out so that the windows touch but do not overlap, these, and where each element came from."""
    lead = x.ndim - len(sizes)
    kernel, sources = [], []
    for i, out in enumerate(sizes):
        n = x.shape[lead + i]
        bounds = _bounds(n, out)
        k = max((stop - start for start, stop in bounds), default=1)
        kernel.append(k)
        source = np.array([min(start + j, stop - 1) for start, stop in bounds for j in range(k)], np.int64)
        sources.append(source)
        if n != out * k:
            x = taken(x, source, lead + i)
    k = tuple(kernel)
    return x, Windows.over(x.shape, k, k, (0,) * len(k), (1,) * len(k)), sources


def taken(x: Any, source: np.ndarray, axis: int) -> Any:
    others = tuple(d for d in range(x.ndim) if d != axis)
    numbers = lax.GatherDimensionNumbers(others, (axis,), (axis,))
    sizes = tuple(1 if d == axis else n for d, n in enumerate(x.shape))
    return lax.gather(x, source[:, None], numbers, sizes, mode="promise_in_bounds")


def _max_node(output_size, **_: Any) -> str:
    return "SqueezeBackward1" if len(output_size) == 1 else f"AdaptiveMaxPool{len(output_size)}DBackward0"


def _check_max(x: Any, sizes: Sequence[int]) -> None:
    n = len(sizes)
    if n > 1:
        _check(f"adaptive_max_pool{n}d", x, n, ":", x.ndim - n - 1)
    if any(o < 0 for o in sizes):
        shape = (*x.shape[: x.ndim - n], *((1,) if n == 1 else ()), *sizes)
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(sizes)}: {listed(shape)}")
    if kind(x) != "f":
        raise NotImplementedError(f"\"adaptive_max_pool{max(n, 2)}d\" not implemented for '{type_name_of(x)}'")


@op(namespaces=("_private",), name="_adaptive_max", node=_max_node)
def _adaptive_max(input, output_size):
    """The maxima of as many windows as are asked for, and where they were."""
    _check_max(input, output_size)
    if 0 in output_size:
        shape = (*input.shape[: input.ndim - len(output_size)], *output_size)
        return lax.broadcast_in_dim(constant(input, 0), shape, ()), np.zeros(shape, np.int64)
    x, windows, sources = _max_windows(input, output_size)
    return max_pooled(x, windows), _positions_in_input(
        x, windows, sources, input.shape[input.ndim - len(output_size) :]
    )


def _positions_in_input(x: Any, windows: Windows, sources: Sequence[np.ndarray], inside: Sequence[int]) -> Any:
    where = max_positions(x, windows)
    if all(len(s) == n for s, n in zip(sources, inside, strict=True)):
        return where
    flat = np.zeros((), np.int64)
    for source, n in zip(sources, inside, strict=True):
        flat = flat[..., None] * n + source
    numbers = lax.GatherDimensionNumbers((), (0,), (0,))
    index = lax.reshape(where, (where.size, 1))
    return lax.reshape(lax.gather(flat.reshape(-1), index, numbers, (1,), mode="promise_in_bounds"), where.shape)


@op(namespaces=("_private",), name="_adaptive_max_only", node=_max_node)
def _adaptive_max_only(input, output_size):
    """The maxima of as many windows as are asked for."""
    _check_max(input, output_size)
    if 0 in output_size:
        shape = (*input.shape[: input.ndim - len(output_size)], *output_size)
        return lax.broadcast_in_dim(constant(input, 0), shape, ())
    x, windows, _ = _max_windows(input, output_size)
    return max_pooled(x, windows)


def _declare(n: int, shape: str) -> None:
    name = f"adaptive_max_pool{n}d"

    def run(input, output_size, return_indices):
        if n == 1:
            check_dims_1d(name, input)
        size = output_sizes(output_size, input, n)
        if len(size) != n:
            if n == 1:
                raise RuntimeError(f"{name}() argument 'output_size' should contain one int (got {len(size)})")
            raise RuntimeError(f"{name}(): internal error: output_size.size() must be {n}")
        return (_adaptive_max if return_indices else _adaptive_max_only)(input, size)

    def pool(input, output_size, return_indices=False):
        return run(input, output_size, return_indices)

    def with_indices(input, output_size, return_indices=False):
        return run(input, output_size, True)

    doc = f"The maxima of ``output_size`` windows over {shape}; with ``return_indices`` also where they were."
    for function, public in ((pool, name), (with_indices, name + "_with_indices")):
        function.__name__ = function.__qualname__ = public
        function.__doc__ = doc
        composite(namespaces=_F)(function)
    if n == 1:
        composite(namespaces=("torch",), name=name)(with_indices)


for _n, _shape in (
    (1, "(N, C, L) or (C, L)"),
    (2, "(N, C, H, W) or (C, H, W)"),
    (3, "(N, C, D, H, W) or (C, D, H, W)"),
):
    _declare(_n, _shape)
