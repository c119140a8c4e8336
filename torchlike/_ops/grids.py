"""Images sampled where a grid says, and grids made by affine maps (Jaderberg et al., arXiv:1506.02025)."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax import lax

from torchlike._ops.bodies import INT64, choose, constant, convert, kind, type_name_of, widened
from torchlike._ops.convolution import listed
from torchlike._ops.op import Array, composite, op

_F = ("nn.functional",)
_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")


# Places.


def _unnormalized(x: Any, n: int, align_corners: bool) -> Any:
    """From [-1, 1] to positions in a dimension of ``n``."""
    x = lax.add(x, constant(x, 1))
    if align_corners:
        return lax.mul(lax.div(x, constant(x, 2)), constant(x, n - 1))
    return lax.div(lax.sub(lax.mul(x, constant(x, n)), constant(x, 1)), constant(x, 2))


def _clipped(x: Any, n: int) -> Any:
    return lax.clamp(constant(x, 0), x, constant(x, n - 1))


def _reflected(x: Any, twice_low: int, twice_high: int) -> Any:
    """Positions mirrored at the borders until they are inside."""
    if twice_low == twice_high:
        return lax.mul(x, constant(x, 0))
    low, span = twice_low / 2, (twice_high - twice_low) / 2
    x = lax.sub(x, constant(x, low))
    x = choose(lax.lt(x, constant(x, 0)), lax.neg(x), x)
    extra = lax.rem(x, constant(x, span))
    flips = lax.floor(lax.div(lax.stop_gradient(x), constant(x, span)))
    even = lax.eq(lax.rem(flips, constant(x, 2)), constant(x, 0))
    return choose(even, lax.add(extra, constant(x, low)), lax.add(lax.sub(constant(x, span), extra), constant(x, low)))


def _inside(x: Any, n: int, padding_mode: str, align_corners: bool) -> Any:
    """Positions moved inside as the padding mode says; left alone for zeros."""
    if padding_mode == "border":
        return _clipped(x, n)
    if padding_mode == "reflection":
        bounds = (0, 2 * (n - 1)) if align_corners else (-1, 2 * n - 1)
        return _clipped(_reflected(x, *bounds), n)
    return x


# Values.


class _Image:
    """An image (N, C, ...) that can be asked for its values at whole positions."""

    def __init__(self, x: Any):
        self.sizes = x.shape[2:]
        self.flat = lax.reshape(x, (*x.shape[:2], math.prod(self.sizes)))

    def at(self, positions: Sequence[Any]) -> Any:
        """The values (N, C, P) at positions (N, P) in each dimension, zero outside of the image."""
        index = None
        seen = None
        for position, n in zip(positions, self.sizes, strict=True):
            inside = lax.bitwise_and(lax.ge(position, constant(position, 0)), lax.lt(position, constant(position, n)))
            seen = inside if seen is None else lax.bitwise_and(seen, inside)
            # What is not a number, or too large for an integer, is outside anyway.
            position = convert(choose(inside, position, constant(position, 0)), INT64)
            index = position if index is None else lax.add(lax.mul(index, np.int64(n)), position)
        channels = self.flat.shape[1]
        numbers = lax.GatherDimensionNumbers(
            (1,), (2,), (2,), operand_batching_dims=(0,), start_indices_batching_dims=(0,)
        )
        values = lax.gather(
            self.flat, lax.expand_dims(index, (2,)), numbers, (1, channels, 1), mode="promise_in_bounds"
        )
        mask = lax.broadcast_in_dim(seen, values.shape, (0, 2))
        return lax.select(mask, values, lax.full_like(values, 0))


def _weighted(values: Any, weight: Any) -> Any:
    return lax.mul(values, lax.broadcast_in_dim(weight, values.shape, (0, 2)))


def _sum_of(terms: Sequence[Any]) -> Any:
    total = terms[0]
    for term in terms[1:]:
        total = lax.add(total, term)
    return total


def _linear(image: _Image, places: Sequence[Any]) -> Any:
    lows = [lax.stop_gradient(lax.floor(p)) for p in places]
    parts = [lax.sub(p, low) for p, low in zip(places, lows, strict=True)]
    terms = []
    for corner in itertools.product((0, 1), repeat=len(places)):
        weight = None
        for c, part in zip(corner, parts, strict=True):
            factor = part if c else lax.sub(constant(part, 1), part)
            weight = factor if weight is None else lax.mul(weight, factor)
        at = [lax.add(low, constant(low, 1)) if c else low for c, low in zip(corner, lows, strict=True)]
        terms.append(_weighted(image.at(at), weight))
    return _sum_of(terms)


def _cubic_weights(t: Any) -> list[Any]:
    """Weights of four neighbours (Keys' kernel with a = -0.75)."""
    a = -0.75
    c = lambda number: constant(t, number)  # noqa: E731

    def near(x):
        return lax.add(lax.mul(lax.mul(lax.sub(lax.mul(c(a + 2), x), c(a + 3)), x), x), c(1))

    def far(x):
        inner = lax.add(lax.mul(lax.sub(lax.mul(c(a), x), c(5 * a)), x), c(8 * a))
        return lax.sub(lax.mul(inner, x), c(4 * a))

    one_less = lax.sub(c(1), t)
    return [far(lax.add(t, c(1))), near(t), near(one_less), far(lax.add(one_less, c(1)))]


def _cubic(image: _Image, places: Sequence[Any], padding_mode: str, align_corners: bool) -> Any:
    lows = [lax.stop_gradient(lax.floor(p)) for p in places]
    weights = [_cubic_weights(lax.sub(p, low)) for p, low in zip(places, lows, strict=True)]
    terms = []
    for i, j in itertools.product(range(4), repeat=2):
        at = [
            _inside(lax.add(low, constant(low, k - 1)), n, padding_mode, align_corners)
            for low, k, n in zip(lows, (i, j), image.sizes, strict=True)
        ]
        terms.append(_weighted(image.at(at), lax.mul(weights[0][i], weights[1][j])))
    return _sum_of(terms)


def _check(x: Any, grid: Any, mode: str) -> None:
    n = x.ndim - 2
    if x.dtype != grid.dtype:
        raise RuntimeError(
            f"grid_sampler(): expected input and grid to have same dtype, but input has {_dtype(x)} and grid has {_dtype(grid)}"
        )
    if x.ndim not in (4, 5) or x.ndim != grid.ndim:
        raise RuntimeError(
            "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but got input with sizes "
            f"{listed(x.shape)} and grid with sizes {listed(grid.shape)}"
        )
    if x.shape[0] != grid.shape[0]:
        raise RuntimeError(
            "grid_sampler(): expected grid and input to have same batch size, but got input with sizes "
            f"{listed(x.shape)} and grid with sizes {listed(grid.shape)}"
        )
    if grid.shape[-1] != n:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {n} in last dimension, but got grid with sizes {listed(grid.shape)}"
        )
    for axis in range(2, x.ndim):
        if x.shape[axis] == 0:
            raise RuntimeError(
                f"grid_sampler(): expected input to have non-empty spatial dimensions, but input has sizes {listed(x.shape)} "
                f"with dimension {axis} being empty"
            )
    if n == 3 and mode == "bicubic":
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    if kind(x) != "f":
        raise NotImplementedError(f"\"grid_sampler_{n}d_cpu\" not implemented for '{type_name_of(x)}'")


