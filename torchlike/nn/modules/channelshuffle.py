"""Mixing of channel groups."""

from __future__ import annotations

from torchlike._tensor.tensor import Tensor
from torchlike.nn import functional as F

from .module import Module

__all__ = ["ChannelShuffle"]


class ChannelShuffle(Module):
    """Interleaves groups of channels: channel ``(g, c)`` of (N, groups x C, ...) moves to ``(c, g)``.

    Args:
        groups: number of groups.
    """

    __constants__ = ["groups"]
    groups: int

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        """``input`` with its channels interleaved."""
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
