"""Pooling by a norm, pooling to random windows, and the undoing of maximum pooling."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import lax

from torchlike._engine import draws
from torchlike._engine.value import concrete
from torchlike._ops.bodies import put_along, take_along, type_name_of
from torchlike._ops.convolution import listed
from torchlike._ops.loss import looked_at
from torchlike._ops.op import REGISTRY, Array, composite, op
from torchlike._tensor.tensor import host_array, wrap

_F = ("nn.functional",)


# Norms.


def _lp_pool(n: int, input, norm_type, kernel_size, stride, ceil_mode):
    F = lambda name: REGISTRY["nn.functional", name]  # noqa: E731
    if norm_type == math.inf:
        return F(f"max_pool{n}d")(input.abs(), kernel_size, stride, 0, 1, ceil_mode)
    if norm_type == -math.inf:
        return -F(f"max_pool{n}d")(-input.abs(), kernel_size, stride, 0, 1, ceil_mode)
    count = kernel_size**n if isinstance(kernel_size, int) else math.prod(kernel_size)
    mean = F(f"avg_pool{n}d")(input.pow(norm_type), kernel_size, stride, 0, ceil_mode)
    return (mean.sign() * F("relu")(mean.abs())).mul(count).pow(1.0 / norm_type)


@composite(namespaces=_F)
def lp_pool1d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """The p-norm of each window over (N, C, L) or (C, L), ``p`` being ``norm_type``."""
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


@composite(namespaces=_F)
def lp_pool2d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """The p-norm of each window over (N, C, H, W) or (C, H, W), ``p`` being ``norm_type``."""
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


@composite(namespaces=_F)
def lp_pool3d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """The p-norm of each window over (N, C, D, H, W) or (C, D, H, W), ``p`` being ``norm_type``."""
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


# Undoing.


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _placed(x, index, size):
    zero = lax.full((x.shape[0], size), x.dtype.type(0))
    return put_along(zero, index, x, 1)


_placed.defvjp(
    lambda x, index, size: (_placed(x, index, size), index), lambda size, index, g: (take_along(g, index, 1), None)
)


def _unpool_node(output_size: Sequence[int], squeezed: bool) -> str:
    return "SqueezeBackward1" if squeezed else f"MaxUnpool{len(output_size)}DBackward0"


def _check_unpool(input, indices, output_size, squeezed):
    array, size = looked_at(indices), math.prod(output_size)
    if array is None or not array.size or input._spec.shape != indices._spec.shape:
        return
    bad = array[(array < 0) | (array >= size)]
    if bad.size:
        shown = "x".join(map(str, output_size))
        raise RuntimeError(f"Found an invalid max index: {int(bad.flat[0])} (output volumes are of size {shown}")


@op(namespaces=("_private",), name="_max_unpool", node=_unpool_node, check=_check_unpool)
def _max_unpool(input, indices: Array, output_size, squeezed):
    """Zeros, with the values put back where they were the maxima."""
    n = len(output_size)
    name = f"max_unpooling{max(n, 2)}d_forward_out"
    if indices.dtype != np.int64:
        raise RuntimeError(f"elements in indices should be type int64 but got: {type_name_of(indices)}")
    if not squeezed and input.ndim not in (n + 1, n + 2):
        raise RuntimeError(
            f"Input to max_unpooling{n}d should be a {n + 1}d or {n + 2}d Tensor, but got a tensor with {input.ndim} "
            "dimensions"
        )
    if input.shape != indices.shape:
        have, want = (listed((*x.shape, 1) if squeezed else x.shape) for x in (indices, input))
        raise RuntimeError(
            f"Expected shape of indices to be same as that of the input tensor ({want}) but got indices tensor with shape: "
            f"{have}"
        )
    lead = input.shape[: input.ndim - n]
    for axis in range(1, input.ndim):
        if input.shape[axis] == 0:
            raise RuntimeError(
                f"{name}(): Expected input to have non-zero size for non-batch dimensions, but got {listed(input.shape)} with "
                f"dimension {axis} being empty."
            )
    flat = (math.prod(lead), math.prod(input.shape[len(lead) :]))
    out = _placed(lax.reshape(input, flat), lax.reshape(indices, flat), math.prod(output_size))
    return lax.reshape(out, (*lead, *output_size))


def _each(value: Any, n: int) -> tuple[int, ...]:
    return (value,) * n if isinstance(value, int) else tuple(value)


def _unpool(n: int, input, indices, kernel_size, stride, padding, output_size):
    kernel = _each(kernel_size, n)
    stride = kernel if stride is None else _each(stride, n)
    padding = _each(padding, n)
    inside = input._spec.shape[input._spec.ndim - n :]
    default = [(s - 1) * st + k - 2 * p for s, st, k, p in zip(inside, stride, kernel, padding, strict=True)]
    size = default
    if output_size is not None:
        if len(output_size) == n + 2:
            output_size = output_size[2:]
        if len(output_size) != n:
            raise ValueError(
                f"output_size should be a sequence containing {n} or {n + 2} elements, but it has a length of "
                f"'{len(output_size)}'"
            )
        for d in range(n):
            low, high = default[d] - stride[d], default[d] + stride[d]
            if not low < output_size[d] < high:
                raise ValueError(f'invalid output_size "{output_size}" (dim {d} must be between {low} and {high})')
        size = output_size
    for d in range(n):
        if size[d] < 0:
            raise ValueError(
                f"max_unpooling: output_size must contain non-negative spatial dimensions, but got output_size[{d}]={size[d]}"
            )
    return _max_unpool(input, indices, tuple(size), n == 1)


@composite(namespaces=_F)
def max_unpool1d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """Zeros with the maxima of ``max_pool1d`` put back at ``indices``."""
    return _unpool(1, input, indices, kernel_size, stride, padding, output_size)


@composite(namespaces=_F)
def max_unpool2d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """Zeros with the maxima of ``max_pool2d`` put back at ``indices``."""
    return _unpool(2, input, indices, kernel_size, stride, padding, output_size)


@composite(namespaces=_F)
def max_unpool3d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """Zeros with the maxima of ``max_pool3d`` put back at ``indices``."""
    return _unpool(3, input, indices, kernel_size, stride, padding, output_size)


# Random windows (Graham, arXiv:1412.6071).


def _starts(sample: np.ndarray, n: int, out: int, kernel: int) -> np.ndarray:
    """Where windows start along one dimension, for each sample (...): (..., out)."""
    result = np.full((*sample.shape, out), n - kernel, np.int64)
    if out > 1:
        kind_of = sample.dtype.type
        alpha = kind_of(n - kernel) / kind_of(out - 1)
        i = np.arange(out - 1).astype(kind_of)
        first = (sample[..., None] * alpha).astype(np.int64)
        result[..., :-1] = ((i + sample[..., None]) * alpha).astype(np.int64) - first
    return result


def _positions(samples: np.ndarray, inside: Sequence[int], out: Sequence[int], kernel: Sequence[int]) -> np.ndarray:
    """The flat positions of the places of each window: (planes, windows, places)."""
    n = len(inside)
    # Two dimensions take the samples from the last to the first, three from the first to the last.
    order = [1, 0] if n == 2 else [0, 1, 2]
    flat = np.zeros((samples.shape[0],) + (1,) * (2 * n), np.int64)
    for axis in range(n):
        start = _starts(samples[:, order[axis]], inside[axis], out[axis], kernel[axis])
        place = start[:, :, None] + np.arange(kernel[axis])
        shape = [samples.shape[0]] + [1] * (2 * n)
        shape[1 + axis], shape[1 + n + axis] = out[axis], kernel[axis]
        flat = flat * inside[axis] + place.reshape(shape)
    return flat.reshape(samples.shape[0], math.prod(out), math.prod(kernel))


def _fractional_node(output_size: Sequence[int]) -> str:
    return f"FractionalMaxPool{len(output_size)}DBackward0"


@op(namespaces=("_private",), name="_fractional_max", node=_fractional_node)
def _fractional_max(input, positions: Array, output_size):
    """The maximum over given places of each window, and where it was."""
    n = len(output_size)
    lead = input.shape[: input.ndim - n]
    x = lax.reshape(input, (positions.shape[0], math.prod(input.shape[len(lead) :])))
    planes, windows, places = positions.shape
    values = take_along(lax.stop_gradient(x), lax.reshape(positions, (planes, windows * places)), 1)
    best = lax.argmax(lax.reshape(values, positions.shape), 2, np.int64)
    where = lax.squeeze(take_along(positions, lax.expand_dims(best, (2,)), 2), (2,))
    found = take_along(x, where, 1)
    shape = (*lead, *output_size)
    return lax.reshape(found, shape), lax.reshape(where, shape)


def _fractional(n: int, input, kernel_size, output_size, output_ratio, random_samples):
    name = f"fractional_max_pool{n}d"
    if output_size is None and output_ratio is None:
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    inside = input._spec.shape[input._spec.ndim - n :]
    if output_size is None:
        if n == 2 and not isinstance(output_ratio, (int, float)) and len(output_ratio) > 2:
            raise ValueError("fractional_max_pool2d requires output_ratio to either be a single Int or tuple of Ints.")
        ratio = (output_ratio,) * n if isinstance(output_ratio, (int, float)) else output_ratio
        output_size = [int(s * r) for s, r in zip(inside, ratio, strict=True)]
    kernel, out = _each(kernel_size, n), _each(output_size, n)
    _check_fractional(name, n, input, kernel, out, inside)
    batch = 1 if input.dim() == n + 1 else input.size(0)
    channels = input.size(-n - 1)
    if random_samples is None:
        from torchlike.random import cpu_stream

        samples = draws.uniform(cpu_stream(None), (batch, channels, n), input._spec.dtype)
    else:
        samples = host_array(random_samples)
    positions = _positions(samples.reshape(batch * channels, n), inside, out, kernel)
    return _fractional_max(input, wrap(concrete(positions), input._storage.device), out)


def _check_fractional(name, n, input, kernel, out, inside) -> None:
    spec = input._spec
    if spec.ndim not in (n + 1, n + 2):
        raise RuntimeError(f"{name}(): Expected {n + 1}D or {n + 2}D tensor, but got: {listed(spec.shape)}")
    for axis in range(1, spec.ndim):
        if spec.shape[axis] == 0:
            raise RuntimeError(
                f"{name}(): Expected input to have non-zero size for non-batch dimensions, but got {listed(spec.shape)} with "
                f"dimension {axis} being empty."
            )
    axes = ("time", "height", "width")[3 - n :]
    for axis, k, o, size in zip(axes, kernel, out, inside, strict=True):
        if o + k - 1 > size:
            raise RuntimeError(f"{name}(): pool {axis} {k} too large relative to input {axis} {size}")


def _declare(n: int, shape: str) -> None:
    name = f"fractional_max_pool{n}d"

    def pool(input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None):
        result = _fractional(n, input, kernel_size, output_size, output_ratio, _random_samples)
        return result if return_indices else result[0]

    def with_indices(
        input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
    ):
        return _fractional(n, input, kernel_size, output_size, output_ratio, _random_samples)

    doc = (
        f"The maxima of windows over {shape} at random places, ``output_size`` of them or ``output_ratio`` times as many as "
        "places; with ``return_indices`` also where they were."
    )
    for function, public in ((pool, name), (with_indices, name + "_with_indices")):
        function.__name__ = function.__qualname__ = public
        function.__doc__ = doc
        composite(namespaces=_F)(function)


_declare(2, "(N, C, H, W) or (C, H, W)")
_declare(3, "(N, C, D, H, W) or (C, D, H, W)")
