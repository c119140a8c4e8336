"""Marks a class or function as deprecated: each use warns, and keeps working."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any


def deprecated(message: str) -> Callable[[Any], Any]:
    """Decorator that issues ``message`` as a `FutureWarning` on each call, or when the class is instantiated."""

    def decorate(target: Any) -> Any:
        if isinstance(target, type):
            make: Any = target.__new__

            def __new__(cls: Any, /, *args: Any, **kwargs: Any) -> Any:
                if cls is target:  # Subclasses are a matter of their author.
                    warnings.warn(message, category=FutureWarning, stacklevel=2)
                return make(cls) if make is object.__new__ else make(cls, *args, **kwargs)

            target.__new__ = staticmethod(__new__)  # type: ignore[method-assign]
            target.__deprecated__ = message
            return target

        @functools.wraps(target)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            warnings.warn(message, category=FutureWarning, stacklevel=2)
            return target(*args, **kwargs)

        wrapper.__deprecated__ = message  # type: ignore[attr-defined]
        return wrapper

    return decorate
