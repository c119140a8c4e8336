"""Every environment variable the package reads, validated once, and the process-wide switches of the engine."""

from __future__ import annotations

import os

TIERS = ("auto", "host", "xla")


def _choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    value = os.environ.get(name, default)
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
    return value


def _count(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"{name} must be a positive whole number, not {text!r}")
    return int(text)


def _flag(name: str, default: bool) -> bool:
    return _choice(name, "1" if default else "0", ("0", "1")) == "1"


#: Which executor runs a program: chosen by cost ("auto"), always NumPy where it can ("host"), always XLA ("xla").
tier: str = _choice("TORCHLIKE_TIER", "auto", TIERS)
#: Whether each compilation is explained on standard error.
log_compiles: bool = _flag("TORCHLIKE_LOG_COMPILES", False)
#: Positions kept in all tries together, op instances kept, and compiled programs kept.
max_positions: int = _count("TORCHLIKE_MAX_POSITIONS", 20_000)
max_instances: int = _count("TORCHLIKE_MAX_INSTANCES", 3_000)
max_programs: int = _count("TORCHLIKE_MAX_PROGRAMS", 1_024)
#: Operations after which a trace is run even if nobody asked for a value.
max_trace: int = _count("TORCHLIKE_MAX_TRACE", 2_000)
#: Folder of the persistent compilation cache; the empty string turns it off.
cache_dir: str = os.environ.get(
    "TORCHLIKE_CACHE_DIR",
    os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache"), "torchlike"),
)
#: Whether the names "cuda" and "mps" may stand for the accelerator that JAX found.
use_accelerator: bool = _flag("TORCHLIKE_ACCELERATOR", True)


def force_host_tier() -> None:
    """Keep this process off XLA from now on: for processes forked from one that may have started XLA's threads."""
    global tier
    tier = "host"
