"""Pooling layers. Sizes are one number for all spatial dimensions, or a tuple with one for each."""

from __future__ import annotations

from typing import Any

from torchlike._tensor.tensor import Tensor
from torchlike.nn import functional as F
from torchlike.nn.common_types import (
    _ratio_2_t,
    _ratio_3_t,
    _size_1_t,
    _size_2_opt_t,
    _size_2_t,
    _size_3_opt_t,
    _size_3_t,
    _size_any_opt_t,
    _size_any_t,
)

from .module import Module
from .utils import _pair, _single, _triple

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
]


class _MaxPoolNd(Module):
    __constants__ = ["kernel_size", "stride", "padding", "dilation", "return_indices", "ceil_mode"]
    kernel_size: Any
    stride: Any
    padding: Any
    dilation: Any
    return_indices: bool
    ceil_mode: bool

    def __init__(
        self,
        kernel_size: _size_any_t,
        stride: _size_any_t | None = None,
        padding: _size_any_t = 0,
        dilation: _size_any_t = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def _pool(self, function: Any, input: Tensor) -> Any:
        return function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPoolNd):
    """Maximum over windows of signals of shape (N, C, L) or (C, L).

    Args:
        kernel_size: size of the window.
        stride: distance of the windows. Default: ``kernel_size``.
        padding: ``-inf`` added at both ends, at most half the window. Default: 0.
        dilation: distance of the window's elements. Default: 1.
        return_indices: return the positions of the maxima too, for `MaxUnpool1d`. Default: ``False``.
        ceil_mode: let windows start where they reach over the end. Default: ``False``.
    """

    def forward(self, input: Tensor) -> Any:
        """The maxima, of shape (N, C, L_out), and with ``return_indices`` their positions."""
        return self._pool(F.max_pool1d, input)


class MaxPool2d(_MaxPoolNd):
    """Maximum over windows of images of shape (N, C, H, W) or (C, H, W).

    Args:
        kernel_size: size of the window.
        stride: distance of the windows. Default: ``kernel_size``.
        padding: ``-inf`` added on all sides, at most half the window. Default: 0.
        dilation: distance of the window's elements. Default: 1.
        return_indices: return the positions of the maxima too, for `MaxUnpool2d`. Default: ``False``.
        ceil_mode: let windows start where they reach over the end. Default: ``False``.
    """

    def forward(self, input: Tensor) -> Any:
        """The maxima, of shape (N, C, H_out, W_out), and with ``return_indices`` their positions."""
        return self._pool(F.max_pool2d, input)


class MaxPool3d(_MaxPoolNd):
    """Maximum over windows of volumes of shape (N, C, D, H, W) or (C, D, H, W).

    Args:
        kernel_size: size of the window.
        stride: distance of the windows. Default: ``kernel_size``.
        padding: ``-inf`` added on all sides, at most half the window. Default: 0.
        dilation: distance of the window's elements. Default: 1.
        return_indices: return the positions of the maxima too, for `MaxUnpool3d`. Default: ``False``.
        ceil_mode: let windows start where they reach over the end. Default: ``False``.
    """

    def forward(self, input: Tensor) -> Any:
        """The maxima, of shape (N, C, D_out, H_out, W_out), and with ``return_indices`` their positions."""
        return self._pool(F.max_pool3d, input)


