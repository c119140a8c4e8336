"""Copies of a module on several devices, whose gradients flow back to the original."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from torchlike.nn.modules.module import Module

from .scatter_gather import as_device

__all__ = ["replicate"]


def replicate(network: Module, devices: Sequence[Any], detach: bool = False) -> list[Module]:
    """Copy a module to each device.

    Args:
        network: the module.
        devices: devices, or their numbers.
        detach: cut the copies off the original's parameters. Default: ``False``.

    Returns the copies; their parameters are plain tensors, computed from the original's.
    """
    return [_replica(network, as_device(device), detach) for device in devices]


def _replica(network: Module, device: Any, detach: bool) -> Module:
    copies: dict[int, Any] = {}
    for module in network.modules():
        copy = module._replicate_for_data_parallel()
        copy._former_parameters = OrderedDict()  # type: ignore[attr-defined]
        copies[id(module)] = copy
    moved: dict[int, Any] = {}  # Tied parameters stay tied.

    def move(tensor: Any, detached: bool) -> Any:
        if id(tensor) not in moved:
            # A new tensor even where nothing has to move, since the original is a parameter.
            moved[id(tensor)] = (tensor.detach() if detached else tensor.view_as(tensor)).to(device)
        return moved[id(tensor)]

    for module in network.modules():
        copy = copies[id(module)]
        for name, child in module._modules.items():
            copy._modules[name] = None if child is None else copies[id(child)]
        for name, param in module._parameters.items():
            if param is None:
                copy._parameters[name] = None
            else:
                moved_param = move(param, detach)
                setattr(copy, name, moved_param)
                copy._former_parameters[name] = moved_param
        for name, buffer in module._buffers.items():
            if buffer is not None:
                copy._buffers[name] = move(buffer, detach or not buffer.requires_grad)
    return copies[id(network)]
