"""``torch.compiler``: control over compilation, of which nothing is left to do here (see ``torch.compile``)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from torchlike import _dynamo
from torchlike._compile import compile as _compile
from torchlike.compiler import config

__all__ = [
    "allow_in_graph", "assume_constant_result", "compile", "config", "cudagraph_mark_step_begin", "disable",
    "get_default_backend", "is_compiling", "is_dynamo_compiling", "is_exporting", "list_backends", "load_cache_artifacts",
    "nested_compile_region", "reset", "save_cache_artifacts", "set_default_backend", "set_stance", "substitute_in_graph",
    "wrap_numpy",
]  # fmt: skip

_STANCES = (
    "default", "eager_on_recompile", "fail_on_recompile", "force_eager", "eager_then_compile", "aot_eager_then_compile",
)  # fmt: skip
_state: dict[str, Any] = {"backend": "inductor", "stance": "default"}


def compile(*args: Any, **kwargs: Any) -> Any:
    """See :func:`torch.compile`."""
    return _compile(*args, **kwargs)


def reset() -> None:
    """Forget compiled code; there is none to forget."""
    _dynamo.reset()


def is_compiling() -> bool:
    """False: functions run as they are written."""
    return False


def is_dynamo_compiling() -> bool:
    """False: functions run as they are written."""
    return False


def is_exporting() -> bool:
    """False: functions run as they are written."""
    return False


def list_backends(exclude_tags: Sequence[str] = ("debug", "experimental")) -> list[str]:
    """The names that :func:`torch.compile` takes as ``backend``."""
    return _dynamo.list_backends(exclude_tags)


def get_default_backend() -> Any:
    """The backend of :func:`torch.compile` where none is given."""
    return _state["backend"]


def set_default_backend(backend: str | Callable[..., Any] | None) -> None:
    """Set the backend of :func:`torch.compile` where none is given; None for torch's own default."""
    _state["backend"] = "inductor" if backend is None else backend


def allow_in_graph(fn: Any) -> Any:
    """``fn`` itself."""
    if isinstance(fn, (list, tuple)):
        return [allow_in_graph(x) for x in fn]
    if not callable(fn):
        raise AssertionError("allow_in_graph expects a callable")
    return fn


def assume_constant_result(fn: Any) -> Any:
    """``fn`` itself."""
    return fn


def substitute_in_graph(
    original_fn: Callable, *, can_constant_fold_through: bool = False, skip_signature_check: bool = False
) -> Callable:
    """A decorator that returns the function."""
    return lambda function: function


def disable(fn: Callable | None = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """``fn`` itself, or a decorator that returns the function."""
    return _dynamo.disable(fn, recursive)


def nested_compile_region(fn: Callable | None = None, *, options: Any = None, max_reuse_entries: int = 8,
                          reuse_hash_fn: Any = None) -> Any:  # fmt: skip
    """``fn`` itself, or a decorator that returns the function."""
    return fn if fn is not None else lambda function: function


def cudagraph_mark_step_begin() -> None:
    """Nothing: there are no CUDA graphs whose outputs could be overwritten."""


def set_enable_guard_collectives(enabled: bool) -> bool:
    """Kept, without effect: there are no guards. Returns what was set before."""
    before = _state.get("guard_collectives", False)
    _state["guard_collectives"] = enabled
    return before


def wrap_numpy(fn: Callable) -> Callable:
    """A function of NumPy arrays as a function of tensors: arguments and results are converted, nothing is differentiated."""
    import numpy as np

    import torchlike as torch

    @functools.wraps(fn)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        arrays = [a.numpy() if isinstance(a, torch.Tensor) else a for a in args]
        named = {k: a.numpy() if isinstance(a, torch.Tensor) else a for k, a in kwargs.items()}
        result = fn(*arrays, **named)
        if isinstance(result, (tuple, list)):
            return type(result)(torch.from_numpy(np.asarray(r)) for r in result)
        return torch.from_numpy(np.asarray(result)) if isinstance(result, (np.ndarray, np.generic)) else result

    return wrapped


class set_stance:
    """Set how compiled functions are treated; a function, a context manager and a decorator. There is nothing to treat."""

    def __init__(self, stance: str = "default", *, skip_guard_eval_unsafe: bool = False, force_backend: Any = None):
        if stance not in _STANCES:
            raise RuntimeError(f"invalid torch.compile stance: {stance}")
        self.before = _state["stance"]
        self.stance = _state["stance"] = stance

    def __enter__(self) -> None:
        _state["stance"] = self.stance

    def __exit__(self, *_: object) -> None:
        _state["stance"] = self.before

    def __call__(self, fn: Callable) -> Callable:
        """``fn``, run under the stance."""
        _state["stance"] = self.before

        @functools.wraps(fn)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                return fn(*args, **kwargs)

        return run


def save_cache_artifacts() -> Any:
    """None: XLA's programs are kept in a cache of files by themselves."""
    return None


def load_cache_artifacts(serialized_artifacts: bytes) -> Any:
    """None: nothing is taken over; XLA's programs are kept in a cache of files by themselves."""
    return None
