"""Loss functions."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from torchlike._engine.value import host
from torchlike._ops.matmul import scalar_name
from torchlike._ops.op import Array, composite, op
from torchlike._tensor.tensor import Tensor, value_of

_F = ("nn.functional",)


def legacy_reduction(size_average: Any, reduce: Any, reduction: str) -> str:
    """The reduction that the old arguments ``size_average`` and ``reduce`` stand for."""
    if size_average is None and reduce is None:
        return reduction
    found = "none" if reduce is False else "sum" if size_average is False else "mean"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{found}' instead.",
        UserWarning,
        stacklevel=3,
    )
    return found


def check_reduction(reduction: str) -> str:
    """``reduction`` where it is one; ValueError in torch's words otherwise."""
    if reduction not in ("none", "mean", "sum"):
        if reduction == "elementwise_mean":
            warnings.warn(
                "reduction='elementwise_mean' is deprecated. Please use reduction='mean' instead.", stacklevel=3
            )
            return "mean"
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction


def _reduced(x: Any, reduction: str) -> Any:
    """All elements, their sum or their mean."""
    if reduction == "none":
        return x
    total = lax.reduce_sum(x, tuple(range(x.ndim)))
    return total if reduction == "sum" else lax.div(total, np.asarray(x.size, x.dtype))


# What checks of values look at.


def at_hand(t: Tensor) -> np.ndarray | None:
    """The elements of a tensor on the host where nothing has to be computed for them; else None."""
    if t._storage.device.type != "cpu":
        return None
    value = value_of(t)
    return None if value.array is None else host(value)


def looked_at(t: Tensor) -> np.ndarray | None:
    """The elements of a tensor of labels or positions, computed if need be; None on an accelerator."""
    return host(value_of(t)) if t._storage.device.type == "cpu" else None


def in_range(numbers: np.ndarray, n: int) -> bool:
    """Whether whole numbers are all at least zero and less than ``n``."""
    if numbers.dtype == np.int64:
        return bool(numbers.view(np.uint64).max() < n)  # negative numbers are large ones
    return bool(numbers.min() >= 0 and numbers.max() < n)


# Class labels.


def _picked(x: Any, target: Any) -> Any:
    """``x[n, target[n], ...]``, classes being dimension 1 (0 for a single sample)."""
    axis = x.ndim - target.ndim - 1 if x.ndim == 1 else 1
    index = lax.expand_dims(target, (axis,))
    return lax.squeeze(jnp.take_along_axis(x, index, axis, mode="promise_in_bounds"), (axis,))


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _nll(x, target, weight, keep, reduction, axis):
    return _nll_forward(x, target, weight, keep, reduction, axis)[0]


def _nll_forward(x, target, weight, keep, reduction, axis):
    """``weight`` is that of each sample's class, zero where the sample is ignored."""
    safe = lax.select(keep, target, lax.full_like(target, 0))
    picked = _picked(x, safe)
    losses = lax.neg(lax.mul(picked, weight))
    if reduction == "none":
        return losses, (x, safe, weight, None)
    total = lax.reduce_sum(losses, tuple(range(losses.ndim)))
    if reduction == "sum":
        return total, (x, safe, weight, None)
    count = lax.reduce_sum(weight, tuple(range(weight.ndim)))
    return lax.div(total, count), (x, safe, weight, count)


def _nll_backward(reduction, axis, saved, g):
    x, target, weight, count = saved
    scale = lax.neg(weight)
    if reduction == "mean":
        g = lax.div(g, count)
    scale = lax.mul(scale, lax.broadcast(g, scale.shape) if np.ndim(g) == 0 else g)
    classes = lax.broadcasted_iota(target.dtype, x.shape, axis)
    kept = tuple(d for d in range(x.ndim) if d != axis)
    hit = lax.eq(classes, lax.broadcast_in_dim(target, x.shape, kept))
    grad = lax.select(hit, lax.broadcast_in_dim(scale, x.shape, kept), lax.full_like(x, 0))
    return grad, None, None, None


_nll.defvjp(_nll_forward, _nll_backward)


def _check_nll(input, target, weight=None, ignore_index=-100, reduction="mean", **_):
    """Labels out of range raise on the user's own line; on an accelerator they are not looked at."""
    labels = looked_at(target)
    if labels is None or not labels.size or input._spec.ndim == 0:
        return
    classes = input._spec.shape[0 if input._spec.ndim == 1 else 1]
    if in_range(labels, classes):
        return
    bad = labels[(labels != ignore_index) & ((labels < 0) | (labels >= classes))]
    if bad.size:
        raise IndexError(f"Target {int(bad.flat[0])} is out of bounds.")


