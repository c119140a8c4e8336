"""Programs run with both libraries, whose transcripts must be the same.

A scenario is a function of the library and of ``say``, which writes a line; ``say.attempt(f)`` writes what a call returns or
raises. Warnings are written too. What differs by nature is taken out: addresses, and the package's own name.
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Callable
from typing import Any

import torch

import torchlike

#: Warnings that are given once in a process, so that only one of the scenarios would see them, or of native's own code.
_ONCE = ("Using backward() with create_graph=True", "`torch.jit.script` is deprecated.")

_NATURE = (
    (re.compile(r"0x[0-9a-f]+"), "0x"),
    (re.compile(r"torchlike"), "torch"),
    (re.compile(r" \(Triggered internally.*", re.DOTALL), ""),
)


class Say:
    """Collects the lines of a transcript."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, *values: Any) -> None:
        self.lines.append(_neutral(" | ".join(map(str, values))))

    def attempt(self, function: Callable[[], Any]) -> Any:
        """Write what the call returns or raises, and return it."""
        try:
            result = function()
        except Exception as error:
            self(f"{type(error).__name__}: {error}")
            return error
        self(result)
        return result


def _neutral(text: str) -> str:
    for pattern, replacement in _NATURE:
        text = pattern.sub(replacement, text)
    return text


def transcript(scenario: Callable[[Any, Say], None], library: Any) -> list[str]:
    """The lines that a scenario writes with one library, its warnings last."""
    say = Say()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scenario(library, say)
    for warning in caught:
        if not str(warning.message).startswith(_ONCE):
            say(f"{warning.category.__name__}: {warning.message}")
    return say.lines


def compare(scenario: Callable[[Any, Say], None], neutral: Callable[[list[str]], list[str]] = list) -> None:
    """AssertionError unless a scenario writes the same with both libraries, as ``neutral`` sees it."""
    expected, actual = neutral(transcript(scenario, torch)), neutral(transcript(scenario, torchlike))
    assert expected, "the scenario says nothing"
    if actual != expected:
        difference = difflib.unified_diff(expected, actual, "native", "torchlike", n=1, lineterm="")
        raise AssertionError("\n".join(line[:600] for line in difference))


class Scenarios(list):
    """A module's scenarios; as a decorator, adds one."""

    def __call__(self, scenario: Callable) -> Callable:
        self.append(scenario)
        return scenario

    def names(self) -> list[str]:
        """What to call the tests."""
        return [scenario.__name__ for scenario in self]
