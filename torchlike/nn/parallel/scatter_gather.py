"""Nested data split over devices, and put together again."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torchlike as torch
from torchlike._tensor.tensor import Tensor

__all__ = ["gather", "scatter", "scatter_kwargs"]


def as_device(device: Any) -> Any:
    """A device given as such or by its number; -1 is the CPU."""
    if isinstance(device, int):
        return torch.device("cpu") if device == -1 else torch.device("cuda", device)
    return torch.device(device)


def _is_namedtuple(obj: Any) -> bool:
    return isinstance(obj, tuple) and hasattr(obj, "_asdict") and hasattr(obj, "_fields")


def scatter(inputs: Any, target_gpus: Sequence[Any], dim: int = 0) -> Any:
    """Split the tensors in ``inputs`` into as many chunks as there are devices, and repeat everything else.

    Args:
        inputs: a tensor, or nested tuples, lists and dictionaries.
        target_gpus: devices, or their numbers.
        dim: the dimension to split. Default: 0.

    Returns one structure like ``inputs`` for each device (fewer, if a dimension is too short).
    """
    if isinstance(inputs, Tensor):
        chunks = inputs.chunk(len(target_gpus), dim)
        return tuple(chunk.to(as_device(device)) for chunk, device in zip(chunks, target_gpus, strict=False))
    if isinstance(inputs, (tuple, list)) and len(inputs) > 0:
        parts = zip(*(scatter(item, target_gpus, dim) for item in inputs), strict=False)
        if _is_namedtuple(inputs):
            return [type(inputs)(*part) for part in parts]
        return [list(part) if isinstance(inputs, list) else part for part in parts]
    if isinstance(inputs, dict) and len(inputs) > 0:
        parts = zip(*(scatter(item, target_gpus, dim) for item in inputs.items()), strict=False)
        return [type(inputs)(part) for part in parts]
    return [inputs for _ in target_gpus]


def scatter_kwargs(
    inputs: tuple, kwargs: dict[str, Any] | None, target_gpus: Sequence[Any], dim: int = 0
) -> tuple[tuple, tuple]:
    """Arguments and keyword arguments of a call, split over devices (see `scatter`)."""
    args_parts = list(scatter(inputs, target_gpus, dim)) if inputs else []
    kwargs_parts = list(scatter(kwargs, target_gpus, dim)) if kwargs else []
    missing = len(kwargs_parts) - len(args_parts)
    args_parts += [()] * missing
    kwargs_parts += [{} for _ in range(-missing)]
    return tuple(args_parts), tuple(kwargs_parts)


def gather(outputs: Any, target_device: Any, dim: int = 0) -> Any:
    """Concatenate the tensors of structures of one kind on one device.

    Args:
        outputs: one tensor, or nested tuples, lists and dictionaries, for each replica.
        target_device: a device, or its number; -1 for the CPU.
        dim: the dimension to concatenate. Default: 0.

    Raises:
        ValueError: dictionaries differ in length.
    """
    first = outputs[0]
    if isinstance(first, Tensor):
        if all(output.dim() == 0 for output in outputs) and dim == 0:
            warnings.warn(
                "Was asked to gather along dimension 0, but all "
                "input tensors were scalars; will instead unsqueeze "
                "and return a vector.",
                stacklevel=2,
            )
            outputs = [output.unsqueeze(0) for output in outputs]
        device = as_device(target_device)
        return torch.cat([output.to(device) for output in outputs], dim)
    if first is None:
        return None
    if isinstance(first, dict):
        if any(len(output) != len(first) for output in outputs):
            raise ValueError("All dicts must have the same number of keys")
        return type(first)((key, gather([output[key] for output in outputs], target_device, dim)) for key in first)
    parts = (gather(part, target_device, dim) for part in zip(*outputs, strict=True))
    return type(first)._make(parts) if _is_namedtuple(first) else type(first)(parts)
