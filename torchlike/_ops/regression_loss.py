"""Losses that compare input and target element by element."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import jax
import numpy as np
from jax import lax

from torchlike._engine.value import host
from torchlike._ops.bodies import choose, constant, kind, type_name_of
from torchlike._ops.loss import _reduced as reduced
from torchlike._ops.loss import check_reduction, legacy_reduction
from torchlike._ops.op import Array, Promote, broadcast_shapes, composite, pointwise
from torchlike._tensor.tensor import Tensor, value_of

_F = ("nn.functional",)


def chosen_reduction(size_average: Any, reduce: Any, reduction: str) -> str:
    """The reduction that is meant, from its name and the old arguments."""
    if size_average is not None or reduce is not None:
        return legacy_reduction(size_average, reduce, reduction)
    return check_reduction(reduction)


def apply_reduction(loss: Tensor, reduction: str) -> Tensor:
    """All losses, their sum or their mean."""
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss


def _elementwise(name: str, node: Any, body: Any, doc: str, kinds: str = "f") -> Any:
    """Declare a private operator: ``body`` applied to each pair of elements, then the reduction."""

    def loss(input, other, reduction, parameter):
        if kind(input) not in kinds:
            raise NotImplementedError(f"\"{name}\" not implemented for '{type_name_of(input)}'")
        return reduced(body(input, other, parameter), reduction)

    loss.__doc__ = doc
    return pointwise(Promote.DEFAULT, namespaces=("_private",), name=f"_{name}", node=node)(loss)


def _square(x: Any, y: Any, _: Any) -> Any:
    d = lax.sub(x, y)
    return lax.mul(d, d)


def _huber(x: Any, y: Any, delta: float) -> Any:
    d = lax.abs(lax.sub(x, y))
    edge, half = constant(d, delta), constant(d, 0.5)
    return choose(lax.lt(d, edge), lax.mul(lax.mul(half, d), d), lax.mul(edge, lax.sub(d, lax.mul(half, edge))))


def _smooth_l1(x: Any, y: Any, beta: float) -> Any:
    d = lax.abs(lax.sub(x, y))
    edge, half = constant(d, beta), constant(d, 0.5)
    return choose(lax.lt(d, edge), lax.div(lax.mul(lax.mul(half, d), d), edge), lax.sub(d, lax.mul(half, edge)))


def _l1_node(reduction: str, **_: Any) -> str:
    return {"mean": "MeanBackward0", "sum": "SumBackward0", "none": "AbsBackward0"}[reduction]


_mse_op = _elementwise("mse_cpu", "MseLossBackward0", _square, "The squared differences.")
_l1_op = _elementwise("abs_cpu", _l1_node, lambda x, y, _: lax.abs(lax.sub(x, y)), "The absolute differences.", "fiuc")
_huber_op = _elementwise("huber_cpu", "HuberLossBackward0", _huber, "Squared where small, linear where large.")
_smooth_l1_op = _elementwise("smooth_l1_cpu", "SmoothL1LossBackward0", _smooth_l1, "Huber's loss over beta.")


def _warn_sizes(input: Tensor, target: Tensor) -> None:
    """Warn, and raise, as torch does where two shapes differ."""
    if input._spec.shape == target._spec.shape:
        return
    warnings.warn(
        f"Using a target size ({target.size()}) that is different to the input size ({input.size()}). This will likely lead "
        "to incorrect results due to broadcasting. Please ensure they have the same size.",
        stacklevel=3,
    )
    broadcast_shapes([input._spec.shape, target._spec.shape])


def _weighted(errors: Tensor, weight: Tensor, input: Tensor, reduction: str) -> Tensor:
    """Errors times weights; their mean is over the weights' sum."""
    weighted = errors * weight
    if reduction == "none":
        return weighted
    total = weighted.sum()
    if reduction == "sum":
        return total
    if reduction == "mean":
        return total / weight.sum()
    raise ValueError(f"Invalid reduction mode: {reduction}. Expected one of 'none', 'mean', 'sum'.")


def _check_weight(weight: Tensor, input: Tensor) -> None:
    if weight._spec.shape != input._spec.shape:
        raise ValueError("Weights and input must have the same size.")


@composite(namespaces=_F)
def mse_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """The squared differences, ``(input - target) ** 2``: all (``"none"``), their ``"sum"`` or their ``"mean"``.

    ``weight``, of the input's size, scales each; the mean is then over the sum of the weights.
    """
    _warn_sizes(input, target)
    if weight is None:
        return _mse_op(input, target, chosen_reduction(size_average, reduce, reduction), None)
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    _check_weight(weight, input)
    return _weighted((input - target) ** 2, weight, input, reduction)


@composite(namespaces=_F)
def l1_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """The absolute differences, ``|input - target|``: all (``"none"``), their ``"sum"`` or their ``"mean"``.

    ``weight``, of the input's size, scales each; the mean is then over the sum of the weights.
    """
    _warn_sizes(input, target)
    if weight is None:
        return _l1_op(input, target, chosen_reduction(size_average, reduce, reduction), None)
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    _check_weight(weight, input)
    return _weighted((input - target).abs(), weight, input, reduction)


