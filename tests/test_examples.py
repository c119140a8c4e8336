"""Each example runs through the package, and prints what it prints with native PyTorch."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parent.parent / "examples").glob("*.py"))
NUMBER = re.compile(r"[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:e[-+]?\d+)?", re.IGNORECASE)


def last_place(number: str) -> float:
    """One unit in the last printed place of a number with a point; 0 for a whole number, which is compared exactly."""
    mantissa, _, exponent = number.lower().partition("e")
    digits = mantissa.partition(".")[2]
    return 10.0 ** (int(exponent or 0) - len(digits)) if "." in mantissa else 0.0


def assert_same_text(expected: str, actual: str) -> None:
    """The words are the same, and the numbers up to the rounding of their last printed digit."""
    assert NUMBER.sub("#", actual) == NUMBER.sub("#", expected)
    for want, got in zip(NUMBER.findall(expected), NUMBER.findall(actual), strict=True):
        unit = max(last_place(want), last_place(got))
        assert abs(float(want) - float(got)) <= 1.001 * unit, f"{got} where native PyTorch prints {want}\n{actual}"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example(example, run_python, has_native, tmp_path):
    ours = run_python("-m", "torchlike", example, cwd=tmp_path)
    assert (ours.returncode, ours.stderr) == (0, "")
    assert ours.stdout
    if has_native:
        theirs = run_python(example, cwd=tmp_path)
        assert theirs.returncode == 0, theirs.stderr
        assert_same_text(theirs.stdout, ours.stdout)


def test_the_comparison_can_fail():
    assert_same_text("loss 0.25 after 3", "loss 0.26 after 3")
    for other in ("loss 0.27 after 3", "loss 0.25 after 4", "Loss 0.25 after 3", "loss 0.25 after 3\nmore"):
        with pytest.raises(AssertionError):
            assert_same_text("loss 0.25 after 3", other)


def test_there_are_examples():
    assert len(EXAMPLES) >= 8
