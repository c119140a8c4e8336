"""``profile``: the profiler of ``torch.autograd.profiler``, switched on and off by a schedule of steps."""

from __future__ import annotations

import enum
import gzip
import json
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from torchlike.autograd import profiler as engine
from torchlike.autograd.profiler_util import EventList


class ProfilerAction(enum.Enum):
    """What the profiler does in a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3
    DEVICE_STOPPED = 4


class ProfilerActivity(enum.IntEnum):
    """What is measured: work of the host or of accelerators."""

    CPU = 0
    XPU = 1
    MTIA = 2
    CUDA = 3
    HPU = 4
    PrivateUse1 = 5

    def __repr__(self) -> str:
        return f"<ProfilerActivity.{self.name}: {self.value}>"


class DeviceType(enum.IntEnum):
    """Kinds of devices, as torch numbers them."""

    CPU = 0
    CUDA = 1


def supported_activities() -> set[ProfilerActivity]:
    """What can be measured: the host's work, and on an accelerator its work as the host sees it."""
    from torchlike._tensor.placement import accelerators

    return {ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if accelerators() else [])}


def kineto_available() -> bool:
    """False: native's library for traces of devices is not here."""
    return False


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0, skip_first_wait: int = 0
) -> Callable[[int], ProfilerAction]:
    """A function of a step's number that says what to do in it, in cycles.

    Args:
        wait: steps at the start of a cycle in which nothing is done.
        warmup: steps after them whose measurements are thrown away.
        active: steps after these that are measured; at the end of the last, ``on_trace_ready`` is called.
        repeat: the number of cycles; 0 for no end.
        skip_first: steps before the first cycle.
        skip_first_wait: whether the first cycle leaves out its ``wait`` steps.
    """
    if wait < 0 or warmup < 0 or active <= 0 or repeat < 0 or skip_first < 0:
        raise AssertionError(
            f"Invalid profiler schedule arguments. Got wait={wait} (need >= 0), warmup={warmup} (need >= 0), "
            f"active={active} (need > 0), repeat={repeat} (need >= 0), skip_first={skip_first} (need >= 0)."
        )
    if warmup == 0:
        warnings.warn("Profiler won't be using warmup, this can skew profiler results", stacklevel=2)
    length = wait + warmup + active

    def action(step: int) -> ProfilerAction:
        if step < 0:
            raise AssertionError(f"Step must be non-negative. Got {step}.")
        if step < skip_first:
            return ProfilerAction.NONE
        step += (wait if skip_first_wait else 0) - skip_first
        cycle, place = divmod(step, length)
        if (repeat and cycle >= repeat) or place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD_AND_SAVE if place == length - 1 else ProfilerAction.RECORD

    return action


