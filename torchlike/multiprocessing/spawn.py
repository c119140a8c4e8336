"""Starting several processes with one function, and passing on how they fail."""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ._thread_name import _prctl_pr_set_pdeathsig

__all__ = [
    "ProcessContext",
    "ProcessException",
    "ProcessExitedException",
    "ProcessRaisedException",
    "SpawnContext",
    "spawn",
    "start_processes",
]

ENV_VAR_PARALLEL_START = "TORCH_MP_PARALLEL_START"

#: Seconds that processes have to end after SIGTERM where no other time is asked for.
_PATIENCE = 30

log = logging.getLogger(__name__)


class ProcessException(Exception):
    """A process of several has failed.

    Args:
        msg: what happened.
        error_index: which of the processes, from 0.
        error_pid: its process id.
    """

    __slots__ = ["error_index", "error_pid"]

    def __init__(self, msg: str, error_index: int, error_pid: int) -> None:
        super().__init__(msg)
        self.msg = msg
        self.error_index = error_index
        self.error_pid = error_pid

    def __reduce__(self) -> tuple:
        return type(self), (self.msg, self.error_index, self.error_pid)


class ProcessRaisedException(ProcessException):
    """A process has ended with an exception; the message holds its traceback."""


class ProcessExitedException(ProcessException):
    """A process has ended with an exit code other than 0, or by a signal.

    Args:
        msg: what happened.
        error_index: which of the processes, from 0.
        error_pid: its process id.
        exit_code: its exit code, negative for a signal.
        signal_name: the name of the signal, if it was one.
    """

    __slots__ = ["exit_code"]

    def __init__(
        self, msg: str, error_index: int, error_pid: int, exit_code: int, signal_name: str | None = None
    ) -> None:
        super().__init__(msg, error_index, error_pid)
        self.exit_code = exit_code
        self.signal_name = signal_name

    def __reduce__(self) -> tuple:
        return type(self), (self.msg, self.error_index, self.error_pid, self.exit_code, self.signal_name)


def _wrap(fn: Callable, i: int, args: tuple, error_file: str) -> None:
    # A process that is no daemon would outlive a parent that is killed.
    _prctl_pr_set_pdeathsig(signal.SIGINT)
    try:
        fn(i, *args)
    except KeyboardInterrupt:
        pass  # the parent was interrupted as well, or wants this process to end
    except Exception:
        with open(error_file, "wb") as file:
            pickle.dump(traceback.format_exc(), file)
        sys.exit(1)


