"""Normalization within a sample: layer, group, root mean square, local response."""

from __future__ import annotations

import numbers
from typing import Any

import torchlike as torch
from torchlike._tensor.tensor import Tensor
from torchlike.nn import functional as F
from torchlike.nn import init
from torchlike.nn.parameter import Parameter

from .module import Module

__all__ = ["CrossMapLRN2d", "GroupNorm", "LayerNorm", "LocalResponseNorm", "RMSNorm"]


class LocalResponseNorm(Module):
    """``x_c / (k + alpha / size * sum x_c'^2)^beta``, the sum over ``size`` neighbouring channels.

    Args:
        size: number of channels.
        alpha: factor of the sum. Default: 1e-4.
        beta: exponent. Default: 0.75.
        k: addend. Default: 1.
    """

    __constants__ = ["size", "alpha", "beta", "k"]
    size: int
    alpha: float
    beta: float
    k: float

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input, (N, C, ...)."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class CrossMapLRN2d(Module):
    """`LocalResponseNorm` of images as in Lua Torch.

    Args:
        size: number of channels.
        alpha: factor of the sum. Default: 1e-4.
        beta: exponent. Default: 0.75.
        k: addend. Default: 1.
    """

    size: int
    alpha: float
    beta: float
    k: float

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        """The normalized images, (N, C, H, W)."""
        from ._functions import CrossMapLRN2d as function

        return function.apply(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


def _as_shape(normalized_shape: Any) -> tuple[int, ...]:
    if isinstance(normalized_shape, numbers.Integral):
        return (normalized_shape,)  # type: ignore[return-value]
    return tuple(normalized_shape)


def _register_affine(module: Module, shape: Any, affine: bool, bias: bool, device: Any, dtype: Any) -> None:
    """Give the module a weight and a bias of one shape, or ``None`` in their places."""
    for name, present in (("weight", affine), ("bias", affine and bias)):
        empty = torch.empty(shape, device=device, dtype=dtype) if present else None
        module.register_parameter(name, None if empty is None else Parameter(empty))


def _reset_affine(module: Module, affine: bool) -> None:
    if affine:
        init.ones_(module.weight)
        if module.bias is not None:
            init.zeros_(module.bias)


def _weight_and_bias(module: Module) -> tuple[Any, Any]:
    # Module.__getattr__ costs more than the look-up; see there.
    parameters = module._parameters
    try:
        return parameters["weight"], parameters["bias"]
    except KeyError:  # Moved out of the parameters, by a parametrization for instance.
        return module.weight, module.bias


class LayerNorm(Module):
    """``(x - mean) / sqrt(var + eps) * weight + bias`` over the last dimensions, with the biased variance.

    Args:
        normalized_shape: sizes of these dimensions; a number for the last one.
        eps: keeps the denominator off 0. Default: 1e-5.
        elementwise_affine: whether there are a weight and a bias. Default: ``True``.
        bias: whether there is a bias. Default: ``True``.
        device: device of the parameters.
        dtype: element type of the parameters.

    Attributes:
        weight: of shape ``normalized_shape``, initially 1.
        bias: of shape ``normalized_shape``, initially 0.

    Reference: https://arxiv.org/abs/1607.06450
    """

    __constants__ = ["normalized_shape", "eps", "elementwise_affine"]
    normalized_shape: tuple[int, ...]
    eps: float
    elementwise_affine: bool

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _as_shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        _register_affine(self, self.normalized_shape, elementwise_affine, bias, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weight to 1 and the bias to 0."""
        _reset_affine(self, self.elementwise_affine)

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input."""
        return F.layer_norm(input, self.normalized_shape, *_weight_and_bias(self), self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class GroupNorm(Module):
    """``(x - mean) / sqrt(var + eps) * weight + bias`` over each group of channels of (N, C, ...).

    Args:
        num_groups: number of groups, a divisor of ``num_channels``.
        num_channels: C.
        eps: keeps the denominator off 0. Default: 1e-5.
        affine: whether there are a weight and a bias. Default: ``True``.
        device: device of the parameters.
        dtype: element type of the parameters.
        bias: whether there is a bias. Default: ``True``.

    Attributes:
        weight: of shape (C,), initially 1.
        bias: of shape (C,), initially 0.

    Reference: https://arxiv.org/abs/1803.08494
    """

    __constants__ = ["num_groups", "num_channels", "eps", "affine"]
    num_groups: int
    num_channels: int
    eps: float
    affine: bool

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups != 0:
            raise ValueError(f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})")
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        _register_affine(self, num_channels, affine, bias, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weight to 1 and the bias to 0."""
        _reset_affine(self, self.affine)

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input."""
        return F.group_norm(input, self.num_groups, *_weight_and_bias(self), self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """``x / sqrt(mean(x^2) + eps) * weight`` over the last dimensions.

    Args:
        normalized_shape: sizes of these dimensions; a number for the last one.
        eps: keeps the denominator off 0. Default: the machine epsilon of the input's type.
        elementwise_affine: whether there is a weight. Default: ``True``.
        device: device of the parameter.
        dtype: element type of the parameter.

    Attributes:
        weight: of shape ``normalized_shape``, initially 1.

    Reference: https://arxiv.org/abs/1910.07467
    """

    __constants__ = ["normalized_shape", "eps", "elementwise_affine"]
    normalized_shape: tuple[int, ...]
    eps: float | None
    elementwise_affine: bool

    def __init__(
        self,
        normalized_shape: Any,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _as_shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        if elementwise_affine:
            self.weight = Parameter(torch.empty(self.normalized_shape, device=device, dtype=dtype))
        else:
            self.register_parameter("weight", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weight to 1."""
        if self.elementwise_affine:
            init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """The normalized input."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
