"""`DataLoader`, and the iterators behind it: one in the same process, one over worker processes."""

from __future__ import annotations

import functools
import itertools
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import torchlike as torch

from . import _utils
from ._utils import ExceptionWrapper
from ._utils.collate import default_collate, default_convert
from ._utils.fetch import _DatasetKind
from ._utils.worker import _IterableDatasetStopIteration, _ResumeIteration, get_worker_info
from .dataset import Dataset, IterableDataset
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler

if TYPE_CHECKING:
    from torchlike import Generator

    from ._utils.pool import WorkerPool

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)
_worker_init_fn_t = Callable[[int], None]
_collate_fn_t = Callable[[list[_T]], Any]

_FIXED_ATTRIBUTES = frozenset(("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"))


class _InfiniteConstantSampler(Sampler):
    """``None`` for ever: the sampler of a stream, which has no keys and ends by itself."""

    def __iter__(self):
        return itertools.repeat(None)


def _cpu_count() -> int | None:
    # The processors this process may use, which can be fewer than the machine has.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


class DataLoader(Generic[_T_co]):
    """An iterable over a dataset: in some order, in batches, loaded in this process or by worker processes.

    Samples and batches are made with NumPy, in workers as in the main process, and come back from workers through
    shared memory. With the same seeds the order of the samples is PyTorch's.

    Args:
        dataset: a map-style dataset (``__getitem__``, and ``__len__`` for the default samplers) or a stream, an
            `IterableDataset`.
        batch_size: samples per batch (default: 1); ``None`` gives samples instead of batches.
        shuffle: whether the order is random, new at each epoch (default: ``False``).
        sampler: any iterable of indices, instead of ``shuffle``.
        batch_sampler: any iterable of lists of indices, instead of ``batch_size``, ``shuffle``, ``sampler`` and
            ``drop_last``.
        num_workers: processes that load; 0 (the default) loads in this one.
        collate_fn: makes a batch of a list of samples (default: `default_collate`), or, where there are no batches,
            converts a sample (default: `default_convert`).
        pin_memory: whether tensors are copied to page-locked memory, if there is an accelerator (default: ``False``).
        drop_last: whether to leave out a last batch that is smaller (default: ``False``).
        timeout: seconds to wait for a batch from the workers; 0 (the default) waits without end.
        worker_init_fn: called in each worker with its number, after seeding and before loading.
        multiprocessing_context: start method of the workers, or a context of ``multiprocessing``; its default if None.
        generator: source of the random order and of the workers' seeds; the default generator if None.
        prefetch_factor: batches that each worker loads ahead (default: 2 with workers, else None).
        persistent_workers: whether the workers, and their copies of the dataset, live on after an epoch.
        pin_memory_device: deprecated; the device is the current accelerator.
        in_order: whether batches come in the order of the sampler; or else as they are finished (default: ``True``).

    Raises:
        ValueError: arguments that exclude each other, or are out of range.
        TypeError: ``multiprocessing_context`` is neither a name nor a context.

    >>> loader = DataLoader(range(5), batch_size=2)
    >>> len(loader), list(loader)
    (3, [tensor([0, 1]), tensor([2, 3]), tensor([4])])
    """

    dataset: Dataset[_T_co]
    batch_size: int | None
    num_workers: int
    pin_memory: bool
    drop_last: bool
    timeout: float
    sampler: Sampler | Iterable
    pin_memory_device: str
    prefetch_factor: int | None
    _iterator: _BaseDataLoaderIter | None
    __initialized = False

    def __init__(
        self,
        dataset: Dataset[_T_co],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler | Iterable | None = None,
        batch_sampler: Sampler[list] | Iterable[list] | None = None,
        num_workers: int = 0,
        collate_fn: _collate_fn_t | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: _worker_init_fn_t | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_worker_options(num_workers, timeout, prefetch_factor, persistent_workers)
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers > 0 and prefetch_factor is None else prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.in_order = in_order

        # Options of streams are checked first: a user who combines one with a sampler should hear that it cannot be
        # before hearing what is wrong with the sampler.
        if isinstance(dataset, IterableDataset):
            self._dataset_kind = _DatasetKind.Iterable
            _check_stream_options(shuffle, sampler, batch_sampler)
        else:
            self._dataset_kind = _DatasetKind.Map
            shuffle = bool(shuffle)
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
                )
            batch_size = None
            drop_last = False
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        if sampler is None:
            sampler = self._default_sampler(bool(shuffle), generator)
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)

        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.generator = generator
        if collate_fn is None:
            collate_fn = default_collate if self._auto_collation else default_convert
        self.collate_fn = collate_fn
        self.persistent_workers = persistent_workers

        self.__initialized = True
        self._IterableDataset_len_called: int | None = None
        self._iterator = None
        self.check_worker_number_rationality()

    def _default_sampler(self, shuffle: bool, generator: Generator | None) -> Sampler:
        if self._dataset_kind == _DatasetKind.Iterable:
            return _InfiniteConstantSampler()
        source = cast(Any, self.dataset)
        return RandomSampler(source, generator=generator) if shuffle else SequentialSampler(source)

    def _get_iterator(self) -> _BaseDataLoaderIter:
        if self.num_workers == 0:
            return _SingleProcessDataLoaderIter(self)
        self.check_worker_number_rationality()
        return _MultiProcessingDataLoaderIter(self)

    @property
    def multiprocessing_context(self) -> Any:
        """The ``multiprocessing`` context that starts the workers; None for the default one."""
        return self.__multiprocessing_context

    @multiprocessing_context.setter
    def multiprocessing_context(self, multiprocessing_context: Any) -> None:
        if multiprocessing_context is not None:
            multiprocessing_context = self._checked_context(multiprocessing_context)
        self.__multiprocessing_context = multiprocessing_context

    def _checked_context(self, context: Any) -> Any:
        import multiprocessing.context

        if not self.num_workers > 0:
            raise ValueError(
                "multiprocessing_context can only be used with multi-process loading (num_workers > 0), but got "
                f"num_workers={self.num_workers}"
            )
        if isinstance(context, str):
            methods = multiprocessing.get_all_start_methods()
            if context not in methods:
                raise ValueError(
                    f"multiprocessing_context option should specify a valid start method in {methods!r}, but got "
                    f"multiprocessing_context={context!r}"
                )
            context = multiprocessing.get_context(context)
        if not isinstance(context, multiprocessing.context.BaseContext):
            raise TypeError(
                "multiprocessing_context option should be a valid context object or a string specifying the start "
                f"method, but got multiprocessing_context={context}"
            )
        return context

    def __setattr__(self, attr: str, val: Any) -> None:
        if self.__initialized and attr in _FIXED_ATTRIBUTES:
            raise ValueError(f"{attr} attribute should not be set after {type(self).__name__} is initialized")
        super().__setattr__(attr, val)

    def __iter__(self) -> _BaseDataLoaderIter:
        if not self.persistent_workers or self.num_workers == 0:
            return self._get_iterator()
        if self._iterator is None:
            self._iterator = self._get_iterator()
        else:
            self._iterator._reset(self)
        return self._iterator

    @property
    def _auto_collation(self) -> bool:
        return self.batch_sampler is not None

    @property
    def _index_sampler(self) -> Any:
        # What the fetcher's keys come from: lists of indices where there are batches, else indices.
        return self.batch_sampler if self._auto_collation else self.sampler

    def __len__(self) -> int:
        if self._dataset_kind != _DatasetKind.Iterable:
            return len(self._index_sampler)
        # The iterator warns of a stream that turns out longer than it said here.
        length = self._IterableDataset_len_called = len(cast(Any, self.dataset))
        if self.batch_size is None:
            return length
        return length // self.batch_size if self.drop_last else math.ceil(length / self.batch_size)

    def check_worker_number_rationality(self) -> None:
        """Warn if there are more workers than processors that this process may use."""
        if not self.num_workers:
            return
        limit = _cpu_count()
        if limit is not None and self.num_workers <= limit:
            return
        if limit is None:
            suggestion = "DataLoader is not able to compute a suggested max number of worker in current system."
        else:
            unsure = "" if hasattr(os, "sched_getaffinity") else " (`cpuset` is not taken into account)"
            suggestion = (
                f"Our suggested max number of worker in current system is {limit}{unsure}, which is smaller "
                "than what this DataLoader is going to create."
            )
        warnings.warn(
            f"This DataLoader will create {self.num_workers} worker processes in total. {suggestion} "
            "Please be aware that excessive worker creation might get DataLoader running slow or even freeze, "
            "lower the worker number to avoid potential slowness/freeze if necessary.",
            stacklevel=2,
        )


