"""Datasets: maps from keys to samples, streams of samples, and ways to combine them."""

from __future__ import annotations

import bisect
import itertools
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, Iterable, TypeVar, cast  # noqa: UP035  (a base beside Generic)

import torchlike as torch

if TYPE_CHECKING:
    from torchlike import Generator, Tensor

__all__ = [
    "ChainDataset",
    "ConcatDataset",
    "Dataset",
    "IterableDataset",
    "StackDataset",
    "Subset",
    "TensorDataset",
    "random_split",
]

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)
_T_stack = TypeVar("_T_stack")


class Dataset(Generic[_T_co]):
    """A map from keys to samples.

    A subclass defines ``__getitem__(key)``; for the samplers of this package also ``__len__``, keys then being the
    integers below it. It may define ``__getitems__(keys)``, which returns the list of samples of one batch and is then
    what `DataLoader` calls.

    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 4
    ...
    ...     def __getitem__(self, i):
    ...         return i * i
    >>> [x for x in Squares() + Squares()]
    [0, 1, 4, 9, 0, 1, 4, 9]
    """

    # Neither __len__ nor __getitems__ has a default: their presence is what loaders and `list` look for.

    def __getitem__(self, index: Any) -> _T_co:
        raise NotImplementedError("Subclasses of Dataset should implement __getitem__.")

    def __add__(self, other: Dataset[_T_co]) -> ConcatDataset[_T_co]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[_T_co], Iterable[_T_co]):
    """A stream of samples. A subclass defines ``__iter__``.

    Each worker process of a `DataLoader` iterates over its own copy, so ``__iter__`` (or ``worker_init_fn``) should
    divide the stream by `get_worker_info`, or every sample comes once per worker.

    >>> from torchlike.utils.data import get_worker_info
    >>> class Count(IterableDataset):
    ...     def __init__(self, start, end):
    ...         self.start, self.end = start, end
    ...
    ...     def __iter__(self):
    ...         info = get_worker_info()
    ...         first, step = (0, 1) if info is None else (info.id, info.num_workers)
    ...         return iter(range(self.start + first, self.end, step))
    >>> list(Count(3, 7))
    [3, 4, 5, 6]
    """

    def __add__(self, other: Dataset[_T_co]) -> ChainDataset:  # type: ignore[override]
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple["Tensor", ...]]):
    """Sample ``i`` is the tuple of the ``i``-th rows of some tensors.

    Args:
        *tensors: tensors whose first dimensions have the same size, which is the number of samples.

    Raises:
        AssertionError: the first dimensions differ.
    """

    tensors: tuple[Tensor, ...]

    def __init__(self, *tensors: Tensor) -> None:
        if any(tensors[0].size(0) != tensor.size(0) for tensor in tensors):
            raise AssertionError("Size mismatch between tensors")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple([tensor[index] for tensor in self.tensors])

    def __len__(self) -> int:
        return self.tensors[0].size(0)


class StackDataset(Dataset[_T_stack]):
    """Several datasets of one length, side by side: a sample is the tuple, or the dict, of their samples.

    Args:
        *args: datasets, for samples that are tuples.
        **kwargs: named datasets, for samples that are dicts.

    Raises:
        ValueError: both kinds are given, or none, or the lengths differ.

    >>> StackDataset([1, 2], ["a", "b"])[1]
    (2, 'b')
    >>> StackDataset(number=[1, 2], letter=["a", "b"])[1]
    {'number': 2, 'letter': 'b'}
    """

    datasets: tuple | dict

    def __init__(self, *args: Dataset, **kwargs: Dataset) -> None:
        if args and kwargs:
            raise ValueError(
                "Supported either ``tuple``- (via ``args``) or"
                "``dict``- (via ``kwargs``) like input/output, but both types are given."
            )
        if not args and not kwargs:
            raise ValueError("At least one dataset should be passed")
        self.datasets = args or kwargs
        lengths = [len(cast(Any, dataset)) for dataset in self._columns()]
        self._length = lengths[0]
        if any(length != self._length for length in lengths):
            raise ValueError("Size mismatch between datasets")

    def _columns(self) -> Iterable[Any]:
        return self.datasets.values() if isinstance(self.datasets, dict) else self.datasets

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {name: dataset[index] for name, dataset in self.datasets.items()}
        return tuple(dataset[index] for dataset in self.datasets)

    def __getitems__(self, indices: list) -> list:
        rows = zip(*[_column_samples(dataset, indices) for dataset in self._columns()])
        if isinstance(self.datasets, dict):
            names = tuple(self.datasets)
            return [dict(zip(names, row)) for row in rows]
        return list(rows)

    def __len__(self) -> int:
        return self._length


def _column_samples(dataset: Any, indices: list) -> list:
    # The samples of one dataset of a stack, in one call where it has one for many.
    if not callable(getattr(dataset, "__getitems__", None)):
        return [dataset[index] for index in indices]
    samples = dataset.__getitems__(indices)
    if len(samples) != len(indices):
        raise ValueError(f"Nested dataset's output size mismatch. Expected {len(indices)}, got {len(samples)}")
    return samples


