"""Which JAX device a torch device names, and moving arrays between them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from torchlike._engine import config
from torchlike._tensor import device as devices


@functools.cache
def accelerators() -> tuple[Any, ...]:
    """JAX's devices other than the host's processors; none where the environment turned them off."""
    import jax

    if not config.use_accelerator:
        return ()
    return tuple(d for d in jax.devices() if d.platform != "cpu")


def accelerator_type() -> str | None:
    """ "cuda" where JAX found an accelerator, else None."""
    return "cuda" if accelerators() else None


devices.accelerator_type = accelerator_type

NO_CUDA = "Torch not compiled with CUDA enabled"


def resolve(device: Any) -> devices.device:
    """The device, its index filled in, that a ``device`` argument names; raises where there is no such device."""
    found = device if isinstance(device, devices.device) else devices.device(device)
    if found.type == "cpu":
        return devices.cpu
    if found.type == "meta":
        return devices.meta
    if found.type != "cuda":
        raise RuntimeError(f"PyTorch is not linked with support for {found.type} devices")
    if not accelerators():
        raise AssertionError(NO_CUDA)
    index = found.index or 0
    if index >= len(accelerators()):
        raise RuntimeError("CUDA error: invalid device ordinal")
    return devices.device("cuda", index)


def without_elements(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """What stands for a tensor of the meta device: an array of this shape that takes no memory."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def put(array: Any, device: devices.device) -> Any:
    """The array on ``device``: a NumPy array on the host, a JAX array elsewhere."""
    if device.type == "cpu":
        return np.asarray(array)
    if device.type == "meta":
        return without_elements(array.shape, array.dtype)
    import jax

    return jax.device_put(array, accelerators()[device.index or 0])
