"""Modules on several devices."""

import importlib
from typing import Any

from torchlike.nn.parallel.data_parallel import DataParallel, data_parallel
from torchlike.nn.parallel.parallel_apply import parallel_apply
from torchlike.nn.parallel.replicate import replicate
from torchlike.nn.parallel.scatter_gather import gather, scatter

DataParallel.__module__ = "torch.nn.parallel.data_parallel"

__all__ = [
    "DataParallel",
    "DistributedDataParallel",
    "data_parallel",
    "gather",
    "parallel_apply",
    "replicate",
    "scatter",
]


def __getattr__(name: str) -> Any:
    # Loaded on demand, since it needs the distributed package.
    if name in ("DistributedDataParallel", "distributed"):
        distributed = importlib.import_module("torchlike.nn.parallel.distributed")
        return distributed if name == "distributed" else distributed.DistributedDataParallel
    raise AttributeError(f"module 'torch.nn.parallel' has no attribute '{name}'")
