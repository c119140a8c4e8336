"""Storages: the mutable cells that tensors share."""

from __future__ import annotations

from sys import getrefcount
from typing import Any

import numpy as np

from torchlike._engine.value import Spec, Value, concrete, host


class Storage:
    """The value of a base array now, its device, counters of its writes, and a shared NumPy array, if any.

    ``writes`` counts every write; ``version`` those that the tape must know of (all but the ones through ``.data``).

    While a NumPy array outside shares the memory, ``host_array`` is the truth: reads copy from it when they are
    recorded and writes go through to it. When the last outside reference to that array dies, the storage is private
    again.
    """

    version: int = 0
    writes: int = 0
    host_array: np.ndarray | None = None
    #: The storage object that Python code was given, so that it keeps its identity.
    python: Any = None

    def __init__(self, value: Value, device: Any):
        self.value = value
        self.device = device

    def current(self) -> Value:
        """The value now; a copy where NumPy code may write to the memory at any time."""
        if self.host_array is None:
            return self.value
        if self._is_private_again():
            return self.value
        return concrete(self.host_array.copy())

    def _is_private_again(self) -> bool:
        array = self.host_array
        # The slot, the local variable, the argument: anything above that is somebody outside.
        if array is None or getrefcount(array) > 3 or array.base is not None:
            return False
        self.value = concrete(array)
        self.host_array = None
        return True

    def share(self) -> np.ndarray:
        """The NumPy array that shares this storage's memory from now on, in the base's shape."""
        if self.host_array is None:
            self.host_array = np.array(host(self.value), order="C")
        return self.host_array

    def memory(self) -> np.ndarray | None:
        """The base's memory to write into; None where it is not at hand.

        It is the storage's own if nothing else holds it, else a copy, which is the storage's from now on. So a loop
        that fills a large tensor row by row costs a row each time, not the whole.
        """
        if self.host_array is not None:
            return self.host_array
        value = self.value
        array = value.array
        if array is None or self.device.type != "cpu":
            return None
        if (
            type(array) is not np.ndarray
            or _references(value, array) != _SOLE
            or array.base is not None
            or not array.flags.writeable
            or not array.flags.c_contiguous
        ):
            array = np.array(array, order="C")
            self.value = Value(array, value.spec)
        return array

    def write(self, value: Value) -> None:
        """Replace the whole value."""
        if self.host_array is not None and not self._is_private_again():
            np.copyto(self.host_array, host(value))
        else:
            self.value = value
        self.writes += 1


def _references(value: Value, array: Any) -> tuple[int, int]:
    """How many references there are to a value and to its array."""
    return getrefcount(value), getrefcount(array)


def _references_of_sole_owner() -> tuple[int, int]:
    """What ``_references`` says to ``Storage.memory`` where only the storage holds the value."""
    storage = Storage(Value(np.zeros(1), Spec((1,), np.dtype(np.float64))), None)
    value = storage.value
    array = value.array
    return _references(value, array)


_SOLE = _references_of_sole_owner()


def flat_array(storage: Storage) -> np.ndarray:
    """The elements of a whole storage as a one-dimensional NumPy array (not to be written to)."""
    array = host(storage.value) if storage.host_array is None else storage.host_array
    return np.ascontiguousarray(array).reshape(-1)
