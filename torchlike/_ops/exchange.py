"""DLPack: tensors handed to other libraries and taken from them, sharing memory."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from torchlike._ops.creation import _sharing
from torchlike._ops.op import composite
from torchlike._tensor.device import device as Device
from torchlike._tensor.tensor import Tensor, from_array, value_of

_CONSUMED = (
    "from_dlpack received an invalid capsule. Note that DLTensor capsules can be consumed only once, so you might have already "
    "constructed a tensor from it once."
)


class _Capsule:
    """A capsule as an object that hands it out."""

    def __init__(self, capsule: Any):
        self.capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


@composite(namespaces=("Tensor",))
def __dlpack_device__(self):
    """The kind of device this tensor is on, as DLPack numbers them, and its index."""
    from torchlike.utils.dlpack import DLDeviceType

    if self.is_cpu:
        return DLDeviceType.kDLCPU, 0
    return DLDeviceType.kDLCUDA, self.device.index or 0


@composite(namespaces=("Tensor",))
def __dlpack__(self, *, stream=-1, max_version=None, dl_device=None, copy=None):
    """A capsule over this tensor's memory, which another library can take once."""
    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    if not self.is_cpu:
        return _export_accelerator(self, stream, max_version)
    if stream is not None and stream != -1:
        raise AssertionError("stream should be None on cpu.")
    array = self.clone().numpy() if copy else self.numpy()
    return array.__dlpack__() if max_version is None else array.__dlpack__(max_version=max_version)


def _export_accelerator(t: Tensor, stream: Any, max_version: Any) -> Any:
    from torchlike._engine.value import materialize

    array = materialize(value_of(t))
    return array.__dlpack__(stream=None if stream == -1 else stream, max_version=max_version)


def _writable(array: np.ndarray) -> np.ndarray:
    """The array, writable, over the same memory: old capsules do not say whether theirs may be written to, torch's may."""
    if array.flags.writeable or not array.size:
        return array
    address = array.__array_interface__["data"][0]
    extent = 1 + sum((n - 1) * s // array.itemsize for n, s in zip(array.shape, array.strides, strict=True))
    memory: Any = (ctypes.c_char * (extent * array.itemsize)).from_address(address)
    memory.owner = array
    flat = np.frombuffer(memory, array.dtype)
    return np.lib.stride_tricks.as_strided(flat, array.shape, array.strides)


def _on_host(source: Any) -> Tensor:
    try:
        array = np.from_dlpack(source)
    except (BufferError, RuntimeError, TypeError) as error:
        raise RuntimeError(_CONSUMED if isinstance(source, _Capsule) else str(error)) from error
    if any(s < 0 for s in array.strides):
        raise RuntimeError("from_dlpack: strides must not be negative")
    return _sharing(_writable(array))


@composite(namespaces=("torch",))
def from_dlpack(ext_tensor, *, device=None, copy=None):
    """A tensor over the memory of another library's array, or of a DLPack capsule.

    ``device`` is where the tensor is to be; ``copy`` says whether it is to have memory of its own.
    """
    source = ext_tensor
    if not hasattr(ext_tensor, "__dlpack__"):
        if '"dltensor' not in repr(ext_tensor):
            raise RuntimeError(_CONSUMED)
        source = _Capsule(ext_tensor)
    if source.__dlpack_device__()[0] in (1, 3):
        t = _on_host(source)
        t = t.clone() if copy else t
    else:
        import jax

        array = jax.dlpack.from_dlpack(source, copy=copy)
        t = from_array(array, Device("cuda", source.__dlpack_device__()[1]))
    if device is None:
        return t
    wanted = device if isinstance(device, Device) else Device(device)
    if wanted.type != t.device.type and copy is False:
        raise ValueError(
            f"cannot move DLPack tensor from {t.device} to {wanted} without copying. Set copy=None or copy=True."
        )
    return t.to(wanted)
