"""Functions and classes of ``torch`` itself that are no operators."""

from __future__ import annotations

import builtins
import warnings
from collections.abc import Callable
from typing import Any

from torchlike._compile import compile
from torchlike._errors import AcceleratorError, OutOfMemoryError
from torchlike._streams import Event, Stream
from torchlike._tensor.tensor import Tensor

__all__ = [
    "AcceleratorError", "Event", "OutOfMemoryError", "Stream", "SymBool", "SymFloat", "SymInt", "compile", "cond",
    "get_deterministic_debug_mode", "get_device_module", "init_num_threads", "is_warn_always_enabled",
    "set_deterministic_debug_mode", "set_flush_denormal", "set_warn_always", "sym_float", "sym_int", "sym_ite", "sym_max",
    "sym_min", "sym_not", "sym_sum", "_check", "_check_index", "_check_is_size", "_check_not_implemented",
    "_check_tensor_all", "_check_type", "_check_value", "_check_with",
]  # fmt: skip


# Conditions that hold, or else.

_EXPECTED = (
    "Expected cond to be True, but got False. (Could this error message be improved? If so, please report an enhancement request "
    "to PyTorch.)"
)


def _check_with(error_type: type[Exception], cond: bool, message: Callable[[], Any] | None = None) -> None:
    """Raise ``error_type``, with what ``message()`` returns, unless ``cond`` is True."""
    if not isinstance(cond, builtins.bool):
        raise TypeError(f"cond must be a bool, but got {type(cond)}")
    if cond:
        return
    if message is None:
        raise error_type(_EXPECTED)
    if not callable(message):
        raise TypeError("message must be a callable")
    raise error_type(str(message()))


def _check(cond: bool, message: Callable[[], Any] | None = None) -> None:
    """RuntimeError unless ``cond`` is True."""
    _check_with(RuntimeError, cond, message)


def _check_index(cond: bool, message: Callable[[], Any] | None = None) -> None:
    """IndexError unless ``cond`` is True."""
    _check_with(IndexError, cond, message)


def _check_value(cond: bool, message: Callable[[], Any] | None = None) -> None:
    """ValueError unless ``cond`` is True."""
    _check_with(ValueError, cond, message)


def _check_type(cond: bool, message: Callable[[], Any] | None = None) -> None:
    """TypeError unless ``cond`` is True."""
    _check_with(TypeError, cond, message)


def _check_not_implemented(cond: bool, message: Callable[[], Any] | None = None) -> None:
    """NotImplementedError unless ``cond`` is True."""
    _check_with(NotImplementedError, cond, message)


def _check_is_size(i: int, message: Callable[[], Any] | None = None, *, max: int | None = None) -> None:
    """Deprecated: RuntimeError for a negative number, or one above ``max``."""
    warnings.warn(
        "_check_is_size will be removed in a future PyTorch release along with guard_size_oblivious.     Use _check(i >= 0) "
        "instead.",
        FutureWarning,
        stacklevel=2,
    )
    _check(i >= 0, message)
    if max is not None:
        _check(i <= max, message)


def _check_tensor_all(cond: Tensor, message: Callable[[], Any] | None = None) -> None:
    """RuntimeError unless all elements of a tensor of bool are True."""
    if not isinstance(cond, Tensor):
        raise TypeError(f"cond must be a tensor, but got {type(cond)}")
    if cond.dtype.name != "bool":
        raise TypeError(f"cond tensor must have dtype torch.bool, but got {cond.dtype}")
    _check(builtins.bool(cond.all().item()), message)


def cond(pred: Any, true_fn: Callable, false_fn: Callable, operands: Any = ()) -> Any:
    """``true_fn(*operands)`` where ``pred`` holds, else ``false_fn(*operands)``."""
    return (true_fn if builtins.bool(pred) else false_fn)(*operands)


# Numbers that might be symbols in native torch; here they are Python's.


class SymInt:
    """A whole number that native's compiler knows only as a symbol; there are none here."""


class SymFloat:
    """A number that native's compiler knows only as a symbol; there are none here."""


