"""Memory formats of convolutions' weights."""

from __future__ import annotations

from typing import Any, TypeVar

import torchlike as torch

__all__ = ["convert_conv2d_weight_memory_format", "convert_conv3d_weight_memory_format"]

_M = TypeVar("_M")


def _convert(module: Any, kinds: tuple[type, ...], memory_format: Any) -> None:
    for layer in module.modules():
        if isinstance(layer, kinds):
            weight = layer.weight.detach().clone(memory_format=memory_format)
            layer.weight.data = weight.resize_(weight.size(), memory_format=memory_format)


def convert_conv2d_weight_memory_format(module: _M, memory_format: Any) -> _M:
    """Put the weights of all 2d convolutions below ``module`` into a memory format; returns the module.

    Args:
        module: a module.
        memory_format: such as ``torch.channels_last``.
    """
    _convert(module, (torch.nn.Conv2d, torch.nn.ConvTranspose2d), memory_format)
    return module


def convert_conv3d_weight_memory_format(module: _M, memory_format: Any) -> _M:
    """Put the weights of all 3d convolutions below ``module`` into a memory format; returns the module.

    Args:
        module: a module.
        memory_format: such as ``torch.channels_last_3d``.
    """
    _convert(module, (torch.nn.Conv3d, torch.nn.ConvTranspose3d), memory_format)
    return module
