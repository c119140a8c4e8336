"""Clipping of gradients, in place."""

from __future__ import annotations

import functools
import types
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torchlike as torch
from torchlike._tensor.tensor import Tensor
from torchlike.nn.modules._deprecated import deprecated

__all__ = ["clip_grad_norm", "clip_grad_norm_", "clip_grad_value_"]

_FOREACH_DEVICES = ("cpu", "cuda")


def _no_grad(func: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(func)
    def without_grad(*args: Any, **kwargs: Any) -> Any:
        with torch.no_grad():
            return func(*args, **kwargs)

    return without_grad


def _as_list(tensors: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _grads(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [grad for grad in (param.grad for param in _as_list(parameters)) if grad is not None]


def _check_foreach(tensors: list[Tensor], foreach: bool | None) -> None:
    """``foreach=True`` is accepted where native PyTorch accepts it; recorded operations are fused either way."""
    for tensor in tensors if foreach else ():
        if tensor.device.type not in _FOREACH_DEVICES:
            raise RuntimeError(
                f"foreach=True was passed, but can't use the foreach API on {tensor.device.type} tensors"
            )


@_no_grad
def _get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Norm of all elements of the tensors, as if they were one vector.

    Args:
        tensors: tensors, or one.
        norm_type: order of the norm, possibly ``inf``. Default: 2.
        error_if_nonfinite: raise when the norm is infinite or not a number. Default: ``False``.
        foreach: kept for compatibility.

    Returns a tensor without dimensions.
    """
    tensors = _as_list(tensors)
    norm_type = float(norm_type)
    if not tensors:
        return torch.tensor(0.0)
    _check_foreach(tensors, foreach)
    device = tensors[0].device
    norms = [torch.linalg.vector_norm(tensor, norm_type).to(device) for tensor in tensors]
    total_norm = torch.linalg.vector_norm(torch.stack(norms), norm_type)
    if error_if_nonfinite and torch.logical_or(total_norm.isnan(), total_norm.isinf()):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from "
            "`parameters` is non-finite, so it cannot be clipped. To disable "
            "this error and scale the gradients by the non-finite norm anyway, "
            "set `error_if_nonfinite=False`"
        )
    return total_norm


@_no_grad
def _clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale the gradients by ``max_norm / (total_norm + 1e-6)`` if that is less than 1.

    Args:
        parameters: tensors whose gradients are scaled, or one.
        max_norm: the norm not to be exceeded.
        total_norm: the gradients' norm, from `get_total_norm`.
        foreach: kept for compatibility.
    """
    grads = _grads(parameters)
    max_norm = float(max_norm)
    if not grads:
        return
    _check_foreach(grads, foreach)
    # Multiplying by 1 costs less than asking, which would wait for the norm.
    scale = torch.clamp(max_norm / (total_norm + 1e-6), max=1.0)
    for grad in grads:
        grad.mul_(scale.to(grad.device))


@_no_grad
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale the gradients, taken together as one vector, so that their norm is at most ``max_norm``.

    Args:
        parameters: tensors whose gradients are scaled, or one.
        max_norm: the norm not to be exceeded.
        norm_type: order of the norm, possibly ``inf``. Default: 2.
        error_if_nonfinite: raise when the norm is infinite or not a number. Default: ``False``.
        foreach: kept for compatibility.

    Returns the norm before clipping, a tensor without dimensions.

    Raises:
        RuntimeError: the norm is not finite, with ``error_if_nonfinite``.
    """
    is_generator = isinstance(parameters, types.GeneratorType)
    parameters = _as_list(parameters)
    if is_generator and not parameters:
        warnings.warn("`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=3)
    total_norm = _get_total_norm(_grads(parameters), norm_type, error_if_nonfinite, foreach)
    _clip_grads_with_norm_(parameters, max_norm, total_norm, foreach)
    return total_norm


@deprecated("`torch.nn.utils.clip_grad_norm` is now deprecated in favor of `torch.nn.utils.clip_grad_norm_`.")
def clip_grad_norm(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Old name of `clip_grad_norm_`."""
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


@_no_grad
def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Clamp each element of the gradients to ``[-clip_value, clip_value]``.

    Args:
        parameters: tensors whose gradients are clamped, or one.
        clip_value: the bound.
        foreach: kept for compatibility.
    """
    clip_value = float(clip_value)
    grads = _grads(parameters)
    _check_foreach(grads, foreach)
    for grad in grads:
        grad.clamp_(min=-clip_value, max=clip_value)
