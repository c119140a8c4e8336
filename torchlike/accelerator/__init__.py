"""``torch.accelerator``: the accelerator of the machine, whatever its kind."""

from __future__ import annotations

from typing import Any

from torchlike import cuda
from torchlike._tensor.device import device


def is_available() -> bool:
    """Whether there is an accelerator."""
    return cuda.is_available()


def device_count() -> int:
    """The number of accelerators."""
    return cuda.device_count()


def current_accelerator(check_available: bool = False) -> device | None:
    """The accelerator's device without an index, None where there is none."""
    return device("cuda") if cuda.is_available() else None


def current_device_index() -> int:
    """The index of the current accelerator."""
    return cuda.current_device()


current_device_idx = current_device_index


def set_device_index(device: Any, /) -> None:
    """Make this accelerator the current one."""
    cuda.set_device(device)


set_device_idx = set_device_index


def synchronize(device: Any = None, /) -> None:
    """Wait for all work that was handed to the accelerator."""
    cuda.synchronize(device)


def empty_cache() -> None:
    """Nothing: JAX keeps no cache that a program could empty."""


def memory_allocated(device_index: Any = None, /) -> int:
    """The bytes in use on the accelerator."""
    return cuda.memory_allocated(device_index)


def max_memory_allocated(device_index: Any = None, /) -> int:
    """The most bytes that were in use at once."""
    return cuda.max_memory_allocated(device_index)


def memory_reserved(device_index: Any = None, /) -> int:
    """The bytes taken from the accelerator's driver."""
    return cuda.memory_reserved(device_index)


def max_memory_reserved(device_index: Any = None, /) -> int:
    """The most bytes taken from the accelerator's driver."""
    return cuda.max_memory_reserved(device_index)


def reset_peak_memory_stats(device_index: Any = None, /) -> None:
    """Nothing: JAX does not reset its peaks."""
