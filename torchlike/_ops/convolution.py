"""Convolutions in one, two and three dimensions, transposed ones, and the unfolding of an image into its windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax import lax

from torchlike._ops.bodies import convert, kind, type_name_of, widened
from torchlike._ops.correlation import Geometry, correlate, geometry, spread
from torchlike._ops.matmul import c_name as short_c_name
from torchlike._ops.op import Array, composite, op
from torchlike._tensor.tensor import Tensor

_F = ("nn.functional",)
_BOTH = ("torch", "nn.functional")


def listed(shape: Sequence[int]) -> str:
    """A shape as messages show it."""
    return "[" + ", ".join(map(str, shape)) + "]"


def expanded(name: str, value: Any, n: int) -> tuple[int, ...]:
    """A setting for each of ``n`` spatial dimensions, from one for all or a list."""
    if isinstance(value, int):
        return (value,) * n
    value = tuple(value)
    if len(value) == 1:
        return value * n
    if len(value) != n:
        raise RuntimeError(
            f"expected {name} to be a single integer value or a list of {n} values to match the convolution dimensions, but "
            f"got {name}={listed(value)}"
        )
    return value


# Checks.


def _check_settings(stride, padding, dilation, groups, output_padding=()) -> None:
    if any(p < 0 for p in padding):
        raise RuntimeError("negative padding is not supported")
    if any(p < 0 for p in output_padding):
        raise RuntimeError("negative output_padding is not supported")
    if any(s <= 0 for s in stride):
        raise RuntimeError("non-positive stride is not supported")
    if any(d < 0 for d in dilation):
        raise RuntimeError("dilation should be greater than zero")
    if any(d == 0 for d in dilation):
        raise RuntimeError("non-positive dilation is not supported")
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")


_C_NAMES = {
    "long long": "long int", "short": "short int", "char": "signed char", "byte": "unsigned char",
    "complexfloat": "c10::complex<float>", "complexdouble": "c10::complex<double>",
}  # fmt: skip


def c_name(x: Any) -> str:
    """An array's element type as C spells it in full, such as ``long int``."""
    name = short_c_name(x)
    return _C_NAMES.get(name, name)


def _legacy_name(x: Any) -> str:
    """An array's type as old messages have it."""
    name = type_name_of(x)
    return f"CPU{name}Type" if name in ("Bool", "BFloat16") or name.startswith("Complex") else f"torch.{name}Tensor"


def _check_types(x: Any, weight: Any, bias: Any) -> None:
    if x.dtype != weight.dtype:
        name = type_name_of(x)
        if name not in ("Float", "BFloat16") and kind(x) != "c":
            if name == "Bool":
                raise NotImplementedError("\"slow_conv2d_cpu\" not implemented for 'Bool'")
            raise RuntimeError(f"expected scalar type {name} but found {type_name_of(weight)}")
        dense = "" if kind(x) == "c" else " or input should be a MKLDNN tensor and weight is a dense tensor"
        raise RuntimeError(
            f"Input type ({_legacy_name(x)}) and weight type ({_legacy_name(weight)}) should be the same{dense}"
        )
    if bias is not None and x.dtype != bias.dtype:
        raise RuntimeError(f"Input type ({c_name(x)}) and bias type ({c_name(bias)}) should be the same")


def _by(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))


