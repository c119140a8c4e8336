"""Whether memory and compilations stay bounded over many steps, and over steps that never repeat.

    python -m torchlike benchmarks/memory.py [--steps 100000] [--shapes 1000]

Two runs of one training loop: with the same batch each time, where the process must not grow; and with a new batch
size each time, where in addition hardly anything may be compiled, since no program repeats. The exit status is 1 if
a limit is broken. Under native PyTorch it shows native's growth.
"""

from __future__ import annotations

import argparse
import sys

import harness
import mlp_step

# Megabytes that a process may grow after the first tenth of a run, and compilations per hundred new shapes.
GROWTH, COMPILES = 30.0, 5.0


def train(sizes: list[int]) -> tuple[float, int]:
    """Train on batches of the given sizes; growth in megabytes after the first tenth of them, and compilations."""
    import torch

    model, _, _ = mlp_step.problem()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(1)
    inputs, labels = torch.randn(max(sizes), 50), torch.randint(0, 3, (max(sizes),), generator=generator)
    before = harness.engine_stats()
    resident = 0.0
    for index, size in enumerate(sizes):
        if index == len(sizes) // 10:
            resident = harness.resident_megabytes()
        loss = torch.nn.functional.cross_entropy(model(inputs[:size]), labels[:size])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
    grown = harness.resident_megabytes() - resident
    after = harness.engine_stats()
    return grown, after.get("compiles", 0) - before.get("compiles", 0)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--steps", type=int, default=100_000, help="steps with one batch size (default 100000)")
    options.add_argument("--shapes", type=int, default=1_000, help="steps with a new batch size each (default 1000)")
    chosen = options.parse_args()

    grown, compiles = train([32] * chosen.steps)
    print(f"{chosen.steps} steps of one size: grew by {grown:.1f} MB, {compiles} compilations")
    broken = grown > GROWTH
    grown, compiles = train(list(range(1, chosen.shapes + 1)))
    print(f"{chosen.shapes} steps of new sizes: grew by {grown:.1f} MB, {compiles} compilations")
    broken |= compiles > COMPILES * chosen.shapes / 100
    return int(broken and harness.is_torchlike())


if __name__ == "__main__":
    sys.exit(main())
