"""Saving a module's state to a dictionary and loading it back; the methods of `Module` lead here."""

from __future__ import annotations

import itertools
import sys
import warnings
from collections import OrderedDict, namedtuple
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torchlike as torch
from torchlike._tensor.tensor import Tensor
from torchlike.nn.parameter import Parameter, is_lazy

if TYPE_CHECKING:
    from .module import Module

_EXTRA_STATE_KEY_SUFFIX = "_extra_state"


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What `Module.load_state_dict` could not match, as two lists of keys."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


def future_flag(name: str) -> bool:
    """A switch of ``torch.__future__`` by its getter's name; off as long as nobody imported that module."""
    switches = sys.modules.get("torchlike.__future__")
    return switches is not None and getattr(switches, name)()


def save_own(module: Module, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
    """Write the module's own parameters, persistent buffers and extra state into ``destination``."""
    for name, param in module._parameters.items():
        if param is not None:
            destination[prefix + name] = param if keep_vars else param.detach()
    transient = module._non_persistent_buffers_set
    for name, buffer in module._buffers.items():
        if buffer is not None and name not in transient:
            destination[prefix + name] = buffer if keep_vars else buffer.detach()
    if _overrides(module, "get_extra_state"):
        destination[prefix + _EXTRA_STATE_KEY_SUFFIX] = module.get_extra_state()


def _overrides(module: Module, method: str) -> bool:
    from .module import Module

    return getattr(type(module), method) is not getattr(Module, method)


def save(module: Module, destination: Any, prefix: str, keep_vars: bool) -> dict[str, Any]:
    """Write the state of the module and its descendants, hooks included, and return the dictionary."""
    if destination is None:
        destination = OrderedDict()
        destination._metadata = OrderedDict()  # type: ignore[attr-defined]
    local_metadata = {"version": module._version}
    if hasattr(destination, "_metadata"):
        destination._metadata[prefix[:-1]] = local_metadata
    for hook in module._state_dict_pre_hooks.values():
        hook(module, prefix, keep_vars)
    module._save_to_state_dict(destination, prefix, keep_vars)
    for name, child in module._modules.items():
        if child is not None:
            child.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
    for hook in module._state_dict_hooks.values():
        replaced = hook(module, destination, prefix, local_metadata)
        if replaced is None:
            continue
        if getattr(hook, "_from_public_api", False):
            raise RuntimeError("state_dict post-hook must return None")
        destination = replaced
    return destination


def load_own(
    module: Module,
    state_dict: dict[str, Any],
    prefix: str,
    local_metadata: dict[str, Any],
    strict: bool,
    missing_keys: list[str],
    unexpected_keys: list[str],
    error_msgs: list[str],
) -> None:
    """Copy the entries of ``state_dict`` that belong to this module alone, noting what does not fit."""
    for hook in module._load_state_dict_pre_hooks.values():
        hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)

    transient = module._non_persistent_buffers_set
    buffers = ((name, buffer) for name, buffer in module._buffers.items() if name not in transient)
    own = {name: t for name, t in itertools.chain(module._parameters.items(), buffers) if t is not None}
    assign = local_metadata.get("assign_to_params_buffers", False)

    for name, current in own.items():
        key = prefix + name
        if key in state_dict:
            load_entry(module, name, current, key, state_dict[key], assign, error_msgs)
        elif strict:
            missing_keys.append(key)

    extra_key = prefix + _EXTRA_STATE_KEY_SUFFIX
    if _overrides(module, "set_extra_state"):
        if extra_key in state_dict:
            module.set_extra_state(state_dict[extra_key])
        elif strict:
            missing_keys.append(extra_key)
    elif strict and extra_key in state_dict:
        unexpected_keys.append(extra_key)

    if strict:
        for key in state_dict:
            if not key.startswith(prefix) or key == extra_key:
                continue
            first, *rest = key[len(prefix) :].split(".", 1)
            if first not in (module._modules if rest else own):
                unexpected_keys.append(key)


