"""Picklers that write torch's names, and unpicklers that find our objects under them."""

from __future__ import annotations

import contextlib
import io
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

from torchlike._install import ALIAS, PACKAGE
from torchlike._serialization.names import global_name, is_ours, resolve, torch_module
from torchlike._storage.typed import STORAGE_CLASSES
from torchlike._tensor.device import device
from torchlike._tensor.dtypes import dtype
from torchlike._tensor.memory_format import layout
from torchlike._tensor.size import Size

#: Modules that torch has moved since files were written that name them.
_MOVED = {"torch.tensor": "torch._tensor"}


def _reduced(obj: Any) -> Any:
    """How torch's own small types go into a file; NotImplemented for anything else."""
    rule = _SMALL.get(type(obj))
    return NotImplemented if rule is None else rule(obj)


def _layout(obj: layout) -> tuple[Any, ...]:
    from torchlike.serialization import _get_layout

    return _get_layout, (str(obj),)


_SMALL: dict[type, Callable[[Any], Any]] = {
    Size: lambda obj: (Size, (tuple(obj),)),
    dtype: lambda obj: obj.name,
    # The type's name is a string of its own, as natively, so that the pickle's memo and so the bytes are the same.
    device: lambda obj: (device, (obj.type.encode().decode(), *(() if obj.index is None else (obj.index,)))),
    layout: _layout,
}


#: Python's pickler; its parts are not declared to type checkers.
_PythonPickler: Any = pickle._Pickler  # type: ignore[attr-defined]


class _TorchPickler(_PythonPickler):
    """Python's pickler with torch's names for our classes and functions.

    It is the one written in Python: the one in C looks every name up as a module, and ``torch`` need not be one.
    """

    dispatch = _PythonPickler.dispatch.copy()

    def save_global(self, obj: Any, name: str | None = None) -> None:
        named = (ALIAS, obj.name) if type(obj) is dtype else global_name(obj, name)
        if named is None:
            _check_not_torch(obj, name)
            try:
                super().save_global(obj, name)
            except pickle.PicklingError:
                pickle.dumps(obj, self.proto)  # raises in the words of the pickler in C, which programs know
                raise
            return
        module, name = named
        if self.proto >= 4:
            self.save(module)
            self.save(name)
            self.write(pickle.STACK_GLOBAL)
        elif "." in name:
            outer, _, name = name.rpartition(".")
            self.save_reduce(getattr, (resolve(module, outer), name))
        else:
            self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode("utf-8" if self.proto >= 3 else "ascii"))
        self.memoize(obj)

    def save_small(self, obj: Any) -> None:
        """Save a Size, a dtype, a device or a layout."""
        reduced = _reduced(obj)
        if isinstance(reduced, str):
            self.save_global(obj, reduced)
        else:
            self.save_reduce(*reduced, obj=obj)

    dispatch[FunctionType] = save_global
    dispatch.update(dict.fromkeys(_SMALL, save_small))


def _check_not_torch(obj: Any, name: str | None) -> None:
    """PicklingError for something of ours that cannot be found again (looking it up would import native PyTorch)."""
    module = getattr(obj, "__module__", None)
    if isinstance(module, str) and module.partition(".")[0] == ALIAS and sys.modules.get(ALIAS) is not _own_package():
        name = name or getattr(obj, "__qualname__", None) or obj.__name__
        raise pickle.PicklingError(f"Can't pickle {obj!r}: it's not found as {module}.{name}")


def _own_package() -> Any:
    return sys.modules.get(PACKAGE)


def dump(obj: Any, pickle_module: Any, protocol: int, persistent_id: Callable[[Any], Any]) -> bytes:
    """``obj`` pickled; ``persistent_id`` says which storages and classes a file keeps elsewhere, and under what id."""
    if pickle_module.Pickler in (pickle.Pickler, _PythonPickler):
        try:
            return _dump(obj, _TorchPickler, protocol, persistent_id)
        except RecursionError:
            with _deeper_stack():
                return _dump(obj, _TorchPickler, protocol, persistent_id)
    with importable_as_torch():
        return _with_torch_names(_dump(obj, pickle_module.Pickler, protocol, persistent_id))


