"""Discrete Fourier transforms.

All of them are one operator: real or complex input, padded or cut to the lengths asked for, transformed over some
dimensions and scaled once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jax import lax

from torchlike._ops import creation
from torchlike._ops.bodies import constant, kind, type_name_of
from torchlike._ops.linalg_common import deliver, require_tensor
from torchlike._ops.op import composite, op
from torchlike._tensor import dtypes
from torchlike._tensor.tensor import Tensor, wrap_dim


class _Transform(NamedTuple):
    """What a transform takes and gives: ``c`` complex, ``r`` real, ``h`` the first half of a signal with symmetry."""

    takes: str
    gives: str
    forward: bool


_TRANSFORMS = {
    "fft": _Transform("c", "c", True), "ifft": _Transform("c", "c", False), "rfft": _Transform("r", "h", True),
    "irfft": _Transform("h", "r", False), "hfft": _Transform("h", "r", True), "ihfft": _Transform("r", "h", False),
}  # fmt: skip


# The operator.


def _resized(x: Any, dims: Sequence[int], lengths: Sequence[int]) -> Any:
    """``x`` cut, or padded with zeros at the end, to lengths along dimensions."""
    want = list(x.shape)
    for d, n in zip(dims, lengths, strict=True):
        want[d] = n
    if any(n < m for n, m in zip(want, x.shape, strict=True)):
        x = lax.slice(x, [0] * x.ndim, [min(n, m) for n, m in zip(want, x.shape, strict=True)])
    if list(x.shape) == want:
        return x
    return lax.pad(x, constant(x, 0), [(0, n - m, 0) for n, m in zip(want, x.shape, strict=True)])


def _over(x: Any, dims: Sequence[int], how: Any, lengths: Sequence[int]) -> Any:
    """``lax.fft`` over any dimensions, the last of ``dims`` being the one that is halved."""
    rest = [d for d in range(x.ndim) if d not in dims]
    order = [*rest, *dims]
    moved = order != list(range(x.ndim))
    y = lax.transpose(x, order) if moved else x
    y = lax.fft(y, how, tuple(lengths))
    return lax.transpose(y, np.argsort(order).tolist()) if moved else y


_FORWARD, _INVERSE, _REAL, _BACK = lax.FftType.FFT, lax.FftType.IFFT, lax.FftType.RFFT, lax.FftType.IRFFT


def _complex_over(x: Any, dims: Sequence[int], lengths: Sequence[int], forward: bool) -> Any:
    """A complex transform over any number of dimensions, three at a time."""
    for start in range(0, len(dims), 3):
        part = slice(start, start + 3)
        x = _over(x, dims[part], _FORWARD if forward else _INVERSE, lengths[part])
    return x


def _promoted(x: Any, takes: str) -> Any:
    if kind(x) in "biu":
        x = lax.convert_element_type(x, dtypes.get_default_dtype().np)
    if np.dtype(x.dtype).itemsize < 4:
        raise RuntimeError(f"Unsupported dtype {type_name_of(x)}")
    if takes != "r" and kind(x) == "f":
        x = lax.convert_element_type(x, np.result_type(x.dtype, np.complex64))
    return x


def _scale(lengths: Sequence[int], norm: Any, forward: bool) -> float:
    """What a transform's sums are multiplied with."""
    n = math.prod(lengths)
    if norm not in (None, "forward", "backward", "ortho"):
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    if norm == "ortho":
        return 1 / math.sqrt(n) if n else 1.0
    return 1 / n if forward == (norm == "forward") and n else 1.0


