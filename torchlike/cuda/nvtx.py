"""``torch.cuda.nvtx``: ranges for NVIDIA's profilers; on an accelerator they are ranges of JAX's profiler."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torchlike._tensor.placement import accelerators

_open: list[Any] = []


def _require() -> None:
    if not accelerators():
        raise RuntimeError("NVTX functions not installed. Are you sure you have a CUDA build?")


def range_push(msg: str) -> int:
    """Begin a range; the number of ranges that were open."""
    import jax

    _require()
    annotation = jax.profiler.TraceAnnotation(msg)
    annotation.__enter__()
    _open.append(annotation)
    return len(_open) - 1


def range_pop() -> int:
    """End the range that was begun last; the number of ranges that are still open."""
    _require()
    if _open:
        _open.pop().__exit__(None, None, None)
    return len(_open)


def mark(msg: str) -> None:
    """Mark a moment."""
    import jax

    _require()
    with jax.profiler.TraceAnnotation(msg):
        pass


@contextlib.contextmanager
def range(msg: str, *args: Any, **kwargs: Any) -> Iterator[None]:
    """A range around a block or a function."""
    range_push(msg.format(*args, **kwargs))
    try:
        yield
    finally:
        range_pop()
