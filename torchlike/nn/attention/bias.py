"""Causal masks for queries and keys of different lengths."""

from __future__ import annotations

import warnings
from enum import IntEnum, auto
from typing import Any

import torchlike as torch
from torchlike._tensor.tensor import Tensor
from torchlike.nn.parameter import alias_as

__all__ = ["CausalBias", "CausalVariant", "causal_lower_right", "causal_upper_left"]


class CausalVariant(IntEnum):
    """Which corners of the score matrix the diagonal goes through."""

    UPPER_LEFT = auto()
    LOWER_RIGHT = auto()


class CausalBias(Tensor):
    """A causal mask, true where attention is allowed, to be given as ``attn_mask``.

    Args:
        variant: where the diagonal starts.
        seq_len_q: length of the queries.
        seq_len_kv: length of the keys.
    """

    variant: CausalVariant
    seq_len_q: int
    seq_len_kv: int

    def __new__(cls, variant: CausalVariant, seq_len_q: int, seq_len_kv: int) -> Any:
        if not isinstance(variant, CausalVariant):
            raise AssertionError(f"variant must be a CausalVariant, got {type(variant).__name__}")
        diagonal = seq_len_kv - seq_len_q if variant == CausalVariant.LOWER_RIGHT else 0
        if diagonal < 0:
            warnings.warn(
                "Lower right causal bias will produce NaNs in the output when seq_len_q > seq_len_kv!", stacklevel=4
            )
        allowed = torch.tril(torch.ones(seq_len_q, seq_len_kv, dtype=torch.bool), diagonal=diagonal)
        bias = alias_as(cls, allowed, False)
        bias.variant, bias.seq_len_q, bias.seq_len_kv = variant, seq_len_q, seq_len_kv
        return bias


CausalVariant.__module__ = CausalBias.__module__ = "torch.nn.attention.bias"


def causal_upper_left(*size: int) -> CausalBias:
    """Mask of shape (queries, keys): query ``i`` sees the keys up to ``i``."""
    if len(size) != 2:
        raise AssertionError("causal_upper_left only supports 2D tensors")
    return CausalBias(CausalVariant.UPPER_LEFT, *size)


def causal_lower_right(*size: int) -> CausalBias:
    """Mask of shape (queries, keys): the last query sees all keys, the one before all but the last, and so on."""
    if len(size) != 2:
        raise AssertionError("causal_lower_right only supports 2D tensors")
    return CausalBias(CausalVariant.LOWER_RIGHT, *size)
