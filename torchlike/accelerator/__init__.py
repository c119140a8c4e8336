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


def _require() -> None:
    if not cuda.is_available():
        raise RuntimeError("Cannot access accelerator device when none is available.")


def current_device_index() -> int:
    """The index of the current accelerator."""
    _require()
    return cuda.current_device()


current_device_idx = current_device_index


def set_device_index(device: Any, /) -> None:
    """Make this accelerator the current one."""
    _require()
    cuda.set_device(device)


set_device_idx = set_device_index


def synchronize(device: Any = None, /) -> None:
    """Wait for all work that was handed to the accelerator."""
    _require()
    cuda.synchronize(device)


def empty_cache() -> None:
    """Nothing: JAX keeps no cache that a program could empty."""
    _require()


def memory_allocated(device_index: Any = None, /) -> int:
    """The bytes in use on the accelerator."""
    _require()
    return cuda.memory_allocated(device_index)


def max_memory_allocated(device_index: Any = None, /) -> int:
    """The most bytes that were in use at once."""
    _require()
    return cuda.max_memory_allocated(device_index)


def memory_reserved(device_index: Any = None, /) -> int:
    """The bytes taken from the accelerator's driver."""
    _require()
    return cuda.memory_reserved(device_index)


def max_memory_reserved(device_index: Any = None, /) -> int:
    """The most bytes taken from the accelerator's driver."""
    _require()
    return cuda.max_memory_reserved(device_index)


def reset_peak_memory_stats(device_index: Any = None, /) -> None:
    """Nothing: JAX does not reset its peaks."""
    _require()


def reset_accumulated_memory_stats(device_index: Any = None, /) -> None:
    """Nothing: JAX does not reset its counts."""
    _require()


def memory_stats(device_index: Any = None, /) -> Any:
    """The counts that JAX keeps of the accelerator's memory."""
    _require()
    return cuda.memory_stats(device_index)


def get_memory_info(device_index: Any = None, /) -> tuple[int, int]:
    """The bytes that are free and those that JAX may use in all."""
    _require()
    return cuda.mem_get_info(device_index)


def empty_host_cache() -> None:
    """Nothing: there is no cache of page-locked memory."""
    _require()


def get_device_capability(device: Any = None, /) -> dict[str, Any]:
    """What the accelerator can compute with: ``supported_dtypes``."""
    _require()
    from torchlike._tensor import dtypes

    names = [
        "uint8",
        "int8",
        "int16",
        "int32",
        "int64",
        "float16",
        "bfloat16",
        "float32",
        "float64",
        "complex64",
        "complex128",
        "bool",
    ]
    return {"supported_dtypes": {dtypes.EXPORTS[name] for name in names}}


def current_stream(device: Any = None, /) -> Any:
    """The accelerator's stream."""
    _require()
    return cuda.current_stream(device)


def set_stream(stream: Any) -> None:
    """Nothing: an accelerator has one stream."""
    _require()


class device_index:
    """Make the accelerator of an index the current one inside a block; None changes nothing."""

    def __init__(self, device: int | None, /):
        self.index = device
        self.before: int | None = None

    def __enter__(self) -> None:
        if self.index is not None:
            self.before = current_device_index()
            set_device_index(self.index)

    def __exit__(self, *_: object) -> None:
        if self.before is not None:
            set_device_index(self.before)


class Graph:
    """Not there: what a program records runs as one XLA program anyway."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        _require()
        return cuda.CUDAGraph()
