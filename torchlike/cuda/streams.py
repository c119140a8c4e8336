"""``torch.cuda.Stream``, ``torch.cuda.Event`` and what goes with them. An accelerator has one stream here."""

from __future__ import annotations

from typing import Any

from torchlike import _streams
from torchlike._tensor.placement import NO_CUDA, accelerators


def _require() -> None:
    if not accelerators():
        raise AssertionError(NO_CUDA)


class Event(_streams.Event):
    """A point in an accelerator's order of work; recording one waits for the work before it."""

    def __init__(
        self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False, external: bool = False
    ):
        if not accelerators():
            raise RuntimeError("Tried to instantiate dummy base class Event")
        super().__init__(None, enable_timing=enable_timing, blocking=blocking, interprocess=interprocess)

    def __repr__(self) -> str:
        return "<torch.cuda.Event uninitialized>" if self._time is None else f"<torch.cuda.Event {id(self):#x}>"


class Stream(_streams.Stream):
    """The order of an accelerator's work; every stream of an accelerator is that one."""

    cuda_stream = 0

    def __init__(self, device: Any = None, priority: int = 0, **kwargs: Any):
        if not accelerators():
            raise RuntimeError("torch.cuda.Stream requires CUDA support")
        super().__init__(device, priority, **kwargs)

    def _event(self) -> Event:
        return Event()

    def __repr__(self) -> str:
        return f"<torch.cuda.Stream device={self.device} cuda_stream={self.cuda_stream:#x}>"


class ExternalStream(Stream):
    """A stream that another library made; the accelerator's one stream stands for it."""

    def __init__(self, stream_ptr: int, device: Any = None, **kwargs: Any):
        super().__init__(device)


class StreamContext:
    """A region in which a stream is the current one; it is anyway."""

    def __init__(self, stream: Any):
        self.stream = stream

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def stream(stream: Any) -> StreamContext:
    """A region in which ``stream`` is the current one; None changes nothing."""
    return StreamContext(stream)


def current_stream(device: Any = None) -> Stream:
    """The stream of the current accelerator, or of ``device``."""
    _require()
    return Stream(device)


def default_stream(device: Any = None) -> Stream:
    """The stream of the current accelerator, or of ``device``."""
    _require()
    return Stream(device)


def set_stream(stream: Stream) -> None:
    """Nothing: an accelerator has one stream."""


Event.__module__ = "torch.cuda"
Stream.__module__ = "torch.cuda"
