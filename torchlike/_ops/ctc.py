"""Connectionist temporal classification: the likelihood of a sequence of labels, whenever each of them comes.

See Graves et al., "Connectionist Temporal Classification", ICML 2006.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import numpy as np
from jax import lax

from torchlike._engine.value import concrete
from torchlike._ops.bodies import INT64, choose, constant, kind, type_name_of
from torchlike._ops.loss import check_reduction
from torchlike._ops.op import REGISTRY, Array, composite, op
from torchlike._tensor.tensor import Tensor, host_array, wrap

_LEAST = -math.inf


def _log_sum(a: Any, b: Any, c: Any) -> Any:
    """``log(exp(a) + exp(b) + exp(c))``, any of them minus infinity."""
    top = lax.max(lax.max(a, b), c)
    safe = choose(lax.eq(top, constant(top, _LEAST)), constant(top, 0), top)
    total = lax.add(lax.add(lax.exp(lax.sub(a, safe)), lax.exp(lax.sub(b, safe))), lax.exp(lax.sub(c, safe)))
    empty = lax.eq(total, constant(total, 0))
    return choose(empty, constant(total, _LEAST), lax.add(lax.log(choose(empty, constant(total, 1), total)), safe))


def _shifted(x: Any, by: int, fill: float) -> Any:
    """The columns of a matrix moved to the right."""
    return lax.pad(x, constant(x, fill), [(0, 0, 0), (by, -by, 0)])


def _negative_log_likelihood(log_probs, extended, skips, input_lengths, target_lengths):
    """Over (T, N, C) and labels with blanks between them (N, S): the recursion over time, for all states at once."""
    count, batch, _ = log_probs.shape
    states = extended.shape[1]
    numbers = lax.GatherDimensionNumbers((0,), (2,), (2,), operand_batching_dims=(1,), start_indices_batching_dims=(0,))
    emitted = lax.gather(log_probs, lax.expand_dims(extended, (2,)), numbers, (count, 1, 1), mode="promise_in_bounds")
    column = lax.broadcasted_iota(INT64, (batch, states), 1)
    least = lax.full((batch, states), log_probs.dtype.type(_LEAST))
    start = lax.lt(column, lax.broadcast_in_dim(lax.select(
        lax.gt(target_lengths, lax.full_like(target_lengths, 0)), lax.full_like(target_lengths, 2),
        lax.full_like(target_lengths, 1),
    ), (batch, states), (0,)))  # fmt: skip
    at = lambda t: lax.squeeze(lax.slice_in_dim(emitted, t, t + 1), (0,))  # noqa: E731

    def step(alpha, now):
        emission, t = now
        two_back = choose(skips, _shifted(alpha, 2, _LEAST), constant(alpha, _LEAST))
        new = lax.add(_log_sum(alpha, _shifted(alpha, 1, _LEAST), two_back), emission)
        going = lax.lt(lax.broadcast(t, (batch,)), input_lengths)
        return lax.select(lax.broadcast_in_dim(going, new.shape, (0,)), new, alpha), None

    if count:
        alpha = choose(start, at(0), constant(least, _LEAST))
        times = np.arange(1, count)
        alpha, _ = lax.scan(step, alpha, (lax.slice_in_dim(emitted, 1, count), times))
    else:
        alpha = least
    # The last label or the blank after it ends the sequence; with no time at all only no label has been said.
    ends = lax.mul(target_lengths, np.int64(2))
    final = lax.broadcast_in_dim(ends, alpha.shape, (0,))
    last = lax.bitwise_or(lax.eq(column, final), lax.eq(column, lax.sub(final, np.int64(1))))
    shown = choose(last, alpha, constant(alpha, _LEAST))
    top = lax.reduce_max(shown, (1,))
    safe = choose(lax.eq(top, constant(top, _LEAST)), constant(top, 0), top)
    total = lax.reduce_sum(lax.exp(lax.sub(shown, lax.broadcast_in_dim(safe, shown.shape, (0,)))), (1,))
    empty = lax.eq(total, constant(total, 0))
    found = choose(
        empty, constant(total, math.inf), lax.neg(lax.add(lax.log(choose(empty, constant(total, 1), total)), safe))
    )
    none = lax.eq(input_lengths, lax.full_like(input_lengths, 0))
    silent = lax.eq(target_lengths, lax.full_like(target_lengths, 0))
    nothing = choose(silent, constant(found, 0), constant(found, math.inf)) if batch else found
    return choose(none, nothing, found)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _ctc(log_probs, extended, skips, input_lengths, target_lengths, zero_infinity):
    return _negative_log_likelihood(log_probs, extended, skips, input_lengths, target_lengths)


def _ctc_forward(log_probs, *rest):
    *labels, _ = rest
    out = _negative_log_likelihood(log_probs, *labels)
    return out, (log_probs, *labels, out)


def _ctc_backward(zero_infinity, saved, g):
    """The gradient is taken as if through a softmax: ``exp(log_probs)`` less each class's share of the likelihood."""
    log_probs, *labels, out = saved
    input_lengths = labels[2]
    _, vjp = jax.vjp(lambda x: _negative_log_likelihood(x, *labels), log_probs)
    count, batch, _ = log_probs.shape
    if zero_infinity:
        lost = lax.eq(out, lax.full_like(out, math.inf))
        g = lax.select(lost, lax.full_like(g, 0), g)
    (shares,) = vjp(g)
    times = lax.broadcasted_iota(INT64, (count, batch), 0)
    going = lax.lt(times, lax.broadcast_in_dim(input_lengths, (count, batch), (1,)))
    scaled = lax.mul(lax.exp(log_probs), lax.broadcast_in_dim(g, log_probs.shape, (1,)))
    whole = lax.add(scaled, shares)
    return (
        lax.select(lax.broadcast_in_dim(going, whole.shape, (0, 1)), whole, lax.full_like(whole, 0)),
        None,
        None,
        None,
        None,
    )


