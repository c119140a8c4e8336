"""Switches of the tape: whether operations are recorded for ``backward``, per thread."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any

from torchlike._engine.trace import threads
from torchlike._tensor.tensor import Tensor

__all__ = [
    "no_grad", "enable_grad", "set_grad_enabled", "inference_mode", "set_multithreading_enabled",
    "enforce_grad_layout_policy",
]  # fmt: skip


class _Switch:
    """A context manager that is also a decorator of functions and generators."""

    def __call__(self, function: Callable) -> Callable:
        if inspect.isclass(function):
            warnings.warn(
                "Decorating classes is deprecated and will be disabled in future versions. You should only decorate functions "
                "or methods. To preserve the current behavior of class decoration, you can directly decorate the `__init__` "
                "method and nothing else.",
                FutureWarning,
                stacklevel=2,
            )
        elif inspect.isgeneratorfunction(function):
            return self._wrap_generator(function)

        @functools.wraps(function, updated=() if inspect.isclass(function) else ("__dict__",))
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return function(*args, **kwargs)

        return inside

    def _wrap_generator(self, function: Callable) -> Callable:
        """The generator function, switched over while the generator runs and back while it waits."""

        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            generator = function(*args, **kwargs)
            advance = functools.partial(next, generator)
            while True:
                try:
                    with self.clone():
                        item = advance()
                except StopIteration as stop:
                    return stop.value
                try:
                    sent = yield item
                except GeneratorExit:
                    with self.clone():
                        generator.close()
                    raise
                except BaseException as error:
                    advance = functools.partial(generator.throw, error)
                else:
                    advance = functools.partial(generator.send, sent)

        return inside

    def __enter__(self) -> None:
        raise NotImplementedError

    def __exit__(self, *_: object) -> None:
        raise NotImplementedError

    def clone(self) -> Any:
        """Another switch like this one."""
        return self.__class__()


class _BareSwitch(_Switch):
    """A switch that may decorate without parentheses."""

    def __new__(cls, orig_func: Callable | None = None) -> Any:
        return super().__new__(cls) if orig_func is None else cls()(orig_func)

    def __init__(self) -> None:
        self.prev = False

    def __exit__(self, *_: object) -> None:
        threads.grad_enabled = self.prev


class no_grad(_BareSwitch):
    """Operations inside the block, or the decorated function, are not recorded.

    >>> import torchlike as torch
    >>> x = torch.ones(1, requires_grad=True)
    >>> with torch.no_grad():
    ...     y = 2 * x
    >>> y.requires_grad
    False
    """

    def __enter__(self) -> None:
        self.prev = threads.grad_enabled
        threads.grad_enabled = False


class enable_grad(_BareSwitch):
    """Operations inside the block, or the decorated function, are recorded."""

    def __enter__(self) -> None:
        self.prev = threads.grad_enabled
        threads.grad_enabled = True


class set_grad_enabled(_Switch):
    """Turn recording on or off at once; as a context manager, back again at the block's end."""

    def __init__(self, mode: bool) -> None:
        self.prev = threads.grad_enabled
        self.mode = mode
        if not isinstance(mode, bool):
            raise TypeError(
                f"set_grad_enabled(): argument 'enabled' (position 1) must be bool, not {type(mode).__name__}"
            )
        threads.grad_enabled = mode

    def __call__(self, function: Callable) -> Callable:
        threads.grad_enabled = self.prev
        return super().__call__(function)

    def __enter__(self) -> None:
        threads.grad_enabled = self.mode

    def __exit__(self, *_: object) -> None:
        threads.grad_enabled = self.prev

    def __str__(self) -> str:
        return f"torch.autograd.grad_mode.set_grad_enabled(mode={self.mode})"

    __repr__ = __str__

    def clone(self) -> set_grad_enabled:
        return self.__class__(self.mode)


class inference_mode(_Switch):
    """Operations inside the block are not recorded, and their results can never be."""

    def __new__(cls, mode: Any = True) -> Any:
        return super().__new__(cls) if isinstance(mode, bool) else cls()(mode)

    def __init__(self, mode: bool = True) -> None:
        self.mode = mode

    def __enter__(self) -> None:
        self._before = threads.grad_enabled, threads.inference
        threads.grad_enabled, threads.inference = not self.mode, self.mode

    def __exit__(self, *_: object) -> None:
        threads.grad_enabled, threads.inference = self._before

    def clone(self) -> inference_mode:
        return self.__class__(self.mode)


class _Flags:
    """Settings of the backward pass that programs may read; all backward passes run in the calling thread here."""

    multithreading = True
    layout_enforcement = True
    view_replay = False


class _FlagSwitch(_Switch):
    """A switch that takes effect when it is made."""

    _flag: str

    def __init__(self, mode: bool = True) -> None:
        self.prev = getattr(_Flags, self._flag)
        self.mode = mode
        setattr(_Flags, self._flag, mode)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        setattr(_Flags, self._flag, self.prev)

    def clone(self) -> Any:
        return self.__class__(self.mode)


class set_multithreading_enabled(_FlagSwitch):
    """Whether a backward pass may use threads of its own; kept as a setting, since it does not here."""

    _flag = "multithreading"

    def __init__(self, mode: bool) -> None:
        super().__init__(mode)


class enforce_grad_layout_policy(_FlagSwitch):
    """Whether a gradient must lie in memory as its tensor does; kept as a setting, since it always may here."""

    _flag = "layout_enforcement"

    def __init__(self, enable: bool = True) -> None:
        super().__init__(enable)

    def __call__(self, function: Callable) -> Callable:
        setattr(_Flags, self._flag, self.prev)
        return super().__call__(function)


class _force_original_view_tracking(_FlagSwitch):
    """Whether a view's history is replayed from its base step by step; kept as a setting."""

    _flag = "view_replay"

    def __init__(self, mode: bool) -> None:
        super().__init__(mode)

    def __call__(self, function: Callable) -> Callable:
        setattr(_Flags, self._flag, self.prev)
        return super().__call__(function)


class _unsafe_preserve_version_counter(_Switch):
    """Writes inside the block are hidden from the tape."""

    def __init__(self, tensors: Tensor | tuple[Tensor, ...]) -> None:
        self.tensors = (tensors,) if isinstance(tensors, Tensor) else tensors
        if not isinstance(self.tensors, tuple):
            raise AssertionError("Expected tensors to be a tuple")
        self.prev_versions = tuple(t._version for t in self.tensors)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        for tensor, version in zip(self.tensors, self.prev_versions, strict=True):
            tensor._storage.version = version


def is_grad_enabled() -> bool:
    """Whether operations are being recorded in this thread."""
    return bool(threads.grad_enabled)


def is_inference_mode_enabled() -> bool:
    """Whether inference mode is on in this thread."""
    return threads.inference


def is_multithreading_enabled() -> bool:
    """Whether backward passes may use threads of their own."""
    return _Flags.multithreading


def is_view_replay_enabled() -> bool:
    """Whether views' histories are replayed from their bases step by step."""
    return _Flags.view_replay


for _cls in (
    no_grad,
    enable_grad,
    set_grad_enabled,
    inference_mode,
    set_multithreading_enabled,
    enforce_grad_layout_policy,
):
    _cls.__module__ = "torch.autograd.grad_mode"
