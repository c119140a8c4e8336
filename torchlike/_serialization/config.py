"""Settings of ``torch.save`` and ``torch.load``: the contents of ``torch.utils.serialization.config``."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from enum import Enum
from typing import Any


class LoadEndianness(Enum):
    """The byte order of files that do not say theirs."""

    NATIVE = 1
    LITTLE = 2
    BIG = 3


class _Section:
    """A group of settings; only those it begins with can be set."""

    def __init__(self, name: str, **defaults: Any):
        self.__dict__.update(defaults, _name=name)

    def __setattr__(self, setting: str, value: Any) -> None:
        if setting not in self.__dict__:
            section = self.__dict__["_name"]
            raise AttributeError(f"torch.utils.serialization.config.{section}.{setting} does not exist")
        self.__dict__[setting] = value


#: ``mmap_flags`` is ``mmap.MAP_PRIVATE``; the module is not imported for its sake.
load: Any = _Section(
    "load",
    mmap=False,
    endianness=None,
    mmap_flags=None if sys.platform == "win32" else 2,
    calculate_storage_offsets=False,
)
save: Any = _Section("save", compute_crc32=True, use_pinned_memory_for_d2h=False, storage_alignment=64)

_SECTIONS = {"load": load, "save": save}


@contextlib.contextmanager
def patch(arg1: str | dict[str, Any] | None = None, arg2: Any = None, **kwargs: Any) -> Iterator[None]:
    """Change settings in a block or a decorated function: ``patch("load.mmap", True)`` or a dictionary of such."""
    changes = {arg1: arg2} if isinstance(arg1, str) else {**(arg1 or {}), **kwargs}
    before: list[tuple[_Section, str, Any]] = []
    try:
        for key, value in changes.items():
            section_name, _, setting = key.partition(".")
            section = _SECTIONS[section_name]
            before.append((section, setting, getattr(section, setting)))
            setattr(section, setting, value)
        yield
    finally:
        for section, setting, value in reversed(before):
            setattr(section, setting, value)


class _Local(threading.local):
    """What a save or a load that is under way tells the functions it calls, in each thread."""

    map_location: Any = None
    skip_data: bool = False
    materialize_fake_tensors: bool = False


local = _Local()
