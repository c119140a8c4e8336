"""Functions of ``torch.nn.functional`` under the names and with the arguments that ``torch`` itself has for them.

There they stand as in the C++ library: arguments by position, reductions and modes by number.
"""

from __future__ import annotations

import numpy as np

from torchlike._ops import convolution, ctc, grids, layer_normalization, margin_loss, normalization, regression_loss
from torchlike._ops.activation import _threshold as threshold_op
from torchlike._ops.dropout import mask_of as dropout_mask
from torchlike._ops.op import composite, write_out
from torchlike._tensor.tensor import Tensor, from_array

_TORCH = ("torch",)
_REDUCTIONS = ("none", "mean", "sum")


def _reduction(number: int) -> str:
    if not 0 <= number < len(_REDUCTIONS):
        raise RuntimeError(f"Invalid reduction enum value: {number}")
    return _REDUCTIONS[number]


# Losses.


@composite(namespaces=_TORCH)
def kl_div(input, target, reduction=0, *, log_target=False):
    """``torch.nn.functional.kl_div`` with its reduction by number."""
    return regression_loss._kl_div(input, target, _reduction(reduction), bool(log_target))


@composite(namespaces=_TORCH)
def binary_cross_entropy_with_logits(input, target, weight=None, pos_weight=None, reduction=0):
    """``torch.nn.functional.binary_cross_entropy_with_logits`` with its reduction by number; shapes broadcast."""
    return regression_loss._with_logits(input, target, weight, pos_weight, _reduction(reduction))


@composite(namespaces=_TORCH)
def poisson_nll_loss(input, target, log_input, full, eps, reduction):
    """``torch.nn.functional.poisson_nll_loss`` with its reduction by number."""
    return regression_loss._poisson_nll(input, target, bool(log_input), bool(full), float(eps), _reduction(reduction))


@composite(namespaces=_TORCH)
def hinge_embedding_loss(input, target, margin=1.0, reduction=0):
    """``torch.nn.functional.hinge_embedding_loss`` with its reduction by number."""
    return margin_loss.hinge_embedding_loss(input, target, margin, reduction=_reduction(reduction))


@composite(namespaces=_TORCH)
def margin_ranking_loss(input1, input2, target, margin=0.0, reduction=0):
    """``torch.nn.functional.margin_ranking_loss`` with its reduction by number."""
    return margin_loss._margin_ranking(input1, input2, target, margin, _reduction(reduction))


@composite(namespaces=_TORCH)
def cosine_embedding_loss(input1, input2, target, margin=0.0, reduction=0):
    """``torch.nn.functional.cosine_embedding_loss`` with its reduction by number."""
    return margin_loss.cosine_embedding_loss(input1, input2, target, margin, reduction=_reduction(reduction))


@composite(namespaces=_TORCH)
def triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2.0, eps=1e-6, swap=False, reduction=0):
    """``torch.nn.functional.triplet_margin_loss`` with its reduction by number."""
    return margin_loss.triplet_margin_loss(
        anchor, positive, negative, margin, p, eps, swap, reduction=_reduction(reduction)
    )


@composite(namespaces=_TORCH)
def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction=0, zero_infinity=False):
    """``torch.nn.functional.ctc_loss`` with its reduction by number."""
    return ctc.ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, _reduction(reduction), zero_infinity)


# Layers.


@composite(namespaces=_TORCH, name="convolution")
def convolution_of_any_rank(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups):
    """A convolution, or a transposed one, of as many dimensions as the weight has."""
    n = weight._spec.ndim - 2
    if transposed:
        return convolution._transposed(
            f"conv_transpose{n}d", n, input, weight, bias, stride, padding, output_padding, groups, dilation
        )
    return convolution._convolve(f"conv{n}d", n, input, weight, bias, stride, padding, dilation, groups)


@composite(namespaces=_TORCH)
def threshold(input, threshold, value, *, out=None):
    """``input`` where it exceeds ``threshold``, ``value`` elsewhere."""
    result = threshold_op(input, threshold, value)
    if out is None:
        return result
    write_out(out, result)
    return out


@composite(namespaces=_TORCH)
def threshold_(input, threshold, value):
    """In-place form of :func:`threshold`."""
    return input._become(threshold_op(input, threshold, value))


@composite(namespaces=_TORCH)
def affine_grid_generator(theta, size, align_corners):
    """``torch.nn.functional.affine_grid``."""
    return grids._affine_grid(theta, tuple(int(n) for n in size), bool(align_corners))


@composite(namespaces=_TORCH, alias=("grid_sampler_3d",))
def grid_sampler_2d(input, grid, interpolation_mode, padding_mode, align_corners):
    """``torch.nn.functional.grid_sample`` with its modes by number."""
    return grids.grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


@composite(namespaces=_TORCH)
def native_dropout(input, p, train):
    """Dropout, and the mask of what was kept."""
    if not train:
        return input.clone(), from_array(np.ones(input._spec.shape, bool), input._storage.device)
    mask = dropout_mask(input, input._spec.shape, p)
    return input * mask, mask != 0


def _rest_of(x: Tensor, dims: list[int], eps: float) -> tuple[Tensor, Tensor]:
    """The means and the reciprocals of the standard deviations over ``dims``."""
    x = x.detach()
    x = x.float() if x._spec.dtype.itemsize == 2 else x
    return x.mean(dims, keepdim=True), (x.var(dims, correction=0, keepdim=True) + eps).rsqrt()


@composite(namespaces=_TORCH)
def native_layer_norm(input, normalized_shape, weight, bias, eps):
    """``torch.nn.functional.layer_norm``, and the means and reciprocal deviations."""
    result = layer_normalization.layer_norm(input, normalized_shape, weight, bias, eps)
    return (result, *_rest_of(input, list(range(-len(normalized_shape), 0)), eps))


@composite(namespaces=_TORCH)
def native_group_norm(input, weight, bias, N, C, HxW, group, eps):
    """``torch.nn.functional.group_norm``, and the means and reciprocal deviations (N, groups)."""
    result = normalization._group_norm(input, group, weight, bias, eps)
    mean, inverse = _rest_of(input.reshape(N, group, C // group * HxW), [2], eps)
    return result, mean.squeeze(2), inverse.squeeze(2)


@composite(namespaces=_TORCH)
def native_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps):
    """``torch.batch_norm``, and the batch's means and reciprocal deviations, empty outside of training."""
    result = normalization._normalized_by_batch(input, weight, bias, running_mean, running_var, training, momentum, eps)
    if not training:
        empty = from_array(np.zeros(0, input._spec.dtype))
        return result, empty, empty.clone()
    dims = [d for d in range(input._spec.ndim) if d != 1]
    mean, inverse = _rest_of(input, dims, eps)
    return result, mean.reshape(-1), inverse.reshape(-1)
