"""Initializers of parameters. Each fills its tensor in place, outside autograd, and returns it.

Draws follow native PyTorch's order, so that a seed gives the same weights.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, Literal

import torchlike as torch
from torchlike._tensor.tensor import Tensor

__all__ = [
    "calculate_gain",
    "constant",
    "constant_",
    "dirac",
    "dirac_",
    "eye",
    "eye_",
    "kaiming_normal",
    "kaiming_normal_",
    "kaiming_uniform",
    "kaiming_uniform_",
    "normal",
    "normal_",
    "ones_",
    "orthogonal",
    "orthogonal_",
    "sparse",
    "sparse_",
    "trunc_normal_",
    "uniform",
    "uniform_",
    "xavier_normal",
    "xavier_normal_",
    "xavier_uniform",
    "xavier_uniform_",
    "zeros_",
]

_NonlinearityType = Literal[
    "linear",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "selu",
]
_FanMode = Literal["fan_in", "fan_out"]

EMPTY_TENSOR = "Initializing zero-element tensors is a no-op"
ONLY_MATRICES = "Only tensors with 2 dimensions are supported"

_GAINS: dict[str, float] = {
    "linear": 1,
    "conv1d": 1,
    "conv2d": 1,
    "conv3d": 1,
    "conv_transpose1d": 1,
    "conv_transpose2d": 1,
    "conv_transpose3d": 1,
    "sigmoid": 1,
    "tanh": 5.0 / 3,
    "relu": math.sqrt(2.0),
    "selu": 3.0 / 4,  # Found by experiment: the variance stays near 1 through deep networks.
}


def calculate_gain(nonlinearity: _NonlinearityType, param: int | float | None = None) -> float:
    """Factor by which weights before a nonlinearity are scaled so that the variance keeps its size.

    Args:
        nonlinearity: name of a function of ``nn.functional``.
        param: negative slope, for ``"leaky_relu"``. Default: 0.01.

    Raises:
        ValueError: the function is unknown, or the slope no number.

    >>> calculate_gain("leaky_relu", 0.2)
    1.3867504905630728
    """
    if nonlinearity == "leaky_relu":
        if param is None:
            param = 0.01
        elif isinstance(param, bool) or not isinstance(param, (int, float)):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + param**2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
    return _GAINS[nonlinearity]


def _no_grad_uniform_(tensor: Tensor, a: float, b: float, generator: Any = None) -> Tensor:
    with torch.no_grad():
        return tensor.uniform_(a, b, generator=generator)


def _no_grad_normal_(tensor: Tensor, mean: float, std: float, generator: Any = None) -> Tensor:
    with torch.no_grad():
        return tensor.normal_(mean, std, generator=generator)


def _no_grad_fill_(tensor: Tensor, val: float) -> Tensor:
    with torch.no_grad():
        return tensor.fill_(val)


def _no_grad_zero_(tensor: Tensor) -> Tensor:
    with torch.no_grad():
        return tensor.zero_()


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Fill with draws from ``U(a, b)``.

    Args:
        tensor: the tensor.
        a: lower bound. Default: 0.
        b: upper bound. Default: 1.
        generator: source of random numbers. Default: the global one.
    """
    return _no_grad_uniform_(tensor, a, b, generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Fill with draws from ``N(mean, std^2)``.

    Args:
        tensor: the tensor.
        mean: mean. Default: 0.
        std: standard deviation. Default: 1.
        generator: source of random numbers. Default: the global one.
    """
    return _no_grad_normal_(tensor, mean, std, generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
) -> Tensor:
    """Fill with draws from ``N(mean, std^2)`` that lie between ``a`` and ``b``.

    Args:
        tensor: the tensor.
        mean: mean of the normal distribution. Default: 0.
        std: its standard deviation. Default: 1.
        a: lower bound. Default: -2.
        b: upper bound. Default: 2.
        generator: source of random numbers. Default: the global one.
    """
    if tensor.is_meta:
        return tensor
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. "
            "The distribution of values may be incorrect.",
            stacklevel=2,
        )

    def below(x: float) -> float:
        """Share of the standard normal distribution below ``x``."""
        return (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0

    inside = below((b - mean) / std) - below((a - mean) / std)
    with torch.no_grad():
        if inside > 0.3:
            return _redraw_outliers(tensor, mean, std, a, b, generator)
        return _draw_by_rejection(tensor, mean, std, a, b, generator)


def _redraw_outliers(tensor: Tensor, mean: float, std: float, a: float, b: float, generator: Any) -> Tensor:
    """Draw from the normal distribution, then again (all of them, keeping the good ones) until none is outside."""
    # The bounds as the tensor's type has them, or rounding may let a draw at the bound through.
    low, high = tensor.new_tensor(a, device="cpu").item(), tensor.new_tensor(b, device="cpu").item()
    result = tensor.normal_(mean, std, generator=generator)
    outside = (result < low) | (result > high)
    while outside.any():
        result = torch.where(outside, torch.empty_like(result).normal_(mean, std, generator=generator), result)
        outside = (result < low) | (result > high)
    return tensor if result is tensor else tensor.copy_(result)


def _draw_by_rejection(tensor: Tensor, mean: float, std: float, a: float, b: float, generator: Any) -> Tensor:
    """Draw uniformly, accepted with probability density / peak: for bounds far out, where few normal draws fall."""
    mode = max(a, min(mean, b))
    log_peak = -0.5 * ((mode - mean) / std) ** 2
    level = torch.empty_like(tensor)

    def rejected(candidates: Tensor) -> Tensor:
        log_density = candidates.sub(mean).div_(std).pow_(2).mul_(-0.5).sub_(log_peak)
        return level.uniform_(generator=generator).log_().gt(log_density)

    result = tensor.uniform_(a, b, generator=generator)
    pending = rejected(tensor)
    candidates = torch.empty_like(tensor)
    while pending.any():
        candidates.uniform_(a, b, generator=generator)
        result = torch.where(pending, candidates, result)
        pending = pending & rejected(candidates)
    return tensor if result is tensor else tensor.copy_(result)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with ``val``."""
    return _no_grad_fill_(tensor, val)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with 1."""
    return _no_grad_fill_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with 0."""
    return _no_grad_zero_(tensor)


def eye_(tensor: Tensor) -> Tensor:
    """Fill a matrix with the identity.

    Raises:
        ValueError: the tensor is no matrix.
    """
    if tensor.ndimension() != 2:
        raise ValueError(ONLY_MATRICES)
    with torch.no_grad():
        torch.eye(*tensor.shape, out=tensor, requires_grad=tensor.requires_grad)
    return tensor


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Fill a convolution's weight so that it passes on as many channels as possible unchanged.

    Args:
        tensor: the weight, with 3, 4 or 5 dimensions.
        groups: number of groups of the convolution. Default: 1.

    Raises:
        ValueError: another number of dimensions, or output channels that the groups do not divide.
    """
    if tensor.ndimension() not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    sizes = tensor.size()
    if sizes[0] % groups != 0:
        raise ValueError("dim 0 must be divisible by groups")
    if tensor.is_meta:
        return tensor
    group_size = sizes[0] // groups
    passed = min(group_size, sizes[1])
    centre = tuple(size // 2 for size in sizes[2:])
    with torch.no_grad():
        tensor.zero_()
        for group in range(groups):
            for channel in range(passed):
                tensor[(group * group_size + channel, channel, *centre)] = 1
    return tensor


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """Numbers of inputs of an output, and of outputs of an input, of a layer with this weight.

    Raises:
        ValueError: the tensor has fewer than 2 dimensions.
    """
    if tensor.dim() < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    outputs, inputs, *kernel = tensor.shape
    receptive_field = math.prod(kernel)
    return inputs * receptive_field, outputs * receptive_field


def _calculate_correct_fan(tensor: Tensor, mode: _FanMode) -> int:
    mode = mode.lower()  # type: ignore[assignment]
    valid_modes = ["fan_in", "fan_out"]
    if mode not in valid_modes:
        raise ValueError(f"Mode {mode} not supported, please use one of {valid_modes}")
    return _calculate_fan_in_and_fan_out(tensor)[valid_modes.index(mode)]


def _xavier_std(tensor: Tensor, gain: float) -> float:
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return gain * math.sqrt(2.0 / float(fan_in + fan_out))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Fill with draws from ``U(-a, a)``, ``a = gain sqrt(6 / (fan_in + fan_out))``.

    Args:
        tensor: a weight of 2 or more dimensions.
        gain: see `calculate_gain`. Default: 1.
        generator: source of random numbers. Default: the global one.

    Reference: https://proceedings.mlr.press/v9/glorot10a.html
    """
    bound = math.sqrt(3.0) * _xavier_std(tensor, gain)
    return _no_grad_uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Fill with draws from ``N(0, std^2)``, ``std = gain sqrt(2 / (fan_in + fan_out))``.

    Args:
        tensor: a weight of 2 or more dimensions.
        gain: see `calculate_gain`. Default: 1.
        generator: source of random numbers. Default: the global one.

    Reference: https://proceedings.mlr.press/v9/glorot10a.html
    """
    return _no_grad_normal_(tensor, 0.0, _xavier_std(tensor, gain), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: _FanMode, nonlinearity: _NonlinearityType) -> float | None:
    """The standard deviation, or ``None`` (with a warning) for a tensor without elements."""
    if 0 in tensor.shape:
        warnings.warn(EMPTY_TENSOR, stacklevel=3)
        return None
    fan = _calculate_correct_fan(tensor, mode)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: _FanMode = "fan_in",
    nonlinearity: _NonlinearityType = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Fill with draws from ``U(-b, b)``, ``b = gain sqrt(3 / fan)``.

    Args:
        tensor: a weight of 2 or more dimensions.
        a: negative slope, for ``"leaky_relu"``. Default: 0.
        mode: ``"fan_in"`` keeps the variance in the forward pass, ``"fan_out"`` in the backward pass.
        nonlinearity: what follows the layer; see `calculate_gain`. Default: ``"leaky_relu"``.
        generator: source of random numbers. Default: the global one.

    Reference: https://arxiv.org/abs/1502.01852
    """
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    if std is None:
        return tensor
    bound = math.sqrt(3.0) * std
    return _no_grad_uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: _FanMode = "fan_in",
    nonlinearity: _NonlinearityType = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Fill with draws from ``N(0, std^2)``, ``std = gain / sqrt(fan)``.

    Args:
        tensor: a weight of 2 or more dimensions.
        a: negative slope, for ``"leaky_relu"``. Default: 0.
        mode: ``"fan_in"`` keeps the variance in the forward pass, ``"fan_out"`` in the backward pass.
        nonlinearity: what follows the layer; see `calculate_gain`. Default: ``"leaky_relu"``.
        generator: source of random numbers. Default: the global one.

    Reference: https://arxiv.org/abs/1502.01852
    """
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    return tensor if std is None else _no_grad_normal_(tensor, 0, std, generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Tensor:
    """Fill with a (semi-)orthogonal matrix, the trailing dimensions flattened into its columns.

    Args:
        tensor: a weight of 2 or more dimensions.
        gain: factor. Default: 1.
        generator: source of random numbers. Default: the global one.

    Raises:
        ValueError: the tensor has fewer than 2 dimensions.

    Reference: https://arxiv.org/abs/1312.6120
    """
    if tensor.ndimension() < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0 or tensor.is_meta:
        return tensor
    rows = tensor.size(0)
    columns = tensor.numel() // rows
    with torch.no_grad():
        flattened = tensor.new_empty((rows, columns)).normal_(0, 1, generator=generator)
        wide = rows < columns
        q, r = torch.linalg.qr(flattened.t() if wide else flattened)
        # Without the signs, Q would not be uniformly distributed (https://arxiv.org/abs/math-ph/0609050).
        q = q * torch.diag(r, 0).sign()
        tensor.copy_((q.t() if wide else q).reshape(tensor.shape))
        tensor.mul_(gain)
    return tensor


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    """Fill a matrix with draws from ``N(0, std^2)``, a share of each column set to 0.

    Args:
        tensor: the matrix.
        sparsity: share of each column.
        std: standard deviation. Default: 0.01.
        generator: source of the normal draws (the zeros are placed by the global one).

    Raises:
        ValueError: the tensor is no matrix.

    Reference: https://icml.cc/2010/papers/458.pdf
    """
    if tensor.ndimension() != 2:
        raise ValueError(ONLY_MATRICES)
    if tensor.is_meta:
        return tensor
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    with torch.no_grad():
        tensor.normal_(0, std, generator=generator)
        for column in range(columns):
            tensor[torch.randperm(rows)[:zeros], column] = 0
    return tensor


def _make_deprecate(meth: Callable[..., Any]) -> Callable[..., Any]:
    new_name = meth.__name__
    old_name = new_name[:-1]

    def deprecated_init(*args: Any, **kwargs: Any) -> Any:
        warnings.warn(
            f"`nn.init.{old_name}` is now deprecated in favor of `nn.init.{new_name}`.",
            FutureWarning,
            stacklevel=2,
        )
        return meth(*args, **kwargs)

    deprecated_init.__name__ = deprecated_init.__qualname__ = old_name
    deprecated_init.__doc__ = f"Old name of `{new_name}`."
    return deprecated_init


uniform = _make_deprecate(uniform_)
normal = _make_deprecate(normal_)
constant = _make_deprecate(constant_)
eye = _make_deprecate(eye_)
dirac = _make_deprecate(dirac_)
xavier_uniform = _make_deprecate(xavier_uniform_)
xavier_normal = _make_deprecate(xavier_normal_)
kaiming_uniform = _make_deprecate(kaiming_uniform_)
kaiming_normal = _make_deprecate(kaiming_normal_)
orthogonal = _make_deprecate(orthogonal_)
sparse = _make_deprecate(sparse_)
