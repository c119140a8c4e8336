"""``torch.storage``: the memory behind tensors, as bytes (`UntypedStorage`) and as elements (`TypedStorage`)."""

from __future__ import annotations

import io
from typing import Any

import torchlike as torch
from torchlike._storage import typed as _typed
from torchlike._storage.typed import CPU_CLASSES, TypedStorage
from torchlike._storage.untyped import UntypedStorage

__all__ = ["TypedStorage", "UntypedStorage"]

BFloat16Storage = CPU_CLASSES["BFloat16Storage"]
BoolStorage = CPU_CLASSES["BoolStorage"]
ByteStorage = CPU_CLASSES["ByteStorage"]
CharStorage = CPU_CLASSES["CharStorage"]
ComplexDoubleStorage = CPU_CLASSES["ComplexDoubleStorage"]
ComplexFloatStorage = CPU_CLASSES["ComplexFloatStorage"]
DoubleStorage = CPU_CLASSES["DoubleStorage"]
FloatStorage = CPU_CLASSES["FloatStorage"]
HalfStorage = CPU_CLASSES["HalfStorage"]
IntStorage = CPU_CLASSES["IntStorage"]
LongStorage = CPU_CLASSES["LongStorage"]
ShortStorage = CPU_CLASSES["ShortStorage"]

_LegacyStorage = _typed._LegacyStorage
_dtype_to_storage_type_map = _typed.dtype_to_storage_type
_storage_type_to_dtype_map = _typed.storage_type_to_dtype
_new_dtypes = _typed.new_dtypes
_warn_typed_storage_removal = _typed.warn_typed_storage_removal


def _get_dtype_from_pickle_storage_type(pickle_storage_type: str) -> Any:
    """The element type of the storages that files call ``pickle_storage_type``."""
    try:
        return _storage_type_to_dtype_map()[pickle_storage_type]
    except KeyError as error:
        raise KeyError(f'pickle storage type "{pickle_storage_type}" is not recognized') from error


def reduce_storage(storage: Any) -> tuple[Any, ...]:
    """How plain ``pickle`` keeps a storage: as a file of the older format, in itself."""
    buffer = io.BytesIO()
    torch.save(storage, buffer, _use_new_zipfile_serialization=False)
    return _load_from_bytes, (buffer.getvalue(),)


def _load_from_bytes(b: bytes) -> Any:
    """The storage that a pickle holds as a file of its own."""
    return torch.load(io.BytesIO(b), weights_only=False)


def untyped_storage(tensor: Any) -> UntypedStorage:
    """The bytes of a tensor's storage: ``Tensor.untyped_storage``."""
    return UntypedStorage._of(tensor._storage)


def typed_storage(tensor: Any) -> TypedStorage:
    """The elements of a tensor's storage: ``Tensor._typed_storage``."""
    return TypedStorage(wrap_storage=UntypedStorage._of(tensor._storage), dtype=tensor.dtype, _internal=True)


def storage(tensor: Any) -> TypedStorage:
    """The elements of a tensor's storage: ``Tensor.storage``, which warns that typed storages are to go."""
    _warn_typed_storage_removal(stacklevel=2)
    return typed_storage(tensor)