def _check_worker_options(
    num_workers: int, timeout: float, prefetch_factor: int | None, persistent_workers: bool
) -> None:
    if num_workers < 0:
        raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing."
            "let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to None."
        )
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent_workers and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _check_stream_options(shuffle: Any, sampler: Any, batch_sampler: Any) -> None:
    # A stream's order is its own. A sampler for it would only count, and would lose samples or repeat them as soon as
    # several workers share the counting.
    expected = "DataLoader with IterableDataset: expected unspecified {0} option, but got {0}={1}"
    if shuffle not in (False, None):
        raise ValueError(expected.format("shuffle", shuffle))
    if sampler is not None:
        raise ValueError(expected.format("sampler", sampler))
    if batch_sampler is not None:
        raise ValueError(expected.format("batch_sampler", batch_sampler))


class _BaseDataLoaderIter:
    """One pass over a loader's dataset."""

    def __init__(self, loader: DataLoader) -> None:
        self._dataset = loader.dataset
        self._dataset_kind = loader._dataset_kind
        self._IterableDataset_len_called = loader._IterableDataset_len_called
        self._auto_collation = loader._auto_collation
        self._drop_last = loader.drop_last
        self._index_sampler = loader._index_sampler
        self._num_workers = loader.num_workers
        self._timeout = loader.timeout
        self._collate_fn = loader.collate_fn
        self._pin_memory, self._pin_memory_device = _pinning(loader)
        self._sampler_iter = iter(self._index_sampler)
        # Drawn even where no worker needs it, so that what is drawn later does not depend on the number of workers.
        self._base_seed = torch.empty((), dtype=torch.int64).random_(generator=loader.generator).item()
        self._persistent_workers = loader.persistent_workers
        self._num_yielded = 0
        self._profile_name = f"enumerate(DataLoader)#{type(self).__name__}.__next__"

    def __iter__(self) -> _BaseDataLoaderIter:
        return self

    def _reset(self, loader: DataLoader, first_iter: bool = False) -> None:
        self._sampler_iter = iter(self._index_sampler)
        self._num_yielded = 0
        self._IterableDataset_len_called = loader._IterableDataset_len_called

    def _next_index(self) -> Any:
        return next(self._sampler_iter)

    def _next_data(self) -> Any:
        raise NotImplementedError

    def __next__(self) -> Any:
        data = self._next_data()
        self._num_yielded += 1
        announced = self._IterableDataset_len_called
        if announced is not None and self._num_yielded > announced and self._dataset_kind == _DatasetKind.Iterable:
            self._warn_of_length(announced)
        return data

    def _warn_of_length(self, announced: int) -> None:
        message = (
            f"Length of IterableDataset {self._dataset} was reported to be {announced}"
            f"(when accessing len(dataloader)), but {self._num_yielded} samples have been fetched. "
        )
        if self._num_workers > 0:
            message += (
                "For multiprocessing data-loading, this could be caused by not properly configuring the "
                "IterableDataset replica at each worker. Please see "
                "https://pytorch.org/docs/stable/data.html#torch.utils.data.IterableDataset for examples."
            )
        warnings.warn(message, stacklevel=3)

    def __len__(self) -> int:
        return len(self._index_sampler)

    def __getstate__(self) -> Any:
        raise NotImplementedError("{} cannot be pickled", type(self).__name__)


