"""``torch.jit``: TorchScript, as far as running a program goes.

A script or trace is the Python function or module it was made of, and computes what that computes. What TorchScript is for
besides, a graph and a file that runs without Python, is not there and raises NotImplementedError.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torchlike as torch
from torchlike.nn.modules.module import Module

__all__ = [
    "Attribute",
    "Final",
    "Future",
    "RecursiveScriptModule",
    "ScriptFunction",
    "ScriptModule",
    "TopLevelTracedModule",
    "annotate",
    "enable_onednn_fusion",
    "export",
    "fork",
    "freeze",
    "ignore",
    "interface",
    "is_scripting",
    "is_tracing",
    "isinstance",
    "load",
    "onednn_fusion_enabled",
    "optimize_for_inference",
    "optimized_execution",
    "save",
    "script",
    "script_if_tracing",
    "script_method",
    "set_fusion_strategy",
    "strict_fusion",
    "trace",
    "trace_module",
    "unused",
    "wait",
]

_T = TypeVar("_T")
_is = isinstance

_NO_GRAPH = (
    "{what}: TorchScript's graph is not made here, the script runs as the Python it was written in. For inference elsewhere "
    "save the state_dict"
)

try:
    from typing import Final
except ImportError:  # pragma: no cover
    Final = Any  # type: ignore[assignment]


def _refuse(what: str) -> Any:
    raise NotImplementedError(_NO_GRAPH.format(what=what))


# What scripts and traces are.


class ScriptFunction:
    """A function that was scripted or traced: it calls the Python function."""

    def __init__(self, function: Callable):
        functools.update_wrapper(self, function)
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    @property
    def name(self) -> str:
        """The function's name."""
        return self._function.__name__

    @property
    def graph(self) -> Any:
        """NotImplementedError: there is no graph."""
        return _refuse("ScriptFunction.graph")

    @property
    def code(self) -> str:
        """NotImplementedError: there is no code of TorchScript's."""
        return _refuse("ScriptFunction.code")

    def save(self, f: Any, **kwargs: Any) -> None:
        """NotImplementedError: there is nothing that could run without Python."""
        _refuse("ScriptFunction.save")


class ScriptModule(Module):
    """A module that was scripted or traced: it has the original's parameters, buffers and submodules, and calls it."""

    def __init__(self, original: Module | None = None):
        super().__init__()
        if original is None:
            return
        state = self.__dict__
        for name in ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"):
            state[name] = original.__dict__[name]
        state["training"] = original.training
        state["_original"] = original

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the original returns."""
        return self.__dict__["_original"].forward(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            original = self.__dict__.get("_original")
            if original is None:
                raise
            return getattr(original, name)

    def _delegate(self, name: str, *args: Any) -> Any:
        original = self.__dict__["_original"]
        if not hasattr(type(original), name):
            raise NotImplementedError(f"{type(original).__name__} has no {name}")
        return getattr(original, name)(*args)

    def __len__(self) -> int:
        return self._delegate("__len__")

    def __getitem__(self, index: Any) -> Any:
        return self._delegate("__getitem__", index)

    def __iter__(self) -> Any:
        return self._delegate("__iter__")

    def __contains__(self, key: Any) -> bool:
        return self._delegate("__contains__", key)

    def __bool__(self) -> bool:
        return True

    def train(self, mode: bool = True) -> ScriptModule:
        """Set training mode here and in the original."""
        super().train(mode)
        original = self.__dict__.get("_original")
        if original is not None:
            original.training = mode
        return self

    @property
    def original_name(self) -> str:
        """The name of the original's class."""
        return type(self.__dict__.get("_original", self)).__name__

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """The name of the original's class."""
        return f"original_name={self.original_name}"

    @property
    def graph(self) -> Any:
        """NotImplementedError: there is no graph."""
        return _refuse("ScriptModule.graph")

    @property
    def code(self) -> str:
        """NotImplementedError: there is no code of TorchScript's."""
        return _refuse("ScriptModule.code")

    def save(self, f: Any, **kwargs: Any) -> None:
        """NotImplementedError: there is nothing that could run without Python."""
        _refuse("ScriptModule.save")


