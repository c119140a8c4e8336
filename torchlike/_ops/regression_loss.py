"""Losses that compare input and target element by element."""

from __future__ import annotations

import math
import warnings
from typing import Any

import jax
import numpy as np
from jax import lax

from torchlike._ops.bodies import absolute, choose, constant, kind, type_name_of
from torchlike._ops.loss import at_hand, check_reduction, legacy_reduction, reduce_losses
from torchlike._ops.op import REGISTRY, Array, Promote, broadcast_shapes, composite, pointwise
from torchlike._tensor.tensor import Tensor, from_array, host_array

_F = ("nn.functional",)


def reduced_pointwise(promote: Promote, **options: Any) -> Any:
    """Declare an operator that works element by element and may then reduce what it made."""
    return pointwise(promote, elementwise=False, **options)


_loss = reduced_pointwise


def chosen_reduction(size_average: Any, reduce: Any, reduction: str) -> str:
    """The reduction that is meant, from its name and the old arguments."""
    if size_average is not None or reduce is not None:
        return legacy_reduction(size_average, reduce, reduction)
    return check_reduction(reduction)


def apply_reduction(loss: Tensor, reduction: str) -> Tensor:
    """All losses, their sum or their mean."""
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss


def _elementwise(name: str, node: Any, body: Any, doc: str) -> Any:
    """Declare a private operator: ``body`` applied to each pair of elements, then the reduction."""

    def loss(input, other, reduction, parameter):
        if name is not None and kind(input) != "f":
            raise NotImplementedError(f"\"{name}\" not implemented for '{type_name_of(input)}'")
        return reduce_losses(body(input, other, parameter), reduction)

    loss.__doc__ = doc
    return _loss(Promote.DEFAULT, namespaces=("_private",), name=f"_{name}", node=node)(loss)


def _absolute(input: Tensor, target: Tensor, reduction: str) -> Tensor:
    """The absolute differences, reduced: in one operation for the usual types."""
    if input._spec.dtype.kind in "biuc" or target._spec.dtype.kind in "biuc":
        return apply_reduction((input - target).abs(), reduction)
    return _l1_op(input, target, reduction, None)


def _square(x: Any, y: Any, _: Any) -> Any:
    d = lax.sub(x, y)
    return lax.mul(d, d)


def _huber(x: Any, y: Any, delta: float) -> Any:
    d = absolute(lax.sub(x, y))
    edge, half = constant(d, delta), constant(d, 0.5)
    return choose(lax.lt(d, edge), lax.mul(lax.mul(half, d), d), lax.mul(edge, lax.sub(d, lax.mul(half, edge))))


def _smooth_l1(x: Any, y: Any, beta: float) -> Any:
    d = absolute(lax.sub(x, y))
    edge, half = constant(d, beta), constant(d, 0.5)
    return choose(lax.lt(d, edge), lax.div(lax.mul(lax.mul(half, d), d), edge), lax.sub(d, lax.mul(half, edge)))


def by_reduction(name: str) -> Any:
    """The node of a loss that ends in ``name`` where it is not reduced."""
    nodes = {"mean": "MeanBackward0", "sum": "SumBackward0", "none": name}
    return lambda reduction, **_: nodes[reduction]


_mse_op = _elementwise("mse_cpu", "MseLossBackward0", _square, "The squared differences.")
_l1_op = _elementwise(
    "l1_loss", by_reduction("AbsBackward0"), lambda x, y, _: absolute(lax.sub(x, y)), "The absolute differences."
)
_huber_op = _elementwise("huber_cpu", "HuberLossBackward0", _huber, "Squared where small, linear where large.")
_smooth_l1_op = _elementwise("smooth_l1_cpu", "SmoothL1LossBackward0", _smooth_l1, "Huber's loss over beta.")


def _warn_sizes(input: Tensor, target: Tensor) -> None:
    """Warn, and raise, as torch does where two shapes differ."""
    if isinstance(target, Tensor) and input._spec.shape == target._spec.shape:
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
        return _absolute(input, target, chosen_reduction(size_average, reduce, reduction))
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
        return _absolute(input, target, reduction)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    return _smooth_l1_op(input, target, reduction, float(beta))


