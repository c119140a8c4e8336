"""``torch.device``: where a tensor lives, and the device that tensors are made on by default."""

from __future__ import annotations

import operator
import re
import threading
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

from torchlike._tensor.type_names import argument_type, type_name

#: Every device type that torch's own parser knows, in its order.
TYPES = (
    "cpu", "cuda", "ipu", "xpu", "mkldnn", "opengl", "opencl", "ideep", "hip", "ve", "fpga", "maia", "xla", "lazy",
    "vulkan", "mps", "meta", "hpu", "mtia", "privateuseone",
)  # fmt: skip

_NAME = re.compile(r"([A-Za-z_]+)(?::(0|[1-9][0-9]*))?", re.ASCII)
_INT32_MAX = (1 << 31) - 1
_INT64 = range(-(1 << 63), 1 << 63)
_FORMS = ("torch.device device", "str type, int index = -1")


class device:
    """``device("cuda:1")``, ``device("cuda", 1)``, ``device(1)`` or ``device(other_device)``.

    ``type`` is the kind of device and ``index`` its ordinal, None for the current device of that kind. A bare integer
    names a device of the current accelerator. There is one instance for each ``(type, index)``, so devices may be
    compared by identity. As a context manager, a device is the default device of tensors made inside the block.

    >>> device("cuda", 0)
    device(type='cuda', index=0)
    """

    __slots__ = ("__weakref__", "index", "type")

    type: str
    index: int | None

    def __new__(cls, *args: Any, **kwargs: Any) -> device:
        if len(args) == 1 and not kwargs:
            argument = args[0]
            if type(argument) is str:
                return _BY_STRING.get(argument) or _parse(argument)
            if type(argument) is device:
                return argument
        return _construct(args, kwargs)

    def __init_subclass__(cls, **_: Any) -> NoReturn:
        raise TypeError("type 'torch.device' is not an acceptable base type")

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{index})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    # One instance for each (type, index): the identity that `object` compares and hashes by is equality.

    def __lt__(self, other: object) -> bool:
        if isinstance(other, device):
            raise TypeError("comparison not implemented")
        return NotImplemented

    __gt__ = __le__ = __ge__ = __lt__

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        if name in ("type", "index"):
            raise AttributeError(f"attribute '{name}' of 'torch.device' objects is not writable")
        raise AttributeError(f"'torch.device' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> NoReturn:
        self.__setattr__(name, None)

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"'torch.device' object has no attribute '{name}'")

    def __reduce__(self) -> tuple[Any, ...]:
        return _intern, (self.type, self.index)

    def __enter__(self) -> device:
        _defaults.stack.append(_defaults.current)
        _defaults.current = self
        return self

    def __exit__(self, *_: object) -> None:
        _defaults.current = _defaults.stack.pop()


device.__module__ = "torch"

_INTERNED: dict[tuple[str, int | None], device] = {}
_BY_STRING: dict[str, device] = {}


def _intern(kind: str, index: int | None) -> device:
    """The one device of this type and index."""
    found = _INTERNED.get((kind, index))
    if found is None:
        if kind == "mkldnn":
            warnings.warn(
                "'mkldnn' is no longer used as device type. So torch.device('mkldnn') will be deprecated and removed "
                "in the future. Please use other valid device types instead.",
                UserWarning,
                stacklevel=4,
            )
        made = object.__new__(device)
        object.__setattr__(made, "type", kind)
        object.__setattr__(made, "index", index)
        found = _INTERNED.setdefault((kind, index), made)
        _BY_STRING[str(found)] = found
    return found


def _parse(text: str) -> device:
    """The device that a string such as ``"cuda:1"`` names; RuntimeError for any other string."""
    if not text:
        raise RuntimeError("Device string must not be empty")
    match = _NAME.fullmatch(text)
    if match is None:
        raise RuntimeError(f"Invalid device string: '{text}'")
    kind, digits = match.groups()
    if digits is not None and int(digits) > _INT32_MAX:
        raise RuntimeError(f"Could not parse device index '{digits}' in device string '{text}'")
    if kind not in TYPES:
        raise RuntimeError(f"Expected one of {', '.join(TYPES)} device type at start of device string: {kind}")
    return _intern(kind, None if digits is None else int(digits))


# The general constructor: every form that torch's argument parser takes, and its messages for the others.


