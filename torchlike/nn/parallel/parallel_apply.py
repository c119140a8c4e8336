"""Calling several modules, each on its device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torchlike._tensor.tensor import Tensor
from torchlike._utils import ExceptionWrapper
from torchlike.nn.modules.module import Module

__all__ = ["get_a_var", "parallel_apply"]


def get_a_var(obj: Any) -> Tensor | None:
    """The first tensor in nested tuples, lists and dictionaries."""
    if isinstance(obj, Tensor):
        return obj
    items = obj if isinstance(obj, (list, tuple)) else obj.items() if isinstance(obj, dict) else ()
    return next((found for found in map(get_a_var, items) if found is not None), None)


def parallel_apply(
    modules: Sequence[Module],
    inputs: Sequence[Any],
    kwargs_tup: Sequence[dict[str, Any]] | None = None,
    devices: Sequence[Any] | None = None,
) -> list[Any]:
    """Call each module with its input.

    The calls follow each other, and run at the same time all the same: devices compute while the next call is issued.

    Args:
        modules: the modules.
        inputs: a tuple of arguments, or the only one, for each.
        kwargs_tup: keyword arguments for each.
        devices: the modules' devices.
    """
    for what, given in (("inputs", inputs), ("kwargs_tup", kwargs_tup), ("devices", devices)):
        if given is not None and len(modules) != len(given):
            raise AssertionError(
                f"The number of modules {len(modules)} is not equal to the number of {what} {len(given)}"
            )
    outputs = []
    for i, (module, args) in enumerate(zip(modules, inputs, strict=True)):
        args = args if isinstance(args, (list, tuple)) else (args,)
        try:
            outputs.append(module(*args, **(kwargs_tup[i] if kwargs_tup else {})))
        except Exception:
            where = f"in replica {i}" + ("" if devices is None else f" on device {devices[i]}")
            ExceptionWrapper(where=where).reraise()
    return outputs
