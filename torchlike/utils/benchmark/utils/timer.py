"""``Timer``: how long a statement takes.

Operations are recorded first and run later, and a result that nobody holds is never computed. So the timed statement is
followed by a wait for what it has recorded, and where it ends in an expression, its value is held until then.
"""

from __future__ import annotations

import ast
import enum
import textwrap
import time
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from torchlike._streams import finish
from torchlike._tensor.device import device as Device
from torchlike._tensor.placement import accelerators
from torchlike.utils.benchmark.utils import common


class Language(enum.Enum):
    """The language of a statement."""

    PYTHON = 0
    CPP = 1


def _wait() -> None:
    finish(Device("cuda") if accelerators() else None)


def timer() -> float:
    """The time in seconds, after waiting for all recorded work."""
    _wait()
    return time.perf_counter()


_TEMPLATE = """
def measure(_number, _timer, _wait):
{setup}
    _start = _timer()
    for _ in range(_number):
{stmt}
        _wait()
    return _timer() - _start
"""


def _holding(stmt: str) -> str:
    """The statement, the value of its last expression held in a variable."""
    tree = ast.parse(stmt)
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = tree.body[-1]
        target = ast.Name("_held", ast.Store())
        tree.body[-1] = ast.copy_location(ast.Assign([target], last.value), last)
        stmt = ast.unparse(ast.fix_missing_locations(tree))
    return stmt


class Timer:
    """Measures how long the statement ``stmt`` takes, after ``setup``, with variables from ``globals``.

    ``label``, ``sub_label``, ``description``, ``env`` and ``num_threads`` describe the measurement; ``Compare`` arranges
    measurements by them.
    """

    def __init__(
        self, stmt: str = "pass", setup: str = "pass", global_setup: str = "", timer: Callable[[], float] = timer,
        globals: dict[str, Any] | None = None, label: str | None = None, sub_label: str | None = None,
        description: str | None = None, env: str | None = None, num_threads: int = 1,
        language: Language | str = Language.PYTHON,
    ) -> None:  # fmt: skip
        if not isinstance(stmt, str):
            raise ValueError("Currently only a `str` stmt is supported.")
        if language not in (Language.PYTHON, "py", "python"):
            raise NotImplementedError(
                "torch.utils.benchmark.Timer: statements in C++ are compiled against native torch's headers; only Python is timed"
            )
        if global_setup:
            raise ValueError(
                f"global_setup is C++ only, got `{global_setup}`. Most likely this code can simply be moved to `setup`."
            )
        self._globals = dict(globals or {})
        self._timer = timer
        stmt, setup = (textwrap.dedent(s).strip() for s in (stmt, setup))
        self._task_spec = common.TaskSpec(
            stmt=stmt, setup=setup, global_setup="", label=label, sub_label=sub_label, description=description, env=env,
            num_threads=num_threads,
        )  # fmt: skip
        text = _TEMPLATE.format(
            setup=textwrap.indent(setup or "pass", " " * 4), stmt=textwrap.indent(_holding(stmt) or "pass", " " * 8)
        )
        import torchlike

        scope = {"torch": torchlike, **self._globals}
        exec(compile(text, "<timer>", "exec"), scope)
        self._measure = scope["measure"]

    def _timeit(self, number: int) -> float:
        return max(self._measure(number, self._timer, _wait), 1e-9)

    def timeit(self, number: int = 1000000) -> common.Measurement:
        """One measurement of ``number`` runs, after a hundredth as many to warm up."""
        with common.set_torch_threads(self._task_spec.num_threads):
            self._timeit(max(number // 100, 2))
            return common.Measurement(number, [self._timeit(number)], self._task_spec)

    def repeat(self, repeat: int = -1, number: int = -1) -> None:
        """NotImplementedError: see :meth:`blocked_autorange`."""
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def autorange(self, callback: Callable[[int, float], NoReturn] | None = None) -> None:
        """NotImplementedError: see :meth:`blocked_autorange`."""
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def _block_size(self, min_run_time: float) -> int:
        """How many runs make the clock's own cost a small part of a measurement."""
        overhead = float(np.median([self._timeit(0) for _ in range(5)]))
        number = 1
        while True:
            taken = self._timeit(number)
            if overhead / taken <= 1e-4 and taken >= min_run_time / 1000:
                return number
            if taken > min_run_time:
                return number
            number *= 10

    def _loop(
        self, number: int, stop: Callable[[list[float]], bool], min_run_time: float, max_run_time: float | None,
        callback: Callable[[int, float], NoReturn] | None,
    ) -> list[float]:  # fmt: skip
        times: list[float] = []
        while sum(times) < min_run_time or not stop(times):
            times.append(self._timeit(number))
            if callback:
                callback(number, times[-1])
            if max_run_time and sum(times) > max_run_time:
                break
        return times

    def blocked_autorange(
        self, callback: Callable[[int, float], NoReturn] | None = None, min_run_time: float = 0.2
    ) -> common.Measurement:
        """Measurements of as many runs as keep the clock's cost small, until ``min_run_time`` seconds are over."""
        with common.set_torch_threads(self._task_spec.num_threads):
            number = self._block_size(min_run_time)
            times = self._loop(number, lambda times: True, min_run_time, None, callback)
        return common.Measurement(number, times, self._task_spec)

    def adaptive_autorange(
        self, threshold: float = 0.1, *, min_run_time: float = 0.01, max_run_time: float = 10.0,
        callback: Callable[[int, float], NoReturn] | None = None,
    ) -> common.Measurement:  # fmt: skip
        """Measurements until their spread is under ``threshold`` of the median, or ``max_run_time`` seconds are over."""
        with common.set_torch_threads(self._task_spec.num_threads):
            number = self._block_size(min_run_time=0.05)

            def stop(times: list[float]) -> bool:
                return len(times) > 3 and common.Measurement(number, times, self._task_spec).meets_confidence(threshold)

            times = self._loop(number, stop, min_run_time, max_run_time, callback)
        return common.Measurement(number, times, self._task_spec)

    def collect_callgrind(self, number: int = 100, *, repeats: Any = None, collect_baseline: bool = True,
                          retain_out_file: bool = False) -> Any:  # fmt: skip
        """NotImplementedError: instructions are not counted."""
        raise NotImplementedError(
            "torch.utils.benchmark.Timer.collect_callgrind counts instructions with Valgrind in a process of native torch; "
            "blocked_autorange measures time"
        )
