"""The correlation of images with kernels, and its two gradients, each by the way that XLA runs fastest on processors.

A convolution, its gradients and the transposed convolution are made of three functions that are each other's gradients:
``correlate(x, w)``, ``spread(g, w)`` (the gradient with respect to ``x``) and ``match(x, g)`` (that with respect to ``w``).
Images are (N, C, ...), kernels (O, C / groups, ...).

* Kernels of one place are matrix products.
* A kernel for each channel alone is a sum over its places of the shifted image times one number a channel.
* Gradients with respect to images of few channels are products of matrices whose columns are added where they belong.
* ``match`` with groups is a product of matrices for each place: what differentiation makes of it is very slow.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
from jax import lax

from torchlike._ops.sliding_windows import Windows

#: Up to so many channels, ``spread`` adds columns rather than correlate the spread-out gradient.
_FEW_CHANNELS = 16
#: Up to so many groups, ``match`` treats each group by itself.
_FEW_GROUPS = 4
#: Up to so many places, ``match`` for single channels takes one sum for each.
_FEW_PLACES = 9


class Geometry(NamedTuple):
    """The settings of a correlation, one for each spatial dimension: sizes of image and result, and how they relate."""

    inside: tuple[int, ...]
    out: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    @property
    def windows(self) -> Windows:
        """The windows that the kernel looks at."""
        return Windows(*self[:6])

    @property
    def is_pointwise(self) -> bool:
        """Whether it is a product of matrices at each point."""
        return all(k == 1 for k in self.kernel) and self.groups == 1 and not any(self.padding)

    def is_depthwise(self, channels: int) -> bool:
        """Whether each channel has kernels of its own."""
        return self.groups == channels > 1


def geometry(inside, kernel, stride, padding: Sequence[tuple[int, int]], dilation, groups: int) -> Geometry:
    """The geometry of a correlation of an image with (before, after) padding."""
    out = [
        (n + low + high - d * (k - 1) - 1) // s + 1
        for n, k, s, (low, high), d in zip(inside, kernel, stride, padding, dilation, strict=True)
    ]
    return Geometry(
        tuple(inside), tuple(out), tuple(kernel), tuple(stride), tuple(p for p, _ in padding), tuple(dilation), groups
    )


def _flat(x: Any) -> Any:
    """(N, C, positions)."""
    return lax.reshape(x, (*x.shape[:2], math.prod(x.shape[2:])))


def _for_each_sample(weight: Any, n: int) -> Any:
    return lax.broadcast_in_dim(weight, (n, *weight.shape), (1, 2))


def _convolve(x: Any, w: Any, stride, padding, **options: Any) -> Any:
    """``lax.conv_general_dilated``; where nothing is padded, with one column more that is cut off again.

    XLA's convolution is up to three times slower on processors where there is no padding at all.
    """
    bare = not any(low or high for low, high in padding) and "lhs_dilation" not in options
    spec = options.get("dimension_numbers")
    rank = len(stride)
    kernel = (w.shape[2:] if spec is None else [w.shape[d] for d in spec.rhs_spec[2:]])[-1]
    step = options.get("rhs_dilation", (1,) * rank)[-1]
    if not bare or kernel == 1 or (spec is not None and step > 1) or options.get("batch_group_count", 1) > 1:
        return lax.conv_general_dilated(x, w, stride, padding, **options)
    wider = lax.conv_general_dilated(x, w, stride, [*padding[:-1], (0, stride[-1])], **options)
    return lax.slice_in_dim(wider, 0, wider.shape[-1] - 1, axis=wider.ndim - 1)


# With respect to the result.


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def correlate(x, w, geo):
    """The sums over windows of the image times the kernels: (N, O, ...)."""
    n, channels = x.shape[:2]
    if geo.is_pointwise:
        matrix = lax.reshape(w, (w.shape[0], channels))
        seen = geo.windows.taps(x, 0)[0]
        product = lax.dot_general(_for_each_sample(matrix, n), _flat(seen), (((2,), (1,)), ((0,), (0,))))
        return lax.reshape(product, (n, w.shape[0], *geo.out))
    if geo.is_depthwise(channels):
        return _correlate_channels(x, w, geo)
    return _convolve(x, w, geo.stride, geo.windows.ends, rhs_dilation=geo.dilation, feature_group_count=geo.groups)


def _correlate_channels(x: Any, w: Any, geo: Geometry) -> Any:
    n, channels = x.shape[:2]
    each = w.shape[0] // channels
    shape = (n, channels, each, *geo.out)
    kernels = lax.reshape(w, (channels, each, math.prod(geo.kernel)))
    spatial = tuple(range(3, 3 + len(geo.out)))
    total = None
    for i, tap in enumerate(geo.windows.taps(x, 0)):
        factor = lax.broadcast_in_dim(_column(kernels, i), shape, (1, 2))
        term = lax.mul(lax.broadcast_in_dim(tap, shape, (0, 1, *spatial)), factor)
        total = term if total is None else lax.add(total, term)
    return lax.reshape(total, (n, w.shape[0], *geo.out))


def _column(x: Any, i: int) -> Any:
    last = x.ndim - 1
    return lax.squeeze(lax.slice_in_dim(x, i, i + 1, axis=last), (last,))


# With respect to the image.


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def spread(g, w, geo):
    """What each window's kernel, times the gradient there, adds to the image: (N, C, ...)."""
    n = g.shape[0]
    inner = w.shape[1]
    channels = inner * geo.groups
    if geo.is_pointwise:
        matrix = lax.transpose(lax.reshape(w, (w.shape[0], channels)), (1, 0))
        product = lax.dot_general(_for_each_sample(matrix, n), _flat(g), (((2,), (1,)), ((0,), (0,))))
        return geo.windows.scatter([lax.reshape(product, (n, channels, *geo.out))], (n, channels))
    if geo.is_depthwise(channels):
        return _spread_channels(g, w, geo)
    if geo.groups == 1 and channels <= _FEW_CHANNELS:
        return _spread_columns(g, w, geo)
    rank = len(geo.kernel)
    kernel = lax.rev(w, tuple(range(2, rank + 2)))
    outer = w.shape[0] // geo.groups
    if geo.groups > 1:
        kernel = lax.reshape(kernel, (geo.groups, outer, inner, *geo.kernel))
        kernel = lax.transpose(kernel, (0, 2, 1, *range(3, rank + 3)))
        kernel = lax.reshape(kernel, (channels, outer, *geo.kernel))
    else:
        kernel = lax.transpose(kernel, (1, 0, *range(2, rank + 2)))
    padding = [
        (d * (k - 1) - p, size - (o - 1) * s - 1 + p) for size, o, k, s, p, d in zip(*geo.windows.sizes(), strict=True)
    ]
    stretched = {"lhs_dilation": geo.stride} if any(s != 1 for s in geo.stride) else {}
    return _convolve(
        g, kernel, (1,) * rank, padding, rhs_dilation=geo.dilation, feature_group_count=geo.groups, **stretched
    )


