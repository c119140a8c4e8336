"""The memory behind tensors, as elements of a type: ``torch.TypedStorage`` and older names such as ``FloatStorage``."""

from __future__ import annotations

import collections.abc
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import torchlike as torch
from torchlike._storage.layout import tensor_on
from torchlike._storage.untyped import UntypedStorage
from torchlike._tensor import device as devices
from torchlike._tensor import dtypes
from torchlike._tensor.tensor import host_array

_REMOVAL = (
    "TypedStorage is deprecated. It will be removed in the future and UntypedStorage will be the only storage class. "
    "This should only matter to you if you are using storages directly.  To access UntypedStorage directly, use "
    "tensor.untyped_storage() instead of tensor.storage()"
)
_TYPED_FORMS = """TypedStorage.__init__ received an invalid combination of arguments. Expected one of:
 * (*, torch.device device, torch.dtype dtype)
 * (int size, *, torch.device device, torch.dtype dtype)
 * (Sequence data, *, torch.device device, torch.dtype dtype)
 * (*, UntypedStorage wrap_storage, torch.dtype dtype)
"""
_LEGACY_FORMS = """{}.__new__ received an invalid combination of arguments. Expected one of:
 * no arguments
 * (int size)
 * (Sequence data)
 * (*, UntypedStorage wrap_storage)
"""

_warned = False


def warn_typed_storage_removal(stacklevel: int = 2) -> None:
    """Say, once in a program, that typed storages are to go."""
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(_REMOVAL, UserWarning, stacklevel=stacklevel + 1)


def _is_int(value: Any) -> bool:
    return isinstance(value, (int, np.integer))


