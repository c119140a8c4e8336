"""Batches in page-locked memory, from which an accelerator reads faster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torchlike._tensor.tensor import Tensor

from .containers import is_namedtuple, like_mapping, like_sequence


def pin_memory(data: Any, device: Any = None) -> Any:
    """Pin the tensors of a batch, and whatever else has a ``pin_memory`` method.

    Args:
        data: a tensor, or containers of tensors in any depth.
        device: kept for the signature's sake; memory is pinned for the current accelerator.

    Returns:
        The same structure; containers are new, unless they hold nothing.
    """
    if isinstance(data, Tensor) or hasattr(data, "pin_memory"):
        return data.pin_memory()
    if isinstance(data, (str, bytes)):
        return data
    if isinstance(data, Mapping):
        return like_mapping(data, {key: pin_memory(item, device) for key, item in data.items()})
    if is_namedtuple(data):
        return type(data)(*(pin_memory(item, device) for item in data))
    if isinstance(data, tuple):
        return type(data)(pin_memory(item, device) for item in data)
    if isinstance(data, Sequence):
        return like_sequence(data, [pin_memory(item, device) for item in data])
    return data