def _dtype(x: Any) -> Any:
    from torchlike._tensor.dtypes import from_numpy_dtype

    return str(from_numpy_dtype(np.dtype(x.dtype))).removeprefix("torch.")


def _node(mode: str, padding_mode: str, align_corners: bool, n: int) -> str:
    return f"GridSampler{n}DBackward0"


@op(namespaces=("_private",), name="_grid_sample", node=_node)
def _grid_sample(input, grid: Array, mode, padding_mode, align_corners, n):
    """The input's values where the grid says."""
    _check(input, grid, mode)
    x, places = widened(input), widened(grid)
    out = grid.shape[1:-1]
    places = lax.reshape(places, (grid.shape[0], math.prod(out), n))
    # The grid's last dimension counts from the last spatial dimension: x, y, z.
    each = [lax.squeeze(lax.slice_in_dim(places, n - 1 - i, n - i, axis=2), (2,)) for i in range(n)]
    image = _Image(x)
    each = [_unnormalized(p, size, align_corners) for p, size in zip(each, image.sizes, strict=True)]
    if mode == "bicubic":
        found = _cubic(image, each, padding_mode, align_corners)
    else:
        each = [_inside(p, size, padding_mode, align_corners) for p, size in zip(each, image.sizes, strict=True)]
        if mode == "bilinear":
            found = _linear(image, each)
        else:
            found = image.at([lax.round(p, lax.RoundingMethod.TO_NEAREST_EVEN) for p in each])
    return convert(lax.reshape(found, (*found.shape[:2], *out)), input.dtype)


