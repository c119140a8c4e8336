"""Storages in memory that several processes see.

Such memory is a file without a name. It is passed on as a descriptor, and gone when the last process that has it is.
A shared storage keeps its contents in a NumPy array over the file's memory, and that array is the truth: reads copy
from it and writes go through to it, in every process.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from typing import Any

import numpy as np

from torchlike._engine.value import concrete, host, spec_of
from torchlike._tensor import device as devices
from torchlike._tensor.storage import Storage


class SharedFile:
    """An open file without a name. It goes to a forked process as it is and to others as a duplicate."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.close = weakref.finalize(self, os.close, fd)

    @classmethod
    def create(cls) -> SharedFile:
        """A new empty file, in memory where the system allows."""
        if hasattr(os, "memfd_create"):
            return cls(os.memfd_create("torchlike", os.MFD_CLOEXEC))
        with tempfile.TemporaryFile() as file:
            return cls(os.dup(file.fileno()))

    def map(self, offset: int, size: int) -> mmap.mmap:
        """Readable and writable memory of a part of the file, which is extended where it is shorter."""
        if os.fstat(self.fd).st_size < offset + size:
            os.ftruncate(self.fd, offset + size)
        return mmap.mmap(self.fd, size, offset=offset)

    def key(self) -> tuple[int, int]:
        """What tells this file from others, whichever descriptor it is known by."""
        status = os.fstat(self.fd)
        return status.st_dev, status.st_ino

    def __reduce__(self) -> tuple:
        from multiprocessing.reduction import DupFd

        return _reopen, (DupFd(self.fd),)


def _reopen(duplicate: Any) -> SharedFile:
    return SharedFile(duplicate.detach())


_files: weakref.WeakKeyDictionary[Storage, SharedFile] = weakref.WeakKeyDictionary()
_storages: weakref.WeakValueDictionary[tuple[int, int], Storage] = weakref.WeakValueDictionary()


def is_shared(storage: Storage) -> bool:
    """Whether other processes may see this storage's memory."""
    return storage in _files or storage.device.type == "cuda"


def share(storage: Storage) -> SharedFile:
    """Move a host storage into memory that can be shared, unless it is there; the file of that memory."""
    file = _files.get(storage)
    if file is None:
        value = storage.current()
        file = SharedFile.create()
        array = _array_over(file, value.spec.shape, value.spec.dtype)
        array[...] = host(value)
        _enter(storage, array, file)
    return file


def opened(file: SharedFile, shape: tuple[int, ...], dtype: np.dtype) -> Storage:
    """The storage over a shared file: the one that this process has already, or a new one."""
    storage = _storages.get(file.key())
    if storage is None:
        array = _array_over(file, shape, dtype)
        storage = Storage(concrete(array), devices.device("cpu"))
        _enter(storage, array, file)
    return storage


def _array_over(file: SharedFile, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    nbytes = spec_of(shape, dtype).nbytes
    return np.ndarray(shape, dtype, buffer=file.map(0, max(nbytes, 1)))


def _enter(storage: Storage, array: np.ndarray, file: SharedFile) -> None:
    storage.value = concrete(array)
    storage.host_array = array
    _files[storage] = file
    _storages[file.key()] = storage
