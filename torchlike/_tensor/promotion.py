"""Type promotion: the dtype that an operation on several dtypes computes in.

Types are ordered by category (bool, integers, floating point, complex) and by width within one. Operands come in three
priorities, and one of lower priority matters only if it is of a higher category than all of higher priority: tensors
with dimensions, then 0-dim tensors, then Python numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from torchlike._tensor import dtypes
from torchlike._tensor.dtypes import dtype
from torchlike._tensor.type_names import type_name

#: The priorities of operands.
NUMBER: Final = 0
ZERO_DIM: Final = 1
DIMENSIONED: Final = 2

#: What torch's C++ calls each type; its messages do.
SCALAR_TYPE_NAMES: dict[dtype, str] = {
    dtypes.float64: "Double", dtypes.float32: "Float", dtypes.float16: "Half", dtypes.bfloat16: "BFloat16",
    dtypes.complex128: "ComplexDouble", dtypes.complex64: "ComplexFloat",
    dtypes.int64: "Long", dtypes.int32: "Int", dtypes.int16: "Short", dtypes.int8: "Char", dtypes.uint8: "Byte",
    dtypes.uint16: "UInt16", dtypes.uint32: "UInt32", dtypes.uint64: "UInt64", dtypes.bool_: "Bool",
    **{d: d.name.capitalize() for d in dtypes.ALL if d.name.startswith("float8")},
}  # fmt: skip

_BAREBONES_UNSIGNED = (dtypes.uint16, dtypes.uint32, dtypes.uint64)


def _category(d: dtype) -> int:
    """0 for bool, 1 for integers, 2 for floating point, 3 for complex."""
    return 3 if d.is_complex else 2 if d.is_floating_point else 0 if d is dtypes.bool_ else 1


_CATEGORIES = {d: _category(d) for d in dtypes.ALL}


def promote(a: dtype, b: dtype) -> dtype:
    """The smallest type that holds both types' values by category and width; RuntimeError where torch has none."""
    try:
        return _PROMOTED[a, b]
    except KeyError:
        float8 = a.name.startswith("float8") or b.name.startswith("float8")
        kinds = "Float8 Types" if float8 else "uint16, uint32, uint64 types"
        names = f"{SCALAR_TYPE_NAMES[a]} and {SCALAR_TYPE_NAMES[b]}"
        raise RuntimeError(f"Promotion for {kinds} is not supported, attempted to promote {names}") from None


def _table() -> dict[tuple[dtype, dtype], dtype]:
    ordinary = [d for d in dtypes.ALL if not d.name.startswith("float8")]
    table = {(d, d): d for d in dtypes.ALL}
    for a in ordinary:
        for b in ordinary:
            if a is not b and _CATEGORIES[a] <= _CATEGORIES[b]:
                joined = _join(a, b)
                if joined is not None:
                    table[a, b] = table[b, a] = joined
    return table


def _join(low: dtype, high: dtype) -> dtype | None:
    """The promotion of two different types, ``high`` of the same category or a higher one; None where there is none."""
    if low in _BAREBONES_UNSIGNED or high in _BAREBONES_UNSIGNED:
        return high if high.is_floating_point else None
    if _CATEGORIES[high] > _CATEGORIES[low]:
        if high.is_complex and low.is_floating_point:
            return max(high, low.to_complex(), key=lambda d: d.itemsize)
        return high
    if {low, high} == {dtypes.float16, dtypes.bfloat16}:
        return dtypes.float32
    if low.itemsize == high.itemsize:  # uint8 and int8
        return dtypes.int16
    return max(low, high, key=lambda d: d.itemsize)


_PROMOTED = _table()


def result_type_of(operands: Iterable[tuple[dtype, int]]) -> dtype:
    """The type that an operation on ``operands`` computes in.

    Each operand is its dtype and its priority: NUMBER, ZERO_DIM or DIMENSIONED. A number's dtype tells only its
    category: float numbers count as the default dtype, complex ones as its complex type.
    """
    tensor = scalar = number = None
    for d, priority in operands:
        if priority == DIMENSIONED:
            tensor = d if tensor is None or tensor is d else promote(tensor, d)
        elif priority == ZERO_DIM:
            scalar = d if scalar is None or scalar is d else promote(scalar, d)
        else:
            d = _of_number(d)
            number = d if number is None else promote(number, d)
    result = _combine(tensor, _combine(scalar, number))
    if result is None:
        raise RuntimeError("result type of no operands")
    return result


def _of_number(d: dtype) -> dtype:
    if d.is_complex:
        return dtypes.get_default_dtype().to_complex()
    return dtypes.get_default_dtype() if d.is_floating_point else d


def _combine(higher: dtype | None, lower: dtype | None) -> dtype | None:
    """The type of operands of a higher and a lower priority: the higher's, raised to the lower's category."""
    if higher is None or lower is None:
        return lower if higher is None else higher
    if higher.is_complex or (higher.is_floating_point and not lower.is_complex):
        return higher
    if higher.is_floating_point:
        if higher.name.startswith("float8"):
            raise RuntimeError(f"Unknown Complex ScalarType for {SCALAR_TYPE_NAMES[higher]}")
        return higher.to_complex()
    if higher is dtypes.bool_ or lower.is_floating_point:
        return promote(higher, lower)
    return lower if lower.is_complex else higher


# torch's public functions.


def _check_dtype(function: str, argument: str, position: int, value: Any) -> dtype:
    if not isinstance(value, dtype):
        expected = f"argument '{argument}' (position {position}) must be torch.dtype"
        raise TypeError(f"{function}(): {expected}, not {type_name(value)}")
    return value


def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest dtype whose category and width are no less than those of either dtype.

    RuntimeError for two different types of which one is a float8 type, or of which one is uint16, uint32 or uint64 and
    the other is not of floating point.

    >>> promote_types(dtypes.int32, dtypes.float32)
    torch.float32
    """
    return promote(_check_dtype("promote_types", "type1", 1, type1), _check_dtype("promote_types", "type2", 2, type2))


def can_cast(from_: dtype, to: dtype) -> bool:
    """Whether the result of an operation in ``from_`` may be written to a tensor of type ``to``.

    It may, unless the cast would drop to a lower category: complex to real, floating point to integers, integers to
    bool. Neither width nor sign matters.

    >>> can_cast(dtypes.float64, dtypes.float32), can_cast(dtypes.float32, dtypes.int32)
    (True, False)
    """
    return castable(_check_dtype("can_cast", "from_", 1, from_), _check_dtype("can_cast", "to", 2, to))


def castable(source: dtype, target: dtype) -> bool:
    """``can_cast`` for arguments known to be dtypes."""
    return _CATEGORIES[source] <= _CATEGORIES[target]
