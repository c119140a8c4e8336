"""Windows that move over the last dimensions of an array: how many there are, what is at each of their places."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax import lax

from torchlike._ops.bodies import constant


def out_size(n: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """How many windows fit into ``n`` elements with ``padding`` at both ends."""
    span = n + 2 * padding - dilation * (kernel - 1) - 1
    out = (span + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (out - 1) * stride >= n + padding:
        out -= 1  # the last window would lie in the padding altogether
    return out


class Windows:
    """Windows over the last dimensions: ``out`` of them, with ``kernel`` places each, ``stride`` apart.

    Each setting has one number for each dimension. ``padding`` is what is before the first element (or, negative, how many
    elements are left out); what is after the last one follows from the number of windows.
    """

    def __init__(self, inside, out, kernel, stride, padding, dilation):
        self.inside, self.out, self.kernel = tuple(inside), tuple(out), tuple(kernel)
        self.stride, self.padding, self.dilation = tuple(stride), tuple(padding), tuple(dilation)

    @classmethod
    def over(cls, shape: Sequence[int], kernel, stride, padding, dilation, ceil_mode: bool = False) -> Windows:
        """All windows that fit into an array of this shape with padding at both ends."""
        inside = shape[len(shape) - len(kernel) :]
        out = [
            out_size(n, k, s, p, d, ceil_mode)
            for n, k, s, p, d in zip(inside, kernel, stride, padding, dilation, strict=True)
        ]
        return cls(inside, out, kernel, stride, padding, dilation)

    def along(self, axis: int) -> Windows:
        """The windows of one dimension alone, where those before it have been dealt with."""
        inside = [*self.out[:axis], *self.inside[axis:]]
        ones, zeros = [1] * len(inside), [0] * len(inside)

        def only(values: Sequence[int], others: Sequence[int]) -> list[int]:
            return [*others[:axis], values[axis], *others[axis + 1 :]]

        return Windows(
            inside, only(self.out, inside), only(self.kernel, ones), only(self.stride, ones), only(self.padding, zeros),
            only(self.dilation, ones),
        )  # fmt: skip

    def reversed(self) -> Windows:
        """The windows that lead back, of the same kernel, where both strides and dilations are one."""
        padding = [k - 1 - p for k, p in zip(self.kernel, self.padding, strict=True)]
        return Windows(self.out, self.inside, self.kernel, self.stride, padding, self.dilation)

    def sizes(self) -> tuple:
        """All settings, dimension by dimension."""
        return self.inside, self.out, self.kernel, self.stride, self.padding, self.dilation

    @property
    def ends(self) -> list[tuple[int, int]]:
        """(before, after): the padding of each dimension, negative where elements are cut off."""
        return [(p, (o - 1) * s + d * (k - 1) + 1 - n - p) for n, o, k, s, p, d in zip(*self.sizes(), strict=True)]

    @property
    def places(self) -> list[tuple[int, ...]]:
        """The places of a window, in row-major order."""
        return list(itertools.product(*map(range, self.kernel)))

    @property
    def are_apart(self) -> bool:
        """Whether windows touch but do not overlap."""
        return self.kernel == self.stride and all(d == 1 for d in self.dilation)

    def padded(self, x: Any, fill: Any) -> Any:
        """The input with padding, cut off where no window reaches."""
        ends = self.ends
        if all(e == (0, 0) for e in ends):
            return x
        config = [(0, 0, 0)] * (x.ndim - len(ends)) + [(low, high, 0) for low, high in ends]
        return lax.pad(x, constant(x, fill), config)

    def taps(self, x: Any, fill: Any) -> list[Any]:
        """For each place of a window, a slice of the input, padded with ``fill``, with that place of all windows."""
        x = self.padded(x, fill)
        lead = x.ndim - len(self.kernel)
        slices = []
        for place in self.places:
            starts = [i * d for i, d in zip(place, self.dilation, strict=True)]
            stops = [b + (o - 1) * s + 1 for b, o, s in zip(starts, self.out, self.stride, strict=True)]
            limits, steps = [*x.shape[:lead], *stops], [1] * lead + list(self.stride)
            slices.append(lax.slice(x, [0] * lead + starts, limits, steps))
        return slices

    def scatter(self, taps: Sequence[Any], lead: Sequence[int]) -> Any:
        """The sum of what each place of each window sends back to the input it was taken from."""
        if self.are_apart:
            return self._interleaved(taps, lead)
        zero = constant(taps[0], 0)
        total = None
        for place, tap in zip(self.places, taps, strict=True):
            config = [(0, 0, 0)] * len(lead)
            for i, n, o, _, s, p, d in zip(place, *self.sizes(), strict=True):
                low = i * d - p
                config.append((low, n - low - (o - 1) * s - 1, s - 1))
            spread = lax.pad(tap, zero, config)
            total = spread if total is None else lax.add(total, spread)
        return total

    def _interleaved(self, taps: Sequence[Any], lead: Sequence[int]) -> Any:
        taps = list(taps)
        shape = [*lead, *self.out]
        for axis in range(len(self.kernel) - 1, -1, -1):
            k, at = self.kernel[axis], len(lead) + axis
            groups = [taps[i : i + k] for i in range(0, len(taps), k)]
            shape[at] *= k
            if k > 1:
                taps = [
                    lax.reshape(lax.concatenate([lax.expand_dims(t, (at + 1,)) for t in group], at + 1), shape)
                    for group in groups
                ]
        config = [(0, 0, 0)] * len(lead) + [
            (-p, n + p - o * k, 0) for n, o, k, _, p, _ in zip(*self.sizes(), strict=True)
        ]
        return taps[0] if all(c == (0, 0, 0) for c in config) else lax.pad(taps[0], constant(taps[0], 0), config)

    def positions(self) -> list[np.ndarray]:
        """For each place of a window, where in the flat input it is, for all windows."""
        grids = []
        for place in self.places:
            flat = np.zeros((), np.int64)
            for i, n, o, _, s, p, d in zip(place, *self.sizes(), strict=True):
                flat = flat[..., None] * n + (np.arange(o) * s - p + i * d)
            grids.append(flat)
        return grids

    def first_positions(self) -> np.ndarray:
        """Where the first place of each window is that is not padding."""
        flat = np.zeros((), np.int64)
        for n, o, _, s, p, d in zip(*self.sizes(), strict=True):
            start = np.arange(o) * s - p
            flat = flat[..., None] * n + np.where(start < 0, start + (-start + d - 1) // d * d, start)
        return flat

    def counts(self, include_pad: bool) -> np.ndarray:
        """How many elements the mean of each window is over; padding is the same at both ends."""
        total = np.ones((), np.int64)
        for n, o, k, s, p, _ in zip(*self.sizes(), strict=True):
            start = np.arange(o) * s - p
            stop = np.minimum(start + k, n + p)
            if not include_pad:
                start, stop = np.maximum(start, 0), np.minimum(stop, n)
            total = total[..., None] * (stop - start)
        return total