def _construct(args: tuple[Any, ...], kwargs: dict[str, Any]) -> device:
    if len(args) + len(kwargs) == 1:
        name, value = ("device", args[0]) if args else next(iter(kwargs.items()))
        if name == "device" and _is_device_like(value):
            return _of_device_like(value)
        if name == "type" and isinstance(value, (str, bytes)):
            return _indexed(value, -1)
    if len(args) + len(kwargs) != 2:
        raise _no_form(args, kwargs)
    if not args and "type" not in kwargs:
        raise TypeError('device() missing 1 required positional arguments: "type"')
    given = dict(zip(("type", "index"), args, strict=False))
    for name, value in kwargs.items():
        if name not in ("type", "index"):
            raise TypeError(f"device() got an unexpected keyword argument '{name}'")
        if name in given:
            raise TypeError(f"device() got multiple values for argument '{name}'")
        given[name] = value
    if not isinstance(given["type"], (str, bytes)):
        raise TypeError(f"device(): argument 'type' (position 1) must be str, not {type_name(given['type'])}")
    index = given["index"]
    if index is None:
        return _indexed(given["type"], -1)
    if not _is_integer(index):
        raise TypeError(f"device(): argument 'index' (position 2) must be int, not {type_name(index)}")
    return _indexed(given["type"], _int64(index), explicit=True)


def _is_integer(value: Any) -> bool:
    """Whether torch takes ``value`` for an integer: ints, NumPy integers and 0-dim integer tensors, not booleans."""
    if isinstance(value, bool) or not hasattr(type(value), "__index__") or getattr(value, "shape", ()):
        return False
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


def _is_device_like(value: Any) -> bool:
    if isinstance(value, (device, str, bytes)):
        return True
    return _is_integer(value) and not hasattr(value, "requires_grad")  # a tensor is an index, never a device


def _of_device_like(value: Any) -> device:
    if isinstance(value, device):
        return value
    if isinstance(value, (str, bytes)):
        return _parse(_text(value))
    ordinal = _int64(value)
    if ordinal < 0:
        raise RuntimeError("Device index must not be negative")
    kind = accelerator_type()
    if kind is None:
        raise RuntimeError("Cannot access accelerator device when none is available.")
    return _intern(kind, ordinal)


def _indexed(name: str | bytes, index: int, explicit: bool = False) -> device:
    found = _parse(_text(name))
    if not explicit and found.index is None:
        return found
    if found.index is not None:
        raise RuntimeError(
            f"type (string) must not include an index because index was passed explicitly: {_text(name)}"
        )
    if index < 0:
        raise RuntimeError("Device index must not be negative")
    return _intern(found.type, index)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _int64(value: Any) -> int:
    number = operator.index(value)
    if number not in _INT64:
        raise ValueError("Overflow when unpacking long long")
    return number


def _no_form(args: tuple[Any, ...], kwargs: dict[str, Any]) -> TypeError:
    """The error for arguments that match no form of the constructor; it lists the forms and, for one argument, why."""
    got = ", ".join(type_name(a) for a in args)
    if kwargs:
        got += (", " if args else "") + ", ".join(f"{k}={type_name(v)}" for k, v in kwargs.items()) + ", "
    lines = [f"device() received an invalid combination of arguments - got ({got}), but expected one of:"]
    for form in _FORMS:
        lines.append(f" * ({form})")
        if form == _FORMS[0] and len(args) + len(kwargs) == 1:
            unknown = [k for k in kwargs if k != "device"]
            if unknown:
                lines.append(f"      didn't match because some of the keywords were incorrect: {', '.join(unknown)}")
            else:
                wrong = f"!{argument_type(args[0])}!" if args else f"!device={argument_type(kwargs['device'])}!, "
                lines.append(f"      didn't match because some of the arguments have invalid types: ({wrong})")
    return TypeError("\n".join(lines) + "\n")


# The default device. Each thread has its own, as in torch.


class _Defaults(threading.local):
    """``current`` is the default device, None while nobody has chosen one; ``stack`` holds those outside of blocks."""

    current: device | None = None

    def __init__(self) -> None:
        self.stack: list[device | None] = []


_defaults = _Defaults()

cpu = device("cpu")
meta = device("meta")

#: The current ordinal of each kind of accelerator; the module of a device type puts its function here.
current_index: dict[str, Callable[[], int]] = {}


def accelerator_type() -> str | None:
    """The type of this machine's accelerator, None for none; whoever finds one replaces this by assignment."""
    return None


def chosen_device() -> device:
    """The device new tensors are made on, its index left out where it was left out when it was chosen."""
    return _defaults.current or cpu


def get_default_device() -> device:
    """The device new tensors are made on, with the index of the current device where none was chosen."""
    chosen = _defaults.current
    if chosen is None:
        return cpu
    if chosen.index is None and chosen.type in current_index:
        return _intern(chosen.type, current_index[chosen.type]())
    return chosen


def set_default_device(device: device | str | int | None, /) -> None:
    """Make tensors on ``device`` unless told otherwise; None goes back to the CPU. Holds for the calling thread."""
    _defaults.current = None if device is None else _as_device(device)


_as_device = device
