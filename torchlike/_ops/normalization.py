"""Normalization: by the statistics of a batch, of a sample, of groups of channels, of the last dimensions.

All share one form: over some axes take the mean and the centred sum of squares, then ``y = x * scale + shift`` with one
coefficient for each statistic. The gradient is written out, since what automatic differentiation makes of it passes over
the data several times more: with ``a = weight / sigma``, ``dx = a * (g - mean(g) - xhat * mean(g * xhat))``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import lax

from torchlike._ops.bodies import constant, convert, count, kind, type_name_of, widened
from torchlike._ops.convolution import listed
from torchlike._ops.op import Array, Number, composite, op
from torchlike._tensor.tensor import Tensor, assign, value_of

_F = ("nn.functional",)


def other_axes(ndim: int, axes: Sequence[int]) -> list[int]:
    return [d for d in range(ndim) if d not in axes]


def over(small: Any, shape: Sequence[int], axes: Sequence[int]) -> Any:
    """What has a value for each position outside ``axes``, repeated along them."""
    return lax.broadcast_in_dim(small, tuple(shape), other_axes(len(shape), axes))


def mean_over(x: Any, axes: Sequence[int]) -> Any:
    return lax.div(lax.reduce_sum(x, tuple(axes)), constant(x, count(x, axes)))


def _moments(x: Any, axes: Sequence[int]) -> tuple[Any, Any]:
    """The mean over ``axes`` and the mean of the squared distances from it."""
    mean = mean_over(x, axes)
    centred = lax.sub(x, over(mean, x.shape, axes))
    return mean, mean_over(lax.mul(centred, centred), axes)


def inverse_sigma(var: Any, eps: float) -> Any:
    return lax.rsqrt(lax.add(var, constant(var, eps)))


# Statistics over all but the channels: batch normalization.


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _by_batch(x, weight, bias, eps):
    return _by_batch_forward(x, weight, bias, eps)[0]


def _channel_axes(x: Any) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _affine(x: Any, mean: Any, inverse: Any, weight: Any, bias: Any) -> Any:
    """``(x - mean) * inverse * weight + bias`` for one of each in a channel."""
    scale = inverse if weight is None else lax.mul(inverse, weight)
    axes = _channel_axes(x)
    out = lax.mul(lax.sub(x, over(mean, x.shape, axes)), over(scale, x.shape, axes))
    return out if bias is None else lax.add(out, over(bias, x.shape, axes))


def _by_batch_forward(x, weight, bias, eps):
    mean, var = _moments(x, _channel_axes(x))
    inverse = inverse_sigma(var, eps)
    return (_affine(x, mean, inverse, weight, bias), mean, var), (x, weight, mean, inverse, bias is None)


def _by_batch_backward(eps, saved, gs):
    x, weight, mean, inverse, no_bias = saved
    g = gs[0]
    axes = _channel_axes(x)
    n = constant(x, count(x, axes))
    centred = lax.sub(x, over(mean, x.shape, axes))
    g_sum = lax.reduce_sum(g, axes)
    g_weight = lax.mul(inverse, lax.reduce_sum(lax.mul(g, centred), axes))
    a = inverse if weight is None else lax.mul(inverse, weight)
    b = lax.neg(lax.div(lax.mul(lax.mul(a, inverse), g_weight), n))
    c = lax.neg(lax.div(lax.mul(a, g_sum), n))
    terms = [lax.mul(g, over(a, x.shape, axes)), lax.mul(centred, over(b, x.shape, axes))]
    dx = lax.add(lax.add(*terms), over(c, x.shape, axes))
    return dx, None if weight is None else g_weight, None if no_bias else g_sum


_by_batch.defvjp(_by_batch_forward, _by_batch_backward)


def _check_channels(x: Any, **given: Any) -> None:
    channels = x.shape[1] if x.ndim else 0
    for name, t in given.items():
        if t is not None and t.size != channels:
            raise RuntimeError(f"{name} should contain {channels} elements not {t.size}")
    if kind(x) != "f":
        raise NotImplementedError(f"\"batch_norm\" not implemented for '{type_name_of(x)}'")
    check_mixed(x, given.values())


def check_mixed(x: Any, parameters: Any) -> None:
    """RuntimeError for parameters of another type than the input's, or single precision where that is half."""
    for t in parameters:
        if t is None or t.dtype == x.dtype:
            continue
        if np.dtype(x.dtype).itemsize == 8:
            raise RuntimeError("mixed dtype (CPU): all inputs must share same datatype.")
        if t.dtype != np.float32:
            raise RuntimeError("mixed dtype (CPU): expect parameter to have scalar type of Float")


