"""What a profiler measured: events, their averages, and tables of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

__all__ = ["EventList", "FormattedTimesMixin", "Interval", "FunctionEvent", "FunctionEventAvg"]

_SECOND, _MILLISECOND = 1e6, 1e3  # in microseconds, in which all times are
_COLUMN = 12


def _format_time(time_us: float, unit: str | None = None) -> str:
    if unit == "s" or (unit is None and time_us >= _SECOND):
        return f"{time_us / _SECOND:.3f}s"
    if unit == "ms" or (unit is None and time_us >= _MILLISECOND):
        return f"{time_us / _MILLISECOND:.3f}ms"
    return f"{time_us:.3f}us"


def _format_time_share(time_us: float, total_time_us: float) -> str:
    return f"{time_us * 100.0 / total_time_us:.2f}%" if total_time_us else "NaN"


class Interval:
    """A span of time, in microseconds since the profile began."""

    def __init__(self, start: float, end: float):
        self.start = start
        self.end = end

    def elapsed_us(self) -> float:
        """How long it is."""
        return self.end - self.start


class FormattedTimesMixin:
    """Averages and texts of an event's times."""

    count: int
    cpu_time_total: float
    self_cpu_time_total: float
    device_time_total: float = 0.0
    self_device_time_total: float = 0.0

    @property
    def cpu_time(self) -> float:
        """The average time on the host."""
        return 0.0 if self.count == 0 else self.cpu_time_total / self.count

    @property
    def device_time(self) -> float:
        """The average time on an accelerator."""
        return 0.0 if self.count == 0 else self.device_time_total / self.count

    @property
    def cuda_time(self) -> float:
        """The old name of ``device_time``."""
        return self.device_time

    @property
    def cpu_time_str(self) -> str:
        return _format_time(self.cpu_time)

    @property
    def device_time_str(self) -> str:
        return _format_time(self.device_time)

    @property
    def cpu_time_total_str(self) -> str:
        return _format_time(self.cpu_time_total)

    @property
    def device_time_total_str(self) -> str:
        return _format_time(self.device_time_total)

    @property
    def self_cpu_time_total_str(self) -> str:
        return _format_time(self.self_cpu_time_total)

    @property
    def self_device_time_total_str(self) -> str:
        return _format_time(self.self_device_time_total)


class FunctionEvent(FormattedTimesMixin):
    """One call of an operator, a node or a block of the program.

    Times are those of the host, in microseconds; work on an accelerator is waited for and counts there too.
    """

    cpu_memory_usage = device_memory_usage = self_cpu_memory_usage = self_device_memory_usage = 0
    overload_name = ""
    node_id = -1
    is_async = is_remote = is_legacy = False
    use_device = None
    flops = 0
    device_type = "DeviceType.CPU"

    def __init__(
        self, id: int, name: str, thread: int, start_us: float, end_us: float, *, input_shapes: list | None = None,
        stack: list[str] | None = None, is_user_annotation: bool = False,
    ):  # fmt: skip
        self.id = id
        self.name = name
        self.thread = thread
        self.time_range = Interval(start_us, end_us)
        self.input_shapes = input_shapes or []
        self.stack = stack or []
        self.is_user_annotation = is_user_annotation
        self.count = 1
        self.cpu_children: list[FunctionEvent] = []
        self.cpu_parent: FunctionEvent | None = None

    @property
    def key(self) -> str:
        """What averages go by: the name."""
        return self.name

    @property
    def cpu_time_total(self) -> float:  # type: ignore[override]
        """The time from start to end."""
        return self.time_range.elapsed_us()

    @property
    def self_cpu_time_total(self) -> float:  # type: ignore[override]
        """The time that none of the events inside took."""
        return self.cpu_time_total - sum(child.cpu_time_total for child in self.cpu_children)

    def append_cpu_child(self, child: FunctionEvent) -> None:
        """Say that another event happened inside of this one."""
        self.cpu_children.append(child)

    def set_cpu_parent(self, parent: FunctionEvent) -> None:
        """Say inside of which event this one happened."""
        self.cpu_parent = parent

    def __repr__(self) -> str:
        return (
            f"<FunctionEvent id={self.id} name={self.name} overload_name={self.overload_name} device_type={self.device_type} "
            f"node_id={self.node_id} cpu_time={self.cpu_time_str} start_us={self.time_range.start} "
            f"end_us={self.time_range.end} cpu_children={[child.id for child in self.cpu_children]} "
            f"None_time={self.device_time_str} name={self.name} thread={self.thread} input_shapes={self.input_shapes} "
            f"cpu_memory_usage={self.cpu_memory_usage} None_memory_usage={self.device_memory_usage} is_async={self.is_async} "
            f"is_remote={self.is_remote} seq_nr=-1 is_legacy={self.is_legacy}>"
        )


