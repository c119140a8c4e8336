"""``Optimizer``, the base of all optimizers: parameter groups, state, state dicts and hooks.

What one step does to a group of parameters is in ``_group``; the arithmetic is in ``_transforms``.
"""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterable
from copy import deepcopy
from itertools import chain
from typing import Any, Self, TypeAlias, overload

import torchlike as torch
from torchlike._engine.trace import step_boundary

__all__ = [
    "Optimizer",
    "register_optimizer_step_post_hook",
    "register_optimizer_step_pre_hook",
]

Args: TypeAlias = tuple[Any, ...]
Kwargs: TypeAlias = dict[str, Any]
StateDict: TypeAlias = dict[str, Any]
ParamsT: TypeAlias = Iterable[Any]
"""Tensors, ``(name, tensor)`` pairs, or dicts that each describe a group under the key ``"params"``."""
DeviceDict: TypeAlias = dict[Any, Any]
DeviceDtypeDict: TypeAlias = dict[Any, Any]
GlobalOptimizerPreHook: TypeAlias = Callable[["Optimizer", Args, Kwargs], "tuple[Args, Kwargs] | None"]
GlobalOptimizerPostHook: TypeAlias = Callable[["Optimizer", Args, Kwargs], None]

_global_optimizer_pre_hooks: dict[int, GlobalOptimizerPreHook] = OrderedDict()
_global_optimizer_post_hooks: dict[int, GlobalOptimizerPostHook] = OrderedDict()

_FUSED_DEVICES = ["mps", "cuda", "xpu", "hpu", "cpu", "mtia", "privateuseone"]
_CAPTURABLE_DEVICES = ["cuda", "xpu", "hpu", "privateuseone"]
FUSED_AND_FOREACH = "`fused` and `foreach` cannot be `True` together."
FUSED_AND_DIFFERENTIABLE = "`fused` does not support `differentiable`"
API_CHANGED = "API has changed, `{}` argument must contain a list of singleton tensors"

# The options that most optimizers share, for the docstrings of optimizers written elsewhere.
_params_doc = "params (iterable): tensors, ``(name, tensor)`` pairs, or dicts that describe parameter groups"
_foreach_doc = "foreach (bool, optional): accepted; there is one implementation (default: None)"
_fused_doc = "fused (bool, optional): accepted; there is one implementation, which is fused (default: None)"
_capturable_doc = (
    "capturable (bool, optional): keep counters beside the parameters; for accelerators only (default: False)"
)
_differentiable_doc = "differentiable (bool, optional): let autograd see the step itself (default: False)"
_maximize_doc = "maximize (bool, optional): go up rather than down (default: False)"

_HOOK_REGISTRIES = tuple(
    f"_optimizer_{event}_hooks"
    for event in (
        "step_pre", "step_post", "state_dict_pre", "state_dict_post", "load_state_dict_pre", "load_state_dict_post",
    )
)  # fmt: skip


