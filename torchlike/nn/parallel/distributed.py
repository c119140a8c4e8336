"""``DistributedDataParallel``: not there until ``torch.distributed`` is."""

from __future__ import annotations

from typing import Any

from torchlike.nn.modules.module import Module


class DistributedDataParallel(Module):
    """Training one model in several processes; raises NotImplementedError."""

    def __init__(self, module: Any, *args: Any, **kwargs: Any):
        raise NotImplementedError(
            "DistributedDataParallel needs process groups, and torch.distributed is not supported yet; "
            "torch.nn.DataParallel runs a model in one process"
        )