def statistic(x: Any) -> Any:
    return None if x is None else widened(x)


def like(out: Any, x: Any) -> Any:
    return convert(out, x.dtype)


@op(namespaces=("_private",), name="_batch_norm_training", node="NativeBatchNormBackward0")
def _batch_norm_training(
    input, weight: Array | None, bias: Array | None, running_mean: Array | None, running_var: Array | None,
    momentum: Number, eps,
):  # fmt: skip
    """The input normalized by its own statistics, and the running ones moved towards these where there are any."""
    _check_channels(input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    x, w, b = widened(input), statistic(weight), statistic(bias)
    out, mean, var = _by_batch(x, w, b, eps)  # type: ignore[misc]
    results = [like(out, input)]
    n = count(x, _channel_axes(x))
    for running, fresh in ((running_mean, mean), (running_var, var)):
        if running is None:
            continue
        if fresh is var:
            fresh = lax.mul(var, constant(var, n / (n - 1) if n > 1 else math.nan))
        share = lax.convert_element_type(momentum, fresh.dtype)
        kept = lax.mul(lax.sub(constant(fresh, 1), share), widened(running))
        results.append(like(lax.add(kept, lax.mul(share, fresh)), running))
    return tuple(results) if len(results) > 1 else results[0]


@op(namespaces=("_private",), name="_batch_norm_inference", node="NativeBatchNormBackward0")
def _batch_norm_inference(
    input, weight: Array | None, bias: Array | None, running_mean: Array, running_var: Array, eps
):
    """The input normalized by the running statistics."""
    _check_channels(input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    x, w, b = widened(input), statistic(weight), statistic(bias)
    mean, var = lax.stop_gradient(widened(running_mean)), lax.stop_gradient(widened(running_var))
    return like(_affine(x, mean, inverse_sigma(var, eps), w, b), input)


def _normalized_by_batch(input, weight, bias, running_mean, running_var, training, momentum, eps):
    """What ``torch.batch_norm`` does, running statistics and all."""
    if not input._spec.numel and input._spec.ndim:
        out = input.clone()
        if weight is not None:
            out = out * weight[0]
        return out if bias is None else out + bias[0]
    if input._spec.ndim == 1:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-max(input._spec.ndim, 1)}, "
            f"{max(input._spec.ndim, 1) - 1}], but got 1)"
        )
    if not training:
        for name, t in (("running_mean", running_mean), ("running_var", running_var)):
            if t is None:
                raise RuntimeError(f"{name} must be defined in evaluation mode")
        return _batch_norm_inference(input, weight, bias, running_mean, running_var, eps)
    results = _batch_norm_training(input, weight, bias, running_mean, running_var, momentum, eps)
    if isinstance(results, Tensor):
        return results
    running = [t for t in (running_mean, running_var) if t is not None]
    for t, result in zip(running, results[1:], strict=True):
        version = t._storage.version
        assign(t, value_of(result))
        t._storage.version = version  # the tape does not hear of it, as in native kernels
    return results[0]


def _verify_batch_size(size: Sequence[int]) -> None:
    if size[0] * math.prod(size[2:]) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {size}")


@composite(namespaces=_F)
def batch_norm(input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    """Each channel of (N, C, ...) normalized over the batch: ``(x - mean) / sqrt(var + eps) * weight + bias``.

    In training the statistics are the batch's, and ``running_mean`` and ``running_var`` (C), where given, move towards
    them: ``running = (1 - momentum) * running + momentum * new``, the variance being the unbiased one. Otherwise the
    running statistics are used.

    Raises ValueError for a batch with a single value in each channel, and RuntimeError for statistics of the wrong size.
    See Ioffe and Szegedy, arXiv:1502.03167.
    """
    if training:
        _verify_batch_size(input.size())
    if training and eps <= 0.0:
        raise ValueError(f"batch_norm eps must be positive during training, but got {eps}")
    if eps < 0.0:
        raise ValueError(f"batch_norm eps must be non-negative, but got {eps}")
    return _normalized_by_batch(input, weight, bias, running_mean, running_var, training, momentum, eps)


@composite(namespaces=("torch",), name="batch_norm")
def torch_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled):
    """``torch.nn.functional.batch_norm`` with its arguments in another order."""
    return _normalized_by_batch(input, weight, bias, running_mean, running_var, training, momentum, eps)


