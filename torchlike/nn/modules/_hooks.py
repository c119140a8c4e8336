"""Hooks of modules: the registries common to all modules, and the call of a module that has hooks.

`Module.__call__` comes here only when some hook exists, so a call without hooks pays for a truth test and no more.
"""

from __future__ import annotations

import functools
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torchlike._tensor.tensor import Tensor

from ._registration import reduce_by_name

if TYPE_CHECKING:
    from torchlike.utils.hooks import RemovableHandle

    from .module import Module

_global_buffer_registration_hooks: dict[int, Callable] = OrderedDict()
_global_module_registration_hooks: dict[int, Callable] = OrderedDict()
_global_parameter_registration_hooks: dict[int, Callable] = OrderedDict()
_global_backward_pre_hooks: dict[int, Callable] = OrderedDict()
_global_backward_hooks: dict[int, Callable] = OrderedDict()
_global_forward_pre_hooks: dict[int, Callable] = OrderedDict()
_global_forward_hooks: dict[int, Callable] = OrderedDict()
_global_forward_hooks_always_called: dict[int, bool] = OrderedDict()
_global_forward_hooks_with_kwargs: dict[int, bool] = OrderedDict()

# Which kind the global backward hooks are: full, old-style (False), or none registered yet (None).
_global_is_full_backward_hook: bool | None = None

MIXED_GLOBAL_BACKWARD_HOOKS = (
    "Cannot use both regular backward hooks and full backward hooks as a "
    "global Module hook. Please use only one of them."
)
MIXED_BACKWARD_HOOKS = (
    "Cannot use both regular backward hooks and full backward hooks on a single Module. Please use only one of them."
)
NON_FULL_ADVICE = "Please use register_full_backward_hook to get the documented behavior."


def add_hook(registry: dict, hook: Callable, *, flags: tuple = (), prepend: bool = False) -> RemovableHandle:
    """Enter ``hook`` into ``registry`` and return the handle that takes it out again.

    Args:
        registry: an `OrderedDict` of hooks by number.
        hook: the function.
        flags: pairs (registry, on): side registries of the same numbers, set where ``on`` is true.
        prepend: run before the hooks that are there already.
    """
    from torchlike.utils.hooks import RemovableHandle

    handle = RemovableHandle(registry, extra_dict=[side for side, _ in flags] or None)
    registry[handle.id] = hook
    for side, on in flags:
        if on:
            side[handle.id] = True
    if prepend:
        registry.move_to_end(handle.id, last=False)  # type: ignore[attr-defined]
    return handle


def register_module_buffer_registration_hook(hook: Callable[..., None]) -> RemovableHandle:
    """Call ``hook(module, name, buffer)`` before any module registers a buffer; a result replaces the buffer.

    Returns a handle whose ``remove()`` unregisters the hook.
    """
    return add_hook(_global_buffer_registration_hooks, hook)


def register_module_module_registration_hook(hook: Callable[..., None]) -> RemovableHandle:
    """Call ``hook(module, name, submodule)`` before any module registers a child; a result replaces the child.

    Returns a handle whose ``remove()`` unregisters the hook.
    """
    return add_hook(_global_module_registration_hooks, hook)


def register_module_parameter_registration_hook(hook: Callable[..., None]) -> RemovableHandle:
    """Call ``hook(module, name, param)`` before any module registers a parameter; a result replaces it.

    Returns a handle whose ``remove()`` unregisters the hook.
    """
    return add_hook(_global_parameter_registration_hooks, hook)


def register_module_forward_pre_hook(hook: Callable[..., None]) -> RemovableHandle:
    """Call ``hook(module, args)`` before the forward of every module; a result replaces the arguments.

    Returns a handle whose ``remove()`` unregisters the hook.
    """
    return add_hook(_global_forward_pre_hooks, hook)


