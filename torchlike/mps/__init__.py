"""``torch.mps``: Apple's GPU, which is never there; ``torch.cuda`` stands for whatever accelerator JAX found."""

from __future__ import annotations


def device_count() -> int:
    """The number of Apple GPUs: zero."""
    return 0


def is_available() -> bool:
    """False."""
    return False


def manual_seed(seed: int) -> None:
    """Nothing: there is no generator to seed."""


def empty_cache() -> None:
    """Nothing: there is no cache to empty."""


def synchronize() -> None:
    """RuntimeError: there is no such device."""
    raise RuntimeError("Cannot execute deviceSynchronize() without MPS backend.")


def current_allocated_memory() -> int:
    """RuntimeError: there is no such device."""
    raise RuntimeError("Cannot execute getCurrentAllocatedMemory() without MPS backend.")


def driver_allocated_memory() -> int:
    """RuntimeError: there is no such device."""
    raise RuntimeError("Cannot execute getDriverAllocatedMemory() without MPS backend.")