# Groups of channels, and single channels of single samples.


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _by_group(x, weight, bias, eps):
    """(N, groups, channels, positions) normalized over the last two; weight and bias are (groups, channels)."""
    return _by_group_forward(x, weight, bias, eps)[0]


_GROUPS, _CHANNELS = (2, 3), (3,)


def _each_channel(small: Any, shape: Sequence[int]) -> Any:
    """What there is for each sample and group, (N, groups), for each of its channels."""
    return lax.broadcast_in_dim(small, tuple(shape[:3]), (0, 1))


def _by_group_forward(x, weight, bias, eps):
    mean = mean_over(x, _GROUPS)
    centred = lax.sub(x, over(mean, x.shape, _GROUPS))
    inverse = inverse_sigma(mean_over(lax.mul(centred, centred), _GROUPS), eps)
    scale = _each_channel(inverse, x.shape)
    if weight is not None:
        scale = lax.mul(scale, lax.broadcast_in_dim(weight, scale.shape, (1, 2)))
    out = lax.mul(centred, over(scale, x.shape, _CHANNELS))
    if bias is not None:
        out = lax.add(out, lax.broadcast_in_dim(bias, x.shape, (1, 2)))
    return out, (x, weight, mean, inverse, bias is None)


def _by_group_backward(eps, saved, g):
    x, weight, mean, inverse, no_bias = saved
    each_mean, each_inverse = _each_channel(mean, x.shape), _each_channel(inverse, x.shape)
    sums = lax.reduce_sum(g, _CHANNELS)
    centred = lax.sub(x, over(each_mean, x.shape, _CHANNELS))
    products = lax.mul(lax.reduce_sum(lax.mul(g, centred), _CHANNELS), each_inverse)
    g_weight = None if weight is None else lax.reduce_sum(products, (0,))
    g_bias = None if no_bias else lax.reduce_sum(sums, (0,))
    scale = each_inverse
    if weight is not None:
        w = lax.broadcast_in_dim(weight, sums.shape, (1, 2))
        scale, sums, products = lax.mul(scale, w), lax.mul(sums, w), lax.mul(products, w)
    n = constant(x, count(x, _GROUPS))
    along = lambda total: _each_channel(lax.div(lax.reduce_sum(total, (2,)), n), x.shape)  # noqa: E731
    # dx = scale * g - inverse * (mean of w g) - inverse ** 2 * centred * (mean of w g xhat)
    slope = lax.neg(lax.mul(lax.mul(along(products), each_inverse), each_inverse))
    shift = lax.neg(lax.add(lax.mul(along(sums), each_inverse), lax.mul(each_mean, slope)))
    terms = [lax.mul(g, over(scale, x.shape, _CHANNELS)), lax.mul(x, over(slope, x.shape, _CHANNELS))]
    return lax.add(lax.add(*terms), over(shift, x.shape, _CHANNELS)), g_weight, g_bias


_by_group.defvjp(_by_group_forward, _by_group_backward)


@op(namespaces=("_private",), name="_group_norm", node="NativeGroupNormBackward0")
def _group_norm(input, num_groups, weight: Array | None, bias: Array | None, eps):
    """The input normalized over groups of channels of each sample."""
    n, channels = input.shape[:2]
    if num_groups <= 0:
        raise RuntimeError(f"num_groups must be greater than 0, got {num_groups}")
    if channels % num_groups:
        raise RuntimeError(
            f"Expected number of channels in input to be divisible by num_groups, but got input of shape "
            f"{listed(input.shape)} and num_groups={num_groups}"
        )
    for name, t in (("weight", weight), ("bias", bias)):
        if t is not None and t.shape != (channels,):
            raise RuntimeError(
                f"Expected {name} to be a vector of size equal to the number of channels in input, but got {name} of shape "
                f"{listed(t.shape)} and input of shape {listed(input.shape)}"
            )
    if kind(input) != "f":
        raise NotImplementedError(f"\"GroupNormKernelImpl\" not implemented for '{type_name_of(input)}'")
    check_mixed(input, (weight, bias))
    inner = channels // num_groups
    x = lax.reshape(widened(input), (n, num_groups, inner, math.prod(input.shape[2:])))
    w, b = (None if t is None else lax.reshape(widened(t), (num_groups, inner)) for t in (weight, bias))
    return like(lax.reshape(_by_group(x, w, b, eps), input.shape), input)


