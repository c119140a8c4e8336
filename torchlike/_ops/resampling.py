"""Images resized: nearest neighbours, linear and cubic interpolation, with or without a filter against aliasing.

A dimension is resampled by a table of taps: for each output position a few input positions and their weights. Tables are
computed in the precision that native kernels use, so that the same neighbours are chosen.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax import lax

from torchlike._ops.adaptive_pooling import taken
from torchlike._ops.bodies import convert, kind, type_name_of, widened
from torchlike._ops.convolution import listed
from torchlike._ops.op import REGISTRY, composite, op
from torchlike._tensor.tensor import Tensor

_F = ("nn.functional",)

#: Up to this many input positions a dimension is resampled by one product with a matrix of weights.
_MATRIX = 512


def _scale(n: int, out: int, factor: float | None, align_corners: bool, kind_of: type) -> Any:
    """How far apart neighbouring output positions are in the input."""
    if align_corners:
        return kind_of(n - 1) / kind_of(out - 1) if out > 1 else kind_of(0)
    if factor is not None and factor > 0:
        return kind_of(1.0 / factor)
    return kind_of(n) / kind_of(out)


# Taps: positions and weights, of shape (out, taps).


def _nearest(n: int, out: int, factor: float | None, offset: float) -> np.ndarray:
    scale = _scale(n, out, factor, False, np.float32)
    where = np.floor((np.arange(out, dtype=np.float32) + np.float32(offset)) * scale)
    return np.minimum(where.astype(np.int64), n - 1)


def _source(n: int, out: int, factor: float | None, align_corners: bool, kind_of: type, cubic: bool) -> np.ndarray:
    """The place in the input of each output position."""
    scale = _scale(n, out, factor, align_corners, kind_of)
    at = np.arange(out).astype(kind_of)
    if align_corners:
        return scale * at
    source = scale * (at + kind_of(0.5)) - kind_of(0.5)
    return source if cubic else np.maximum(source, kind_of(0))


def _linear_taps(
    n: int, out: int, factor: float | None, align_corners: bool, kind_of: type
) -> tuple[np.ndarray, np.ndarray]:
    source = _source(n, out, factor, align_corners, kind_of, False)
    first = np.minimum(np.floor(source).astype(np.int64), n - 1)
    part = np.clip(source - first, 0, 1).astype(kind_of)
    return np.stack([first, np.minimum(first + 1, n - 1)], 1), np.stack([1 - part, part], 1)


def _near_cubic(x: np.ndarray, a: float) -> np.ndarray:
    return ((a + 2) * x - (a + 3)) * x * x + 1


def _far_cubic(x: np.ndarray, a: float) -> np.ndarray:
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a


def _cubic_taps(
    n: int, out: int, factor: float | None, align_corners: bool, kind_of: type
) -> tuple[np.ndarray, np.ndarray]:
    source = _source(n, out, factor, align_corners, kind_of, True)
    first = np.floor(source).astype(np.int64)
    part = np.clip(source - first, 0, 1).astype(kind_of)
    a = -0.75
    weights = [_far_cubic(part + 1, a), _near_cubic(part, a), _near_cubic(1 - part, a), _far_cubic(2 - part, a)]
    return np.clip(first[:, None] + np.arange(-1, 3), 0, n - 1), np.stack(weights, 1).astype(kind_of)


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(x), 0)


def _keys(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    return np.where(x < 1, _near_cubic(x, -0.5), np.where(x < 2, _far_cubic(x, -0.5), 0))


def _lanczos(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


#: The filters against aliasing and the widths of their supports.
_FILTERS: dict[str, tuple[Callable, int]] = {
    "bilinear": (_triangle, 2),
    "bicubic": (_keys, 4),
    "lanczos": (_lanczos, 6),
}


def _smooth_taps(mode: str, n: int, out: int, factor: float | None, align_corners: bool, kind_of: type):
    """Taps of a filter that is widened where the image shrinks."""
    function, width = _FILTERS[mode]
    scale = float(_scale(n, out, factor, align_corners, kind_of))
    support = width * 0.5 * max(scale, 1.0)
    inverse = 1 / scale if scale >= 1 else 1.0
    centre = scale * (np.arange(out) + 0.5)
    start = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    stop = np.minimum((centre + support + 0.5).astype(np.int64), n)
    taps = np.arange(int((stop - start).max()) if out else 1)
    weights = function((taps + (start - centre)[:, None] + 0.5) * inverse)
    weights = np.where(taps < (stop - start)[:, None], weights, 0)
    weights = weights / weights.sum(1, keepdims=True)
    return np.minimum(start[:, None] + taps, n - 1), weights.astype(kind_of)


def _in_fixed_point(weights: np.ndarray) -> np.ndarray:
    """Weights rounded to 16-bit integers over the largest power of two at which they fit."""
    top, bits = float(weights.max()), 0
    while bits < 22 and int(0.5 + top * 2 ** (bits + 1)) < 1 << 15:
        bits += 1
    scaled = weights.astype(np.float64) * 2**bits
    return np.trunc(scaled + np.where(scaled < 0, -0.5, 0.5)) / 2**bits


def _resample(x: Any, axis: int, taps: np.ndarray, weights: np.ndarray) -> Any:
    """One dimension resampled."""
    n, out = x.shape[axis], len(taps)
    if n <= _MATRIX or taps.shape[1] > 8:
        matrix = np.zeros((n, out), np.float64)
        np.add.at(matrix, (taps, np.arange(out)[:, None]), weights)
        mixed = lax.dot_general(x, matrix.astype(x.dtype), (((axis,), (0,)), ((), ())))
        return lax.transpose(mixed, (*range(axis), x.ndim - 1, *range(axis, x.ndim - 1)))
    total = None
    for i in range(taps.shape[1]):
        weight = lax.broadcast_in_dim(
            weights[:, i].astype(x.dtype), tuple(out if d == axis else s for d, s in enumerate(x.shape)), (axis,)
        )
        term = lax.mul(taken(x, taps[:, i], axis), weight)
        total = term if total is None else lax.add(total, term)
    return total


_NODES = {
    "nearest": "UpsampleNearest{}DBackward0", "nearest-exact": "UpsampleNearestExact{}DBackward0",
    "linear": "UpsampleLinear1DBackward0", "bilinear": "UpsampleBilinear2DBackward0",
    "trilinear": "UpsampleTrilinear3DBackward0", "bicubic": "UpsampleBicubic2DBackward0",
}  # fmt: skip


def _node(size: Sequence[int], mode: str, antialias: bool, **_: Any) -> str:
    if antialias:
        return {"bilinear": "UpsampleBilinear2DAaBackward0", "bicubic": "UpsampleBicubic2DAaBackward0"}.get(
            mode, "UpsampleLanczos2DAaBackward0"
        )
    return _NODES[mode].format(len(size))


@op(namespaces=("_private",), name="_upsample", node=_node)
def _upsample(input, size, factors, mode, align_corners, antialias):
    """The input resized to ``size``."""
    n = len(size)
    lead = input.ndim - n
    inside = input.shape[lead:]
    if any(s <= 0 for s in (*inside, *size)):
        raise RuntimeError(
            "Input and output sizes should be greater than 0, but got input ("
            + ", ".join(f"{a}: {s}" for a, s in zip("DHW"[3 - n :], inside, strict=True))
            + ") output (" + ", ".join(f"{a}: {s}" for a, s in zip("DHW"[3 - n :], size, strict=True)) + ")"
        )  # fmt: skip
    if 0 in input.shape[1:]:
        raise RuntimeError(
            f"Non-empty {input.ndim}D data tensor expected but got a tensor with sizes {listed(input.shape)}"
        )
    if mode in ("nearest", "nearest-exact"):
        return _upsample_nearest(input, size, factors, 0.5 if mode == "nearest-exact" else 0.0)
    is_byte = input.dtype == np.uint8
    if kind(input) != "f" and not (is_byte and n == 2):
        names = {"linear": "upsample_linear1d", "trilinear": "upsample_trilinear3d"}
        names.get(mode, "upsample_bilinear2d" if mode == "bilinear" else "upsample_bicubic2d")
        raise NotImplementedError(
            f"\"compute_indices_weights_{mode.removeprefix('bi').removeprefix('tri')}\" not implemented for '{type_name_of(input)}'"
        )
    x = convert(input, np.float64) if is_byte else widened(input)
    kind_of = np.float64 if x.dtype == np.float64 else np.float32
    for i in range(n - 1, -1, -1):
        arguments = (inside[i], size[i], factors[i], align_corners, kind_of)
        if inside[i] == size[i] and factors[i] is None and not antialias:
            continue
        if antialias:
            taps = _smooth_taps(mode, *arguments)
        else:
            taps = (_cubic_taps if mode == "bicubic" else _linear_taps)(*arguments)
        if is_byte:  # weights are whole numbers over a power of two, and bytes are kept as such between the passes
            x = _resample(x, lead + i, taps[0], _in_fixed_point(taps[1]))
            x = lax.clamp(np.float64(0), lax.floor(lax.add(x, np.float64(0.5))), np.float64(255))
        else:
            x = _resample(x, lead + i, *taps)
    return convert(x, input.dtype)


def _upsample_nearest(x: Any, size: Sequence[int], factors: Sequence[float | None], offset: float) -> Any:
    lead = x.ndim - len(size)
    for i, out in enumerate(size):
        axis = lead + i
        n = x.shape[axis]
        where = _nearest(n, out, factors[i], offset)
        if out == n and (where == np.arange(n)).all():
            continue
        if out % n == 0 and (where == np.repeat(np.arange(n), out // n)).all():
            shape = (*x.shape[: axis + 1], out // n, *x.shape[axis + 1 :])
            wide = lax.broadcast_in_dim(x, shape, tuple(d for d in range(len(shape)) if d != axis + 1))
            x = lax.reshape(wide, (*x.shape[:axis], out, *x.shape[axis + 1 :]))
        else:
            x = taken(x, where, axis)
    return x


# Arguments.

_LINEAR = {"linear": 3, "bilinear": 4, "trilinear": 5}


def _sizes_and_factors(input, size, scale_factor, dim):
    """(sizes, factors), one of them None."""
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is None and scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    if size is not None:
        if not isinstance(size, (list, tuple)):
            return [int(size)] * dim, None
        if len(size) != dim:
            raise ValueError(
                "Input and output must have the same number of spatial dimensions, but got input with spatial dimensions of "
                f"{list(input.shape[2:])} and output size of {size}. Please provide input tensor in (N, C, d1, d2, ...,dK) "
                "format and output size in (o1, o2, ...,oK) format."
            )
        if not all(
            isinstance(s, (int, np.integer)) or (isinstance(s, Tensor) and s.dtype.np.kind in "iu") for s in size
        ):
            raise TypeError(
                "expected size to be one of int or Tuple[int] or Tuple[int, int] or Tuple[int, int, int], but got size with "
                f"types {[type(s) for s in size]}"
            )
        return [int(s) for s in size], None
    if not isinstance(scale_factor, (list, tuple)):
        return None, [float(scale_factor)] * dim
    if len(scale_factor) != dim:
        raise ValueError(
            "Input and scale_factor must have the same number of spatial dimensions, but got input with spatial dimensions of "
            f"{list(input.shape[2:])} and scale_factor of shape {scale_factor}. Please provide input tensor in (N, C, d1, d2, "
            "...,dK) format and scale_factor in (s1, s2, ...,sK) format."
        )
    return None, [float(f) for f in scale_factor]


@composite(namespaces=_F)
def interpolate(
    input,
    size=None,
    scale_factor=None,
    mode="nearest",
    align_corners=None,
    recompute_scale_factor=None,
    antialias=False,
):
    """The input (N, C, ...) resized to ``size`` or by ``scale_factor`` in its one to three spatial dimensions.

    ``mode`` is ``"nearest"``, ``"nearest-exact"``, ``"area"``, ``"linear"`` (3D input), ``"bilinear"`` or ``"bicubic"``
    (4D), ``"lanczos"`` (4D, with ``antialias``) or ``"trilinear"`` (5D). ``align_corners`` maps the corners' centres onto
    each other. ``recompute_scale_factor`` takes the scale from the rounded size. ``antialias`` smooths where the image shrinks.
    """
    if mode in ("nearest", "area", "nearest-exact"):
        if align_corners is not None:
            raise ValueError(
                "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear"
            )
    align_corners = bool(align_corners)
    ndim = input.dim()
    dim = ndim - 2
    sizes, factors = _sizes_and_factors(input, size, scale_factor, dim)
    if recompute_scale_factor and size is not None:
        raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
    if factors is not None and (recompute_scale_factor or mode == "area"):
        sizes, factors = [math.floor(n * f) for n, f in zip(input.shape[2:], factors, strict=True)], None
    if antialias and not (mode in ("bilinear", "bicubic", "lanczos") and ndim == 4):
        raise ValueError(
            "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as input"
        )
    if mode == "area" and ndim in (3, 4, 5):
        return REGISTRY["nn.functional", f"adaptive_avg_pool{dim}d"](input, sizes if dim > 1 else sizes[0])  # type: ignore[misc]
    known = (mode in ("nearest", "nearest-exact") and ndim in (3, 4, 5)) or _LINEAR.get(mode) == ndim
    if mode in ("bicubic", "lanczos") and ndim == 4:
        known = True
        if mode == "lanczos" and align_corners:
            raise ValueError("Lanczos mode does not support align_corners=True")
        if mode == "lanczos" and not antialias:
            raise ValueError("Lanczos mode requires antialias=True")
    if not known:
        if mode in _LINEAR and ndim in (3, 4, 5):
            raise NotImplementedError(f"Got {ndim}D input, but {mode} mode needs {_LINEAR[mode]}D input")
        raise NotImplementedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {ndim}D) for the modes: nearest | linear | bilinear "
            f"| bicubic | trilinear | lanczos | area | nearest-exact (got {mode})"
        )
    if sizes is None:
        sizes = [int(n * f) for n, f in zip(input.shape[2:], factors, strict=True)]
    return _upsample(input, sizes, factors or [None] * dim, mode, align_corners, bool(antialias))


def _deprecated(name: str) -> None:
    warnings.warn(f"`nn.functional.{name}` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=3)


@composite(namespaces=_F)
def upsample(input, size=None, scale_factor=None, mode="nearest", align_corners=None):
    """:func:`interpolate` under its old name."""
    _deprecated("upsample")
    return interpolate(input, size, scale_factor, mode, align_corners)


@composite(namespaces=_F)
def upsample_nearest(input, size=None, scale_factor=None):
    """:func:`interpolate` to nearest neighbours, under its old name."""
    _deprecated("upsample_nearest")
    return interpolate(input, size, scale_factor, mode="nearest")


@composite(namespaces=_F)
def upsample_bilinear(input, size=None, scale_factor=None):
    """:func:`interpolate` linearly with aligned corners, under its old name."""
    _deprecated("upsample_bilinear")
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)
