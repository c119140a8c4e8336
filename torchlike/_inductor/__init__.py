"""``torch._inductor``: the switches of a compiler that is not underneath here, and no more."""

from __future__ import annotations

from typing import Any

from torchlike._inductor import config

__all__ = ["aoti_compile_and_package", "aoti_load_package", "config"]

_REASON = (
    "torchlike has no compiler to machine code of its own: XLA compiles what a program records while it runs. To run a model "
    "elsewhere, save its state_dict"
)


def aoti_compile_and_package(*args: Any, **kwargs: Any) -> Any:
    """NotImplementedError: no package of machine code can be made."""
    raise NotImplementedError(f"torch._inductor.aoti_compile_and_package: {_REASON}")


def aoti_load_package(*args: Any, **kwargs: Any) -> Any:
    """NotImplementedError: no package of machine code can be loaded."""
    raise NotImplementedError(f"torch._inductor.aoti_load_package: {_REASON}")
