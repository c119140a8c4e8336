"""One batch shared out among the devices of one process."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Generic, TypeVar

import torchlike as torch
from torchlike.nn.modules.module import Module

from .parallel_apply import parallel_apply
from .replicate import replicate
from .scatter_gather import as_device, gather, scatter_kwargs

__all__ = ["DataParallel", "data_parallel"]

T = TypeVar("T", bound=Module)


def _number(device: Any) -> int:
    return device if isinstance(device, int) else torch.device(device).index or 0


def _all_numbers() -> list[int]:
    return list(range(torch.cuda.device_count()))


def _check_place(module: Module, device: Any) -> None:
    for tensor in chain(module.parameters(), module.buffers()):
        if tensor.device != device:
            raise RuntimeError(
                "module must have its parameters and buffers "
                f"on device {device} (device_ids[0]) but found one of "
                f"them on device: {tensor.device}"
            )


class DataParallel(Module, Generic[T]):
    """Splits each batch over the accelerators, runs a copy of the module on each, and gathers the outputs.

    Without an accelerator it calls the module as it is.

    Args:
        module: the module, on the first device.
        device_ids: devices, or their numbers. Default: all.
        output_device: where the outputs are gathered. Default: the first device.
        dim: the batch dimension. Default: 0.

    Attributes:
        module: the module.
    """

    def __init__(
        self, module: T, device_ids: Sequence[Any] | None = None, output_device: Any = None, dim: int = 0
    ) -> None:
        super().__init__()
        if not torch.cuda.is_available():
            self.module = module
            self.device_ids: list[int] = []
            return
        device_ids = _all_numbers() if device_ids is None else device_ids
        self.dim = dim
        self.module = module
        self.device_ids = [_number(device) for device in device_ids]
        self.output_device = _number(device_ids[0] if output_device is None else output_device)
        self.src_device_obj = as_device(self.device_ids[0])
        if len(self.device_ids) == 1:
            self.module.to(self.src_device_obj)

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """The module's output for the whole batch."""
        if not self.device_ids:
            return self.module(*inputs, **kwargs)
        _check_place(self.module, self.src_device_obj)
        parts, kwargs_parts = self.scatter(inputs, kwargs, self.device_ids)
        if not parts and not kwargs_parts:
            parts, kwargs_parts = ((),), ({},)
        if len(self.device_ids) == 1:
            return self.module(*parts[0], **kwargs_parts[0])
        replicas = self.replicate(self.module, self.device_ids[: len(parts)])
        return self.gather(self.parallel_apply(replicas, parts, kwargs_parts), self.output_device)

    def replicate(self, module: T, device_ids: Sequence[Any]) -> list[Any]:
        """Copies of the module on the devices."""
        return replicate(module, device_ids, not torch.is_grad_enabled())

    def scatter(self, inputs: tuple, kwargs: dict[str, Any] | None, device_ids: Sequence[Any]) -> Any:
        """Arguments split over the devices."""
        return scatter_kwargs(inputs, kwargs, device_ids, dim=self.dim)

    def parallel_apply(self, replicas: Sequence[Any], inputs: Sequence[Any], kwargs: Any) -> list[Any]:
        """Outputs of the copies."""
        return parallel_apply(replicas, inputs, kwargs, self.device_ids[: len(replicas)])

    def gather(self, outputs: Any, output_device: Any) -> Any:
        """Outputs put together."""
        return gather(outputs, output_device, dim=self.dim)


def data_parallel(
    module: Module,
    inputs: Any,
    device_ids: Sequence[Any] | None = None,
    output_device: Any = None,
    dim: int = 0,
    module_kwargs: dict[str, Any] | None = None,
) -> Any:
    """Call a module once in the way of `DataParallel`.

    Args:
        module: the module, on the first device.
        inputs: a tuple of arguments, or the only one.
        device_ids: devices, or their numbers. Default: all.
        output_device: where the outputs are gathered. Default: the first device.
        dim: the batch dimension. Default: 0.
        module_kwargs: keyword arguments.
    """
    if not isinstance(inputs, tuple):
        inputs = () if inputs is None else (inputs,)
    if not torch.cuda.is_available():
        raise RuntimeError("device type could not be determined")
    numbers = [_number(device) for device in (_all_numbers() if device_ids is None else device_ids)]
    output_device = numbers[0] if output_device is None else _number(output_device)
    _check_place(module, as_device(numbers[0]))
    parts, kwargs_parts = scatter_kwargs(inputs, module_kwargs, numbers, dim)
    if not parts and not kwargs_parts:
        parts, kwargs_parts = ((),), ({},)
    if len(numbers) == 1:
        return module(*parts[0], **kwargs_parts[0])
    replicas = replicate(module, numbers[: len(parts)])
    return gather(parallel_apply(replicas, parts, kwargs_parts, numbers[: len(parts)]), output_device, dim)
