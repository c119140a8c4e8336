"""The worker processes of one loader iterator, and the channels and memory between them and the loader."""

from __future__ import annotations

import os
import pickle
import selectors
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from torchlike._engine import fork
from torchlike._tensor.shared import SharedFile

from . import IS_WINDOWS, MP_STATUS_CHECK_INTERVAL, channel, worker
from .arena import Reader
from .codec import Encoder, decode
from .signal_handling import describe_death

UNPICKLABLE = (
    "Got pickle error when attempting to start a worker Process. "
    "This might be because the worker Process arguments are not picklable. "
    "Python 3.14+ changed the multiprocessing start method in non-Mac POSIX platforms "
    "to 'forkserver', which requires the worker Process arguments to be picklable. "
    "You can also try multiprocessing.set_start_method('fork')."
)


class _Worker:
    """One process with the loader's end of its channel and the loader's view of its memory."""

    def __init__(self, context: Any, make_job: Callable[..., worker.Job], worker_id: int) -> None:
        self.id = worker_id
        self.channel, theirs = channel.pair()
        file = None if IS_WINDOWS else SharedFile.create()
        self.reader = Reader(file) if file is not None else None
        self.process = context.Process(
            target=worker._worker_loop, args=(make_job(worker_id=worker_id, channel=theirs, file=file),), daemon=True
        )
        try:
            _start(self.process)
        except BaseException:
            self.channel.close()
            raise
        finally:
            theirs.close()

    def take_finished(self) -> list[int]:
        return self.reader.take_finished() if self.reader is not None else []


def _start(process: Any) -> None:
    with warnings.catch_warnings():
        fork.ignore_warnings()
        try:
            process.start()
            return
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            failure = error
    warnings.warn(UNPICKLABLE, stacklevel=6)
    raise failure


class WorkerPool:
    """Processes that answer tasks with batches.

    Args:
        context: the multiprocessing context that starts them.
        num_workers: how many to start.
        make_job: makes a worker's `Job` of its number, its end of a channel, and its shared file.
    """

    def __init__(self, context: Any, num_workers: int, make_job: Callable[..., worker.Job]) -> None:
        self.owner = os.getpid()
        self.workers: list[_Worker] = []
        self.inbox: deque[tuple[Any, Any]] = deque()
        self.failed: list[_Worker] = []  # whose death is not reported yet
        self.lost: set[int] = set()  # numbers of workers whose death has been reported
        self.encoder = Encoder()
        self.selector = selectors.DefaultSelector()
        try:
            for worker_id in range(num_workers):
                self.workers.append(_Worker(context, make_job, worker_id))
                self._watch(self.workers[-1])
        except BaseException:
            self.shutdown()
            raise

    def _watch(self, w: _Worker) -> None:
        self.selector.register(w.channel, selectors.EVENT_READ, w)
        if not IS_WINDOWS:
            self.selector.register(w.process.sentinel, selectors.EVENT_READ, w)

    def _unwatch(self, w: _Worker) -> None:
        for source in (w.channel, w.process.sentinel):
            if source in self.selector.get_map():
                self.selector.unregister(source)

    def send(self, worker_id: int, task: Any) -> None:
        """Give a worker a task, an ``(idx, index)`` pair or `_ResumeIteration`; returns at once."""
        w = self.workers[worker_id]
        w.channel.send(self.encoder.encode((task, w.take_finished())))
        self._await_room(w)

    def finish(self, worker_id: int) -> None:
        """Let a worker end when it comes to this; its death is no failure from now on."""
        self.send(worker_id, None)
        self._unwatch(self.workers[worker_id])

    def _await_room(self, w: _Worker) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if w.channel.outbox else 0)
        key = self.selector.get_map().get(w.channel)
        if key is not None and key.events != events:
            self.selector.modify(w.channel, events, w)

    def receive(self, timeout: float | None = None) -> tuple[Any, Any] | None:
        """The next answer of any worker, ``(idx, data)``; None if none came in ``timeout`` seconds.

        Raises:
            RuntimeError: a worker has died, and all that it and the others had sent before has been received.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.inbox:
            if self.failed:
                self._raise_failure()
            patience = MP_STATUS_CHECK_INTERVAL
            if deadline is not None:
                patience = min(patience, max(0.0, deadline - time.monotonic()))
            events = self.selector.select(patience)
            for key, mask in events:
                self._handle(key.data, mask)
            if not events:
                self._look_for_dead()
                if not self.failed and deadline is not None and time.monotonic() >= deadline:
                    return None
        return self.inbox.popleft()

    def _handle(self, w: _Worker, mask: int) -> None:
        if mask & selectors.EVENT_WRITE and w.channel.flush():
            self._await_room(w)
        if not mask & selectors.EVENT_READ or w in self.failed:
            return
        messages, more = w.channel.receive()
        self.inbox.extend(decode(message, w.reader) if w.reader else decode(message) for message in messages)
        # The end of the channel, or the process's sentinel with nothing left to read.
        if not more or not (messages or w.process.is_alive()):
            self._fail(w)

    def _look_for_dead(self) -> None:
        for w in {key.data.id: key.data for key in self.selector.get_map().values()}.values():
            if not w.process.is_alive():
                self._fail(w)

    def _fail(self, w: _Worker) -> None:
        self._unwatch(w)
        self.failed.append(w)

    def _raise_failure(self) -> None:
        failed, self.failed = self.failed, []
        self.lost.update(w.id for w in failed)
        details = []
        for w in failed:
            w.process.join(MP_STATUS_CHECK_INTERVAL)
            details.append(describe_death(w.process.pid, w.process.exitcode))
        cause = next((RuntimeError(text) for text in details if text), None)
        pids = ", ".join(str(w.process.pid) for w in failed)
        raise RuntimeError(f"DataLoader worker (pid(s) {pids}) exited unexpectedly") from cause

    def shutdown(self) -> None:
        """End all workers: first by closing their channels, then, after a while, by force."""
        if os.getpid() != self.owner:
            return  # a copy in a forked process
        self.selector.close()
        for w in self.workers:
            w.channel.close()
        _join(self.workers, MP_STATUS_CHECK_INTERVAL)
        for end_by_force in ("terminate", "kill"):
            for w in self.workers:
                if w.process.is_alive():
                    getattr(w.process, end_by_force)()
            _join(self.workers, MP_STATUS_CHECK_INTERVAL)


def _join(workers: Iterable[_Worker], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    for w in workers:
        w.process.join(max(0.0, deadline - time.monotonic()))
