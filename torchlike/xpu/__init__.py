"""``torch.xpu``: Intel's GPUs, which are never there; ``torch.cuda`` stands for whatever accelerator JAX found."""

from __future__ import annotations

from typing import Any

_NO_XPU = "Torch not compiled with XPU enabled"


def is_available() -> bool:
    """False."""
    return False


def is_initialized() -> bool:
    """False."""
    return False


def device_count() -> int:
    """Zero."""
    return 0


def manual_seed(seed: int) -> None:
    """Nothing: there is no generator to seed."""


def manual_seed_all(seed: int) -> None:
    """Nothing: there is no generator to seed."""


def empty_cache() -> None:
    """Nothing: there is no cache to empty."""


def current_device() -> int:
    """AssertionError: there is no such device."""
    raise AssertionError(_NO_XPU)


def synchronize(device: Any = None) -> None:
    """AssertionError: there is no such device."""
    raise AssertionError(_NO_XPU)


def get_device_name(device: Any = None) -> str:
    """AssertionError: there is no such device."""
    raise AssertionError(_NO_XPU)


def memory_allocated(device: Any = None) -> int:
    """0: there is no such device."""
    return 0


def max_memory_allocated(device: Any = None) -> int:
    """0: there is no such device."""
    return 0