def check_tensors(function: str, **given: Any) -> None:
    """TypeError for an argument that is not a tensor."""
    for at, (name, value) in enumerate(given.items()):
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{function}(): argument '{name}' (position {at + 1}) must be Tensor, not {type(value).__name__}"
            )


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
    for name, t in (("input", input), ("target", other)):
        x = at_hand(t)
        if x is not None and not ((x >= 0) & (x <= 1)).all():
            raise RuntimeError(f"all elements of {name} should be between 0 and 1")


@_loss(
    Promote.DEFAULT, namespaces=("_private",), name="_binary_cross_entropy", node="BinaryCrossEntropyBackward0",
    check=_check_probabilities,
)  # fmt: skip
def _binary_cross_entropy(input, other, weight: Array | None = None, reduction="mean"):
    """The cross entropy of probabilities with targets, weighted and reduced."""
    return reduce_losses(_weigh(_cross_entropy(input, other), weight), reduction)


def _check_same_dtype(input: Tensor, target: Tensor) -> None:
    if input.dtype is not target.dtype:
        from torchlike._tensor.promotion import SCALAR_TYPE_NAMES

        found, wanted = SCALAR_TYPE_NAMES[target.dtype], SCALAR_TYPE_NAMES[input.dtype]
        raise RuntimeError(f"Found dtype {found} but expected {wanted}")


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape; RuntimeError in the words of ``torch.broadcast_shapes``."""
    return REGISTRY["torch", "broadcast_shapes"](a, b)


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
        weight = weight.expand(_broadcast(target._spec.shape, weight._spec.shape))
    return _binary_cross_entropy(input, target, weight, reduction)


@jax.custom_vjp
def _log_sigmoid(x):
    return lax.sub(lax.min(x, constant(x, 0)), lax.log1p(lax.exp(lax.neg(lax.abs(x)))))


_log_sigmoid.defvjp(lambda x: (_log_sigmoid(x), x), lambda x, g: (lax.mul(g, lax.logistic(lax.neg(x))),))


@_loss(
    Promote.DEFAULT, namespaces=("_private",), name="_binary_cross_entropy_with_logits",
    node="BinaryCrossEntropyWithLogitsBackward0",
)  # fmt: skip
def _with_logits(input, other, weight: Array | None = None, pos_weight: Array | None = None, reduction="mean"):
    """The cross entropy of logits with targets, weighted and reduced."""
    if kind(input) != "f":
        raise NotImplementedError(f"\"log_sigmoid_cpu\" not implemented for '{type_name_of(input)}'")
    one = constant(input, 1)
    log_sigmoid = _log_sigmoid(input)
    if pos_weight is not None:
        log_sigmoid = lax.mul(log_sigmoid, lax.add(lax.mul(lax.sub(pos_weight, one), other), one))
    losses = lax.sub(lax.mul(lax.sub(one, other), input), log_sigmoid)
    return reduce_losses(_weigh(losses, weight), reduction)


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
    if target._spec.dtype.kind in "biu" and input._spec.dtype.kind not in "biu":
        raise RuntimeError(f"result type Float can't be cast to the desired output type {type_name_of(target._spec)}")
    return _with_logits(input, target, weight, pos_weight, reduction)


# Divergences and likelihoods.


def _divergence_node(reduction: str, log_target: bool) -> str:
    return by_reduction("MulBackward0" if log_target else "SubBackward0")(reduction)


def _times_own_log(x: Any) -> Any:
    """``x log x``, zero where ``x`` is."""
    zero = constant(x, 0)
    none = lax.eq(x, zero)
    safe = choose(none, constant(x, 1), x)
    return choose(none, choose(none, zero, x), lax.mul(x, lax.log(safe)))


@_loss(Promote.DEFAULT, namespaces=("_private",), name="_kl_div", node=_divergence_node)
def _kl_div(input, other, reduction, log_target):
    """The divergence of a distribution from one given by its logarithms."""
    if kind(input) != "f":
        raise RuntimeError(f"kl_div: {'Complex' if kind(input) == 'c' else 'Integral'} inputs not supported.")
    if log_target:
        losses = lax.mul(lax.exp(other), lax.sub(other, input))
    else:
        losses = lax.sub(_times_own_log(other), lax.mul(other, input))
    return reduce_losses(losses, reduction)


@composite(namespaces=_F)
def kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False):
    """``target * (log(target) - input)``: Kullback and Leibler's divergence, ``input`` being log-probabilities.

    With ``log_target`` the target is given as logarithms too. ``reduction`` may also be ``"batchmean"``: the sum over the
    size of the first dimension, which is the divergence's definition.
    """
    if size_average is None and reduce is None and reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size.'batchmean' divides only "
            "by the batch size, and aligns with the KL div math definition.'mean' will be changed to behave the same as "
            "'batchmean' in the next major release.",
            stacklevel=2,
        )
    check_tensors("kl_div", input=input, target=target)
    chosen = chosen_reduction(size_average, reduce, "sum" if reduction == "batchmean" else reduction)
    broadcast_shapes([target._spec.shape, input._spec.shape])
    loss = _kl_div(input, target, chosen, bool(log_target))
    if reduction == "batchmean" and input.dim():
        return loss / input._spec.shape[0]
    return loss


def _poisson_node(reduction: str, full: bool, **_: Any) -> str:
    return by_reduction("AddBackward0" if full else "SubBackward0")(reduction)


@_loss(Promote.INT_TO_FLOAT, namespaces=("_private",), name="_poisson_nll", node=_poisson_node)
def _poisson_nll(input, other, log_input, full, eps, reduction):
    """The negative log-likelihood of counts under Poisson's distribution."""
    if log_input:
        losses = lax.sub(lax.exp(input), lax.mul(other, input))
    else:
        losses = lax.sub(input, lax.mul(other, lax.log(lax.add(input, constant(input, eps)))))
    if full:
        one = constant(other, 1)
        large = lax.gt(other, one)
        t = choose(large, other, one)
        half_log = lax.mul(constant(t, 0.5), lax.log(lax.mul(constant(t, 2 * math.pi), t)))
        stirling = lax.add(lax.sub(lax.mul(t, lax.log(t)), t), half_log)
        losses = lax.add(losses, choose(large, stirling, constant(stirling, 0)))
    return reduce_losses(losses, reduction)


