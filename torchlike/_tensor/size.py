"""``torch.Size``: the shape of a tensor, a tuple of integers that stays a Size under slicing, ``+`` and ``*``."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np

from torchlike._tensor.type_names import type_name


def _dimension(value: Any, position: int) -> int:
    """``value``, an integer or an integer tensor of one element, as an int."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"torch.Size() takes an iterable of 'int' (item {position} is '{type_name(value)}')") from None


class Size(tuple):
    """``Size(iterable=())``: the sizes of a tensor's dimensions.

    Equal to, and hashed as, the plain tuple of the same integers.

    >>> Size([2, 3, 4])[1:].numel()
    12
    """

    __slots__ = ()

    def __new__(cls, *iterable: Iterable[Any]) -> Size:
        self = tuple.__new__(cls, *iterable)  # the tuple says what is wrong with more arguments than one
        for item in self:
            if type(item) is not int:
                return tuple.__new__(cls, [_dimension(item, i) for i, item in enumerate(self)])
        return self

    def __init_subclass__(cls, **_: Any) -> NoReturn:
        raise TypeError("type 'torch.Size' is not an acceptable base type")

    def numel(self) -> int:
        """The number of elements of a tensor of this size: the product of the dimensions, 1 for none."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"

    def __getitem__(self, item: Any) -> Any:
        picked = tuple.__getitem__(self, item)
        return tuple.__new__(Size, picked) if type(picked) is tuple else picked

    def __add__(self, other: Any) -> Size:
        if isinstance(other, tuple):
            return Size(tuple.__add__(self, other))
        if type(other).__module__ == "builtins":
            raise TypeError(f"can only concatenate tuple (not {type_name(other)}) to torch.Size")
        return NotImplemented  # a NumPy array adds element by element

    def __radd__(self, other: Any) -> Size:
        if isinstance(other, tuple):
            return Size(tuple.__add__(other, self))
        kind = type_name(other)
        if isinstance(other, (list, str)):
            raise TypeError(f'can only concatenate {kind} (not "torch.Size") to {kind}')
        raise TypeError(f"unsupported operand type(s) for +: '{kind}' and 'torch.Size'")

    def __mul__(self, count: Any) -> Size:
        if not hasattr(type(count), "__index__"):
            raise TypeError(f"can't multiply sequence by non-int of type '{type_name(count)}'")
        return tuple.__new__(Size, tuple.__mul__(self, count))

    __rmul__ = __mul__

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        # NumPy takes a class with a __mul__ of its own for a number: np.int64(2) * size would be the array of products.
        if ufunc is np.multiply and isinstance(inputs[0], np.integer):
            return self * inputs[0]
        return getattr(ufunc, method)(*(tuple(x) if type(x) is Size else x for x in inputs), **kwargs)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        self.__getattr__(name)

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"'torch.Size' object has no attribute '{name}'")

    def __reduce__(self) -> tuple[Any, ...]:
        return size, (tuple(self),)


def size(dimensions: tuple[int, ...]) -> Size:
    """A Size of integers known to be valid, without the checks of the constructor."""
    return tuple.__new__(Size, dimensions)


Size.__module__ = "torch"
