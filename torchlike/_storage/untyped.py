"""The memory behind tensors, as bytes: ``torch.UntypedStorage``."""

from __future__ import annotations

import collections.abc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

import torchlike as torch
from torchlike._engine.value import concrete
from torchlike._tensor import device as devices
from torchlike._tensor import dtypes, shared
from torchlike._tensor.storage import Storage, flat_array
from torchlike._tensor.type_names import type_name

NOT_RESIZABLE = "Trying to resize storage that is not resizable"
_NEGATIVE_SIZE = (
    "[enforce fail at alloc_cpu.cpp:98] ((ptrdiff_t)nbytes) >= 0. alloc_cpu() seems to have been called with negative "
    "number: {}"
)
_OUT_OF_MEMORY = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "{} bytes. Error code 12 (Cannot allocate memory)"
)
_UNTYPED_FORMS = """torch.UntypedStorage() received an invalid combination of arguments - got ({}), but expected one of:
 * (*, int allocator = None, torch.device device = None)
 * (int size, *, int allocator = None, torch.device device = None)
 * (object sequence, *, int allocator = None, torch.device device = None)
"""


def allocate(nbytes: int) -> np.ndarray:
    """``nbytes`` bytes of host memory; RuntimeError, in torch's words, where there are not so many."""
    if nbytes < 0:
        raise RuntimeError(_NEGATIVE_SIZE.format(nbytes & 0xFFFFFFFFFFFFFFFF))
    try:
        return np.zeros(nbytes, np.uint8)
    except (MemoryError, ValueError):
        raise RuntimeError(_OUT_OF_MEMORY.format(nbytes)) from None


def _on_device(array: np.ndarray, device: Any) -> Storage:
    """A storage of a host array's elements on ``device``."""
    if device.type == "cpu":
        return Storage(concrete(array), devices.cpu)
    from torchlike._tensor.placement import put, resolve

    device = resolve(device)
    return Storage(concrete(put(array, device)), device)


