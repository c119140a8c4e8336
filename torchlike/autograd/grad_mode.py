"""Switches of the tape: whether operations are recorded for ``backward``, per thread."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from torchlike._engine.trace import threads


class _Switch:
    """A context manager that is also a decorator of functions, generators and (deprecated in torch) classes."""

    def __call__(self, function: Callable) -> Callable:
        if inspect.isgeneratorfunction(function):
            return self._wrap_generator(function)

        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return function(*args, **kwargs)

        return inside

    def _wrap_generator(self, function: Callable) -> Callable:
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
                    generator.close()
                    raise
                except BaseException as error:
                    advance = functools.partial(generator.throw, error)
                else:
                    advance = functools.partial(generator.send, sent)

        return inside

    def clone(self) -> Any:
        """Another switch like this one."""
        return self.__class__()


class no_grad(_Switch):
    """Operations inside the block, or the decorated function, are not recorded.

    >>> with no_grad(): pass
    """

    def __new__(cls, orig_func: Callable | None = None) -> Any:
        self = super().__new__(cls)
        return self if orig_func is None else self(orig_func)

    def __enter__(self) -> None:
        self.before = threads.grad_enabled
        threads.grad_enabled = False

    def __exit__(self, *_: object) -> None:
        threads.grad_enabled = self.before


class enable_grad(_Switch):
    """Operations inside the block, or the decorated function, are recorded."""

    def __new__(cls, orig_func: Callable | None = None) -> Any:
        self = super().__new__(cls)
        return self if orig_func is None else self(orig_func)

    def __enter__(self) -> None:
        self.before = threads.grad_enabled
        threads.grad_enabled = True

    def __exit__(self, *_: object) -> None:
        threads.grad_enabled = self.before


class set_grad_enabled(_Switch):
    """Turn recording on or off at once; as a context manager, back again at the block's end."""

    def __init__(self, mode: bool):
        self.before = threads.grad_enabled
        self.mode = mode
        threads.grad_enabled = bool(mode)

    def __call__(self, function: Callable) -> Callable:
        threads.grad_enabled = self.before
        return super().__call__(function)

    def __enter__(self) -> None:
        threads.grad_enabled = bool(self.mode)

    def __exit__(self, *_: object) -> None:
        threads.grad_enabled = self.before

    def __repr__(self) -> str:
        return f"set_grad_enabled(mode={self.mode})"

    def clone(self) -> set_grad_enabled:
        made = object.__new__(set_grad_enabled)
        made.before, made.mode = threads.grad_enabled, self.mode
        return made


class inference_mode(_Switch):
    """Operations inside the block are not recorded, and their results can never be."""

    def __new__(cls, mode: Any = True) -> Any:
        self = super().__new__(cls)
        if isinstance(mode, bool):
            return self
        self.__init__()
        return self(mode)

    def __init__(self, mode: Any = True):
        self.mode = mode if isinstance(mode, bool) else True

    def __enter__(self) -> None:
        self.before = threads.grad_enabled, threads.inference
        threads.inference = self.mode
        if self.mode:
            threads.grad_enabled = False

    def __exit__(self, *_: object) -> None:
        threads.grad_enabled, threads.inference = self.before

    def clone(self) -> inference_mode:
        return inference_mode(self.mode)


class set_multithreading_enabled(_Switch):
    """Accepted for compatibility: the backward walk is single-threaded."""

    def __init__(self, mode: bool):
        self.mode = mode

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def clone(self) -> set_multithreading_enabled:
        return set_multithreading_enabled(self.mode)


def is_grad_enabled() -> bool:
    """Whether operations are being recorded in this thread."""
    return threads.grad_enabled


def is_inference_mode_enabled() -> bool:
    """Whether inference mode is on in this thread."""
    return threads.inference


for _cls in (no_grad, enable_grad, set_grad_enabled, inference_mode, set_multithreading_enabled):
    _cls.__module__ = "torch.autograd.grad_mode"
