"""What Linux lets a thread say about itself: its name, and the signal it gets when its parent dies."""

from __future__ import annotations

import contextlib
import sys
import threading

_PR_SET_PDEATHSIG = 1
#: Longest name of a thread that Linux keeps.
_LONGEST = 15


def _comm() -> str:
    return f"/proc/self/task/{threading.get_native_id()}/comm"


def _set_thread_name(name: str) -> None:
    """Name this thread as process listings show it, where the system can."""
    with contextlib.suppress(OSError), open(_comm(), "w") as file:
        file.write(name[:_LONGEST])


def _get_thread_name() -> str:
    """The name of this thread in process listings; empty where the system does not tell."""
    with contextlib.suppress(OSError), open(_comm()) as file:
        return file.read().rstrip("\n")
    return ""


def _prctl_pr_set_pdeathsig(signal: int) -> None:
    """Let this process get ``signal`` when the thread that started it ends; does nothing outside Linux."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal))
