"""Run the same program under native PyTorch and under torchlike, by turns in fresh processes, and compare.

    python benchmarks/harness.py                          # every comparison, one table
    python benchmarks/harness.py mlp_step --rounds 7 --cores 2 --picture ratios.png

A benchmark is a program that imports ``torch``, measures, and hands each number to ``report``. Run by itself it
compares the two sides; the sides get the same cores, the same thread counts and an environment in which NumPy's BLAS
chooses its own kernels. Each round is one process of each side, so that both see the same moments of a busy machine;
the table shows medians and, in brackets, the range.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
SIDES = {"native": [sys.executable], "torchlike": [sys.executable, "-m", "torchlike"]}
COMPARISONS = ["mlp_step", "record_cost", "cold_documents"]
_CHILD = "TORCHLIKE_BENCHMARK_SIDE"
_MARK = "RESULT "
_TOO_SLOW = 900

#: What one process measured: name -> (value, unit).
Results = dict[str, tuple[float, str]]


# ------------------------------------------------------------------------------------ inside a measuring process


def report(name: str, value: float, unit: str) -> None:
    """Hand one measurement to the comparison."""
    print(_MARK + json.dumps([name, value, unit]), flush=True)


def side() -> str | None:
    """Which side this process measures, or None in the process that compares."""
    return os.environ.get(_CHILD)


def is_torchlike() -> bool:
    """Whether ``import torch`` means torchlike in this process."""
    import torch

    return str(torch.__version__).endswith("torchlike")


def engine_stats() -> dict[str, int]:
    """The engine's counters (flushes, compiles, ...); empty under native PyTorch."""
    if not is_torchlike():
        return {}
    from torchlike._engine.stats import stats

    return stats()


