"""Padding layers: circular, constant, reflecting, replicating, zero.

``padding`` is one number for all sides, or a tuple from the last dimension to the first: (left, right, top, bottom,
front, back).
"""

from __future__ import annotations

from collections.abc import Sequence

from torchlike._tensor.tensor import Tensor
from torchlike.nn import functional as F
from torchlike.nn.common_types import _size_2_t, _size_4_t, _size_6_t

from .module import Module
from .utils import _ntuple, _pair, _quadruple

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]

_sextuple = _ntuple(6, "_sextuple")


class _CircularPadNd(Module):
    __constants__ = ["padding"]
    padding: Sequence[int]

    def _check_input_dim(self, input: Tensor) -> None:
        raise NotImplementedError

    def forward(self, input: Tensor) -> Tensor:
        """The padded input."""
        self._check_input_dim(input)
        return F.pad(input, self.padding, "circular")

    def extra_repr(self) -> str:
        return f"{self.padding}"


def _check_dim(input: Tensor, unbatched: int) -> None:
    if input.dim() not in (unbatched, unbatched + 1):
        raise ValueError(f"expected {unbatched}D or {unbatched + 1}D input (got {input.dim()}D input)")


class CircularPad1d(_CircularPadNd):
    """Pads signals of shape (N, C, L) or (C, L) with their other end.

    Args:
        padding: a number, or (left, right).
    """

    def __init__(self, padding: _size_2_t) -> None:
        super().__init__()
        self.padding = _pair(padding)

    def _check_input_dim(self, input: Tensor) -> None:
        _check_dim(input, 2)


class CircularPad2d(_CircularPadNd):
    """Pads images of shape (N, C, H, W) or (C, H, W) with their other side.

    Args:
        padding: a number, or (left, right, top, bottom).
    """

    def __init__(self, padding: _size_4_t) -> None:
        super().__init__()
        self.padding = _quadruple(padding)

    def _check_input_dim(self, input: Tensor) -> None:
        _check_dim(input, 3)


class CircularPad3d(_CircularPadNd):
    """Pads volumes of shape (N, C, D, H, W) or (C, D, H, W) with their other side.

    Args:
        padding: a number, or (left, right, top, bottom, front, back).
    """

    def __init__(self, padding: _size_6_t) -> None:
        super().__init__()
        self.padding = _sextuple(padding)

    def _check_input_dim(self, input: Tensor) -> None:
        _check_dim(input, 4)


class _ConstantPadNd(Module):
    __constants__ = ["padding", "value"]
    value: float
    padding: Sequence[int]

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """The padded input."""
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPadNd):
    """Pads signals with a value.

    Args:
        padding: a number, or (left, right).
        value: what the padding holds.
    """

    def __init__(self, padding: _size_2_t, value: float) -> None:
        super().__init__(value)
        self.padding = _pair(padding)


class ConstantPad2d(_ConstantPadNd):
    """Pads images with a value.

    Args:
        padding: a number, or (left, right, top, bottom).
        value: what the padding holds.
    """

    def __init__(self, padding: _size_4_t, value: float) -> None:
        super().__init__(value)
        self.padding = _quadruple(padding)


class ConstantPad3d(_ConstantPadNd):
    """Pads volumes with a value.

    Args:
        padding: a number, or (left, right, top, bottom, front, back).
        value: what the padding holds.
    """

    def __init__(self, padding: _size_6_t, value: float) -> None:
        super().__init__(value)
        self.padding = _sextuple(padding)


class _ReflectionPadNd(Module):
    __constants__ = ["padding"]
    padding: Sequence[int]

    def forward(self, input: Tensor) -> Tensor:
        """The padded input."""
        return F.pad(input, self.padding, "reflect")

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ReflectionPad1d(_ReflectionPadNd):
    """Pads signals with their mirror image, the outermost element not repeated.

    Args:
        padding: a number, or (left, right), less than the length.
    """

    def __init__(self, padding: _size_2_t) -> None:
        super().__init__()
        self.padding = _pair(padding)


class ReflectionPad2d(_ReflectionPadNd):
    """Pads images with their mirror image, the outermost pixels not repeated.

    Args:
        padding: a number, or (left, right, top, bottom), less than the size.
    """

    def __init__(self, padding: _size_4_t) -> None:
        super().__init__()
        self.padding = _quadruple(padding)


class ReflectionPad3d(_ReflectionPadNd):
    """Pads volumes with their mirror image, the outermost elements not repeated.

    Args:
        padding: a number, or (left, right, top, bottom, front, back), less than the size.
    """

    def __init__(self, padding: _size_6_t) -> None:
        super().__init__()
        self.padding = _sextuple(padding)


class _ReplicationPadNd(Module):
    __constants__ = ["padding"]
    padding: Sequence[int]

    def forward(self, input: Tensor) -> Tensor:
        """The padded input."""
        return F.pad(input, self.padding, "replicate")

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ReplicationPad1d(_ReplicationPadNd):
    """Pads signals with their first and last element.

    Args:
        padding: a number, or (left, right).
    """

    def __init__(self, padding: _size_2_t) -> None:
        super().__init__()
        self.padding = _pair(padding)


class ReplicationPad2d(_ReplicationPadNd):
    """Pads images with their outermost pixels.

    Args:
        padding: a number, or (left, right, top, bottom).
    """

    def __init__(self, padding: _size_4_t) -> None:
        super().__init__()
        self.padding = _quadruple(padding)


class ReplicationPad3d(_ReplicationPadNd):
    """Pads volumes with their outermost elements.

    Args:
        padding: a number, or (left, right, top, bottom, front, back).
    """

    def __init__(self, padding: _size_6_t) -> None:
        super().__init__()
        self.padding = _sextuple(padding)


class ZeroPad1d(ConstantPad1d):
    """Pads signals with zeros.

    Args:
        padding: a number, or (left, right).
    """

    def __init__(self, padding: _size_2_t) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad2d(ConstantPad2d):
    """Pads images with zeros.

    Args:
        padding: a number, or (left, right, top, bottom).
    """

    def __init__(self, padding: _size_4_t) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad3d(ConstantPad3d):
    """Pads volumes with zeros.

    Args:
        padding: a number, or (left, right, top, bottom, front, back).
    """

    def __init__(self, padding: _size_6_t) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"
