"""Datasets, samplers, and the loader that makes batches of them."""

from torchlike.utils.data._utils.collate import default_collate, default_convert
from torchlike.utils.data._utils.fetch import _DatasetKind
from torchlike.utils.data._utils.worker import get_worker_info
from torchlike.utils.data.dataloader import DataLoader
from torchlike.utils.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from torchlike.utils.data.distributed import DistributedSampler
from torchlike.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "DistributedSampler",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "_DatasetKind",
    "default_collate",
    "default_convert",
    "get_worker_info",
    "random_split",
]

# Shown as torch's class. The datasets keep their own module's name, by which worker processes find them again.
DataLoader.__module__ = "torch.utils.data.dataloader"
