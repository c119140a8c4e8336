"""Gradients of convolutions with respect to their input and their weight."""

from __future__ import annotations

from typing import Any

import torchlike as torch
from torchlike._tensor.tensor import Tensor
from torchlike.nn import functional as F


def _gradient(
    convolve: Any, size: Any, other: Tensor, grad_output: Tensor, of_input: bool, options: tuple[Any, ...]
) -> Tensor:
    """Gradient of ``convolve(input, weight)``, linear in both, with respect to one of them, of the given size."""
    with torch.enable_grad():
        # A convolution is linear in each argument, so the values do not matter.
        wanted = grad_output.new_zeros(tuple(size)).requires_grad_()
        arguments = (wanted, other) if of_input else (other, wanted)
        output = convolve(*arguments, None, *options)
    (gradient,) = torch.autograd.grad(output, wanted, grad_output, create_graph=torch.is_grad_enabled())
    return gradient


def conv1d_input(
    input_size: Any,
    weight: Tensor,
    grad_output: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Gradient of `F.conv1d` with respect to its input, of shape ``input_size``."""
    return _gradient(F.conv1d, input_size, weight, grad_output, True, (stride, padding, dilation, groups))


def conv1d_weight(
    input: Tensor,
    weight_size: Any,
    grad_output: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Gradient of `F.conv1d` with respect to its weight, of shape ``weight_size``."""
    return _gradient(F.conv1d, weight_size, input, grad_output, False, (stride, padding, dilation, groups))


def conv2d_input(
    input_size: Any,
    weight: Tensor,
    grad_output: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Gradient of `F.conv2d` with respect to its input, of shape ``input_size``."""
    return _gradient(F.conv2d, input_size, weight, grad_output, True, (stride, padding, dilation, groups))


def conv2d_weight(
    input: Tensor,
    weight_size: Any,
    grad_output: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Gradient of `F.conv2d` with respect to its weight, of shape ``weight_size``."""
    return _gradient(F.conv2d, weight_size, input, grad_output, False, (stride, padding, dilation, groups))


def conv3d_input(
    input_size: Any,
    weight: Tensor,
    grad_output: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Gradient of `F.conv3d` with respect to its input, of shape ``input_size``."""
    return _gradient(F.conv3d, input_size, weight, grad_output, True, (stride, padding, dilation, groups))


def conv3d_weight(
    input: Tensor,
    weight_size: Any,
    grad_output: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Gradient of `F.conv3d` with respect to its weight, of shape ``weight_size``."""
    return _gradient(F.conv3d, weight_size, input, grad_output, False, (stride, padding, dilation, groups))
