"""Neural networks: modules, their parameters, and the functions behind them."""

import importlib
import sys
from typing import Any

from torchlike.nn import functional, init, modules, parameter, utils
from torchlike.nn.modules import *
from torchlike.nn.parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter


def _name_as_torch() -> None:
    """Give the classes the module names by which programs print and files save them."""
    for name, module in list(sys.modules.items()):
        if name.startswith("torchlike.nn."):
            # What is split off the file of `Module` is known by its name.
            home = "torch.nn.modules.module" if name.endswith(("._hooks", "._state_dict")) else "torch" + name[9:]
            for value in vars(module).values():
                if isinstance(value, type) and value.__module__ == name:
                    value.__module__ = home


_name_as_torch()

# Imported when a program first names them.
_LAZY = {"DataParallel": "parallel", "attention": "attention", "grad": "grad", "parallel": "parallel"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'torch.nn' has no attribute '{name}'")
    module = importlib.import_module(f"torchlike.nn.{_LAZY[name]}")
    return module.DataParallel if name == "DataParallel" else module


def factory_kwargs(kwargs: dict[str, Any] | None) -> dict[str, Any]:
    """Check the keyword arguments ``device``, ``dtype`` and ``memory_format`` of a module's constructor.

    A nested ``factory_kwargs`` may hold them too.

    Raises:
        TypeError: another argument, or one that is given in both places.
    """
    if kwargs is None:
        return {}
    simple_keys = {"device", "dtype", "memory_format"}
    expected_keys = simple_keys | {"factory_kwargs"}
    if not kwargs.keys() <= expected_keys:
        raise TypeError(f"unexpected kwargs {kwargs.keys() - expected_keys}")
    collected = dict(kwargs.get("factory_kwargs", {}))
    for key in simple_keys & kwargs.keys():
        if key in collected:
            raise TypeError(f"{key} specified twice, in **kwargs and in factory_kwargs")
        collected[key] = kwargs[key]
    return collected
