"""Callbacks in forked processes."""

import os
from collections.abc import Callable
from typing import Any

__all__ = ["register_after_fork"]


def register_after_fork(func: Callable[[], Any]) -> None:
    """Call ``func`` in each process that is forked from this one, right after the fork."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=func)