class _MaxUnpoolNd(Module):
    kernel_size: Any
    stride: Any
    padding: Any

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpoolNd):
    """Puts the maxima of `MaxPool1d` back where they came from, zeros elsewhere.

    Args:
        kernel_size: size of the window.
        stride: distance of the windows. Default: ``kernel_size``.
        padding: padding of the pooling. Default: 0.
    """

    def __init__(self, kernel_size: _size_1_t, stride: _size_1_t | None = None, padding: _size_1_t = 0) -> None:
        super().__init__()
        self.kernel_size = _single(kernel_size)
        self.stride = _single(kernel_size if stride is None else stride)
        self.padding = _single(padding)

    def forward(self, input: Tensor, indices: Tensor, output_size: list[int] | None = None) -> Tensor:
        """The signals; ``output_size`` chooses among the lengths that pooling maps to the same."""
        return F.max_unpool1d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool2d(_MaxUnpoolNd):
    """Puts the maxima of `MaxPool2d` back where they came from, zeros elsewhere.

    Args:
        kernel_size: size of the window.
        stride: distance of the windows. Default: ``kernel_size``.
        padding: padding of the pooling. Default: 0.
    """

    def __init__(self, kernel_size: _size_2_t, stride: _size_2_t | None = None, padding: _size_2_t = 0) -> None:
        super().__init__()
        self.kernel_size = _pair(kernel_size)
        self.stride = _pair(kernel_size if stride is None else stride)
        self.padding = _pair(padding)

    def forward(self, input: Tensor, indices: Tensor, output_size: list[int] | None = None) -> Tensor:
        """The images; ``output_size`` chooses among the sizes that pooling maps to the same."""
        return F.max_unpool2d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool3d(_MaxUnpoolNd):
    """Puts the maxima of `MaxPool3d` back where they came from, zeros elsewhere.

    Args:
        kernel_size: size of the window.
        stride: distance of the windows. Default: ``kernel_size``.
        padding: padding of the pooling. Default: 0.
    """

    def __init__(self, kernel_size: _size_3_t, stride: _size_3_t | None = None, padding: _size_3_t = 0) -> None:
        super().__init__()
        self.kernel_size = _triple(kernel_size)
        self.stride = _triple(kernel_size if stride is None else stride)
        self.padding = _triple(padding)

    def forward(self, input: Tensor, indices: Tensor, output_size: list[int] | None = None) -> Tensor:
        """The volumes; ``output_size`` chooses among the sizes that pooling maps to the same."""
        return F.max_unpool3d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class _AvgPoolNd(Module):
    __constants__ = ["kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"]
    kernel_size: Any
    stride: Any
    padding: Any
    ceil_mode: bool
    count_include_pad: bool

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPoolNd):
    """Mean over windows of signals of shape (N, C, L) or (C, L).

    Args:
        kernel_size: size of the window.
        stride: distance of the windows. Default: ``kernel_size``.
        padding: zeros added at both ends. Default: 0.
        ceil_mode: let windows start where they reach over the end. Default: ``False``.
        count_include_pad: whether the zeros count in the mean. Default: ``True``.
    """

    def __init__(
        self,
        kernel_size: _size_1_t,
        stride: _size_1_t | None = None,
        padding: _size_1_t = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = _single(kernel_size)
        self.stride = _single(kernel_size if stride is None else stride)
        self.padding = _single(padding)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        """The means, of shape (N, C, L_out)."""
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


class AvgPool2d(_AvgPoolNd):
    """Mean over windows of images of shape (N, C, H, W) or (C, H, W).

    Args:
        kernel_size: size of the window.
        stride: distance of the windows. Default: ``kernel_size``.
        padding: zeros added on all sides. Default: 0.
        ceil_mode: let windows start where they reach over the end. Default: ``False``.
        count_include_pad: whether the zeros count in the mean. Default: ``True``.
        divisor_override: what the sum is divided by, instead of the number of elements.
    """

    __constants__ = ["kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"]

    def __init__(
        self,
        kernel_size: _size_2_t,
        stride: _size_2_t | None = None,
        padding: _size_2_t = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """The means, of shape (N, C, H_out, W_out)."""
        return F.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class AvgPool3d(_AvgPoolNd):
    """Mean over windows of volumes of shape (N, C, D, H, W) or (C, D, H, W).

    Args:
        kernel_size: size of the window.
        stride: distance of the windows. Default: ``kernel_size``.
        padding: zeros added on all sides. Default: 0.
        ceil_mode: let windows start where they reach over the end. Default: ``False``.
        count_include_pad: whether the zeros count in the mean. Default: ``True``.
        divisor_override: what the sum is divided by, instead of the number of elements.
    """

    __constants__ = ["kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"]

    def __init__(
        self,
        kernel_size: _size_3_t,
        stride: _size_3_t | None = None,
        padding: _size_3_t = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """The means, of shape (N, C, D_out, H_out, W_out)."""
        return F.avg_pool3d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.__dict__.setdefault("padding", 0)
        self.__dict__.setdefault("ceil_mode", False)
        self.__dict__.setdefault("count_include_pad", True)


def _check_fractional(name: str, output_size: Any, output_ratio: Any, ratios: tuple[float, ...] | None) -> None:
    if output_size is None and output_ratio is None:
        raise ValueError(f"{name} requires specifying either an output size, or a pooling ratio")
    if output_size is not None and output_ratio is not None:
        raise ValueError("only one of output_size and output_ratio may be specified")
    if ratios is not None and not all(0 < ratio < 1 for ratio in ratios):
        raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")


class FractionalMaxPool2d(Module):
    """Maximum over windows at random positions, for outputs of any size, of images (N, C, H, W) or (C, H, W).

    Args:
        kernel_size: size of the window.
        output_size: size of the output.
        output_ratio: its ratio to the input's size, between 0 and 1; give one of the two.
        return_indices: return the positions of the maxima too. Default: ``False``.

    Raises:
        ValueError: not exactly one of size and ratio is given, or the ratio is out of range.

    Reference: https://arxiv.org/abs/1412.6071
    """

    __constants__ = ["kernel_size", "return_indices", "output_size", "output_ratio"]
    kernel_size: Any
    return_indices: bool
    output_size: Any
    output_ratio: Any

    def __init__(
        self,
        kernel_size: _size_2_t,
        output_size: _size_2_t | None = None,
        output_ratio: _ratio_2_t | None = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = _pair(kernel_size)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else _pair(output_size)
        self.output_ratio = None if output_ratio is None else _pair(output_ratio)
        _check_fractional("FractionalMaxPool2d", output_size, output_ratio, self.output_ratio)

    def forward(self, input: Tensor) -> Any:
        """The maxima, and with ``return_indices`` their positions."""
        return F.fractional_max_pool2d(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            _random_samples=self._random_samples,
        )


class FractionalMaxPool3d(Module):
    """Maximum over windows at random positions, for outputs of any size, of volumes (N, C, D, H, W) or (C, D, H, W).

    Args:
        kernel_size: size of the window, greater than 0.
        output_size: size of the output.
        output_ratio: its ratio to the input's size, between 0 and 1; give one of the two.
        return_indices: return the positions of the maxima too. Default: ``False``.

    Raises:
        ValueError: the window is empty, not exactly one of size and ratio is given, or the ratio is out of range.

    Reference: https://arxiv.org/abs/1412.6071
    """

    __constants__ = ["kernel_size", "return_indices", "output_size", "output_ratio"]
    kernel_size: Any
    return_indices: bool
    output_size: Any
    output_ratio: Any

    def __init__(
        self,
        kernel_size: _size_3_t,
        output_size: _size_3_t | None = None,
        output_ratio: _ratio_3_t | None = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        if any(size <= 0 for size in _triple(kernel_size)):
            raise ValueError(f"kernel_size must be greater than 0, but got {kernel_size}")
        self.kernel_size = _triple(kernel_size)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else _triple(output_size)
        self.output_ratio = None if output_ratio is None else _triple(output_ratio)
        _check_fractional("FractionalMaxPool3d", output_size, output_ratio, self.output_ratio)

    def forward(self, input: Tensor) -> Any:
        """The maxima, and with ``return_indices`` their positions."""
        return F.fractional_max_pool3d(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            _random_samples=self._random_samples,
        )


class _LPPoolNd(Module):
    __constants__ = ["norm_type", "kernel_size", "stride", "ceil_mode"]
    norm_type: float
    kernel_size: Any
    stride: Any
    ceil_mode: bool

    def __init__(
        self,
        norm_type: float,
        kernel_size: _size_any_t,
        stride: _size_any_t | None = None,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPoolNd):
    """``(sum x^p)^(1/p)`` over windows of signals of shape (N, C, L) or (C, L).

    Args:
        norm_type: ``p``.
        kernel_size: size of the window.
        stride: distance of the windows. Default: ``kernel_size``.
        ceil_mode: let windows start where they reach over the end. Default: ``False``.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The norms, of shape (N, C, L_out)."""
        return F.lp_pool1d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class LPPool2d(_LPPoolNd):
    """``(sum x^p)^(1/p)`` over windows of images of shape (N, C, H, W) or (C, H, W).

    Args:
        norm_type: ``p``.
        kernel_size: size of the window.
        stride: distance of the windows. Default: ``kernel_size``.
        ceil_mode: let windows start where they reach over the end. Default: ``False``.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The norms, of shape (N, C, H_out, W_out)."""
        return F.lp_pool2d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class LPPool3d(_LPPoolNd):
    """``(sum x^p)^(1/p)`` over windows of volumes of shape (N, C, D, H, W) or (C, D, H, W).

    Args:
        norm_type: ``p``.
        kernel_size: size of the window.
        stride: distance of the windows. Default: ``kernel_size``.
        ceil_mode: let windows start where they reach over the end. Default: ``False``.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The norms, of shape (N, C, D_out, H_out, W_out)."""
        return F.lp_pool3d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class _AdaptiveMaxPoolNd(Module):
    __constants__ = ["output_size", "return_indices"]
    output_size: Any
    return_indices: bool

    def __init__(self, output_size: _size_any_opt_t, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPoolNd):
    """Maximum over as many windows of signals (N, C, L) or (C, L) as the output is long.

    Args:
        output_size: length of the output.
        return_indices: return the positions of the maxima too. Default: ``False``.
    """

    output_size: _size_1_t

    def forward(self, input: Tensor) -> Any:
        """The maxima, of shape (N, C, output_size), and with ``return_indices`` their positions."""
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMaxPoolNd):
    """Maximum over as many windows of images (N, C, H, W) or (C, H, W) as the output has pixels.

    Args:
        output_size: size of the output; ``None`` in a tuple keeps the input's.
        return_indices: return the positions of the maxima too. Default: ``False``.
    """

    output_size: _size_2_opt_t

    def forward(self, input: Tensor) -> Any:
        """The maxima, of shape (N, C, \\*output_size), and with ``return_indices`` their positions."""
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool3d(_AdaptiveMaxPoolNd):
    """Maximum over as many windows of volumes (N, C, D, H, W) or (C, D, H, W) as the output has elements.

    Args:
        output_size: size of the output; ``None`` in a tuple keeps the input's.
        return_indices: return the positions of the maxima too. Default: ``False``.
    """

    output_size: _size_3_opt_t

    def forward(self, input: Tensor) -> Any:
        """The maxima, of shape (N, C, \\*output_size), and with ``return_indices`` their positions."""
        return F.adaptive_max_pool3d(input, self.output_size, self.return_indices)


class _AdaptiveAvgPoolNd(Module):
    __constants__ = ["output_size"]
    output_size: Any

    def __init__(self, output_size: _size_any_opt_t) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPoolNd):
    """Mean over as many windows of signals (N, C, L) or (C, L) as the output is long.

    Args:
        output_size: length of the output.
    """

    output_size: _size_1_t

    def forward(self, input: Tensor) -> Tensor:
        """The means, of shape (N, C, output_size)."""
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_AdaptiveAvgPoolNd):
    """Mean over as many windows of images (N, C, H, W) or (C, H, W) as the output has pixels.

    Args:
        output_size: size of the output; ``None`` in a tuple keeps the input's.
    """

    output_size: _size_2_opt_t

    def forward(self, input: Tensor) -> Tensor:
        """The means, of shape (N, C, \\*output_size)."""
        return F.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveAvgPool3d(_AdaptiveAvgPoolNd):
    """Mean over as many windows of volumes (N, C, D, H, W) or (C, D, H, W) as the output has elements.

    Args:
        output_size: size of the output; ``None`` in a tuple keeps the input's.
    """

    output_size: _size_3_opt_t

    def forward(self, input: Tensor) -> Tensor:
        """The means, of shape (N, C, \\*output_size)."""
        return F.adaptive_avg_pool3d(input, self.output_size)