class ProcessContext:
    """Processes that run one function.

    Args:
        processes: the started processes.
        error_files: for each, the file it leaves its traceback in when it raises.
    """

    def __init__(self, processes: list, error_files: list[str]) -> None:
        self.error_files = error_files
        self.processes = processes
        self.sentinels = {process.sentinel: index for index, process in enumerate(processes)}

    def pids(self) -> list[int]:
        """The ids of the processes."""
        return [int(process.pid) for process in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Wait for a process to end, and if it has failed, end the others and raise what happened.

        Args:
            timeout: seconds to wait; no end by default.
            grace_period: seconds that the other processes have to end by themselves before SIGTERM, and again before
                SIGKILL.

        Returns:
            Whether all processes have ended.

        Raises:
            ProcessRaisedException: a process raised.
            ProcessExitedException: a process ended otherwise than with exit code 0.
        """
        if not self.sentinels:
            return True
        for sentinel in multiprocessing.connection.wait(self.sentinels.keys(), timeout=timeout):
            index = self.sentinels.pop(sentinel)  # type: ignore[call-overload]
            self.processes[index].join()
            if self.processes[index].exitcode != 0:
                self._end_all(grace_period)
                raise self._failure(index)
        return not self.sentinels

    def _join_procs_with_timeout(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        for process in self.processes:
            process.join(max(0.0, deadline - time.monotonic()))

    def _end_all(self, grace_period: float | None) -> None:
        if grace_period is not None:
            self._join_procs_with_timeout(grace_period)
        for process in self.processes:
            if process.is_alive():
                log.warning("Terminating process %s via signal SIGTERM", process.pid)
                process.terminate()
        # Python runs signal handlers between bytecodes only, so a process deep in C may not heed SIGTERM.
        self._join_procs_with_timeout(_PATIENCE if grace_period is None else grace_period)
        for process in self.processes:
            if process.is_alive():
                log.warning("Unable to shutdown process %s via SIGTERM , forcefully exiting via SIGKILL", process.pid)
                process.kill()
            process.join()

    def _failure(self, index: int) -> ProcessException:
        process = self.processes[index]
        path = self.error_files[index]
        if os.access(path, os.R_OK):
            with open(path, "rb") as file:
                trace = pickle.load(file)
            os.unlink(path)
            text = f"\n\n-- Process {index} terminated with the following error:\n{trace}"
            return ProcessRaisedException(text, index, process.pid)
        code, name = process.exitcode, None
        if code < 0:
            try:
                name = signal.Signals(-code).name
            except ValueError:
                name = f"<Unknown signal {-code}>"
        ending = f"exit code {code}" if name is None else f"signal {name}"
        return ProcessExitedException(
            f"process {index} terminated with {ending}",
            error_index=index,
            error_pid=process.pid,
            exit_code=code,
            signal_name=name,
        )


class SpawnContext(ProcessContext):
    """The old name of `ProcessContext`; warns."""

    def __init__(self, processes: list, error_files: list[str]) -> None:
        warnings.warn("SpawnContext is renamed to ProcessContext since 1.4 release.", stacklevel=2)
        super().__init__(processes, error_files)


def start_processes(
    fn: Callable,
    args: tuple = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """Start processes that run ``fn(i, *args)`` for ``i`` from 0 to ``nprocs - 1``.

    Args:
        fn: the function; it must be importable by the processes unless they are forked.
        args: its arguments after the process's number.
        nprocs: number of processes.
        join: whether to wait for all of them.
        daemon: whether they are daemons.
        start_method: ``"spawn"``, ``"fork"`` or ``"forkserver"``. With the last and the environment variable
            ``TORCH_MP_PARALLEL_START`` set to 1 they are started side by side.

    Returns:
        None after waiting, else the `ProcessContext`.

    Raises:
        ProcessRaisedException: a process raised (if ``join``).
        ProcessExitedException: a process ended otherwise than with exit code 0 (if ``join``).
    """
    context: Any = multiprocessing.get_context(start_method)

    def start(i: int) -> tuple[Any, str]:
        with tempfile.NamedTemporaryFile(prefix="pytorch-errorfile-", suffix=".pickle") as file:
            path = file.name  # free again: that the file exists will say that the process has raised
        process = context.Process(target=_wrap, args=(fn, i, args, path), daemon=daemon)
        process.start()
        return process, path

    if start_method == "forkserver" and os.environ.get(ENV_VAR_PARALLEL_START, "0") == "1":
        log.info("Starting processes in parallel.")
        with ThreadPoolExecutor(max_workers=nprocs) as executor:
            started = list(executor.map(start, range(nprocs)))
    else:
        started = [start(i) for i in range(nprocs)]
    processes = ProcessContext([process for process, _ in started], [path for _, path in started])
    if not join:
        return processes
    while not processes.join():
        pass
    return None


def spawn(
    fn: Callable,
    args: tuple = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """Start fresh processes that run ``fn(i, *args)`` for ``i`` from 0 to ``nprocs - 1``.

    If one fails, the others are ended and the failure is raised here, with the traceback if it was an exception.

    Args:
        fn: the function, defined at the top of a module.
        args: its arguments after the process's number.
        nprocs: number of processes.
        join: whether to wait for all of them.
        daemon: whether they are daemons.
        start_method: deprecated, always ``"spawn"``; see `start_processes` for others.

    Returns:
        None after waiting, else the `ProcessContext`.

    Raises:
        ProcessRaisedException: a process raised (if ``join``).
        ProcessExitedException: a process ended otherwise than with exit code 0 (if ``join``).
    """
    if start_method != "spawn":
        warnings.warn(
            f"This method only supports start_method=spawn (got: {start_method}).\n"
            "To use a different start_method use:\n\t\t"
            " torch.multiprocessing.start_processes(...)",
            FutureWarning,
            stacklevel=2,
        )
    return start_processes(fn, args, nprocs, join, daemon, start_method="spawn")
