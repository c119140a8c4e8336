"""Normalization over the last dimensions, of vectors, and of neighbouring channels."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import lax

from torchlike._ops.bodies import constant, convert, kind, type_name_of, widened
from torchlike._ops.convolution import listed
from torchlike._ops.normalization import (
    check_mixed,
    inverse_sigma,
    like,
    mean_over,
    other_axes,
    over,
    statistic,
)
from torchlike._ops.op import REGISTRY, Array, composite, op
from torchlike._tensor.dtypes import get_default_dtype

_F = ("nn.functional",)


# Statistics over the last dimensions: layer normalization.


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _by_layer(x, weight, bias, axes, eps):
    return _by_layer_forward(x, weight, bias, axes, eps)[0]


def _tail(t: Any, shape: Sequence[int]) -> Any:
    """A tensor of the last dimensions repeated along the first."""
    return lax.broadcast_in_dim(t, tuple(shape), tuple(range(len(shape) - t.ndim, len(shape))))


def _by_layer_forward(x, weight, bias, axes, eps):
    mean = mean_over(x, axes)
    centred = lax.sub(x, over(mean, x.shape, axes))
    inverse = inverse_sigma(mean_over(lax.mul(centred, centred), axes), eps)
    out = lax.mul(centred, over(inverse, x.shape, axes))
    if weight is not None:
        out = lax.mul(out, _tail(weight, x.shape))
    if bias is not None:
        out = lax.add(out, _tail(bias, x.shape))
    return out, (x, weight, mean, inverse, bias is None)


def _by_layer_backward(axes, eps, saved, g):
    x, weight, mean, inverse, no_bias = saved
    lead = tuple(other_axes(x.ndim, axes))

    def normal():
        # Behind a barrier, so that each use computes it anew: cheaper than to keep it between them.
        m, r = lax.optimization_barrier((mean, inverse))
        return lax.mul(lax.sub(x, over(m, x.shape, axes)), over(r, x.shape, axes))

    g_weight = None if weight is None else lax.reduce_sum(lax.mul(g, normal()), lead)
    g_bias = None if no_bias else lax.reduce_sum(g, lead)
    if weight is not None:
        g = lax.mul(g, _tail(weight, x.shape))
    there = normal()
    through = over(mean_over(lax.mul(g, there), axes), x.shape, axes)
    inner = lax.sub(lax.sub(g, over(mean_over(g, axes), x.shape, axes)), lax.mul(there, through))
    return lax.mul(inner, over(inverse, x.shape, axes)), g_weight, g_bias


_by_layer.defvjp(_by_layer_forward, _by_layer_backward)


def _check_normalized(name: str, x: Any, normalized_shape: Sequence[int], **given: Any) -> None:
    if not normalized_shape:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got "
            "normalized_shape = []"
        )
    for what, t in given.items():
        if t is not None and t.shape != tuple(normalized_shape):
            raise RuntimeError(
                f"Expected {what} to be of same shape as normalized_shape, but got {what} of shape {listed(t.shape)} and "
                f"normalized_shape = {listed(normalized_shape)}"
            )
    n = len(normalized_shape)
    if x.ndim < n or x.shape[x.ndim - n :] != tuple(normalized_shape):
        raise RuntimeError(
            f"Given normalized_shape={listed(normalized_shape)}, expected input with shape "
            f"[*{', ' if name != 'rms_norm' else ''}{', '.join(map(str, normalized_shape))}], but got input of "
            f"size{listed(x.shape)}"
        )
    if kind(x) not in ("fc" if name == "rms_norm" else "f"):
        raise NotImplementedError(f"\"{name}\" not implemented for '{type_name_of(x)}'")


@op(namespaces=("_private",), name="_layer_norm", node="NativeLayerNormBackward0")
def _layer_norm(input, normalized_shape, weight: Array | None, bias: Array | None, eps):
    """The input normalized over its last dimensions."""
    _check_normalized("LayerNormKernelImpl", input, normalized_shape, weight=weight, bias=bias)
    check_mixed(input, (weight, bias))
    axes = tuple(range(input.ndim - len(normalized_shape), input.ndim))
    return like(_by_layer(widened(input), statistic(weight), statistic(bias), axes, eps), input)


def _shape_argument(name: str, shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, (list, tuple)):
        raise TypeError(
            f"{name}(): argument 'normalized_shape' (position 2) must be tuple of ints, not {type(shape).__name__}"
        )
    for at, size in enumerate(shape):
        if not hasattr(size, "__index__"):
            raise TypeError(
                f"{name}(): argument 'normalized_shape' (position 2) must be tuple of ints, but found element of type "
                f"{type(size).__name__} at pos {at}"
            )
    return tuple(shape)


@composite(namespaces=_F)
def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """The last dimensions, those of ``normalized_shape``, normalized: ``(x - mean) / sqrt(var + eps) * weight + bias``.

    ``weight`` and ``bias`` have the shape ``normalized_shape``; anything else raises RuntimeError.
    See Ba, Kiros and Hinton, arXiv:1607.06450.
    """
    return _layer_norm(input, _shape_argument("layer_norm", normalized_shape), weight, bias, eps)


@composite(namespaces=("torch",), name="layer_norm")
def torch_layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5, cudnn_enable=True):
    """``torch.nn.functional.layer_norm``."""
    return layer_norm(input, normalized_shape, weight, bias, eps)


# Root mean square.


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _by_rms(x, weight, axes, eps):
    return _by_rms_forward(x, weight, axes, eps)[0]


def _by_rms_forward(x, weight, axes, eps):
    inverse = inverse_sigma(mean_over(lax.mul(x, x), axes), eps)
    out = lax.mul(x, over(inverse, x.shape, axes))
    if weight is not None:
        out = lax.mul(out, _tail(weight, x.shape))
    return out, (x, weight, inverse)


def _by_rms_backward(axes, eps, saved, g):
    x, weight, inverse = saved

    def normal():
        return lax.mul(x, over(lax.optimization_barrier(inverse), x.shape, axes))

    g_weight = None
    if weight is not None:
        g_weight = lax.reduce_sum(lax.mul(g, normal()), tuple(other_axes(x.ndim, axes)))
        g = lax.mul(g, _tail(weight, x.shape))
    there = normal()
    through = over(mean_over(lax.mul(g, there), axes), x.shape, axes)
    return lax.mul(lax.sub(g, lax.mul(there, through)), over(inverse, x.shape, axes)), g_weight


_by_rms.defvjp(_by_rms_forward, _by_rms_backward)


@op(namespaces=("_private",), name="_rms_norm", node=lambda half, **_: "ToCopyBackward0" if half else "MulBackward0")
def _rms_norm(input, normalized_shape, weight: Array | None, eps, half):
    """The input over the root of the mean of its squares along the last dimensions."""
    _check_normalized("rms_norm", input, normalized_shape, weight=weight)
    axes = tuple(range(input.ndim - len(normalized_shape), input.ndim))
    x, w = widened(input), statistic(weight)
    eps = float(np.finfo(x.dtype).eps) if eps is None else eps
    if w is not None and w.dtype != x.dtype:
        common = np.promote_types(w.dtype, x.dtype)
        x, w = convert(x, common), convert(w, common)
    return like(_by_rms(x, w, axes, eps), input)


@composite(namespaces=("torch", "nn.functional"))
def rms_norm(input, normalized_shape, weight=None, eps=None):
    """The last dimensions over their root mean square: ``x / sqrt(mean(x ** 2) + eps) * weight``.

    ``eps`` is the dtype's resolution unless given. See Zhang and Sennrich, arXiv:1910.07467.
    """
    shape = _shape_argument("rms_norm", normalized_shape)
    return _rms_norm(input, shape, weight, eps, input._spec.dtype.itemsize == 2)


# Norms of vectors, and of neighbouring channels.


@composite(namespaces=_F)
def normalize(input, p=2.0, dim=1, eps=1e-12, out=None):
    """The vectors along ``dim`` over their p-norm, or over ``eps`` where that is larger."""
    norm = input.norm(p, dim, keepdim=True)
    if out is None:
        return input / norm.clamp_min(eps).expand_as(input)
    return REGISTRY["torch", "div"](input, norm.clamp_min_(eps).expand_as(input), out=out)


@op(namespaces=("_private",), name="_local_response_norm", node="DivBackward0")
def _local_response_norm(input, size, alpha, beta, k):
    """The input over a power of the mean of the squares of neighbouring channels."""
    x = widened(input)
    ones = (1,) * (x.ndim - 2)
    window, padding = (1, size, *ones), [(0, 0), (size // 2, (size - 1) // 2), *[(0, 0)] * len(ones)]
    total = lax.reduce_window(lax.mul(x, x), constant(x, 0), lax.add, window, (1,) * x.ndim, padding)
    mean = lax.div(total, constant(x, size))
    if kind(x) in "iu":
        x, mean = (convert(a, get_default_dtype().np) for a in (x, mean))
    base = lax.add(lax.mul(mean, constant(x, alpha)), constant(x, k))
    out = lax.div(x, lax.pow(base, constant(x, beta)))
    return out if kind(input) in "iu" else like(out, input)


@composite(namespaces=_F)
def local_response_norm(input, size, alpha=1e-4, beta=0.75, k=1.0):
    """``x / (k + alpha * m) ** beta`` with ``m`` the mean square over ``size`` neighbouring channels of (N, C, ...)."""
    if input.dim() < 3:
        gap = " " * 26
        raise ValueError(f"Expected 3D or higher dimensionality{gap}input (got {input.dim()} dimensions)")
    if not input._spec.numel:
        return input
    return _local_response_norm(input, size, alpha, beta, k)


@composite(namespaces=("torch",))
def _weight_norm(v, g, dim=0):
    """``g * v / |v|``, the norm taken over all dimensions but ``dim`` (arXiv:1602.07868)."""
    from torchlike._ops.normalization import norm_except_dim

    return v * (g / norm_except_dim(v, 2, dim))
