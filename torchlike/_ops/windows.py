"""Window functions: weights that fall off towards both ends of a signal."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from torchlike._ops.creation import _finish
from torchlike._ops.op import composite
from torchlike._tensor import dtypes
from torchlike._tensor.memory_format import strided
from torchlike._tensor.promotion import SCALAR_TYPE_NAMES
from torchlike._tensor.tensor import Tensor

_C_NAMES = {"int64": "long int", "int32": "int", "int16": "short int", "int8": "signed char", "uint8": "unsigned char"}


def _check(name: str, length: Any, dtype: Any, layout: Any) -> None:
    if not isinstance(length, int) or isinstance(length, bool):
        raise TypeError(f"{name}(): argument 'window_length' (position 1) must be int, not {type(length).__name__}")
    if layout is not None and layout is not strided:
        shown = "Sparse" if str(layout) == "torch.sparse_coo" else str(layout)
        raise RuntimeError(f"{name} is not implemented for sparse types, got: {_options('float (default)', shown)}")
    if dtype.is_complex:
        raise NotImplementedError(f"\"arange_cpu\" not implemented for '{SCALAR_TYPE_NAMES[dtype]}'")
    if not dtype.is_floating_point:
        shown = _C_NAMES.get(dtype.name, dtype.name)
        raise RuntimeError(f"{name} expects floating point dtypes, got: {_options(shown, 'Strided (default)')}")
    if length < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got window_length={length}")


def _options(dtype: str, layout: str) -> str:
    return (
        f"TensorOptions(dtype={dtype}, device=cpu, layout={layout}, requires_grad=false (default), pinned_memory=false, "
        "memory_format=(nullopt))"
    )


def _made(
    name: str, length: int, periodic: bool, dtype: Any, layout: Any, device: Any, requires_grad: bool,
    weights: Callable[[np.ndarray, int], np.ndarray],
) -> Tensor:  # fmt: skip
    """The window ``weights(0..n-1, n)``; a periodic one leaves out the last of one more."""
    dtype = dtypes.get_default_dtype() if dtype is None else dtype
    _check(name, length, dtype, layout)
    if length < 2:
        return _finish(np.ones(length, dtype.np), device, requires_grad)
    n = length + 1 if periodic else length
    # Each step is rounded to the dtype, as native's are.
    values = weights(np.arange(n).astype(dtype.np), n)
    return _finish(np.ascontiguousarray(values[:length]).astype(dtype.np), device, requires_grad)


def _scaled(x: np.ndarray, factor: float) -> np.ndarray:
    return x * x.dtype.type(factor)


def _raised_cosine(alpha: float, beta: float) -> Callable[[np.ndarray, int], np.ndarray]:
    def weights(x: np.ndarray, n: int) -> np.ndarray:
        return _scaled(np.cos(_scaled(x, 2 * math.pi / (n - 1))), -beta) + x.dtype.type(alpha)

    return weights


@composite(namespaces=("torch",))
def hann_window(
    window_length, periodic=True, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False
):
    """Hann's window, ``0.5 - 0.5 cos(2 pi i / (n - 1))``; periodic for analysis, symmetric for filters."""
    made = _raised_cosine(0.5, 0.5)
    return _made("hann_window", window_length, periodic, dtype, layout, device, requires_grad, made)


@composite(namespaces=("torch",))
def hamming_window(
    window_length, periodic=True, alpha=0.54, beta=0.46, *, dtype=None, layout=None, device=None, pin_memory=False,
    requires_grad=False,
):  # fmt: skip
    """Hamming's window, ``alpha - beta cos(2 pi i / (n - 1))``."""
    made = _raised_cosine(alpha, beta)
    return _made("hamming_window", window_length, periodic, dtype, layout, device, requires_grad, made)


@composite(namespaces=("torch",))
def blackman_window(
    window_length, periodic=True, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False
):
    """Blackman's window, ``0.42 - 0.5 cos(2 pi i / (n - 1)) + 0.08 cos(4 pi i / (n - 1))``."""

    def weights(x: np.ndarray, n: int) -> np.ndarray:
        x = _scaled(x, math.pi / (n - 1))
        outer = _scaled(np.cos(_scaled(x, 4)), 0.08)
        return outer - _scaled(np.cos(_scaled(x, 2)), 0.5) + x.dtype.type(0.42)

    return _made("blackman_window", window_length, periodic, dtype, layout, device, requires_grad, weights)


@composite(namespaces=("torch",))
def bartlett_window(
    window_length, periodic=True, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False
):
    """Bartlett's window, a triangle from zero to one and back."""

    def weights(x: np.ndarray, n: int) -> np.ndarray:
        x = _scaled(x, 2 / (n - 1))
        half = ((n - 1) >> 1) + 1
        return np.concatenate([x[:half], x.dtype.type(2) - x[half:]])

    return _made("bartlett_window", window_length, periodic, dtype, layout, device, requires_grad, weights)


@composite(namespaces=("torch",))
def kaiser_window(
    window_length, periodic=True, beta=12.0, *, dtype=None, layout=None, device=None, pin_memory=False,
    requires_grad=False,
):  # fmt: skip
    """Kaiser's window, ``I0(beta sqrt(1 - ((i - c) / c)^2)) / I0(beta)`` around the middle ``c``."""

    def weights(x: np.ndarray, n: int) -> np.ndarray:
        middle = (n - 1) / 2
        ratio = (x.astype(np.float64) - middle) / middle
        return np.i0(beta * np.sqrt(np.maximum(1 - ratio**2, 0))) / np.i0(beta)

    return _made("kaiser_window", window_length, periodic, dtype, layout, device, requires_grad, weights)
