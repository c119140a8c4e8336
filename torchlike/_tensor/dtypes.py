"""The element types of tensors: ``torch.float32`` and its kin, each tied to the NumPy type that holds it."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np


class dtype:
    """An element type. ``itemsize`` is in bytes; ``np`` is the NumPy type of the same layout.

    Instances are singletons, compared by identity, and pickle by name.
    """

    __slots__ = ("__weakref__", "abbr", "is_complex", "is_floating_point", "is_signed", "itemsize", "name", "np")

    def __init__(self, name: str, numpy_type: Any, abbr: str):
        self.name = name
        self.np = np.dtype(numpy_type)
        self.abbr = abbr
        self.itemsize = self.np.itemsize
        self.is_complex = self.np.kind == "c"
        self.is_floating_point = self.np.kind == "f" or name.startswith(("bfloat", "float"))
        self.is_signed = self.is_complex or self.is_floating_point or self.np.kind == "i"

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _by_name, (self.name,)

    def to_complex(self) -> dtype:
        """The complex type whose parts have this type's precision."""
        if self.is_complex:
            return self
        return {"float16": complex64, "float64": complex128}.get(self.name, complex64)

    def to_real(self) -> dtype:
        """The real type of a complex type's parts; a real type itself."""
        return {complex64: float32, complex128: float64}.get(self, self)


dtype.__module__ = "torch"


def _by_name(name: str) -> dtype:
    return EXPORTS[name]


float64 = double = dtype("float64", np.float64, "f64")
float32 = dtype("float32", np.float32, "f32")
float16 = half = dtype("float16", np.float16, "f16")
bfloat16 = dtype("bfloat16", ml_dtypes.bfloat16, "bf16")
float8_e4m3fn = dtype("float8_e4m3fn", ml_dtypes.float8_e4m3fn, "f8e4m3fn")
float8_e5m2 = dtype("float8_e5m2", ml_dtypes.float8_e5m2, "f8e5m2")
float8_e4m3fnuz = dtype("float8_e4m3fnuz", ml_dtypes.float8_e4m3fnuz, "f8e4m3fnuz")
float8_e5m2fnuz = dtype("float8_e5m2fnuz", ml_dtypes.float8_e5m2fnuz, "f8e5m2fnuz")
float8_e8m0fnu = dtype("float8_e8m0fnu", ml_dtypes.float8_e8m0fnu, "f8e8m0fnu")
complex128 = cdouble = dtype("complex128", np.complex128, "c128")
complex64 = cfloat = dtype("complex64", np.complex64, "c64")
int64 = long = dtype("int64", np.int64, "i64")
int32 = dtype("int32", np.int32, "i32")
int16 = short = dtype("int16", np.int16, "i16")
int8 = dtype("int8", np.int8, "i8")
uint8 = dtype("uint8", np.uint8, "u8")
uint16 = dtype("uint16", np.uint16, "u16")
uint32 = dtype("uint32", np.uint32, "u32")
uint64 = dtype("uint64", np.uint64, "u64")
bool_ = dtype("bool", np.bool_, "b8")

ALL: tuple[dtype, ...] = (
    float64, float32, float16, bfloat16, complex128, complex64, int64, int32, int16, int8, uint8, uint16, uint32,
    uint64, bool_, float8_e4m3fn, float8_e5m2, float8_e4m3fnuz, float8_e5m2fnuz, float8_e8m0fnu,
)  # fmt: skip

BY_NUMPY: dict[np.dtype, dtype] = {d.np: d for d in ALL}

#: Names under which the torch module shows each type (``torch.float`` shadows a builtin, so it is made here).
EXPORTS: dict[str, dtype] = {
    **{d.name: d for d in ALL},
    "double": float64, "float": float32, "half": float16, "cdouble": complex128, "cfloat": complex64,
    "long": int64, "int": int32, "short": int16,
}  # fmt: skip


def from_numpy_dtype(numpy_type: Any) -> dtype:
    """The tensor type of a NumPy type; TypeError, in torch's words, where there is none."""
    try:
        return BY_NUMPY[np.dtype(numpy_type)]
    except (KeyError, TypeError):
        raise TypeError(
            f"can't convert np.ndarray of type {getattr(np.dtype(numpy_type), 'type', numpy_type).__module__}."
            f"{np.dtype(numpy_type).type.__name__}. The only supported types are: float64, float32, float16, complex64, "
            "complex128, int64, int32, int16, int8, uint64, uint32, uint16, uint8, and bool."
        ) from None


_default: dtype = float32


def get_default_dtype() -> dtype:
    """The type of floating-point tensors made without one."""
    return _default


def set_default_dtype(d: dtype, /) -> None:
    """Make ``d``, a floating-point type, the type of tensors made without one."""
    global _default
    if not isinstance(d, dtype):
        raise TypeError("invalid dtype object: only floating-point types are supported as the default type")
    if not d.is_floating_point:
        raise TypeError("only floating-point types are supported as the default type")
    _default = d


def of_number(value: Any) -> dtype:
    """The type a Python number takes as a tensor: bool, int64, the default type, or its complex type."""
    if isinstance(value, (bool, np.bool_)):
        return bool_
    if isinstance(value, (int, np.integer)):
        return int64
    if isinstance(value, (complex, np.complexfloating)):
        return _default.to_complex()
    return _default
