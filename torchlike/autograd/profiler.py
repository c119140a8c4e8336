"""Measuring where a program's time goes.

While a profile is on, each operation is carried out as soon as it is recorded, and timed: what would otherwise be run
together, and perhaps fused, shows with what it takes by itself. Blocks that the program names, and the nodes of a backward, are
timed around the operations inside of them. The first call of an operation on large arrays includes its compilation.
"""

from __future__ import annotations

import contextlib
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from torchlike._engine.trace import Position, Trace, threads
from torchlike._engine.value import Spec, Value
from torchlike._tape import walk
from torchlike._tape.graph import Node
from torchlike.autograd.profiler_util import EventList, FunctionEvent, FunctionEventAvg

__all__ = ["profile", "record_function", "emit_itt", "emit_nvtx", "EventList", "FunctionEvent"]


class _Span:
    """Something that is being timed."""

    __slots__ = ("inside", "name", "shapes", "start", "user")

    def __init__(self, name: str, start: int, user: bool = False, shapes: list | None = None):
        self.name = name
        self.start = start
        self.user = user
        self.shapes = shapes
        self.inside: list[FunctionEvent] = []


class _Recorder:
    """The events of one profile, of the thread that it is on in."""

    def __init__(self, record_shapes: bool, with_stack: bool):
        self.record_shapes = record_shapes
        self.with_stack = with_stack
        self.begun = time.perf_counter_ns()
        self.open: list[_Span] = []
        self.events: list[FunctionEvent] = []

    def enter(self, name: str, user: bool = False, shapes: list | None = None) -> _Span:
        span = _Span(name, time.perf_counter_ns(), user, shapes)
        self.open.append(span)
        return span

    def leave(self, span: _Span) -> None:
        """Close a span, and what was left open inside of it."""
        end = time.perf_counter_ns()
        while self.open:
            last = self.open.pop()
            self._finish(last, end)
            if last is span:
                break

    def _finish(self, span: _Span, end: int) -> None:
        event = FunctionEvent(
            len(self.events), span.name, threading.get_native_id(), (span.start - self.begun) / 1e3, (end - self.begun) / 1e3,
            input_shapes=span.shapes if self.record_shapes else None, stack=self._stack(), is_user_annotation=span.user,
        )  # fmt: skip
        for child in span.inside:
            event.append_cpu_child(child)
            child.set_cpu_parent(event)
        self.events.append(event)
        if self.open:
            self.open[-1].inside.append(event)

    def _stack(self) -> list[str] | None:
        if not self.with_stack:
            return None
        frames = traceback.extract_stack()
        return [f"{f.filename}({f.lineno}): {f.name}" for f in reversed(frames) if "torchlike" not in f.filename]


class _Active(threading.local):
    recorder: _Recorder | None = None


_active = _Active()


def _shown_name(kernel_name: str) -> str:
    name = kernel_name.lstrip("_")
    if name.endswith(".transpose"):
        name = name.removesuffix(".transpose") + "_backward"
    return f"aten::{name}"


class _TimedTrace(Trace):
    """A trace that carries each operation out at once, and times it."""

    def advance(self, child: Position) -> list[Value]:
        recorder = _active.recorder
        if recorder is None:
            return super().advance(child)
        instance = child.instance
        span = recorder.enter(
            _shown_name(instance.kernel.name),
            shapes=[list(x.shape) if isinstance(x, Spec) else [] for x in instance.inputs],
        )
        outs = super().advance(child)
        self.flush()
        recorder.leave(span)
        return outs


def _timed_node(node: Node, grads: Sequence[Any], create_graph: bool) -> Sequence[Any]:
    """Run a node, timed."""
    recorder = _active.recorder
    run = node.apply_tensors if create_graph else node.apply_values
    if recorder is None:
        return run(list(grads))
    span = recorder.enter(f"autograd::engine::evaluate_function: {node.name()}")
    try:
        return run(list(grads))
    finally:
        recorder.leave(span)