class TypedStorage:
    """``TypedStorage(size)``, ``TypedStorage(sequence)``, ``TypedStorage(wrap_storage=untyped)``: elements of one type.

    Args:
        size: number of elements, their values undefined.
        sequence: the elements.
        wrap_storage: the UntypedStorage that holds them.
        dtype: their type; the default floating-point type unless a storage is wrapped.
        device: where they are, ``"cpu"`` by default.
    """

    is_sparse = False
    _fake_device: Any = None
    dtype: Any
    _untyped_storage: UntypedStorage

    def __new__(
        cls, *args: Any, wrap_storage: Any = None, dtype: Any = None, device: Any = None, _internal: bool = False
    ) -> Any:
        if not _internal:
            warn_typed_storage_removal(3)
        if cls is TypedStorage:
            return object.__new__(cls)
        return cls._legacy(args, wrap_storage, dtype, device)

    def __init__(
        self, *args: Any, device: Any = None, dtype: Any = None, wrap_storage: Any = None, _internal: bool = False
    ):
        if wrap_storage is not None:
            self._wrap(args, device, dtype, wrap_storage)
            return
        self.dtype = dtypes.get_default_dtype() if dtype is None else dtype
        place = devices.device("cpu" if device is None else device)
        if len(args) > 1:
            raise RuntimeError(f"{_TYPED_FORMS}Too many positional arguments")
        data = args[0] if args else 0
        if _is_int(data):
            self._untyped_storage = UntypedStorage(int(data) * self.dtype.itemsize, device=place)
        elif isinstance(data, collections.abc.Sequence):
            self._untyped_storage = UntypedStorage._of(torch.tensor(data, dtype=self.dtype, device=place)._storage)
        else:
            raise TypeError(f"{_TYPED_FORMS}Argument type not recognized: {type(data)}")

    def _wrap(self, args: tuple, device: Any, dtype: Any, wrap_storage: Any) -> None:
        if args:
            raise RuntimeError(f"{_TYPED_FORMS}No positional arguments should be given when using 'wrap_storage'")
        if dtype is None:
            raise RuntimeError(f"{_TYPED_FORMS}Argument 'dtype' must be specified")
        if not isinstance(dtype, dtypes.dtype):
            raise TypeError(f"{_TYPED_FORMS}Argument 'dtype' must be torch.dtype, not {type(dtype)}")
        if device is not None:
            raise RuntimeError(f"{_TYPED_FORMS}Argument 'device' should not be specified when 'wrap_storage' is given")
        if not isinstance(wrap_storage, UntypedStorage):
            raise TypeError(
                f"{_TYPED_FORMS}Argument 'wrap_storage' must be UntypedStorage, but got {type(wrap_storage)}"
            )
        self.dtype = dtype
        self._untyped_storage = wrap_storage

    def _with(self, untyped: UntypedStorage) -> TypedStorage:
        return TypedStorage(wrap_storage=untyped, dtype=self.dtype, _internal=True)

    def untyped(self) -> UntypedStorage:
        """The bytes."""
        warn_typed_storage_removal()
        return self._untyped_storage

    # Size and place. What torch itself needs has a form with an underscore, which does not warn.

    def size(self) -> int:
        """The number of elements."""
        warn_typed_storage_removal()
        return self._size()

    def element_size(self) -> int:
        """The size of an element in bytes."""
        warn_typed_storage_removal()
        return self._element_size()

    def _size(self) -> int:
        return self._untyped_storage.nbytes() // self.dtype.itemsize

    def _element_size(self) -> int:
        return self.dtype.itemsize

    def _nbytes(self) -> int:
        return self._untyped_storage.nbytes()

    def _data_ptr(self) -> int:
        return self._untyped_storage.data_ptr()

    @property
    def _dtype(self) -> Any:
        return self.dtype

    @property
    def _cdata(self) -> int:
        return self._untyped_storage._cdata

    @property
    def device(self) -> Any:
        """Where the elements are."""
        warn_typed_storage_removal()
        return self._untyped_storage.device

    @property
    def is_cuda(self) -> bool:
        """Whether the elements are on a GPU."""
        warn_typed_storage_removal()
        return self._untyped_storage.is_cuda

    @property
    def is_hpu(self) -> bool:
        """Whether the elements are on an HPU; they never are."""
        warn_typed_storage_removal()
        return self._untyped_storage.is_hpu

    @property
    def filename(self) -> str | None:
        """The file whose memory this is, where it was mapped with ``shared=True``."""
        return self._untyped_storage.filename

    def __len__(self) -> int:
        warn_typed_storage_removal()
        return self._size()

    def pickle_storage_type(self) -> str:
        """The name that files give to storages of this element type."""
        warn_typed_storage_removal()
        return self._pickle_storage_type()

    def _pickle_storage_type(self) -> str:
        try:
            return dtype_to_storage_type()[self.dtype]
        except KeyError as error:
            raise KeyError(f"dtype {self.dtype} is not recognized") from error

    def type(self, dtype: Any = None, non_blocking: bool = False) -> Any:
        """The name of the type, or a copy of the bytes as a storage of the type ``dtype``."""
        warn_typed_storage_removal()
        if dtype is not None:
            return self._untyped_storage.type(dtype, non_blocking)
        name = dtype_to_storage_type().get(self.dtype)
        place = self._untyped_storage.device.type
        if name is None or place not in ("cpu", "cuda"):
            return "torch.storage.TypedStorage"
        return f"torch.{name}" if place == "cpu" else f"torch.{place}.{name}"

    # Contents

    def _tensor(self) -> Any:
        """All elements as a tensor that shares the memory."""
        return tensor_on(self._untyped_storage, self.dtype, 0, (self._size(),), (1,))

    def __getitem__(self, idx: Any) -> Any:
        warn_typed_storage_removal()
        return self._getitem(idx)

    def _getitem(self, idx: Any) -> Any:
        if self._untyped_storage.device.type == "meta":
            raise NotImplementedError("Not available for 'meta' device type")
        if isinstance(idx, slice):
            raise RuntimeError("slices are only supported in UntypedStorage.__getitem__")
        if not isinstance(idx, int):
            raise RuntimeError(f"can't index a {type(self)} with {type(idx)}")
        size = self._size()
        if not -size <= idx < size:
            raise IndexError(f"index {idx} out of range for storage of size {size}")
        return host_array(self._tensor())[idx].item()

    def __setitem__(self, idx: Any, value: Any) -> None:
        warn_typed_storage_removal()
        self._setitem(idx, value)

    def _setitem(self, idx: Any, value: Any) -> None:
        if not isinstance(idx, (int, slice)):
            raise RuntimeError(f"can't index a {type(self)} with {type(idx)}")
        if is_storage(value):
            raise RuntimeError(f"cannot set item with value type {type(value)}")
        self._tensor()[idx] = value

    def fill_(self, value: Any) -> TypedStorage:
        """Set every element to ``value``."""
        warn_typed_storage_removal()
        self._setitem(slice(0, self._size()), value)
        return self

    def copy_(self, source: Any, non_blocking: bool | None = None) -> TypedStorage:
        """Take over the bytes of another storage of the same size."""
        warn_typed_storage_removal()
        self._untyped_storage.copy_(source, non_blocking)
        return self

    def tolist(self) -> list[Any]:
        """The elements as a list."""
        warn_typed_storage_removal()
        return list(self)

    def __iter__(self) -> Iterator[Any]:
        warn_typed_storage_removal()
        return iter([self._getitem(i) for i in range(self._size())])

    def __str__(self) -> str:
        warn_typed_storage_removal()
        place = self._untyped_storage.device
        info = f"[torch.storage.TypedStorage(dtype={self.dtype}, device={place}) of size {self._size()}]"
        if place.type == "meta":
            return f"...\n{info}"
        return " " + "\n ".join(str(element) for element in self) + f"\n{info}"

    __repr__ = __str__

    # Copies

    def clone(self) -> TypedStorage:
        """A copy in memory of its own, on the same device."""
        warn_typed_storage_removal()
        return self._with(self._untyped_storage.clone())

    __copy__ = clone

    def __deepcopy__(self, memo: dict[Any, Any]) -> TypedStorage:
        warn_typed_storage_removal()
        return self._deepcopy(memo)

    def _deepcopy(self, memo: dict[Any, Any]) -> TypedStorage:
        return self._with(self._untyped_storage.__deepcopy__(memo))

    def to(self, *, device: Any, non_blocking: bool = False) -> TypedStorage:
        """The storage on ``device``: a wrapper of the same memory where it is there already, else a copy."""
        warn_typed_storage_removal()
        return self._with(self._untyped_storage.to(device=device, non_blocking=non_blocking))

    def cpu(self) -> TypedStorage:
        """The storage in host memory: a wrapper of the same memory or a copy."""
        warn_typed_storage_removal()
        return self._with(self._untyped_storage.cpu())

    def cuda(self, device: Any = None, non_blocking: bool = False) -> TypedStorage:
        """The storage in a GPU's memory: a wrapper of the same memory or a copy."""
        warn_typed_storage_removal()
        return self._with(self._untyped_storage.cuda(device, non_blocking))

    def _to(self, dtype: Any) -> TypedStorage:
        if not isinstance(dtype, dtypes.dtype):
            raise TypeError(f"Argument 'dtype' must be torch.dtype, not {type(dtype)}")
        converted = UntypedStorage._of(self._tensor().to(dtype)._storage)
        if converted is self._untyped_storage:
            converted = converted.clone()
        return TypedStorage(wrap_storage=converted, dtype=dtype, _internal=True)

    def resize_(self, size: int) -> None:
        """Change the number of elements."""
        warn_typed_storage_removal()
        self._resize_(size)

    def _resize_(self, size: int) -> None:
        self._untyped_storage.resize_(size * self.dtype.itemsize)

    def share_memory_(self) -> TypedStorage:
        """Move the elements to memory that processes forked from now on share."""
        warn_typed_storage_removal()
        return self._share_memory_()

    def _share_memory_(self) -> TypedStorage:
        self._untyped_storage.share_memory_()
        return self

    def _is_shared(self) -> bool:
        return self._untyped_storage.is_shared()

    def pin_memory(self, device: Any = None) -> TypedStorage:
        """The same elements: there is no page-locked memory here."""
        warn_typed_storage_removal()
        return self._with(self._untyped_storage.pin_memory(device))

    @classmethod
    def from_buffer(cls, *args: Any, dtype: Any = None, device: Any = None, **kwargs: Any) -> TypedStorage:
        """A storage with a copy of elements of a buffer; see `UntypedStorage.from_buffer`."""
        warn_typed_storage_removal()
        if cls is TypedStorage:
            dtype = dtypes.get_default_dtype() if dtype is None else dtype
            place = devices.device("cpu" if device is None else device)
            if place.type != "cpu":
                raise RuntimeError(f"TypedStorage.from_buffer: Not available for device {place.type}")
        else:
            for name, given in (("dtype", dtype is not None or len(args) == 5), ("device", device is not None)):
                if given:
                    raise RuntimeError(
                        f"from_buffer: '{name}' can only be specified in UntypedStorage.from_buffer and "
                        "TypedStorage.from_buffer"
                    )
            dtype = cls.dtype
        untyped = UntypedStorage.from_buffer(*args, dtype=dtype, **kwargs)
        return TypedStorage(wrap_storage=untyped, dtype=dtype, _internal=True)

    @classmethod
    def from_file(cls, filename: Any, shared: bool = False, size: int = 0) -> Any:
        """A storage of the first ``size`` elements of a file, mapped into memory; see `UntypedStorage.from_file`."""
        warn_typed_storage_removal()
        if cls is TypedStorage:
            raise RuntimeError("from_file can only be called on derived classes")
        return cls(wrap_storage=UntypedStorage.from_file(filename, shared, size * cls.dtype.itemsize))

    def __reduce__(self) -> tuple[Any, ...]:
        from torchlike.storage import reduce_storage

        return reduce_storage(self)

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + self._nbytes()

    @classmethod
    def _legacy(cls, args: tuple, wrap_storage: Any, dtype: Any, device: Any) -> TypedStorage:
        """What a call of one of the older classes makes, a TypedStorage of its type."""
        if cls is _LegacyStorage:
            raise RuntimeError("Only child classes of _LegacyStorage can be instantiated")
        forms = _LEGACY_FORMS.format(cls)
        for name, given in (("device", device), ("dtype", dtype)):
            if given is not None:
                raise RuntimeError(f"{forms}Keyword argument '{name}' cannot be specified")
        place = _device_type(cls)
        if wrap_storage is None:
            if len(args) > 1:
                raise RuntimeError(f"{forms}Too many positional arguments")
            if args and not _is_int(args[0]) and not isinstance(args[0], collections.abc.Sequence):
                raise TypeError(f"{forms}Argument type not recognized: {type(args[0])}")
            return TypedStorage(*args, dtype=cls.dtype, device=place, _internal=True)
        if args:
            raise RuntimeError(f"{forms}No positional arguments should be given when using 'wrap_storage'")
        if not isinstance(wrap_storage, UntypedStorage):
            raise TypeError(f"{forms}Argument 'wrap_storage' must be UntypedStorage, but got {type(wrap_storage)}")
        if wrap_storage.device.type != place:
            raise RuntimeError(f"{forms}Device of 'wrap_storage' must be {place}, but got {wrap_storage.device.type}")
        return TypedStorage(wrap_storage=wrap_storage, dtype=cls.dtype, _internal=True)