def _pinning(loader: DataLoader) -> tuple[bool, str | None]:
    # Whether to pin batches, and for which kind of device.
    if not loader.pin_memory:
        return False, None
    if loader.pin_memory_device:
        warnings.warn(
            "pin_memory_device is deprecated, the current accelerator will be used as the device,"
            f"ignore pin_memory_device='{loader.pin_memory_device}'.",
            stacklevel=5,
        )
    if not torch.accelerator.is_available():
        warnings.warn(
            "'pin_memory' argument is set as true but no accelerator is found, "
            "then device pinned memory won't be used.",
            stacklevel=5,
        )
        return False, None
    accelerator = torch.accelerator.current_accelerator()
    return True, None if accelerator is None else accelerator.type


class _SingleProcessDataLoaderIter(_BaseDataLoaderIter):
    """Loads in this process, when asked."""

    def __init__(self, loader: DataLoader) -> None:
        super().__init__(loader)
        if self._timeout != 0:
            raise AssertionError("_SingleProcessDataLoaderIter requires timeout == 0")
        if self._num_workers != 0:
            raise AssertionError("_SingleProcessDataLoaderIter requires num_workers == 0")
        self._dataset_fetcher = _DatasetKind.create_fetcher(
            self._dataset_kind, self._dataset, self._auto_collation, self._collate_fn, self._drop_last
        )

    def _next_data(self) -> Any:
        data = self._dataset_fetcher.fetch(next(self._sampler_iter))
        return _utils.pin_memory.pin_memory(data, self._pin_memory_device) if self._pin_memory else data


