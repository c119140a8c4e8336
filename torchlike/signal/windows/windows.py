"""The window functions of ``torch.signal.windows``: symmetric unless ``sym`` is False, for use in a periodic signal then.

Each takes the window's length ``M`` and gives a tensor of shape (M,), one for a window of one element.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torchlike as torch
from torchlike import Tensor

_strided = torch.strided


def _checked(name: str, M: int, dtype: Any, layout: Any) -> Any:
    """The dtype to use; ValueError for what a window cannot be."""
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    if layout is not torch.strided:
        raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
    dtype = torch.get_default_dtype() if dtype is None else dtype
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {dtype}")
    return dtype


def _short(M: int, dtype: Any, layout: Any, device: Any, requires_grad: bool) -> Tensor | None:
    """The window of no element or one."""
    if M > 1:
        return None
    return torch.ones(M, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def exponential(
    M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True, dtype: Any = None,
    layout: Any = _strided, device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``exp(-|n - center| / tau)``; ``center`` is the middle unless given, which needs ``sym=False``."""
    dtype = _checked("exponential", M, dtype, layout)
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    short = _short(M, dtype, layout, device, requires_grad)
    if short is not None:
        return short
    if center is None:
        center = (M if not sym and M > 1 else M - 1) / 2.0
    constant = 1 / tau
    k = torch.linspace(
        -center * constant, (-center + (M - 1)) * constant, M, dtype=dtype, layout=layout, device=device,
        requires_grad=requires_grad,
    )  # fmt: skip
    return torch.exp(-torch.abs(k))


def cosine(
    M: int, *, sym: bool = True, dtype: Any = None, layout: Any = _strided, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``sin(pi (n + 1/2) / M)``: half a wave."""
    dtype = _checked("cosine", M, dtype, layout)
    short = _short(M, dtype, layout, device, requires_grad)
    if short is not None:
        return short
    start = 0.5
    constant = math.pi / (M + 1 if not sym and M > 1 else M)
    k = torch.linspace(
        start * constant, (start + (M - 1)) * constant, M, dtype=dtype, layout=layout, device=device,
        requires_grad=requires_grad,
    )  # fmt: skip
    return torch.sin(k)


def gaussian(
    M: int, *, std: float = 1.0, sym: bool = True, dtype: Any = None, layout: Any = _strided, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``exp(-(n / (2 std))^2)``-shaped: the bell curve of standard deviation ``std`` samples."""
    dtype = _checked("gaussian", M, dtype, layout)
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    short = _short(M, dtype, layout, device, requires_grad)
    if short is not None:
        return short
    start = -(M if not sym and M > 1 else M - 1) / 2.0
    constant = 1 / (std * math.sqrt(2))
    k = torch.linspace(
        start * constant, (start + (M - 1)) * constant, M, dtype=dtype, layout=layout, device=device,
        requires_grad=requires_grad,
    )  # fmt: skip
    return torch.exp(-(k**2))


def kaiser(
    M: int, *, beta: float = 12.0, sym: bool = True, dtype: Any = None, layout: Any = _strided, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Kaiser's window, ``I0(beta sqrt(1 - ((n - c) / c)^2)) / I0(beta)`` around the middle ``c``."""
    dtype = _checked("kaiser", M, dtype, layout)
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    short = _short(M, dtype, layout, device, requires_grad)
    if short is not None:
        return short
    bound = torch.tensor(beta, dtype=dtype, device=device)
    start = -bound
    constant = 2.0 * bound / (M if not sym else M - 1)
    end = torch.minimum(bound, start + (M - 1) * constant)
    k = torch.linspace(
        start.item(), end.item(), M, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad
    )
    return torch.i0(torch.sqrt(bound * bound - torch.pow(k, 2))) / torch.i0(bound)


def hamming(
    M: int, *, sym: bool = True, dtype: Any = None, layout: Any = _strided, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Hamming's window, ``0.54 - 0.46 cos(2 pi n / (M - 1))``."""
    return general_hamming(M, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def hann(
    M: int, *, sym: bool = True, dtype: Any = None, layout: Any = _strided, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Hann's window, ``0.5 - 0.5 cos(2 pi n / (M - 1))``."""
    return general_hamming(
        M, alpha=0.5, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad
    )


def blackman(
    M: int, *, sym: bool = True, dtype: Any = None, layout: Any = _strided, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Blackman's window, ``0.42 - 0.5 cos(2 pi n / (M - 1)) + 0.08 cos(4 pi n / (M - 1))``."""
    dtype = _checked("blackman", M, dtype, layout)
    return general_cosine(
        M, a=[0.42, 0.5, 0.08], sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad
    )


def bartlett(
    M: int, *, sym: bool = True, dtype: Any = None, layout: Any = _strided, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Bartlett's window, a triangle: ``1 - |2 n / (M - 1) - 1|``."""
    dtype = _checked("bartlett", M, dtype, layout)
    short = _short(M, dtype, layout, device, requires_grad)
    if short is not None:
        return short
    start = -1
    constant = 2 / (M if not sym else M - 1)
    k = torch.linspace(
        start, start + (M - 1) * constant, M, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad
    )
    return 1 - torch.abs(k)


def general_cosine(
    M, *, a: Iterable, sym: bool = True, dtype: Any = None, layout: Any = _strided, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """A sum of cosines with alternating signs, ``sum_i (-1)^i a_i cos(2 pi i n / (M - 1))``."""
    dtype = _checked("general_cosine", M, dtype, layout)
    short = _short(M, dtype, layout, device, requires_grad)
    if short is not None:
        return short
    if not isinstance(a, Iterable):
        raise TypeError("Coefficients must be a list/tuple")
    a = list(a)
    if not a:
        raise ValueError("Coefficients cannot be empty")
    constant = 2 * math.pi / (M if not sym else M - 1)
    k = torch.linspace(0, (M - 1) * constant, M, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)
    signed = torch.tensor([(-1) ** i * w for i, w in enumerate(a)], device=device, dtype=dtype)
    numbers = torch.arange(len(a), dtype=dtype, device=device)
    return (signed.unsqueeze(-1) * torch.cos(numbers.unsqueeze(-1) * k)).sum(0)


def general_hamming(
    M, *, alpha: float = 0.54, sym: bool = True, dtype: Any = None, layout: Any = _strided, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``alpha - (1 - alpha) cos(2 pi n / (M - 1))``."""
    return general_cosine(
        M, a=[alpha, 1.0 - alpha], sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad
    )


def nuttall(
    M: int, *, sym: bool = True, dtype: Any = None, layout: Any = _strided, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Nuttall's window of four terms with the least side lobes."""
    return general_cosine(
        M, a=[0.3635819, 0.4891775, 0.1365995, 0.0106411], sym=sym, dtype=dtype, layout=layout, device=device,
        requires_grad=requires_grad,
    )  # fmt: skip
