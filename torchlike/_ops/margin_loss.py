"""Losses with margins: rankings, embeddings, triplets and classes that should stand apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from jax import lax

from torchlike._ops.bodies import choose, constant, convert, kind, type_name_of, widened
from torchlike._ops.convolution import listed
from torchlike._ops.distance import pairwise_distance
from torchlike._ops.loss import legacy_reduction, looked_at, reduce_losses
from torchlike._ops.op import REGISTRY, Array, Promote, broadcast_shapes, composite, op
from torchlike._ops.regression_loss import apply_reduction, by_reduction, check_tensors, chosen_reduction
from torchlike._ops.regression_loss import reduced_pointwise as _loss
from torchlike._tensor.dtypes import get_default_dtype

_F = ("nn.functional",)


def _rest(x: Any) -> Any:
    """``max(x, 0)``, its gradient one at zero."""
    return choose(lax.ge(x, constant(x, 0)), x, constant(x, 0))


def _check_mean(x: Any, reduction: str) -> None:
    if kind(x) in "iu" and reduction == "mean":
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. Got: "
            f"{type_name_of(x)}"
        )


def _is(target: Any, number: int) -> Any:
    """Where the target is 1, or -1; a type without a sign has no -1."""
    target = convert(target, np.int64) if kind(target) == "u" else target
    return lax.eq(target, constant(target, number))


# Pairs.


@_loss(Promote.DEFAULT, namespaces=("_private",), name="_hinge_embedding", node=by_reduction("AddBackward0"))
def _hinge_embedding(input, other, margin, reduction):
    """The input where the target is 1, what is missing to the margin where it is -1."""
    if kind(input) == "b":
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator "
            "instead."
        )
    if kind(input) == "c":
        raise NotImplementedError("clamp is not supported for complex types")
    _check_mean(input, reduction)
    zero = constant(input, 0)
    missing = _rest(lax.sub(constant(input, margin), input))
    apart = choose(_is(other, 1), zero, missing)
    near = choose(_is(other, -1), zero, input)
    return reduce_losses(lax.add(apart, near), reduction)


@composite(namespaces=_F)
def hinge_embedding_loss(input, target, margin=1.0, size_average=None, reduce=None, reduction="mean"):
    """The distance ``input`` where ``target`` is 1, ``max(0, margin - input)`` where it is -1."""
    reduction = chosen_reduction(size_average, reduce, reduction)
    check_tensors("hinge_embedding_loss", input=input, target=target)
    broadcast_shapes([target._spec.shape, input._spec.shape])
    return _hinge_embedding(input, target, float(margin), reduction)


@_loss(Promote.DEFAULT, namespaces=("_private",), name="_margin_ranking", node=by_reduction("ClampMinBackward0"))
def _margin_ranking(input, other, target: Array, margin, reduction):
    """What is missing to the margin between a higher and a lower score."""
    gap = lax.mul(lax.neg(target), lax.sub(input, other))
    if kind(gap) in "iu" and isinstance(margin, float):
        gap = convert(gap, get_default_dtype().np)
    _check_mean(gap, reduction)
    return reduce_losses(_rest(lax.add(gap, constant(gap, margin))), reduction)


@composite(namespaces=_F)
def margin_ranking_loss(input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean"):
    """``max(0, -target * (input1 - input2) + margin)``: the first should be larger where ``target`` is 1, else smaller."""
    reduction = chosen_reduction(size_average, reduce, reduction)
    if not input1.dim() == input2.dim() == target.dim():
        raise RuntimeError(
            f"margin_ranking_loss : All input tensors should have same dimension but got sizes: input1: {input1.size()}, "
            f"input2: {input2.size()}, target: {target.size()} "
        )
    return _margin_ranking(input1, input2, target, margin, reduction)


@_loss(Promote.DEFAULT, namespaces=("_private",), name="_soft_margin", node="SoftMarginLossBackward0")
def _soft_margin(input, other, reduction):
    """``log(1 + exp(-target * input))``."""
    return reduce_losses(lax.log1p(lax.exp(lax.mul(lax.neg(other), input))), reduction)


@composite(namespaces=_F)
def soft_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """``log(1 + exp(-target * input))`` with targets 1 and -1."""
    reduction = chosen_reduction(size_average, reduce, reduction)
    check_tensors("soft_margin_loss", input=input, target=target)
    if target._spec.dtype == np.bool_:
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use the `~` or "
            "`logical_not()` operator instead."
        )
    if input._spec.dtype.kind in "iu" and target._spec.dtype.kind in "iu":
        raise RuntimeError(f"result type Float can't be cast to the desired output type {type_name_of(input._spec)}")
    return _soft_margin(input, target, reduction)


@op(namespaces=("_private",), name="_cosine_embedding", node=by_reduction("AddBackward0"))
def _cosine_embedding(input1: Array, input2: Array, target: Array, margin, reduction):
    """How far the cosine is from one, or above the margin."""
    a, b = widened(input1), widened(input2)
    axis = target.ndim
    work = get_default_dtype().np if kind(a) in "iu" else a.dtype
    dtype = work if kind(a) in "iu" else input1.dtype
    tiny = np.asarray(1e-12, work)
    total = lambda x, y: lax.reduce_sum(convert(lax.mul(x, y), work), (axis,))  # noqa: E731
    lengths = lax.sqrt(lax.mul(lax.add(total(a, a), tiny), lax.add(total(b, b), tiny)))
    cosine = lax.div(total(a, b), lengths)
    zero = constant(cosine, 0)
    near = choose(_is(target, 1), lax.sub(constant(cosine, 1), cosine), zero)
    apart = choose(_is(target, -1), _rest(lax.sub(cosine, constant(cosine, margin))), zero)
    return convert(reduce_losses(lax.add(near, apart), reduction), dtype)


@composite(namespaces=_F)
def cosine_embedding_loss(input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean"):
    """``1 - cos(input1, input2)`` where ``target`` is 1, ``max(0, cos(input1, input2) - margin)`` where it is -1.

    Inputs are (N, D) and the target (N), or (D) and a single number.
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    n = target.dim()
    if n not in (0, 1):
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if input1.dim() != n + 1:
        raise RuntimeError(
            f"{n}D target tensor expects {n + 1}D input tensors, but found inputs with sizes {listed(input1._spec.shape)} and "
            f"{listed(input2._spec.shape)}."
        )
    if input1.size() != input2.size():
        shape = broadcast_shapes([input1._spec.shape, input2._spec.shape])
        input1, input2 = input1.expand(shape), input2.expand(shape)
    return _cosine_embedding(input1, input2, target, margin, reduction)


