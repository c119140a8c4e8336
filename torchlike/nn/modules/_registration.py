"""Helpers of `Module`: checks of what is registered, and pickling by name."""

from __future__ import annotations

import copyreg
import importlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torchlike as torch

if TYPE_CHECKING:
    from .module import Module


def check_name(module: Module, name: Any, kind: str, members: dict[str, Any]) -> None:
    """Raise unless ``name`` may become an entry of ``members``, the module's members of this kind."""
    if not isinstance(name, str):
        raise TypeError(f"{kind} name should be a string. Got {torch.typename(name)}")
    if "." in name:
        raise KeyError(f'{kind} name can\'t contain "."')
    if name == "":
        raise KeyError(f'{kind} name can\'t be empty string ""')
    if name not in members and hasattr(module, name):
        raise KeyError(f"attribute '{name}' already exists")


def through(module: Module, hooks: dict[int, Callable], name: str, value: Any) -> Any:
    """``value`` as the registration hooks leave it."""
    for hook in hooks.values():
        replaced = hook(module, name, value)
        if replaced is not None:
            value = replaced
    return value


def member(module: Module, name: str) -> Any:
    """The attribute ``name``, with the message that look-ups by dotted path give where it is missing."""
    if not hasattr(module, name):
        raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
    return getattr(module, name)


def forget(module: Module, name: str, *members: dict[str, Any]) -> None:
    """Take ``name`` out wherever it was, before it becomes a member of another kind."""
    for found in members:
        if name in found:
            del found[name]
    module._non_persistent_buffers_set.discard(name)


def is_importable(cls: type) -> bool:
    """Whether Python finds a class under the name it goes by; only layers, called after torch, may not be found."""
    if not cls.__module__.startswith("torch.nn."):
        return True
    return getattr(sys.modules.get(cls.__module__), cls.__qualname__, None) is cls


def own_name(cls: type) -> tuple[str, str]:
    """Module and name under which this package has a layer."""
    return "torchlike" + cls.__module__[len("torch") :], cls.__qualname__


def reduce_by_name(instance: Any, protocol: int, reduced: Any) -> Any:
    """What ``__reduce_ex__`` returns, such that plain pickles find the class.

    Layers go by torch's module names, under which Python finds them only where this package is installed as torch.
    Protocol 2 is that of torch's own files, which are written and read by these names.
    """
    cls = type(instance)
    if protocol > 2 and reduced[0] is copyreg.__newobj__ and not is_importable(cls):  # type: ignore[attr-defined]
        return new_by_name, own_name(cls), *reduced[2:]
    return reduced


def class_by_name(module: str, name: str) -> Any:
    """The class of this name."""
    return getattr(importlib.import_module(module), name)


def new_by_name(module: str, name: str) -> Any:
    """An instance without state, for pickles."""
    cls = class_by_name(module, name)
    return cls.__new__(cls)


def call_by_name(module: str, name: str, *args: Any) -> Any:
    """An instance made from arguments, for pickles."""
    return class_by_name(module, name)(*args)
