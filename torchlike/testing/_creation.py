"""``make_tensor``: a tensor of random values to test with."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import torchlike as torch


def _is_integral(dtype: Any) -> bool:
    return not (dtype.is_floating_point or dtype.is_complex)


def _bounds(
    dtype: Any, low: Any, high: Any, least: float, most: float, defaults: tuple[float, float]
) -> tuple[Any, Any]:
    """``low`` and ``high``, their defaults where they are None, within what the dtype holds."""
    low = defaults[0] if low is None else low
    high = defaults[1] if high is None else high
    if any(isinstance(value, float) and math.isnan(value) for value in (low, high)):
        raise ValueError(f"`low` and `high` cannot be NaN, but got {low=} and {high=}")
    if low == high and not _is_integral(dtype):
        warnings.warn(
            "Passing `low==high` to `torch.testing.make_tensor` for floating or complex types is deprecated since 2.1 and will "
            "be removed in 2.3. Use `torch.full(...)` instead.",
            FutureWarning,
            stacklevel=4,
        )
    elif low >= high:
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    elif high < least or low >= most:
        raise ValueError(
            f"The value interval specified by `low` and `high` is [{low}, {high}), but {dtype} only supports [{least}, {most})"
        )
    low, high = (min(max(value, least), most) for value in (low, high))
    return (math.ceil(low), math.ceil(high)) if _is_integral(dtype) else (low, high)


def _integers(shape: tuple, dtype: Any, device: Any, low: Any, high: Any) -> torch.Tensor:
    if dtype is torch.bool:
        low, high = _bounds(dtype, low, high, 0, 2, (0, 2))
    else:
        info = torch.iinfo(dtype)
        most = info.max + (1 if dtype is not torch.int64 else 0)
        low, high = _bounds(dtype, low, high, info.min, most, (-9, 10))
    return torch.randint(low, high, shape, device=device, dtype=dtype)


def _reals(shape: tuple, dtype: Any, device: Any, low: Any, high: Any) -> torch.Tensor:
    info = torch.finfo(dtype)
    low, high = _bounds(dtype, low, high, info.min, info.max, (-9, 9))
    small = dtype.name.startswith("float8")
    result = torch.empty(shape, device=device, dtype=torch.float32 if small else dtype)
    target = torch.view_as_real(result) if dtype.is_complex else result
    if high - low >= torch.finfo(target.dtype).max:
        target.uniform_(low / 2, high / 2).mul_(2)
    else:
        target.uniform_(low, high)
    return result.to(dtype) if small else result


def make_tensor(
    *shape: Any, dtype: Any, device: Any, low: float | None = None, high: float | None = None, requires_grad: bool = False,
    noncontiguous: bool = False, exclude_zero: bool = False, memory_format: Any = None,
) -> torch.Tensor:  # fmt: skip
    """A tensor of values drawn uniformly from ``[low, high)``.

    Args:
        shape: the sizes, one by one or as a sequence.
        dtype: the dtype.
        device: the device.
        low: the least value; unless given -9, and 0 for bool.
        high: the value above all others; unless given 9, for integers 10, and 2 for bool.
        requires_grad: whether to record what is done with the tensor.
        noncontiguous: whether neighbours are to lie apart in memory.
        exclude_zero: whether to put 1, or the smallest normal number, where zero was drawn.
        memory_format: the order of the dimensions in memory.

    Raises:
        ValueError: ``low`` is not less than ``high``, one of them is NaN, or the dtype holds no value between them;
            ``requires_grad`` is set for integers; ``noncontiguous`` and ``memory_format`` are both given.
    """
    if len(shape) == 1 and isinstance(shape[0], Sequence):
        shape = tuple(shape[0])
    if noncontiguous and memory_format is not None:
        raise ValueError(
            f"The parameters `noncontiguous` and `memory_format` are mutually exclusive, but got {noncontiguous=} and "
            f"{memory_format=}"
        )
    if requires_grad and _is_integral(dtype):
        raise ValueError(f"`requires_grad=True` is not supported for boolean and integral dtypes, but got {dtype=}")
    noncontiguous = noncontiguous and math.prod(shape) > 1
    if noncontiguous:
        shape = (*shape[:-1], 2 * shape[-1])
    made = (_integers if _is_integral(dtype) else _reals)(shape, dtype, device, low, high)
    if noncontiguous:
        made = made[..., 1::2]
    elif memory_format is not None:
        made = made.clone(memory_format=memory_format)
    if exclude_zero:
        made[made == 0] = 1 if _is_integral(dtype) else torch.finfo(dtype).tiny
    if not _is_integral(dtype):
        made.requires_grad = requires_grad
    return made
