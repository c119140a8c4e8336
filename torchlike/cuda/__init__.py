"""``torch.cuda``: the accelerator that JAX found, under the name that PyTorch programs look for.

Without one, ``is_available()`` is False and everything that needs a device raises what a CPU build of PyTorch raises.
"""

from __future__ import annotations

import threading
from typing import Any

from torchlike._storage.typed import CUDA_CLASSES
from torchlike._tensor.device import device as _Device
from torchlike._tensor.legacy_types import CUDA_TYPES
from torchlike._tensor.placement import NO_CUDA, accelerators

globals().update(CUDA_TYPES)
globals().update(CUDA_CLASSES)

_current = threading.local()

has_magma = False
has_half = True


def is_available() -> bool:
    """Whether JAX found an accelerator."""
    return bool(accelerators())


def device_count() -> int:
    """The number of accelerators."""
    return len(accelerators())


def is_initialized() -> bool:
    """Whether the accelerator is ready for use."""
    return is_available()


def init() -> None:
    """Make the accelerator ready; AssertionError where there is none."""
    _require()


def _require() -> tuple[Any, ...]:
    if not accelerators():
        raise AssertionError(NO_CUDA)
    return accelerators()


def _index(device: Any) -> int:
    if device is None:
        return current_device()
    if isinstance(device, int):
        return device
    found = device if isinstance(device, _Device) else _Device(device)
    if found.type != "cuda":
        raise ValueError(f"Expected a cuda device, but got: {found}")
    return current_device() if found.index is None else found.index


def current_device() -> int:
    """The index of the device that "cuda" without an index names."""
    _require()
    return getattr(_current, "index", 0)


def set_device(device: Any) -> None:
    """Make ``device`` the one that "cuda" without an index names."""
    index = _index(device)
    if index >= 0:
        _require()
        _current.index = index


def get_device_name(device: Any = None) -> str:
    """The accelerator's name."""
    return _require()[_index(device)].device_kind


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The compute capability, (major, minor)."""
    text = getattr(_require()[_index(device)], "compute_capability", "0.0")
    major, _, minor = str(text).partition(".")
    return int(major), int(minor or 0)


class _DeviceProperties:
    """What is known of an accelerator: ``name``, ``total_memory`` in bytes, ``major`` and ``minor``."""

    def __init__(self, index: int):
        self.name = get_device_name(index)
        self.major, self.minor = get_device_capability(index)
        self.total_memory = _memory(index).get("bytes_limit", 0)
        self.multi_processor_count = getattr(_require()[index], "core_count", 1)

    def __repr__(self) -> str:
        return (
            f"_CudaDeviceProperties(name='{self.name}', major={self.major}, minor={self.minor}, "
            f"total_memory={self.total_memory // 2**20}MB, multi_processor_count={self.multi_processor_count})"
        )


def get_device_properties(device: Any = None) -> _DeviceProperties:
    """The properties of an accelerator."""
    _require()
    return _DeviceProperties(_index(device))


def synchronize(device: Any = None) -> None:
    """Wait for all work that was handed to the accelerator."""
    import jax

    from torchlike._engine.trace import flush

    _require()
    flush()
    jax.effects_barrier()
    for array in jax.live_arrays():
        array.block_until_ready()


def _memory(index: int) -> dict[str, int]:
    return _require()[index].memory_stats() or {}


def memory_allocated(device: Any = None) -> int:
    """The bytes in use on the accelerator; 0 where there is none."""
    return _memory(_index(device)).get("bytes_in_use", 0) if is_available() else 0


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that were in use at once; 0 where there is no accelerator."""
    return _memory(_index(device)).get("peak_bytes_in_use", 0) if is_available() else 0


def memory_reserved(device: Any = None) -> int:
    """The bytes that JAX took from the accelerator's driver."""
    return _memory(_index(device)).get("pool_bytes", memory_allocated(device)) if is_available() else 0


def max_memory_reserved(device: Any = None) -> int:
    """The most bytes that JAX took from the accelerator's driver."""
    return _memory(_index(device)).get("peak_pool_bytes", max_memory_allocated(device)) if is_available() else 0


def empty_cache() -> None:
    """Nothing: JAX keeps no cache that a program could empty."""


def reset_peak_memory_stats(device: Any = None) -> None:
    """Nothing: JAX does not reset its peaks."""


def ipc_collect() -> None:
    """Nothing: memory of the accelerator is not shared between processes."""


def manual_seed(seed: int) -> None:
    """Seed the current accelerator's generator; nothing happens where there is none."""
    manual_seed_all(seed)


def manual_seed_all(seed: int) -> None:
    """Seed every accelerator's generator; nothing happens where there is none."""
    from torchlike.random import seed_accelerators

    if is_available():
        seed_accelerators(int(seed))


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether bfloat16 may be used on the accelerator."""
    return is_available()


def is_current_stream_capturing() -> bool:
    """Whether a graph is being captured: never."""
    return False


class device:
    """Make ``device`` the current accelerator inside a block."""

    def __init__(self, device: Any):
        self.index = _index(device) if device is not None else -1

    def __enter__(self) -> None:
        if self.index >= 0 and is_available():
            self.before = current_device()
            set_device(self.index)

    def __exit__(self, *_: object) -> bool:
        if self.index >= 0 and is_available():
            set_device(self.before)
        return False


def __getattr__(name: str) -> Any:
    if name == "amp":
        import importlib

        return importlib.import_module("torchlike.cuda.amp")
    raise AttributeError(f"module 'torch.cuda' has no attribute '{name}'")
