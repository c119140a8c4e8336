"""Utilities: data loading, checkpointing, hooks and more, each in a module that is loaded when first used."""

from __future__ import annotations

import copyreg
import importlib
import weakref
from types import ModuleType
from typing import Any

__all__ = ["set_module", "swap_tensors"]

POISONED = (
    "Trying to execute AccumulateGrad node that was poisoned by swap_tensors "
    "this can happen when you try to run backward on a tensor that was swapped. "
    "For a module m with `torch.__future__.set_swap_module_params_on_conversion(True)` "
    "you should not change the device or dtype of the module (e.g. `m.cpu()` or `m.half()`) "
    "between running forward and backward. To resolve this, please only change the "
    "device/dtype before running forward (or after both forward and backward)."
)


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
        _retire_accumulator(tensor)
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


def _retire_accumulator(tensor: Any) -> None:
    # A graph that was recorded before would add its gradient to what is another tensor now.
    reference = tensor.__dict__.pop("_accumulator", None)
    node = reference() if reference is not None else None
    if node is not None:
        node.register_prehook(_refuse)


def _refuse(grad_outputs: Any) -> None:
    raise RuntimeError(POISONED)
