"""``torch.cuda.nccl``: NVIDIA's collectives, which JAX uses by itself between accelerators."""

from __future__ import annotations

import warnings
from typing import Any


def is_available(tensors: Any) -> bool:
    """False: there is no access to NCCL's own functions."""
    warnings.warn("PyTorch is not compiled with NCCL support", stacklevel=2)
    return False


def version() -> tuple[int, int, int]:
    """NotImplementedError: NCCL is inside of JAX, which does not tell its version."""
    raise NotImplementedError(
        "torch.cuda.nccl.version: NCCL is part of JAX's GPU plugin, which does not tell its version"
    )
