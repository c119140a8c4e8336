"""Counters of what the engine did, for benchmarks and for the question "why did it compile?"."""

from __future__ import annotations

flushes = 0
compiles = 0
host_runs = 0
xla_runs = 0


def stats() -> dict[str, int]:
    """Flushes, compilations, and runs of programs on each executor since the process began."""
    return {"flushes": flushes, "compiles": compiles, "host_runs": host_runs, "xla_runs": xla_runs}
