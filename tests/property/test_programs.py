"""Random programs of views, writes and backward passes show the same on native PyTorch and here, step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import programs  # noqa: E402

import torchlike  # noqa: E402
from torchlike._engine import config  # noqa: E402

BLOCK = 50


def _strides_of_ones(want: Any, got: Any) -> bool:
    """Alike but for the strides of dimensions of size one."""
    if want[0] == "final":
        want, got = want[1], got[1]
    if len(want) != 8 or len(got) != 8 or want[1] is None or got[1] is None:
        return False

    def without(seen):
        return (seen[0], tuple(s for s, n in zip(seen[1], seen[0], strict=True) if n != 1), *seen[2:])

    return programs.differs(without(want), without(got)) is None


def _raises(text: str) -> Callable[[Any, Any], bool]:
    """One of the two has an error with this text."""
    return lambda want, got: any(isinstance(x, tuple) and text in str(x) for x in (want, got))


#: What is known to differ: the reason, and how to tell. A difference that is none of these fails.
KNOWN: list[tuple[str, Callable[[Any, Any], bool]]] = [
    ("a new result's stride along a dimension of size one means nothing and is not always native's", _strides_of_ones),
    ("writes with index tensors into an expanded tensor with history are deprecated there and an error here",
     _raises("more than one element of the written-to tensor refers to a single memory location")),
    ("a view made before its base had a history is a leaf there until somebody looks at its grad_fn",
     _raises("a leaf Variable that requires grad is being used in an in-place operation")),
    ("what forbids writes through one of several views made at once is not passed on to views of it",
     _raises("This view is the output of a function that returns multiple views")),
]  # fmt: skip


def disagreement(seed: int) -> str | None:
    """The first observation of a program that differs, with the step it is of; None where that is a known one."""
    steps = programs.program(seed)
    want, got = programs.run(torch, steps), programs.run(torchlike, steps)
    for i, (w, g) in enumerate(zip(want, got, strict=True)):
        found = programs.differs(w, g)
        if found:
            if any(applies(w, g) for _, applies in KNOWN):
                return None
            step = steps[i] if i < len(steps) else "at the end"
            return f"program {seed}, step {i} {step}: {found}\n  native {w}\n  here   {g}"
    return None


def check(seeds: range) -> None:
    found = [text for text in map(disagreement, seeds) if text is not None]
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


def test_known_differences_are_few():
    """The list of known differences does not swallow the programs."""
    known = 0
    for seed in range(200):
        steps = programs.program(seed)
        known += programs.difference(programs.run(torch, steps), programs.run(torchlike, steps)) is not None
    assert known <= 10