class _MultiProcessingDataLoaderIter(_BaseDataLoaderIter):
    """Hands lists of indices to worker processes in turn, some ahead, and gives out the batches that come back.

    Tasks are numbered as they are sent: ``_send_idx`` is the next number, ``_rcvd_idx`` the one whose batch is due.
    ``_task_info`` maps a number between them to ``(worker,)`` while the worker has the task, and to ``(worker, data)``
    once its batch has come out of turn. The workers end when the last batch is given out, when the iterator is
    garbage, or when this process ends, in whatever way.
    """

    _pool: WorkerPool | None = None

    def __init__(self, loader: DataLoader) -> None:
        super().__init__(loader)
        if self._num_workers <= 0:
            raise AssertionError("num_workers must be greater than 0 for MultiProcessingDataLoaderIter")
        assert loader.prefetch_factor is not None
        self._prefetch_factor = loader.prefetch_factor
        self._in_order = loader.in_order
        self._worker_init_fn = loader.worker_init_fn
        self._shutdown = False
        self._pool = self._start_workers(loader.multiprocessing_context)
        self._workers = [worker.process for worker in self._pool.workers]
        self._reset(loader, first_iter=True)

    def _start_workers(self, context: Any) -> WorkerPool:
        from ._utils.pool import WorkerPool
        from ._utils.worker import Job

        if context is None:
            import multiprocessing as context
        job = functools.partial(
            Job,
            dataset_kind=self._dataset_kind,
            dataset=self._dataset,
            auto_collation=self._auto_collation,
            collate_fn=self._collate_fn,
            drop_last=self._drop_last,
            base_seed=cast(int, self._base_seed),
            init_fn=self._worker_init_fn,
            num_workers=self._num_workers,
        )
        return WorkerPool(context, self._num_workers, job)

    def _reset(self, loader: DataLoader, first_iter: bool = False) -> None:
        super()._reset(loader, first_iter)
        self._send_idx = 0
        self._rcvd_idx = 0
        self._task_info: dict[int, tuple] = {}
        self._workers_status = [True] * self._num_workers  # whether each still has work in this epoch
        self._workers_num_tasks = [0] * self._num_workers  # tasks sent whose batch is not given out yet
        self._worker_queue_idx_cycle = itertools.cycle(range(self._num_workers))
        if not first_iter:
            self._resume_workers()
        for _ in range(self._prefetch_factor * self._num_workers):
            self._try_put_index()

    def _resume_workers(self) -> None:
        # Batches of an epoch that was left early may still come; after a worker's acknowledgment there are none.
        pool = cast("WorkerPool", self._pool)
        for worker_id in range(self._num_workers):
            pool.send(worker_id, _ResumeIteration())
        waiting = self._num_workers
        while waiting > 0:
            idx, _ = self._get_data()
            waiting -= isinstance(idx, _ResumeIteration)

    def _get_data(self) -> tuple[Any, Any]:
        pool = cast("WorkerPool", self._pool)
        answer = pool.receive(self._timeout if self._timeout > 0 else None)
        if answer is None:
            raise RuntimeError(f"DataLoader timed out after {self._timeout} seconds")
        return answer

    def _works(self, worker_id: int) -> bool:
        return self._workers_status[worker_id] and worker_id not in cast("WorkerPool", self._pool).lost

    def _find_due(self) -> tuple | None:
        # The entry of the batch that is due; numbers whose worker has ended before coming to them are passed over.
        while self._rcvd_idx < self._send_idx:
            info = self._task_info.get(self._rcvd_idx)
            if info is not None:
                if len(info) == 2 or self._works(info[0]):
                    return info
                del self._task_info[self._rcvd_idx]
            self._rcvd_idx += 1
        return None

    def _next_data(self) -> Any:
        while (info := self._find_due()) is not None:
            if len(info) == 2:
                return self._give_out(self._rcvd_idx, info[1])
            if self._shutdown:
                raise AssertionError("Invalid iterator state: shutdown when fetching next data")
            idx, data = self._get_data()
            if isinstance(data, _IterableDatasetStopIteration):
                self._mark_worker_as_unavailable(data.worker_id)
                self._try_put_index()
            elif idx == self._rcvd_idx or not self._in_order:
                return self._give_out(idx, data)
            else:
                self._task_info[idx] += (data,)
        if not self._persistent_workers:
            self._shutdown_workers()
        raise StopIteration

    def _give_out(self, idx: int, data: Any) -> Any:
        worker_id = self._task_info.pop(idx)[0]
        if idx == self._rcvd_idx:
            self._rcvd_idx += 1
        self._workers_num_tasks[worker_id] -= 1
        self._try_put_index()
        if isinstance(data, ExceptionWrapper):
            data.reraise()
        return self._pinned(data) if self._pin_memory else data

    def _pinned(self, data: Any) -> Any:
        try:
            return _utils.pin_memory.pin_memory(data, self._pin_memory_device)
        except Exception:
            device = torch.accelerator.current_device_index()
            failure = ExceptionWrapper(where=f"in pin memory thread for device {device}")
        failure.reraise()

    def _try_put_index(self) -> None:
        try:
            index = self._next_index()
        except StopIteration:
            return
        worker_id = self._next_worker()
        if worker_id is None:
            return
        cast("WorkerPool", self._pool).send(worker_id, (self._send_idx, index))
        self._task_info[self._send_idx] = (worker_id,)
        self._workers_num_tasks[worker_id] += 1
        self._send_idx += 1

    def _next_worker(self) -> int | None:
        # In turn; where batches may overtake each other, only a worker that has not its share of tasks already.
        working = sum(map(self._works, range(self._num_workers)))
        for _ in range(self._num_workers):
            worker_id = next(self._worker_queue_idx_cycle)
            if self._works(worker_id):
                share = self._prefetch_factor * self._num_workers // working
                if self._in_order or self._workers_num_tasks[worker_id] < share:
                    return worker_id
        return None

    def _mark_worker_as_unavailable(self, worker_id: int) -> None:
        # Its stream has ended: a persistent worker waits for the next epoch, another may go.
        self._workers_status[worker_id] = False
        if not self._persistent_workers:
            cast("WorkerPool", self._pool).finish(worker_id)

    def _shutdown_workers(self) -> None:
        if self._pool is not None and not self._shutdown:
            self._shutdown = True
            self._pool.shutdown()

    def __del__(self) -> None:
        # When the interpreter ends, multiprocessing ends the processes, and what this would need is gone.
        if not sys.is_finalizing():
            self._shutdown_workers()