def load_entry(
    module: Module, name: str, current: Any, key: str, loaded: Any, assign: bool, error_msgs: list[str]
) -> None:
    """Load one parameter or buffer: copy into it, or put ``loaded`` in its place if ``assign``."""
    if not (isinstance(loaded, Tensor) or hasattr(loaded, "__torch_function__")):
        error_msgs.append(
            f'While copying the parameter named "{key}", '
            "expected torch.Tensor or Tensor-like object from checkpoint but "
            f"received {type(loaded)}"
        )
        return
    if not is_lazy(current):
        # Files of PyTorch 0.3 and older hold scalars as tensors of one element.
        if len(current.shape) == 0 and len(loaded.shape) == 1 and loaded.shape[0] == 1:
            loaded = loaded[0]
        if loaded.shape != current.shape:
            error_msgs.append(
                f"size mismatch for {key}: copying a param with shape {loaded.shape} from checkpoint, "
                f"the shape in current model is {current.shape}."
            )
            return
    if current.is_meta and not loaded.is_meta and not assign:
        warnings.warn(
            f"for {key}: copying from a non-meta parameter in the checkpoint to a meta "
            "parameter in the current model, which is a no-op. (Did you mean to "
            "pass `assign=True` to assign items in the state dictionary to their "
            "corresponding key in the module instead of copying them in place?)",
            stacklevel=5,
        )
    swap = future_flag("get_swap_module_params_on_conversion")
    try:
        with torch.no_grad():
            if swap:
                swap_in(current, loaded, assign)
            elif assign:
                setattr(module, name, as_parameter_like(current, loaded))
            else:
                current.copy_(loaded)
    except Exception as error:
        error_msgs.append(
            f'While {"swapping" if swap else "copying"} the parameter named "{key}", '
            f"whose dimensions in the model are {current.size()} and "
            f"whose dimensions in the checkpoint are {loaded.size()}, "
            f"an exception occurred : {error.args}."
        )


def as_parameter_like(current: Any, loaded: Any) -> Any:
    """``loaded`` as a parameter if ``current`` is one, with the same ``requires_grad``."""
    if not isinstance(current, Parameter):
        return loaded
    if not isinstance(loaded, Parameter):
        return Parameter(loaded, requires_grad=current.requires_grad)
    return loaded.requires_grad_(current.requires_grad)


def swap_in(current: Any, loaded: Any, assign: bool) -> None:
    """Exchange the whole tensors (``torch.__future__.set_swap_module_params_on_conversion``)."""
    incoming = current.module_load(loaded, assign=assign)
    if incoming is loaded or incoming is current:
        raise RuntimeError(
            "module_load returned one of self or other, please .detach() "
            "the result if returning one of the inputs in module_load"
        )
    torch.utils.swap_tensors(current, as_parameter_like(current, incoming))


def load(module: Module, state_dict: Mapping[str, Any], strict: bool, assign: bool) -> _IncompatibleKeys:
    """Load a state dictionary into the module and its descendants, and report the keys that do not match."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
    missing_keys: list[str] = []
    unexpected_keys: list[str] = []
    error_msgs: list[str] = []
    # A copy, since hooks and overrides of _load_from_state_dict may change it.
    metadata = getattr(state_dict, "_metadata", None)
    state_dict = OrderedDict(state_dict)
    if metadata is not None:
        state_dict._metadata = metadata  # type: ignore[attr-defined]

    def visit(module: Module, state: dict[str, Any], prefix: str) -> None:
        local_metadata = {} if metadata is None else metadata.get(prefix[:-1], {})
        if assign:
            local_metadata["assign_to_params_buffers"] = assign
        module._load_from_state_dict(state, prefix, local_metadata, True, missing_keys, unexpected_keys, error_msgs)
        for name, child in module._modules.items():
            if child is not None:
                child_prefix = f"{prefix}{name}."
                child_state = {key: value for key, value in state.items() if key.startswith(child_prefix)}
                visit(child, child_state, child_prefix)
        incompatible = _IncompatibleKeys(missing_keys, unexpected_keys)
        for hook in module._load_state_dict_post_hooks.values():
            if hook(module, incompatible) is not None:
                raise AssertionError(
                    "Hooks registered with ``register_load_state_dict_post_hook`` are not "
                    "expected to return new values, if incompatible_keys need to be modified, "
                    "it should be done inplace."
                )

    visit(module, state_dict, "")
    if strict:
        if unexpected_keys:
            error_msgs.insert(0, f"Unexpected key(s) in state_dict: {_quoted(unexpected_keys)}. ")
        if missing_keys:
            error_msgs.insert(0, f"Missing key(s) in state_dict: {_quoted(missing_keys)}. ")
    if error_msgs:
        raise RuntimeError(f"Error(s) in loading state_dict for {type(module).__name__}:\n\t" + "\n\t".join(error_msgs))
    return _IncompatibleKeys(missing_keys, unexpected_keys)


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys)