@composite(namespaces=_F)
def poisson_nll_loss(
    input, target, log_input=True, full=False, size_average=None, eps=1e-8, reduce=None, reduction="mean"
):
    """``exp(input) - target * input``, or with ``log_input=False`` ``input - target * log(input + eps)``.

    ``full`` adds Stirling's approximation of ``log(target!)`` where the target exceeds one.
    """
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not a valid value for reduction")
    check_tensors("poisson_nll_loss", input=input, target=target)
    broadcast_shapes([target._spec.shape, input._spec.shape])
    if input._spec.dtype == np.bool_:
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, use the "
            "`~` or `logical_not()` operator instead."
        )
    return _poisson_nll(input, target, bool(log_input), bool(full), float(eps), reduction)


def _gaussian_node(reduction: str, full: bool, **_: Any) -> str:
    return by_reduction("AddBackward0" if full else "MulBackward0")(reduction)


@_loss(Promote.DEFAULT, namespaces=("_private",), name="_gaussian_nll", node=_gaussian_node)
def _gaussian_nll(input, other, var: Array, full, eps, reduction):
    """The negative log-likelihood under a normal distribution."""
    floor = constant(var, eps)
    # The gradient passes where the variance is cut off, too.
    var = lax.add(var, lax.stop_gradient(lax.sub(lax.max(var, floor), var)))
    d = lax.sub(input, other)
    losses = lax.mul(constant(d, 0.5), lax.add(lax.log(var), lax.div(lax.mul(d, d), var)))
    if full:
        losses = lax.add(losses, constant(losses, 0.5 * math.log(2 * math.pi)))
    return reduce_losses(losses, reduction)


@composite(namespaces=_F)
def gaussian_nll_loss(input, target, var, full=False, eps=1e-6, reduction="mean"):
    """``(log(var) + (input - target) ** 2 / var) / 2``, the variance being no less than ``eps``.

    ``var`` is a number, a tensor of the input's size, or one with the last dimension missing or of size one. ``full`` adds
    ``log(2 pi) / 2``. ValueError for a negative variance or one of the wrong size.
    """
    if isinstance(var, float):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = from_array(np.full(input._spec.shape, var, input._spec.dtype), input._storage.device)
    elif (host_array(var) < 0).any():
        raise ValueError("var has negative entry/entries")
    have, want = var._spec.shape, input._spec.shape
    if have != want:
        if want[:-1] == have:
            var = var.unsqueeze(-1)
        elif len(have) != len(want) or sum(y for x, y in zip(want, have, strict=True) if x != y) != 1:
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not valid")
    return _gaussian_nll(input, target, var, bool(full), float(eps), reduction)