class profile:
    """Times the operations inside of its block.

    Args:
        enabled: whether to measure at all.
        record_shapes: whether to keep the shapes of operands.
        with_stack: whether to keep where in the program an operation was called.

    The other arguments are accepted as they are in PyTorch; memory, floating-point operations and accelerators' own clocks are
    not measured.

    >>> import torchlike as torch
    >>> with torch.autograd.profiler.profile() as prof:
    ...     with torch.autograd.profiler.record_function("forward"):
    ...         y = torch.ones(2, 2).sin()
    >>> [event.name for event in prof.function_events]
    ['forward', 'aten::sin']
    """

    def __init__(
        self, enabled: bool = True, *, use_cuda: bool = False, use_device: str | None = None, record_shapes: bool = False,
        with_flops: bool = False, profile_memory: bool = False, with_stack: bool = False, with_modules: bool = False,
        use_kineto: bool = False, use_cpu: bool = True, experimental_config: Any = None, acc_events: bool = False,
        custom_trace_id_callback: Callable | None = None, post_processing_timeout_s: float | None = None,
        activity_filters: Any = None,
    ):  # fmt: skip
        self.enabled = enabled
        if not enabled:
            return
        self.use_device = use_device
        self.record_shapes = record_shapes
        self.with_flops = with_flops
        self.profile_memory = profile_memory
        self.with_stack = with_stack
        self.with_modules = with_modules
        self.entered = False
        self.function_events: EventList | None = None

    def __enter__(self) -> profile | None:  # type: ignore[return]
        if not self.enabled:
            return None
        if self.entered:
            raise RuntimeError("Profiler context manager is not reentrant")
        if _active.recorder is not None:
            raise RuntimeError("Profiler is already enabled on this thread.")
        self.entered = True
        threads.trace.flush()
        self._outer_trace, self._outer_guard = threads.trace, walk.guard
        threads.trace = _TimedTrace()
        if walk.guard is None:
            walk.guard = _timed_node
        _active.recorder = self._recorder = _Recorder(self.record_shapes, self.with_stack)
        return self

    def __exit__(self, *_: object) -> bool | None:
        if not self.enabled:
            return None
        threads.trace.flush()
        recorder, _active.recorder = self._recorder, None
        while recorder.open:
            recorder.leave(recorder.open[-1])
        threads.trace, walk.guard = self._outer_trace, self._outer_guard
        events = sorted(recorder.events, key=lambda event: (event.time_range.start, -event.time_range.end))
        for number, event in enumerate(events):
            event.id = number
        self.function_events = EventList(events)
        return False

    def _events(self) -> EventList:
        if not self.enabled or self.function_events is None:
            raise RuntimeError("Profiler didn't finish running")
        return self.function_events

    def __repr__(self) -> str:
        if not self.enabled or self.function_events is None:
            return "<unfinished torch.autograd.profile>"
        return repr(self.function_events)

    def __str__(self) -> str:
        if not self.enabled or self.function_events is None:
            return "<unfinished torch.autograd.profile>"
        return str(self.function_events)

    def table(
        self, sort_by: str | None = None, row_limit: int = 100, max_src_column_width: int = 75,
        max_name_column_width: int = 55, max_shapes_column_width: int = 80, header: str | None = None,
        top_level_events_only: bool = False,
    ) -> str:  # fmt: skip
        """The events as a table; see ``EventList.table``."""
        return self._events().table(
            sort_by, row_limit, max_src_column_width, max_name_column_width, max_shapes_column_width, header,
            top_level_events_only,
        )  # fmt: skip

    def key_averages(
        self, group_by_input_shape: bool = False, group_by_stack_n: int = 0, group_by_overload_name: bool = False
    ) -> EventList:
        """The events of each name together; see ``EventList.key_averages``."""
        return self._events().key_averages(group_by_input_shape, group_by_stack_n, group_by_overload_name)

    def total_average(self) -> FunctionEventAvg:
        """All events together."""
        return self._events().total_average()

    @property
    def self_cpu_time_total(self) -> float:
        """The time that all events took, in microseconds."""
        return self._events().self_cpu_time_total

    def export_chrome_trace(self, path: Any) -> None:
        """Write the events to a file that chrome://tracing and Perfetto show."""
        self._events().export_chrome_trace(path)

    def export_stacks(self, path: Any, metric: str = "self_cpu_time_total") -> None:
        """Write the places of the events, as tools that draw flame graphs read them."""
        if not self.with_stack:
            raise AssertionError("export_stacks() requires with_stack=True")
        self._events().export_stacks(path, metric)


class record_function(contextlib.ContextDecorator):
    """Gives the time of a block, or of a decorated function, a name of its own in a profile."""

    def __init__(self, name: str, args: str | None = None):
        self.name = name
        self.args = args
        self._open: list[tuple[_Recorder, _Span]] = []

    def __enter__(self) -> record_function:
        recorder = _active.recorder
        if recorder is not None:
            self._open.append((recorder, recorder.enter(self.name, user=True)))
        return self

    def __exit__(self, *_: object) -> None:
        if self._open:
            recorder, span = self._open.pop()
            recorder.leave(span)

    def _recreate_cm(self) -> record_function:
        return type(self)(self.name, self.args)


class emit_nvtx:
    """Marks operations for NVIDIA's tools, which see none of them here: an AssertionError, as without CUDA in PyTorch."""

    def __init__(self, enabled: bool = True, record_shapes: bool = False):
        self.enabled = enabled
        self.record_shapes = record_shapes

    def __enter__(self) -> emit_nvtx | None:  # type: ignore[return]
        if not self.enabled:
            return None
        raise AssertionError("Torch not compiled with CUDA enabled")

    def __exit__(self, *_: object) -> None:
        return None


class emit_itt(emit_nvtx):
    """Marks operations for Intel's tools, which see none of them here."""

    def __enter__(self) -> emit_itt | None:  # type: ignore[return]
        return self if self.enabled else None


def _profiler_enabled() -> bool:
    return _active.recorder is not None


for _cls in (profile, record_function, emit_nvtx, emit_itt):
    _cls.__module__ = "torch.autograd.profiler"
