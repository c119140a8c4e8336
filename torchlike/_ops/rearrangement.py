"""Channels turned into pixels and back, channels shuffled, images unfolded into their windows and folded again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from jax import lax

from torchlike._ops.convolution import listed
from torchlike._ops.op import composite, op
from torchlike._ops.sliding_windows import Windows

_F = ("nn.functional",)
_BOTH = ("torch", "nn.functional")


def _check_image(name: str, x: Any, factor: int, factor_name: str) -> None:
    if x.ndim < 3:
        raise RuntimeError(
            f"{name} expects input to have at least 3 dimensions, but got input with {x.ndim} dimension(s)"
        )
    if factor <= 0:
        raise RuntimeError(f"{name} expects a positive {factor_name}, but got {factor}")


@op(namespaces=_BOTH)
def pixel_shuffle(input, upscale_factor):
    """(..., C * r * r, H, W) as (..., C, H * r, W * r): channels become pixels (Shi et al., arXiv:1609.05158)."""
    r = upscale_factor
    _check_image("pixel_shuffle", input, r, "upscale_factor")
    *lead, c, h, w = input.shape
    if c % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, but "
            f"input.size(-3)={c} is not divisible by {r * r}"
        )
    n = len(lead)
    x = lax.reshape(input, (*lead, c // (r * r), r, r, h, w))
    x = lax.transpose(x, (*range(n + 1), n + 3, n + 1, n + 4, n + 2))
    return lax.reshape(x, (*lead, c // (r * r), h * r, w * r))


@op(namespaces=_BOTH)
def pixel_unshuffle(input, downscale_factor):
    """(..., C, H * r, W * r) as (..., C * r * r, H, W): pixels become channels."""
    r = downscale_factor
    _check_image("pixel_unshuffle", input, r, "downscale_factor")
    *lead, c, h, w = input.shape
    for size, axis, name in ((h, -2, "height"), (w, -1, "width")):
        if size % r:
            raise RuntimeError(
                f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but input.size({axis})={size} is not "
                f"divisible by {r}"
            )
    n = len(lead)
    x = lax.reshape(input, (*lead, c, h // r, r, w // r, r))
    x = lax.transpose(x, (*range(n + 1), n + 2, n + 4, n + 1, n + 3))
    return lax.reshape(x, (*lead, c * r * r, h // r, w // r))


def _shuffled(x: Any, groups: int) -> Any:
    if x.ndim <= 2:
        raise RuntimeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {listed(x.shape)}")
    if groups <= 0:
        raise RuntimeError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    if x.shape[1] % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {x.shape[1]} channels and {groups} groups."
        )
    apart = lax.reshape(x, (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]))
    return lax.reshape(lax.transpose(apart, (0, 2, 1, *range(3, apart.ndim))), x.shape)


@op(namespaces=_BOTH)
def channel_shuffle(input, groups):
    """The channels of (N, C, ...) in another order: the first of each group, then the second of each, ..."""
    return _shuffled(input, groups)


@op(namespaces=_BOTH)
def native_channel_shuffle(input, groups):
    """:func:`channel_shuffle`."""
    return _shuffled(input, groups)


# Windows.


def _pair(name: str, what: str, value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return (value, value)
    value = tuple(value)
    if len(value) == 1:
        return value * 2
    if len(value) != 2:
        raise RuntimeError(f"It is expected {what} equals to 2, but got size {len(value)}")
    return value


def _positive(what: str, values: Sequence[int], text: str = "greater than zero", height_first: bool = True) -> None:
    if min(values) <= 0:
        raise RuntimeError(
            f"{what} should be {text}, but got {what.replace(' ', '_')}_height: {values[0]} {what.replace(' ', '_')}_width: "
            f"{values[1]}"
        )


def _check_settings(kernel, dilation, padding, stride) -> None:
    _positive("kernel size", kernel)
    _positive("dilation", dilation)
    if min(padding) < 0:
        raise RuntimeError(f"padding should be non-negative, but got pad_height: {padding[0]} pad_width: {padding[1]}")
    _positive("stride", stride)


def _unfolded(x: Any, windows: Windows) -> Any:
    """(N, C, H, W) as (N, C * places, windows)."""
    n, c = x.shape[:2]
    taps = [lax.expand_dims(t, (2,)) for t in windows.taps(x, 0)]
    stacked = lax.concatenate(taps, 2) if len(taps) > 1 else taps[0]
    return lax.reshape(stacked, (n, c * len(taps), math.prod(windows.out)))


@op(namespaces=("_private",), name="_unfold_windows", node="Im2ColBackward0")
def _unfold_windows(input, kernel, dilation, padding, stride):
    """The windows of an image as columns."""
    _check_settings(kernel, dilation, padding, stride)
    valid = 0 not in input.shape[1:]
    if not ((input.ndim == 3 and valid and input.shape[0]) or (input.ndim == 4 and valid)):
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, but "
            f"got: {listed(input.shape)}"
        )
    x = input if input.ndim == 4 else lax.expand_dims(input, (0,))
    windows = Windows.over(x.shape, kernel, stride, padding, dilation)
    if min(windows.out) < 1:
        raise RuntimeError(
            f"Given input with spatial size {_tuple(x.shape[2:])}, kernel_size={_tuple(kernel)}, dilation={_tuple(dilation)}, "
            f"padding={_tuple(padding)}, calculated shape of the array of sliding blocks as "
            f"{_tuple(windows.out)}, but its components must be at least one."
        )
    out = _unfolded(x, windows)
    return out if input.ndim == 4 else lax.squeeze(out, (0,))


def _tuple(values: Sequence[int]) -> str:
    return "(" + ", ".join(map(str, values)) + ")"


@composite(namespaces=_F)
def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """The windows of (N, C, H, W), or (C, H, W), as columns: (N, C * places, windows)."""
    settings = (
        ("kernel_size", kernel_size), ("dilation", dilation), ("padding", padding), ("stride", stride)
    )  # fmt: skip
    return _unfold_windows(input, *[_pair("unfold", name, value) for name, value in settings])


@op(namespaces=("_private",), name="_fold_windows", node="Col2ImBackward0")
def _fold_windows(input, output_size, kernel, dilation, padding, stride):
    """Columns added where the windows were."""
    _check_settings(kernel, dilation, padding, stride)
    if not (input.ndim in (2, 3) and 0 not in input.shape[-2:]):
        raise RuntimeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for input, "
            f"but got: {listed(input.shape)}"
        )
    places = math.prod(kernel)
    if input.shape[-2] % places:
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
            f"input.size(1)={input.shape[-2]} and kernel_size={_tuple(kernel)}."
        )
    x = input if input.ndim == 3 else lax.expand_dims(input, (0,))
    shape = (x.shape[0], x.shape[1] // places, *output_size)
    windows = Windows.over(shape, kernel, stride, padding, dilation)
    settings = (
        f"output_size={_tuple(output_size)}, kernel_size={_tuple(kernel)}, dilation={_tuple(dilation)}, "
        f"padding={_tuple(padding)}, stride={_tuple(stride)}"
    )
    if math.prod(windows.out) != x.shape[2] and min(windows.out) > 0:
        blocks = " * ".join(map(str, windows.out))
        raise RuntimeError(
            f"Given {settings}, expected size of input's dimension 2 to match the calculated number of sliding blocks "
            f"{blocks} = {math.prod(windows.out)}, but got input.size(2)={x.shape[2]}."
        )
    if min(windows.out) < 1:
        raise RuntimeError(
            f"Given {settings}, calculated shape of the array of sliding blocks as {_tuple(windows.out)}, which is too small "
            "(non-positive)"
        )
    columns = lax.reshape(x, (x.shape[0], shape[1], places, *windows.out))
    taps = [lax.squeeze(lax.slice_in_dim(columns, i, i + 1, axis=2), (2,)) for i in range(places)]
    out = windows.scatter(taps, shape[:2])
    return out if input.ndim == 3 else lax.squeeze(out, (0,))


@composite(namespaces=_F)
def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Columns (N, C * places, windows), or without N, added up where their windows lie in an image of ``output_size``."""
    settings = (
        ("output_size", output_size), ("kernel_size", kernel_size), ("dilation", dilation), ("padding", padding),
        ("stride", stride),
    )  # fmt: skip
    return _fold_windows(input, *[_pair("fold", name, value) for name, value in settings])