def _dump(obj: Any, base: Any, protocol: int, persistent_id: Callable[[Any], Any]) -> bytes:
    buffer = io.BytesIO()
    _pickler_class(base, persistent_id)(buffer, protocol=protocol).dump(obj)
    return buffer.getvalue()


@contextlib.contextmanager
def _deeper_stack() -> Iterator[None]:
    """Allow calls to nest four times as deep: Python's pickler takes several for one of the pickler in C."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(4 * limit)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def _pickler_class(base: Any, find: Callable[[Any], Any]) -> Any:
    class Pickler(base):
        def persistent_id(self, obj: Any) -> Any:
            # Asked of every object there is, and hardly ever of one that has an id.
            return find(obj) if type(obj) in STORAGE_CLASSES or isinstance(obj, type) else None

    if base is not _TorchPickler:
        inherited = getattr(base, "reducer_override", None)

        def reducer_override(self: Any, obj: Any) -> Any:
            reduced = _reduced(obj)
            return inherited(self, obj) if reduced is NotImplemented and inherited is not None else reduced

        Pickler.reducer_override = reducer_override
    return Pickler


# Other people's picklers look names up themselves.

_aliasing = threading.RLock()


@contextlib.contextmanager
def importable_as_torch() -> Iterator[None]:
    """Let this package's modules be found in ``sys.modules`` under torch's names inside the block."""
    if sys.modules.get(ALIAS) is _own_package():
        yield
        return
    with _aliasing:
        displaced = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == ALIAS}
        for name in list(sys.modules):
            if name.partition(".")[0] == PACKAGE:
                sys.modules[torch_module(name)] = sys.modules[name]
        try:
            yield
        finally:
            for name in list(sys.modules):
                if name.partition(".")[0] == ALIAS:
                    del sys.modules[name]
            sys.modules.update(displaced)


def _with_torch_names(data: bytes) -> bytes:
    """A pickle with this package's names turned into torch's, as far as its protocol spells names out (up to 3)."""
    if PACKAGE.encode() not in data:
        return data
    import pickletools

    parts: list[bytes] = []
    copied = 0
    for opcode, argument, position in pickletools.genops(data):
        if opcode.name == "GLOBAL" and argument is not None and position is not None:
            module, name = argument.split(" ", 1)
            if module.partition(".")[0] == PACKAGE:
                named = global_name(resolve(module, name)) or (module, name)
                parts += [data[copied:position], pickle.GLOBAL, "{}\n{}\n".format(*named).encode()]
                copied = position + len(f"c{module}\n{name}\n".encode())
    return b"".join([*parts, data[copied:]])


def load(file: Any, pickle_module: Any, persistent_load: Callable[[Any], Any], **options: Any) -> Any:
    """The object of the next pickle of ``file``, read with the unpickler of ``pickle_module``."""
    unpickler = _unpickler_class(pickle_module.Unpickler)(file, **options)
    unpickler.persistent_load = persistent_load
    return unpickler.load()


def _unpickler_class(base: Any) -> Any:
    from torchlike.serialization import StorageType

    class Unpickler(base):
        def find_class(self, module: str, name: str) -> Any:
            if type(name) is str and "Storage" in name:
                with contextlib.suppress(KeyError):
                    return StorageType(name)
            module = _MOVED.get(module, module)
            if not is_ours(module):
                return super().find_class(module, name)
            if base not in (pickle.Unpickler, pickle._Unpickler):  # type: ignore[attr-defined]
                # An unpickler of the user's own is asked first, by torch's name.
                with contextlib.suppress(ImportError, AttributeError), importable_as_torch():
                    return super().find_class(module, name)
            return resolve(module, name)

    return Unpickler
