"""What is left of ``torch.nn.functional``: bilinear maps, random rectifiers, Gumbel's softmax, fused heads of classifiers."""

from __future__ import annotations

import math
import warnings

import numpy as np
from jax import lax

from torchlike._engine import draws
from torchlike._engine.value import concrete
from torchlike._ops.bodies import choose, constant, convert, widened
from torchlike._ops.loss import cross_entropy
from torchlike._ops.matmul import linear
from torchlike._ops.op import Array, composite, op
from torchlike._tensor.tensor import Tensor, host_array, wrap

_F = ("nn.functional",)
_BOTH = ("torch", "nn.functional")


def _bilinear_node(has_bias: bool) -> str:
    return "AddBackward0" if has_bias else "ViewBackward0"


@op(namespaces=("_private",), name="_bilinear", node=_bilinear_node)
def _bilinear(input1: Array, input2: Array, weight: Array, bias: Array | None, has_bias):
    """``x1 @ A_o @ x2`` for each output ``o``."""
    if input1.ndim != input2.ndim:
        raise RuntimeError(f"bilinear(): input dimensions do not match: got {input1.ndim} and {input2.ndim}")
    for axis in range(input1.ndim - 1):
        if input1.shape[axis] != input2.shape[axis]:
            raise RuntimeError(
                f"bilinear(): input batch dimensions do not match at dim {axis}: got {input1.shape[axis]} and "
                f"{input2.shape[axis]}"
            )
    for x, at in ((input1, 1), (input2, 2)):
        if x.shape[-1] != weight.shape[at]:
            raise RuntimeError(
                f"bilinear(): input{at} size does not match weight size: got {x.shape[-1]} but expected {weight.shape[at]}"
            )
    if bias is not None and bias.shape[0] != weight.shape[0]:
        raise RuntimeError(
            f"bilinear(): bias size does not match weight size: got {bias.shape[0]} but expected {weight.shape[0]}"
        )
    lead = input1.shape[:-1]
    rows = math.prod(lead)
    a, b = (lax.reshape(widened(x), (rows, x.shape[-1])) for x in (input1, input2))
    half = lax.dot_general(a, widened(weight), (((1,), (1,)), ((), ())))
    out = lax.dot_general(half, b, (((2,), (1,)), ((0,), (0,))))
    if bias is not None:
        out = lax.add(out, lax.broadcast_in_dim(widened(bias), out.shape, (1,)))
    return convert(lax.reshape(out, (*lead, weight.shape[0])), input1.dtype)


@composite(namespaces=_BOTH)
def bilinear(input1, input2, weight, bias=None):
    """``x1 @ weight[o] @ x2 + bias[o]`` for (..., I) and (..., J) and a weight (O, I, J): (..., O)."""
    return _bilinear(input1, input2, weight, bias, bias is not None)


# Rectifiers with a random slope (Xu et al., arXiv:1505.00853).


@op(namespaces=("_private",), name="_rrelu_slopes", node="RreluWithNoiseBackward0")
def _rrelu_slopes(input, slopes: Array):
    """The input times a slope for each element."""
    return lax.mul(input, lax.stop_gradient(slopes))


@op(namespaces=("_private",), name="_rrelu_mean", node="RreluWithNoiseBackward0")
def _rrelu_mean(input, slope):
    """The input, times the slope where it is not positive."""
    return choose(lax.gt(input, constant(input, 0)), input, lax.mul(input, constant(input, slope)))


def _rrelu(input: Tensor, lower: float, upper: float, training: bool) -> Tensor:
    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    if not training:
        return _rrelu_mean(input, (lower + upper) / 2)
    from torchlike.random import cpu_stream

    # Numbers are drawn only for elements that are not positive, so these have to be known.
    x = host_array(input)
    low = x <= 0
    slopes = np.ones(x.shape, x.dtype)
    slopes[low] = draws.uniform(cpu_stream(None), (int(low.sum()),), np.dtype(np.float64), lower, upper).astype(x.dtype)
    return _rrelu_slopes(input, wrap(concrete(slopes), input._storage.device))


@composite(namespaces=_F)
def rrelu(input, lower=1.0 / 8, upper=1.0 / 3, training=False, inplace=False):
    """``x`` where positive, ``slope * x`` elsewhere, the slope drawn from [lower, upper) in training, else their mean."""
    result = _rrelu(input, float(lower), float(upper), training)
    return input._become(result) if inplace else result


@composite(namespaces=("torch",), name="rrelu")
def torch_rrelu(input, lower=1.0 / 8, upper=1.0 / 3, training=False, generator=None):
    """``torch.nn.functional.rrelu``."""
    return _rrelu(input, float(lower), float(upper), training)


