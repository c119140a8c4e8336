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
from torchlike._ops.op import REGISTRY, Array, Number, composite, op
from torchlike._tensor.dtypes import get_default_dtype
from torchlike._tensor.tensor import Tensor, assign, value_of

_F = ("nn.functional",)


def _other_axes(ndim: int, axes: Sequence[int]) -> list[int]:
    return [d for d in range(ndim) if d not in axes]


def _over(small: Any, shape: Sequence[int], axes: Sequence[int]) -> Any:
    """What has a value for each position outside ``axes``, repeated along them."""
    return lax.broadcast_in_dim(small, tuple(shape), _other_axes(len(shape), axes))


def _mean(x: Any, axes: Sequence[int]) -> Any:
    return lax.div(lax.reduce_sum(x, tuple(axes)), constant(x, count(x, axes)))


def _moments(x: Any, axes: Sequence[int]) -> tuple[Any, Any]:
    """The mean over ``axes`` and the mean of the squared distances from it."""
    mean = _mean(x, axes)
    centred = lax.sub(x, _over(mean, x.shape, axes))
    return mean, _mean(lax.mul(centred, centred), axes)


def _inverse_sigma(var: Any, eps: float) -> Any:
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
    shift = lax.neg(lax.mul(mean, scale))
    shift = shift if bias is None else lax.add(bias, shift)
    axes = _channel_axes(x)
    return lax.add(lax.mul(x, _over(scale, x.shape, axes)), _over(shift, x.shape, axes))


def _by_batch_forward(x, weight, bias, eps):
    mean, var = _moments(x, _channel_axes(x))
    inverse = _inverse_sigma(var, eps)
    return (_affine(x, mean, inverse, weight, bias), mean, var), (x, weight, mean, inverse, bias is None)


def _by_batch_backward(eps, saved, gs):
    x, weight, mean, inverse, no_bias = saved
    g = gs[0]
    axes = _channel_axes(x)
    n = constant(x, count(x, axes))
    centred = lax.sub(x, _over(mean, x.shape, axes))
    g_sum = lax.reduce_sum(g, axes)
    g_weight = lax.mul(inverse, lax.reduce_sum(lax.mul(g, centred), axes))
    a = inverse if weight is None else lax.mul(inverse, weight)
    b = lax.neg(lax.div(lax.mul(lax.mul(a, inverse), g_weight), n))
    c = lax.neg(lax.div(lax.mul(a, g_sum), n))
    terms = [lax.mul(g, _over(a, x.shape, axes)), lax.mul(centred, _over(b, x.shape, axes))]
    dx = lax.add(lax.add(*terms), _over(c, x.shape, axes))
    return dx, None if weight is None else g_weight, None if no_bias else g_sum


_by_batch.defvjp(_by_batch_forward, _by_batch_backward)


def _check_channels(x: Any, **given: Any) -> None:
    channels = x.shape[1] if x.ndim else 0
    for name, t in given.items():
        if t is not None and t.size != channels:
            raise RuntimeError(f"{name} should contain {channels} elements not {t.size}")
    if kind(x) != "f":
        raise NotImplementedError(f"\"batch_norm\" not implemented for '{type_name_of(x)}'")
    _check_mixed(x, given.values())


def _check_mixed(x: Any, parameters: Any) -> None:
    """RuntimeError for parameters of another type than the input's, or single precision where that is half."""
    for t in parameters:
        if t is None or t.dtype == x.dtype:
            continue
        if np.dtype(x.dtype).itemsize == 8:
            raise RuntimeError("mixed dtype (CPU): all inputs must share same datatype.")
        if t.dtype != np.float32:
            raise RuntimeError("mixed dtype (CPU): expect parameter to have scalar type of Float")


def _statistic(x: Any) -> Any:
    return None if x is None else widened(x)


def _like(out: Any, x: Any) -> Any:
    return convert(out, x.dtype)