TypedStorage.__module__ = "torch.storage"


def _forwarded(name: str, to: str, text: str) -> Callable[[TypedStorage], Any]:
    def method(self: TypedStorage) -> Any:
        warn_typed_storage_removal()
        return getattr(self._untyped_storage, to)()

    method.__name__, method.__qualname__, method.__doc__ = name, f"TypedStorage.{name}", text
    return method


for _name, _text in {
    "nbytes": "The number of bytes.",
    "data_ptr": "The address of the first byte; see `UntypedStorage.data_ptr`.",
    "get_device": "The index of the device, None for the host.",
    "resizable": "Whether `resize_` may be called.",
    "is_shared": "Whether other processes see the memory.",
    "is_pinned": "Whether the memory is page-locked; there is no such memory here.",
}.items():
    setattr(TypedStorage, _name, _forwarded(_name, _name, _text))


def _conversion(cls: Any, name: str, dtype: Any) -> Callable[[Any], TypedStorage]:
    def convert(self: Any) -> TypedStorage:
        if cls is TypedStorage:
            warn_typed_storage_removal()
        return self._to(dtype)

    convert.__name__, convert.__qualname__ = name, f"{cls.__name__}.{name}"
    convert.__doc__ = f"The elements converted to ``{dtype}``, in a storage of their own."
    return convert


