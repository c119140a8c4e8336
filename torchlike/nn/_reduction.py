"""The names of loss reductions, and the ``size_average``/``reduce`` flags they replaced."""

from __future__ import annotations

import warnings

_CODES = {"none": 0, "mean": 1, "sum": 2}


def get_enum(reduction: str) -> int:
    """Number of a reduction: 0 for ``"none"``, 1 for ``"mean"``, 2 for ``"sum"``.

    Raises:
        ValueError: any other name.
    """
    if reduction == "elementwise_mean":
        warnings.warn("reduction='elementwise_mean' is deprecated. Please use reduction='mean' instead.", stacklevel=2)
        return 1
    code = _CODES.get(reduction)
    if code is None:
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return code


def legacy_get_string(size_average: bool | None, reduce: bool | None, emit_warning: bool = True) -> str:
    """Reduction named by the two old flags; a flag left at ``None`` counts as true.

    >>> legacy_get_string(False, None, emit_warning=False)
    'sum'
    """
    averaged = size_average is None or size_average
    reduced = reduce is None or reduce
    reduction = ("mean" if averaged else "sum") if reduced else "none"
    if emit_warning:
        message = f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead."
        warnings.warn(message, stacklevel=2)
    return reduction


def legacy_get_enum(size_average: bool | None, reduce: bool | None, emit_warning: bool = True) -> int:
    """Number of the reduction named by the two old flags (see `get_enum`)."""
    return get_enum(legacy_get_string(size_average, reduce, emit_warning))