def register_module_forward_hook(
    hook: Callable[..., None], *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Call ``hook(module, args, output)`` after the forward of every module; a result replaces the output.

    Args:
        hook: the function.
        with_kwargs: call ``hook(module, args, kwargs, output)`` instead.
        always_call: call the hook even when the forward raises.

    Returns a handle whose ``remove()`` unregisters the hook.
    """
    flags = (
        (_global_forward_hooks_always_called, always_call),
        (_global_forward_hooks_with_kwargs, with_kwargs),
    )
    return add_hook(_global_forward_hooks, hook, flags=flags)


def register_module_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Old form of `register_module_full_backward_hook`: sees the gradients of the last node of the forward only.

    Returns a handle whose ``remove()`` unregisters the hook.
    """
    return _register_global_backward_hook(hook, full=False)


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, grad_output)`` before the backward of every module; a result replaces ``grad_output``.

    Returns a handle whose ``remove()`` unregisters the hook.
    """
    return add_hook(_global_backward_pre_hooks, hook)


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, grad_input, grad_output)`` after the backward of every module.

    A result that is not ``None`` replaces ``grad_input``.

    Returns a handle whose ``remove()`` unregisters the hook.
    """
    return _register_global_backward_hook(hook, full=True)


def _register_global_backward_hook(hook: Callable[..., Any], *, full: bool) -> RemovableHandle:
    global _global_is_full_backward_hook
    if _global_is_full_backward_hook is (not full):
        raise RuntimeError(MIXED_GLOBAL_BACKWARD_HOOKS)
    _global_is_full_backward_hook = full
    return add_hook(_global_backward_hooks, hook)


def _has_any_global_hook() -> bool:
    """Whether a forward or backward hook common to all modules is registered."""
    return bool(
        _global_backward_pre_hooks
        or _global_backward_hooks
        or _global_forward_pre_hooks
        or _global_forward_hooks
        or _global_forward_hooks_always_called
        or _global_forward_hooks_with_kwargs
    )


class _WrappedHook:
    """A hook that can be pickled along with the module it is bound to, which it holds weakly."""

    def __init__(self, hook: Callable, module: Module | None = None) -> None:
        self.hook = hook
        functools.update_wrapper(self, hook)
        self.with_module = module is not None
        if module is not None:
            self.module = weakref.ref(module)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.with_module:
            return self.hook(*args, **kwargs)
        module = self.module()
        if module is None:
            raise RuntimeError("You are trying to call the hook of a dead Module!")
        return self.hook(module, *args, **kwargs)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return reduce_by_name(self, protocol, super().__reduce_ex__(protocol))

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = {"hook": self.hook, "with_module": self.with_module}
        if self.with_module:
            state["module"] = self.module()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.hook = state["hook"]
        self.with_module = state["with_module"]
        if self.with_module:
            if state["module"] is None:
                raise RuntimeError("You are trying to revive the hook of a dead Module!")
            self.module = weakref.ref(state["module"])