class ConcatDataset(Dataset[_T_co]):
    """Datasets one after another.

    Args:
        datasets: the datasets, at least one, none of them an `IterableDataset`.

    Raises:
        AssertionError: there is no dataset, or one is an `IterableDataset`.
        ValueError: an index from the end reaches before the beginning.
    """

    datasets: list[Dataset[_T_co]]
    cumulative_sizes: list[int]

    @staticmethod
    def cumsum(sequence: Iterable[Any]) -> list[int]:
        """The lengths of the elements of ``sequence``, summed up to each."""
        return list(itertools.accumulate(len(element) for element in sequence))

    def __init__(self, datasets: Iterable[Dataset]) -> None:
        super().__init__()
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("datasets should not be an empty iterable")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise AssertionError("ConcatDataset does not support IterableDataset")
        self.cumulative_sizes = self.cumsum(self.datasets)

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, idx: int) -> _T_co:
        if idx < 0:
            if -idx > len(self):
                raise ValueError("absolute value of index should not exceed dataset length")
            idx += len(self)
        part = bisect.bisect_right(self.cumulative_sizes, idx)
        return self.datasets[part][idx - self.cumulative_sizes[part - 1] if part else idx]

    @property
    def cummulative_sizes(self) -> list[int]:
        """The old spelling of `cumulative_sizes`; warns."""
        warnings.warn("`cummulative_sizes` attribute is renamed to `cumulative_sizes`", FutureWarning, stacklevel=2)
        return self.cumulative_sizes


class ChainDataset(IterableDataset):
    """Streams one after another, each started when the one before has ended.

    Args:
        datasets: iterable of `IterableDataset`.

    Raises:
        AssertionError: when iteration, or ``len``, comes to something that is no `IterableDataset`.
    """

    def __init__(self, datasets: Iterable[Dataset]) -> None:
        super().__init__()
        self.datasets = datasets

    def _streams(self) -> Iterable[Any]:
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise AssertionError("ChainDataset only supports IterableDataset")
            yield dataset

    def __iter__(self):
        return itertools.chain.from_iterable(self._streams())

    def __len__(self) -> int:
        return sum(len(stream) for stream in self._streams())


class Subset(Dataset[_T_co]):
    """The samples of a dataset at chosen indices.

    A subclass that defines ``__getitem__`` must define ``__getitems__`` as well, since loaders call the latter.

    Args:
        dataset: the whole dataset.
        indices: sequence of indices into it.

    Raises:
        NotImplementedError: a subclass overrides ``__getitem__`` alone.

    >>> list(Subset("abcd", [3, 0]))
    ['d', 'a']
    """

    dataset: Dataset[_T_co]
    indices: Sequence[int]

    def __init__(self, dataset: Dataset[_T_co], indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices
        kind = type(self)
        if kind.__getitem__ is not Subset.__getitem__ and kind.__getitems__ is Subset.__getitems__:
            raise NotImplementedError(
                f"{kind.__name__} overrides __getitem__ but not __getitems__. "
                "When subclassing Subset and overriding __getitem__, you must also override "
                "__getitems__ to ensure DataLoader works correctly with your custom logic. "
                "A simple implementation:\n\n"
                "def __getitems__(self, indices):\n"
                "    return [self.__getitem__(idx) for idx in indices]"
            )

    def __getitem__(self, idx: Any) -> Any:
        if isinstance(idx, list):
            return self.dataset[[self.indices[i] for i in idx]]
        return self.dataset[self.indices[idx]]

    def __getitems__(self, indices: list[int]) -> list[_T_co]:
        dataset: Any = self.dataset
        chosen = [self.indices[index] for index in indices]
        if callable(getattr(dataset, "__getitems__", None)):
            return dataset.__getitems__(chosen)
        return [dataset[index] for index in chosen]

    def __len__(self) -> int:
        return len(self.indices)


def random_split(
    dataset: Dataset[_T],
    lengths: Sequence[int | float],
    generator: Generator | None = None,
) -> list[Subset[_T]]:
    """Cut a dataset into random parts that do not overlap.

    Args:
        dataset: what to split.
        lengths: the parts' lengths, which sum to ``len(dataset)``; or fractions which sum to 1: part ``k`` then gets
            ``floor(fraction_k * len(dataset))`` samples, and what is left over goes to the first parts, one each.
        generator: source of the permutation, the default generator by default.

    Returns:
        One `Subset` per length.

    Raises:
        ValueError: the lengths do not sum to the dataset's, or a fraction is not between 0 and 1.

    >>> [len(part) for part in random_split(range(10), [0.75, 0.25])]
    [8, 2]
    """
    total = sum(lengths)
    size = len(cast(Any, dataset))
    if math.isclose(total, 1) and total <= 1:
        lengths = _lengths_of_fractions(lengths, size)
    if sum(lengths) != size:
        raise ValueError("Sum of input lengths does not equal the length of the input dataset!")
    order = torch.randperm(cast(int, sum(lengths)), generator=generator).tolist()
    ends = itertools.accumulate(cast("Sequence[int]", lengths))
    return [Subset(dataset, order[end - length : end]) for end, length in zip(ends, cast("Sequence[int]", lengths))]


def _lengths_of_fractions(fractions: Sequence[int | float], size: int) -> list[int]:
    for i, fraction in enumerate(fractions):
        if fraction < 0 or fraction > 1:
            raise ValueError(f"Fraction at index {i} is not between 0 and 1")
    lengths = [math.floor(size * fraction) for fraction in fractions]
    for i in range(size - sum(lengths)):
        lengths[i % len(lengths)] += 1
    for i, length in enumerate(lengths):
        if length == 0:
            warnings.warn(f"Length of split at index {i} is 0. This might result in an empty dataset.", stacklevel=3)
    return lengths
