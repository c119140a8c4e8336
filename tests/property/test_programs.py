"""Random programs of views, writes and backward passes show the same on native PyTorch and here, step by step."""

from __future__ import annotations

import re

import pytest

torch = pytest.importorskip("torch")

import programs  # noqa: E402

import torchlike  # noqa: E402
from torchlike._engine import config  # noqa: E402

BLOCK = 50

#: What is known to differ, as a pattern of the difference and the reason. A difference that is none of these fails.
KNOWN: dict[str, str] = {}


def disagreement(seed: int) -> str | None:
    """The first observation of a program that differs, with the step it is of."""
    steps = programs.program(seed)
    want, got = programs.run(torch, steps), programs.run(torchlike, steps)
    for i, (w, g) in enumerate(zip(want, got, strict=True)):
        found = programs.differs(w, g)
        if found:
            step = steps[i] if i < len(steps) else "at the end"
            return f"program {seed}, step {i} {step}: {found}\n  native {w}\n  here   {g}"
    return None


def check(seeds: range) -> None:
    found = [text for text in map(disagreement, seeds) if text is not None]
    found = [text for text in found if not any(re.search(pattern, text) for pattern in KNOWN)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("start", range(0, 600, BLOCK))
def test_programs_agree(start):
    check(range(start, start + BLOCK))


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1_000, 21_000, 20 * BLOCK))
def test_many_programs_agree(start):
    check(range(start, start + 20 * BLOCK))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_programs_agree_under_xla(seed, monkeypatch):
    monkeypatch.setattr(config, "tier", "xla")
    check(range(seed, seed + 1))


def test_a_difference_is_found(monkeypatch):
    """The comparison is not empty: it finds a wrong sine."""
    monkeypatch.setitem(programs.OUT, "sin", lambda x, y: x.sin() if type(x) is torch.Tensor else x.cos())
    with pytest.raises(AssertionError, match="numbers"):
        check(range(200))
