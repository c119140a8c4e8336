"""Streams and events: ``torch.Stream``, ``torch.Event`` and those of ``torch.cuda`` and ``torch.cpu``.

Each device has one stream here: work is recorded in order and run in order. An event is a point in that order. Recording one
waits for the work before it, so that the time between two events is the time which the work between them took.
"""

from __future__ import annotations

import time
from typing import Any

from torchlike._tensor.device import device as Device
from torchlike._tensor.placement import accelerators, resolve


def finish(device: Any) -> None:
    """Run what is recorded, and wait for an accelerator's work."""
    from torchlike._engine.trace import flush

    flush()
    if device is not None and device.type != "cpu" and accelerators():
        import jax

        jax.effects_barrier()
        for array in jax.live_arrays():
            array.block_until_ready()


def _device(device: Any) -> Any:
    if device is None:
        return resolve("cuda") if accelerators() else Device("cpu")
    if isinstance(device, int):
        device = f"cuda:{device}"
    found = device if isinstance(device, Device) else Device(device)
    if found.type == "cuda" and not accelerators():
        raise RuntimeError(f"PyTorch is not linked with support for {found.type} devices")
    return resolve(found)


class Event:
    """A point in a stream's order of work."""

    def __init__(
        self, device: Any = None, *, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False
    ):
        self.device = _device(device)
        self.enable_timing = enable_timing
        self._time: float | None = None

    @property
    def event_id(self) -> int:
        """A number for the event; 0 before it was recorded."""
        return 0 if self._time is None else id(self)

    def record(self, stream: Any = None) -> None:
        """Put the event after all work so far."""
        finish(self.device)
        self._time = time.perf_counter()

    def query(self) -> bool:
        """Whether all work before the event is done: recording it has waited for that."""
        return True

    def wait(self, stream: Any = None) -> None:
        """Nothing: work after the event comes after it anyway."""

    def synchronize(self) -> None:
        """Nothing: recording the event has waited for the work before it."""

    def elapsed_time(self, end_event: Event) -> float:
        """The milliseconds from this event to another."""
        if not (self.enable_timing and end_event.enable_timing):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if self._time is None or end_event._time is None:
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        return (end_event._time - self._time) * 1e3

    def __repr__(self) -> str:
        index = -1 if self.device.index is None else self.device.index
        return (
            f"torch.Event device_type={self.device.type}, device_index={index}, event_flag={int(self.enable_timing)}, "
            f"event_id={self.event_id}"
        )


class Stream:
    """The order in which a device does its work; every stream of a device is that one."""

    stream_id = 0

    def __init__(self, device: Any = None, priority: int = 0, **_: Any):
        self.device = _device(device)
        self.priority = priority

    @property
    def device_index(self) -> int:
        """The device's index, -1 for the host."""
        return -1 if self.device.index is None else self.device.index

    @property
    def device_type(self) -> int:
        """The device's type as torch numbers them: 0 for the host, 1 for CUDA."""
        return 0 if self.device.type == "cpu" else 1

    def query(self) -> bool:
        """Whether all work is done, which this waits for."""
        self.synchronize()
        return True

    def synchronize(self) -> None:
        """Wait for all work."""
        finish(self.device)

    def wait_event(self, event: Event) -> None:
        """Nothing: the stream's work is in order."""

    def wait_stream(self, stream: Stream) -> None:
        """Nothing: both are one stream."""

    def record_event(self, event: Event | None = None) -> Event:
        """Put an event, a new one unless given, after all work so far."""
        event = self._event() if event is None else event
        event.record(self)
        return event

    def _event(self) -> Event:
        return Event(self.device)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and other.device == self.device

    def __hash__(self) -> int:
        return hash((self.device.type, self.device.index))

    def __repr__(self) -> str:
        return (
            f"torch.Stream device_type={self.device.type}, device_index={self.device_index}, stream_id={self.stream_id}"
        )


Event.__module__ = Stream.__module__ = "torch"