def _check_shapes(x: Any, weight: Any, bias: Any, padded: Sequence[int], dilation, groups: int) -> None:
    if x.ndim != weight.ndim:
        raise RuntimeError(
            f"Expected {weight.ndim}-dimensional input for {weight.ndim}-dimensional weight {listed(weight.shape)}, but got "
            f"{x.ndim}-dimensional input of size {listed(x.shape)} instead"
        )
    if weight.shape[0] < groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got weight of size "
            f"{listed(weight.shape)} instead"
        )
    if weight.shape[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got weight of size "
            f"[{listed(weight.shape)}] instead"
        )
    if x.shape[1] != weight.shape[1] * groups:
        raise RuntimeError(
            f"Given groups={groups}, weight of size {listed(weight.shape)}, expected input{listed(x.shape)} to have "
            f"{weight.shape[1] * groups} channels, but got {x.shape[1]} channels instead"
        )
    if bias is not None and (bias.ndim != 1 or bias.shape[0] != weight.shape[0]):
        raise RuntimeError(
            f"Given weight of size {listed(weight.shape)}, expected bias to be 1-dimensional with {weight.shape[0]} "
            f"elements, but got bias of size {listed(bias.shape)} instead"
        )
    spans = [d * (k - 1) + 1 for k, d in zip(weight.shape[2:], dilation, strict=True)]
    if any(p < s for p, s in zip(padded, spans, strict=True)):
        raise RuntimeError(
            f"Calculated padded input size per channel: ({_by(padded)}). Kernel size: ({_by(spans)}). Kernel size can't be "
            "greater than actual input size"
        )


def _plus_bias(out: Any, bias: Any) -> Any:
    return out if bias is None else lax.add(out, lax.broadcast_in_dim(bias, out.shape, (1,)))


def _node(node: str, **_: Any) -> str:
    return node


def _node_name(input: Tensor, batched: bool) -> str:
    if not batched:
        return "SqueezeBackward1"
    # Native convolutions of complex numbers are sums of real ones.
    return "AddBackward0" if input._spec.dtype.kind == "c" else "ConvolutionBackward0"


def _with_batch(function: Callable, x: Any, batched: bool) -> Any:
    """A function of a batch applied to one sample."""
    return function(x) if batched else lax.squeeze(function(lax.expand_dims(x, (0,))), (0,))


@op(namespaces=("_private",), name="_convolution", node=_node)
def _convolution(input, weight: Array, bias: Array | None, stride, padding, dilation, groups, batched, node):
    """The correlation of a batch of images, or of a single one, with a set of kernels."""

    def convolve(x):
        padded = [n + low + high for n, (low, high) in zip(x.shape[2:], padding, strict=True)]
        _check_shapes(x, weight, bias, padded, dilation, groups)
        _check_types(x, weight, bias)
        geo = geometry(x.shape[2:], weight.shape[2:], stride, padding, dilation, groups)
        return _plus_bias(convert(correlate(widened(x), widened(weight), geo), x.dtype), bias)

    return _with_batch(convolve, input, batched)


def _is_batched(name: str, input: Tensor, n: int) -> bool:
    ndim = input._spec.ndim
    if ndim not in (n + 1, n + 2):
        raise RuntimeError(
            f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {name}, but got input of size: "
            f"{listed(input._spec.shape)}"
        )
    return ndim == n + 2


_SETTINGS = (
    "(Tensor input, Tensor weight, Tensor bias = None, tuple of ints stride = 1, {} padding = {}, tuple of ints dilation = 1, "
    "int groups = 1)"
)


def _check_call(
    name: str, tensors: Sequence[Any], settings: Sequence[Any], given: dict[str, Any], forms: Sequence[str]
) -> None:
    """TypeError in torch's words where an argument is of the wrong kind."""
    good = all(isinstance(t, Tensor) for t in tensors[:2]) and (tensors[2] is None or isinstance(tensors[2], Tensor))
    if good and all(_are_ints(s) for s in settings):
        return
    shown = ", ".join(type(t).__name__ for t in tensors if t is not None)
    named = ", ".join(f"{k}={type(v).__name__}" for k, v in given.items() if not _are_ints(v))
    raise TypeError(
        f"{name}() received an invalid combination of arguments - got ({', '.join(x for x in (shown, named) if x)}), but "
        "expected one of:\n" + "".join(f" * {form}\n" for form in forms)
    )


def _are_ints(x: Any) -> bool:
    return isinstance(x, (int, np.integer)) or (
        isinstance(x, (list, tuple)) and all(isinstance(i, (int, np.integer)) for i in x)
    )


