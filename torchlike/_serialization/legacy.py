"""The formats before the zip archive: a stream of pickles followed by the storages, and before that a tar file."""

from __future__ import annotations

import struct
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from torchlike._serialization import pickler, unpickler
from torchlike._serialization.files import check_seekable, should_read_directly
from torchlike._serialization.storages import Restore, StorageIds, decoded
from torchlike._storage.layout import tensor_on
from torchlike._storage.typed import TypedStorage
from torchlike._storage.untyped import UntypedStorage, allocate
from torchlike._tensor import dtypes

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
_UINT64 = 0xFFFFFFFFFFFFFFFF

_NO_SOURCE = "Couldn't retrieve source code for container of type {}. It won't be checked for correctness upon loading."


# Saving


def save(obj: Any, file: Any, pickle_module: Any, protocol: int) -> None:
    """Write ``obj`` to ``file`` as a stream of pickles, then the bytes of its storages."""
    storages = StorageIds()
    containers: set[Any] = set()

    def persistent_id(found: Any) -> tuple | None:
        from torchlike.nn import Module

        if isinstance(found, type) and issubclass(found, Module):
            if found in containers:
                return None
            containers.add(found)
            return ("module", found, *_source_of(found))
        id_ = storages.id_of(found, lambda storage: str(storage._cdata))
        return None if id_ is None else (*id_, None)

    system = {
        "protocol_version": PROTOCOL_VERSION,
        "little_endian": sys.byteorder == "little",
        "type_sizes": {"short": struct.calcsize("=h"), "int": struct.calcsize("=i"), "long": struct.calcsize("=l")},
    }
    for part in (MAGIC_NUMBER, PROTOCOL_VERSION, system):
        pickle_module.dump(part, file, protocol=protocol)
    file.write(pickler.dump(obj, pickle_module, protocol, persistent_id))
    keys = sorted(storages.found)
    pickle_module.dump(keys, file, protocol=protocol)
    file.flush()
    for key in keys:
        storage, dtype = storages.found[key]
        data = storage.cpu()._bytes()
        file.write(struct.pack("<q", len(data) // dtype.itemsize))
        file.write(np.ascontiguousarray(data).data)


def _source_of(container: Any) -> tuple[str | None, str | None]:
    """The file that defines a module class, and its text."""
    import inspect

    try:
        return inspect.getsourcefile(container), inspect.getsource(container)
    except Exception:  # It is a convenience for the reader of the file; anything may stand in its way.
        warnings.warn(_NO_SOURCE.format(container.__name__), stacklevel=4)
        return None, None


# Loading


def load(
    file: Any, restore: Restore, pickle_module: Any, weights_only: bool, uninitialized: bool, **options: Any
) -> Any:
    """The object in a file of one of the older formats.

    Args:
        file: a seekable file.
        restore: what moves each storage to its device.
        pickle_module: module of the unpickler, None with ``weights_only``.
        weights_only: whether only plain values and tensors may be built.
        uninitialized: whether the storages' bytes are to be left out.
        options: arguments of the unpickler.
    """
    check_seekable(file)
    if should_read_directly(file) and file.tell() == 0:
        import tarfile

        try:
            return _load_tar(file, restore, pickle_module, weights_only, options)
        except tarfile.TarError:
            file.seek(0)
    read = unpickler.load if weights_only else pickle_module.load
    if read(file, **options) != MAGIC_NUMBER:
        raise RuntimeError("Invalid magic number; corrupt file?")
    version = read(file, **options)
    if version != PROTOCOL_VERSION:
        raise RuntimeError(f"Invalid protocol version: {version}")
    read(file, **options)
    storages = _Stream(restore)
    result = unpickle(file, pickle_module, weights_only, storages.persistent_load, options)
    keys = read(file, **options)
    if not uninitialized:
        storages.fill(file, keys)
    return result


def unpickle(
    file: Any, pickle_module: Any, weights_only: bool, persistent_load: Callable[[Any], Any], options: dict
) -> Any:
    """The object of the next pickle of ``file``, which refers to storages by persistent ids."""
    if not weights_only:
        return pickler.load(file, pickle_module, persistent_load, **options)
    machine = unpickler.Unpickler(file, **options)
    machine.persistent_load = persistent_load  # type: ignore[method-assign]
    return machine.load()


class _Stream:
    """The storages of a stream: made where the pickle names them, filled from what follows it."""

    def __init__(self, restore: Restore):
        self._restore = restore
        self._found: dict[Any, TypedStorage] = {}
        self._host: dict[Any, tuple[np.ndarray, UntypedStorage]] = {}

    def persistent_load(self, saved_id: Any) -> Any:
        """The storage or module class that a persistent id stands for."""
        if not isinstance(saved_id, tuple):
            raise AssertionError(f"saved_id must be a tuple, got {type(saved_id).__name__}")
        kind, data = decoded(saved_id[0]), saved_id[1:]
        if kind == "module":
            if all(data[1:]):
                _check_source(*data)
            return data[0]
        if kind != "storage":
            raise RuntimeError(f"Unknown saved id type: {saved_id[0]}")
        storage_type, key, location, numel, view = data
        dtype = dtypes.uint8 if storage_type is UntypedStorage else storage_type.dtype
        if key not in self._found:
            self._found[key] = self._made(key, dtype, numel * dtype.itemsize, decoded(location))
        typed = self._found[key]
        if typed._data_ptr() == 0:
            typed = TypedStorage(device=typed._untyped_storage.device, dtype=dtype, _internal=True)
        if view is None:
            return typed
        view_key, offset, size = view
        if view_key not in self._found:
            start = offset * dtype.itemsize
            self._found[view_key] = _typed(typed._untyped_storage[start : start + size * dtype.itemsize], dtype)
        return self._found[view_key]

    def _made(self, key: Any, dtype: Any, nbytes: int, location: str) -> TypedStorage:
        memory = allocate(nbytes)
        storage = UntypedStorage._owning(memory.view(dtype.np))
        storage._loading = True
        placed = self._restore(storage, location)
        typed = _typed(placed, dtype)
        self._host[key] = (memory, placed)
        return typed

    def fill(self, file: Any, keys: list[Any]) -> None:
        """Read the bytes of the storages that ``keys`` names, in this order."""
        for key in keys:
            if key not in self._found:
                raise AssertionError(f"storage key {key!r} not found in deserialized_objects")
            memory, storage = self._host[key]
            size = _read_number(file) * self._found[key].dtype.itemsize & _UINT64
            if size != storage.nbytes():
                raise RuntimeError(f"storage has wrong byte size: expected %ld got %ld{size}{storage.nbytes()}")
            # Tensors that show the memory see it fill.
            _read_exactly(file, memory.data)
            if storage.device.type not in ("cpu", "meta"):
                storage._replace(memory)
            storage._loading = False


def _typed(storage: UntypedStorage, dtype: Any) -> TypedStorage:
    return TypedStorage(wrap_storage=storage, dtype=dtype, _internal=True)


def _read_exactly(file: Any, target: memoryview) -> None:
    """Fill ``target`` from the file."""
    while len(target):
        if hasattr(file, "readinto"):
            count = file.readinto(target)
        else:
            data = file.read(len(target))
            count = len(data)
            target[:count] = data
        if not count:
            raise RuntimeError(f"unexpected EOF, expected {len(target)} more bytes. The file might be corrupted.")
        target = target[count:]


def _read_number(file: Any) -> int:
    data = bytearray(8)
    _read_exactly(file, memoryview(data))
    return int.from_bytes(data, "little", signed=True)


def _check_source(container: Any, source_file: str, original: str) -> None:
    """Warn where a module class is no longer what it was when the file was written."""
    import inspect

    from torchlike.serialization import SourceChangeWarning

    try:
        current = inspect.getsource(container)
    except Exception:  # as in saving
        warnings.warn(_NO_SOURCE.format(container.__name__), stacklevel=3)
        return
    if original == current:
        return
    advice = (
        "you can retrieve the original source code by accessing the object's source attribute or set "
        "`torch.nn.Module.dump_patches = True` and use the patch tool to revert the changes."
    )
    if container.dump_patches:
        advice = _save_patch(container.__name__ + ".patch", current, original, source_file)
    name = f"{container.__module__}.{container.__qualname__}"
    warnings.warn(f"source code of class '{name}' has changed. {advice}", SourceChangeWarning, stacklevel=3)


def _save_patch(file_name: str, current: str, original: str, source_file: str) -> str:
    """Write down how a class differs from what it was; says where, or why not."""
    import difflib

    diff = difflib.unified_diff(current.split("\n"), original.split("\n"), source_file, source_file, lineterm="")
    text = "\n".join(diff)
    try:
        with open(file_name, "a+") as file:
            size = file.seek(0, 2)
            file.seek(0)
            if size == 0:
                file.write(text)
            elif size != len(text) or file.read() != text:
                raise OSError
    except OSError:
        return (
            f"Tried to save a patch, but couldn't create a writable file {file_name}. Make sure it doesn't exist and "
            "your working directory is writable."
        )
    return f"Saved a reverse patch to {file_name}. Run `patch -p0 < {file_name}` to revert your changes."


# Tar files


def _load_tar(file: Any, restore: Restore, pickle_module: Any, weights_only: bool, options: dict) -> Any:
    import tarfile

    from torchlike._serialization.loading import UNSAFE_MESSAGE

    with tarfile.open(fileobj=file, mode="r:", format=tarfile.PAX_FORMAT) as tar:
        if weights_only:
            raise RuntimeError(
                f"Cannot use ``weights_only=True`` with files saved in the legacy .tar format. {UNSAFE_MESSAGE}"
            )
        found: dict[Any, Any] = {}

        def read(part: Any) -> Any:
            return pickler.load(part, pickle_module, persistent_load, **options)

        def persistent_load(saved_id: Any) -> Any:
            if isinstance(saved_id, tuple):
                if all(saved_id[1:]):
                    _check_source(*saved_id)
                return saved_id[0]
            return found[int(saved_id)]

        with _member(tar, "storages") as storages:
            _read_tar_storages(storages, restore, read, found)
        with _member(tar, "tensors") as tensors:
            _read_tar_tensors(tensors, read, found)
        with _member(tar, "pickle") as pickled:
            return read(pickled)


def _member(tar: Any, name: str) -> Any:
    member = tar.extractfile(name)
    if member is None:
        raise KeyError(f"filename {name!r} not found")
    return member


def _read_tar_storages(file: Any, restore: Restore, read: Callable[[Any], Any], found: dict) -> None:
    for _ in range(read(file)):
        key, location, storage_type = read(file)
        dtype = storage_type.dtype
        memory = allocate(_read_number(file) * dtype.itemsize)
        _read_exactly(file, memory.data)
        found[key] = _typed(restore(UntypedStorage._owning(memory.view(dtype.np)), location), dtype)
    for target, root, offset, numel in read(file):
        dtype = found[root].dtype
        start = offset * dtype.itemsize
        found[target] = _typed(found[root]._untyped_storage[start : start + numel * dtype.itemsize], dtype)


def _read_tar_tensors(file: Any, read: Callable[[Any], Any], found: dict) -> None:
    for _ in range(read(file)):
        key, storage_key, _ = read(file)
        ndim = struct.unpack("<i4x", file.read(8))[0]  # The upper half of the number is not used.
        *numbers, offset = struct.unpack(f"<{2 * ndim + 1}q", file.read(8 * (2 * ndim + 1)))
        storage = found[storage_key]
        found[key] = tensor_on(
            storage._untyped_storage, storage.dtype, offset, tuple(numbers[:ndim]), tuple(numbers[ndim:])
        )
