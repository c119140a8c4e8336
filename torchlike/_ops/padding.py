"""Padding: with a constant, with the edge, with the mirrored or the opposite side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax import lax

from torchlike._ops.bodies import constant
from torchlike._ops.convolution import listed
from torchlike._ops.op import composite, op
from torchlike._tensor.tensor import Tensor

_F = ("nn.functional",)


def _pairs(pad: Sequence[int]) -> list[tuple[int, int]]:
    """(low, high) for the last dimension, the one before it, ..."""
    return [(pad[i], pad[i + 1]) for i in range(0, len(pad), 2)]


@op(namespaces=("torch",), name="constant_pad_nd", node="ConstantPadNdBackward0")
def constant_pad_nd(input, pad, value=0):
    """The input with ``value`` around it; ``pad`` has two numbers for each dimension, the last dimension first."""
    if len(pad) % 2:
        raise RuntimeError(f"Length of pad must be even but instead it equals {len(pad)}")
    if len(pad) > 2 * input.ndim:
        raise RuntimeError(
            "Length of pad should be no more than twice the number of dimensions of the input. Pad length is "
            f"{len(pad)} while the input has {input.ndim} dimensions."
        )
    config = [(0, 0, 0)] * (input.ndim - len(pad) // 2) + [(low, high, 0) for low, high in reversed(_pairs(pad))]
    _check_result(input, config)
    if all(c == (0, 0, 0) for c in config):
        return input
    return lax.pad(input, constant(input, value), config)


def _check_result(x: Any, config: Sequence[tuple[int, int, int]]) -> None:
    for n, (low, high, _) in zip(x.shape, config, strict=True):
        if n + min(low, 0) + min(high, 0) < 0:
            raise RuntimeError("narrow(): length must be non-negative.")
        if n + low + high < 0:
            dim = len(config) - 1
            raise RuntimeError(
                f"The input size {n}, plus negative padding {low} and {high} resulted in a negative output size, which is "
                f"invalid. Check dimension {dim} of your input."
            )


def _edge(x: Any, axis: int, low: int, high: int, mode: str) -> Any:
    """One dimension padded with its own elements, or cut where the padding is negative."""
    n = x.shape[axis]
    cut = lambda start, stop: lax.slice_in_dim(x, start, stop, axis=axis)  # noqa: E731
    before: Any
    if mode == "replicate":
        wide = lambda part, k: lax.broadcast_in_dim(  # noqa: E731
            part, tuple(k if d == axis else s for d, s in enumerate(x.shape)), tuple(range(x.ndim))
        )
        before, after = lambda k: wide(cut(0, 1), k), lambda k: wide(cut(n - 1, n), k)
    elif mode == "reflect":
        before = lambda k: lax.rev(cut(1, k + 1), (axis,))  # noqa: E731
        after = lambda k: lax.rev(cut(n - 1 - k, n - 1), (axis,))  # noqa: E731
    else:
        before, after = lambda k: cut(n - k, n), lambda k: cut(0, k)
    parts = [before(low)] if low > 0 else []
    parts.append(cut(max(-low, 0), n - max(-high, 0)) if low < 0 or high < 0 else x)
    parts += [after(high)] if high > 0 else []
    return lax.concatenate(parts, axis) if len(parts) > 1 else parts[0]


def _node(pad, mode) -> str:
    if mode == "circular":
        return "CopySlices"
    kind = {"reflect": "Reflection", "replicate": "Replication"}[mode]
    return f"{kind}Pad{len(pad) // 2}DBackward0"


@op(namespaces=("_private",), name="_pad_with_itself", node=_node)
def _pad_with_itself(input, pad, mode):
    """The input padded with elements of its own."""
    n = len(pad) // 2
    if mode == "circular":
        _check_circular(input, pad)
    else:
        _check_edges(input, pad, mode)
    x = input
    if mode == "circular" and min(pad) < 0:
        # What is cut off is cut off first; what is left goes around.
        x = lax.pad(x, constant(x, 0), [(0, 0, 0)] * (x.ndim - n) + [
            (min(low, 0), min(high, 0), 0) for low, high in reversed(_pairs(pad))
        ])  # fmt: skip
        pad = [max(p, 0) for p in pad]
    for i, (low, high) in enumerate(_pairs(pad)):
        if low or high:
            x = _edge(x, x.ndim - 1 - i, low, high, mode)
    return x


def _check_circular(x: Any, pad: Sequence[int]) -> None:
    for i, (low, high) in enumerate(_pairs(pad)):
        n = x.shape[x.ndim - 1 - i]
        if low > n or high > n:
            raise RuntimeError("Padding value causes wrapping around more than once.")
        if n + low + high < 0:
            raise RuntimeError("Negative padding value is resulting in an empty dimension")


_RANKS = {1: "2D or 3D", 2: "3D or 4D", 3: "4D or 5D"}


def _check_edges(x: Any, pad: Sequence[int], mode: str) -> None:
    n = len(pad) // 2
    inside = x.shape[x.ndim - n :]
    batched = x.ndim == n + 2
    solid = x.shape[1:] if batched else x.shape
    if (mode == "replicate" and n < 3) or mode == "reflect":
        if 0 in solid and (mode == "reflect" or 0 in solid[1:] or (batched and 0 in solid)):
            raise RuntimeError(
                f"Expected {_RANKS[n]} (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, "
                f"but got: {listed(x.shape)}"
            )
    for i, (low, high) in enumerate(_pairs(pad)):
        axis = x.ndim - 1 - i
        size = x.shape[axis]
        if mode == "reflect" and (low >= size or high >= size):
            raise RuntimeError(
                f"Argument #{4 + 2 * i}: Padding size should be less than the corresponding input dimension, but got: padding "
                f"({low}, {high}) at dimension {axis} of input {listed(x.shape)}"
            )
        if size + low + high < 1:
            raise RuntimeError(
                _too_small(x, n, [s + a + b for s, (a, b) in zip(inside, _pairs(pad)[::-1], strict=True)])
            )


def _too_small(x: Any, n: int, out: Sequence[int]) -> str:
    inside = x.shape[x.ndim - n :]
    if n == 1:
        return f"input (W: {inside[0]}) is too small. Calculated output W: {out[0]}"
    if n == 2:
        return f"input (H: {inside[0]}, W: {inside[1]}) is too small. Calculated output H: {out[0]} W: {out[1]}"
    return (
        f"input (D: {inside[0]} H: {inside[1]}, W: {inside[2]}) is too small. Calculated output D: {out[0]} H: {out[1]} W: "
        f"{out[2]}"
    )


def _check_argument(pad: Any) -> None:
    if not isinstance(pad, (list, tuple)):
        raise TypeError(f"pad(): argument 'pad' (position 2) must be tuple of ints, not {type(pad).__name__}")
    for i, p in enumerate(pad):
        if not isinstance(p, (int, np.integer)):
            if isinstance(p, Tensor) and p._spec.numel == 1:
                continue
            if i == 0:
                raise TypeError(
                    f"pad(): argument 'pad' (position 2) must be tuple of ints, but found element of type {type(p).__name__} at "
                    "pos 0"
                )
            raise TypeError(
                f"pad(): argument 'pad' failed to unpack the object at pos {i + 1} with error \"type must be tuple of ints,but "
                f'got {type(p).__name__}"'
            )


@composite(namespaces=_F)
def pad(input, pad, mode="constant", value=None):
    """The input with more, or with negative numbers fewer, elements around it.

    ``pad`` is two numbers, before and after, for the last dimension, then for the one before it, and so on. ``mode`` is
    ``"constant"`` (``value``, zero by default), ``"reflect"``, ``"replicate"`` or ``"circular"``.
    """
    _check_argument(pad)
    pad = tuple(int(p) for p in pad)
    ndim = input._spec.ndim
    if len(pad) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(pad) > 2 * ndim:
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(pad)} and input of dimension {ndim}"
        )
    if mode == "constant":
        return constant_pad_nd(input, pad, 0 if value is None else value)
    if value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    n = len(pad) // 2
    if n in (1, 2, 3) and ndim in (n + 1, n + 2):
        if mode in ("reflect", "replicate", "circular"):
            return _pad_with_itself(input, pad, mode)
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    raise NotImplementedError(
        f"Padding size {len(pad)} is not supported for {ndim}D input tensor.\nSupported combinations for non-constant "
        "padding:\n  - 2D or 3D input: padding size = 2 (pads last dimension)\n  - 3D or 4D input: padding size = 4 (pads "
        "last 2 dimensions)\n  - 4D or 5D input: padding size = 6 (pads last 3 dimensions)"
    )
