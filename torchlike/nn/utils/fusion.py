"""Batch normalization in evaluation mode, folded into the layer before it."""

from __future__ import annotations

import copy
from typing import Any

import torchlike as torch
from torchlike._tensor.tensor import Tensor
from torchlike.nn.parameter import Parameter

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]


def _check(layer: Any, bn: Any) -> None:
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval!")


def _check_statistics(bn: Any) -> None:
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("bn.running_mean and bn.running_var must not be None")


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A convolution that does what ``conv`` and then ``bn`` do.

    Args:
        conv: a convolution in evaluation mode.
        bn: a batch normalization in evaluation mode.
        transpose: whether the convolution is transposed. Default: ``False``.
    """
    _check(conv, bn)
    fused = copy.deepcopy(conv)
    _check_statistics(bn)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of a convolution followed by a batch normalization.

    Args:
        conv_w: weight of the convolution.
        conv_b: its bias, or ``None``.
        bn_rm: running mean.
        bn_rv: running variance.
        bn_eps: ``eps`` of the normalization.
        bn_w: its weight, or ``None``.
        bn_b: its bias, or ``None``.
        transpose: whether the convolution is transposed. Default: ``False``.
    """
    bias = torch.zeros_like(bn_rm) if conv_b is None else conv_b
    scale = torch.rsqrt(bn_rv + bn_eps)
    shift = torch.zeros_like(bn_rm) if bn_b is None else bn_b
    gain = torch.ones_like(bn_rm) if bn_w is None else bn_w
    shape = ([1, -1] if transpose else [-1, 1]) + [1] * (conv_w.dim() - 2)
    fused_w = (conv_w * (gain * scale).reshape(shape)).to(dtype=conv_w.dtype)
    fused_b = ((bias - bn_rm) * scale * gain + shift).to(dtype=conv_w.dtype if conv_b is None else conv_b.dtype)
    return Parameter(fused_w, conv_w.requires_grad), Parameter(fused_b, bias.requires_grad)


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """A linear layer that does what ``linear`` and then ``bn`` do.

    Args:
        linear: a linear layer in evaluation mode.
        bn: a batch normalization of 1 feature or of as many as the layer gives out, in evaluation mode.
    """
    _check(linear, bn)
    fused = copy.deepcopy(linear)
    if bn.num_features not in (linear.out_features, 1):
        raise AssertionError(
            "To fuse, linear.out_features == bn.num_features or bn.num_features == 1, "
            f"got linear.out_features={linear.out_features} and bn.num_features={bn.num_features}"
        )
    _check_statistics(bn)
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor,
    bn_b: Tensor,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of a linear layer followed by a batch normalization.

    Args:
        linear_w: weight of the layer.
        linear_b: its bias, or ``None``.
        bn_rm: running mean.
        bn_rv: running variance.
        bn_eps: ``eps`` of the normalization.
        bn_w: its weight.
        bn_b: its bias.
    """
    bias = torch.zeros_like(bn_rm) if linear_b is None else linear_b
    scale = bn_w * torch.rsqrt(bn_rv + bn_eps)
    fused_w = linear_w * scale.unsqueeze(-1).to(dtype=linear_w.dtype)
    fused_b = ((bias - bn_rm) * scale + bn_b).to(dtype=linear_w.dtype if linear_b is None else linear_b.dtype)
    return Parameter(fused_w, linear_w.requires_grad), Parameter(fused_b, bias.requires_grad)
