"""Dropout: elements or whole channels zeroed at random, the rest scaled up.

The mask is drawn when the function is called, from the default generator and in native PyTorch's order, and enters the
program as an input.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from torchlike._engine import draws
from torchlike._engine.value import concrete
from torchlike._ops.bodies import type_name_of
from torchlike._ops.op import composite
from torchlike._tensor.tensor import CPU, Tensor, wrap

_F = ("nn.functional",)

#: Minus the least value of SELU: ``lambda * alpha`` (arXiv:1706.02515).
_ALPHA = 1.7580993408473766


def _bernoulli(t: Tensor, shape: tuple[int, ...], p: float) -> Any:
    """Ones with probability ``p``, else zeros, as an array of the dtype of ``t`` on its device."""
    from torchlike import random

    place, dtype = t._storage.device, t._spec.dtype
    if place is CPU:
        return draws.bernoulli(random.cpu_stream(None), shape, dtype, p)
    import jax

    from torchlike._tensor.placement import put

    kept = jax.random.bernoulli(random.accelerator_generator(place.index or 0)._stream.key(), p, shape)
    return put(kept.astype(dtype), place)


def mask_of(t: Tensor, shape: tuple[int, ...], p: float) -> Tensor:
    """What dropout multiplies by: zero with probability ``p``, else ``1 / (1 - p)``."""
    place = t._storage.device
    if place is CPU:
        from torchlike import random

        return wrap(concrete(draws.dropout_mask(random.cpu_stream(None), shape, t._spec.dtype, p)))
    return wrap(concrete(_bernoulli(t, shape, 1 - p) / np.asarray(1 - p, t._spec.dtype)), place)


def _check(p: float, error: type[Exception] = ValueError) -> None:
    if not 0.0 <= p <= 1.0:
        shown = f"{p:g}" if error is RuntimeError else p
        raise error(f"dropout probability has to be between 0 and 1, but got {shown}")


def _zeroed(t: Tensor, inplace: bool) -> Tensor:
    zero = wrap(concrete(np.zeros((), t._spec.dtype)), t._storage.device)
    return t.mul_(zero) if inplace else t * zero


def _drop(t: Tensor, shape: tuple[int, ...], p: float, training: bool, inplace: bool) -> Tensor:
    """The tensor times a mask of ``shape``; itself outside of training."""
    if p == 0 or not training or not t._spec.numel:
        return t
    if p == 1:
        return _zeroed(t, inplace)
    if t._spec.dtype.kind in "biu":
        raise RuntimeError(f"result type Float can't be cast to the desired output type {type_name_of(t._spec)}")
    mask = mask_of(t, shape, p)
    return t.mul_(mask) if inplace else t * mask


def _of_channels(t: Tensor) -> tuple[int, ...]:
    """The shape of a mask with one element for each channel."""
    if t._spec.ndim < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    return (*t._spec.shape[:2], *(1,) * (t._spec.ndim - 2))


@composite(namespaces=_F)
def dropout(input, p=0.5, training=True, inplace=False):
    """In training, each element zeroed with probability ``p``, the others scaled by ``1 / (1 - p)``.

    ValueError for a probability outside of [0, 1]. See Hinton et al., arXiv:1207.0580.
    """
    _check(p)
    return _drop(input, input._spec.shape, p, training, inplace)


def _plain(name: str, function: Callable) -> None:
    """Declare ``torch.name(input, p, train)`` and ``torch.name_``."""

    def out_of_place(input, p, train):
        _check(p, RuntimeError)
        return function(input, p, train, False)

    def in_place(input, p, train):
        _check(p, RuntimeError)
        return function(input, p, train, True)

    for made, public in ((out_of_place, name), (in_place, name + "_")):
        made.__name__ = made.__qualname__ = public
        made.__doc__ = f"``torch.nn.functional.{name}`` with its arguments by position."
        composite(namespaces=("torch",))(made)


def _feature_dropout(input, p, training, inplace):
    if p == 0 or not training or not input._spec.numel:
        return input
    return _drop(input, _of_channels(input), p, training, inplace)


def _feature_alpha_dropout(input, p, training, inplace):
    if p == 0 or not training or not input._spec.numel:
        return input
    return _alpha_drop(input, _of_channels(input), p, training, inplace)


@composite(namespaces=_F)
def dropout1d(input, p=0.5, training=True, inplace=False):
    """In training, whole channels of (N, C, L) or (C, L) zeroed with probability ``p``, the others scaled."""
    _check(p)
    if input.dim() not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {input.dim()}D input. Note that dropout1d exists to provide "
            "channel-wise dropout on inputs with 1 spatial dimension, a channel dimension, and an optional batch dimension "
            "(i.e. 2D or 3D inputs)."
        )
    return _batched(input, 3, p, training, inplace)


def _batched(input, ndim, p, training, inplace):
    """Dropout of channels of an input that may want a batch dimension."""
    if input.dim() == ndim:
        return _feature_dropout(input, p, training, inplace)
    result = _feature_dropout(input.unsqueeze_(0) if inplace else input.unsqueeze(0), p, training, inplace)
    return result.squeeze_(0) if inplace else result.squeeze(0)


def _odd_rank(name: str, ndim: int, spatial: int, ranks: str) -> str:
    return (
        f"{name}: Received a {ndim}-D input to {name}, which is deprecated and will result in an error in a future release. "
        f"To retain the behavior and silence this warning, please use dropout instead. Note that {name} exists to provide "
        f"channel-wise dropout on inputs with {spatial} spatial dimensions, a channel dimension, and an optional batch "
        f"dimension (i.e. {ranks} inputs)."
    )


@composite(namespaces=_F)
def dropout2d(input, p=0.5, training=True, inplace=False):
    """In training, whole channels of (N, C, H, W) zeroed with probability ``p``, the others scaled.

    An input (N, C, L) is taken as such, with a warning. See Tompson et al., arXiv:1411.4280.
    """
    _check(p)
    if input.dim() not in (3, 4):
        warnings.warn(_odd_rank("dropout2d", input.dim(), 2, "3D or 4D"), stacklevel=2)
    if input.dim() == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout behavior is desired - "
            "input is interpreted as shape (N, C, L), where C is the channel dim. This behavior will change in a future "
            "release to interpret the input as one without a batch dimension, i.e. shape (C, H, W). To maintain the 1D "
            "channel-wise dropout behavior, please switch to using dropout1d instead.",
            stacklevel=2,
        )
    return _feature_dropout(input, p, training, inplace)


@composite(namespaces=_F)
def dropout3d(input, p=0.5, training=True, inplace=False):
    """In training, whole channels of (N, C, D, H, W) or (C, D, H, W) zeroed with probability ``p``, the others scaled."""
    _check(p)
    if input.dim() not in (4, 5):
        warnings.warn(_odd_rank("dropout3d", input.dim(), 3, "4D or 5D"), stacklevel=2)
    return _batched(input, 5, p, training, inplace)


def _alpha_drop(t: Tensor, shape: tuple[int, ...], p: float, training: bool, inplace: bool) -> Tensor:
    """Dropped elements take SELU's least value; then all are scaled and moved to keep mean and variance."""
    if p == 0 or not training or not t._spec.numel:
        return t
    if p == 1:
        return _zeroed(t, inplace)
    scale = 1.0 / math.sqrt((_ALPHA * _ALPHA * p + 1) * (1 - p))
    place = t._storage.device
    kept = _bernoulli(t, shape, 1 - p)
    dtype = t._spec.dtype
    shift = wrap(concrete((kept - dtype.type(1)) * dtype.type(_ALPHA * scale) + dtype.type(_ALPHA * scale * p)), place)
    noise = wrap(concrete(kept * dtype.type(scale)), place)
    return t.mul_(noise).add_(shift) if inplace else t * noise + shift


@composite(namespaces=_F)
def alpha_dropout(input, p=0.5, training=False, inplace=False):
    """Dropout that keeps mean and variance of what SELU makes (arXiv:1706.02515)."""
    _check(p)
    return _alpha_drop(input, input._spec.shape, p, training, inplace)


@composite(namespaces=_F)
def feature_alpha_dropout(input, p=0.5, training=False, inplace=False):
    """:func:`alpha_dropout` of whole channels of (N, C, ...)."""
    _check(p)
    return _feature_alpha_dropout(input, p, training, inplace)


_plain("dropout", lambda t, p, training, inplace: _drop(t, t._spec.shape, p, training, inplace))
_plain("feature_dropout", _feature_dropout)
_plain("alpha_dropout", lambda t, p, training, inplace: _alpha_drop(t, t._spec.shape, p, training, inplace))
_plain("feature_alpha_dropout", _feature_alpha_dropout)
