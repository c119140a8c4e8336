"""``torch.autograd.graph``: nodes of the tape, as programs see them."""

from __future__ import annotations

from torchlike._tape.graph import Node

__all__ = ["Node"]