class UntypedStorage:
    """``UntypedStorage(size=0)`` or ``UntypedStorage(sequence_of_ints)``: the bytes that tensors share.

    Each storage of a tensor has one of these while somebody holds it, so storages may be compared by identity.

    Args:
        size: number of bytes, their values undefined.
        sequence: the bytes.
        device: where the memory is, ``"cpu"`` by default.

    >>> import torchlike as torch
    >>> torch.UntypedStorage([1, 2, 3]).tolist()
    [1, 2, 3]
    """

    is_sparse = is_sparse_csr = False
    _fake_device: Any = None
    _checkpoint_offset: int | None = None
    #: Whether no tensor shows the storage yet, so that its element type may still be chosen.
    _fresh = False
    _resizable = True
    _loading = False
    _filename: str | None = None
    _size: int | None = None
    _storage: Storage

    def __init__(self, *args: Any, device: Any = None, allocator: Any = None, **named: Any):
        if len(args) == 0 and len(named) == 1 and set(named) <= {"size", "sequence"}:
            args, named = tuple(named.values()), {}
        if len(args) > 1 or named:
            raise TypeError(_UNTYPED_FORMS.format(", ".join(type_name(a) for a in (*args, *named.values()))))
        place = devices.cpu if device is None else devices.device(device)
        if place.type not in ("cpu", "cuda", "meta"):
            raise RuntimeError(f"torch.UntypedStorage(): Storage device not recognized: {place.type}")
        data = args[0] if args else 0
        if type(data) is int or isinstance(data, np.integer):
            self._attach(self._allocated(int(data), place))
        else:
            self._attach(_on_device(self._listed(data), place))
        self._fresh = True

    @staticmethod
    def _allocated(nbytes: int, place: Any) -> Storage:
        if place.type == "meta":
            return Storage(concrete(np.broadcast_to(np.uint8(0), (nbytes,))), place)
        return _on_device(allocate(nbytes), place)

    @staticmethod
    def _listed(data: Any) -> np.ndarray:
        if not isinstance(data, collections.abc.Sequence):
            raise RuntimeError(f"torch.UntypedStorage(): Expected a sequence type, but got {type_name(data)}")
        for item in data:
            if type(item) is not int:
                raise RuntimeError(
                    f"torch.UntypedStorage(): tried to construct a storage from a sequence ({type_name(data)}), but "
                    f"one of the items was of type {type_name(item)} instead of int"
                )
        return np.array([item & 0xFF for item in data], np.uint8)

    def _attach(self, storage: Storage) -> None:
        self._storage = storage
        storage.python = weakref.ref(self)

    @classmethod
    def _of(cls, storage: Storage) -> UntypedStorage:
        """The object that stands for a tensor's storage."""
        found = storage.python
        if type(found) is weakref.ref:
            found = found()
        if found is None:
            found = object.__new__(cls)
            found._attach(storage)
        return found

    @classmethod
    def _owning(cls, array: np.ndarray, fresh: bool = True) -> UntypedStorage:
        """A storage of a host array, which belongs to it from now on."""
        made = object.__new__(cls)
        made._attach(Storage(concrete(array), devices.cpu))
        made._fresh = fresh
        return made

    @classmethod
    def _sharing(cls, array: np.ndarray) -> UntypedStorage:
        """A storage that reads and writes the memory of a host array which others use as well."""
        made = object.__new__(cls)
        made._attach(Storage(concrete(array), devices.cpu))
        made._storage.host_array = array
        return made

    # Size and place

    def nbytes(self) -> int:
        """The number of bytes."""
        return self._storage.value.spec.nbytes if self._size is None else self._size

    size = __len__ = nbytes

    def element_size(self) -> int:
        """The size of an element in bytes, which is 1."""
        return 1

    @property
    def device(self) -> Any:
        """Where the memory is."""
        return self._storage.device

    def get_device(self) -> Any:
        """The index of the device, None for the host."""
        return self.device.index

    @property
    def is_cuda(self) -> bool:
        """Whether the memory is on a GPU."""
        return self.device.type == "cuda"

    @property
    def is_hpu(self) -> bool:
        """Whether the memory is on an HPU; it never is."""
        return self.device.type == "hpu"

    @property
    def _cdata(self) -> int:
        return id(self._storage)

    def data_ptr(self) -> int:
        """A number that tells storages apart, 0 where there is no memory. It is no address: the memory may move."""
        if self.nbytes() == 0 or self.device.type == "meta":
            return 0
        return id(self._storage) * 16

    def resizable(self) -> bool:
        """Whether `resize_` may be called."""
        return self._resizable

    def _grow(self, nbytes: int) -> None:
        """Make room for a tensor that needs ``nbytes`` bytes."""
        if self._loading:
            # The file's own numbers, as torch's loader puts them, without a separator.
            raise RuntimeError(f"storage has wrong byte size: expected %ld got %ld{self.nbytes()}{nbytes}")
        self.resize_(nbytes)

    def resize_(self, size: int, /) -> UntypedStorage:
        """Change the number of bytes; the first ones keep their values, others are undefined.

        While tensors show the storage, their memory is kept: it can then be made to look smaller but not grow.
        """
        if not self._resizable:
            raise RuntimeError(NOT_RESIZABLE)
        have = self._storage.value.spec.nbytes
        if self._fresh:
            if size != have:
                grown = allocate(size)
                grown[: min(size, have)] = self._bytes()[:size]
                self._storage.value = _on_device(grown, self.device).value
        elif size > have:
            raise RuntimeError(NOT_RESIZABLE)
        elif size < 0:
            allocate(size)
        else:
            self._size = size
            self._storage.python = self
        return self

    # Contents

    def _bytes(self) -> np.ndarray:
        """The bytes now, not to be written to."""
        return flat_array(self._storage).view(np.uint8)[: self._size]

    def _replace(self, data: np.ndarray) -> None:
        """Write all bytes."""
        spec = self._storage.value.spec
        if len(data) != spec.nbytes:
            data = np.concatenate([data, flat_array(self._storage).view(np.uint8)[len(data) :]])
        self._storage.write(_on_device(data.view(spec.dtype).reshape(spec.shape), self.device).value)

    def _index(self, index: Any, error: type[Exception]) -> Any:
        if isinstance(index, slice):
            if index.step not in (None, 1):
                raise RuntimeError(f"Trying to slice with a step of {index.step}, but only a step of 1 is supported")
            start, stop, _ = index.indices(self.nbytes())
            return slice(start, max(start, stop))
        if type(index) is not int:
            raise error(f"can't index a torch.UntypedStorage with {type_name(index)}")
        return index

    def __getitem__(self, index: Any) -> Any:
        if self.device.type == "meta":
            raise NotImplementedError("Not available for 'meta' device type")
        index = self._index(index, TypeError)
        if isinstance(index, slice):
            return self._part(index)
        at = index + self.nbytes() if index < 0 else index
        if not 0 <= at < self.nbytes():
            raise IndexError(f"index {at} out of range for storage of size {self.nbytes()}")
        return int(self._bytes()[at])

    def _part(self, index: slice) -> UntypedStorage:
        """A storage of part of the same memory."""
        if self.device.type != "cpu":
            part = type(self)._owning(self._bytes()[index].copy()).to(device=self.device)
        else:
            memory = self._storage.share().reshape(-1)
            width = memory.itemsize
            whole = index.start % width == index.stop % width == 0
            part = type(self)._sharing(
                memory[index.start // width : index.stop // width] if whole else memory.view(np.uint8)[index]
            )
        part._resizable = False
        return part

    def __setitem__(self, index: Any, value: Any) -> None:
        index = self._index(index, RuntimeError)
        if type(value) is not int:
            raise RuntimeError(f"can only set storage content with a int types, but got {type_name(value)} instead")
        if not isinstance(index, slice) and not -self.nbytes() <= index < self.nbytes():
            raise RuntimeError("out of bounds")
        changed = self._bytes().copy()
        changed[index] = value & 0xFF
        self._replace(changed)

    def fill_(self, value: int, /) -> UntypedStorage:
        """Set every byte to ``value``."""
        if type(value) is not int:
            raise RuntimeError(f"fill_ expects int, but got {type_name(value)}")
        self._replace(np.full(self.nbytes(), value & 0xFF, np.uint8))
        return self

    def copy_(self, src: Any, non_blocking: bool | None = None) -> UntypedStorage:
        """Take over the bytes of another storage of the same size."""
        src = getattr(src, "_untyped_storage", src)
        if not isinstance(src, UntypedStorage):
            raise TypeError(f"copy_(): argument 'src' (position 1) must be torch.Storage, not {type_name(src)}")
        if src.nbytes() != self.nbytes():
            raise RuntimeError(f"size does not match, self was {self.nbytes()} bytes but src was {src.nbytes()} bytes")
        if self.device.type != "meta":
            self._replace(src._bytes().copy())
        return self

    def byteswap(self, dtype: Any) -> None:
        """Reverse the bytes of each element of type ``dtype``, of each part where those are complex."""
        width = dtype.itemsize // 2 if dtype.is_complex else dtype.itemsize
        if width > 1:
            whole = self.nbytes() // width * width
            swapped = self._bytes().copy()
            swapped[:whole] = swapped[:whole].reshape(-1, width)[:, ::-1].reshape(-1)
            self._replace(swapped)

    def __iter__(self) -> Iterator[int]:
        return iter([self[i] for i in range(self.nbytes())])

    def tolist(self) -> list[int]:
        """The bytes as a list of integers."""
        return list(self)

    def __repr__(self) -> str:
        info = f"[torch.storage.UntypedStorage(device={self.device}) of size {len(self)}]"
        if self.device.type == "meta":
            return f"...\n{info}"
        return " " + "\n ".join(str(byte) for byte in self) + f"\n{info}"

    # Copies

    def clone(self) -> UntypedStorage:
        """A copy in memory of its own, on the same device."""
        copied = object.__new__(UntypedStorage)
        if self._size is None:
            copied._attach(Storage(self._storage.current(), self.device))  # A value never changes, so both can hold it.
        else:
            copied._attach(_on_device(self._bytes().copy(), self.device))
        copied._fresh = True
        return copied

    __copy__ = clone

    def __deepcopy__(self, memo: dict[Any, Any]) -> UntypedStorage:
        known = memo.setdefault("torch", {})
        if self._cdata not in known:
            known[self._cdata] = self.clone()
        return known[self._cdata]

    def new(self) -> UntypedStorage:
        """An empty storage."""
        return UntypedStorage()

    def _moved(self, device: Any) -> UntypedStorage:
        moved = object.__new__(UntypedStorage)
        moved._attach(_on_device(flat_array(self._storage), device))
        moved._fresh = True
        return moved

    def to(self, *, device: Any, non_blocking: bool = False) -> UntypedStorage:
        """The storage on ``device``: itself where it is there already, else a copy."""
        device = devices.device(device)
        if device == self.device:
            return self
        if device.type == "cpu":
            return UntypedStorage._owning(np.array(flat_array(self._storage)))
        if getattr(torch, device.type, None) is None:
            raise AssertionError(f"{device.type.upper()} device module is not loaded")
        return self._moved(device)

    def cpu(self) -> UntypedStorage:
        """The storage in host memory: itself where it is there already, else a copy."""
        return self.to(device="cpu")

    def cuda(self, device: Any = None, non_blocking: bool = False) -> UntypedStorage:
        """The storage in a GPU's memory, by default the current one's: itself or a copy."""
        return self.to(device=devices.device("cuda", device) if device else devices.device("cuda"))

    def type(self, dtype: Any = None, non_blocking: bool = False) -> Any:
        """The name of the type, or a copy of the bytes as a storage of the type ``dtype``."""
        if dtype is None:
            return "torch.storage.UntypedStorage"
        if isinstance(dtype, str):
            from torchlike._serialization.names import resolve

            dtype = resolve(*dtype.rsplit(".", 1))
        return self if dtype is UntypedStorage else dtype(self.nbytes()).copy_(self, non_blocking)

    def _to(self, dtype: Any) -> Any:
        from torchlike._storage.typed import TypedStorage

        return TypedStorage(wrap_storage=self, dtype=dtypes.uint8, _internal=True)._to(dtype)

    def untyped(self) -> UntypedStorage:
        """The storage itself."""
        return self

    # Memory that others see

    @property
    def filename(self) -> str | None:
        """The file whose memory this is, where it was mapped with ``shared=True``."""
        return self._filename

    def is_shared(self) -> bool:
        """Whether other processes see the memory."""
        return self._filename is not None or shared.is_shared(self._storage)

    def share_memory_(self) -> UntypedStorage:
        """Move the bytes to memory that other processes can see."""
        if self.device.type == "cpu" and not self.is_shared():
            shared.share(self._storage)
        return self

    def is_pinned(self, device: Any = None) -> bool:
        """Whether the memory is page-locked; there is no such memory here."""
        return False

    def pin_memory(self, device: Any = None) -> UntypedStorage:
        """The storage itself: there is no page-locked memory here."""
        if self.device.type != "cpu":
            raise TypeError(f"cannot pin '{self.type()}' only CPU memory can be pinned")
        return self

    @classmethod
    def from_buffer(
        cls, buffer: Any, byte_order: str | None = None, count: int = -1, offset: int = 0, *, dtype: Any = None
    ) -> UntypedStorage:
        """A storage with a copy of ``count`` elements (-1: all) of ``buffer`` from the byte ``offset`` on.

        Args:
            buffer: an object that shows its memory, such as bytes.
            byte_order: ``"native"``, ``"little"`` or ``"big"``; may be left out for elements of one byte.
            count: number of elements.
            offset: first byte.
            dtype: type of the elements.
        """
        if dtype is None:
            raise RuntimeError("argument 'dtype' cannot be None")
        if byte_order is None and dtype.itemsize != 1:
            raise RuntimeError("function missing required argument 'byte_order' (pos 2)")
        if byte_order not in (None, "native", "little", "big"):
            raise ValueError(f"invalid byte_order '{byte_order}' (expected 'big', 'little', or 'native')")
        data = np.frombuffer(buffer, np.uint8)
        if not 0 <= offset <= len(data):
            # The two numbers stand in torch's order.
            raise ValueError(
                f"offset must be non-negative and no greater than buffer length ({offset}) , but got {len(data)}"
            )
        if count < 0:
            if (len(data) - offset) % dtype.itemsize:
                raise ValueError(f"buffer size ({len(data)}) must be a multiple of element size ({dtype.itemsize})")
            count = (len(data) - offset) // dtype.itemsize
        elif offset + count * dtype.itemsize > len(data):
            raise ValueError(
                f"buffer has only {len(data) - offset} elements after offset {offset}, but specified a size of {count}"
            )
        made = cls._owning(data[offset : offset + count * dtype.itemsize].copy())
        if byte_order in ("little", "big") and byte_order != _NATIVE_ORDER:
            made.byteswap(dtype)
        return made

    @classmethod
    def from_file(cls, filename: Any, shared: bool = False, nbytes: int = 0) -> UntypedStorage:
        """A storage of the first ``nbytes`` bytes of a file, mapped into memory.

        Args:
            filename: the file.
            shared: whether writes go to the file, which is then made or enlarged as needed.
            nbytes: number of bytes.
        """
        return cls._owning(map_file(filename, False, nbytes)) if not shared else cls._mapped(filename, nbytes)

    @classmethod
    def _mapped(cls, filename: Any, nbytes: int) -> UntypedStorage:
        made = cls._sharing(map_file(filename, True, nbytes))
        made._filename = str(filename)
        made._storage.python = made
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        from torchlike.storage import reduce_storage

        return reduce_storage(self)

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + self.nbytes()


_NATIVE_ORDER = "little" if np.little_endian else "big"


UntypedStorage.__module__ = "torch.storage"


def map_file(filename: Any, shared: bool, nbytes: int) -> np.ndarray:
    """The first ``nbytes`` bytes of a file, read as they are needed; RuntimeError where they are not there."""
    import os

    access = "read-write" if shared else "read-only"
    try:
        if shared and (not os.path.exists(filename) or os.path.getsize(filename) < nbytes):
            with open(filename, "ab") as file:
                file.truncate(nbytes)
        have = os.stat(filename).st_size
    except OSError as error:
        raise RuntimeError(
            f"unable to open file <{filename}> in {access} mode: {error.strerror} ({error.errno})"
        ) from None
    if have < nbytes:
        raise RuntimeError(f"file <{filename}> size <{have}> is smaller than the required mapping size <{nbytes}>")
    if nbytes == 0:
        return np.empty(0, np.uint8)
    mapped = np.memmap(filename, np.uint8, "r+" if shared else "c", shape=(nbytes,))
    return np.ndarray(nbytes, np.uint8, mapped)
