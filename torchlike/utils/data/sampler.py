"""Samplers: the order in which a loader asks a dataset for its samples."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import torchlike as torch

if TYPE_CHECKING:
    from torchlike import Generator, Tensor

__all__ = [
    "BatchSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SubsetRandomSampler",
    "WeightedRandomSampler",
]

_T_co = TypeVar("_T_co", covariant=True)

#: Draws with replacement are made this many at a time; a shared generator shows the difference.
_DRAWS_AT_ONCE = 32

NUM_SAMPLES = "num_samples should be a positive integer value, but got num_samples={}"


def _seed_from_default_generator() -> int:
    """A seed drawn from the default generator, as every consumer in this package draws one."""
    return int(torch.empty((), dtype=torch.int64).random_().item())


class Sampler(Generic[_T_co]):
    """An order of keys. A subclass defines ``__iter__``, over keys or lists of keys, and may define ``__len__``.

    >>> class ByLength(Sampler[int]):
    ...     def __init__(self, words):
    ...         self.words = words
    ...
    ...     def __len__(self):
    ...         return len(self.words)
    ...
    ...     def __iter__(self):
    ...         return iter(sorted(range(len(self.words)), key=lambda i: len(self.words[i])))
    >>> list(ByLength(["three", "a", "to"]))
    [1, 2, 0]
    """

    # No default __len__: `list` and loaders rely on its absence where the length is not known.

    def __iter__(self) -> Iterator[_T_co]:
        raise NotImplementedError


class SequentialSampler(Sampler[int]):
    """0, 1, 2, ..., always in this order.

    Args:
        data_source: the dataset; its length is read at each iteration.
    """

    data_source: Sized

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """A random order, new at each iteration.

    Args:
        data_source: the dataset; its length is read at each iteration.
        replacement: whether an index may come more than once (default: ``False``).
        num_samples: how many indices to draw, ``len(data_source)`` by default. Without replacement, more than that
            gives one permutation after another.
        generator: source of the draws. Without one, each iteration seeds its own from the default generator.

    Raises:
        TypeError: ``replacement`` is no bool.
        ValueError: ``num_samples`` is no positive integer.
    """

    data_source: Sized
    replacement: bool

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement should be a boolean value, but got replacement={replacement}")
        if not isinstance(self.num_samples, int) or self.num_samples <= 0:
            raise ValueError(NUM_SAMPLES.format(self.num_samples))

    @property
    def num_samples(self) -> int:
        """How many indices one iteration gives; follows the dataset's length where none was asked for."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        size = len(self.data_source)
        generator = self.generator
        if generator is None:
            generator = torch.Generator()
            generator.manual_seed(_seed_from_default_generator())
        draws = self._with_replacement if self.replacement else self._without_replacement
        yield from itertools.chain.from_iterable(draws(size, generator))

    def _with_replacement(self, size: int, generator: Generator) -> Iterator[list[int]]:
        whole, rest = divmod(self.num_samples, _DRAWS_AT_ONCE)
        for count in (*itertools.repeat(_DRAWS_AT_ONCE, whole), rest):
            yield torch.randint(high=size, size=(count,), dtype=torch.int64, generator=generator).tolist()

    def _without_replacement(self, size: int, generator: Generator) -> Iterator[list[int]]:
        whole, rest = divmod(self.num_samples, size)
        for _ in range(whole):
            yield torch.randperm(size, generator=generator).tolist()
        # The last permutation is drawn even where nothing of it is used; only a generator of one's own can tell.
        if rest or generator is self.generator:
            yield torch.randperm(size, generator=generator).tolist()[:rest]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given indices in a random order, each once.

    Args:
        indices: sequence of indices.
        generator: source of the permutation, the default generator by default.
    """

    indices: Sequence[int]

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for i in torch.randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Indices ``0 .. len(weights) - 1``, each drawn with a probability proportional to its weight.

    Args:
        weights: one number per index; they need not sum to one.
        num_samples: how many indices to draw.
        replacement: whether an index may come more than once (default: ``True``).
        generator: source of the draws, the default generator by default.

    Raises:
        ValueError: ``num_samples`` is no positive integer, ``replacement`` no bool, or ``weights`` not one-dimensional.
    """

    weights: Tensor
    num_samples: int
    replacement: bool

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples <= 0:
            raise ValueError(NUM_SAMPLES.format(num_samples))
        if not isinstance(replacement, bool):
            raise ValueError(f"replacement should be a boolean value, but got replacement={replacement}")
        tensor = torch.as_tensor(weights, dtype=torch.double)
        if len(tensor.shape) != 1:
            raise ValueError(f"weights should be a 1d sequence but given weights have shape {tuple(tensor.shape)}")
        self.weights = tensor
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        drawn = torch.multinomial(self.weights, self.num_samples, self.replacement, generator=self.generator)
        yield from drawn.tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """The indices of another sampler, gathered in lists.

    Args:
        sampler: any iterable of indices.
        batch_size: length of the lists.
        drop_last: whether to leave out a last list that is shorter.

    Raises:
        ValueError: ``batch_size`` is no positive integer, or ``drop_last`` no bool.

    >>> list(BatchSampler(range(5), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Sampler[int] | Iterable[int], batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(f"batch_size should be a positive integer value, but got batch_size={batch_size}")
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if self.drop_last and len(batch) < self.batch_size:
                return
            yield batch

    def __len__(self) -> int:
        spare = 0 if self.drop_last else self.batch_size - 1
        return (len(cast(Any, self.sampler)) + spare) // self.batch_size