class SymBool:
    """A truth value that native's compiler knows only as a symbol; there are none here."""


def sym_not(a: Any) -> builtins.bool:
    """``not a``."""
    return not a


def sym_float(a: Any) -> builtins.float:
    """``a`` as a float."""
    return builtins.float(a)


def sym_int(a: Any) -> builtins.int:
    """``a`` without its fraction."""
    return builtins.int(a)


def sym_max(a: Any, b: Any) -> Any:
    """The larger of two numbers; a float where one is a float."""
    larger = max(a, b)
    return builtins.float(larger) if isinstance(a, builtins.float) or isinstance(b, builtins.float) else larger


def sym_min(a: Any, b: Any) -> Any:
    """The smaller of two numbers; a float where one is a float."""
    smaller = min(a, b)
    return builtins.float(smaller) if isinstance(a, builtins.float) or isinstance(b, builtins.float) else smaller


def sym_ite(b: Any, t: Any, f: Any) -> Any:
    """``t if b else f``."""
    return t if b else f


def sym_sum(*args: Any) -> Any:
    """The sum of a sequence of whole numbers, or of the arguments."""
    return sum(args[0] if len(args) == 1 and isinstance(args[0], (list, tuple)) else args)


# Switches.

_switches = {"warn_always": False}
_MODES = {"default": 0, "warn": 1, "error": 2}


def set_deterministic_debug_mode(debug_mode: Any) -> None:
    """``use_deterministic_algorithms`` by a number or a word: 0 "default", 1 "warn", 2 "error"."""
    import torchlike

    if not isinstance(debug_mode, (builtins.int, str)):
        raise TypeError(f"debug_mode must be str or int, but got {type(debug_mode)}")
    if isinstance(debug_mode, str):
        if debug_mode not in _MODES:
            raise RuntimeError(
                f"invalid value of debug_mode, expected one of `default`, `warn`, `error`, but got {debug_mode}"
            )
        debug_mode = _MODES[debug_mode]
    if debug_mode not in (0, 1, 2):
        raise RuntimeError(f"invalid value of debug_mode, expected 0, 1, or 2, but got {debug_mode}")
    torchlike.use_deterministic_algorithms(debug_mode > 0, warn_only=debug_mode == 1)


def get_deterministic_debug_mode() -> builtins.int:
    """What ``use_deterministic_algorithms`` set, as a number: 0, 1 to warn, 2 to raise."""
    import torchlike

    if not torchlike.are_deterministic_algorithms_enabled():
        return 0
    return 1 if torchlike.is_deterministic_algorithms_warn_only_enabled() else 2


def set_warn_always(b: builtins.bool, /) -> None:
    """Kept: warnings here are Python's, whose filters decide how often one is shown."""
    if not isinstance(b, builtins.bool):
        raise RuntimeError(f"setWarnOnlyOnce expects a bool, but got {type(b).__name__}")
    _switches["warn_always"] = b


def is_warn_always_enabled() -> builtins.bool:
    """What ``set_warn_always`` set."""
    return _switches["warn_always"]


def set_flush_denormal(mode: builtins.bool, /) -> builtins.bool:
    """False: how the processor treats denormal numbers cannot be set from here."""
    if not isinstance(mode, builtins.bool):
        raise RuntimeError(f"flush_denormal expects a bool, but got {type(mode).__name__}")
    return False


def init_num_threads() -> None:
    """Nothing: threads are set up when the process starts."""


def get_device_module(device: Any = None) -> Any:
    """The module of a device's type, such as ``torch.cuda``; that of the accelerator, or of the host, unless given."""
    import importlib

    from torchlike._tensor.device import device as Device
    from torchlike._tensor.placement import accelerators

    if device is None:
        name = "cuda" if accelerators() else "cpu"
    else:
        name = device.type if isinstance(device, Device) else Device(device).type
    try:
        return importlib.import_module(f"torchlike.{name}")
    except ModuleNotFoundError:
        raise RuntimeError(
            f"Device '{name}' does not have a corresponding module registered as 'torch.{name}'."
        ) from None