class FunctionEventAvg(FormattedTimesMixin):
    """All events of one name together."""

    cpu_memory_usage = device_memory_usage = self_cpu_memory_usage = self_device_memory_usage = 0
    overload_name = ""
    node_id = -1
    is_async = is_remote = is_legacy = is_user_annotation = False
    use_device = None
    flops = 0
    device_type = "DeviceType.CPU"

    def __init__(self) -> None:
        self.key: str | None = None
        self.count = 0
        self.cpu_time_total = 0.0
        self.self_cpu_time_total = 0.0
        self.input_shapes: Any = None
        self.stack: list[str] = []
        self.cpu_children: list[FunctionEvent] = []
        self.cpu_parent: FunctionEvent | None = None

    def add(self, other: Any) -> FunctionEventAvg:
        """Take another event, or another average, in."""
        if self.key is None:
            self.key = other.key
            self.input_shapes = other.input_shapes
            self.stack = other.stack
            self.cpu_parent = other.cpu_parent
        self.count += other.count
        self.cpu_time_total += other.cpu_time_total
        self.self_cpu_time_total += other.self_cpu_time_total
        return self

    __iadd__ = add

    def __repr__(self) -> str:
        return (
            f"<FunctionEventAvg key={self.key} self_cpu_time={self.self_cpu_time_total_str} cpu_time={self.cpu_time_str}  "
            f"self_cuda_time={self.self_device_time_total_str} cuda_time={self.device_time_str} "
            f"input_shapes={self.input_shapes} cpu_memory_usage={self.cpu_memory_usage} "
            f"cuda_memory_usage={self.device_memory_usage}>"
        )


class EventList(list):
    """Events, or averages of them, in order of their start."""

    def __str__(self) -> str:
        return self.table()

    @property
    def self_cpu_time_total(self) -> float:
        """The time that all events took."""
        return sum(event.self_cpu_time_total for event in self)

    def table(
        self, sort_by: str | None = None, row_limit: int = 100, max_src_column_width: int = 75,
        max_name_column_width: int = 55, max_shapes_column_width: int = 80, header: str | None = None,
        top_level_events_only: bool = False, time_unit: str | None = None,
    ) -> str:  # fmt: skip
        """The events as a table.

        Args:
            sort_by: the attribute to sort by, largest first, such as ``"cpu_time_total"``.
            row_limit: how many rows to show.
            max_src_column_width, max_name_column_width, max_shapes_column_width: how wide those columns may be.
            header: a line above.
            top_level_events_only: whether to leave out what happened inside of other events.
            time_unit: ``"s"``, ``"ms"`` or ``"us"``; by default what suits each number.
        """
        if not self:
            return ""
        events = list(self)
        if sort_by is not None:
            attribute = sort_by.replace("cuda", "device").replace("xpu", "device").replace("privateuse1", "device")
            events.sort(key=lambda event: getattr(event, attribute), reverse=True)
        columns = _columns(events, max_src_column_width, max_name_column_width, max_shapes_column_width)
        total = self.self_cpu_time_total
        rows = []
        for event in events:
            if len(rows) == row_limit:
                break
            if not (top_level_events_only and event.cpu_parent is not None):
                rows.append(_row(event, total, columns, max_name_column_width, time_unit))
        return _drawn(columns, rows, header, top_level_events_only, _format_time(total, time_unit))

    def key_averages(
        self, group_by_input_shapes: bool = False, group_by_stack_n: int = 0, group_by_overload_name: bool = False
    ) -> EventList:
        """The events of each name together, and optionally of each set of shapes or of each place in the program."""
        groups: dict[Any, FunctionEventAvg] = {}
        for event in self:
            shapes = str(event.input_shapes) if group_by_input_shapes else None
            key = (event.key, event.is_user_annotation, shapes, tuple(event.stack[:group_by_stack_n]))
            groups.setdefault(key, FunctionEventAvg()).add(event)
        for average in groups.values():
            average.stack = average.stack[:group_by_stack_n]
            if not group_by_input_shapes:
                average.input_shapes = ""
        return EventList(groups.values())

    def total_average(self) -> FunctionEventAvg:
        """All events together."""
        total = FunctionEventAvg()
        for event in self:
            total.add(event)
        total.key = "Total"
        return total

    def export_chrome_trace(self, path: str | os.PathLike) -> None:
        """Write the events to a file that chrome://tracing and Perfetto show."""
        events = [
            {
                "name": event.name, "ph": "X", "ts": event.time_range.start, "dur": event.cpu_time_total, "tid": event.thread,
                "pid": "CPU functions", "args": {"Input Dims": event.input_shapes} if event.input_shapes else {},
            }
            for event in self
        ]  # fmt: skip
        with open(path, "w", encoding="utf-8") as file:
            json.dump(events, file)

    def supported_export_stacks_metrics(self) -> list[str]:
        """What ``export_stacks`` can export."""
        return ["self_cpu_time_total", "self_cuda_time_total", "self_xpu_time_total", "self_privateuse1_time_total"]

    def export_stacks(self, path: str | os.PathLike, metric: str) -> None:
        """Write the places of the events and what they took, as tools that draw flame graphs read it."""
        if metric not in self.supported_export_stacks_metrics():
            raise ValueError(f"metric should be one of: {self.supported_export_stacks_metrics()!s}")
        attribute = metric.replace("cuda", "device").replace("xpu", "device").replace("privateuse1", "device")
        with open(path, "w", encoding="utf-8") as file:
            for event in self:
                value = int(getattr(event, attribute))
                if event.stack and value > 0:
                    stack = ";".join(
                        entry.translate(str.maketrans(" ;\t\n", "____")) for entry in reversed(event.stack)
                    )
                    file.write(f"{stack} {value}\n")


