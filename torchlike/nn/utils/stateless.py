"""Calling a module with other parameters than its own.

The parameters are exchanged for the time of the call; ``torch.func.functional_call`` is the public way to this.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torchlike._tensor.tensor import Tensor
from torchlike.nn.modules._deprecated import deprecated
from torchlike.nn.modules.module import Module

__all__ = ["functional_call"]

_MISSING: Any = object()


def _named_tensors(module: Module) -> dict[str, Any]:
    return {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }


def _swap(module: Module, path: str, tensor: Any) -> Any:
    """Put ``tensor`` (or nothing) at a dotted path and return what was there (or nothing)."""
    prefix, _, name = path.rpartition(".")
    owner: Any = module
    for atom in prefix.split(".") if prefix else ():
        if not hasattr(owner, atom):
            raise AttributeError(f"{owner._get_name()} has no attribute `{atom}`")
        owner = getattr(owner, atom)
        if not isinstance(owner, Module):
            raise TypeError(f"submodule `{prefix}`: {owner} is not an instance of torch.nn.Module")
    if tensor is not _MISSING and tensor is not None and not isinstance(tensor, Tensor):
        raise TypeError(f"{tensor} is not an instance of torch.Tensor")
    members: dict[str, Any]
    for members in (owner._parameters, owner._buffers):
        if name in members:  # Past __setattr__, which would insist on a Parameter.
            before = members[name]
            if tensor is _MISSING:
                del members[name]
            else:
                members[name] = tensor
            return before
    before = getattr(owner, name, _MISSING)
    if not (before is _MISSING or before is None or isinstance(before, Tensor)):
        raise TypeError(f"attribute `{name}`: {before} is not an instance of torch.Tensor")
    if tensor is not _MISSING:
        setattr(owner, name, tensor)
    elif before is not _MISSING:
        delattr(owner, name)
    return before


def _swap_all(module: Module, tensors: dict[str, Any]) -> dict[str, Any]:
    """Put the tensors in place and return what was there; on an error, nothing has changed."""
    before: dict[str, Any] = {}
    try:
        for path, tensor in tensors.items():
            before[path] = _swap(module, path, tensor)
    except Exception:
        for path, tensor in before.items():
            _swap(module, path, tensor)
        raise
    return before


def _untie_named_tensors_map(module: Module, parameters_and_buffers: dict[str, Tensor]) -> dict[str, Tensor]:
    """The given tensors under all names that the module has for them: tied weights stay tied."""
    names_of: dict[int, list[str]] = {}
    for name, tensor in _named_tensors(module).items():
        names_of.setdefault(id(tensor), []).append(name)
    untied = dict(parameters_and_buffers)
    for names in names_of.values():
        given = [name for name in names if name in parameters_and_buffers]
        if len(names) < 2 or not given:
            continue
        if len({id(parameters_and_buffers[name]) for name in given}) != 1:
            raise ValueError(
                f"functional_call got multiple values for keys {sorted(names)}, "
                "which are tied. Consider using tie_weights=False"
            )
        for name in names:
            untied[name] = parameters_and_buffers[given[0]]
    return untied


def _check_keys(module: Module, given: dict[str, Tensor]) -> None:
    valid = _named_tensors(module).keys()
    messages = []
    for what, keys in (("Unexpected", given.keys() - valid), ("Missing", valid - given.keys())):
        if keys:
            messages.append(f"{what} key(s): {', '.join(map(repr, sorted(keys)))}.")
    if messages:
        raise RuntimeError(f"Error(s) in reparametrizing for {module._get_name()}:\n\t" + "\n\t".join(messages))


@contextmanager
def _reparametrize_module(
    module: Module,
    parameters_and_buffers: dict[str, Tensor],
    tie_weights: bool = False,
    strict: bool = False,
    stack_weights: bool = False,
) -> Iterator[None]:
    """Exchange tensors of the module as long as the context lasts.

    What the module assigned to them meanwhile is found in ``parameters_and_buffers`` afterwards.
    """
    tensors = parameters_and_buffers
    if tie_weights:
        tensors = _untie_named_tensors_map(module, parameters_and_buffers)
    if strict:
        _check_keys(module, tensors)
    before = _swap_all(module, tensors)
    try:
        yield
    finally:
        if stack_weights:  # Tied names must be put back in the opposite order.
            before = dict(reversed(before.items()))
        after = _swap_all(module, before)
        parameters_and_buffers.update({name: after[name] for name in parameters_and_buffers if name in after})


def _functional_call(
    module: Module,
    parameters_and_buffers: dict[str, Tensor],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    import torchlike as torch

    if isinstance(module, torch.nn.DataParallel):
        raise RuntimeError("The stateless API can't be used with nn.DataParallel module")
    if not isinstance(args, tuple):
        args = () if args is None else (args,)
    with _reparametrize_module(module, parameters_and_buffers, tie_weights=tie_weights, strict=strict):
        return module(*args, **(kwargs or {}))


@deprecated(
    "`torch.nn.utils.stateless.functional_call` is deprecated as of PyTorch 2.0 "
    "and will be removed in a future version of PyTorch. "
    "Please use `torch.func.functional_call` instead which is a drop-in replacement."
)
def functional_call(
    module: Module,
    parameters_and_buffers: dict[str, Tensor],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call a module with other parameters and buffers than its own.

    Args:
        module: the module.
        parameters_and_buffers: tensors by dotted name; those not given stay the module's own.
        args: a tuple of positional arguments, or the only one.
        kwargs: keyword arguments.
        tie_weights: give a tensor that the module has under several names its new value under all. Default: ``True``.
        strict: raise when a name is missing or unknown. Default: ``False``.

    Returns what the module returns.
    """
    return _functional_call(module, parameters_and_buffers, args, kwargs, tie_weights=tie_weights, strict=strict)
