"""The storages of a file: the ids they go by, where they were, and where they are put."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import torchlike as torch
from torchlike._storage.typed import CPU_CLASSES, TypedStorage
from torchlike._storage.untyped import UntypedStorage
from torchlike._tensor import dtypes
from torchlike._tensor.device import device as Device

#: Takes a storage in host memory and the tag it was saved with; returns the storage where it belongs.
Restore = Callable[[Any, str], Any]

_CPU_ADVICE = (
    "If you are running on a CPU-only machine, please use torch.load with map_location=torch.device('cpu') to map your "
    "storages to the CPU."
)


def decoded(text: Any) -> Any:
    """A word of the file format, which Python 2 may have written as bytes."""
    return text.decode("ascii") if isinstance(text, bytes) else text


class StorageIds:
    """The storages met while something is saved."""

    def __init__(self) -> None:
        #: Each storage and its element type, by key; kept, so that its identity is not given to another meanwhile.
        self.found: dict[str, tuple[UntypedStorage, Any]] = {}
        self._types: dict[int, Any] = {}

    def id_of(self, obj: Any, key_of: Callable[[UntypedStorage], str]) -> tuple | None:
        """The id under which the file keeps a storage; None for anything else.

        Raises:
            RuntimeError: the same memory was met with another element type before.
        """
        kind = type(obj)
        if kind is TypedStorage:
            storage, dtype = obj._untyped_storage, obj.dtype
            storage_type, numel = CPU_CLASSES[obj._pickle_storage_type()], obj._size()
        elif kind is UntypedStorage:
            storage, dtype, storage_type, numel = obj, dtypes.uint8, UntypedStorage, obj.nbytes()
        else:
            return None
        if (
            storage.nbytes()
            and storage.device.type != "meta"
            and self._types.setdefault(storage._cdata, dtype) is not dtype
        ):
            raise RuntimeError("Cannot save multiple tensors or storages that view the same data as different types")
        key = key_of(storage)
        self.found.setdefault(key, (storage, dtype))
        location = location_tag(storage) if obj._fake_device is None else str(obj._fake_device)
        return "storage", storage_type, key, location, numel


# Where storages were and where they go

Tagger = Callable[[Any], "str | None"]
Deserializer = Callable[[Any, str], Any]

#: (priority, tagger, deserializer), the smallest priority first.
registry: list[tuple[int, Tagger, Deserializer]] = []


def register_package(priority: int, tagger: Tagger, deserializer: Deserializer) -> None:
    """Say how storages of a device are tagged in files and put back.

    Args:
        priority: those of smaller numbers are asked first. Torch's own have 10 (CPU), 20 (CUDA) and so on.
        tagger: takes a storage; returns the tag that files keep for it, None where it is not in charge.
        deserializer: takes a storage in host memory and a tag; returns the storage on its device, None where it is not
            in charge.
    """
    registry.append((priority, tagger, deserializer))
    registry.sort()


def location_tag(storage: Any) -> str:
    """The tag that says where a storage is, such as ``"cpu"`` or ``"cuda:0"``."""
    for _, tagger, _ in registry:
        location = tagger(storage)
        if location:
            return location
    raise RuntimeError(f"don't know how to determine data location of {_typename(storage)}")


def default_restore_location(storage: Any, location: str) -> Any:
    """The storage, which is in host memory, on the device that the tag ``location`` names."""
    for _, _, deserializer in registry:
        result = deserializer(storage, location)
        if result is not None:
            return result
    raise RuntimeError(f"don't know how to restore data location of {_typename(storage)} (tagged with {location})")


def _typename(obj: Any) -> str:
    return f"{type(obj).__module__}.{type(obj).__qualname__}"


def restore_function(map_location: Any) -> Restore:
    """What puts storages where the argument ``map_location`` of ``torch.load`` says."""
    if map_location is None:
        return default_restore_location
    if isinstance(map_location, dict):
        return lambda storage, location: default_restore_location(storage, map_location.get(location, location))
    if isinstance(map_location, (str, bytes, Device)):
        target: Any = str(map_location) if isinstance(map_location, Device) else map_location
        return lambda storage, location: default_restore_location(storage, target)

    def restore(storage: Any, location: str) -> Any:
        result = map_location(storage, location)
        return default_restore_location(storage, location) if result is None else result

    return restore


def is_meta(map_location: Any) -> bool:
    """Whether ``map_location`` sends everything to the meta device, so that no bytes need be read."""
    return isinstance(map_location, (str, Device)) and str(map_location) == "meta"


def _cpu_tag(obj: Any) -> str | None:
    return "cpu" if obj.device.type == "cpu" else None


def _cpu_deserialize(obj: Any, location: str) -> Any:
    return obj if location == "cpu" else None


def _mps_tag(obj: Any) -> str | None:
    return "mps" if obj.device.type == "mps" else None


def _mps_deserialize(obj: Any, location: str) -> Any:
    return UntypedStorage(obj.nbytes(), device="mps") if location.startswith("mps") else None


def _meta_tag(obj: Any) -> str | None:
    return "meta" if obj.device.type == "meta" else None


def _meta_deserialize(obj: Any, location: str) -> Any:
    return UntypedStorage(obj.nbytes(), device="meta") if location == "meta" else None


def _backend_tag(backend: str, obj: Any) -> str | None:
    return str(obj.device) if obj.device.type == backend else None


def _deserialize(backend: str, obj: Any, location: str) -> Any:
    if location == backend or re.match(f"{backend}(:|[0-9]+)", location):
        return obj.to(device=validate_device(location, backend))
    return None


def validate_device(location: str, backend: str) -> Any:
    """The device of a tag, checked to be there; RuntimeError where it is not."""
    module = getattr(torch, backend, None)
    if module is None:
        raise RuntimeError(f"The {backend.upper()} device module is not registered. {_CPU_ADVICE}")
    device = Device(location)
    index = device.index or 0
    if device.index is None and getattr(module, "current_device", None) is not None and module.is_available():
        index = module.current_device()
    if hasattr(module, "is_available") and not module.is_available():
        raise RuntimeError(
            f"Attempting to deserialize object on a {backend.upper()} device but torch.{backend}.is_available() is "
            f"False. {_CPU_ADVICE}"
        )
    if hasattr(module, "device_count") and index >= module.device_count():
        raise RuntimeError(
            f"Attempting to deserialize object on {backend.upper()} device {index} but torch.{backend}.device_count() "
            f"is {module.device_count()}. Please use torch.load with map_location to map your storages to an existing "
            "device."
        )
    return Device(backend, index)


register_package(10, _cpu_tag, _cpu_deserialize)
register_package(21, _mps_tag, _mps_deserialize)
register_package(22, _meta_tag, _meta_deserialize)
for _priority, _backend in ((20, "cuda"), (23, "privateuseone"), (24, "hpu"), (25, "xpu"), (26, "mtia")):
    register_package(_priority, functools.partial(_backend_tag, _backend), functools.partial(_deserialize, _backend))
