"""`Module`, the base class of all neural network layers and models."""

from __future__ import annotations

import inspect
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

import torchlike as torch
from torchlike._tensor.tensor import Tensor
from torchlike.nn.parameter import Buffer, Parameter

from . import _convert, _hooks, _registration, _state_dict
from ._hooks import (
    HookedCall,
    _global_backward_hooks,
    _global_backward_pre_hooks,
    _global_buffer_registration_hooks,
    _global_forward_hooks,
    _global_forward_hooks_always_called,  # noqa: F401
    _global_forward_hooks_with_kwargs,  # noqa: F401
    _global_forward_pre_hooks,
    _global_module_registration_hooks,
    _global_parameter_registration_hooks,
    _has_any_global_hook,  # noqa: F401
    _WrappedHook,
    add_hook,
    register_module_backward_hook,
    register_module_buffer_registration_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from ._state_dict import _IncompatibleKeys

if TYPE_CHECKING:
    from torchlike.utils.hooks import RemovableHandle

__all__ = [
    "Module",
    "register_module_backward_hook",
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]

T = TypeVar("T", bound="Module")

POSITIONAL_STATE_DICT = (
    "Positional args are being deprecated, use kwargs instead. Refer to "
    "https://pytorch.org/docs/main/generated/torch.nn.Module.html#torch.nn.Module.state_dict"
    " for details."
)
UNREACHABLE = (
    "Reached a code path in Module.{}() that should never be called. "
    "Please file an issue at https://github.com/pytorch/pytorch/issues/new?template=bug-report.yml "
    "to report this bug."
)
REPLICA_ZERO_GRAD = (
    "Calling .zero_grad() from a module created with nn.DataParallel() has no effect. "
    "The parameters are copied (in a differentiable manner) from the original module. "
    "This means they are not leaf nodes in autograd and so don't accumulate gradients. "
    "If you need gradients in your forward method, consider using autograd.grad instead."
)
PUBLIC_HOOK_REUSED = (
    "Cannot register the same function as the state dict post hook that was "
    "previously registered via register_state_dict_post_hook"
)

# Attributes of the hooks, in the order in which a new module creates them; pickles of old modules may lack some.
_HOOK_REGISTRIES = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


def _addindent(s_: str, numSpaces: int) -> str:
    """``s_`` with every line but the first moved right; lines of spaces become empty."""
    first, *rest = s_.split("\n")
    return "\n".join([first, *(numSpaces * " " + line if line.strip() else "" for line in rest)])


def _forward_unimplemented(self: Module, *input: Any) -> None:
    """Compute the output of the module; every subclass defines it.

    Call the module itself rather than this method: that also runs the registered hooks.
    """
    raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')


def _set_buffer(module: Module, name: str, value: Any) -> None:
    if not (value is None or isinstance(value, Tensor) or hasattr(value, "__torch_function__")):
        raise TypeError(
            f"cannot assign '{torch.typename(value)}' as buffer '{name}' "
            "(torch.nn.Buffer, torch.Tensor or None expected)"
        )
    if isinstance(value, Buffer):
        persistent = value.persistent  # type: ignore[attr-defined]
    else:
        persistent = name not in module._non_persistent_buffers_set
    # A subclass may have overridden register_buffer without its third parameter.
    own = getattr(module.register_buffer, "__func__", None)
    if own is Module.register_buffer or "persistent" in inspect.signature(module.register_buffer).parameters:
        module.register_buffer(name, value, persistent)
    elif persistent:
        module.register_buffer(name, value)
    else:
        raise RuntimeError(
            "Registering a non-persistent buffer on a Module subclass that implements "
            "register_buffer() without the persistent argument is not allowed."
        )


class Module:
    """Base class of all neural network modules.

    A model subclasses it, assigns parameters and other modules as attributes in its constructor after calling
    ``super().__init__()``, and defines `forward`. What is assigned is registered, so that `parameters`, `to`,
    `state_dict` and the like reach the whole tree.

    Attributes:
        training: whether the module is in training mode (a bool), set by `train` and `eval`.

    >>> from torchlike import nn
    >>> class Model(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layer = nn.Linear(2, 1)
    ...     def forward(self, x):
    ...         return self.layer(x).relu()
    >>> Model()
    Model(
      (layer): Linear(in_features=2, out_features=1, bias=True)
    )
    """

    dump_patches: bool = False
    #: Saved in the metadata of state dictionaries; a class whose parameters change raises it, and
    #: its `_load_from_state_dict` reads the older layout.
    _version: int = 1
    #: Whether the constructor passes its arguments on to the next class (for multiple inheritance).
    call_super_init: bool = False
    _compiled_call_impl: Callable | None = None

    T_destination = TypeVar("T_destination", bound=dict[str, Any])

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _non_persistent_buffers_set: set[str]
    _modules: dict[str, Module | None]
    _backward_pre_hooks: dict[int, Callable]
    _backward_hooks: dict[int, Callable]
    _is_full_backward_hook: bool | None
    _forward_hooks: dict[int, Callable]
    _forward_hooks_with_kwargs: dict[int, bool]
    _forward_hooks_always_called: dict[int, bool]
    _forward_pre_hooks: dict[int, Callable]
    _forward_pre_hooks_with_kwargs: dict[int, bool]
    _state_dict_hooks: dict[int, Callable]
    _state_dict_pre_hooks: dict[int, Callable]
    _load_state_dict_pre_hooks: dict[int, Callable]
    _load_state_dict_post_hooks: dict[int, Callable]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if self.call_super_init is False:
            name = type(self).__name__
            if kwargs:
                raise TypeError(f"{name}.__init__() got an unexpected keyword argument '{next(iter(kwargs))}'")
            if args:
                raise TypeError(f"{name}.__init__() takes 1 positional argument but {len(args) + 1} were given")
        super().__setattr__("training", True)
        state = self.__dict__  # Past __setattr__, which looks for parameters and modules.
        state["_parameters"] = {}
        state["_buffers"] = {}
        state["_non_persistent_buffers_set"] = set()
        state["_backward_pre_hooks"] = OrderedDict()
        state["_backward_hooks"] = OrderedDict()
        state["_is_full_backward_hook"] = None
        for registry in _HOOK_REGISTRIES:
            state[registry] = OrderedDict()
        state["_modules"] = {}
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    forward: Callable[..., Any] = _forward_unimplemented

    # Calling

    def _wrapped_call_impl(self, *args: Any, **kwargs: Any) -> Any:
        if self._compiled_call_impl is not None:
            return self._compiled_call_impl(*args, **kwargs)
        if (
            self._backward_hooks
            or self._backward_pre_hooks
            or self._forward_hooks
            or self._forward_pre_hooks
            or _global_backward_pre_hooks
            or _global_backward_hooks
            or _global_forward_hooks
            or _global_forward_pre_hooks
        ):
            return HookedCall(self, args, kwargs).run()
        return self.forward(*args, **kwargs)

    def _call_impl(self, *args: Any, **kwargs: Any) -> Any:
        return HookedCall(self, args, kwargs).run()

    __call__: Callable[..., Any] = _wrapped_call_impl

    def _slow_forward(self, *input: Any, **kwargs: Any) -> Any:
        return self.forward(*input, **kwargs)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile this module's forward with ``torch.compile``, which gets all the arguments."""
        self._compiled_call_impl = torch.compile(self._call_impl, *args, **kwargs)

    # Registering parameters, buffers and children

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a buffer: a tensor that is part of the module's state but is no parameter.

        Args:
            name: attribute name of the buffer.
            tensor: the buffer, or ``None`` for one that is left out of everything.
            persistent: whether the buffer is part of ``state_dict``.
        """
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        _registration.check_name(self, name, "buffer", self._buffers)
        if not (tensor is None or isinstance(tensor, Tensor) or hasattr(tensor, "__torch_function__")):
            raise TypeError(
                f"cannot assign '{torch.typename(tensor)}' object to buffer '{name}' (torch Tensor or None required)"
            )
        self._buffers[name] = _registration.through(self, _global_buffer_registration_hooks, name, tensor)
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter, reachable as an attribute.

        Args:
            name: attribute name of the parameter.
            param: the parameter, or ``None`` for one that is left out of everything.
        """
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        _registration.check_name(self, name, "parameter", self._parameters)
        if param is None:
            self._parameters[name] = None
            return
        if not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{torch.typename(param)}' object to parameter '{name}' "
                "(torch.nn.Parameter or None required)"
            )
        if param.grad_fn:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model "
                f"parameters must be created explicitly. To express '{name}' "
                "as a function of another Tensor, compute the value in "
                "the forward() method."
            )
        self._parameters[name] = _registration.through(self, _global_parameter_registration_hooks, name, param)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module, reachable as an attribute.

        Args:
            name: attribute name of the child.
            module: the child.
        """
        if not (module is None or isinstance(module, Module)):
            raise TypeError(f"{torch.typename(module)} is not a Module subclass")
        if not isinstance(name, str):
            raise TypeError(f"module name should be a string. Got {torch.typename(name)}")
        if hasattr(self, name) and name not in self._modules:
            raise KeyError(f"attribute '{name}' already exists")
        if "." in name:
            raise KeyError(f'module name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError('module name can\'t be empty string ""')
        self._modules[name] = _registration.through(self, _global_module_registration_hooks, name, module)

    def register_module(self, name: str, module: Module | None) -> None:
        """Another name of `add_module`."""
        self.add_module(name, module)

    # Looking members up by dotted path

    def get_submodule(self, target: str) -> Module:
        """The descendant at a dotted path such as ``"encoder.layers.0"``; the module itself for ``""``.

        Raises:
            AttributeError: the path leads nowhere, or to something that is no module.
        """
        module: Any = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put ``module`` at a dotted path.

        Args:
            target: the path.
            module: the new descendant.
            strict: only replace; with ``False``, a last name that does not exist is added.

        Raises:
            ValueError: the path is empty, or ``module`` is no module.
            AttributeError: the path leads nowhere, or to something that is no module.
        """
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        # Not get_submodule(""), since a path like ".a" starts with an empty name.
        parent = self.get_submodule(path) if "." in target else self
        if hasattr(parent, name):
            if not isinstance(getattr(parent, name), Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        elif strict:
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path.

        Raises:
            AttributeError: the path leads nowhere, or to something that is no parameter.
        """
        path, _, name = target.rpartition(".")
        param = _registration.member(self.get_submodule(path), name)
        if not isinstance(param, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return param

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path.

        Raises:
            AttributeError: the path leads nowhere, or to something that is no buffer.
        """
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        buffer = _registration.member(module, name)
        if name not in module._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return buffer

    # Attributes

    def __getattr__(self, name: str) -> Any:
        # Called only for what is neither in the instance's __dict__ nor in the class.
        state = self.__dict__
        for members in ("_parameters", "_buffers", "_modules"):
            if members in state:
                found = state[members]
                if name in found:
                    return found[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        state = self.__dict__
        parameters = state.get("_parameters")
        if isinstance(value, Parameter):
            if parameters is None:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            _registration.forget(self, name, state, self._buffers, self._modules)
            self.register_parameter(name, value)
            return
        if parameters is not None and name in parameters:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{torch.typename(value)}' as parameter '{name}' "
                    "(torch.nn.Parameter or None expected)"
                )
            self.register_parameter(name, value)
            return
        modules = state.get("_modules")
        if isinstance(value, Module):
            if modules is None:
                raise AttributeError("cannot assign module before Module.__init__() call")
            _registration.forget(self, name, state, self._parameters, self._buffers)
            modules[name] = _registration.through(self, _global_module_registration_hooks, name, value)
        elif modules is not None and name in modules:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{torch.typename(value)}' as child module '{name}' "
                    "(torch.nn.Module or None expected)"
                )
            modules[name] = _registration.through(self, _global_module_registration_hooks, name, value)
        elif name in state.get("_buffers", ()) or isinstance(value, Buffer):
            _set_buffer(self, name, value)
        else:
            super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if name in self._parameters:
            del self._parameters[name]
        elif name in self._buffers:
            del self._buffers[name]
            self._non_persistent_buffers_set.discard(name)
        elif name in self._modules:
            del self._modules[name]
        else:
            super().__delattr__(name)

    def __dir__(self) -> list[str]:
        members = [*self.__dict__, *self._parameters, *self._modules, *self._buffers]
        # Names of children in lists are digits, which are no attributes.
        return sorted(name for name in [*dir(type(self)), *members] if not name[0].isdigit())

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _registration.reduce_by_name(self, protocol, super().__reduce_ex__(protocol))

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state.pop("_compiled_call_impl", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        own = self.__dict__
        own.update(state)
        for registry in (*_HOOK_REGISTRIES, "_backward_pre_hooks"):
            if registry not in own:
                own[registry] = OrderedDict()
        own.setdefault("_non_persistent_buffers_set", set())
        own.setdefault("_is_full_backward_hook", None)

    # Walking the tree

    def _named_members(
        self,
        get_members_fn: Callable[[Module], Any],
        prefix: str = "",
        recurse: bool = True,
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, Any]]:
        """Yield (dotted name, member) over what ``get_members_fn`` gives for each module, ``None`` left out."""
        seen = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, member in get_members_fn(module):
                if member is None or member in seen:
                    continue
                if remove_duplicate:
                    seen.add(member)
                yield (f"{path}.{name}" if path else name), member

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Iterate over the parameters, those of descendants included if ``recurse``; each one once."""
        for _, param in self.named_parameters(recurse=recurse):
            yield param

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Iterate over (dotted name, parameter).

        Args:
            prefix: put before all names.
            recurse: include the parameters of descendants.
            remove_duplicate: yield a shared parameter once only, under its first name.
        """
        yield from self._named_members(
            lambda module: module._parameters.items(),
            prefix=prefix,
            recurse=recurse,
            remove_duplicate=remove_duplicate,
        )

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Iterate over the buffers, those of descendants included if ``recurse``; each one once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Iterate over (dotted name, buffer); the arguments are those of `named_parameters`."""
        yield from self._named_members(
            lambda module: module._buffers.items(),
            prefix=prefix,
            recurse=recurse,
            remove_duplicate=remove_duplicate,
        )

    def children(self) -> Iterator[Module]:
        """Iterate over the immediate children, each one once."""
        for _, module in self.named_children():
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Iterate over (name, child), each child once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """Iterate over the module itself and all descendants, each one once unless told otherwise."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Iterate over (dotted name, module), from the module itself (its name empty) downwards.

        Args:
            memo: modules already seen, which are left out.
            prefix: put before all names.
            remove_duplicate: yield a shared module once only, under its first name.
        """
        if memo is None:
            memo = set()
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, path, remove_duplicate)

    def apply(self, fn: Callable[[Module], None]) -> Self:
        """Call ``fn`` on every descendant and on the module itself, children first; returns the module."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Put the module and its descendants in training mode (or, with ``False``, in evaluation mode)."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Self:
        """Put the module and its descendants in evaluation mode: dropout and batch statistics stand still."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set ``requires_grad`` of all parameters, for instance to freeze a part of a model."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients of all parameters: drop them, or with ``set_to_none=False`` fill them with zeros."""
        if getattr(self, "_is_replica", False):
            warnings.warn(REPLICA_ZERO_GRAD, stacklevel=2)
        for param in self.parameters():
            grad = param.grad
            if grad is None:
                continue
            if set_to_none:
                param.grad = None
            elif grad.grad_fn is not None:
                grad.detach_().zero_()
            else:
                grad.requires_grad_(False).zero_()

    # Conversion

    def _apply(self, fn: Callable[[Any], Any], recurse: bool = True) -> Self:
        if recurse:
            for module in self.children():
                module._apply(fn)
        _convert.apply_to_own(self, fn)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move and cast the parameters and buffers, in place; only floating point and complex ones are cast.

        Called as ``to(device=None, dtype=None, non_blocking=False)``, ``to(dtype, non_blocking=False)``,
        ``to(tensor, non_blocking=False)`` (device and type of that tensor) or ``to(memory_format=...)``.

        Raises:
            TypeError: the type is an integer type, or the arguments have none of these forms.
        """
        return self._apply(_convert.converter(*args, **kwargs))

    def cuda(self, device: Any = None) -> Self:
        """Move the parameters and buffers to the accelerator, in place."""
        return self._apply(lambda t: t.cuda(device))

    def ipu(self, device: Any = None) -> Self:
        """Move the parameters and buffers to an IPU, in place."""
        return self._apply(lambda t: t.ipu(device))

    def xpu(self, device: Any = None) -> Self:
        """Move the parameters and buffers to an XPU, in place."""
        return self._apply(lambda t: t.xpu(device))

    def mtia(self, device: Any = None) -> Self:
        """Move the parameters and buffers to an MTIA device, in place."""
        return self._apply(lambda t: t.mtia(device))

    def cpu(self) -> Self:
        """Move the parameters and buffers to the CPU, in place."""
        return self._apply(lambda t: t.cpu())

    def type(self, dst_type: Any) -> Self:
        """Cast all parameters and buffers, integer ones included, to ``dst_type``, in place."""
        return self._apply(lambda t: t.type(dst_type))

    def float(self) -> Self:
        """Cast the floating point parameters and buffers to ``float32``, in place."""
        return self._apply(lambda t: t.float() if t.is_floating_point() else t)

    def double(self) -> Self:
        """Cast the floating point parameters and buffers to ``float64``, in place."""
        return self._apply(lambda t: t.double() if t.is_floating_point() else t)

    def half(self) -> Self:
        """Cast the floating point parameters and buffers to ``float16``, in place."""
        return self._apply(lambda t: t.half() if t.is_floating_point() else t)

    def bfloat16(self) -> Self:
        """Cast the floating point parameters and buffers to ``bfloat16``, in place."""
        return self._apply(lambda t: t.bfloat16() if t.is_floating_point() else t)

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """Move the parameters and buffers to ``device`` without their values, which become undefined."""
        return self._apply(lambda t: torch.empty_like(t, device=device), recurse=recurse)

    def share_memory(self) -> Self:
        """Move the parameters and buffers into memory that processes share (see `torch.Tensor.share_memory_`)."""
        return self._apply(lambda t: t.share_memory_())

    def _replicate_for_data_parallel(self) -> Self:
        replica = self.__new__(type(self))
        replica.__dict__ = self.__dict__.copy()
        # The replica's parameters are plain tensors, computed from the original's.
        replica._parameters = {}
        replica._buffers = replica._buffers.copy()
        replica._modules = replica._modules.copy()
        replica._is_replica = True  # type: ignore[attr-defined]
        return replica

    # Hooks

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before each forward; a result replaces the positional arguments.

        Args:
            hook: the function.
            prepend: run before the module's other hooks of this kind.
            with_kwargs: call ``hook(module, args, kwargs)``, whose result is ``(args, kwargs)``.

        Returns a handle whose ``remove()`` unregisters the hook.
        """
        flags = ((self._forward_pre_hooks_with_kwargs, with_kwargs),)
        return add_hook(self._forward_pre_hooks, hook, flags=flags, prepend=prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after each forward; a result replaces the output.

        Args:
            hook: the function.
            prepend: run before the module's other hooks of this kind.
            with_kwargs: call ``hook(module, args, kwargs, output)``.
            always_call: call the hook even when the forward raises.

        Returns a handle whose ``remove()`` unregisters the hook.
        """
        flags = (
            (self._forward_hooks_with_kwargs, with_kwargs),
            (self._forward_hooks_always_called, always_call),
        )
        return add_hook(self._forward_hooks, hook, flags=flags, prepend=prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` before each backward; a result replaces ``grad_output``.

        Returns a handle whose ``remove()`` unregisters the hook.
        """
        return add_hook(self._backward_pre_hooks, hook, prepend=prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` after each backward; a result replaces ``grad_input``.

        The gradients are tuples with an entry for each positional argument and for each output, ``None`` for
        those that are not tensors.

        Returns a handle whose ``remove()`` unregisters the hook.
        """
        if self._is_full_backward_hook is False:
            raise RuntimeError(_hooks.MIXED_BACKWARD_HOOKS)
        self._is_full_backward_hook = True
        return add_hook(self._backward_hooks, hook, prepend=prepend)

    def register_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Old form of `register_full_backward_hook`: sees the gradients of the last node of the forward only.

        Returns a handle whose ``remove()`` unregisters the hook.
        """
        if self._is_full_backward_hook is True:
            raise RuntimeError(_hooks.MIXED_BACKWARD_HOOKS)
        self._is_full_backward_hook = False
        return add_hook(self._backward_hooks, hook)

    def _get_backward_hooks(self) -> tuple[list[Callable], list[Callable]]:
        """The full and the old-style backward hooks, global ones first."""
        full: list[Callable] = []
        old: list[Callable] = []
        for is_full, hooks in (
            (_hooks._global_is_full_backward_hook, _global_backward_hooks),
            (self._is_full_backward_hook, self._backward_hooks),
        ):
            if is_full is not None:
                (full if is_full else old).extend(hooks.values())
        return full, old

    def _get_backward_pre_hooks(self) -> list[Callable]:
        return [*_global_backward_pre_hooks.values(), *self._backward_pre_hooks.values()]

    # State

    def get_extra_state(self) -> Any:
        """Whatever else belongs into the module's ``state_dict``; defined, with `set_extra_state`, by subclasses."""
        raise RuntimeError(UNREACHABLE.format("get_extra_state"))

    def set_extra_state(self, state: Any) -> None:
        """Take back what `get_extra_state` returned when the state was saved."""
        raise RuntimeError(UNREACHABLE.format("set_extra_state"))

    def state_dict(self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """Parameters and persistent buffers of the module and its descendants, by dotted name.

        Args:
            destination: the dictionary to fill, by default a new one.
            prefix: put before all names.
            keep_vars: keep the tensors as they are instead of detaching them (storage is shared either way).

        >>> from torchlike import nn
        >>> list(nn.Linear(2, 1).state_dict())
        ['weight', 'bias']
        """
        if args:
            warnings.warn(POSITIONAL_STATE_DICT, FutureWarning, stacklevel=2)
            if destination is None:
                destination = args[0]
            if len(args) > 1 and prefix == "":
                prefix = args[1]
            if len(args) > 2 and keep_vars is False:
                keep_vars = args[2]
        return _state_dict.save(self, destination, prefix, keep_vars)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> _IncompatibleKeys:
        """Copy parameters and buffers out of a state dictionary into the module and its descendants.

        Args:
            state_dict: a dictionary as `state_dict` returns it.
            strict: raise when the keys do not match exactly.
            assign: put the tensors themselves in place, keeping their device and type, instead of copying.

        Returns ``(missing_keys, unexpected_keys)``, a named tuple of lists.

        Raises:
            RuntimeError: shapes or (if ``strict``) keys do not match; the message lists all that is wrong.
        """
        return _state_dict.load(self, state_dict, strict, assign)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """Write the state of this module alone; overridden by modules with a layout of their own."""
        _state_dict.save_own(self, destination, prefix, keep_vars)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Read the state of this module alone; overridden by modules that know older layouts."""
        _state_dict.load_own(
            self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def _register_state_dict_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata)`` after saving; a result replaces the dictionary."""
        if getattr(hook, "_from_public_api", False):
            raise RuntimeError(PUBLIC_HOOK_REUSED)
        return add_hook(self._state_dict_hooks, hook)

    def register_state_dict_post_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata)`` after `state_dict`; it may edit in place.

        Returns a handle whose ``remove()`` unregisters the hook.
        """
        hook._from_public_api = True  # type: ignore[attr-defined]
        return add_hook(self._state_dict_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call ``hook(module, prefix, keep_vars)`` before `state_dict` collects anything.

        Returns a handle whose ``remove()`` unregisters the hook.
        """
        return add_hook(self._state_dict_pre_hooks, hook)

    def _register_load_state_dict_pre_hook(self, hook: Callable[..., None], with_module: bool = False) -> Any:
        return add_hook(self._load_state_dict_pre_hooks, _WrappedHook(hook, self if with_module else None))

    def register_load_state_dict_pre_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)``
        before the module's own entries are loaded.

        Returns a handle whose ``remove()`` unregisters the hook.
        """
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def register_load_state_dict_post_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call ``hook(module, incompatible_keys)`` after the module and its descendants are loaded.

        The hook may edit the two lists in place, for instance to allow certain keys to be missing.

        Returns a handle whose ``remove()`` unregisters the hook.
        """
        return add_hook(self._load_state_dict_post_hooks, hook)

    # Printing

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What stands between the parentheses of the module's ``repr``, before its children."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): {_addindent(repr(module), 2)}" for name, module in self._modules.items()]
        if len(lines) <= 1 and not children:
            return f"{self._get_name()}({extra})"
        body = "".join(f"\n  {line}" for line in lines + children)
        return f"{self._get_name()}({body}\n)"
