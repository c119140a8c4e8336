"""One training step of an MLP 50-30-20-3 on a batch of 32, in the steady state, three ways.

python benchmarks/mlp_step.py --rounds 5 --cores 1
"""

from __future__ import annotations

import time
from collections.abc import Callable

import harness

WARM_UP, TIMED = 400, 2000


def problem():
    """The model, a batch of inputs and its labels."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(50, 30), nn.ReLU(), nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 3))
    return model, torch.randn(32, 50), torch.randint(0, 3, (32,))


def with_sgd() -> Callable[[], float]:
    """SGD, and a look at the loss after every step, as tutorials have it."""
    import torch

    model, inputs, labels = problem()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def step() -> float:
        loss = torch.nn.functional.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def with_adam() -> Callable[[], float]:
    """Adam; the loss is looked at once in a hundred steps."""
    import torch

    model, inputs, labels = problem()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    count, seen = 0, 0.0

    def step() -> float:
        nonlocal count, seen
        count += 1
        loss = torch.nn.functional.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if count % 100 == 1:
            seen = loss.item()
        return seen

    return step


def by_hand() -> Callable[[], float]:
    """No module, no optimizer: tensors, ``backward`` and in-place updates under ``no_grad``."""
    import torch

    model, inputs, labels = problem()
    parameters = [parameter.detach().clone().requires_grad_() for parameter in model.parameters()]

    def step() -> float:
        w1, b1, w2, b2, w3, b3 = parameters
        hidden = torch.relu(inputs @ w1.T + b1)
        hidden = torch.relu(hidden @ w2.T + b2)
        loss = torch.nn.functional.cross_entropy(hidden @ w3.T + b3, labels)
        loss.backward()
        with torch.no_grad():
            for parameter in parameters:
                parameter -= 0.01 * parameter.grad
                parameter.grad = None
        return loss.item()

    return step


CASES = {"SGD, .item() each step": with_sgd, "Adam": with_adam, "by hand, .item() each step": by_hand}


def measure() -> None:
    for name, build in CASES.items():
        step = build()
        before = harness.engine_stats()
        start = time.perf_counter()
        first = step()
        harness.report(f"{name}: first step", (time.perf_counter() - start) * 1e3, "ms")
        for _ in range(WARM_UP):
            step()
        warm = harness.engine_stats()
        harness.report(f"{name}: a step", harness.seconds_per_call(step, TIMED) * 1e6, "µs")
        assert step() < first
        if warm:
            after = harness.engine_stats()
            harness.report(f"{name}: compiles, warming up", warm["compiles"] - before["compiles"], "")
            harness.report(f"{name}: compiles, afterwards", after["compiles"] - warm["compiles"], "")
            host, xla = (after[tier] - warm[tier] for tier in ("host_runs", "xla_runs"))
            harness.report(f"{name}: runs on XLA, afterwards", round(100 * xla / (host + xla)), "%")


if __name__ == "__main__":
    harness.main(__file__, measure, __doc__)
