"""``torch.cuda``: the accelerator that JAX found, under the name that PyTorch programs look for.

Without one, ``is_available()`` is False and everything that needs a device raises what a CPU build of PyTorch raises.
"""

from __future__ import annotations

import threading
from typing import Any

from torchlike._errors import AcceleratorError, OutOfMemoryError
from torchlike._storage.typed import CUDA_CLASSES
from torchlike._tensor.device import device as _Device
from torchlike._tensor.legacy_types import CUDA_TYPES
from torchlike._tensor.placement import NO_CUDA, accelerators
from torchlike.cuda import memory, nccl, nvtx, random, streams
from torchlike.cuda.memory import (
    empty_cache,
    max_memory_allocated,
    max_memory_cached,
    max_memory_reserved,
    mem_get_info,
    memory_allocated,
    memory_cached,
    memory_reserved,
    memory_stats,
    memory_summary,
    reset_accumulated_memory_stats,
    reset_max_memory_allocated,
    reset_max_memory_cached,
    reset_peak_memory_stats,
)
from torchlike.cuda.random import (
    get_rng_state,
    get_rng_state_all,
    initial_seed,
    manual_seed,
    manual_seed_all,
    seed,
    seed_all,
    set_rng_state,
    set_rng_state_all,
)
from torchlike.cuda.streams import (
    Event,
    ExternalStream,
    Stream,
    StreamContext,
    current_stream,
    default_stream,
    set_stream,
    stream,
)

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
        self.total_memory = (_require()[index].memory_stats() or {}).get("bytes_limit", 0)
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
    from torchlike._streams import finish

    _require()
    finish(_Device("cuda"))


def ipc_collect() -> None:
    """Nothing: memory of the accelerator is not shared between processes."""


def can_device_access_peer(device: Any, peer_device: Any) -> bool:
    """Whether one accelerator may read another's memory; XLA copies between them by itself."""
    _require()
    return _index(device) != _index(peer_device)


def get_arch_list() -> list[str]:
    """The architectures that kernels were compiled for: none, XLA compiles for the accelerator that is there."""
    return []


def get_gencode_flags() -> str:
    """The flags that kernels were compiled with: none."""
    return ""


def is_tf32_supported() -> bool:
    """Whether the accelerator has TensorFloat-32: NVIDIA's from compute capability 8 on."""
    return is_available() and get_device_capability()[0] >= 8


def _sleep(cycles: int) -> None:
    """NotImplementedError: there is no kernel that waits."""
    raise NotImplementedError(
        "torch.cuda._sleep runs a CUDA kernel that waits for a number of cycles; XLA has no such program"
    )


def _no_nvml(name: str) -> Any:
    def ask(device: Any = None) -> int:
        raise ModuleNotFoundError(
            f"torch.cuda.{name} asks NVIDIA's management library, which is not used here; `nvidia-smi` shows the same"
        )

    ask.__name__ = ask.__qualname__ = name
    ask.__doc__ = "ModuleNotFoundError: NVIDIA's management library is not used here."
    return ask


utilization = _no_nvml("utilization")
temperature = _no_nvml("temperature")
power_draw = _no_nvml("power_draw")
clock_rate = _no_nvml("clock_rate")
memory_usage = _no_nvml("memory_usage")


class CUDAGraph:
    """Not there: what a program records runs as one XLA program anyway."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if not is_available():
            raise RuntimeError("Tried to instantiate dummy base class CUDAGraph")
        raise NotImplementedError(
            "torch.cuda.CUDAGraph captures CUDA kernels to launch them again; here operations are recorded by themselves, and what "
            "repeats runs as one XLA program"
        )


class graph:
    """Not there: see :class:`CUDAGraph`."""

    def __init__(self, cuda_graph: Any, pool: Any = None, stream: Any = None, capture_error_mode: str = "global"):  # noqa: F811
        if stream is None:
            Stream()
        CUDAGraph()


def make_graphed_callables(callables: Any, sample_args: Any, *args: Any, **kwargs: Any) -> Any:
    """The callables themselves: what they record runs as one XLA program where it repeats."""
    return callables


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether bfloat16 may be used on the accelerator."""
    return is_available()


def is_current_stream_capturing() -> bool:
    """Whether a graph is being captured: never."""
    return False


class device_of:
    """Make the accelerator of a tensor or storage the current one inside a block; on the host nothing changes."""

    def __init__(self, obj: Any):
        self._block = device(obj.get_device() if obj.is_cuda else None)

    def __enter__(self) -> None:
        self._block.__enter__()

    def __exit__(self, *_: object) -> bool:
        return self._block.__exit__()


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
