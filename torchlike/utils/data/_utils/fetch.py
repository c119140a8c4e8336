"""Fetchers: from the indices of a batch to the collated batch, in the loader's process or in a worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import torchlike as torch
from torchlike._tensor.tensor import Tensor, from_array, host_array
from torchlike.utils.data.dataset import Subset, TensorDataset

from . import arena
from .collate import is_plain


class _BaseDatasetFetcher:
    def __init__(self, dataset: Any, auto_collation: bool, collate_fn: Callable, drop_last: bool) -> None:
        self.dataset = dataset
        self.auto_collation = auto_collation
        self.collate_fn = collate_fn
        self.drop_last = drop_last

    def fetch(self, possibly_batched_index: Any) -> Any:
        raise NotImplementedError


class _IterableDatasetFetcher(_BaseDatasetFetcher):
    def __init__(self, dataset: Any, auto_collation: bool, collate_fn: Callable, drop_last: bool) -> None:
        super().__init__(dataset, auto_collation, collate_fn, drop_last)
        self.dataset_iter = iter(dataset)
        self.ended = False

    def fetch(self, possibly_batched_index: Any) -> Any:
        if self.ended:
            raise StopIteration
        if not self.auto_collation:
            return self.collate_fn(next(self.dataset_iter))
        samples = []
        for _ in possibly_batched_index:
            try:
                samples.append(next(self.dataset_iter))
            except StopIteration:
                self.ended = True
                break
        if not samples or (self.drop_last and len(samples) < len(possibly_batched_index)):
            raise StopIteration
        return self.collate_fn(samples)


class _MapDatasetFetcher(_BaseDatasetFetcher):
    def __init__(self, dataset: Any, auto_collation: bool, collate_fn: Callable, drop_last: bool) -> None:
        super().__init__(dataset, auto_collation, collate_fn, drop_last)
        self.rows_of_tensors = auto_collation and _is_tensors_and_subsets(dataset)

    def fetch(self, possibly_batched_index: Any) -> Any:
        if not self.auto_collation:
            return self.collate_fn(self.dataset[possibly_batched_index])
        if self.rows_of_tensors and is_plain(self.collate_fn):
            batch = gather_rows(self.dataset, possibly_batched_index)
            if batch is not None:
                return batch
        if getattr(self.dataset, "__getitems__", None):
            samples = self.dataset.__getitems__(possibly_batched_index)
        else:
            samples = [self.dataset[index] for index in possibly_batched_index]
        return self.collate_fn(samples)


class _DatasetKind:
    """Whether a dataset is a map or a stream, and the fetcher for each."""

    Map = 0
    Iterable = 1

    @staticmethod
    def create_fetcher(
        kind: int, dataset: Any, auto_collation: bool, collate_fn: Callable, drop_last: bool
    ) -> _BaseDatasetFetcher:
        """The object that turns indices into batches of ``dataset``."""
        fetcher = _MapDatasetFetcher if kind == _DatasetKind.Map else _IterableDatasetFetcher
        return fetcher(dataset, auto_collation, collate_fn, drop_last)


# A batch of a TensorDataset is rows of its tensors: one gather per tensor gives what indexing sample by sample and
# stacking would, in a hundredth of the Python. What could tell the difference takes the long way: subclasses, replaced
# methods, gradients through the gather, keys that are no integers, and errors, which must come from the index at fault.

_METHODS = (
    (TensorDataset, "__getitem__", TensorDataset.__getitem__),
    (Subset, "__getitem__", Subset.__getitem__),
    (Subset, "__getitems__", Subset.__getitems__),
)
_INTEGERS = {int, *(np.dtype(code).type for code in np.typecodes["AllInteger"])}


def _is_tensors_and_subsets(dataset: Any) -> bool:
    while type(dataset) is Subset:
        dataset = dataset.dataset
    return type(dataset) is TensorDataset and all(getattr(cls, name) is method for cls, name, method in _METHODS)


def gather_rows(dataset: Any, indices: Any) -> list[Tensor] | None:
    """The collated batch of a `TensorDataset`, or of a `Subset` of one, at integer indices.

    Returns:
        One new tensor per tensor of the dataset; None where the samples must be fetched one by one.
    """
    if not isinstance(indices, list) or not indices or not _INTEGERS.issuperset(map(type, indices)):
        return None
    try:
        while type(dataset) is Subset:
            chosen = dataset.indices
            indices = [chosen[index] for index in indices]
            dataset = dataset.dataset
            if not _INTEGERS.issuperset(map(type, indices)):
                return None
        rows = np.array(indices, np.intp)
        return _gather(dataset.tensors, rows)
    except (IndexError, OverflowError):
        return None


def _gather(tensors: tuple[Any, ...], rows: np.ndarray) -> list[Tensor] | None:
    for tensor in tensors:
        if type(tensor) is not Tensor or tensor.requires_grad or tensor.layout is not torch.strided:
            return None
    return [
        from_array(_take(host_array(tensor), rows)) if tensor.device.type == "cpu" else tensor[torch.from_numpy(rows)]
        for tensor in tensors
    ]


def _take(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    if not arena.is_open():
        return array.take(rows, axis=0)
    size = len(array)
    if rows.min() < -size or rows.max() >= size:
        raise IndexError
    out = arena.empty((len(rows), *array.shape[1:]), array.dtype)
    # Negative indices wrap around. Any mode but "raise" writes to `out` without a copy in between.
    return array.take(rows, axis=0, out=out, mode="wrap")
