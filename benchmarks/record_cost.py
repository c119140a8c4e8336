"""What one operation costs the Python program that calls it, in the steady state.

    python benchmarks/record_cost.py

A loop of small operations is timed twice: up to its end, when torchlike has recorded the operations and native PyTorch
has run them, and up to the result, when both have. The budget for recording is 2 µs an operation.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import harness

OPERATIONS, WARM_UP, TIMED = 300, 30, 60

# The operation, which keeps values finite over any number of repetitions, and whether gradients are wanted.
LOOPS: list[tuple[str, Callable[[Any, Any], Any], bool]] = [
    ("x + y", lambda x, y: x + y, False),
    ("x * 0.5", lambda x, y: x * 0.5, False),
    ("x.tanh()", lambda x, y: x.tanh(), False),
    ("x @ y", lambda x, y: x @ y, False),
    ("x.t()", lambda x, y: x.t(), False),
    ("x.sum(0, keepdim=True)", lambda x, y: (x.sum(0, keepdim=True), x)[1], False),
    ("x + y", lambda x, y: x + y, True),
    ("x @ y", lambda x, y: x @ y, True),
]


def time_loop(operation: Callable[[Any, Any], Any], requires_grad: bool) -> tuple[float, float]:
    """Median seconds an operation: until the call returns, and until the value is there."""
    import torch

    recorded, finished = [], []
    for repetition in range(WARM_UP + TIMED):
        x = torch.full((8, 8), 0.01, requires_grad=requires_grad)
        y = torch.eye(8) * 0.5
        start = time.perf_counter()
        out = x
        for _ in range(OPERATIONS):
            out = operation(out, y)
        middle = time.perf_counter()
        out.sum().item()
        end = time.perf_counter()
        if repetition >= WARM_UP:
            recorded.append((middle - start) / OPERATIONS)
            finished.append((end - start) / OPERATIONS)
    return statistics.median(recorded), statistics.median(finished)


def measure() -> None:
    for name, operation, requires_grad in LOOPS:
        recorded, finished = time_loop(operation, requires_grad)
        label = f"`{name}`{', with gradient' if requires_grad else ''}"
        harness.report(f"{label}: the call", recorded * 1e6, "µs")
        harness.report(f"{label}: with the result", finished * 1e6, "µs")


if __name__ == "__main__":
    harness.main(__file__, measure, __doc__)