_ctc.defvjp(_ctc_forward, _ctc_backward)


@op(namespaces=("_private",), name="_ctc_loss", node="CtcLossBackward0")
def _ctc_loss(
    log_probs: Array, extended: Array, skips: Array, input_lengths: Array, target_lengths: Array, zero_infinity
):
    """The negative log-likelihood of each sequence of labels."""
    return _ctc(log_probs, extended, skips, input_lengths, target_lengths, zero_infinity)


# Arguments.


def _lengths(given: Any, name: str) -> np.ndarray:
    if isinstance(given, Tensor):
        array = host_array(given)
        if array.dtype.kind not in "iu":
            raise RuntimeError(f"{name} must be integral")
        return array.astype(np.int64)
    return np.array([int(n) for n in given], np.int64)


def _check(log_probs: Tensor, targets: np.ndarray, inputs: np.ndarray, outputs: np.ndarray, blank: int) -> None:
    count, batch, classes = log_probs._spec.shape
    if not 0 <= blank < classes:
        raise RuntimeError("blank must be in label range")
    if inputs.size != batch:
        raise RuntimeError("input_lengths must be of size batch_size")
    if outputs.size != batch:
        raise RuntimeError("target_lengths must be of size batch_size")
    for _b, n in enumerate(outputs):
        if n < 0:
            raise RuntimeError(
                f"Expected target_lengths to have value at least 0, but got value {n} (while checking arguments for ctc_loss_cpu)"
            )
    for _b, n in enumerate(inputs):
        if n < 0:
            raise RuntimeError(
                f"Expected input_lengths to have value at least 0, but got value {n} (while checking arguments for ctc_loss_cpu)"
            )
        if n > count:
            raise RuntimeError(
                f"Expected input_lengths to have value at most {count}, but got value {n} (while checking arguments for "
                "ctc_loss_cpu)"
            )


