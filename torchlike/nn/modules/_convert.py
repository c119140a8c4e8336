"""Moving a module to another device or element type; `Module.to` and its kin lead here."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torchlike as torch
from torchlike._tensor.device import device as Device
from torchlike._tensor.dtypes import dtype as DType
from torchlike._tensor.tensor import Tensor
from torchlike._tensor.type_names import type_name
from torchlike.nn.parameter import Parameter

from ._state_dict import future_flag

if TYPE_CHECKING:
    from .module import Module

TO_FORMS = (
    " * (torch.device device = None, torch.dtype dtype = None, bool non_blocking = False, bool copy = False, "
    "*, torch.memory_format memory_format = None)\n"
    " * (torch.dtype dtype, bool non_blocking = False, bool copy = False, "
    "*, torch.memory_format memory_format = None)\n"
    " * (Tensor tensor, bool non_blocking = False, bool copy = False, "
    "*, torch.memory_format memory_format = None)\n"
)
COMPLEX_MODULES = (
    "Complex modules are a new feature under active development whose design may change, "
    "and some modules might not work as expected when using complex tensors as parameters or buffers. "
    "Please file an issue at https://github.com/pytorch/pytorch/issues/new?template=bug-report.yml "
    "if a complex module does not work as expected."
)
META_TO_EMPTY = (
    " Please use torch.nn.Module.to_empty() instead of torch.nn.Module.to() when moving module from meta "
    "to a different device."
)


def _is_device(value: Any) -> bool:
    return value is None or isinstance(value, (Device, str)) or (isinstance(value, int) and not isinstance(value, bool))


def _is_dtype(value: Any) -> bool:
    # The builtin types stand for the torch types of the same name.
    return isinstance(value, DType) or (isinstance(value, type) and value in (float, int, bool, complex))


# The three forms of `to`: positional parameters with the test that each value must pass.
_FORMS: tuple[tuple[tuple[str, Callable[[Any], bool]], ...], ...] = tuple(
    (
        *first,
        ("non_blocking", lambda value: isinstance(value, bool)),
        ("copy", lambda value: isinstance(value, bool)),
    )
    for first in (
        (("device", _is_device), ("dtype", lambda value: value is None or _is_dtype(value))),
        (("dtype", _is_dtype),),
        # A number counts as a tensor that holds it.
        (("tensor", lambda value: isinstance(value, (Tensor, bool, float, complex))),),
    )
)


def _match(form: tuple, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any] | None:
    if len(args) > len(form):
        return None
    given = {name: value for (name, _), value in zip(form, args, strict=False)}
    if given.keys() & kwargs.keys():
        return None
    given.update(kwargs)
    tests = dict(form)
    for name, value in given.items():
        if name != "memory_format" and (name not in tests or not tests[name](value)):
            return None
    required = form[0][0]
    return given if required == "device" or required in given else None


def parse_to(*args: Any, **kwargs: Any) -> tuple[Any, Any, bool, Any]:
    """Arguments of ``to`` as (device, dtype, non_blocking, memory_format), ``None`` where nothing is asked.

    Raises:
        TypeError: the arguments fit none of the three forms of ``to``.
        RuntimeError: a copy is asked for.
    """
    for form in _FORMS:
        given = _match(form, args, kwargs)
        if given is not None:
            break
    else:
        got = [type_name(value) for value in args]
        if kwargs:
            named = ", ".join(f"{name}={type_name(value)}" for name, value in kwargs.items())
            got = [*got, named + ", "]
        raise TypeError(
            "to() received an invalid combination of arguments - got "
            f"({', '.join(got)}), but expected one of:\n{TO_FORMS}"
        )
    if given.get("copy", False):
        raise RuntimeError(".to() does not accept copy argument")
    device, dtype = given.get("device"), given.get("dtype")
    if "tensor" in given:
        like = given["tensor"]
        device, dtype = (like.device, like.dtype) if isinstance(like, Tensor) else (torch.device("cpu"), type(like))
    if device is not None:
        device = torch.device(device)
    if dtype is not None and not isinstance(dtype, DType):
        dtype = {float: torch.float64, int: torch.int64, bool: torch.bool, complex: torch.complex128}[dtype]
    return device, dtype, given.get("non_blocking", False), given.get("memory_format")


def converter(*args: Any, **kwargs: Any) -> Callable[[Any], Any]:
    """The function that `Module.to` applies to each parameter and buffer: only inexact ones change type."""
    device, dtype, non_blocking, memory_format = parse_to(*args, **kwargs)
    if dtype is not None:
        if not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
            )
        if dtype.is_complex:
            warnings.warn(COMPLEX_MODULES, stacklevel=3)

    def convert(tensor: Any) -> Any:
        target = dtype if tensor.is_floating_point() or tensor.is_complex() else None
        try:
            if memory_format is not None and tensor.dim() in (4, 5):
                return tensor.to(device, target, non_blocking, memory_format=memory_format)
            return tensor.to(device, target, non_blocking)
        except NotImplementedError as error:
            if str(error) != "Cannot copy out of meta tensor; no data!":
                raise
            raise NotImplementedError(str(error) + META_TO_EMPTY) from None

    return convert


def _can_take_over(tensor: Any, converted: Any) -> bool:
    """Whether ``tensor.data = converted`` is possible, which keeps the tensor's identity."""
    if tensor.is_meta != converted.is_meta or tensor.layout != converted.layout:
        return False
    return not future_flag("get_overwrite_module_params_on_conversion")


def apply_to_own(module: Module, fn: Callable[[Any], Any]) -> None:
    """Replace the module's own parameters, their gradients and its buffers by ``fn`` of them.

    Parameters stay the same objects where possible, so that optimizers and views keep hold of them.
    """
    swap = future_flag("get_swap_module_params_on_conversion")
    for name, param in module._parameters.items():
        if param is None:
            continue
        grad = param.grad
        with torch.no_grad():
            converted = fn(param)
        if swap:
            _swap_param(module, name, param, converted)
        elif converted is param:
            pass
        elif _can_take_over(param, converted):
            param.data = converted
        else:
            if not isinstance(param, Parameter):
                raise AssertionError("param must be a Parameter")
            if not param.is_leaf:
                raise AssertionError("param must be a leaf tensor")
            module._parameters[name] = param = Parameter(converted, param.requires_grad)
        if grad is not None:
            _convert_grad(module, name, param, grad, fn, swap)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = fn(buffer)


def _convert_grad(module: Module, name: str, param: Any, grad: Any, fn: Callable[[Any], Any], swap: bool) -> None:
    with torch.no_grad():
        converted = fn(grad)
    if swap:
        converted.requires_grad_(grad.requires_grad)
        try:
            torch.utils.swap_tensors(grad, converted)
        except Exception as error:
            raise RuntimeError(f"_apply(): Couldn't swap {module._get_name()}.{name}.grad") from error
        param.grad = grad
    elif converted is grad:
        param.grad = grad
    elif param.grad is grad and _can_take_over(grad, converted):
        grad.data = converted
    else:
        if not grad.is_leaf:
            raise AssertionError("param_grad must be a leaf tensor")
        param.grad = converted.requires_grad_(grad.requires_grad)


def _swap_param(module: Module, name: str, param: Any, converted: Any) -> None:
    grad = param.grad
    try:
        param.grad = None  # A gradient would hold on to the tensor's old self.
        torch.utils.swap_tensors(param, Parameter(converted, requires_grad=param.requires_grad))
    except Exception as error:
        param.grad = grad
        raise RuntimeError(f"_apply(): Couldn't swap {module._get_name()}.{name}") from error