class HookedCall:
    """One call of a module with the hooks around it: what came in, what came out, and which hooks have run."""

    __slots__ = ("args", "called", "kwargs", "module", "result")

    def __init__(self, module: Module, args: tuple, kwargs: dict[str, Any]) -> None:
        self.module = module
        self.args = args
        self.kwargs = kwargs
        self.result: Any = None
        self.called: set[int] = set()  # of the hooks that must run in any case

    def run(self) -> Any:
        """Run hooks and forward; after an exception, run the hooks that asked for it, then raise it."""
        try:
            self.around_forward()
        except Exception:
            self.run_left_over_hooks()
            raise
        return self.result

    def around_forward(self) -> None:
        module = self.module
        # Lists, because a hook may remove itself or another one while it runs.
        pre_backward = [*_global_backward_pre_hooks.values(), *module._backward_pre_hooks.values()]
        full_backward, old_backward = module._get_backward_hooks()
        self.before_forward()
        backward = None
        if full_backward or pre_backward:
            from ._backward_hook import BackwardHook

            backward = BackwardHook(module, full_backward, pre_backward)
            self.args = backward.setup_input_hook(self.args)
        self.result = module.forward(*self.args, **self.kwargs)
        self.after_forward()
        if backward is not None:
            if not isinstance(self.result, (Tensor, tuple)):
                warnings.warn(
                    "For backward hooks to be called,"
                    " module output should be a Tensor or a tuple of Tensors"
                    f" but received {type(self.result)}",
                    stacklevel=5,
                )
            self.result = backward.setup_output_hook(self.result)
        if old_backward:
            self.attach_old_backward_hooks(old_backward)

    def before_forward(self) -> None:
        module = self.module
        for number, hook in (*_global_forward_pre_hooks.items(), *module._forward_pre_hooks.items()):
            if number in module._forward_pre_hooks_with_kwargs:
                changed = hook(module, self.args, self.kwargs)
                if changed is None:
                    continue
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise RuntimeError(
                        f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {changed}."
                    )
                self.args, self.kwargs = changed
            else:
                changed = hook(module, self.args)
                if changed is not None:
                    self.args = changed if isinstance(changed, tuple) else (changed,)

    def after_forward(self) -> None:
        module = self.module
        for number, hook in (*_global_forward_hooks.items(), *module._forward_hooks.items()):
            if number in module._forward_hooks_always_called or number in _global_forward_hooks_always_called:
                self.called.add(number)
            if number in module._forward_hooks_with_kwargs or number in _global_forward_hooks_with_kwargs:
                changed = hook(module, self.args, self.kwargs, self.result)
            else:
                changed = hook(module, self.args, self.result)
            if changed is not None:
                self.result = changed

    def run_left_over_hooks(self) -> None:
        """After an exception: the ``always_call`` hooks that have not run; their own exceptions become warnings."""
        module = self.module
        own = module._forward_hooks
        for kind, registry, always, with_kwargs in (
            ("global module", _global_forward_hooks, _global_forward_hooks_always_called, {}),
            ("module", own, module._forward_hooks_always_called, module._forward_hooks_with_kwargs),
        ):
            for number, hook in list(registry.items()):
                if number not in always or number in self.called:
                    continue
                try:
                    if number in with_kwargs:
                        changed = hook(module, self.args, self.kwargs, self.result)
                    else:
                        changed = hook(module, self.args, self.result)
                    if changed is not None:
                        self.result = changed
                except Exception as error:
                    warnings.warn(
                        f"{kind} forward hook with ``always_call=True`` raised an exception "
                        f"that was silenced as another error was raised in forward: {error!s}",
                        stacklevel=5,
                    )

    def attach_old_backward_hooks(self, hooks: list[Callable]) -> None:
        """Old-style backward hooks listen to the node that made the (first) output."""
        output = self.result
        while not isinstance(output, Tensor):
            if isinstance(output, dict):
                output = next(value for value in output.values() if isinstance(value, Tensor))
            else:
                output = output[0]
        node = output.grad_fn
        if node is None:
            return
        for hook in hooks:
            node.register_hook(_WrappedHook(hook, self.module))
        warn_about_non_full_backward_hook(self.args, self.result, node)


def _all_tensors(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, Tensor) for item in value)


def warn_about_non_full_backward_hook(inputs: Any, result: Any, node: Any) -> None:
    """Say what an old-style backward hook will not see: it listens to one node of the graph only."""
    message = None
    results = (result,) if isinstance(result, Tensor) else result
    arguments = (inputs,) if isinstance(inputs, Tensor) else inputs
    if not _all_tensors(results):
        message = (
            "Using non-full backward hooks on a Module that does not return a "
            "single Tensor or a tuple of Tensors is deprecated and will be removed "
            f"in future versions. This hook will be missing some of the grad_output. {NON_FULL_ADVICE}"
        )
    elif not _all_tensors(arguments):
        message = (
            "Using non-full backward hooks on a Module that does not take as input a "
            "single Tensor or a tuple of Tensors is deprecated and will be removed "
            f"in future versions. This hook will be missing some of the grad_input. {NON_FULL_ADVICE}"
        )
    else:
        nodes = {out.grad_fn for out in results if out.grad_fn is not None}
        if not nodes or (len(nodes) == 1 and node not in nodes):
            message = (
                "Using a non-full backward hook when outputs are nested in python data structure "
                "is deprecated and will be removed in future versions. This hook will be missing "
                "some grad_output."
            )
        elif len(nodes) > 1:
            message = (
                "Using a non-full backward hook when outputs are generated by different autograd Nodes "
                "is deprecated and will be removed in future versions. This hook will be missing "
                f"some grad_output. {NON_FULL_ADVICE}"
            )
        elif {arg.grad_fn for arg in arguments if arg.grad_fn is not None} != {n[0] for n in node.next_functions}:
            message = (
                "Using a non-full backward hook when the forward contains multiple autograd Nodes "
                "is deprecated and will be removed in future versions. This hook will be missing "
                f"some grad_input. {NON_FULL_ADVICE}"
            )
    if message is not None:
        warnings.warn(message, FutureWarning, stacklevel=6)
