"""Stacking samples along a new first dimension, on NumPy, in one call of C for the whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from torchlike._tensor.storage import flat_array
from torchlike._tensor.tensor import Tensor, host_array, strides_of
from torchlike._tensor.views import contiguous_strides

from . import arena


def stack_arrays(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays of one shape and dtype along a new first axis, in memory that nothing else refers to."""
    shape = arrays[0].shape
    if not shape:
        return np.array(arrays)
    out = arena.empty((len(arrays), *shape), arrays[0].dtype)
    # Joined along the first axis, which is then split in two.
    np.concatenate(arrays, out=out.reshape(len(arrays) * shape[0], *shape[1:]))
    return out


def stack_tensors(tensors: Sequence[Any]) -> np.ndarray | None:
    """The contents of tensors along a new first axis; None where that is not a matter of copying memory alone.

    It is for plain tensors on the host of one shape and dtype, none of which records gradients.
    """
    spec, storage = tensors[0]._spec, tensors[0]._storage
    one_storage = True
    for tensor in tensors:
        if type(tensor) is not Tensor or tensor._spec is not spec or tensor.requires_grad:
            return None
        if tensor._storage is not storage:
            one_storage = False
            if tensor._storage.device.type != "cpu":
                return None
    if storage.device.type != "cpu":
        return None
    if one_storage and len(tensors) > 1:
        parts = _stack_parts(tensors)
        if parts is not None:
            return parts
    return stack_arrays([host_array(tensor) for tensor in tensors])


def _stack_parts(tensors: Sequence[Any]) -> np.ndarray | None:
    # Samples that are contiguous parts of one storage are gathered from it by their offsets: a NumPy array of each
    # would cost more than all the rest. None where they are anything else.
    spec, storage = tensors[0]._spec, tensors[0]._storage
    strides = contiguous_strides(spec.shape)
    size = spec.numel
    if size == 0:
        return None
    offsets = []
    for tensor in tensors:
        view = tensor._view
        if view is None or not view.dense or strides_of(tensor) != strides:
            return None
        offsets.append(view.offset)
    flat = flat_array(storage)
    places = np.array(offsets, np.intp)
    out = arena.empty((len(offsets), *spec.shape), spec.dtype)
    rows, rest = np.divmod(places, size)
    if len(flat) % size == 0 and not rest.any():
        flat.reshape(-1, size).take(rows, axis=0, out=out.reshape(-1, size), mode="wrap")
    else:
        windows = np.lib.stride_tricks.sliding_window_view(flat, size)
        out.reshape(-1, size)[...] = windows[places]
    return out
