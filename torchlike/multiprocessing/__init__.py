"""Python's ``multiprocessing``, with tensors that go to other processes through shared memory.

All names of the standard module are here. A tensor put into a queue, sent through a pipe or passed to a process is
moved to shared memory and arrives as a tensor over the same memory, so that writes on one side are seen on the other.
"""

import multiprocessing
import sys
from multiprocessing import *

from torchlike._engine import fork as _fork  # makes forking safe

from ._thread_name import _get_thread_name, _prctl_pr_set_pdeathsig, _set_thread_name
from .reductions import init_reductions
from .spawn import (
    ENV_VAR_PARALLEL_START,
    ProcessContext,
    ProcessExitedException,
    ProcessRaisedException,
    SpawnContext,
    spawn,
    start_processes,
)

__all__ = ["set_sharing_strategy", "get_sharing_strategy", "get_all_sharing_strategies"]
__all__ += multiprocessing.__all__  # type: ignore[attr-defined]

if sys.platform in ("darwin", "win32"):
    _sharing_strategy = "file_system"
    _all_sharing_strategies = {"file_system"}
else:
    _sharing_strategy = "file_descriptor"
    _all_sharing_strategies = {"file_descriptor", "file_system"}


def set_sharing_strategy(new_strategy: str) -> None:
    """Choose how tensors on the host are shared.

    Shared memory has no name here, whatever the strategy: it is passed on as a descriptor, and nothing can be left
    behind. The choice is kept for programs that ask for it.

    Args:
        new_strategy: one of `get_all_sharing_strategies`.

    Raises:
        AssertionError: it is none of these.
    """
    global _sharing_strategy
    if new_strategy not in _all_sharing_strategies:
        raise AssertionError(f"invalid sharing strategy {new_strategy!r}, expected one of {_all_sharing_strategies}")
    _sharing_strategy = new_strategy


def get_sharing_strategy() -> str:
    """The strategy chosen, or the system's default."""
    return _sharing_strategy


def get_all_sharing_strategies() -> set[str]:
    """The names of the strategies of this system."""
    return _all_sharing_strategies


init_reductions()