def tensorboard_trace_handler(
    dir_name: str, worker_name: str | None = None, use_gzip: bool = False, use_python_export: bool = False
) -> Callable[[Any], None]:
    """A function for ``on_trace_ready`` that writes a trace to a file of its own in a folder."""

    def handler(prof: Any) -> None:
        os.makedirs(dir_name, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        suffix = ".gz" if use_gzip else ""
        prof.export_chrome_trace(os.path.join(dir_name, f"{worker}.{time.time_ns()}.pt.trace.json{suffix}"))

    return handler


_RECORDING = (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)


class profile:
    """Measures the operations in its block, or in the steps that ``schedule`` picks out; ``step()`` ends a step.

    Args:
        activities: what to measure; everything that can be unless given.
        schedule: what to do in each step; every step is recorded without one.
        on_trace_ready: called with the profiler at the end of each cycle.
        record_shapes: whether to keep the shapes of operands.
        with_stack: whether to keep where in the program an operation was called.
        acc_events: whether to keep the events of all cycles.

    The other arguments are accepted; memory and floating-point operations are not counted. While recording, operations are
    carried out one by one, each with its own time.

    >>> import torchlike as torch
    >>> with torch.profiler.profile() as prof:
    ...     y = torch.ones(2, 2).sin()
    >>> [event.key for event in prof.key_averages()]
    ['aten::sin']
    """

    def __init__(
        self, *, activities: Iterable[Any] | None = None, schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[..., Any] | None = None, record_shapes: bool = False, profile_memory: bool = False,
        with_stack: bool = False, with_flops: bool = False, with_modules: bool = False, experimental_config: Any = None,
        execution_trace_observer: Any = None, acc_events: bool = False, use_cuda: bool | None = None,
        custom_trace_id_callback: Callable | None = None, **_: Any,
    ):  # fmt: skip
        self.activities = set(supported_activities() if activities is None else activities)
        if not self.activities:
            raise AssertionError("No valid profiler activities found")
        self.schedule = schedule or (lambda step: ProfilerAction.RECORD)
        self._record_steps = schedule is not None
        self.on_trace_ready = on_trace_ready
        self.record_shapes, self.with_stack, self.acc_events = record_shapes, with_stack, acc_events
        self.step_num = 0
        self.current_action = self.schedule(0)
        self.profiler: engine.profile | None = None
        self._kept: list[Any] = []
        self._step: Any = None
        self._metadata: dict[str, str] = {}

    # What a step's end leads to.

    def _begin(self) -> None:
        self.profiler = engine.profile(record_shapes=self.record_shapes, with_stack=self.with_stack)
        self.profiler.__enter__()

    def _end(self) -> None:
        assert self.profiler is not None
        self.profiler.__exit__(None, None, None)
        if self.acc_events:
            self._kept.extend(self.profiler.function_events or ())

    def _mark_step(self) -> None:
        if self._record_steps and self.current_action in _RECORDING:
            self._step = engine.record_function(f"ProfilerStep#{self.step_num}")
            self._step.__enter__()

    def _close_step(self) -> None:
        if self._step is not None:
            self._step.__exit__(None, None, None)
            self._step = None

    def _trace_ready(self) -> None:
        if self.on_trace_ready is not None:
            self.on_trace_ready(self)

    def _move(self, before: ProfilerAction, after: ProfilerAction | None) -> None:
        """Go from what was done in one step to what is to be done in the next."""
        was, will = before in _RECORDING, after in _RECORDING
        if was and (before is ProfilerAction.RECORD_AND_SAVE or not will):
            if before is ProfilerAction.RECORD and after is not None:
                warnings.warn(f"Incorrect schedule: RECORD followed by {after.name}", stacklevel=3)
            self._end()
            if before is ProfilerAction.RECORD_AND_SAVE or after is None:
                self._trace_ready()
            was = False
        if will and not was:
            self._begin()

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin the first step."""
        if self.current_action in _RECORDING:
            self._begin()
        self._mark_step()

    def stop(self) -> None:
        """End the last step."""
        self._close_step()
        self._move(self.current_action, None)
        self.current_action = ProfilerAction.NONE

    def step(self) -> None:
        """End a step and begin the next."""
        self._close_step()
        before = self.current_action
        self.step_num += 1
        self.current_action = self.schedule(self.step_num)
        self._move(before, self.current_action)
        self._mark_step()

    # What was measured.

    def events(self) -> EventList:
        """The events of the last cycle, or of all of them with ``acc_events``."""
        if self.profiler is None:
            raise AssertionError("Profiler must be initialized before getting events")
        if self.acc_events:
            return EventList(self._kept)
        return self.profiler._events()

    def key_averages(
        self, group_by_input_shape: bool = False, group_by_stack_n: int = 0, group_by_overload_name: bool = False
    ) -> EventList:
        """The events of each name together; ``.table(sort_by=..., row_limit=...)`` shows them."""
        if self.profiler is None:
            raise AssertionError("Profiler must be initialized before getting key averages")
        return self.events().key_averages(group_by_input_shape, group_by_stack_n, group_by_overload_name)

    def export_chrome_trace(self, path: Any, *, use_python_export: bool = False) -> None:
        """Write the events to a file that chrome://tracing and Perfetto show; packed where its name ends in ``.gz``."""
        path = os.fspath(path)
        if not path.endswith(".gz"):
            self.events().export_chrome_trace(path)
            return
        plain = path.removesuffix(".gz")
        self.events().export_chrome_trace(plain)
        with open(plain, "rb") as source, gzip.open(path, "wb") as target:
            target.write(source.read())
        os.remove(plain)

    def export_stacks(self, path: Any, metric: str = "self_cpu_time_total") -> None:
        """Write the places of the events, as tools that draw flame graphs read them."""
        if not self.with_stack:
            raise AssertionError("export_stacks() requires with_stack=True")
        self.events().export_stacks(path, metric)

    def export_memory_timeline(self, path: Any, device: Any = None) -> None:
        """NotImplementedError: memory is not followed."""
        raise NotImplementedError(
            "torch.profiler.profile.export_memory_timeline: allocations are JAX's and not followed one by one; "
            "jax.profiler.save_device_memory_profile writes what is in use"
        )

    def add_metadata(self, key: str, value: str) -> None:
        """Keep a text with the profile."""
        self._metadata[key] = json.dumps(value)

    def add_metadata_json(self, key: str, value: str) -> None:
        """Keep a value in JSON with the profile."""
        self._metadata[key] = value

    def preset_metadata_json(self, key: str, value: str) -> None:
        """Keep a value in JSON with the profile."""
        self._metadata[key] = value


class ExecutionTraceObserver:
    """Not there: NotImplementedError."""

    def __init__(self) -> None:
        raise NotImplementedError(
            "torch.profiler.ExecutionTraceObserver writes native torch's execution traces; torch.profiler.profile measures time"
        )
