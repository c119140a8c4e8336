"""Utilities: data loading, checkpointing, hooks and more, each in a module that is loaded when first used."""

from __future__ import annotations

import copyreg
import importlib
import weakref
from types import ModuleType
from typing import Any

__all__ = ["set_module", "swap_tensors"]


def __getattr__(name: str) -> ModuleType:
    if not name.startswith("__"):
        full_name = f"{__name__}.{name}"
        try:
            return importlib.import_module(full_name)
        except ModuleNotFoundError as error:
            if error.name != full_name:
                raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def set_module(obj: Any, mod: str) -> None:
    """Let a function or class say that it comes from module ``mod``.

    Raises:
        TypeError: ``mod`` is no string.
    """
    if not isinstance(mod, str):
        raise TypeError("The mod argument should be a string")
    obj.__module__ = mod


def swap_tensors(t1: Any, t2: Any) -> None:
    """Exchange two tensors: all that refer to one then see the other's class, contents, gradient and attributes.

    Args:
        t1: a tensor.
        t2: another.

    Raises:
        RuntimeError: a weak reference to one of them exists, or their classes have different slots.

    >>> import torchlike as torch
    >>> a, b = torch.zeros(1), torch.ones(2)
    >>> swap_tensors(a, b)
    >>> a
    tensor([1., 1.])
    """
    for name, tensor in (("t1", t1), ("t2", t2)):
        if weakref.getweakrefs(tensor):
            raise RuntimeError(f"Cannot swap {name} because it has weakref associated with it")
    slots = set(_slots(t1))
    if slots != set(_slots(t2)):
        raise RuntimeError("Cannot swap t1 and t2 if they have different slots")
    for tensor in (t1, t2):
        tensor.__dict__.pop("_accumulator", None)  # a node of the graph that stands for this object, not its contents
    t1.__class__, t2.__class__ = t2.__class__, t1.__class__
    t1.__dict__, t2.__dict__ = t2.__dict__, t1.__dict__
    for slot in slots:
        _swap_slot(t1, t2, slot)


def _slots(tensor: Any) -> list[str]:
    return copyreg._slotnames(type(tensor))  # type: ignore[attr-defined]


def _swap_slot(a: Any, b: Any, slot: str) -> None:
    values = {id(target): getattr(source, slot) for source, target in ((a, b), (b, a)) if hasattr(source, slot)}
    for tensor in (a, b):
        if id(tensor) in values:
            setattr(tensor, slot, values[id(tensor)])
        elif hasattr(tensor, slot):
            delattr(tensor, slot)
