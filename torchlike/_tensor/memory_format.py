"""Memory formats and layouts: names for the order of a tensor's dimensions in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torchlike._tensor import views


class memory_format:
    """How dimensions are ordered in memory."""

    def __init__(self, name: str):
        self._name = name

    def __repr__(self) -> str:
        return f"torch.{self._name}"

    def __reduce__(self) -> str:
        return self._name


class layout:
    """How elements are stored."""

    def __init__(self, name: str):
        self._name = name

    def __repr__(self) -> str:
        return f"torch.{self._name}"

    def __reduce__(self) -> str:
        return self._name


memory_format.__module__ = layout.__module__ = "torch"

contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")
strided = layout("strided")
sparse_coo = layout("sparse_coo")
sparse_csr = layout("sparse_csr")
sparse_csc = layout("sparse_csc")
sparse_bsr = layout("sparse_bsr")
sparse_bsc = layout("sparse_bsc")
jagged = layout("jagged")


def is_contiguous(shape: Sequence[int], strides: Sequence[int], order: Any) -> bool:
    """Whether these strides are those of the memory format ``order`` (None: contiguous)."""
    if order is channels_last or order is channels_last_3d:
        if len(shape) != (4 if order is channels_last else 5):
            return False
        last = [0, *range(2, len(shape)), 1]
        return views.is_contiguous([shape[d] for d in last], [strides[d] for d in last])
    return views.is_contiguous(shape, strides)