def _spread_channels(g: Any, w: Any, geo: Geometry) -> Any:
    n, channels = g.shape[0], geo.groups
    each = w.shape[0] // channels
    shape = (n, channels, each, *geo.out)
    apart = lax.reshape(g, shape)
    kernels = lax.reshape(w, (channels, each, math.prod(geo.kernel)))
    taps = []
    for i in range(math.prod(geo.kernel)):
        term = lax.mul(apart, lax.broadcast_in_dim(_column(kernels, i), shape, (1, 2)))
        taps.append(lax.reduce_sum(term, (2,)) if each > 1 else lax.squeeze(term, (2,)))
    return geo.windows.scatter(taps, (n, channels))


def _spread_columns(g: Any, w: Any, geo: Geometry) -> Any:
    n, channels, places = g.shape[0], w.shape[1], math.prod(geo.kernel)
    matrix = lax.reshape(w, (w.shape[0], channels * places))
    columns = lax.dot_general(matrix, _flat(g), (((0,), (1,)), ((), ())))
    columns = lax.reshape(columns, (channels, places, n, *geo.out))
    order = (1, 0, *range(2, 2 + len(geo.out)))
    taps = [lax.transpose(lax.squeeze(lax.slice_in_dim(columns, i, i + 1, axis=1), (1,)), order) for i in range(places)]
    return geo.windows.scatter(taps, (n, channels))


