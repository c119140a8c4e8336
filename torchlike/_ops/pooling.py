"""Pooling: the maximum, the mean or a norm of windows that move over a signal, an image or a volume.

The maximum is taken element by element over the strided slices that a window's places ("taps") make, and its gradient
goes to the first place that holds it. XLA's own windowed maximum, whose gradient is slow on processors, is left for
windows of many places.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import lax

from torchlike._engine.value import spec_of
from torchlike._ops.bodies import constant, convert, kind, type_name_of, widened
from torchlike._ops.convolution import listed
from torchlike._ops.op import composite, op
from torchlike._ops.sliding_windows import Windows, out_size
from torchlike._tensor.tensor import Tensor

_F = ("nn.functional",)

#: Windows of more places than this are not unrolled where there is another way.
_MANY_TAPS = 32
#: Sums of windows of more places than this are taken dimension by dimension.
_FEW_TAPS = 9


# Maxima.


def _lowest(x: Any) -> Any:
    if kind(x) == "f":
        return -math.inf
    return np.iinfo(x.dtype).min


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _maxima(x, windows):
    return functools.reduce(lax.max, windows.taps(x, _lowest(x)))


def _maxima_forward(x, windows):
    out = _maxima(x, windows)
    return out, (x, out)


def _maxima_backward(windows, saved, g):
    x, out = saved
    zero = lax.full_like(g, 0)
    free, sent = None, []
    for tap in windows.taps(x, _lowest(x)):
        hit = lax.eq(tap, out)
        chosen = hit if free is None else lax.bitwise_and(hit, free)
        sent.append(lax.select(chosen, g, zero))
        missed = lax.bitwise_not(hit)
        free = missed if free is None else lax.bitwise_and(free, missed)
    return (windows.scatter(sent, x.shape[: x.ndim - len(windows.kernel)]),)


_maxima.defvjp(_maxima_forward, _maxima_backward)


def max_pooled(x: Any, windows: Windows) -> Any:
    if math.prod(windows.kernel) <= _MANY_TAPS or any(d != 1 for d in windows.dilation):
        return _maxima(x, windows)
    lead = x.ndim - len(windows.kernel)
    padding = [(0, 0)] * lead + windows.ends
    if any(high < 0 for _, high in padding):
        x = windows.padded(x, _lowest(x))
        padding = [(0, 0)] * x.ndim
    ones = (1,) * lead
    return lax.reduce_window(x, constant(x, _lowest(x)), lax.max, ones + windows.kernel, ones + windows.stride, padding)


def max_positions(x: Any, windows: Windows) -> Any:
    """Where in each flat plane of the input the maximum of each window is: the first of equals, the last NaN."""
    x = lax.stop_gradient(x)
    shape = (*x.shape[: x.ndim - len(windows.kernel)], *windows.out)
    every = tuple(range(len(shape) - len(windows.out), len(shape)))
    best = lax.broadcast_in_dim(constant(x, _lowest(x)), shape, ())
    where = lax.broadcast_in_dim(windows.first_positions(), shape, every)
    for tap, position in zip(windows.taps(x, _lowest(x)), windows.positions(), strict=True):
        better = lax.gt(tap, best)
        if kind(x) == "f":
            better = lax.bitwise_or(better, lax.ne(tap, tap))
        best = lax.select(better, tap, best)
        where = lax.select(better, lax.broadcast_in_dim(position, shape, every), where)
    return where


def _max_node(kernel, **_: Any) -> str:
    n = len(kernel)
    return "SqueezeBackward1" if n == 1 else f"MaxPool{n}DWithIndicesBackward0"


@op(namespaces=("_private",), name="_max_pool", node=_max_node)
def _max_pool(input, kernel, stride, padding, dilation, ceil_mode):
    """The maximum of each window."""
    _check_max_pool(input, kernel, stride, padding, dilation, ceil_mode, False)
    return max_pooled(input, Windows.over(input.shape, kernel, stride, padding, dilation, ceil_mode))


@op(namespaces=("_private",), name="_max_pool_with_indices", node=_max_node)
def _max_pool_with_indices(input, kernel, stride, padding, dilation, ceil_mode):
    """The maximum of each window, and where it was."""
    _check_max_pool(input, kernel, stride, padding, dilation, ceil_mode, True)
    windows = Windows.over(input.shape, kernel, stride, padding, dilation, ceil_mode)
    return max_pooled(input, windows), max_positions(input, windows)


def _check_max_pool(x, kernel, stride, padding, dilation, ceil_mode, with_indices) -> None:
    n = len(kernel)
    if n > 1:
        prefix = "max_pool3d_with_indices_out_cpu_template()" if n == 3 else ""
        _check_windows(x, kernel, stride, padding, dilation, ceil_mode, prefix)
    elif with_indices:
        _check_as_plane(x, kernel, stride, padding, dilation, ceil_mode)
    else:
        _check_max_pool_1d(x, kernel[0], stride[0], padding[0], dilation[0], ceil_mode)
    if kind(x) in "bc":
        raise NotImplementedError(f"\"max_pool{max(n, 2)}d\" not implemented for '{type_name_of(x)}'")


def _check_max_pool_1d(x, kernel, stride, padding, dilation, ceil_mode) -> None:
    if x.ndim not in (2, 3) or 0 in x.shape[1 - (x.ndim == 2) :]:
        raise RuntimeError(
            "max_pool1d: Expected 2D or 3D (batch mode) tensor with optional 0 dim batch size for input, but "
            f"got:{listed(x.shape)}"
        )
    for name, value in (("kernel_size", kernel), ("stride", stride)):
        if value <= 0:
            raise RuntimeError(f"max_pool1d() {name} must be greater than zero, but got {value}")
    if padding < 0:
        raise RuntimeError(f"max_pool1d() padding must be non-negative, but got {padding}")
    if padding > kernel // 2:
        raise RuntimeError(
            f"max_pool1d() padding should be at most half of kernel size, but got padding={padding} and kernel_size={kernel}"
        )
    if dilation <= 0:
        raise RuntimeError(f"max_pool1d() dilation must be greater than zero, but got {dilation}")
    out = out_size(x.shape[-1], kernel, stride, padding, dilation, ceil_mode)
    if out <= 0:
        raise RuntimeError(f"max_pool1d() Invalid computed output size: {out}")


def _check_as_plane(x, kernel, stride, padding, dilation, ceil_mode) -> None:
    """A signal is told of in messages as a plane of height one."""
    plane = spec_of((*x.shape[:-1], 1, x.shape[-1]), np.dtype(x.dtype))
    _check_windows(plane, (1, *kernel), (1, *stride), (0, *padding), (1, *dilation), ceil_mode)


_AXES = ("T", "H", "W")


def _settings_text(prefix: str, values: Sequence[int]) -> str:
    return " ".join(f"{prefix}{a}: {v}" for a, v in zip(_AXES[3 - len(values) :], values, strict=True))


def _check_windows(x, kernel, stride, padding, dilation, ceil_mode, prefix: str = "") -> None:
    """What the pooling kernels of two and three dimensions check, in their order."""
    n = len(kernel)
    for k, s, p, d in zip(kernel, stride, padding, dilation, strict=True):
        if s == 0:
            raise RuntimeError("stride should not be zero")
        if p < 0:
            raise RuntimeError(f"pad must be non-negative, but got pad: {p}")
        if p > ((k - 1) * d + 1) // 2:
            raise RuntimeError(
                f"pad should be at most half of effective kernel size, but got pad={p}, kernel_size={k} and dilation={d}"
            )
    for what, letter, values in (
        ("kernel size", "k", kernel),
        ("stride", "d", stride),
        ("dilation", "dilation", dilation),
    ):
        if any(v <= 0 for v in values):
            raise RuntimeError(f"{what} should be greater than zero, but got {_settings_text(letter, values)}")
    if n == 2:
        if 0 in x.shape[1 if x.ndim == 4 else 0 :]:
            raise RuntimeError(
                "Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, but "
                f"got:{listed(x.shape)}"
            )
    else:
        for axis in range(x.ndim - 4, x.ndim):
            if x.shape[axis] == 0:
                start = f"{prefix}: " if prefix else ""
                raise RuntimeError(
                    f"{start}Expected input's non-batch dimensions to have positive length, but input has a shape of "
                    f"{listed(x.shape)} and non-batch dimension {x.shape[axis]} has length zero!"
                )
    out = Windows.over(x.shape, kernel, stride, padding, dilation, ceil_mode).out
    if (
        n == 3
        and prefix == ""
        and any(size + 2 * p < k for size, k, p in zip(x.shape[x.ndim - 3 :], kernel, padding, strict=True))
    ):
        inside = x.shape[x.ndim - 3 :]
        raise RuntimeError(
            f"input image ({_settings_text('', inside)}) smaller than kernel size ({_settings_text('k', kernel)})"
        )
    if any(o < 1 for o in out):
        planes = x.shape[x.ndim - n - 1]
        inside, shown = "x".join(map(str, x.shape[x.ndim - n :])), "x".join(map(str, out))
        raise RuntimeError(
            f"Given input size: ({planes}x{inside}). Calculated output size: ({planes}x{shown}). Output size is too small"
        )


_COUNTS = {2: "two ints", 3: "three ints"}


def setting(name: str, what: str, value: Any, n: int) -> tuple[int, ...]:
    """A setting for each of ``n`` dimensions; RuntimeError for a list of the wrong length."""
    if isinstance(value, int):
        return (value,) * n
    value = tuple(value)
    if len(value) == 1:
        return value * n
    if len(value) != n:
        omitted = "omitted, " if what == "stride" else ""
        raise RuntimeError(
            f"{name}: {what} must either be {omitted}a single int, or a tuple of {_COUNTS.get(n, 'one int')}"
        )
    return value


def _strides(name: str, stride: Any, kernel: tuple[int, ...]) -> tuple[int, ...]:
    if stride is None or stride == () or stride == []:
        return kernel
    return setting(name, "stride", stride, len(kernel))


def _check_rank(name: str, input: Tensor, n: int) -> None:
    if n > 1 and input._spec.ndim not in (n + 1, n + 2):
        raise RuntimeError(f"non-empty {n + 1}D or {n + 2}D (batch mode) tensor expected for input")


def _pool_max(n: int, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices):
    name = f"max_pool{n}d"
    kernel = setting(name, "kernel_size", kernel_size, n)
    stride = _strides(name, stride, kernel)
    padding = setting(name, "padding", padding, n)
    dilation = setting(name, "dilation", dilation, n)
    _check_rank(name, input, n)
    if n == 1 and return_indices:
        check_dims_1d("max_pool1d_with_indices", input)
    function = _max_pool_with_indices if return_indices else _max_pool
    return function(input, kernel, stride, padding, dilation, bool(ceil_mode))


def _declare_max_pool(n: int, shape: str) -> None:
    def max_pool(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        return _pool_max(n, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)

    def with_indices(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        return _pool_max(n, input, kernel_size, stride, padding, dilation, ceil_mode, True)

    def plain(input, kernel_size, stride=(), padding=0, dilation=1, ceil_mode=False):
        return _pool_max(n, input, kernel_size, stride, padding, dilation, ceil_mode, False)

    def plain_with_indices(input, kernel_size, stride=(), padding=0, dilation=1, ceil_mode=False):
        return _pool_max(n, input, kernel_size, stride, padding, dilation, ceil_mode, True)

    doc = (
        f"The maximum of each window over {shape}; ``stride`` is ``kernel_size`` unless given. With ``return_indices`` also "
        "the maxima's places in the flat planes of the input, for ``max_unpool``."
    )
    for function, name, namespaces in (
        (max_pool, f"max_pool{n}d", _F), (with_indices, f"max_pool{n}d_with_indices", _F),
        (plain, f"max_pool{n}d", ("torch",)), (plain_with_indices, f"max_pool{n}d_with_indices", ("torch",)),
    ):  # fmt: skip
        if function is plain_with_indices and n > 1:
            continue
        function.__name__ = function.__qualname__ = name
        function.__doc__ = doc
        composite(namespaces=namespaces)(function)


for _n, _shape in (
    (1, "(N, C, L) or (C, L)"),
    (2, "(N, C, H, W) or (C, H, W)"),
    (3, "(N, C, D, H, W) or (C, D, H, W)"),
):
    _declare_max_pool(_n, _shape)


# Means.


def _sums(x: Any, windows: Windows) -> Any:
    """The sum of each window."""
    n, lead = len(windows.kernel), x.ndim - len(windows.kernel)
    exact = windows.are_apart and not any(windows.padding)
    if exact and all(o * k == size for size, o, k, *_ in zip(*windows.sizes(), strict=True)):
        pairs = itertools.chain.from_iterable(zip(windows.out, windows.kernel, strict=True))
        apart = lax.reshape(x, (*x.shape[:lead], *pairs))
        return lax.reduce_sum(apart, tuple(lead + 2 * i + 1 for i in range(n)))
    if math.prod(windows.kernel) <= _FEW_TAPS:
        return _added_up(x, windows)
    for axis in range(n):
        x = _added_up(x, windows.along(axis))
    return x


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _added_up(x, windows):
    """The sum of each window, place by place."""
    return functools.reduce(lax.add, windows.taps(x, 0))


def _added_up_backward(windows, shape, g):
    if all(s == 1 for s in windows.stride):  # then the way back is the sum of windows over the gradient
        return (_added_up(g, windows.reversed()),)
    return (windows.scatter([g] * math.prod(windows.kernel), g.shape[: g.ndim - len(windows.kernel)]),)


_added_up.defvjp(lambda x, windows: (_added_up(x, windows), ()), _added_up_backward)


def _averages(x: Any, windows: Windows, count_include_pad: bool, divisor: int | None) -> Any:
    total = _sums(x, windows)
    counts = windows.counts(count_include_pad) if divisor is None else np.full((), divisor)
    if counts.size and (counts == counts.flat[0]).all():
        return lax.div(total, constant(total, counts.flat[0]))
    every = tuple(range(total.ndim - counts.ndim, total.ndim))
    return lax.div(total, lax.broadcast_in_dim(counts.astype(total.dtype), total.shape, every))


def _average_node(kernel, **_: Any) -> str:
    return "SqueezeBackward1" if len(kernel) == 1 else f"AvgPool{len(kernel)}DBackward0"


@op(namespaces=("_private",), name="_avg_pool", node=_average_node)
def _avg_pool(input, kernel, stride, padding, ceil_mode, count_include_pad, divisor):
    """The mean of each window."""
    n = len(kernel)
    ones = (1,) * n
    (_check_as_plane if n == 1 else _check_windows)(input, kernel, stride, padding, ones, ceil_mode)
    if kind(input) in "bc":
        raise NotImplementedError(f"\"avg_pool{max(n, 2)}d\" not implemented for '{type_name_of(input)}'")
    windows = Windows.over(input.shape, kernel, stride, padding, ones, ceil_mode)
    return convert(_averages(widened(input), windows, count_include_pad, divisor), input.dtype)


def check_dims_1d(name: str, input: Tensor) -> None:
    if input._spec.ndim not in (2, 3):
        raise RuntimeError(
            f"Expected 2 to 3 dimensions, but got {input._spec.ndim}-dimensional tensor for argument #1 'self' (while "
            f"checking arguments for {name})"
        )


def _pool_average(n: int, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor):
    name = f"avg_pool{n}d"
    if n == 1:
        check_dims_1d(name, input)
    kernel = setting(name, "kernel_size", kernel_size, n)
    stride = _strides(name, stride, kernel)
    padding = setting(name, "padding", padding, n)
    if n == 2 and input._spec.ndim < 3:
        from torchlike._tensor.tensor import wrap_dim

        wrap_dim(-3, input._spec.ndim)
    _check_rank(name, input, n)
    if divisor is not None and divisor == 0:
        raise RuntimeError("divisor must be not zero")
    return _avg_pool(input, kernel, stride, padding, bool(ceil_mode), bool(count_include_pad), divisor)


@composite(namespaces=("torch", "nn.functional"))
def avg_pool1d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """The mean of each window over (N, C, L) or (C, L); ``stride`` is ``kernel_size`` unless given."""
    return _pool_average(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


@composite(namespaces=_F)
def avg_pool2d(
    input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):
    """The mean of each window over (N, C, H, W) or (C, H, W); ``stride`` is ``kernel_size`` unless given."""
    return _pool_average(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@composite(namespaces=_F)
def avg_pool3d(
    input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):
    """The mean of each window over (N, C, D, H, W) or (C, D, H, W); ``stride`` is ``kernel_size`` unless given."""
    return _pool_average(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
