"""Modules without initialized parameters."""

from __future__ import annotations

import inspect
from typing import Any

import torchlike as torch


def skip_init(module_cls: Any, *args: Any, **kwargs: Any) -> Any:
    """Construct a module without spending time on the initialization of its parameters, which are undefined.

    Args:
        module_cls: a module class whose constructor takes ``device``.
        *args: for the constructor.
        **kwargs: for the constructor.

    Raises:
        RuntimeError: the class is no module class, or does not take ``device``.
    """
    if not issubclass(module_cls, torch.nn.Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    device = kwargs.pop("device", "cpu")
    return module_cls(*args, device="meta", **kwargs).to_empty(device=device)