@composite(namespaces=_F)
def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    """The channels of (N, C, ...) normalized in ``num_groups`` groups, sample by sample; ``weight`` and ``bias`` are (C).

    See Wu and He, arXiv:1803.08494.
    """
    if input.dim() < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.dim()}")
    _verify_batch_size([input.size(0) * input.size(1) // num_groups, num_groups, *input.size()[2:]])
    return _group_norm(input, num_groups, weight, bias, eps)


@composite(namespaces=("torch",), name="group_norm")
def torch_group_norm(input, num_groups, weight=None, bias=None, eps=1e-5, cudnn_enabled=True):
    """``torch.nn.functional.group_norm``."""
    return _group_norm(input, num_groups, weight, bias, eps)


@op(namespaces=("_private",), name="_instance_norm", node="ViewBackward0")
def _instance_norm(
    input, weight: Array | None, bias: Array | None, running_mean: Array | None, running_var: Array | None,
    momentum: Number, eps,
):  # fmt: skip
    """Each channel of each sample normalized, and the running statistics moved towards the batch's mean of them."""
    _check_channels(input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    n, channels = input.shape[:2]
    x = lax.reshape(widened(input), (n, channels, 1, math.prod(input.shape[2:])))
    w, b = (None if t is None else lax.reshape(widened(t), (channels, 1)) for t in (weight, bias))
    out = _by_group(x, w, b, eps)
    results = [like(lax.reshape(out, input.shape), input)]
    if running_mean is None and running_var is None:
        return results[0]
    spots = x.shape[3]
    mean, var = _moments(lax.stop_gradient(x), _GROUPS)
    var = lax.mul(var, constant(var, spots / (spots - 1) if spots > 1 else math.nan))
    for running, fresh in ((running_mean, mean), (running_var, var)):
        if running is not None:
            share = lax.convert_element_type(momentum, fresh.dtype)
            kept = lax.mul(lax.sub(constant(fresh, 1), share), widened(running))
            results.append(like(lax.add(kept, lax.mul(share, mean_over(fresh, (0,)))), running))
    return tuple(results)


def _verify_spatial_size(size: Sequence[int]) -> None:
    if math.prod(size[2:]) == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {size}")


@composite(namespaces=_F)
def instance_norm(
    input, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1, eps=1e-5
):
    """Each channel of each sample of (N, C, ...) normalized; with ``use_input_stats=False`` by the running statistics.

    See Ulyanov et al., arXiv:1607.08022.
    """
    if use_input_stats:
        _verify_spatial_size(input.size())
    return torch_instance_norm(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, True)


@composite(namespaces=("torch",), name="instance_norm")
def torch_instance_norm(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, cudnn_enabled):
    """``torch.nn.functional.instance_norm`` with its arguments in another order."""
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats is false")
        return _instance_norm_inference(input, weight, bias, running_mean, running_var, eps)
    results = _instance_norm(input, weight, bias, running_mean, running_var, momentum, eps)
    if isinstance(results, Tensor):
        return results
    running = [t for t in (running_mean, running_var) if t is not None]
    for t, result in zip(running, results[1:], strict=True):
        assign(t, value_of(result))
    return results[0]


@op(namespaces=("_private",), name="_instance_norm_inference", node="ViewBackward0")
def _instance_norm_inference(
    input, weight: Array | None, bias: Array | None, running_mean: Array, running_var: Array, eps
):
    """The input normalized by the running statistics."""
    return _batch_norm_inference.operator.body(input, weight, bias, running_mean, running_var, eps)


@composite(namespaces=("torch",))
def norm_except_dim(v, pow=2, dim=0):
    """The ``pow``-norms of the parts of ``v`` at each position of ``dim`` (-1: of all of it), the other sizes being one."""
    if dim == -1:
        return v.norm(pow)
    last = v.dim() - 1
    if dim not in (0, last):
        return norm_except_dim(v.transpose(0, dim), pow, 0).transpose(0, dim)
    rows = v.reshape(v.shape[0], -1) if dim == 0 else v.reshape(-1, v.shape[last])
    size = [v.shape[d] if d == dim else 1 for d in range(v.dim())]
    return rows.norm(pow, 1 if dim == 0 else 0).view(size)
