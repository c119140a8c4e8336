"""Distances and similarities of pairs of vectors."""

from __future__ import annotations

from torchlike._tensor.tensor import Tensor
from torchlike.nn import functional as F

from .module import Module

__all__ = ["CosineSimilarity", "PairwiseDistance"]


class PairwiseDistance(Module):
    """Distance along the last dimension, ``||x1 - x2 + eps||_p``.

    Args:
        p: the order of the norm, possibly negative. Default: 2.
        eps: added to the difference, keeps the gradient finite at 0. Default: 1e-6.
        keepdim: keep the last dimension with size 1. Default: ``False``.
    """

    __constants__ = ["norm", "eps", "keepdim"]
    norm: float
    eps: float
    keepdim: bool

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Distances of the vectors of ``x1`` to those of ``x2``, of shape (N, D) or (D) each."""
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


class CosineSimilarity(Module):
    """Cosine of the angle between vectors, ``x1 . x2 / max(||x1|| ||x2||, eps)``.

    Args:
        dim: the dimension that holds the vectors. Default: 1.
        eps: keeps the denominator off 0. Default: 1e-8.
    """

    __constants__ = ["dim", "eps"]
    dim: int
    eps: float

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Cosines, of the shape of the inputs without ``dim``."""
        return F.cosine_similarity(x1, x2, self.dim, self.eps)
