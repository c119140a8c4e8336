"""The names that torch's error messages give to the types of arguments."""

from __future__ import annotations

from typing import Any

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class made by a class statement, which C knows by its bare name

#: Classes that are written in C in torch, and so are known there by their full names.
_QUALIFIED = {"device", "dtype", "Size"}


def type_name(value: Any) -> str:
    """The name of ``value``'s type as C code sees it: ``int``, ``numpy.ndarray``, ``Tensor``, ``torch.dtype``.

    >>> type_name(1.5)
    'float'
    """
    kind = type(value)
    if kind.__flags__ & _HEAP_TYPE:
        if kind.__name__ in _QUALIFIED and kind.__module__.partition(".")[0] in ("torch", "torchlike"):
            return f"torch.{kind.__name__}"
        return kind.__name__
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def argument_type(value: Any) -> str:
    """``type_name``, and for a list or tuple the types of its elements.

    >>> argument_type(["a", 1]), argument_type((1, "b"))
    ('list of [str, int]', 'tuple of (int, str)')
    """
    if isinstance(value, list) and value:
        return f"list of [{', '.join(map(type_name, value))}]"
    if isinstance(value, tuple) and value:
        return f"tuple of ({', '.join(map(type_name, value))}{',' if len(value) == 1 else ''})"
    return type_name(value)
