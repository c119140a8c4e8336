"""``Compare``: a table of measurements, a row for each task and number of threads, a column for each description."""

from __future__ import annotations

import enum
import math
from collections import defaultdict
from collections.abc import Iterable

from torchlike.utils.benchmark.utils.common import (
    Measurement,
    ordered_unique,
    select_unit,
    trim_sigfig,
    unit_to_english,
)

_BOLD, _END = "\033[1m", "\033[0m"
#: Colours from the best to the worst, with the multiple of the best time up to which they go.
_COLOURS = ((1.01, "\033[92m" + _BOLD, _END * 2), (1.1, "\033[34m" + _BOLD, _END * 2), (2.0, "", ""),
            (5.0, "\033[2m\033[91m", _END * 2), (math.inf, "\033[31m" + _BOLD, _END * 2))  # fmt: skip


class Colorize(enum.Enum):
    """Whether times are coloured, and what each is compared with."""

    NONE = "none"
    COLUMNWISE = "columnwise"
    ROWWISE = "rowwise"


class _Column:
    """How the times of a column are written."""

    def __init__(self, results: list[Measurement | None], scale: float, trim: bool, warn: bool):
        present = [r for r in results if r is not None]
        self.trim, self.warn = trim, warn and any(r.has_warnings for r in present)
        self.scale = scale
        digits = [math.ceil(math.log10(r.median / scale)) for r in present]
        places = min(max(r.significant_figures - d, 0) for r, d in zip(present, digits, strict=True)) if trim else 1
        width = max(digits) + places + (1 if places else 0)
        self.template = f"{{:>{width}.{places}f}}{{:>{7 if self.warn else 0}}}"

    def shown(self, result: Measurement | None) -> str:
        """A time of this column, blank where there is none."""
        if result is None:
            return " " * len(self.template.format(trim_sigfig(1, 1) if self.trim else 1, ""))
        value = result.median / self.scale
        if self.trim:
            value = trim_sigfig(value, result.significant_figures)
        mark = f" (! {result.iqr / result.median * 100:.0f}%)" if self.warn and result.has_warnings else ""
        return self.template.format(value, mark)


def _coloured(text: str, value: float, best: float) -> str:
    if value <= best + 100e-9:
        value = best
    for bound, start, end in _COLOURS:
        if value <= best * bound:
            return f"{start}{text}{end}"
    return text


class Compare:
    """A table of measurements, which are merged where they are of the same task; print it or make it a string."""

    def __init__(self, results: list[Measurement]) -> None:
        self._results: list[Measurement] = []
        self.extend_results(results)
        self._trim = False
        self._colorize = Colorize.NONE
        self._warn = False

    def extend_results(self, results: Iterable[Measurement]) -> None:
        """Add measurements."""
        results = list(results)
        for r in results:
            if not isinstance(r, Measurement):
                raise ValueError(f"Expected an instance of `Measurement`, got {type(r)} instead.")
        self._results.extend(results)

    def trim_significant_figures(self) -> None:
        """Show only the figures that mean something."""
        self._trim = True

    def colorize(self, rowwise: bool = False) -> None:
        """Colour times by how they compare with the best of their column, or row."""
        self._colorize = Colorize.ROWWISE if rowwise else Colorize.COLUMNWISE

    def highlight_warnings(self) -> None:
        """Mark times that spread wide."""
        self._warn = True

    def print(self) -> None:
        """Print the table."""
        print(str(self))

    def __str__(self) -> str:
        groups: defaultdict[str | None, list[Measurement]] = defaultdict(list)
        for r in Measurement.merge(self._results):
            groups[r.label].append(r)
        return "\n".join([self._table(label, results) for label, results in groups.items()])

    def _table(self, label: str | None, results: list[Measurement]) -> str:
        unit, scale = select_unit(min(r.median for r in results))
        rows = sorted(
            ordered_unique((r.num_threads, r.env, r.as_row_name) for r in results), key=lambda k: (k[0], k[1] or "")
        )
        names = ordered_unique(r.description for r in results)
        cells = {((r.num_threads, r.env, r.as_row_name), r.description): r for r in results}
        columns = [_Column([cells.get((row, name)) for row in rows], scale, self._trim, self._warn) for name in names]
        envs = {r.env for r in results}
        width = max((len(e or "") for e in envs), default=0) if len(envs) > 1 else 0
        lines = [["", *[str(name) if name is not None else "" for name in names]]]
        for row in rows:
            env = f"({row[1]})" if width else ""
            times = [c.shown(cells.get((row, name))) for c, name in zip(columns, names, strict=True)]
            lines.append(["  " + env.ljust(width + 4) + row[2] if width else "      " + row[2], *times])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        shown = ["  |  ".join(text.center(w) for text, w in zip(lines[0], widths, strict=True))]
        whole = len(shown[0])
        before = None
        for row, line in zip(rows, lines[1:], strict=True):
            if row[0] != before:
                shown.append(f"{row[0]} threads: ".ljust(whole, "-"))
                before = row[0]
            shown.append("  |  ".join(self._row(row, rows, names, cells, line, widths)))
        marked = self._warn and any(r.has_warnings for r in results)
        foot = "(! XX%) Measurement has high variance, where XX is the IQR / median * 100.\n" if marked else ""
        title = f" {label or ''} ".center(whole - 2, "-")
        return f"[{title}]\n" + "\n".join(shown) + f"\n\nTimes are in {unit_to_english(unit)}s ({unit}).\n{foot}"

    def _row(self, row, rows, names, cells, line, widths) -> list[str]:
        out = [line[0].ljust(widths[0])]
        for name, text, w in zip(names, line[1:], widths[1:], strict=True):
            text = text.center(w)
            here = cells.get((row, name))
            if here is not None and self._colorize is not Colorize.NONE:
                others = (
                    [cells.get((row, n)) for n in names]
                    if self._colorize is Colorize.ROWWISE
                    else [cells.get((r, name)) for r in rows if r[0] == row[0]]
                )
                text = _coloured(text, here.median, min(m.median for m in others if m is not None))
            out.append(text)
        return out
