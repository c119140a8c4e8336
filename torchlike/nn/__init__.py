"""Neural networks: modules, their parameters, and the functions behind them."""

import importlib
from typing import Any

from torchlike.nn.parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter

from torchlike.nn.modules import *  # noqa: F403
from torchlike.nn import functional, init, modules, parameter, utils

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
