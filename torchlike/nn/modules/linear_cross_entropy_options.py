"""Options of the linear layer fused with cross entropy."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

__all__ = ["LinearCrossEntropyOptions"]

_ACCUMULATION_TYPES = ("float16", "bfloat16", "float32", "float64")


@dataclasses.dataclass(slots=True, frozen=True)
class LinearCrossEntropyOptions:
    """How ``F.linear_cross_entropy`` trades memory for speed. XLA fuses the loss by itself, so these are hints.

    Args:
        allow_retain_graph: whether a second backward through the same graph is possible.
        batch_chunk_size: rows of the batch per chunk; ``None`` for one chunk.
        chunking_method: ``"auto"``, ``"aspect_ratio"``, ``"aspect_ratio:N"`` with ``N >= 1``, or ``None``.
        acc_policy: ``"auto"``, ``"accurate"``, ``"balanced"`` or ``"compact"``.
        acc_dtype: type of the sums; ``None`` to choose by the input.

    Raises:
        ValueError: a value that is none of these.
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: Literal["accurate", "balanced", "compact", "auto"] = "auto"
    acc_dtype: Any = None

    def __post_init__(self) -> None:
        if self.acc_policy not in ("auto", "accurate", "balanced", "compact"):
            raise ValueError(f"invalid acc_policy: {self.acc_policy!r}")
        if self.chunking_method not in (None, "auto"):
            name, colon, factor = self.chunking_method.partition(":")
            valid_factor = not colon or (factor.isdigit() and int(factor) > 0)
            if name != "aspect_ratio" or not valid_factor:
                raise ValueError(f"invalid chunking_method: {self.chunking_method!r}")
        rows = self.batch_chunk_size
        if rows is not None and not (isinstance(rows, int) and rows > 0):
            raise ValueError(f"batch_chunk_size must be positive int or None, got {rows!r}")
        if self.acc_dtype is not None and getattr(self.acc_dtype, "name", None) not in _ACCUMULATION_TYPES:
            raise ValueError(
                "acc_dtype must be one of {None, torch.float16, torch.bfloat16, torch.float32, torch.float64}, "
                f"got {self.acc_dtype!r}. Pass acc_dtype=None to let the op pick automatically."
            )