_OLD = (
    "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please specify "
    "align_corners=True if the old behavior is desired. See the documentation of grid_sample for details."
)


@composite(namespaces=_F)
def grid_sample(input, grid, mode="bilinear", padding_mode="zeros", align_corners=None):
    """The input (N, C, H, W), or (N, C, D, H, W), sampled at ``grid`` (N, ..., 2), or (N, ..., 3): (N, C, ...).

    The grid holds x, y (and z) from -1 to 1, which are the borders, or with ``align_corners`` the centres, of the outermost
    pixels. ``mode`` is ``"bilinear"``, ``"nearest"`` or ``"bicubic"``; ``padding_mode`` says what is outside: ``"zeros"``,
    the ``"border"``, or a ``"reflection"``.
    """
    if mode not in _MODES:
        raise ValueError(
            f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '{mode}'"
        )
    if padding_mode not in _PADDINGS:
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but got: "
            f"'{padding_mode}'"
        )
    if align_corners is None:
        warnings.warn(_OLD, stacklevel=2)
    return _grid_sample(input, grid, mode, padding_mode, bool(align_corners), input.dim() - 2)


@composite(namespaces=("torch",))
def grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners):
    """``torch.nn.functional.grid_sample`` with its modes by number."""
    return _grid_sample(
        input, grid, _MODES[interpolation_mode], _PADDINGS[padding_mode], bool(align_corners), input.dim() - 2
    )


# Grids.


def _steps(n: int, align_corners: bool, dtype: Any) -> np.ndarray:
    if n <= 1:
        return np.zeros(n, dtype)
    steps = np.linspace(-1, 1, n)
    return (steps if align_corners else steps * (n - 1) / n).astype(dtype)


@op(namespaces=("_private",), name="_affine_grid", node="AffineGridGeneratorBackward0")
def _affine_grid(input, size, align_corners):
    """The grid that affine maps make of the unit square or cube."""
    dtype = np.dtype(input.dtype)
    wide = np.float32 if dtype.itemsize == 2 else dtype
    axes = np.meshgrid(*[_steps(n, align_corners, wide) for n in size[2:]], indexing="ij")
    base = np.stack([a.reshape(-1) for a in (*axes[::-1], np.ones_like(axes[0]))], -1)
    batched = lax.broadcast_in_dim(base, (size[0], *base.shape), (1, 2))
    out = lax.dot_general(batched, widened(input), (((2,), (2,)), ((0,), (0,))))
    return convert(lax.reshape(out, (size[0], *size[2:], len(size) - 2)), dtype)


@composite(namespaces=_F)
def affine_grid(theta, size, align_corners=None):
    """The grid (N, H, W, 2), or (N, D, H, W, 3), for :func:`grid_sample` that affine maps (N, 2, 3), or (N, 3, 4), make.

    ``size`` is that of the output image, (N, C, H, W) or (N, C, D, H, W).
    """
    if align_corners is None:
        warnings.warn(_OLD, stacklevel=2)
        align_corners = False
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    n = len(size) - 2
    if n not in (2, 3):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. Got size "
            f"{size}."
        )
    if theta.dim() != 3 or tuple(theta.shape[-2:]) != (n, n + 1):
        raise ValueError(
            f"Expected a batch of {n}D affine matrices of shape Nx{n}x{n + 1} for size {size}. Got {theta.shape}."
        )
    if align_corners and min(size[2:]) == 1:
        warnings.warn(
            "Since version 1.3.0, affine_grid behavior has changed for unit-size grids when align_corners=True. This is not "
            "an intended use case of affine_grid. See the documentation of affine_grid for details.",
            stacklevel=2,
        )
    elif min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    if theta._spec.shape[0] != size[0]:
        raise RuntimeError(
            f"Expected a batch of {n}D affine matrices of shape Nx{n}x{n + 1} for size {listed(size)}. Got "
            f"{listed(theta._spec.shape)}."
        )
    return _affine_grid(theta, tuple(int(s) for s in size), bool(align_corners))
