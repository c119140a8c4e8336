"""``torch.signal``: signal processing."""

from torchlike.signal import windows

__all__ = ["windows"]