def _check_nll_shapes(x: Any, target: Any, weight: Any) -> None:
    if x.ndim < 1 or x.ndim - 1 != target.ndim or (x.ndim > 1 and x.shape[0] != target.shape[0]):
        if x.ndim > 1 and target.ndim >= 1 and x.shape[0] != target.shape[0]:
            raise ValueError(
                f"Expected input batch_size ({x.shape[0]}) to match target batch_size ({target.shape[0]})."
            )
        if x.ndim <= 2:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if x.ndim == 4:
            raise RuntimeError(
                f"only batches of spatial targets supported (3D tensors) but got targets of dimension: {target.ndim}"
            )
        raise RuntimeError(f"Expected target size {[x.shape[0], *x.shape[2:]]}, got {list(target.shape)}")
    if x.ndim > 2 and x.shape[2:] != target.shape[1:]:
        if x.ndim == 4:
            raise RuntimeError(
                f"input and target batch or spatial sizes don't match: target {list(target.shape)}, input "
                f"{list(x.shape)}"
            )
        raise RuntimeError(f"Expected target size {[x.shape[0], *x.shape[2:]]}, got {list(target.shape)}")
    if target.dtype not in (np.int64, np.uint8):
        raise RuntimeError(f"expected target dtype to be Long or Byte, but got {scalar_name(target)}")
    classes = x.shape[0 if x.ndim == 1 else 1]
    if weight is not None and weight.shape != (classes,):
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes but got weight tensor of "
            f"shape: {list(weight.shape)}"
        )


@op(namespaces=("_private",), name="_nll_loss", node="NllLossBackward0", check=_check_nll)
def _nll_loss(input, target: Array, weight: Array | None = None, ignore_index=-100, reduction="mean"):
    """The negative log-likelihood of the labels."""
    _check_nll_shapes(input, target, weight)
    x = lax.convert_element_type(input, np.float32) if input.dtype in (np.float16, jnp.bfloat16) else input
    labels = lax.convert_element_type(target, np.int64)
    keep = lax.ne(labels, lax.full_like(labels, ignore_index))
    if weight is None:
        each = lax.convert_element_type(keep, x.dtype)
    else:
        safe = lax.select(keep, labels, lax.full_like(labels, 0))
        taken = jnp.take(lax.convert_element_type(weight, x.dtype), safe, mode="clip")
        each = lax.select(keep, taken, lax.full_like(taken, 0))
    out = _nll(x, labels, each, keep, reduction, 0 if x.ndim == 1 else 1)
    return lax.convert_element_type(out, input.dtype)


@composite(namespaces=_F)
def nll_loss(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"):
    """The negative log-likelihood loss: ``-weight[y] * input[n, y]``; (N, C, ...) log-probabilities, (N, ...)
    labels.
    """
    reduction = check_reduction(legacy_reduction(size_average, reduce, reduction))
    if input.dim() == 4:
        return _nll_loss_2d(input, target, weight, ignore_index, reduction)
    return _nll_loss(input, target, weight, ignore_index, reduction)


@op(namespaces=("_private",), name="_nll_loss_2d", node="NllLoss2DBackward0", check=_check_nll)
def _nll_loss_2d(input, target: Array, weight: Array | None = None, ignore_index=-100, reduction="mean"):
    """The negative log-likelihood of a label for each pixel."""
    return _nll_loss.operator.body(input, target, weight, ignore_index, reduction)


@composite(namespaces=_F)
def cross_entropy(
    input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean", label_smoothing=0.0
):
    """The cross entropy of unnormalised scores (N, C, ...) with labels (N, ...) or class probabilities (N, C, ...)."""
    reduction = check_reduction(legacy_reduction(size_average, reduce, reduction))
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    axis = 0 if input.dim() == 1 else 1
    if target._spec.shape == input._spec.shape and target.is_floating_point():
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing, axis)
    log_probability = Tensor.log_softmax(input, axis)
    if label_smoothing == 0.0:
        return nll_loss(log_probability, target, weight, None, ignore_index, None, reduction)
    return _smoothed(log_probability, target, weight, ignore_index, reduction, label_smoothing, axis)


def _soft_cross_entropy(input, target, weight, reduction, label_smoothing, axis):
    classes = input.shape[axis]
    if label_smoothing > 0.0:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    terms = Tensor.log_softmax(input, axis) * target
    if weight is not None:
        terms = terms * weight.view([-1 if d == axis else 1 for d in range(input.dim())])
    if reduction == "none":
        return -terms.sum(axis)
    total = -terms.sum()
    return total if reduction == "sum" else total / (input.numel() / classes)


def _smoothed(log_probability, target, weight, ignore_index, reduction, label_smoothing, axis):
    classes = log_probability.shape[axis]
    nll = nll_loss(log_probability, target, weight, None, ignore_index, None, reduction)
    scaled = log_probability
    if weight is not None:
        scaled = scaled * weight.view([-1 if d == axis else 1 for d in range(scaled.dim())])
    smooth = -scaled.sum(axis)
    ignored = target == ignore_index
    smooth = smooth.masked_fill(ignored, 0.0)
    if reduction == "mean":
        if weight is not None:
            counted = weight.gather(0, target.masked_fill(ignored, 0).flatten()).masked_fill(ignored.flatten(), 0.0)
            smooth = smooth.sum() / counted.sum()
        else:
            smooth = smooth.sum() / (~ignored).sum().to(smooth.dtype)
    elif reduction == "sum":
        smooth = smooth.sum()
    return (1 - label_smoothing) * nll + (label_smoothing / classes) * smooth