# Triplets.


@composite(namespaces=_F)
def triplet_margin_loss(
    anchor, positive, negative, margin=1.0, p=2, eps=1e-6, swap=False, size_average=None, reduce=None, reduction="mean"
):
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` with ``d`` the distance in the p-norm.

    ``swap`` takes the distance of positive and negative where that is smaller. See Balntas et al., BMVC 2016.
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    ranks = [t.dim() for t in (anchor, positive, negative)]
    if len(set(ranks)) != 1:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: anchor "
            f"{ranks[0]}D, positive {ranks[1]}D, and negative {ranks[2]}D inputs"
        )
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = REGISTRY["torch", "minimum"](far, pairwise_distance(positive, negative, p, eps))
    return apply_reduction((margin + near - far).clamp_min(0), reduction)


@composite(namespaces=_F)
def triplet_margin_with_distance_loss(
    anchor, positive, negative, *, distance_function=None, margin=1.0, swap=False, reduction="mean"
):
    """:func:`triplet_margin_loss` with a distance of one's own, a function of two tensors."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    ranks = [t.ndim for t in (anchor, positive, negative)]
    if len(set(ranks)) != 1:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: anchor "
            f"{ranks[0]}D, positive {ranks[1]}D, and negative {ranks[2]}D inputs"
        )
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = REGISTRY["torch", "minimum"](far, distance(positive, negative))
    return apply_reduction((margin + near - far).clamp_min(0), reduction)


# Classes.


def _above(x: Any) -> Any:
    """``max(x, 0)``, its gradient zero at zero."""
    return choose(lax.gt(x, constant(x, 0)), x, constant(x, 0))


def _pick(x: Any, target: Any) -> Any:
    """``x[n, target[n]]`` for a matrix of scores."""
    numbers = lax.GatherDimensionNumbers((), (1,), (1,), operand_batching_dims=(0,), start_indices_batching_dims=(0,))
    return lax.gather(x, lax.expand_dims(target, (target.ndim,)), numbers, (1, 1), mode="clip")


def _check_labels(input, target, *_, **__):
    labels, shape = looked_at(target), input._spec.shape
    if labels is None or not labels.size or len(shape) not in (1, 2) or labels.dtype != np.int64:
        return
    classes = shape[-1]
    if (labels < 0).any() or (labels >= classes).any():
        raise RuntimeError("target out of range")


def _check_multi_margin_call(input, target, p, margin, weight, reduction):
    shape = input._spec.shape
    fits = target._spec.ndim <= 1 and target._spec.numel == (shape[0] if len(shape) == 2 else 1)
    if fits and input._spec.numel and (weight is None or weight._spec.numel == shape[-1]):
        _check_labels(input, target)


@op(
    namespaces=("_private",), name="_multi_margin", node="MultiMarginLossBackward0", check=_check_multi_margin_call,
)  # fmt: skip
def _multi_margin(input, target: Array, p, margin, weight: Array | None, reduction):
    """What each class's score exceeds the right one's less the margin by, to a power."""
    n, classes = (input.shape[0], input.shape[1]) if input.ndim == 2 else (1, input.shape[0] if input.ndim else 1)
    if not ((input.ndim == 2 and input.shape[1]) or (input.ndim == 1 and input.shape[0]) or input.ndim == 0):
        raise RuntimeError(
            f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {listed(input.shape)}"
        )
    if target.size != n or target.ndim > 1:
        raise RuntimeError(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples (batch size). "
            f"Expected target size [{n}], but got {listed(target.shape)}. Input has shape {listed(input.shape)}."
        )
    if weight is not None and weight.size != classes:
        raise RuntimeError(f"inconsistent weight size, expected {classes} but got {listed(weight.shape)}")
    if target.dtype != np.int64:
        raise RuntimeError(f"expected scalar type Long but found {type_name_of(target)}")
    if kind(input) != "f":
        raise NotImplementedError(f"\"multi_margin_loss\" not implemented for '{type_name_of(input)}'")
    x, labels = lax.reshape(widened(input), (n, classes)), lax.reshape(target, (n,))
    right = _pick(x, lax.reshape(labels, (n, 1)))
    z = lax.add(lax.sub(x, lax.broadcast_in_dim(right, x.shape, (0, 1))), constant(x, margin))
    z = _above(z)
    z = lax.mul(z, z) if p == 2 else z
    if weight is not None:
        numbers = lax.GatherDimensionNumbers((), (0,), (0,))
        each = lax.gather(widened(weight), lax.reshape(labels, (n, 1)), numbers, (1,), mode="clip")
        z = lax.mul(z, lax.broadcast_in_dim(each, z.shape, (0,)))
    own = lax.eq(lax.broadcasted_iota(labels.dtype, x.shape, 1), lax.broadcast_in_dim(labels, x.shape, (0,)))
    losses = lax.div(lax.reduce_sum(choose(own, constant(z, 0), z), (1,)), constant(z, classes))
    if reduction == "none" and target.ndim == 0:
        losses = lax.reshape(losses, ())
    return convert(reduce_losses(losses, reduction), input.dtype)


@composite(namespaces=_F)
def multi_margin_loss(input, target, p=1, margin=1.0, weight=None, size_average=None, reduce=None, reduction="mean"):
    """``sum_j max(0, margin - x[y] + x[j]) ** p / C`` over the classes ``j`` that are not the label ``y``.

    Scores are (N, C) or (C), labels (N) or a single one; ``p`` is 1 or 2; ``weight`` (C) scales by the label's class.
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.dim() != 1:
        raise ValueError("weight must be one-dimensional")
    return _multi_margin(input, target, p, float(margin), weight, reduction)


def _check_multilabel_call(input, target, reduction):
    labels, shape = looked_at(target), input._spec.shape
    if labels is None or not labels.size or shape != target._spec.shape:
        return
    classes = shape[-1] if shape else 1
    if (labels < -1).any() or (labels >= classes).any():
        raise RuntimeError("argument #2 'target' is out of range")


@op(
    namespaces=("_private",), name="_multilabel_margin", node="MultilabelMarginLossBackward0",
    check=_check_multilabel_call,
)  # fmt: skip
def _multilabel_margin(input, target: Array, reduction):
    """What each other class's score exceeds each right one's less the margin by."""
    if not ((input.ndim == 2 and input.shape[1]) or (input.ndim == 1 and input.shape[0]) or input.ndim == 0):
        raise RuntimeError(
            f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {listed(input.shape)}"
        )
    if input.shape != target.shape:
        raise RuntimeError(f"inconsistent target size: {listed(target.shape)} for input of size: {listed(input.shape)}")
    if kind(input) != "f":
        raise NotImplementedError(
            f"\"multilabel_margin_loss_forward_out_frame\" not implemented for '{type_name_of(input)}'"
        )
    n, classes = input.shape if input.ndim == 2 else (1, input.size)
    x, labels = lax.reshape(widened(input), (n, classes)), lax.reshape(target, (n, classes))
    # Labels count up to the first that is negative.
    ended = convert(lax.lt(labels, constant(labels, 0)), np.int32)
    given = lax.eq(lax.cumsum(ended, 1), np.int32(0))
    cube = (n, classes, classes)
    same = lax.eq(lax.broadcast_in_dim(labels, cube, (0, 1)), lax.broadcasted_iota(labels.dtype, cube, 2))
    named = lax.bitwise_and(same, lax.broadcast_in_dim(given, cube, (0, 1)))
    is_target = lax.reduce_or(named, (1,))
    right = _pick(x, lax.max(labels, constant(labels, 0)))
    z = lax.sub(lax.broadcast_in_dim(x, cube, (0, 2)), lax.broadcast_in_dim(right, cube, (0, 1)))
    z = _above(lax.add(z, constant(z, 1)))
    counts = lax.bitwise_and(
        lax.broadcast_in_dim(given, cube, (0, 1)), lax.bitwise_not(lax.broadcast_in_dim(is_target, cube, (0, 2)))
    )
    losses = lax.div(lax.reduce_sum(choose(counts, z, constant(z, 0)), (1, 2)), constant(z, classes))
    if reduction == "none" and input.ndim < 2:
        losses = lax.reshape(losses, ())
    return convert(reduce_losses(losses, reduction), input.dtype)


@composite(namespaces=_F)
def multilabel_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """``sum max(0, 1 - x[y] + x[j]) / C`` over labels ``y`` and classes ``j`` that are none; (N, C) or (C).

    ``target`` has the labels of each sample, ended by -1.
    """
    return _multilabel_margin(input, target, chosen_reduction(size_average, reduce, reduction))


@composite(namespaces=_F)
def multilabel_soft_margin_loss(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    """The mean over classes of the cross entropy of each with its target, 0 or 1: (..., C)."""
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    log_sigmoid = REGISTRY["nn.functional", "logsigmoid"]
    loss = -(target * log_sigmoid(input) + (1 - target) * log_sigmoid(-input))
    if weight is not None:
        loss = loss * weight
    loss = loss.sum(dim=input.dim() - 1) / input.size(input.dim() - 1)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not valid")
    return apply_reduction(loss, reduction)