class RecursiveScriptModule(ScriptModule):
    """What :func:`script` makes of a module."""


class TopLevelTracedModule(ScriptModule):
    """What :func:`trace` makes of a module."""


# Making them.


def script(
    obj: Any,
    optimize: Any = None,
    _frames_up: int = 0,
    _rcb: Any = None,
    example_inputs: Any = None,
) -> Any:
    """A function, class or module that computes what ``obj`` computes.

    TorchScript's restrictions are not checked: what is no TorchScript runs too.
    """
    if _is(obj, (ScriptModule, ScriptFunction)):
        return obj
    if _is(obj, Module):
        return RecursiveScriptModule(obj)
    if inspect.isclass(obj):
        if issubclass(obj, Module):
            raise RuntimeError(
                f"Type '{obj}' cannot be compiled since it inherits from nn.Module, consider passing an instance instead"
            )
        return obj
    if callable(obj):
        return ScriptFunction(obj)
    if _is(obj, (dict, list)):
        return obj
    raise RuntimeError(f"torch.jit.script expects a function, a class or a module, not {type(obj).__name__}")


def _as_tuple(example_inputs: Any) -> tuple:
    if _is(example_inputs, (torch.Tensor, dict)):
        return (example_inputs,)
    return tuple(example_inputs)


def trace(
    func: Any,
    example_inputs: Any = None,
    optimize: Any = None,
    check_trace: bool = True,
    check_inputs: Any = None,
    check_tolerance: float = 1e-5,
    strict: bool = True,
    _force_outplace: bool = False,
    _module_class: Any = None,
    _compilation_unit: Any = None,
    example_kwarg_inputs: dict[str, Any] | None = None,
    _store_inputs: bool = True,
) -> Any:
    """A function or module that computes what ``func`` computes, run once on ``example_inputs``.

    Where native's trace would keep the branch that the examples took, this one decides anew for each input.
    """
    if _is(func, ScriptModule):
        return func
    if example_kwarg_inputs is not None and not _is(example_kwarg_inputs, dict):
        raise RuntimeError("example_kwarg_inputs should be a dict")
    if example_inputs is None and example_kwarg_inputs is None:
        raise RuntimeError("example_kwarg_inputs should be a dict")
    if example_kwarg_inputs is not None:
        func(**example_kwarg_inputs)
    else:
        func(*_as_tuple(example_inputs))
    return TopLevelTracedModule(func) if _is(func, Module) else ScriptFunction(func)


