"""``torch._logging``: the logs of a compiler that is not here."""

from __future__ import annotations

from typing import Any


def set_logs(*, all: int | None = None, **logs: Any) -> None:
    """Nothing: there is no compiler that would log. ``TORCHLIKE_LOG_COMPILES=1`` logs what XLA compiles and why."""