class _RequiredParameter:
    """The default of an option that each parameter group must give itself."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _RequiredParameter()


# What optimizers, here and elsewhere, build on


def _use_grad_for_differentiable(func: Callable) -> Callable:
    """Run a ``step`` method with gradients recorded if the optimizer is differentiable, else without."""

    @functools.wraps(func)
    def step(*args: Any, **kwargs: Any) -> Any:
        with torch.set_grad_enabled(args[0].defaults["differentiable"]):
            return func(*args, **kwargs)

    return step


def _get_value(x: Any) -> Any:
    """A number, whether it is given as one or as a tensor of one element."""
    return x.item() if isinstance(x, torch.Tensor) else x


def _to_scalar(x: Any) -> Any:
    """A tensor of one element as one without dimensions; a number as it is."""
    return x.squeeze() if isinstance(x, torch.Tensor) and x.dim() != 0 else x


def _stack_if_compiling(x: Any) -> Any:
    """``x``: numbers are gathered in one tensor only while a compiler traces them, which never happens here."""
    return x


def _get_scalar_dtype(is_fused: bool | None = None) -> Any:
    """The dtype of step counts."""
    if not is_fused and torch.get_default_dtype() == torch.float64:
        return torch.float64
    return torch.float32


def _get_capturable_supported_devices(supports_xla: bool = True) -> list[str]:
    """The device types on which ``capturable=True`` is allowed."""
    return [*_CAPTURABLE_DEVICES, "xla"] if supports_xla else list(_CAPTURABLE_DEVICES)


def _disable_dynamo_if_unsupported(single_tensor_fn: Callable | None = None) -> Callable[[Callable], Callable]:
    """A decorator that changes nothing: no compiler has to be kept out of functional optimizers."""
    return lambda func: func


def _default_to_fused_or_foreach(params: list, differentiable: bool, use_fused: bool = False) -> tuple[bool, bool]:
    """Which implementation (fused, foreach) to take unless told: there is only one here, which is neither."""
    return False, False


def _device_dtype_check_for_fused(p: Any, cuda_unsupported: bool = False) -> None:
    """Raise what ``fused=True`` raises for a parameter that it does not cover."""
    devices = [name for name in _FUSED_DEVICES if not (cuda_unsupported and name == "cuda")]
    if p.device.type not in devices or not p.is_floating_point():
        raise RuntimeError(
            "`fused=True` requires all the params to be floating point Tensors of "
            f"supported devices: {devices} but {p.dtype} and {p.device.type}"
        )


def _view_as_real(params: list, *state_and_grads: list) -> None:
    """Replace complex tensors, in each of the lists where the parameter is complex, by views as pairs of reals."""
    for i, p in enumerate(params):
        if p.is_complex():
            for tensors in (params, *state_and_grads):
                tensors[i] = torch.view_as_real(tensors[i])


def _check_one_element(x: Any, name: str = "lr") -> None:
    """Raise for an option that is a tensor of several elements."""
    if isinstance(x, torch.Tensor) and x.numel() != 1:
        raise ValueError(f"Tensor {name} must be 1-element")


def _check_lr(lr: Any, text: str = "Invalid learning rate: {}") -> None:
    """Raise for a learning rate that is negative, not a number, or a tensor of several elements."""
    _check_one_element(lr)
    _check(lr >= 0.0, text, lr)


def _check(holds: Any, text: str, value: Any) -> None:
    """Raise ``ValueError(text.format(value))`` unless ``holds``."""
    if not holds:
        raise ValueError(text.format(value))


def _check_betas(betas: Any) -> None:
    """Raise for decay rates outside of [0, 1)."""
    for i in (0, 1):
        beta = betas[i]
        _check(0.0 <= beta < 1.0, f"Invalid beta parameter at index {i}: {{}}", beta)


def _fused_flags(optimizer: Optimizer, fused: bool | None, foreach: bool | None, differentiable: bool) -> None:
    """Check ``fused=True`` against the other flags and mark the optimizer as able to unscale gradients itself."""
    if fused:
        if differentiable:
            raise RuntimeError(FUSED_AND_DIFFERENTIABLE)
        if foreach:
            raise RuntimeError(FUSED_AND_FOREACH)
        optimizer._step_supports_amp_scaling = True


def _removable(registry: dict, hook: Callable, prepend: bool = False) -> Any:
    """Enter a hook into an ordered registry; the handle that takes it out again."""
    from torchlike.utils.hooks import RemovableHandle

    handle = RemovableHandle(registry)
    registry[handle.id] = hook
    if prepend:
        registry.move_to_end(handle.id, last=False)  # type: ignore[attr-defined]
    return handle


def register_optimizer_step_pre_hook(hook: GlobalOptimizerPreHook) -> Any:
    """Register a hook that runs before the step of every optimizer.

    Args:
        hook: ``hook(optimizer, args, kwargs)``; it may return a new ``(args, kwargs)`` for the step.

    Returns a handle whose ``remove()`` takes the hook out again.
    """
    return _removable(_global_optimizer_pre_hooks, hook)


def register_optimizer_step_post_hook(hook: GlobalOptimizerPostHook) -> Any:
    """Register a hook that runs after the step of every optimizer.

    Args:
        hook: ``hook(optimizer, args, kwargs)``.

    Returns a handle whose ``remove()`` takes the hook out again.
    """
    return _removable(_global_optimizer_post_hooks, hook)


class Optimizer:
    """Base class of optimizers.

    Args:
        params: an iterable of tensors, of ``(name, tensor)`` pairs, or of dicts, one for each parameter group. Its
            order must be the same in each run, so a set will not do.
        defaults: the options of groups that do not give their own.

    Attributes:
        param_groups: a list of dicts: ``"params"`` and the options of the group. They may be changed between steps.
        state: from each parameter to a dict of what the optimizer remembers of it.
        defaults: as given.

    A subclass defines ``step``.
    """

    __module__ = "torch.optim.optimizer"

    OptimizerPreHook: TypeAlias = Callable[[Self, Args, Kwargs], "tuple[Args, Kwargs] | None"]  # type: ignore[misc]
    OptimizerPostHook: TypeAlias = Callable[[Self, Args, Kwargs], None]  # type: ignore[misc]

    #: Whether a parameter occurs twice in a group, and so is stepped twice.
    _repeats: bool = False
    #: Whether ``step`` unscales gradients by itself, of optimizers that can.
    _step_supports_amp_scaling: bool
    _optimizer_step_pre_hooks: OrderedDict[int, Callable]
    _optimizer_step_post_hooks: OrderedDict[int, Callable]
    _optimizer_state_dict_pre_hooks: OrderedDict[int, Callable]
    _optimizer_state_dict_post_hooks: OrderedDict[int, Callable]
    _optimizer_load_state_dict_pre_hooks: OrderedDict[int, Callable]
    _optimizer_load_state_dict_post_hooks: OrderedDict[int, Callable]

    def __init__(self, params: ParamsT, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self._add_registries()
        self._patch_step_function()
        if isinstance(params, torch.Tensor):
            raise TypeError(
                "params argument given to the optimizer should be "
                "an iterable of Tensors or dicts, but got " + torch.typename(params)
            )
        self.state: defaultdict[Any, Any] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def _add_registries(self) -> None:
        for name in _HOOK_REGISTRIES:
            self.__dict__.setdefault(name, OrderedDict())

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._add_registries()
        self._patch_step_function()
        self.defaults.setdefault("differentiable", False)
        self._repeats = any(len(set(group["params"])) != len(group["params"]) for group in self.param_groups)

    def __repr__(self) -> str:
        text = self.__class__.__name__ + " ("
        for i, group in enumerate(self.param_groups):
            text += f"\nParameter Group {i}\n"
            text += "".join(f"    {key}: {group[key]}\n" for key in sorted(group) if key != "params")
        return text + ")"

    # Steps

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update the parameters once.

        Args:
            closure: evaluates the model again, computes the gradients and returns the loss. Most optimizers do without.

        Returns what the closure returned, else None.
        """
        raise NotImplementedError

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters.

        Args:
            set_to_none: set them to None; else fill them with zeros, in place. A parameter whose gradient is None is
                left out of the next step altogether, one whose gradient is zero is not.
        """
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    if p.grad.grad_fn is not None:
                        p.grad.detach_()
                    else:
                        p.grad.requires_grad_(False)
                    p.grad.zero_()

    @staticmethod
    def profile_hook_step(func: Callable) -> Callable:
        """``func``, a ``step`` method, with the registered hooks run before and after it.

        The end of a step is also where what was recorded is run.
        """

        @functools.wraps(func)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            self = args[0]
            before, after = self._optimizer_step_pre_hooks, self._optimizer_step_post_hooks
            if not (before or after or _global_optimizer_pre_hooks or _global_optimizer_post_hooks):
                out = func(*args, **kwargs)
                step_boundary()
                self._optimizer_step_code()
                return out
            for hook in chain(_global_optimizer_pre_hooks.values(), before.values()):
                result = hook(self, args, kwargs)
                if result is not None:
                    if not (isinstance(result, tuple) and len(result) == 2):
                        raise RuntimeError(
                            f"{func} must return None or a tuple of (new_args, new_kwargs), but got {result}."
                        )
                    args, kwargs = result
            out = func(*args, **kwargs)
            step_boundary()
            self._optimizer_step_code()
            for hook in chain(after.values(), _global_optimizer_post_hooks.values()):
                hook(self, args, kwargs)
            return out

        return wrapper

    def _patch_step_function(self) -> None:
        """Wrap the class's ``step`` for hooks, once for each class."""
        self._zero_grad_profile_name = f"Optimizer.zero_grad#{self.__class__.__name__}.zero_grad"
        cls = self.__class__
        if not getattr(cls.step, "hooked", None):
            cls.step = self.profile_hook_step(cls.step)  # type: ignore[method-assign]
            cls.step.hooked = True  # type: ignore[attr-defined]

    def _optimizer_step_code(self) -> None:
        """Called after each step: a place for a profiler to look at the optimizer."""

    def _accelerator_graph_capture_health_check(self) -> None:
        """Nothing: no device here captures graphs."""

    def _cuda_graph_capture_health_check(self) -> None:
        warnings.warn("Use _accelerator_graph_capture_health_check instead", DeprecationWarning, stacklevel=2)
        self._accelerator_graph_capture_health_check()

    # Groups

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, as for layers that are unfrozen while training goes on.

        Args:
            param_group: ``"params"``, the tensors, and those options that are not to have the default.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        self._take_params(param_group)
        for param in param_group["params"]:
            if not isinstance(param, torch.Tensor):
                raise TypeError(
                    "optimizer can only optimize Tensors, but one of the params is " + torch.typename(param)
                )
            if not (self.defaults.get("differentiable", None) or param.is_leaf or param.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            param_group.setdefault(name, default)
        own = set(param_group["params"])
        if len(own) != len(param_group["params"]):
            self._repeats = True
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; "
                "in future, this will cause an error; "
                "see github.com/pytorch/pytorch/issues/40967 for more information",
                stacklevel=3,
            )
        self._check_against_others(param_group, own)
        self.param_groups.append(param_group)

    @staticmethod
    def _take_params(param_group: dict[str, Any]) -> None:
        """Make ``"params"`` a list of tensors, and put names, if there are any, under ``"param_names"``."""
        params = param_group["params"]
        if isinstance(params, torch.Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but "
                "the ordering of tensors in sets will change between runs. Please use a list instead."
            )
        params = list(params)
        names = [p[0] for p in params if isinstance(p, tuple)]
        param_group["params"] = [p[1] if isinstance(p, tuple) else p for p in params]
        if names:
            if len(names) != len(params):
                raise ValueError("all optimizer params should be with/without names. Some param names are missing")
            param_group["param_names"] = names

    def _check_against_others(self, param_group: dict[str, Any], own: set) -> None:
        named = "param_names" in param_group
        for group in self.param_groups:
            if named != ("param_names" in group):
                raise ValueError(
                    "all optimizer param groups should be with/without names. cannot add param group "
                    f"{'with names' if named else 'without names'} to the optimizer"
                )
        if not own.isdisjoint(chain.from_iterable(group["params"] for group in self.param_groups)):
            raise ValueError("some parameters appear in more than one parameter group")

    # State dicts

    def state_dict(self) -> StateDict:
        """The optimizer's state, for saving.

        Returns a dict with two entries. ``"param_groups"`` is a list of dicts, the options of each group, whose
        ``"params"`` are numbers that stand for the parameters, counted through all groups. ``"state"`` maps these
        numbers to what the optimizer remembers of each parameter.
        """
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        numbers: dict[int, int] = {}
        groups, start = [], 0
        for group in self.param_groups:
            numbers.update({id(p): i for i, p in enumerate(group["params"], start) if id(p) not in numbers})
            packed = {key: value for key, value in group.items() if key != "params"}
            packed["params"] = [numbers[id(p)] for p in group["params"]]
            start += len(packed["params"])
            groups.append(packed)
        state = {numbers[id(k)] if isinstance(k, torch.Tensor) else k: v for k, v in self.state.items()}
        result = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            changed = hook(self, result)
            if changed is not None:
                result = changed
        return result

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Take over a state that ``state_dict`` returned.

        Parameters are matched by their order. Tensors of the state take the dtype and device of their parameter. Where
        the groups have names, those in ``state_dict`` replace the present ones.

        Args:
            state_dict: what ``state_dict`` returned; left as it is.
        """
        state_dict = state_dict.copy()
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            changed = hook(self, state_dict)
            if changed is not None:
                state_dict = changed
        groups, saved = self.param_groups, deepcopy(state_dict["param_groups"])
        if len(groups) != len(saved):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(g["params"]) != len(s["params"]) for g, s in zip(groups, saved, strict=True)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
            )
        params = {
            number: param
            for group, new in zip(groups, saved, strict=True)
            for param, number in zip(group["params"], new["params"], strict=True)
        }
        state: defaultdict[Any, Any] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in params:
                state[params[key]] = _fit(params[key], value, key, state_dict["param_groups"])
            else:
                state[key] = value
        for group, new in zip(groups, saved, strict=True):
            new["params"] = group["params"]
            if "param_names" in group:
                new.setdefault("param_names", group["param_names"])
        self.__setstate__({"state": state, "param_groups": saved})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    @staticmethod
    def _process_value_according_to_param_policy(
        param: Any, value: Any, param_id: int, param_groups: list[dict[Any, Any]], key: Hashable = None
    ) -> Any:
        """A tensor of a loaded state as it belongs to ``param``: its device and, if it is floating point, its dtype.

        Step counts stay as they are, unless the group is fused or capturable and so wants them beside the parameter.
        """
        group = next((g for g in param_groups if param_id in g["params"]), {})
        if key == "step":
            if group.get("capturable", False) or group.get("fused", False):
                return value.to(dtype=torch.float32, device=param.device)
            return value
        if param.is_floating_point():
            return value.to(dtype=param.dtype, device=param.device)
        return value.to(device=param.device)

    # Hooks

    def register_step_pre_hook(self, hook: OptimizerPreHook) -> Any:
        """Register ``hook(optimizer, args, kwargs)`` to run before each step of this optimizer.

        It may return new ``(args, kwargs)`` for the step. Returns a handle with ``remove()``.
        """
        return _removable(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: OptimizerPostHook) -> Any:
        """Register ``hook(optimizer, args, kwargs)`` to run after each step of this optimizer.

        Returns a handle with ``remove()``.
        """
        return _removable(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable[[Optimizer], None], prepend: bool = False) -> Any:
        """Register ``hook(optimizer)`` to run at the start of ``state_dict``.

        Args:
            hook: the function.
            prepend: run it before the hooks that are there already. Default: ``False``.

        Returns a handle with ``remove()``.
        """
        return _removable(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(
        self, hook: Callable[[Optimizer, StateDict], StateDict | None], prepend: bool = False
    ) -> Any:
        """Register ``hook(optimizer, state_dict)`` to run at the end of ``state_dict``; it may return another dict.

        Args:
            hook: the function.
            prepend: run it before the hooks that are there already. Default: ``False``.

        Returns a handle with ``remove()``.
        """
        return _removable(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable[[Optimizer, StateDict], StateDict | None], prepend: bool = False
    ) -> Any:
        """Register ``hook(optimizer, state_dict)`` to run at the start of ``load_state_dict``; it may return another.

        Args:
            hook: the function; the dict that it gets is a shallow copy of the one that is loaded.
            prepend: run it before the hooks that are there already. Default: ``False``.

        Returns a handle with ``remove()``.
        """
        return _removable(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable[[Optimizer], None], prepend: bool = False) -> Any:
        """Register ``hook(optimizer)`` to run at the end of ``load_state_dict``.

        Args:
            hook: the function.
            prepend: run it before the hooks that are there already. Default: ``False``.

        Returns a handle with ``remove()``.
        """
        return _removable(self._optimizer_load_state_dict_post_hooks, hook, prepend)


def _fit(param: Any, value: Any, number: int, groups: list[dict[Any, Any]], key: Hashable = None) -> Any:
    """A copy of a value of a loaded state, its tensors brought to the parameter's dtype and device."""
    if isinstance(value, torch.Tensor):
        return Optimizer._process_value_according_to_param_policy(param, value, number, groups, key)
    if isinstance(value, dict):
        return {k: _fit(param, v, number, groups, k) for k, v in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return type(value)(_fit(param, v, number, groups) for v in value)  # type: ignore[call-arg]
    return value