for _name, _dtype in {
    "double": dtypes.float64, "float": dtypes.float32, "half": dtypes.float16, "long": dtypes.int64,
    "int": dtypes.int32, "short": dtypes.int16, "char": dtypes.int8, "byte": dtypes.uint8, "bool": dtypes.bool_,
    "bfloat16": dtypes.bfloat16, "complex_double": dtypes.complex128, "complex_float": dtypes.complex64,
    "float8_e5m2": dtypes.float8_e5m2, "float8_e4m3fn": dtypes.float8_e4m3fn,
    "float8_e5m2fnuz": dtypes.float8_e5m2fnuz, "float8_e4m3fnuz": dtypes.float8_e4m3fnuz,
}.items():  # fmt: skip
    for _cls in (UntypedStorage, TypedStorage):
        setattr(_cls, _name, _conversion(_cls, _name, _dtype))


# Names of element types in files, and the classes of these names


@functools.cache
def dtype_to_storage_type() -> dict[Any, str]:
    """The element types that have a storage class of their own in files, with its name."""
    return {
        dtypes.float64: "DoubleStorage",
        dtypes.float32: "FloatStorage",
        dtypes.float16: "HalfStorage",
        dtypes.int64: "LongStorage",
        dtypes.int32: "IntStorage",
        dtypes.int16: "ShortStorage",
        dtypes.int8: "CharStorage",
        dtypes.uint8: "ByteStorage",
        dtypes.bool_: "BoolStorage",
        dtypes.bfloat16: "BFloat16Storage",
        dtypes.complex128: "ComplexDoubleStorage",
        dtypes.complex64: "ComplexFloatStorage",
    }


