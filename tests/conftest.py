"""What all tests share: settings of the process, native PyTorch as an oracle, and programs run in fresh processes."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent

os.environ.setdefault("MPLBACKEND", "Agg")
# Compiled programs are kept between runs of the tests, away from the user's own.
os.environ.setdefault("TORCHLIKE_CACHE_DIR", str(ROOT / ".pytest_cache" / "torchlike"))

hypothesis.settings.register_profile(
    "default", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.register_profile("ci", hypothesis.settings.get_profile("default"), derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def native():
    """Native PyTorch; tests that ask for it are skipped where it is not installed."""
    return pytest.importorskip("torch", reason="native PyTorch is not installed")


@pytest.fixture(scope="session")
def has_native() -> bool:
    """Whether native PyTorch is installed, without importing it into this process."""
    return importlib.util.find_spec("torch") is not None


@pytest.fixture(scope="session")
def python_environment() -> dict[str, str]:
    """Environment variables with which a fresh Python finds the package that is under test, installed or not."""
    spec = importlib.util.find_spec("torchlike")
    assert spec is not None and spec.submodule_search_locations
    package_parent = str(Path(next(iter(spec.submodule_search_locations))).parent)
    path = os.pathsep.join(part for part in (package_parent, os.environ.get("PYTHONPATH")) if part)
    return {**os.environ, "PYTHONPATH": path}


@pytest.fixture(scope="session")
def run_python(python_environment) -> Run:
    """``run_python(*arguments, cwd=..., text="", env={})``: a program in a fresh Python, its output captured."""

    def run(*arguments: object, cwd: object = None, text: str = "", env: dict[str, str] | None = None):
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            input=text,
            capture_output=True,
            text=True,
            cwd=None if cwd is None else str(cwd),
            env={**python_environment, **(env or {})},
            timeout=300,
        )

    return run