@composite(namespaces=_BOTH)
def rrelu_(input, lower=1.0 / 8, upper=1.0 / 3, training=False):
    """In-place form of :func:`rrelu`."""
    return input._become(_rrelu(input, float(lower), float(upper), training))


# Choices that can be differentiated.


@composite(namespaces=_F)
def gumbel_softmax(logits, tau=1, hard=False, eps=1e-10, dim=-1):
    """A sample of a relaxed categorical distribution (Jang et al., arXiv:1611.01144), ``tau`` its temperature.

    With ``hard`` the sample is one-hot and only the gradient is that of the relaxation. ``eps`` has no effect.
    """
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=2)
    from torchlike.random import cpu_stream

    drawn = draws.exponential(cpu_stream(None), logits._spec.shape, logits._spec.dtype)
    noise = -np.log(drawn)
    noise = wrap(concrete(noise.astype(logits._spec.dtype)), logits._storage.device)
    soft = ((logits + noise) / tau).softmax(dim)
    if not hard:
        return soft
    return _one_at_the_top(soft.detach(), dim) - soft.detach() + soft


@op(namespaces=("_private",), name="_one_at_the_top", nondiff=True)
def _one_at_the_top(input, dim):
    """One where the maximum along a dimension is, zero elsewhere."""
    if not input.ndim:
        return lax.full_like(input, 1)
    axis = dim % input.ndim
    top = lax.argmax(input, axis, np.int64)
    every = tuple(d for d in range(input.ndim) if d != axis)
    place = lax.broadcasted_iota(np.int64, input.shape, axis)
    return convert(lax.eq(place, lax.broadcast_in_dim(top, input.shape, every)), input.dtype)


# Convolution with time first.


@op(namespaces=_BOTH, node="ConvTbcBackward0")
def conv_tbc(input, weight: Array, bias: Array, pad=0):
    """The convolution of (T, B, C) with kernels (K, C, O) along time, plus a bias (O): (T', B, O)."""
    if input.ndim != 3:
        raise RuntimeError("Input must have 3 dims: time, batch, in_channel")
    if weight.ndim != 3:
        raise RuntimeError("Weight tensor must have 3 dims: kernel_width, in_channels, out_channels.")
    if bias.ndim != 1:
        raise RuntimeError("Bias must be 1-D")
    if input.shape[2] != weight.shape[1]:
        raise RuntimeError("Input dim 2 (input channels) is not == dim 1 in the weight tensor")
    if weight.shape[2] != bias.shape[0]:
        raise RuntimeError("Bias size must equal dim 2 in the weight tensor (output channels).")
    out = lax.conv_general_dilated(
        widened(input), widened(weight), (1,), [(pad, pad)], dimension_numbers=("HNC", "HIO", "HNC")
    )
    return convert(lax.add(out, lax.broadcast_in_dim(widened(bias), out.shape, (2,))), input.dtype)


# A linear layer and its loss.


@composite(namespaces=_F)
def linear_cross_entropy(
    input, linear_weight, target, *, linear_bias=None, weight=None, reduction="mean", ignore_index=None,
    label_smoothing=0.0, options=None,
):  # fmt: skip
    """``cross_entropy(linear(input, linear_weight, linear_bias), target)`` for input (N, I) or (I) and weight (C, ..., I).

    ``options`` are about memory, which XLA sees to, and change nothing here.
    """
    if not 1 <= input.dim() <= 2:
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.dim()}")
    if linear_weight.dim() < 2:
        raise RuntimeError(f"expected linear_weight with dimensionality at least 2, got {linear_weight.dim()}")
    batch, features = tuple(input.shape[:-1]), input.shape[-1]
    if features != linear_weight.shape[-1]:
        raise RuntimeError(
            "expected equal input and linear_weight last dimensions (in_features), got "
            f"{features} and {linear_weight.shape[-1]}, respectively"
        )
    classes, *more = linear_weight.shape[:-1]
    if linear_bias is not None and tuple(linear_bias.shape) != (classes, *more):
        raise RuntimeError(f"expected linear_bias shape {(classes, *more)}, got {tuple(linear_bias.shape)}")
    if more and not batch:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {tuple(linear_weight.shape)} requires batched input, (N, "
            f"{features}), got unbatched input with shape {tuple(input.shape)}"
        )
    shape = (*batch, classes, *more)
    if tuple(target.shape) == shape and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    if more:
        linear_weight = linear_weight.reshape(-1, features)
        linear_bias = None if linear_bias is None else linear_bias.reshape(-1)
    logits = linear(input, linear_weight, linear_bias).reshape(shape)
    return cross_entropy(
        logits, target, weight=weight, reduction=reduction, ignore_index=-100 if ignore_index is None else ignore_index,
        label_smoothing=label_smoothing,
    )  # fmt: skip
