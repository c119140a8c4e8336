"""Choice of the kernel behind ``F.scaled_dot_product_attention``.

XLA compiles one kernel for each case, so the choice is remembered and reported, and changes nothing else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from enum import IntEnum
from typing import Any

__all__ = ["WARN_FOR_UNFUSED_KERNELS", "SDPBackend", "sdpa_kernel"]

#: Whether to explain why a kernel could not be used; XLA fuses whatever it is given.
WARN_FOR_UNFUSED_KERNELS = False


class SDPBackend(IntEnum):
    """Kernels of scaled dot-product attention."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4

    def __repr__(self) -> str:
        return f"<SDPBackend.{self.name}: {self.value}>"

    def __str__(self) -> str:
        return f"SDPBackend.{self.name}"


SDPBackend.__module__ = "torch.nn.attention"

_ALL = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
    SDPBackend.OVERRIDEABLE,
]
_enabled: list[SDPBackend] = list(_ALL)


def _cur_sdpa_kernel_backends(with_priority: bool = False) -> list[SDPBackend]:
    """The kernels that may be used."""
    return list(_enabled) if with_priority else [backend for backend in _ALL if backend in _enabled]


@contextlib.contextmanager
def sdpa_kernel(backends: Any, set_priority: bool = False) -> Iterator[dict]:
    """Allow only the given kernels as long as the context lasts; also a decorator.

    Args:
        backends: a kernel, or a list of kernels.
        set_priority: whether their order counts. Default: ``False``.

    Raises:
        AssertionError: ``backends`` is something else.
    """
    global _enabled
    if not isinstance(backends, (list, SDPBackend)):
        raise AssertionError(
            "Backend must be an instance of SDPBackend or a list of SDPBackend instances, "
            f"got {type(backends).__name__}"
        )
    before = _enabled
    _enabled = [backends] if isinstance(backends, SDPBackend) else list(dict.fromkeys(backends))
    try:
        yield {}
    finally:
        _enabled = before