#: A column: its heading and its width.
_Columns = list[tuple[str, int]]


def _columns(events: Iterable[Any], src_width: int, name_width: int, shapes_width: int) -> _Columns:
    events = list(events)
    columns = [("Name", min(max(len(event.key) for event in events) + 4, name_width))]
    columns += [
        (name, _COLUMN) for name in ("Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg", "# of Calls")
    ]
    if any(event.input_shapes for event in events):
        widest = max(len(str(event.input_shapes)) for event in events)
        columns.append(("Input Shapes", min(widest + 4, shapes_width)))
    if any(event.stack for event in events):
        widest = max(len(entry) for event in events for entry in event.stack)
        columns.append(("Source Location", min(widest + 4, src_width)))
    return columns


def _row(event: Any, total: float, columns: _Columns, name_width: int, unit: str | None) -> list[list[str]]:
    """The lines of an event's row, the first with all cells, others with more of the place in the program."""
    name = event.key if len(event.key) < name_width - 3 else event.key[: name_width - 3] + "..."
    cells = [
        name, _format_time_share(event.self_cpu_time_total, total), _format_time(event.self_cpu_time_total, unit),
        _format_time_share(event.cpu_time_total, total), _format_time(event.cpu_time_total, unit),
        _format_time(event.cpu_time, unit), str(event.count),
    ]  # fmt: skip
    widths = dict(columns)
    if "Input Shapes" in widths:
        cells.append(str(event.input_shapes)[: widths["Input Shapes"]])
    if "Source Location" not in widths:
        return [cells]
    entries = [_shortened(entry, widths["Source Location"]) for entry in event.stack]
    empty = [""] * len(cells)
    return [[*cells, entries[0] if entries else ""], *[[*empty, entry] for entry in entries[1:]], [*empty, ""]]


def _shortened(path: str, width: int) -> str:
    return path if len(path) <= width else "..." + path[len(path) - width + 3 :]


def _drawn(columns: _Columns, rows: list, header: str | None, top_level: bool, total: str) -> str:
    line = "".join("-" * width + "  " for _, width in columns)
    bar = "=" * (len(line) - 2)

    def cells(texts: Iterable[str]) -> str:
        return "".join(
            (f"{text:<{width}}" if heading == "Source Location" else f"{text:>{width}}") + "  "
            for text, (heading, width) in zip(texts, columns)
        )

    lines = [] if header is None else [bar, header]
    if top_level:
        lines += [bar, "This report only display top-level ops statistics"]
    lines += [line, cells(heading for heading, _ in columns), line]
    lines += [cells(texts) for row in rows for texts in row]
    return "\n".join([*lines, line, f"Self CPU time total: {total}", ""])


for _cls in (FormattedTimesMixin, Interval, FunctionEvent, FunctionEventAvg, EventList):
    _cls.__module__ = "torch.autograd.profiler_util"