# With respect to the kernels.


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def match(x, g, geo):
    """The sums over all windows of what each place of a window sees times the gradient there: (O, C / groups, ...)."""
    channels, outer = x.shape[1], g.shape[1]
    if geo.is_pointwise:
        product = lax.dot_general(_flat(g), _flat(geo.windows.taps(x, 0)[0]), (((2,), (2,)), ((0,), (0,))))
        return lax.reshape(lax.reduce_sum(product, (0,)), (outer, channels, *geo.kernel))
    if geo.is_depthwise(channels):
        few = math.prod(geo.kernel) <= _FEW_PLACES
        return _match_channels(x, g, geo) if few else _match_all(x, g, geo)
    if geo.groups == 1:
        return _match_all(x, g, geo)
    if geo.groups <= _FEW_GROUPS:
        xs, gs = (lax.split(a, (a.shape[1] // geo.groups,) * geo.groups, 1) for a in (x, g))
        alone = geo._replace(groups=1)
        return lax.concatenate([_match_all(a, b, alone) for a, b in zip(xs, gs, strict=True)], 0)
    return _match_groups(x, g, geo)


def _match_all(x: Any, g: Any, geo: Geometry) -> Any:
    """A correlation of the image with the gradient, samples taking the part of channels."""
    spec = (1, 0, *range(2, x.ndim))
    return _convolve(
        x, g, geo.dilation, geo.windows.ends, rhs_dilation=geo.stride, batch_group_count=geo.groups,
        dimension_numbers=lax.ConvDimensionNumbers(spec, spec, spec),
    )  # fmt: skip


def _match_channels(x: Any, g: Any, geo: Geometry) -> Any:
    n, channels = x.shape[:2]
    each = g.shape[1] // channels
    shape = (n, channels, each, *geo.out)
    spatial = tuple(range(3, 3 + len(geo.out)))
    apart = lax.reshape(g, shape)
    terms = [lax.mul(lax.broadcast_in_dim(tap, shape, (0, 1, *spatial)), apart) for tap in geo.windows.taps(x, 0)]
    sums = [lax.reduce_sum(term, (0, *spatial)) for term in terms]
    stacked = lax.concatenate([lax.expand_dims(s, (2,)) for s in sums], 2)
    return lax.reshape(stacked, (g.shape[1], 1, *geo.kernel))


def _match_groups(x: Any, g: Any, geo: Geometry) -> Any:
    n, groups = x.shape[0], geo.groups
    inner, outer = x.shape[1] // groups, g.shape[1] // groups
    positions = math.prod(geo.out)
    apart = lax.reshape(g, (n, groups, outer, positions))
    products = []
    for tap in geo.windows.taps(x, 0):
        seen = lax.reshape(tap, (n, groups, inner, positions))
        products.append(lax.dot_general(apart, seen, (((3,), (3,)), ((0, 1), (0, 1)))))
    stacked = lax.concatenate([lax.expand_dims(lax.reduce_sum(p, (0,)), (3,)) for p in products], 3)
    return lax.reshape(stacked, (groups * outer, inner, *geo.kernel))


correlate.defvjp(
    lambda x, w, geo: (correlate(x, w, geo), (x, w)),
    lambda geo, saved, g: (spread(g, saved[1], geo), match(saved[0], g, geo)),
)
spread.defvjp(
    lambda g, w, geo: (spread(g, w, geo), (g, w)),
    lambda geo, saved, x: (correlate(x, saved[1], geo), match(x, saved[0], geo)),
)
match.defvjp(
    lambda x, g, geo: (match(x, g, geo), (x, g)),
    lambda geo, saved, w: (spread(saved[1], w, geo), correlate(saved[0], w, geo)),
)