def _paddings(padding: Any, kernel: Sequence[int], stride, dilation, n: int) -> tuple[tuple[int, int], ...]:
    """(low, high) padding of each spatial dimension."""
    if not isinstance(padding, str):
        padding = expanded("padding", padding, n)
        return tuple((p, p) for p in padding)
    if padding == "valid":
        return ((0, 0),) * n
    if padding != "same":
        raise RuntimeError(f"Invalid padding string: '{padding}'")
    if any(s != 1 for s in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple((t // 2, t - t // 2) for t in totals)


def _convolve(name: str, n: int, input, weight, bias, stride, padding, dilation, groups) -> Tensor:
    _check_call(
        name, (input, weight, bias), (stride, 0 if isinstance(padding, str) else padding, dilation, groups),
        {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups},
        (_SETTINGS.format("tuple of ints", "0"), _SETTINGS.format("str", '"valid"')),
    )  # fmt: skip
    batched = _is_batched(name, input, n)
    if weight._spec.ndim - 2 == n:
        stride, dilation = expanded("stride", stride, n), expanded("dilation", dilation, n)
        padding = _paddings(padding, weight._spec.shape[2:], stride, dilation, n)
    else:
        _check_rank(input, weight, batched, n, stride, padding)
    _check_settings(stride, [p for p, _ in padding], dilation, groups)
    node = _node_name(input, batched)
    return _convolution(input, weight, bias, stride, padding, dilation, groups, batched, node)


def _check_rank(input: Tensor, weight: Tensor, batched: bool, n: int, stride: Any, padding: Any = 0) -> None:
    """The error for a weight of the wrong number of dimensions."""
    spatial = weight._spec.ndim - 2
    if spatial < 1:
        raise RuntimeError("weight should have at least three dimensions")
    is_same = padding == "same"
    if not is_same and n > 1:
        expanded("stride", [stride] * n if isinstance(stride, int) else stride, spatial)
    shape = input._spec.shape if batched else (1, *input._spec.shape)
    gap = "" if is_same else " "
    raise RuntimeError(
        f"Expected {weight._spec.ndim}-dimensional input for {weight._spec.ndim}-dimensional weight{gap}"
        f"{listed(weight._spec.shape)}, but got {len(shape)}-dimensional input of size {listed(shape)} instead"
    )


@composite(namespaces=_BOTH)
def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """The convolution of signals (N, C, L) or (C, L) with kernels (O, C / groups, K), plus a bias (O).

    ``padding`` is a number of zeros at each end, ``"same"`` or ``"valid"``. Returns (N, O, L') with
    ``L' = floor((L + 2 * padding - dilation * (K - 1) - 1) / stride + 1)``.
    """
    return _convolve("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


@composite(namespaces=_BOTH)
def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """The convolution of images (N, C, H, W) or (C, H, W) with kernels (O, C / groups, KH, KW), plus a bias (O).

    Settings are one number for both dimensions or a pair; ``padding`` may also be ``"same"`` or ``"valid"``.
    """
    return _convolve("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


@composite(namespaces=_BOTH)
def conv3d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """The convolution of volumes (N, C, D, H, W) or (C, D, H, W) with kernels (O, C / groups, KD, KH, KW), plus a bias.

    Settings are one number for all dimensions or three; ``padding`` may also be ``"same"`` or ``"valid"``.
    """
    return _convolve("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


# Transposed convolution: the gradient of a convolution with respect to its input, as a function of its own.


@op(namespaces=("_private",), name="_conv_transpose", node=_node)
def _conv_transpose(
    input, weight: Array, bias: Array | None, stride, padding, output_padding, dilation, groups, batched, node
):
    """A convolution of the input spread out by the stride with the kernels turned round."""

    def convolve(x):
        _check_transposed(x, weight, bias, stride, output_padding, dilation, groups)
        _check_types(x, weight, bias)
        kernel = weight.shape[2:]
        sizes = [
            (n - 1) * s - 2 * p + d * (k - 1) + o + 1
            for n, k, s, p, o, d in zip(x.shape[2:], kernel, stride, padding, output_padding, dilation, strict=True)
        ]
        geo = Geometry(tuple(sizes), x.shape[2:], kernel, stride, padding, dilation, groups)
        return _plus_bias(convert(spread(widened(x), widened(weight), geo), x.dtype), bias)

    return _with_batch(convolve, input, batched)


def _check_transposed(x, weight, bias, stride, output_padding, dilation, groups) -> None:
    if weight.shape[0] < groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got weight of size "
            f"{listed(weight.shape)} instead"
        )
    if weight.shape[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got weight of size "
            f"[{listed(weight.shape)}] instead"
        )
    if x.shape[1] != weight.shape[0]:
        raise RuntimeError(
            f"Given transposed=1, weight of size {listed(weight.shape)}, expected input{listed(x.shape)} to have "
            f"{weight.shape[0]} channels, but got {x.shape[1]} channels instead"
        )
    channels = weight.shape[1] * groups
    if bias is not None and (bias.ndim != 1 or bias.shape[0] != channels):
        raise RuntimeError(
            f"Given transposed=1, weight of size {listed(weight.shape)}, expected bias to be 1-dimensional with {channels} "
            f"elements, but got bias of size {listed(bias.shape)} instead"
        )
    if any(o >= max(s, d) for o, s, d in zip(output_padding, stride, dilation, strict=True)):
        names = ("depth", "height", "width")[3 - len(stride) :]
        parts = [
            " ".join(f"{what}_{axis}: {v}" for axis, v in zip(names, values, strict=True))
            for what, values in (("output_padding", output_padding), ("stride", stride), ("dilation", dilation))
        ]
        raise RuntimeError(f"output padding must be smaller than either stride or dilation, but got {' '.join(parts)}")


_TRANSPOSED_FORM = (
    "(Tensor input, Tensor weight, Tensor bias = None, tuple of ints stride = 1, tuple of ints padding = 0, tuple of ints "
    "output_padding = 0, int groups = 1, tuple of ints dilation = 1)"
)


def _transposed(name: str, n: int, input, weight, bias, stride, padding, output_padding, groups, dilation) -> Tensor:
    _check_call(
        name, (input, weight, bias), (stride, padding, output_padding, dilation, groups),
        {"stride": stride, "padding": padding, "output_padding": output_padding, "groups": groups, "dilation": dilation},
        (_TRANSPOSED_FORM,),
    )  # fmt: skip
    batched = _is_batched(name, input, n)
    if weight._spec.ndim - 2 != n:
        _check_rank(input, weight, batched, n, stride)
    stride, padding = expanded("stride", stride, n), expanded("padding", padding, n)
    output_padding, dilation = expanded("output_padding", output_padding, n), expanded("dilation", dilation, n)
    _check_settings(stride, padding, dilation, groups, output_padding)
    node = _node_name(input, batched)
    return _conv_transpose(input, weight, bias, stride, padding, output_padding, dilation, groups, batched, node)


@composite(namespaces=_BOTH)
def conv_transpose1d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """The transposed convolution of signals (N, C, L) or (C, L) with kernels (C, O / groups, K), plus a bias (O).

    Returns (N, O, L') with ``L' = (L - 1) * stride - 2 * padding + dilation * (K - 1) + output_padding + 1``.
    """
    return _transposed("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@composite(namespaces=_BOTH)
def conv_transpose2d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """The transposed convolution of images (N, C, H, W) or (C, H, W) with kernels (C, O / groups, KH, KW), plus a bias."""
    return _transposed("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@composite(namespaces=_BOTH)
def conv_transpose3d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """The transposed convolution of volumes (N, C, D, H, W) or (C, D, H, W) with kernels (C, O / groups, KD, KH, KW)."""
    return _transposed("conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups, dilation)