def trace_module(mod: Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
    """A module that computes what ``mod`` computes; each method named in ``inputs`` is run once."""
    if not _is(inputs, dict):
        raise AttributeError("expected a dictionary of (method_name, input) pairs")
    for name, example in inputs.items():
        method = mod if name == "forward" else getattr(mod, name)
        method(*_as_tuple(example))
    return TopLevelTracedModule(mod)


def script_if_tracing(fn: Callable) -> Callable:
    """``fn`` itself: nothing is ever traced."""
    return fn


def script_method(fn: Callable) -> Callable:
    """``fn`` itself."""
    return fn


# Files.


def save(m: Any, f: Any, _extra_files: Any = None) -> None:
    """NotImplementedError: there is nothing that could run without Python."""
    _refuse("torch.jit.save")


def load(f: Any, map_location: Any = None, _extra_files: Any = None, _restore_shapes: bool = False) -> Any:
    """NotImplementedError: a file of TorchScript holds a program that only native torch runs."""
    raise NotImplementedError(
        "torch.jit.load: the file holds a program in TorchScript, for which there is no interpreter here. torch.load reads "
        "state_dicts and modules that were saved with torch.save"
    )


# What programs say to the compiler.


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """The function itself, or a decorator that returns it."""
    return drop if callable(drop) else lambda function: function


def unused(fn: _T) -> _T:
    """``fn`` itself."""
    return fn


def export(fn: _T) -> _T:
    """``fn`` itself."""
    return fn


def interface(obj: _T) -> _T:
    """``obj`` itself."""
    return obj


def annotate(the_type: Any, the_value: _T) -> _T:
    """``the_value`` itself."""
    return the_value


class Attribute:
    """A value and its type; as an attribute of a module it is the value."""

    def __init__(self, value: Any, type: Any):
        self.value = value
        self.type = type


def isinstance(obj: Any, target_type: Any) -> bool:
    """Whether ``obj`` is of a type, the types of a container's elements included: ``List[int]``, ``Dict[str, Tensor]``."""
    import typing

    if _is(target_type, (tuple, list)):
        return any(isinstance(obj, t) for t in target_type)
    origin, arguments = typing.get_origin(target_type), typing.get_args(target_type)
    if origin is None:
        return target_type is Any or _is(obj, type(None) if target_type is None else target_type)
    if origin is typing.Union or type(target_type).__name__ == "UnionType":
        return any(isinstance(obj, t) for t in arguments)
    if not _is(obj, origin):
        return False
    if origin is dict:
        return all(isinstance(k, arguments[0]) and isinstance(v, arguments[1]) for k, v in obj.items())
    if origin is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        return len(obj) == len(arguments) and all(isinstance(x, t) for x, t in zip(obj, arguments, strict=True))
    return all(isinstance(x, arguments[0]) for x in obj) if arguments and _is(obj, Iterable) else True


def is_scripting() -> bool:
    """False: Python runs as it is."""
    return False


def is_tracing() -> bool:
    """False: nothing is ever traced."""
    return False


def freeze(mod: Any, preserved_attrs: Any = None, optimize_numerics: bool = True) -> Any:
    """The scripted module itself, which has to be in evaluation mode."""
    if not _is(mod, ScriptModule):
        raise RuntimeError(
            "Freezing expects a ScriptModule as input. Please use torch.jit.script or torch.jit.trace to script your 'nn.Module'."
        )
    if mod.training:
        raise RuntimeError(
            "Freezing is currently only implemented for modules in eval mode. Please call .eval() on your module before freezing."
        )
    return mod


def optimize_for_inference(mod: Any, other_methods: Any = None) -> Any:
    """The scripted module itself."""
    if not _is(mod, ScriptModule):
        raise RuntimeError(
            "optimize_for_inference expects a ScriptModule as input. Please use torch.jit.script or torch.jit.trace to script "
            "your 'nn.Module'."
        )
    return mod


_state: dict[str, Any] = {"fusion": [("STATIC", 2), ("DYNAMIC", 10)], "onednn": False}


def set_fusion_strategy(strategy: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Kept, without effect: XLA fuses what it compiles. Returns what was set before."""
    before = _state["fusion"]
    _state["fusion"] = strategy
    return before


def enable_onednn_fusion(enabled: bool) -> None:
    """Kept, without effect."""
    _state["onednn"] = enabled


def onednn_fusion_enabled() -> bool:
    """What :func:`enable_onednn_fusion` set."""
    return _state["onednn"]


class strict_fusion:
    """A region in which native's TorchScript would insist on fusion."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


class optimized_execution:
    """A region in which native's TorchScript would optimize, or not."""

    def __init__(self, should_optimize: bool):
        self.should_optimize = should_optimize

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


# Tasks. A forked call is run at once.


class Future:
    """The result of a forked call."""

    def __init__(self, result: Any):
        self._result = result

    def wait(self) -> Any:
        """The result."""
        return self._result

    value = wait

    def done(self) -> bool:
        """True."""
        return True


def fork(func: Callable, *args: Any, **kwargs: Any) -> Future:
    """Call ``func`` at once, on this thread."""
    return Future(func(*args, **kwargs))


def wait(future: Future) -> Any:
    """The result of a forked call."""
    return future.wait()
