"""``torch.finfo`` and ``torch.iinfo``: the limits of floating-point and of integer types."""

from __future__ import annotations

from typing import Any, NoReturn

import ml_dtypes
import numpy as np

from torchlike._tensor import dtypes
from torchlike._tensor.dtypes import dtype as DType
from torchlike._tensor.type_names import type_name

_UNSET: Any = object()


class _Limits:
    """What finfo and iinfo share: read-only attributes and comparison by value."""

    __slots__ = ()

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        kind = f"torch.{type(self).__name__}"
        if hasattr(type(self), name):
            raise AttributeError(f"attribute '{name}' of '{kind}' objects is not writable")
        raise AttributeError(f"'{kind}' object has no attribute '{name}'")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # unhashable, as in torch


class finfo(_Limits):
    """``finfo(type=None)``: the limits of a floating-point type, by default of the default dtype.

    A complex type stands for the type of its parts.

    Attributes:
        bits (int): width of the type.
        eps (float): distance from 1 to the next larger number.
        max (float): the largest number.
        min (float): the smallest, that is most negative, number.
        tiny, smallest_normal (float): the smallest positive number of full precision.
        resolution (float): ``10 ** -digits``, ``digits`` the number of decimal digits that every number keeps.
        dtype (str): name of the type.

    >>> finfo(dtypes.float32).eps
    1.1920928955078125e-07
    """

    __slots__ = ("bits", "dtype", "eps", "max", "min", "resolution", "smallest_normal", "tiny")

    bits: int
    dtype: str
    eps: float
    max: float
    min: float
    resolution: float
    smallest_normal: float
    tiny: float

    def __init__(self, *args: Any, **kwargs: Any):
        described = dtypes.get_default_dtype() if not args and not kwargs else _only_argument("finfo", args, kwargs)
        if not (described.is_floating_point or described.is_complex):
            raise TypeError(
                "torch.finfo() requires a floating point input type. Use torch.iinfo to handle 'torch.finfo'"
            )
        real = described.to_real()
        limits = ml_dtypes.finfo(real.np)
        smallest_normal = float(limits.smallest_normal)
        values = {
            "bits": real.itemsize * 8,
            "dtype": real.name,
            "eps": _EPS.get(real.name, float(limits.eps)),
            "max": float(limits.max),
            "min": float(limits.min),
            "resolution": _RESOLUTIONS.get(real.name, 1.0),
            "smallest_normal": smallest_normal,
            "tiny": smallest_normal,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _finfo_by_name, (self.dtype,)


#: 10 ** -(decimal digits), the float types of 8 bits keeping none.
_RESOLUTIONS = {"float64": 1e-15, "float32": 1e-6, "float16": 1e-3, "bfloat16": 1e-2}


#: Where torch's value is not the distance from 1 to the next number (0.25 for this type).
_EPS = {"float8_e5m2fnuz": 0.125}


class iinfo(_Limits):
    """``iinfo(type)``: the limits of an integer type.

    Attributes:
        bits (int): width of the type.
        max (int): the largest number.
        min (int): the smallest number.
        dtype (str): name of the type.

    >>> iinfo(dtypes.int8)
    iinfo(min=-128, max=127, dtype=int8)
    """

    __slots__ = ("bits", "dtype", "max", "min")

    bits: int
    dtype: str
    max: int
    min: int

    def __init__(self, *args: Any, **kwargs: Any):
        described = _only_argument("iinfo", args, kwargs)
        if described.is_floating_point or described.is_complex:
            raise TypeError("torch.iinfo() requires an integer input type. Use torch.finfo to handle 'torch.iinfo'")
        if described is dtypes.bool_:
            raise TypeError("torch.bool is not supported by torch.iinfo")
        limits = np.iinfo(described.np)
        values = {
            "bits": described.itemsize * 8,
            "dtype": described.name,
            "max": int(limits.max),
            "min": int(limits.min),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"iinfo(min={float(self.min):g}, max={float(self.max):g}, dtype={self.dtype})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _iinfo_by_name, (self.dtype,)


def _finfo_by_name(name: str) -> finfo:
    return finfo(getattr(dtypes, name))


def _iinfo_by_name(name: str) -> iinfo:
    return iinfo(getattr(dtypes, name))


finfo.__module__ = iinfo.__module__ = "torch"


def _only_argument(function: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> DType:
    """The argument ``type``, a dtype, given by position or by name; TypeError, in torch's words, for anything else."""
    if len(args) + len(kwargs) > 1:
        raise TypeError(_too_many(function, args, kwargs))
    value = args[0] if args else kwargs.get("type", _UNSET)
    if value is _UNSET:
        raise TypeError(f'{function}() missing 1 required positional arguments: "type"')
    if not isinstance(value, DType):
        raise TypeError(f"{function}(): argument 'type' (position 1) must be torch.dtype, not {type_name(value)}")
    return value


def _too_many(function: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    if function == "finfo":  # has two forms, so torch lists them
        got = ", ".join([*map(type_name, args), *(f"{name}={type_name(value)}" for name, value in kwargs.items())])
        return (
            f"finfo() received an invalid combination of arguments - got ({got}{'' if args else ', '}), "
            "but expected one of:\n * (torch.dtype type)\n * ()\n"
        )
    if len(args) > 1:
        return f"iinfo() takes 1 positional argument but {len(args)} were given"
    unknown = next((name for name in kwargs if name != "type"), None)
    if unknown is not None:
        return f"iinfo() got an unexpected keyword argument '{unknown}'"
    return "iinfo() got multiple values for argument 'type'"
