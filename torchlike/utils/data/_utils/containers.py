"""New contents in a container of the same kind as another: what collating, converting and pinning have in common."""

from __future__ import annotations

import copy
from collections.abc import MutableMapping, MutableSequence
from typing import Any


def like_mapping(original: Any, contents: dict) -> Any:
    """``contents`` as a mapping of the type of ``original``, with its other attributes where it can be copied.

    A type that neither copies nor takes a mapping gives the plain dict.
    """
    if type(original) is dict:
        return contents
    try:
        if not isinstance(original, MutableMapping):
            return type(original)(contents)
        clone = copy.copy(original)
        clone.update(contents)
        return clone
    except TypeError:
        return contents


def like_sequence(original: Any, contents: list) -> Any:
    """``contents`` as a sequence of the type of ``original``, with its other attributes where it can be copied.

    A type that neither copies, assigns items nor takes an iterable (``range``) gives the plain list.
    """
    if type(original) is list:
        return contents
    try:
        if not isinstance(original, MutableSequence):
            return type(original)(contents)
        clone = copy.copy(original)
        for i, item in enumerate(contents):
            clone[i] = item
        return clone
    except TypeError:
        return contents


def is_namedtuple(value: Any) -> bool:
    """Whether ``value`` is a tuple whose type takes its fields as separate arguments."""
    return isinstance(value, tuple) and hasattr(value, "_fields")
