"""Parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

import torchlike as torch
from torchlike._tensor.tensor import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of the parameters in one vector.

    Raises:
        TypeError: the parameters are on different devices.
    """
    device = None
    pieces = []
    for param in parameters:
        device = _check_param_device(param, device)
        pieces.append(param.view(-1))
    return torch.cat(pieces)


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Give the parameters the elements of a vector, which they share from then on.

    Args:
        vec: the vector.
        parameters: the parameters, in the order of `parameters_to_vector`.

    Raises:
        TypeError: ``vec`` is no tensor, or the parameters are on different devices.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {torch.typename(vec)}")
    device = None
    start = 0
    for param in parameters:
        device = _check_param_device(param, device)
        end = start + param.numel()
        param.data = vec[start:end].view_as(param).data
        start = end


def _check_param_device(param: Tensor, old_param_device: int | None) -> int:
    """Number of the parameter's device (-1 for the CPU), which must be that of the parameters before."""
    device = param.get_device() if param.device.type == "cuda" else -1
    if old_param_device is not None and device != old_param_device:
        raise TypeError("Found two parameters on different devices, this is currently not supported.")
    return device