def _computed(x: Any, how: str, dims: tuple[int, ...], lengths: tuple[int, ...]) -> tuple[Any, float]:
    """The transform, and the scale that it has of its own."""
    takes, _gives, forward = _TRANSFORMS[how]
    n = math.prod(lengths)
    if takes == "c":
        x = _resized(x, dims, lengths)
        return _complex_over(x, dims, lengths, forward), 1.0 if forward else 1 / n
    first, last = (dims[:-1], lengths[:-1]), (dims[-1:], lengths[-1:])
    if takes == "r":
        x = _over(_resized(x, dims, lengths), last[0], _REAL, last[1])
        x = _complex_over(x, first[0], first[1], True)
        return (x if forward else lax.conj(x)), 1.0
    if forward:
        x = lax.conj(x)
    x = _resized(x, dims, (*first[1], lengths[-1] // 2 + 1))
    x = _complex_over(x, first[0], first[1], False)
    return _over(x, last[0], _BACK, last[1]), 1 / n


def _node(how: str, node: str, **_: Any) -> str:
    return node


@op(name="_fft", namespaces=("_private",), node=_node)
def _fft(input, how, dims, lengths, norm, node):
    """A Fourier transform."""
    x = _promoted(input, _TRANSFORMS[how].takes)
    if not dims:
        return x
    scale = _scale(lengths, norm, _TRANSFORMS[how].forward)
    if not math.prod(x.shape):
        shape = list(x.shape)
        for d, n in zip(dims, lengths, strict=True):
            shape[d] = n
        if _TRANSFORMS[how].gives == "h":
            shape[dims[-1]] = lengths[-1] // 2 + 1
        real = _TRANSFORMS[how].gives == "r"
        return lax.full(shape, 0, np.zeros(0, x.dtype).real.dtype if real else np.result_type(x.dtype, np.complex64))
    result, own = _computed(x, how, dims, lengths)
    return result if scale == own else lax.mul(result, constant(result, scale / own))


# Arguments.


def _check_real(x: Tensor, message: str) -> None:
    if x.dtype.is_complex:
        raise RuntimeError(f"{message}{type_name_of(x._spec)}")


def _check_dtype(x: Tensor) -> None:
    if kind(x._spec) == "f" and x._spec.dtype.itemsize < 4:
        raise RuntimeError(f"Unsupported dtype {type_name_of(x._spec)}")


def _check_points(lengths: Sequence[int]) -> None:
    for n in lengths:
        if n < 1:
            raise RuntimeError(f"Invalid number of data points ({n}) specified")


def _one_dimension(x: Tensor, how: str, n: Any, dim: int) -> tuple[int, int]:
    """The dimension and the length of a transform over one."""
    if not x._spec.ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    axis = wrap_dim(dim, x._spec.ndim)
    if n is None:
        n = x._spec.shape[axis]
        if _TRANSFORMS[how].takes == "h":
            n = 2 * (n - 1)
    _check_points((n,))
    return axis, int(n)


def _several_dimensions(x: Tensor, s: Any, dim: Any) -> tuple[list[int], list[int]]:
    """The dimensions and the lengths of a transform over several; the lengths are the input's where none are given."""
    ndim, shape = x._spec.ndim, x._spec.shape
    s = [s] if isinstance(s, int) else None if s is None else list(s)
    dim = [dim] if isinstance(dim, int) else None if dim is None else list(dim)
    if dim is not None:
        if not ndim and dim:
            raise IndexError(f"Dimension specified as {dim[0]} but tensor has no dimensions")
        dim = [wrap_dim(d, ndim) for d in dim]
        if len(set(dim)) != len(dim):
            raise RuntimeError("FFT dims must be unique")
    if s is not None:
        if dim is not None and len(dim) != len(s):
            raise RuntimeError("When given, dim and shape arguments must have the same length")
        if len(s) > ndim:
            raise RuntimeError(f"Got shape with {len(s)} values but input tensor only has {ndim} dimensions.")
        dims = dim if dim is not None else list(range(ndim - len(s), ndim))
        return dims, [shape[d] if n == -1 else n for d, n in zip(dims, s, strict=True)]
    dims = dim if dim is not None else list(range(ndim))
    return dims, [shape[d] for d in dims]


_NODES = {"fft": "FftC2CBackward0", "ifft": "FftC2CBackward0", "rfft": "FftR2CBackward0", "irfft": "FftC2RBackward0",
          "hfft": "FftC2RBackward0", "ihfft": "ConjBackward0"}  # fmt: skip


def _apply_one(x: Tensor, how: str, n: Any, dim: int, norm: Any, out: Any) -> Tensor:
    require_tensor(x, f"fft_{how}", "input", 1)
    if _TRANSFORMS[how].takes == "r":
        _check_real(x, f"{how} expects a real input tensor, but got ")
    _check_dtype(x)
    axis, length = _one_dimension(x, how, n, dim)
    node = _NODES[how]
    if how in ("fft", "ifft") and not x.is_complex():
        node = "FftR2CBackward0" if how == "fft" else "ConjBackward0"
    return deliver(_fft(x, how, (axis,), (length,), norm, node), out)


def _apply_several(x: Tensor, how: str, name: str, s: Any, dim: Any, norm: Any, out: Any) -> Tensor:
    require_tensor(x, f"fft_{name}", "input", 1)
    takes = _TRANSFORMS[how].takes
    if how == "rfft":
        _check_real(x, "rfftn expects a real-valued input tensor, but got ")
    if how == "ihfft":
        _check_real(x, "Only supports floating-point dtypes, but found: ")
    _check_dtype(x)
    dims, lengths = _several_dimensions(x, s, dim)
    if takes != "c" and not dims:
        raise RuntimeError(f"{how}n must transform at least one axis")
    given = s is not None and (s if isinstance(s, int) else list(s)[-1]) != -1
    if takes == "h" and not given:
        lengths[-1] = 2 * (lengths[-1] - 1)
    _check_points(lengths)
    node = "FftC2CBackward0" if how == "ihfft" and len(dims) > 1 else _NODES[how]
    return deliver(_fft(x, how, tuple(dims), tuple(lengths), norm, node), out)


_KINDS = {
    "fft": "discrete Fourier transform", "ifft": "inverse discrete Fourier transform",
    "rfft": "discrete Fourier transform of a real signal, the first half of it,",
    "irfft": "real signal whose transform's first half is given: the inverse of ``rfft``,",
    "hfft": "transform of a signal with Hermitian symmetry, of which the first half is given,",
    "ihfft": "first half of the inverse transform of a real signal",
}  # fmt: skip


def _declare_one(how: str) -> None:
    def transform(input, n=None, dim=-1, norm=None, *, out=None):
        return _apply_one(input, how, n, dim, norm, out)

    transform.__name__ = transform.__qualname__ = how
    transform.__doc__ = (
        f"The {_KINDS[how]} over ``dim``.\n\n``n`` is the signal's length, to which it is cut or padded with zeros; ``norm`` "
        'is "backward" (the inverse is divided by ``n``; the default), "forward" or "ortho".'
    )
    composite(namespaces=("fft",))(transform)


def _declare_several(how: str, suffix: str) -> None:
    default = (-2, -1) if suffix == "2" else None
    name = how + suffix

    def transform(input, s=None, dim=default, norm=None, *, out=None):
        return _apply_several(input, how, name, s, dim, norm, out)

    transform.__name__ = transform.__qualname__ = name
    where = "two dimensions" if suffix == "2" else "several dimensions"
    transform.__doc__ = (
        f"The {_KINDS[how]} over {where}.\n\n``s`` are the signal's lengths, to which it is cut or padded with zeros; "
        '``norm`` is "backward" (the inverse is divided by the number of elements; the default), "forward" or "ortho".'
    )
    composite(namespaces=("fft",))(transform)


for _how in _TRANSFORMS:
    _declare_one(_how)
    _declare_several(_how, "2")
    _declare_several(_how, "n")


# Frequencies.


def _frequencies(
    name: str, numbers: Any, n: int, d: float, out: Any, dtype: Any, device: Any, requires_grad: bool
) -> Tensor:
    dtype = dtypes.get_default_dtype() if dtype is None else dtype
    if not (dtype.is_floating_point or dtype.is_complex):
        raise RuntimeError(f"{name} requires a floating point or complex dtype")
    if n < 0:
        raise RuntimeError(creation.NEGATIVE.format(n, [n]))
    work = np.dtype(np.float32) if dtype.itemsize == 2 else dtype.np
    with np.errstate(invalid="ignore"):
        array = (numbers.astype(work) * work.type(1.0 / (n * d) if n else math.inf)).astype(dtype.np)
    return creation._out(out, array, None) if out is not None else creation._finish(array, device, requires_grad)


@composite(namespaces=("fft",))
def fftfreq(n, d=1.0, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """The frequencies of the elements of ``fft`` of ``n`` samples, ``d`` apart: zero, the positive ones, the negative ones."""
    numbers = np.arange(max(n, 0))
    numbers = np.where(numbers < (n + 1) // 2, numbers, numbers - n)
    return _frequencies("fftfreq", numbers, n, d, out, dtype, device, requires_grad)


@composite(namespaces=("fft",))
def rfftfreq(n, d=1.0, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """The frequencies of the elements of ``rfft`` of ``n`` samples, ``d`` apart."""
    return _frequencies("rfftfreq", np.arange(n // 2 + 1), n, d, out, dtype, device, requires_grad)


def _shift_dims(x: Tensor, dim: Any) -> list[int]:
    if dim is None:
        return list(range(x._spec.ndim))
    return [wrap_dim(d, x._spec.ndim) for d in ((dim,) if isinstance(dim, int) else dim)]


@composite(namespaces=("fft",))
def fftshift(input, dim=None):
    """The elements moved so that frequency zero is in the middle, along all dimensions or ``dim``."""
    require_tensor(input, "fft_fftshift", "input", 1)
    dims = _shift_dims(input, dim)
    return input.roll([input._spec.shape[d] // 2 for d in dims], dims)


@composite(namespaces=("fft",))
def ifftshift(input, dim=None):
    """The inverse of :func:`fftshift`."""
    require_tensor(input, "fft_ifftshift", "input", 1)
    dims = _shift_dims(input, dim)
    return input.roll([(input._spec.shape[d] + 1) // 2 for d in dims], dims)