def _extended(targets: np.ndarray, lengths: np.ndarray, blank: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels with blanks around them (N, 2 * longest + 1), and where the blank before a state may be skipped."""
    longest = int(lengths.max()) if lengths.size else 0
    if targets.ndim == 1:
        if targets.size != lengths.sum():
            raise (
                RuntimeError(
                    f"Expected tensor to have size at least {int(lengths.sum())} at dimension 0, but got size {targets.size} for "
                    "argument #2 'targets' (while checking arguments for ctc_loss_cpu)"
                )
                if targets.size < lengths.sum()
                else RuntimeError(
                    f"Expected tensor to have size {int(lengths.sum())} at dimension 0, but got size {targets.size} for argument "
                    "#2 'targets' (while checking arguments for ctc_loss_cpu)"
                )
            )
        padded = np.full((batch, longest), blank, np.int64)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        for b in range(batch):
            padded[b, : lengths[b]] = targets[starts[b] : starts[b + 1]]
    elif targets.ndim == 2:
        if targets.shape[0] != batch:
            raise RuntimeError(
                f"Expected tensor to have size {batch} at dimension 0, but got size {targets.shape[0]} for argument #2 "
                "'targets' (while checking arguments for ctc_loss_cpu)"
            )
        if targets.shape[1] < longest:
            raise RuntimeError(
                f"Expected tensor to have size at least {longest} at dimension 1, but got size {targets.shape[1]} for argument "
                "#2 'targets' (while checking arguments for ctc_loss_cpu)"
            )
        padded = np.where(np.arange(longest) < lengths[:, None], targets[:, :longest], blank)
    else:
        raise RuntimeError("targets must be 1 or 2 dimensional")
    extended = np.full((batch, 2 * longest + 1), blank, np.int64)
    extended[:, 1::2] = padded
    skips = np.zeros(extended.shape, bool)
    skips[:, 2:] = (extended[:, 2:] != blank) & (extended[:, 2:] != extended[:, :-2])
    return extended, skips


def _array(array: np.ndarray) -> Tensor:
    return wrap(concrete(np.ascontiguousarray(array)))


@composite(namespaces=("nn.functional",))
def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean", zero_infinity=False):
    """The negative log-likelihood of label sequences under (T, N, C) or (T, C) log-probabilities of each time's label.

    ``targets`` are (N, S) or all labels in a row; ``input_lengths`` and ``target_lengths`` say how much of each sequence
    counts. ``"mean"`` divides by the target lengths first. ``zero_infinity`` makes impossible sequences count nothing.
    """
    reduction = check_reduction(reduction)
    if kind(log_probs._spec) != "f" or log_probs._spec.dtype.itemsize < 4:
        raise NotImplementedError(f"\"ctc_loss_cpu\" not implemented for '{type_name_of(log_probs._spec)}'")
    if targets._spec.dtype.kind not in "iu":
        raise RuntimeError("targets must be integral")
    inputs, outputs = _lengths(input_lengths, "input_lengths"), _lengths(target_lengths, "target_lengths")
    inputs, outputs = inputs.reshape(-1), outputs.reshape(-1)
    labels = host_array(targets).astype(np.int64)
    is_batched = log_probs.dim() == 3
    if not is_batched:
        log_probs = log_probs.unsqueeze(1)
        if labels.ndim == 1:
            labels = labels[None]
    _check(log_probs, labels, inputs, outputs, blank)
    batch = log_probs._spec.shape[1]
    extended, skips = _extended(labels, outputs, blank, batch)
    loss = _ctc_loss(log_probs, _array(extended), _array(skips), _array(inputs), _array(outputs), bool(zero_infinity))
    if zero_infinity:
        zero = _array(np.zeros((), log_probs._spec.dtype))
        loss = REGISTRY["torch", "where"](loss.detach() == math.inf, zero, loss)
    if reduction == "mean":
        return (loss / _array(np.maximum(outputs, 1).astype(log_probs._spec.dtype))).mean()
    if reduction == "sum":
        return loss.sum()
    return loss if is_batched else loss.squeeze(0)