@functools.cache
def storage_type_to_dtype() -> dict[str, Any]:
    """The element type of each storage class."""
    return {name: dtype for dtype, name in dtype_to_storage_type().items()}


@functools.cache
def new_dtypes() -> frozenset[Any]:
    """The element types without such a class: their tensors are saved as bytes and a type."""
    return frozenset(dtypes.ALL) - set(dtype_to_storage_type())


def _device_type(cls: Any) -> str:
    return "cuda" if cls.__module__ == "torch.cuda" else "cpu"


class _LegacyStorageMeta(type):
    """Makes a typed storage on the right device an instance of the older class of its element type."""

    dtype: Any

    def __instancecheck__(cls, instance: Any) -> bool:
        if type(instance) is not TypedStorage:
            return False
        return instance._untyped_storage.device.type == _device_type(cls) and instance.dtype is cls.dtype


class _LegacyStorage(TypedStorage, metaclass=_LegacyStorageMeta):
    """What ``FloatStorage`` and the like have in common: called, they make a TypedStorage."""


_LegacyStorage.__module__ = "torch.storage"


def _legacy_classes(module: str) -> dict[str, Any]:
    return {
        name: _LegacyStorageMeta(
            name,
            (_LegacyStorage,),
            {"dtype": dtype, "__module__": module, "__doc__": f"A storage of ``{dtype}`` elements."},
        )
        for dtype, name in dtype_to_storage_type().items()
    }


#: ``torch.FloatStorage`` and so on, and ``torch.cuda.FloatStorage`` and so on, by name.
CPU_CLASSES = _legacy_classes("torch")
CUDA_CLASSES = _legacy_classes("torch.cuda")

#: Every class of storages: ``torch._storage_classes``.
STORAGE_CLASSES = {UntypedStorage, TypedStorage, *CPU_CLASSES.values(), *CUDA_CLASSES.values()}


def is_storage(obj: Any, /) -> bool:
    """Whether ``obj`` is a storage."""
    return type(obj) in STORAGE_CLASSES
