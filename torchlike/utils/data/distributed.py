"""The sampler that gives each process of a group its own part of a dataset."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TypeVar, cast

import torchlike as torch
from torchlike.utils.data.dataset import Dataset
from torchlike.utils.data.sampler import Sampler

__all__ = ["DistributedSampler"]

_T_co = TypeVar("_T_co", covariant=True)


def _process_group() -> Any:
    import torchlike.distributed as dist  # type: ignore[misc]

    if not dist.is_available():
        raise RuntimeError("Requires distributed package to be available")
    return dist


class DistributedSampler(Sampler[_T_co]):
    """Every ``num_replicas``-th index of one order common to all processes, beginning with the ``rank``-th.

    All processes get equally many: the order is padded with indices from its beginning, or cut with ``drop_last``.
    With ``shuffle``, call `set_epoch` before each epoch, or the order is the same in all of them.

    Args:
        dataset: the dataset, of the same length in every process.
        num_replicas: number of processes, that of the current group by default.
        rank: number of this process, that in the current group by default.
        shuffle: whether the order is random (default: ``True``).
        seed: seed of the order, the same in every process (default: ``0``).
        drop_last: whether to cut rather than pad (default: ``False``).

    Raises:
        RuntimeError: no process group is available to ask for a number that is not given.
        ValueError: the rank is not below the number of processes.
    """

    def __init__(
        self,
        dataset: Dataset,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if num_replicas is None:
            num_replicas = cast(int, _process_group().get_world_size())
        if rank is None:
            rank = cast(int, _process_group().get_rank())
        if rank >= num_replicas or rank < 0:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]")
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.drop_last = drop_last
        size = self._size()
        self.num_samples = size // num_replicas if drop_last else math.ceil(size / num_replicas)
        self.total_size = self.num_samples * num_replicas
        self.shuffle = shuffle
        self.seed = seed

    def _size(self) -> int:
        return len(cast(Any, self.dataset))

    def _order(self) -> list[int]:
        if not self.shuffle:
            return list(range(self._size()))
        generator = torch.Generator()
        generator.manual_seed(self.seed + self.epoch)
        return torch.randperm(self._size(), generator=generator).tolist()

    def __iter__(self) -> Iterator[_T_co]:
        indices = self._order()
        missing = 0 if self.drop_last else self.total_size - len(indices)
        if missing > 0:
            indices += (indices * math.ceil(missing / len(indices)))[:missing]
        if self.drop_last:
            indices = indices[: self.total_size]
        if len(indices) != self.total_size:
            raise AssertionError(f"Number of indices ({len(indices)}) does not match total_size ({self.total_size})")
        mine = indices[self.rank : self.total_size : self.num_replicas]
        if len(mine) != self.num_samples:
            raise AssertionError(
                f"Number of subsampled indices ({len(mine)}) does not match num_samples ({self.num_samples})"
            )
        return iter(cast("list[Any]", mine))

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration: another for each ``epoch``, the same in all processes.

        Args:
            epoch: number of the epoch, added to the seed.
        """
        self.epoch = epoch
