"""``torch._dynamo``: what programs use of torch's compiler.

Nothing is compiled ahead of time here: operations are recorded as they run, and what repeats becomes one XLA program. So
``torch.compile`` has nothing to add, and what it returns computes what it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torchlike._dynamo import config, eval_frame, exc, utils
from torchlike._dynamo.eval_frame import OptimizedModule

__all__ = [
    "OptimizedModule", "config", "disable", "eval_frame", "exc", "graph_break", "is_compiling", "list_backends",
    "mark_dynamic", "mark_static", "optimize", "reset", "utils",
]  # fmt: skip

#: The names of backends with their tags, as native has them.
_BACKENDS: dict[str, tuple[str, ...]] = {
    "aot_eager": ("debug",), "aot_eager_decomp_partition": ("debug",), "aot_eager_default_partitioner": ("debug",),
    "aot_ts": ("debug",), "cudagraphs": (), "eager": ("debug",), "eager_debug": ("debug",), "eager_noexcept": ("debug",),
    "inductor": (), "openxla": (), "tvm": (), "ts": ("debug",), "pre_dispatch_eager": ("debug",),
}  # fmt: skip


def list_backends(exclude_tags: Sequence[str] | None = ("debug", "experimental")) -> list[str]:
    """The names that ``torch.compile`` takes as ``backend``."""
    excluded = set(exclude_tags or ())
    return sorted(name for name, tags in _BACKENDS.items() if not excluded.intersection(tags))


def reset() -> None:
    """Forget compiled code; there is none to forget, and recorded programs stay right."""
    utils.counters.clear()


def graph_break(msg: str = "") -> None:
    """Nothing: operations are recorded across it."""


def is_compiling() -> bool:
    """False: functions run as they are written."""
    return False


def disable(
    fn: Callable | None = None, recursive: bool = True, *, reason: str | None = None, wrapping: bool = True
) -> Any:
    """``fn`` itself, or a decorator that returns the function."""
    return fn if fn is not None else lambda function: function


def optimize(*args: Any, **kwargs: Any) -> Callable:
    """A decorator that returns what ``torch.compile`` makes of a function or module."""
    return lambda model: eval_frame.compiled(model)


def mark_dynamic(t: Any, index: Any, **kwargs: Any) -> None:
    """Nothing: sizes that vary are found by themselves."""


def mark_static(t: Any, index: Any = None) -> None:
    """Nothing: sizes are constants of a program anyway."""


def explain(f: Callable, *extra_args: Any, **extra_kwargs: Any) -> Any:
    """NotImplementedError: there are no graph breaks to explain."""
    raise NotImplementedError(
        "torch._dynamo.explain reports where a compiler breaks a function into graphs; torchlike records operations as they "
        "run and breaks nothing. TORCHLIKE_LOG_COMPILES=1 logs what XLA compiles and why"
    )
