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
from torchlike._ops.bodies import convert, widened
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


def reduce_losses(x: Any, reduction: str) -> Any:
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


def _single(x: Any, target: Any) -> Any:
    """The label of a single sample without a dimension of its own."""
    return lax.reshape(target, ()) if x.ndim == 1 and target.shape == (1,) else target


def _check_nll_shapes(x: Any, target: Any, weight: Any) -> None:
    if x.ndim == 1 and target.ndim == 1 and target.shape[0] != 1:
        raise ValueError(f"For 1D input, 1D target must have size 1, but got target size: {target.shape[0]}")
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
    if weight is not None and weight.dtype != x.dtype:
        raise RuntimeError(f"expected scalar type {scalar_name(x)} but found {scalar_name(weight)}")


def _nll_node(ndim: int, reduction: str, **_: Any) -> str:
    if ndim <= 2:
        return "NllLossBackward0"
    return "ViewBackward0" if ndim != 4 and reduction == "none" else "NllLoss2DBackward0"


def _each_weight(labels: Any, keep: Any, weight: Any, dtype: Any) -> Any:
    """The weight of each sample's class, zero where the sample is ignored."""
    if weight is None:
        return convert(keep, dtype)
    safe = lax.select(keep, labels, lax.full_like(labels, 0))
    numbers = lax.GatherDimensionNumbers((), (0,), (0,))
    taken = lax.gather(convert(weight, dtype), lax.expand_dims(safe, (safe.ndim,)), numbers, (1,), mode="clip")
    return lax.select(keep, taken, lax.full_like(taken, 0))


@op(namespaces=("_private",), name="_nll_loss", node=_nll_node, check=_check_nll)
def _nll_loss(input, target: Array, weight: Array | None, ignore_index, reduction, ndim):
    """The negative log-likelihood of the labels."""
    target = _single(input, target)
    _check_nll_shapes(input, target, weight)
    x = widened(input)
    labels = convert(target, np.int64)
    keep = lax.ne(labels, lax.full_like(labels, ignore_index))
    each = _each_weight(labels, keep, weight, x.dtype)
    return convert(_nll(x, labels, each, keep, reduction, 0 if x.ndim == 1 else 1), input.dtype)


@composite(namespaces=_F)
def nll_loss(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"):
    """The negative log-likelihood loss: ``-weight[y] * input[n, y]``; (N, C, ...) log-probabilities, (N, ...)
    labels.
    """
    reduction = check_reduction(legacy_reduction(size_average, reduce, reduction))
    return _nll_loss(input, target, weight, ignore_index, reduction, input._spec.ndim)


@composite(namespaces=_F)
def cross_entropy(
    input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean", label_smoothing=0.0
):
    """The cross entropy of unnormalised scores (N, C, ...) with labels (N, ...) or class probabilities (N, C, ...)."""
    reduction = check_reduction(legacy_reduction(size_average, reduce, reduction))
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    axis = 0 if input._spec.ndim == 1 else 1
    log_probability = Tensor.log_softmax(input, axis)
    if target._spec.shape == input._spec.shape and target.is_floating_point():
        return _soft_cross_entropy(log_probability, target, weight, reduction, float(label_smoothing), axis)
    if label_smoothing == 0.0:
        return _nll_loss(log_probability, target, weight, ignore_index, reduction, input._spec.ndim)
    return _smoothed(log_probability, target, weight, ignore_index, reduction, float(label_smoothing))


def _class_weights(x: Any, weight: Any, axis: int) -> Any:
    """Weighted log-probabilities."""
    if weight is None:
        return x
    return lax.mul(x, lax.broadcast_in_dim(convert(weight, x.dtype), x.shape, (axis,)))


def _soft_node(reduction: str, **_: Any) -> str:
    return "DivBackward1" if reduction == "mean" else "NegBackward0"


@op(namespaces=("_private",), name="_soft_cross_entropy", node=_soft_node)
def _soft_cross_entropy(input, target: Array, weight: Array | None, reduction, label_smoothing, axis):
    """The cross entropy of log-probabilities with probabilities."""
    result = np.promote_types(input.dtype, target.dtype)
    x, t = (widened(convert(a, result)) for a in (input, target))
    classes = x.shape[axis]
    if weight is not None and weight.shape != (classes,):
        raise RuntimeError(
            "cross_entropy: weight tensor should be defined either for all "
            f"{classes} classes or no classes but got weight tensor of shape: {list(weight.shape)}"
        )
    if label_smoothing > 0.0:
        t = lax.add(
            lax.mul(t, np.asarray(1 - label_smoothing, t.dtype)), np.asarray(label_smoothing / classes, t.dtype)
        )
    terms = _class_weights(lax.mul(x, t), weight, axis)
    if reduction == "none":
        return convert(lax.neg(lax.reduce_sum(terms, (axis,))), result)
    total = lax.neg(lax.reduce_sum(terms, tuple(range(x.ndim))))
    if reduction == "mean":
        total = lax.div(total, np.asarray(x.size / classes if classes else 0, x.dtype))
    return convert(total, result)


@op(namespaces=("_private",), name="_smoothed", node="AddBackward0", check=_check_nll)
def _smoothed(input, target: Array, weight: Array | None, ignore_index, reduction, label_smoothing):
    """The negative log-likelihood of the labels, mixed with that of all classes alike."""
    target = _single(input, target)
    _check_nll_shapes(input, target, weight)
    x, axis = widened(input), 0 if input.ndim == 1 else 1
    labels = convert(target, np.int64)
    keep = lax.ne(labels, lax.full_like(labels, ignore_index))
    each = _each_weight(labels, keep, weight, x.dtype)
    exact = _nll(x, labels, each, keep, reduction, axis)
    smooth = lax.neg(lax.reduce_sum(_class_weights(x, weight, axis), (axis,)))
    smooth = lax.select(keep, smooth, lax.full_like(smooth, 0))
    if reduction != "none":
        every = tuple(range(smooth.ndim))
        smooth = lax.reduce_sum(smooth, every)
        if reduction == "mean":
            smooth = lax.div(smooth, lax.reduce_sum(each, every))
    kept, shared = 1 - label_smoothing, label_smoothing / x.shape[axis]
    mixed = lax.add(lax.mul(exact, np.asarray(kept, x.dtype)), lax.mul(smooth, np.asarray(shared, x.dtype)))
    return convert(mixed, input.dtype)
