"""The worker process of a `DataLoader`: receives indices, fetches and collates, sends batches."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torchlike as torch
from torchlike._utils import ExceptionWrapper

from . import MP_STATUS_CHECK_INTERVAL, arena, fetch, signal_handling

if TYPE_CHECKING:
    from torchlike import Generator
    from torchlike._tensor.shared import SharedFile
    from torchlike.utils.data.dataset import Dataset

    from .channel import WorkerEnd


@dataclass(frozen=True, slots=True)
class _RNG:
    """Random number generators of one worker, for workers that share a process."""

    random_generator: random.Random
    torch_generator: Generator
    numpy_generator: object | None = None


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What a worker knows of itself.

    Attributes:
        id: its number, from 0.
        num_workers: how many there are.
        seed: what the random number generators of this process were seeded with.
        dataset: this process's copy of the dataset.
        rng: generators of its own, for a worker that shares a process; None in a process.
        worker_method: ``"multiprocessing"``.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Dataset
    rng: _RNG | None = None
    worker_method: str | None = "multiprocessing"


_worker_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """The `DataLoader` worker that this process is; None in any other process.

    Called from a dataset's ``__iter__``, or from ``worker_init_fn``, it tells which part of a stream is this worker's:
    the fields are ``id``, ``num_workers``, ``seed`` and ``dataset``.

    >>> get_worker_info() is None
    True
    """
    return _worker_info


@dataclass(frozen=True)
class _IterableDatasetStopIteration:
    """Sent instead of a batch by a worker whose stream has ended."""

    worker_id: int


@dataclass(frozen=True)
class _ResumeIteration:
    """Sent to a persistent worker at the start of an epoch, and sent back when it is ready."""

    seed: int | None = None


@dataclass
class Job:
    """What a worker process is started with."""

    dataset_kind: int
    dataset: Any
    auto_collation: bool
    collate_fn: Callable
    drop_last: bool
    base_seed: int
    init_fn: Callable[[int], None] | None
    worker_id: int
    num_workers: int
    channel: WorkerEnd
    file: SharedFile | None

    def create_fetcher(self) -> fetch._BaseDatasetFetcher:
        return fetch._DatasetKind.create_fetcher(
            self.dataset_kind, self.dataset, self.auto_collation, self.collate_fn, self.drop_last
        )

    def exception(self) -> ExceptionWrapper:
        """The exception being handled, for the loader to raise."""
        return ExceptionWrapper(where=f"in DataLoader worker process {self.worker_id}")


def _generate_state(base_seed: int, worker_id: int) -> list[int]:
    """The seed of NumPy's generator in a worker: four words mixed from the loader's seed and the worker's number.

    Seeding by the sum alone would start Python's and NumPy's generators, which are of one kind, in one state.
    """
    import numpy as np

    entropy = [worker_id, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    return np.random.SeedSequence(entropy).generate_state(4).tolist()


def _worker_loop(job: Job) -> None:
    """Serve until the loader closes the channel or says that this stream is not needed any more."""
    try:
        _prepare(job)
        _Server(job).serve()
    except KeyboardInterrupt:
        pass  # the loader's process has been interrupted as well, and reports it
    finally:
        job.channel.close()


def _prepare(job: Job) -> None:
    import gc

    import numpy as np

    from torchlike._engine import config

    global _worker_info
    # What was inherited stays: finalizers of arrays that XLA owns may not run here, and pages stay shared.
    gc.freeze()
    config.force_host_tier()
    signal_handling._set_worker_signal_handlers()
    job.channel.watch_parent(MP_STATUS_CHECK_INTERVAL)
    torch.set_num_threads(1)
    seed = job.base_seed + job.worker_id
    random.seed(seed)
    torch.manual_seed(seed)
    np.random.seed(_generate_state(job.base_seed, job.worker_id))
    _worker_info = WorkerInfo(id=job.worker_id, num_workers=job.num_workers, seed=seed, dataset=job.dataset)


class _Server:
    def __init__(self, job: Job) -> None:
        from .codec import Encoder

        self.job = job
        self.writer = arena.Writer(job.file) if job.file is not None else None
        arena.open_writer(self.writer)
        self.encoder = Encoder(self.writer)
        self.fetcher: Any = None
        self.failure: ExceptionWrapper | None = None  # of the start, reported instead of the first batch
        self.ended = False

    def serve(self) -> None:
        from .codec import decode

        self._start(self.job.init_fn)
        while (message := self.job.channel.receive()) is not None:
            task, returned = decode(message)
            if self.writer is not None:
                self.writer.take_back(returned)
            if task is None:
                return
            if isinstance(task, _ResumeIteration):
                self._start(None)
                answer: tuple = (task, None)
            elif self.ended:
                continue
            else:
                answer = (task[0], self._answer(task[1]))
            try:
                self.job.channel.send(self._encode(answer))
            except OSError:
                return  # the loader wants nothing more
            del task, answer

    def _start(self, init_fn: Callable[[int], None] | None) -> None:
        self.failure, self.ended = None, False
        try:
            if init_fn is not None:
                init_fn(self.job.worker_id)
            self.fetcher = self.job.create_fetcher()
        except Exception:
            self.failure = self.job.exception()

    def _answer(self, index: Any) -> Any:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            return failure
        try:
            return self.fetcher.fetch(index)
        except Exception as error:
            if isinstance(error, StopIteration) and self.job.dataset_kind == fetch._DatasetKind.Iterable:
                self.ended = True
                return _IterableDatasetStopIteration(self.job.worker_id)
            return self.job.exception()

    def _encode(self, answer: tuple) -> bytes:
        try:
            return self.encoder.encode(answer)
        except Exception:
            failure = answer[1] if isinstance(answer[1], ExceptionWrapper) else self.job.exception()
        try:
            return self.encoder.encode((answer[0], failure))
        except Exception:
            # An exception type that only this process knows.
            failure.exc_type = RuntimeError
            return self.encoder.encode((answer[0], failure))