@op(namespaces=("_private",), name="_batch_norm_training", node="NativeBatchNormBackward0")
def _batch_norm_training(
    input, weight: Array | None, bias: Array | None, running_mean: Array | None, running_var: Array | None,
    momentum: Number, eps,
):  # fmt: skip
    """The input normalized by its own statistics, and the running ones moved towards these where there are any."""
    _check_channels(input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    x, w, b = widened(input), _statistic(weight), _statistic(bias)
    out, mean, var = _by_batch(x, w, b, eps)  # type: ignore[misc]
    results = [_like(out, input)]
    n = count(x, _channel_axes(x))
    for running, fresh in ((running_mean, mean), (running_var, var)):
        if running is None:
            continue
        if fresh is var:
            fresh = lax.mul(var, constant(var, n / (n - 1) if n > 1 else math.nan))
        share = lax.convert_element_type(momentum, fresh.dtype)
        kept = lax.mul(lax.sub(constant(fresh, 1), share), widened(running))
        results.append(_like(lax.add(kept, lax.mul(share, fresh)), running))
    return tuple(results) if len(results) > 1 else results[0]


@op(namespaces=("_private",), name="_batch_norm_inference", node="NativeBatchNormBackward0")
def _batch_norm_inference(
    input, weight: Array | None, bias: Array | None, running_mean: Array, running_var: Array, eps
):
    """The input normalized by the running statistics."""
    _check_channels(input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    x, w, b = widened(input), _statistic(weight), _statistic(bias)
    mean, var = lax.stop_gradient(widened(running_mean)), lax.stop_gradient(widened(running_var))
    return _like(_affine(x, mean, _inverse_sigma(var, eps), w, b), input)


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
        assign(t, value_of(result))
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


# Statistics over the last dimensions: layer normalization.


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _by_layer(x, weight, bias, axes, eps):
    return _by_layer_forward(x, weight, bias, axes, eps)[0]


def _tail(t: Any, shape: Sequence[int]) -> Any:
    """A tensor of the last dimensions repeated along the first."""
    return lax.broadcast_in_dim(t, tuple(shape), tuple(range(len(shape) - t.ndim, len(shape))))


def _by_layer_forward(x, weight, bias, axes, eps):
    mean = _mean(x, axes)
    centred = lax.sub(x, _over(mean, x.shape, axes))
    inverse = _inverse_sigma(_mean(lax.mul(centred, centred), axes), eps)
    out = lax.mul(centred, _over(inverse, x.shape, axes))
    if weight is not None:
        out = lax.mul(out, _tail(weight, x.shape))
    if bias is not None:
        out = lax.add(out, _tail(bias, x.shape))
    return out, (x, weight, mean, inverse, bias is None)


def _by_layer_backward(axes, eps, saved, g):
    x, weight, mean, inverse, no_bias = saved
    lead = tuple(_other_axes(x.ndim, axes))

    def normal():
        # Behind a barrier, so that each use computes it anew: cheaper than to keep it between them.
        m, r = lax.optimization_barrier((mean, inverse))
        return lax.mul(lax.sub(x, _over(m, x.shape, axes)), _over(r, x.shape, axes))

    g_weight = None if weight is None else lax.reduce_sum(lax.mul(g, normal()), lead)
    g_bias = None if no_bias else lax.reduce_sum(g, lead)
    if weight is not None:
        g = lax.mul(g, _tail(weight, x.shape))
    there = normal()
    through = _over(_mean(lax.mul(g, there), axes), x.shape, axes)
    inner = lax.sub(lax.sub(g, _over(_mean(g, axes), x.shape, axes)), lax.mul(there, through))
    return lax.mul(inner, _over(inverse, x.shape, axes)), g_weight, g_bias


_by_layer.defvjp(_by_layer_forward, _by_layer_backward)


def _listed(shape: Sequence[int]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"


def _check_normalized(name: str, x: Any, normalized_shape: Sequence[int], **given: Any) -> None:
    if not normalized_shape:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got "
            "normalized_shape = []"
        )
    for what, t in given.items():
        if t is not None and t.shape != tuple(normalized_shape):
            raise RuntimeError(
                f"Expected {what} to be of same shape as normalized_shape, but got {what} of shape {_listed(t.shape)} and "
                f"normalized_shape = {_listed(normalized_shape)}"
            )
    n = len(normalized_shape)
    if x.ndim < n or x.shape[x.ndim - n :] != tuple(normalized_shape):
        raise RuntimeError(
            f"Given normalized_shape={_listed(normalized_shape)}, expected input with shape "
            f"[*{', ' if name != 'rms_norm' else ''}{', '.join(map(str, normalized_shape))}], but got input of "
            f"size{_listed(x.shape)}"
        )
    if kind(x) not in ("fc" if name == "rms_norm" else "f"):
        raise NotImplementedError(f"\"{name}\" not implemented for '{type_name_of(x)}'")


@op(namespaces=("_private",), name="_layer_norm", node="NativeLayerNormBackward0")
def _layer_norm(input, normalized_shape, weight: Array | None, bias: Array | None, eps):
    """The input normalized over its last dimensions."""
    _check_normalized("LayerNormKernelImpl", input, normalized_shape, weight=weight, bias=bias)
    _check_mixed(input, (weight, bias))
    axes = tuple(range(input.ndim - len(normalized_shape), input.ndim))
    return _like(_by_layer(widened(input), _statistic(weight), _statistic(bias), axes, eps), input)


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
    inverse = _inverse_sigma(_mean(lax.mul(x, x), axes), eps)
    out = lax.mul(x, _over(inverse, x.shape, axes))
    if weight is not None:
        out = lax.mul(out, _tail(weight, x.shape))
    return out, (x, weight, inverse)


def _by_rms_backward(axes, eps, saved, g):
    x, weight, inverse = saved

    def normal():
        return lax.mul(x, _over(lax.optimization_barrier(inverse), x.shape, axes))

    g_weight = None
    if weight is not None:
        g_weight = lax.reduce_sum(lax.mul(g, normal()), tuple(_other_axes(x.ndim, axes)))
        g = lax.mul(g, _tail(weight, x.shape))
    there = normal()
    through = _over(_mean(lax.mul(g, there), axes), x.shape, axes)
    return lax.mul(lax.sub(g, lax.mul(there, through)), _over(inverse, x.shape, axes)), g_weight


_by_rms.defvjp(_by_rms_forward, _by_rms_backward)


@op(namespaces=("_private",), name="_rms_norm", node=lambda half, **_: "ToCopyBackward0" if half else "MulBackward0")
def _rms_norm(input, normalized_shape, weight: Array | None, eps, half):
    """The input over the root of the mean of its squares along the last dimensions."""
    _check_normalized("rms_norm", input, normalized_shape, weight=weight)
    axes = tuple(range(input.ndim - len(normalized_shape), input.ndim))
    x, w = widened(input), _statistic(weight)
    eps = float(np.finfo(x.dtype).eps) if eps is None else eps
    if w is not None and w.dtype != x.dtype:
        common = np.promote_types(w.dtype, x.dtype)
        x, w = convert(x, common), convert(w, common)
    return _like(_by_rms(x, w, axes, eps), input)


@composite(namespaces=("torch", "nn.functional"))
def rms_norm(input, normalized_shape, weight=None, eps=None):
    """The last dimensions over their root mean square: ``x / sqrt(mean(x ** 2) + eps) * weight``.

    ``eps`` is the dtype's resolution unless given. See Zhang and Sennrich, arXiv:1910.07467.
    """
    shape = _shape_argument("rms_norm", normalized_shape)
    return _rms_norm(input, shape, weight, eps, input._spec.dtype.itemsize == 2)


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
    mean = _mean(x, _GROUPS)
    centred = lax.sub(x, _over(mean, x.shape, _GROUPS))
    inverse = _inverse_sigma(_mean(lax.mul(centred, centred), _GROUPS), eps)
    scale, each_mean = _each_channel(inverse, x.shape), _each_channel(mean, x.shape)
    if weight is not None:
        scale = lax.mul(scale, lax.broadcast_in_dim(weight, scale.shape, (1, 2)))
    shift = lax.neg(lax.mul(each_mean, scale))
    if bias is not None:
        shift = lax.add(shift, lax.broadcast_in_dim(bias, shift.shape, (1, 2)))
    out = lax.add(lax.mul(x, _over(scale, x.shape, _CHANNELS)), _over(shift, x.shape, _CHANNELS))
    return out, (x, weight, mean, inverse, bias is None)


def _by_group_backward(eps, saved, g):
    x, weight, mean, inverse, no_bias = saved
    each_mean, each_inverse = _each_channel(mean, x.shape), _each_channel(inverse, x.shape)
    sums = lax.reduce_sum(g, _CHANNELS)
    centred = lax.sub(x, _over(each_mean, x.shape, _CHANNELS))
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
    terms = [lax.mul(g, _over(scale, x.shape, _CHANNELS)), lax.mul(x, _over(slope, x.shape, _CHANNELS))]
    return lax.add(lax.add(*terms), _over(shift, x.shape, _CHANNELS)), g_weight, g_bias


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
            f"{_listed(input.shape)} and num_groups={num_groups}"
        )
    for name, t in (("weight", weight), ("bias", bias)):
        if t is not None and t.shape != (channels,):
            raise RuntimeError(
                f"Expected {name} to be a vector of size equal to the number of channels in input, but got {name} of shape "
                f"{_listed(t.shape)} and input of shape {_listed(input.shape)}"
            )
    if kind(input) != "f":
        raise NotImplementedError(f"\"GroupNormKernelImpl\" not implemented for '{type_name_of(input)}'")
    _check_mixed(input, (weight, bias))
    inner = channels // num_groups
    x = lax.reshape(widened(input), (n, num_groups, inner, math.prod(input.shape[2:])))
    w, b = (None if t is None else lax.reshape(widened(t), (num_groups, inner)) for t in (weight, bias))
    return _like(lax.reshape(_by_group(x, w, b, eps), input.shape), input)


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
    results = [_like(lax.reshape(out, input.shape), input)]
    if running_mean is None and running_var is None:
        return results[0]
    spots = x.shape[3]
    mean, var = _moments(lax.stop_gradient(x), _GROUPS)
    var = lax.mul(var, constant(var, spots / (spots - 1) if spots > 1 else math.nan))
    for running, fresh in ((running_mean, mean), (running_var, var)):
        if running is not None:
            share = lax.convert_element_type(momentum, fresh.dtype)
            kept = lax.mul(lax.sub(constant(fresh, 1), share), widened(running))
            results.append(_like(lax.add(kept, lax.mul(share, _mean(fresh, (0,)))), running))
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
    return out if kind(input) in "iu" else _like(out, input)


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
    from torchlike._ops.torch_names import norm_except_dim

    return v * (g / norm_except_dim(v, 2, dim))
