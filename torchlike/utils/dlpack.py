"""``torch.utils.dlpack``: tensors handed to other libraries, and taken from them, without a copy."""

from __future__ import annotations

import enum
from typing import Any

import torchlike as torch

__all__ = ["DLDeviceType", "from_dlpack", "to_dlpack"]


class DLDeviceType(enum.IntEnum):
    """The numbers that DLPack has for kinds of devices."""

    kDLCPU = 1
    kDLCUDA = 2
    kDLCUDAHost = 3
    kDLOpenCL = 4
    kDLVulkan = 7
    kDLMetal = 8
    kDLVPI = 9
    kDLROCM = 10
    kDLROCMHost = 11
    kDLExtDev = 12
    kDLCUDAManaged = 13
    kDLOneAPI = 14
    kDLWebGPU = 15
    kDLHexagon = 16
    kDLMAIA = 17


class _Capsule:
    """A capsule as an object that hands itself out once."""

    def __init__(self, capsule: Any):
        self.capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return DLDeviceType.kDLCPU, 0


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> torch.Tensor:
    """A tensor over the memory of another library's array, or of a capsule that :func:`to_dlpack` made.

    Args:
        ext_tensor: an object with ``__dlpack__``, or a capsule.
        device: where the tensor is to be; the array's own device unless given.
        copy: whether the tensor is to have memory of its own.
    """
    if type(ext_tensor).__name__ == "PyCapsule":
        if '"dltensor' not in repr(ext_tensor):
            raise RuntimeError(
                "from_dlpack received an invalid capsule. Note that DLTensor capsules can be consumed only once, so you might "
                "have already constructed a tensor from it once."
            )
        ext_tensor = _Capsule(ext_tensor)
    return torch.from_dlpack(ext_tensor, device=device, copy=copy)


def to_dlpack(tensor: torch.Tensor) -> Any:
    """A capsule over a tensor's memory, for another library's ``from_dlpack``; it can be used once."""
    return tensor.__dlpack__()
