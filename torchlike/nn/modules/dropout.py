"""Layers that drop elements or whole channels at random while training."""

from __future__ import annotations

from torchlike._tensor.tensor import Tensor
from torchlike.nn import functional as F

from .module import Module

__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout"]


class _DropoutNd(Module):
    __constants__ = ["p", "inplace"]
    p: float
    inplace: bool

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_DropoutNd):
    """Sets each element to 0 with probability ``p`` and scales the others by ``1 / (1 - p)``, while training.

    Args:
        p: probability of an element to be dropped. Default: 0.5.
        inplace: write to the input. Default: ``False``.

    Reference: https://arxiv.org/abs/1207.0580
    """

    def forward(self, input: Tensor) -> Tensor:
        """``input`` with elements dropped; in evaluation mode, ``input``."""
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_DropoutNd):
    """Drops whole channels of signals of shape (N, C, L) or (C, L), like `Dropout`.

    Args:
        p: probability of a channel to be dropped. Default: 0.5.
        inplace: write to the input. Default: ``False``.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``input`` with channels dropped; in evaluation mode, ``input``."""
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_DropoutNd):
    """Drops whole channels of images of shape (N, C, H, W), like `Dropout`.

    Args:
        p: probability of a channel to be dropped. Default: 0.5.
        inplace: write to the input. Default: ``False``.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``input`` with channels dropped; in evaluation mode, ``input``."""
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_DropoutNd):
    """Drops whole channels of volumes of shape (N, C, D, H, W) or (C, D, H, W), like `Dropout`.

    Args:
        p: probability of a channel to be dropped. Default: 0.5.
        inplace: write to the input. Default: ``False``.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``input`` with channels dropped; in evaluation mode, ``input``."""
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_DropoutNd):
    """Dropout for networks of `SELU`: dropped elements saturate, and mean and variance stay as they are.

    Args:
        p: probability of an element to be dropped. Default: 0.5.
        inplace: kept for compatibility.

    Reference: https://arxiv.org/abs/1706.02515
    """

    def forward(self, input: Tensor) -> Tensor:
        """``input`` with elements dropped; in evaluation mode, ``input``."""
        return F.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_DropoutNd):
    """`AlphaDropout` of whole channels.

    Args:
        p: probability of a channel to be dropped. Default: 0.5.
        inplace: kept for compatibility.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``input`` with channels dropped; in evaluation mode, ``input``."""
        return F.feature_alpha_dropout(input, self.p, self.training)