def seconds_per_call(step: Callable[[], object], calls: int, chunks: int = 5) -> float:
    """The median over several chunks of the time per call."""
    times = []
    for _ in range(chunks):
        start = time.perf_counter()
        for _ in range(calls // chunks):
            step()
        times.append((time.perf_counter() - start) / (calls // chunks))
    return statistics.median(times)


def resident_megabytes() -> float:
    """The memory that this process has in RAM now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


# ------------------------------------------------------------------------------------ around measuring processes


def environment(which: str, cores: int, cache: str) -> dict[str, str]:
    """The same threads for both sides; only the process's own kernels; no compiled programs from before.

    Python may keep compiled bytecode, as it does for an installed package.
    """
    kept_out = ("OPENBLAS_", "PYTHONDONTWRITEBYTECODE")
    chosen = {name: value for name, value in os.environ.items() if not name.startswith(kept_out)}
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        chosen[name] = str(cores)
    if cores == 1:
        chosen["XLA_FLAGS"] = f"{chosen.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
    paths = [str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    chosen.update({_CHILD: which, "TORCHLIKE_CACHE_DIR": cache, "PYTHONPATH": os.pathsep.join(filter(None, paths))})
    return chosen


def _pin(cores: int) -> Callable[[], None] | None:
    """For the child: stay on the first so many of the cores that this process may use."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    mine = sorted(os.sched_getaffinity(0))[:cores]
    return lambda: os.sched_setaffinity(0, mine)


def run_once(
    which: str, program: Sequence[str], cores: int, cache: str | None = None, statuses: Sequence[int] = (0,)
) -> tuple[float, str]:
    """Run a program in a fresh process of one side; its wall-clock seconds, start-up included, and its output.

    Args:
        cache: folder for compiled programs; None gives the process an empty one.
        statuses: exit statuses of a run that counts.
    """
    with tempfile.TemporaryDirectory(prefix="torchlike-cache-") as empty:
        start = time.perf_counter()
        done = subprocess.run(
            [*SIDES[which], *program],
            env=environment(which, cores, cache or empty),
            preexec_fn=_pin(cores),
            stdout=subprocess.PIPE,
            text=True,
            timeout=_TOO_SLOW,
        )
        seconds = time.perf_counter() - start
    if done.returncode not in statuses:
        raise RuntimeError(f"{' '.join(program)} under {which} ended with status {done.returncode}")
    return seconds, done.stdout


def measurements(output: str) -> Results:
    """What a benchmark reported in its output."""
    found = [json.loads(line[len(_MARK) :]) for line in output.splitlines() if line.startswith(_MARK)]
    return {name: (value, unit) for name, value, unit in found}


class Comparison:
    """Measurements of both sides over several rounds, by name in the order in which they came."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, list[float]]] = {}
        self.units: dict[str, str] = {}

    def add(self, which: str, results: Results) -> None:
        for name, (value, unit) in results.items():
            self.values.setdefault(name, {key: [] for key in SIDES})[which].append(value)
            self.units[name] = unit

    def ratio(self, name: str) -> float | None:
        """The median of torchlike over the median of native; None where one of them did not measure."""
        native, ours = (self.values[name][which] for which in SIDES)
        if not native or not ours or not statistics.median(native):
            return None
        return statistics.median(ours) / statistics.median(native)

    def table(self) -> str:
        """A Markdown table."""
        lines = ["| measured | native | torchlike | torchlike / native |", "|---|---:|---:|---:|"]
        for name, sides in self.values.items():
            cells = [_cell(sides[which], self.units[name]) for which in SIDES]
            ratio = self.ratio(name)
            lines.append(f"| {name} | {cells[0]} | {cells[1]} | {'' if ratio is None else f'{ratio:.2f}'} |")
        return "\n".join(lines)


def _number(value: float) -> str:
    if value == int(value):
        return str(int(value))
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 100 else f"{value:.0f}"


def _cell(values: list[float], unit: str) -> str:
    if not values:
        return ""
    text = f"{_number(statistics.median(values))} {unit}".strip()
    low, high = _number(min(values)), _number(max(values))
    return text if low == high else f"{text} ({low} to {high})"


def compare(programs: Sequence[str], rounds: int, cores: int) -> Comparison:
    """Run benchmark programs by turns on both sides."""
    comparison = Comparison()
    for program in programs:
        with tempfile.TemporaryDirectory(prefix="torchlike-cache-") as cache:
            for _ in range(rounds):
                for which in SIDES:
                    _, output = run_once(which, [program], cores, cache)
                    comparison.add(which, measurements(output))
    return comparison


def about(rounds: int, cores: int) -> str:
    """One line on what a table was measured with."""
    from importlib import metadata

    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "jax", "numpy"))
    return f"Medians of {rounds} rounds, {cores} core{'s' * (cores > 1)}, {_processor()}; {versions}."


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def draw(comparison: Comparison, path: str) -> None:
    """A picture of the ratios: to the left of the line torchlike is the faster one."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = [name for name in comparison.values if comparison.ratio(name) is not None][::-1]
    ratios = [comparison.ratio(name) or 0.0 for name in names]
    figure, axes = plt.subplots(figsize=(8, 1 + 0.35 * len(names)), layout="constrained")
    axes.barh(names, ratios, color=["#2a7" if ratio <= 1 else "#c54" for ratio in ratios])
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("torchlike / native (less is faster)")
    figure.savefig(path, dpi=120)


def parser(description: str | None, rounds: int = 5) -> argparse.ArgumentParser:
    """The options that all benchmarks have."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=rounds, help=f"processes of each side (default {rounds})")
    options.add_argument("--cores", type=int, default=1, help="cores of each process (default 1)")
    return options


def main(program: str, measure: Callable[[], None], description: str | None) -> None:
    """The main part of a benchmark program: measure in a measuring process, compare otherwise."""
    if side() is not None:
        measure()
        return
    chosen = parser(description).parse_args()
    print(compare([program], chosen.rounds, chosen.cores).table())
    print(f"\n{about(chosen.rounds, chosen.cores)}")


def _compare_all() -> None:
    options = parser(__doc__)
    options.add_argument("benchmarks", nargs="*", help=f"of {', '.join(COMPARISONS)}; all by default")
    options.add_argument("--picture", metavar="FILE", help="draw the ratios")
    chosen = options.parse_args()
    comparison = Comparison()
    for name in chosen.benchmarks or COMPARISONS:
        if name == "cold_documents":
            import cold_documents

            part = cold_documents.compare(cold_documents.FOLDER, chosen.rounds, chosen.cores)
        else:
            part = compare([str(HERE / f"{name}.py")], chosen.rounds, chosen.cores)
        comparison.values.update(part.values)
        comparison.units.update(part.units)
    print(comparison.table())
    print(f"\n{about(chosen.rounds, chosen.cores)}")
    if chosen.picture:
        draw(comparison, chosen.picture)


if __name__ == "__main__":
    _compare_all()
