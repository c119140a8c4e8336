"""Why a program was compiled, in a line or two on standard error (``TORCHLIKE_LOG_COMPILES=1``)."""

from __future__ import annotations

import os
import sys
from typing import Any

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep

#: Sequences of kernels that were compiled before, with the specs they had.
_compiled: dict[tuple, list[tuple]] = {}


def compilation(program: Any) -> None:
    """Print what is being compiled, the user's line that asked for it, and what is new about it."""
    kernels = tuple(instance.kernel.name for instance, _, _ in program.steps)
    inputs = tuple(str(s) for s in program.specs)
    statics = tuple((instance.static, instance.inputs) for instance, _, _ in program.steps)
    before = _compiled.setdefault(kernels, [])
    print(
        f"torchlike: compiling {len(kernels)} operations after {program.runs - 1} runs on the host "
        f"({_user_line()}): {_reason(before, inputs, statics)}",
        file=sys.stderr,
    )
    before.append((inputs, statics))


def _reason(before: list[tuple], inputs: tuple, statics: tuple) -> str:
    if not before:
        return "this sequence of operations is new"
    known, old = before[-1]
    changed = [f"{a} -> {b}" for a, b in zip(known, inputs, strict=False) if a != b]
    if changed:
        return "new shapes or dtypes: " + ", ".join(changed[:4])
    constants = [f"{a} -> {b}" for a, b in zip(old, statics, strict=False) if a != b]
    if constants:
        return "new constants: " + ", ".join(constants[:4])
    return "other results are wanted"


def _user_line() -> str:
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith((_PACKAGE, "<")):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "unknown line"
