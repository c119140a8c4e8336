"""``torch.cpu``: the host as a device among others."""

from __future__ import annotations

import os
from typing import Any

from torchlike import _streams


def is_available() -> bool:
    """True."""
    return True


def is_initialized() -> bool:
    """True."""
    return True


def device_count() -> int:
    """One: all processors together."""
    return 1


def current_device() -> str:
    """ "cpu"."""
    return "cpu"


def set_device(device: Any) -> None:
    """Nothing: there is one host."""


def synchronize(device: Any = None) -> None:
    """Nothing: whoever looks at a value waits for it."""


class Stream(_streams.Stream):
    """The order of the host's work."""

    def __init__(self, priority: int = -1):
        super().__init__("cpu", priority)


class Event(_streams.Event):
    """A point in the host's order of work."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False):
        super().__init__("cpu", enable_timing=enable_timing)


_current = None


def current_stream(device: Any = None) -> Stream:
    """The host's stream."""
    global _current
    if _current is None:
        _current = Stream()
    return _current


class StreamContext:
    """A region in which a stream is the current one; it is anyway."""

    def __init__(self, stream: Any):
        self.stream = stream

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def stream(stream: Any) -> StreamContext:
    """A region in which ``stream`` is the current one."""
    return StreamContext(stream)


def _is_avx2_supported() -> bool:
    return "avx2" in _flags()


def _is_avx512_supported() -> bool:
    return "avx512f" in _flags()


def _flags() -> frozenset[str]:
    """The processor's features as Linux lists them."""
    if not os.path.exists("/proc/cpuinfo"):
        return frozenset()
    with open("/proc/cpuinfo") as info:
        return next((frozenset(line.split(":")[1].split()) for line in info if line.startswith("flags")), frozenset())


def __getattr__(name: str) -> Any:
    if name == "amp":
        import importlib

        return importlib.import_module("torchlike.cpu.amp")
    raise AttributeError(f"module 'torch.cpu' has no attribute '{name}'")
