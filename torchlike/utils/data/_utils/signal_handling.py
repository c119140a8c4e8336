"""Signals of worker processes: what a worker does about them, and what the loader says of a worker they killed."""

from __future__ import annotations

import signal

#: Said of a worker that a bus error killed.
OUT_OF_SHARED_MEMORY = (
    "It is possible that dataloader's workers are out of shared memory. Please try to raise your shared memory limit."
)


def _set_worker_signal_handlers() -> None:
    """Let SIGTERM end this worker, whatever handler the program has set for itself before it forked."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def describe_death(pid: int | None, exitcode: int | None) -> str | None:
    """How a worker ended, from its process's ``exitcode``; None where that is no failure."""
    if not exitcode:
        return None
    if exitcode > 0:
        return (
            f"DataLoader worker (pid {pid}) exited unexpectedly with exit code {exitcode}. "
            "Details are lost due to multiprocessing. Rerunning with num_workers=0 may give better error trace."
        )
    text = f"DataLoader worker (pid {pid}) is killed by signal: {signal.strsignal(-exitcode)}. "
    return text + OUT_OF_SHARED_MEMORY if -exitcode == signal.SIGBUS else text
