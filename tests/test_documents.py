"""Five tutorials print under torchlike what they print under native PyTorch; skipped where they are not at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

CHECK = Path(__file__).resolve().parent.parent.parent / "shared" / "documents" / "check.py"


@pytest.mark.skipif(not CHECK.is_file(), reason="the documents are not beside this checkout")
def test_every_block_prints_what_native_prints(run_python):
    done = run_python("-m", "torchlike", CHECK, "-v")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "132 passed, 0 failed" in done.stdout


@pytest.mark.skipif(not CHECK.is_file(), reason="the documents are not beside this checkout")
def test_they_print_the_same_when_everything_is_compiled(run_python):
    done = run_python("-m", "torchlike", CHECK, "-v", env={"TORCHLIKE_TIER": "xla"})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
