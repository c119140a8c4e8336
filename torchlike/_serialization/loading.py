"""Loading archives: the storages of their records, and what errors say."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import torchlike as torch
from torchlike._serialization import config, legacy
from torchlike._serialization import storages as _storages
from torchlike._serialization.archive import ArchiveReader
from torchlike._serialization.config import LoadEndianness, local
from torchlike._serialization.files import is_path, is_torchscript
from torchlike._storage.typed import TypedStorage
from torchlike._storage.untyped import UntypedStorage, map_file

UNSAFE_MESSAGE = (
    "In PyTorch 2.6, we changed the default value of the `weights_only` argument in `torch.load` "
    "from `False` to `True`. Re-running `torch.load` with `weights_only` set to `False` will likely succeed, "
    "but it can result in arbitrary code execution. Do it only if you got the file from a "
    "trusted source."
)
NOT_A_CHECKPOINT = "Expected input to be a checkpoint returned by torch.save"
_DOCS_MESSAGE = (
    "\n\nCheck the documentation of torch.load to learn more about types accepted by default with "
    "weights_only https://pytorch.org/docs/stable/generated/torch.load.html."
)


#: ``mmap.MAP_SHARED``; the module is not imported for its sake.
_MAP_SHARED = 1


# Errors


@contextlib.contextmanager
def errors_explained(weights_only: bool) -> Iterator[None]:
    """Add to the errors of ``weights_only`` loading what the user can do about them."""
    try:
        yield
    except pickle.UnpicklingError as error:
        if not weights_only:
            raise
        raise pickle.UnpicklingError(_explained(str(error))) from None


def _explained(message: str) -> str:
    if re.search(r"GLOBAL (\S+) was not an allowed global by default.", message):
        return (
            "Weights only load failed. This file can still be loaded, to do so you have two options, "
            "\033[1mdo those steps only if you trust the source of the checkpoint\033[0m. "
            f"\n\t(1) {UNSAFE_MESSAGE}\n\t(2) Alternatively, to load with `weights_only=True` please check "
            f"the recommended steps in the following error message.\n\tWeightsUnpickler error: {message}{_DOCS_MESSAGE}"
        )
    if re.search(r"(\S+) must be (\S+) to load", message):
        return f"Weights only load failed. {message}\n {UNSAFE_MESSAGE}\n"
    request = (
        "Please file an issue with the following so that we can make "
        "`weights_only=True` compatible with your use case: WeightsUnpickler error: "
    )
    if re.search(r"whose module (\S+) is blocked", message):
        request = ""
    return f"Weights only load failed. {UNSAFE_MESSAGE}\n{request}\n\n{message}{_DOCS_MESSAGE}"


# Reading


def load_safetensors(path: str, map_location: Any) -> Any:
    device = "cpu" if map_location is None else str(map_location)
    if map_location is not None and not isinstance(map_location, (str, bytes, torch.device)):
        kind = "dict" if isinstance(map_location, dict) else "callable"
        raise RuntimeError(
            f"Loading safetensors file with {kind} map_location is not supported. "
            "Use a device string or torch.device instead."
        )
    try:
        import safetensors.numpy  # type: ignore[import-not-found]
    except ImportError as error:
        raise RuntimeError(
            "Attempting to load a safetensors file but safetensors is not installed. "
            "Please install safetensors with: pip install safetensors"
        ) from error
    arrays = safetensors.numpy.load_file(path)
    return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}


def load_zip(
    f: Any, file: Any, map_location: Any, pickle_module: Any, weights_only: bool, mmap: bool, options: dict[str, Any]
) -> Any:
    archive = ArchiveReader(file)
    if is_torchscript(archive):
        warnings.warn(
            "'torch.load' received a zip file that looks like a TorchScript archive dispatching to 'torch.jit.load' "
            "(call 'torch.jit.load' directly to silence this warning)",
            UserWarning,
            stacklevel=3,
        )
        if weights_only:
            raise RuntimeError(
                "Cannot use ``weights_only=True`` with TorchScript archives passed to ``torch.load``. " + UNSAFE_MESSAGE
            )
        file.seek(0)
        return torch.jit.load(file, map_location=map_location)
    if mmap and not is_path(f):
        raise ValueError("f must be a file path in order to use the mmap argument")
    records = _Records(archive, map_location, os.fspath(f) if mmap else None)
    pickled = io.BytesIO(archive.get_record("data.pkl"))
    local.map_location = map_location
    try:
        result = legacy.unpickle(pickled, pickle_module, weights_only, records.persistent_load, options)
    finally:
        local.map_location = None
    from torchlike._utils import _validate_loaded_sparse_tensors

    _validate_loaded_sparse_tensors()
    return result


class _Records:
    """The storages of an archive, each read when the pickle first refers to it."""

    def __init__(self, archive: ArchiveReader, map_location: Any, mapped_path: str | None):
        self._archive = archive
        self._restore = _storages.restore_function(map_location)
        self._meta = _storages.is_meta(map_location)
        self._mapped_path = mapped_path
        self._mapped: Any = None
        self._loaded: dict[Any, TypedStorage] = {}
        self._swapped = _byteorder_of(archive) != sys.byteorder
        if archive.has_record(".storage_alignment"):
            int(archive.get_record(".storage_alignment"))  # raises for a file that does not hold a number there

    def persistent_load(self, saved_id: Any) -> TypedStorage:
        """The storage that a persistent id stands for."""
        if not isinstance(saved_id, tuple):
            raise AssertionError(f"saved_id must be a tuple, got {type(saved_id).__name__}")
        kind = _storages.decoded(saved_id[0])
        if kind != "storage":
            raise AssertionError(f"Unknown typename for persistent_load, expected 'storage' but got '{kind}'")
        storage_type, key, location, numel = saved_id[1:]
        dtype = torch.uint8 if storage_type is UntypedStorage else storage_type.dtype
        if key in self._loaded:
            return self._loaded[key]
        storage = self._read(f"data/{key}", dtype, numel * dtype.itemsize)
        if not self._meta:
            storage = self._restore(storage, _storages.decoded(location))
        typed = TypedStorage(wrap_storage=storage, dtype=dtype, _internal=True)
        if typed._data_ptr() != 0:
            self._loaded[key] = typed
        return typed

    def _read(self, name: str, dtype: Any, nbytes: Any) -> UntypedStorage:
        if self._meta:
            storage = UntypedStorage(nbytes, device="meta")
            storage._checkpoint_offset = self._archive.get_record_offset(name)
            return storage
        if local.skip_data:
            return UntypedStorage(nbytes)
        self._check_claim(name, nbytes)
        data = self._bytes_of(name)
        _check_size(data, nbytes)
        shared = self._mapped_path is not None and config.load.mmap_flags == _MAP_SHARED
        elements = data.view(dtype.np) if nbytes % dtype.itemsize == 0 else data
        storage = UntypedStorage._sharing(elements) if shared else UntypedStorage._owning(elements)
        storage._resizable = False
        if self._swapped:
            storage.byteswap(dtype)
        return storage

    def _bytes_of(self, name: str) -> Any:
        """A record's payload: read, or where files are to be mapped the part of the file's memory that it is in."""
        place = self._archive.stored_at(name)
        if self._mapped_path is None or place is None:
            return self._archive.get_array(name)
        if self._mapped is None:
            size = os.path.getsize(self._mapped_path)
            self._mapped = map_file(self._mapped_path, config.load.mmap_flags == _MAP_SHARED, size)
        return self._mapped[place[0] : sum(place)]

    def _check_claim(self, name: str, nbytes: Any) -> None:
        if type(nbytes) is not int or not 0 <= nbytes < 1 << 64:
            raise TypeError(
                "get_storage_from_record(): incompatible function arguments. The following argument types are "
                "supported:\n    1. (self: torch._C.PyTorchFileReader, arg0: str, arg1: typing.SupportsInt | "
                f"typing.SupportsIndex, arg2: object) -> torch.Tensor\n\nInvoked with: {self._archive!r}, {name!r}, "
                f"{nbytes!r}, {UntypedStorage!r}"
            )


def _check_size(data: Any, nbytes: int) -> None:
    """RuntimeError where a record does not have the size that the pickle says."""
    if len(data) != nbytes:
        raise RuntimeError(
            f"record size ({len(data)} bytes) does not match expected size ({nbytes} bytes = {nbytes} elements * 1 "
            "bytes/element) for dtype Byte"
        )


def _byteorder_of(archive: ArchiveReader) -> str:
    """The byte order of an archive's storages."""
    if archive.has_record("byteorder"):
        order = archive.get_record("byteorder")
        if order not in (b"little", b"big"):
            raise ValueError("Unknown endianness type: " + order.decode())
        return order.decode()
    default = config.load.endianness
    if default is None and sys.byteorder == "big":
        warnings.warn(
            "The default load endianness for checkpoints without a byteorder mark on big endian machines was changed "
            "from 'native' to 'little' endian, to avoid this behavior please use "
            "torch.serialization.set_default_load_endianness to set the desired default load endianness",
            UserWarning,
            stacklevel=2,
        )
    if default in (None, LoadEndianness.LITTLE):
        return "little"
    return "big" if default is LoadEndianness.BIG else sys.byteorder
