"""Softmax over many classes of very different frequency."""

from __future__ import annotations

import itertools
from collections import namedtuple
from collections.abc import Sequence
from typing import Any

import torchlike as torch
from torchlike._tensor.tensor import Tensor
from torchlike.nn import functional as F

from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module

__all__ = ["AdaptiveLogSoftmaxWithLoss"]

_ASMoutput = namedtuple("_ASMoutput", ["output", "loss"])


class AdaptiveLogSoftmaxWithLoss(Module):
    """Approximates softmax: frequent classes are scored directly, rare ones by clusters with fewer features.

    Args:
        in_features: features of the input.
        n_classes: number of classes, sorted by decreasing frequency.
        cutoffs: where the clusters start.
        div_value: factor by which each cluster has fewer features than the one before. Default: 4.
        head_bias: whether the scores of frequent classes and clusters have a bias. Default: ``False``.
        device: device of the parameters.
        dtype: element type of the parameters.

    Raises:
        ValueError: the cutoffs are not increasing whole numbers from 1 to ``n_classes - 1``.

    Reference: https://arxiv.org/abs/1609.04309
    """

    in_features: int
    n_classes: int
    cutoffs: list[int]
    div_value: float
    head_bias: bool
    head: Linear
    tail: ModuleList

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        increasing = all(low < high for low, high in itertools.pairwise(cutoffs))
        whole = all(int(cutoff) == cutoff for cutoff in cutoffs)
        if not (increasing and whole and cutoffs[0] > 0 and cutoffs[-1] <= n_classes - 1):
            raise ValueError(
                "cutoffs should be a sequence of unique, positive "
                "integers sorted in an increasing order, where "
                "each value is between 1 and n_classes-1"
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, device=device, dtype=dtype)
        self.tail = ModuleList()
        for i, (low, high) in enumerate(itertools.pairwise(self.cutoffs), 1):
            hidden = int(in_features // div_value**i)
            self.tail.append(
                Sequential(
                    Linear(in_features, hidden, bias=False, device=device, dtype=dtype),
                    Linear(hidden, high - low, bias=False, device=device, dtype=dtype),
                )
            )

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.head.reset_parameters()
        for module in self.tail.modules():
            if isinstance(module, Linear):
                module.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> _ASMoutput:
        """Log probability of each target, and the mean negative one.

        Args:
            input_: (N, in_features) or (in_features).
            target_: (N) or (), the classes.

        Returns a named tuple ``(output, loss)``.

        Raises:
            RuntimeError: shapes do not match, or a target is out of range.
        """
        dim = target_.dim()
        if dim == 1:
            if input_.size(0) != target_.size(0):
                raise RuntimeError("Input and target should have the same size in the batch dimension.")
            if input_.dim() != 2:
                raise RuntimeError(
                    f"1D target tensor expects 2D input tensors, but found inputs with size {input_.size()}"
                )
        elif dim == 0:
            if input_.dim() != 1:
                raise RuntimeError(
                    f"0D target tensor expects 1D input tensors, but found inputs with size {input_.size()}"
                )
        else:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        input = input_ if dim else input_.unsqueeze(0)
        target = target_ if dim else target_.unsqueeze(0)

        used = 0
        output = input.new_zeros(target.size(0))
        head_indices = target.new_empty(target.size(0))  # In the head: the class, or its cluster.
        for i, (low, high) in enumerate(itertools.pairwise([0, *self.cutoffs])):
            inside = (target >= low) & (target < high)
            rows = inside.nonzero().squeeze(1)
            if rows.numel() == 0:
                continue
            used += rows.numel()
            if i == 0:
                head_indices.index_copy_(0, rows, target[inside])
                continue
            cluster = self.tail[i - 1](input.index_select(0, rows))
            log_prob = F.log_softmax(cluster, dim=1).gather(1, (target[inside] - low).unsqueeze(1))
            head_indices.index_fill_(0, rows, self.shortlist_size + i - 1)
            output.index_copy_(0, rows, log_prob.squeeze(1))
        if used != target.size(0):
            raise RuntimeError(
                f"Target values should be in [0, {self.n_classes - 1}], "
                f"but values in range [{target.min().item()}, {target.max().item()}] "
                "were found. "
            )
        head_log_prob = F.log_softmax(self.head(input), dim=1)
        output += head_log_prob.gather(1, head_indices.unsqueeze(1)).squeeze(1)
        loss = (-output).mean()
        return _ASMoutput(output if dim else output.squeeze(0), loss)

    def _get_full_log_prob(self, input: Tensor, head_output: Tensor) -> Tensor:
        """Log probabilities of all classes, given the scores of the head."""
        head_log_prob = F.log_softmax(head_output, dim=1)
        parts = [head_log_prob[:, : self.shortlist_size]]
        for i, projection in enumerate(self.tail):
            cluster = head_log_prob[:, self.shortlist_size + i].unsqueeze(1)
            parts.append(F.log_softmax(projection(input), dim=1) + cluster)
        return torch.cat(parts, dim=1)

    def log_prob(self, input: Tensor) -> Tensor:
        """Log probabilities of all classes, of shape (N, n_classes), for inputs (N, in_features)."""
        return self._get_full_log_prob(input, self.head(input))

    def predict(self, input: Tensor) -> Tensor:
        """The most probable class of each input, of shape (N)."""
        head_output = self.head(input)
        output = torch.argmax(head_output, dim=1)
        rare = output >= self.shortlist_size
        if not rare.any():
            return output
        if rare.all():
            return torch.argmax(self._get_full_log_prob(input, head_output), dim=1)
        log_prob = self._get_full_log_prob(input[rare], head_output[rare])
        output[rare] = torch.argmax(log_prob, dim=1)
        return output
