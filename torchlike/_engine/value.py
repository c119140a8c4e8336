"""Immutable arrays: what they are (``Spec``) and the cells that hold them now or will after a flush (``Value``)."""

from __future__ import annotations

import math
from threading import get_ident
from typing import Any

import numpy as np


class Spec:
    """Shape and NumPy dtype of an array. Interned: two equal specs are the same object, so identity compares them."""

    __slots__ = ("dtype", "nbytes", "ndim", "numel", "shape", "size", "strides", "torch_dtype")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype):
        self.shape = shape
        self.dtype = dtype
        self.ndim = len(shape)
        self.numel = math.prod(shape)
        self.nbytes = self.numel * dtype.itemsize
        self.size: Any = None  # the layers above keep their own form of the shape and dtype here
        self.strides: Any = None
        self.torch_dtype: Any = None

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{','.join(map(str, self.shape))}]"


_interned: dict[tuple[tuple[int, ...], np.dtype], Spec] = {}


def spec_of(shape: tuple[int, ...], dtype: np.dtype) -> Spec:
    """The one spec of this shape and dtype."""
    key = (shape, dtype)
    spec = _interned.get(key)
    if spec is None:
        shape = tuple(map(int, shape))
        spec = _interned[shape, dtype] = Spec(shape, dtype)
    return spec


class Value:
    """An immutable array: concrete (``array`` is a NumPy or JAX array) or pending (``array`` is None).

    ``epoch`` and ``slot`` are its place in the trace now being recorded, if it has one there.
    """

    __slots__ = ("array", "epoch", "slot", "spec")

    def __init__(self, array: Any, spec: Spec, epoch: Any = None, slot: int = -1):
        self.array = array
        self.spec = spec
        self.epoch = epoch
        self.slot = slot

    def __repr__(self) -> str:
        return f"<{'pending' if self.array is None else 'concrete'} {self.spec}>"


def concrete(array: Any) -> Value:
    """A value of an array that nobody will write to any more."""
    return Value(array, spec_of(array.shape, array.dtype))


def materialize(value: Value) -> Any:
    """The NumPy or JAX array of a value, running what it needs of its trace first where it is pending."""
    if value.array is None:
        trace = value.epoch.trace
        if trace is None:
            raise RuntimeError("a value was dropped from its trace before it was computed")
        if trace.thread == get_ident():
            trace.flush()
        else:
            trace.compute(value)
    return value.array


def host(value: Value) -> np.ndarray:
    """The NumPy array of a value (not to be written to); waits for whatever computes it."""
    array = value.array
    if array is None:
        array = materialize(value)
    return array if type(array) is np.ndarray else np.asarray(array)