@composite(namespaces=_F)
def huber_loss(input, target, reduction="mean", delta=1.0, weight=None):
    """``d ** 2 / 2`` where ``d = |input - target|`` is below ``delta``, else ``delta * (d - delta / 2)``."""
    _warn_sizes(input, target)
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    if weight is None:
        return _huber_op(input, target, chosen_reduction(None, None, reduction), float(delta))
    _check_weight(weight, input)
    weighted = _huber_op(input, target, "none", float(delta)) * weight
    if reduction in ("none", "sum", "mean"):
        return apply_reduction(weighted, reduction)
    raise ValueError(f"Invalid reduction mode: {reduction}. Expected one of 'none', 'mean', 'sum'.")


@composite(namespaces=_F)
def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0):
    """``d ** 2 / (2 * beta)`` where ``d = |input - target|`` is below ``beta``, else ``d - beta / 2``."""
    _warn_sizes(input, target)
    reduction = chosen_reduction(size_average, reduce, reduction)
    if beta == 0.0:
        return _l1_op(input, target, reduction, None)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    return _smooth_l1_op(input, target, reduction, float(beta))


# Cross entropy of probabilities.


@jax.custom_vjp
def _cross_entropy(x, target):
    """``-(t log x + (1 - t) log(1 - x))``, the logarithms no less than -100."""
    least, one = constant(x, -100), constant(x, 1)
    yes, no = lax.max(lax.log(x), least), lax.max(lax.log1p(lax.neg(x)), least)
    return lax.sub(lax.mul(lax.sub(target, one), no), lax.mul(target, yes))


def _cross_entropy_backward(saved, g):
    x, target = saved
    inverse = lax.max(lax.mul(lax.sub(constant(x, 1), x), x), constant(x, 1e-12))
    dx = lax.div(lax.mul(g, lax.sub(x, target)), inverse)
    return dx, lax.mul(g, lax.sub(lax.log1p(lax.neg(x)), lax.log(x)))


_cross_entropy.defvjp(lambda x, t: (_cross_entropy(x, t), (x, t)), _cross_entropy_backward)


def _weigh(losses: Any, weight: Any) -> Any:
    return losses if weight is None else lax.mul(losses, weight)


def _check_probabilities(input, other, weight=None, reduction="mean"):
    """Probabilities out of range raise where they are at hand."""
    value = value_of(input)
    if value.array is None or not value.spec.numel:
        return
    x = host(value)
    if not ((x >= 0) & (x <= 1)).all():
        raise RuntimeError("all elements of input should be between 0 and 1")


@pointwise(
    Promote.DEFAULT, namespaces=("_private",), name="_binary_cross_entropy", node="BinaryCrossEntropyBackward0",
    check=_check_probabilities,
)  # fmt: skip
def _binary_cross_entropy(input, other, weight: "Array | None" = None, reduction="mean"):
    """The cross entropy of probabilities with targets, weighted and reduced."""
    return reduced(_weigh(_cross_entropy(input, other), weight), reduction)


def _check_same_dtype(input: Tensor, target: Tensor) -> None:
    if input.dtype is not target.dtype:
        from torchlike._tensor.promotion import SCALAR_TYPE_NAMES

        found, wanted = SCALAR_TYPE_NAMES[target.dtype], SCALAR_TYPE_NAMES[input.dtype]
        raise RuntimeError(f"Found dtype {found} but expected {wanted}")


@composite(namespaces=_F)
def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    """``-weight * (target * log(input) + (1 - target) * log(1 - input))`` of probabilities, logarithms cut off at -100.

    ValueError where the sizes of input and target differ, RuntimeError for inputs outside of [0, 1].
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    if target._spec.shape != input._spec.shape:
        raise ValueError(
            f"Using a target size ({target.size()}) that is different to the input size ({input.size()}) is deprecated. "
            "Please ensure they have the same size."
        )
    _check_same_dtype(input, target)
    if weight is not None:
        weight = weight.expand(broadcast_shapes([target._spec.shape, weight._spec.shape]))
    return _binary_cross_entropy(input, target, weight, reduction)


@jax.custom_vjp
def _log_sigmoid(x):
    return lax.sub(lax.min(x, constant(x, 0)), lax.log1p(lax.exp(lax.neg(lax.abs(x)))))


_log_sigmoid.defvjp(lambda x: (_log_sigmoid(x), x), lambda x, g: (lax.mul(g, lax.logistic(lax.neg(x))),))


@pointwise(
    Promote.DEFAULT, namespaces=("_private",), name="_binary_cross_entropy_with_logits",
    node="BinaryCrossEntropyWithLogitsBackward0",
)  # fmt: skip
def _with_logits(input, other, weight: "Array | None" = None, pos_weight: "Array | None" = None, reduction="mean"):
    """The cross entropy of logits with targets, weighted and reduced."""
    one = constant(input, 1)
    log_sigmoid = _log_sigmoid(input)
    if pos_weight is not None:
        log_sigmoid = lax.mul(log_sigmoid, lax.add(lax.mul(lax.sub(pos_weight, one), other), one))
    losses = lax.sub(lax.mul(lax.sub(one, other), input), log_sigmoid)
    return reduced(_weigh(losses, weight), reduction)


@composite(namespaces=_F)
def binary_cross_entropy_with_logits(
    input, target, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None
):
    """:func:`binary_cross_entropy` of ``sigmoid(input)``, computed stably; ``pos_weight`` scales the positive terms.

    ValueError where the sizes of input and target differ.
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    if target._spec.shape != input._spec.shape:
        raise ValueError(f"Target size ({target.size()}) must be the same as input size ({input.size()})")
    return _with_logits(input, target, weight, pos_weight, reduction)
