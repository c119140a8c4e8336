"""``torch.serialization``: `save` and `load`.

Files are PyTorch's own: a zip archive with the pickled object, in which tensors refer to storages that are records of
their own. Tensors that share memory when they are saved share it when they are loaded.
"""

from __future__ import annotations

import contextlib
import copyreg
import io
import os
import pickle
import shutil
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import torchlike as torch
from torchlike._serialization import config, legacy, pickler, unpickler
from torchlike._serialization import storages as _storages
from torchlike._serialization.archive import ArchiveReader, ArchiveWriter
from torchlike._serialization.config import LoadEndianness
from torchlike._serialization.config import local as _serialization_tls
from torchlike._serialization.files import is_path, is_torchscript, is_zipfile, opened, opened_archive, replacing
from torchlike._serialization.loading import NOT_A_CHECKPOINT, errors_explained, load_safetensors, load_zip
from torchlike._serialization.storages import default_restore_location, location_tag, register_package
from torchlike._storage.typed import storage_type_to_dtype

__all__ = [
    "LoadEndianness",
    "SourceChangeWarning",
    "StorageType",
    "add_safe_globals",
    "check_module_version_greater_or_equal",
    "clear_safe_globals",
    "default_restore_location",
    "get_crc32_options",
    "get_default_load_endianness",
    "get_default_mmap_options",
    "get_safe_globals",
    "get_unsafe_globals_in_checkpoint",
    "load",
    "location_tag",
    "mkdtemp",
    "normalize_storage_type",
    "register_package",
    "safe_globals",
    "save",
    "set_crc32_options",
    "set_default_load_endianness",
    "set_default_mmap_options",
    "skip_data",
    "storage_to_tensor_type",
    "validate_cuda_device",
    "validate_hpu_device",
]

DEFAULT_PROTOCOL = 2
MAGIC_NUMBER = legacy.MAGIC_NUMBER
PROTOCOL_VERSION = legacy.PROTOCOL_VERSION
_is_zipfile = is_zipfile


class SourceChangeWarning(Warning):
    """The source of a saved module's class is no longer what it was."""


@contextlib.contextmanager
def mkdtemp() -> Iterator[str]:
    """A temporary directory that is removed after the block."""
    import tempfile

    path = tempfile.mkdtemp()
    try:
        yield path
    finally:
        shutil.rmtree(path)


# Settings


def get_default_load_endianness() -> LoadEndianness | None:
    """The byte order assumed of files that do not say theirs; None means little."""
    return config.load.endianness


def set_default_load_endianness(endianness: LoadEndianness | None) -> None:
    """Set the byte order assumed of files that do not say theirs."""
    if not isinstance(endianness, LoadEndianness) and endianness is not None:
        raise TypeError("Invalid argument type in function set_default_load_endianness")
    config.load.endianness = endianness


def get_crc32_options() -> bool:
    """Whether `save` computes a checksum of each record (it does by default)."""
    return config.save.compute_crc32


def set_crc32_options(compute_crc32: bool) -> None:
    """Set whether `save` computes a checksum of each record. Without, other programs may not unzip the file."""
    config.save.compute_crc32 = compute_crc32


def get_default_mmap_options() -> int | None:
    """How `load` maps files with ``mmap=True``: ``mmap.MAP_PRIVATE`` by default."""
    return config.load.mmap_flags


class set_default_mmap_options:
    """Set how `load` maps files with ``mmap=True``: for good when called, for a block as a context manager.

    Args:
        flags: ``mmap.MAP_PRIVATE``, where writes to a tensor stay in memory, or ``mmap.MAP_SHARED``, where they go to
            the file.
    """

    def __init__(self, flags: int) -> None:
        if sys.platform == "win32":
            raise RuntimeError("Changing the default mmap options is currently not supported for Windows")
        from mmap import MAP_PRIVATE, MAP_SHARED

        if flags not in (MAP_PRIVATE, MAP_SHARED):
            raise ValueError(
                "Invalid argument in function set_default_mmap_options, "
                f"expected mmap.MAP_PRIVATE or mmap.MAP_SHARED, but got {flags}"
            )
        self.prev = config.load.mmap_flags
        config.load.mmap_flags = flags

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc_info: object) -> None:
        config.load.mmap_flags = self.prev


class skip_data:
    """In this block, `save` leaves blank space for the bytes of storages, and `load` leaves them out.

    Args:
        materialize_fake_tensors: for tensors without elements, whether to save them as tensors with.
    """

    def __init__(self, materialize_fake_tensors: bool = False):
        self.materialize_fake_tensors = materialize_fake_tensors

    def __enter__(self) -> None:
        local = _serialization_tls
        self._before = local.skip_data, local.materialize_fake_tensors
        local.skip_data, local.materialize_fake_tensors = True, self.materialize_fake_tensors

    def __exit__(self, *exc_info: object) -> None:
        _serialization_tls.skip_data, _serialization_tls.materialize_fake_tensors = self._before


# What may be loaded with weights_only


def add_safe_globals(safe_globals: list[Any]) -> None:
    """Allow classes and functions in files loaded with ``weights_only``.

    Args:
        safe_globals: classes, functions, or pairs of one and the full name it goes by in the file.
    """
    unpickler.add_safe_globals(safe_globals)


def get_safe_globals() -> list[Any]:
    """What the user has allowed in files loaded with ``weights_only``."""
    return unpickler.get_safe_globals()


def clear_safe_globals() -> None:
    """Take back everything that the user has allowed in files loaded with ``weights_only``."""
    unpickler.clear_safe_globals()


class safe_globals:
    """In this block, allow classes and functions in files loaded with ``weights_only``; see `add_safe_globals`."""

    def __init__(self, safe_globals: list[Any]):
        self.safe_globals = safe_globals

    def __enter__(self) -> None:
        unpickler.add_safe_globals(self.safe_globals)

    def __exit__(self, *exc_info: object) -> None:
        unpickler.remove_safe_globals(self.safe_globals)


def get_unsafe_globals_in_checkpoint(f: Any) -> list[str]:
    """The full names in a file that ``weights_only`` does not allow, read off without running anything.

    Args:
        f: path or file object of a file written by `save`.
    """
    with opened(f) as file:
        if not is_zipfile(file):
            raise ValueError(NOT_A_CHECKPOINT)
        archive = ArchiveReader(file)
        if is_torchscript(archive):
            raise ValueError(f"{NOT_A_CHECKPOINT} but got a torchscript checkpoint")
        names = unpickler.globals_of(io.BytesIO(archive.get_record("data.pkl")))
    return list(names - unpickler.default_globals().keys() - unpickler.user_globals().keys())


# Odds and ends of the public module


def check_module_version_greater_or_equal(
    module: Any, req_version_tuple: tuple, error_if_malformed: bool = True
) -> bool:
    """Whether a module's ``__version__`` is at least ``req_version_tuple``.

    One that cannot be compared is a RuntimeError, or with ``error_if_malformed=False`` a warning and taken for enough.
    """
    try:
        parts = module.__version__.split(".")
        return tuple(type(wanted)(parts[i]) for i, wanted in enumerate(req_version_tuple)) >= req_version_tuple
    except Exception as error:
        message = (
            f"'{module.__name__}' module version string is malformed '{module.__version__}' and cannot be compared"
            f" with tuple {req_version_tuple!s}"
        )
        if error_if_malformed:
            raise RuntimeError(message) from error
        warnings.warn(message + ", but continuing assuming that requirement is met", stacklevel=2)
        return True


def validate_cuda_device(location: str) -> int:
    """The index of the GPU that a tag such as ``"cuda:1"`` names; RuntimeError where there is none."""
    return _storages.validate_device(location, "cuda").index


def validate_hpu_device(location: str) -> int:
    """The index of the HPU that a tag names; RuntimeError where there is none."""
    return _storages.validate_device(location, "hpu").index


def normalize_storage_type(storage_type: Any) -> Any:
    """The class ``torch.<name>`` of the same name as a storage class."""
    return getattr(torch, storage_type.__name__)


def storage_to_tensor_type(storage: Any) -> Any:
    """The older tensor class that goes with a storage's class."""
    kind = type(storage)
    from torchlike._serialization.names import resolve

    return resolve(kind.__module__, kind.__name__.replace("Storage", "Tensor"))


class StorageType:
    """Stands in an unpickled file for a storage class, of which only the element type matters."""

    def __init__(self, name: str):
        if name not in storage_type_to_dtype():
            raise KeyError(f'pickle storage type "{name}" is not recognized')
        self._dtype = storage_type_to_dtype()[name]

    @property
    def dtype(self) -> Any:
        """The type of the elements."""
        return self._dtype

    def __str__(self) -> str:
        return f"StorageType(dtype={self.dtype})"


def _get_layout(name: str) -> Any:
    """The layout that is printed as ``name``."""
    return {str(v): v for v in vars(torch).values() if isinstance(v, torch.layout)}[name]


copyreg.pickle(torch.layout, lambda layout: (_get_layout, (str(layout),)))


def _check_dill_version(pickle_module: Any) -> None:
    if pickle_module is None or pickle_module.__name__ != "dill":
        return
    if not check_module_version_greater_or_equal(pickle_module, (0, 3, 1), False):
        raise ValueError(
            f"'torch' supports dill >= 0.3.1, but you have dill {pickle_module.__version__}."
            " Please upgrade dill or switch to 'pickle'"
        )


# Saving


def save(
    obj: object,
    f: Any,
    pickle_module: Any = pickle,
    pickle_protocol: int = DEFAULT_PROTOCOL,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Write an object to a file, tensors and all, so that `load` and native PyTorch can read it.

    Tensors that share memory share it again when they are loaded; a storage is written once and whole, however small a
    part of it a tensor shows. A file at a path is replaced only when everything is written: if saving fails, what was
    there before is still there.

    Args:
        obj: what to save: a state dict as a rule, but anything that pickles.
        f: path, or file object with ``write`` and ``flush``.
        pickle_module: module whose ``Pickler`` is used.
        pickle_protocol: pickle protocol; 2 is the only one that ``weights_only`` loading reads in full.
        _use_new_zipfile_serialization: False for the format from before PyTorch 1.6.

    Raises:
        RuntimeError: the file cannot be written, or tensors of different types share memory.
        pickle.PicklingError, TypeError, AttributeError: something in the object does not pickle.

    Example:
        >>> import io, torchlike as torch
        >>> buffer = io.BytesIO()
        >>> torch.save({"weight": torch.ones(2)}, buffer)
        >>> torch.load(io.BytesIO(buffer.getvalue()))
        {'weight': tensor([1., 1.])}
    """
    _check_dill_version(pickle_module)
    if not is_path(f) and not hasattr(f, "write"):
        raise AttributeError("expected 'f' to be string, path, or a file-like object with a 'write' attribute")
    if _use_new_zipfile_serialization:
        with opened_archive(f) as archive:
            _save(obj, archive, pickle_module, pickle_protocol, _disable_byteorder_record)
        return
    if _serialization_tls.skip_data:
        raise RuntimeError("Cannot use skip_data=True with _use_new_zipfile_serialization=False")
    if is_path(f):
        with replacing(os.fspath(f)) as file:
            legacy.save(obj, file, pickle_module, pickle_protocol)
    else:
        legacy.save(obj, f, pickle_module, pickle_protocol)
        f.flush()


def _save(obj: object, archive: ArchiveWriter, pickle_module: Any, protocol: int, no_byteorder: bool) -> None:
    storages = _storages.StorageIds()
    keys: dict[int, str] = {}

    def persistent_id(found: Any) -> tuple | None:
        return storages.id_of(found, lambda storage: keys.setdefault(storage._cdata, str(len(keys))))

    archive.write_record("data.pkl", pickler.dump(obj, pickle_module, protocol, persistent_id))
    archive.write_record(".format_version", b"1")
    archive.write_record(".storage_alignment", str(config.save.storage_alignment).encode())
    if not no_byteorder:
        archive.write_record("byteorder", sys.byteorder.encode())
    for key, (storage, _) in storages.found.items():
        if _serialization_tls.skip_data:
            archive.write_blank(f"data/{key}", storage.nbytes())
        else:
            archive.write_record(f"data/{key}", storage._bytes())


# Loading


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Read an object that `save` wrote, here or in native PyTorch.

    Args:
        f: path, or file object with ``read``, ``readline``, ``seek`` and ``tell``.
        map_location: where storages go that were elsewhere when they were saved: a device or its name, for all of them;
            a dictionary from the tags in the file to others; a function of a storage in host memory and its tag that
            returns the storage where it is to be, or None. By default, they go to where they were.
        pickle_module: module whose ``Unpickler`` is used, only with ``weights_only=False``.
        weights_only: whether the file may only hold tensors, plain values and what `add_safe_globals` allows. True by
            default; with False the file can run any code, so do that only if you trust where it comes from.
        mmap: whether the bytes of storages are read from the file when they are needed; ``f`` must be a path.
        pickle_load_args: arguments of the unpickler, only with ``weights_only=False``: ``encoding="latin1"``, for
            example, for files that Python 2 wrote.

    Raises:
        pickle.UnpicklingError: the file holds what ``weights_only`` does not allow, or is no pickle.
        RuntimeError: the archive is damaged, or a storage cannot be put where it was.
        EOFError: the file is empty or ends too early.
    """
    weights_only, pickle_module = _strictness(weights_only, pickle_module)
    if pickle_load_args and weights_only:
        warnings.warn("pickle_load_args only works if `weights_only=False`.", stacklevel=2)
    if mmap is None:
        mmap = config.load.mmap
    _check_dill_version(pickle_module)
    pickle_load_args.setdefault("encoding", "utf-8")
    if is_path(f) and os.fspath(f).endswith(".safetensors"):
        return load_safetensors(os.fspath(f), map_location)
    with opened(f) as file, errors_explained(weights_only):
        if is_zipfile(file):
            return load_zip(f, file, map_location, pickle_module, weights_only, bool(mmap), pickle_load_args)
        if mmap:
            named = f"{f}, " if isinstance(f, str) else ""
            raise RuntimeError(
                f"mmap can only be used with files saved with `torch.save({named}_use_new_zipfile_serialization=True), "
                "please torch.save your checkpoint with this option in order to use mmap."
            )
        restore = _storages.restore_function(map_location)
        skip = _serialization_tls.skip_data
        return legacy.load(file, restore, pickle_module, weights_only, skip, **pickle_load_args)


def _environment_says(name: str) -> bool:
    return os.getenv(name, "0").lower() in ("1", "y", "yes", "true")


def _strictness(weights_only: bool | None, pickle_module: Any) -> tuple[bool, Any]:
    """Whether to load weights only, and the module of the unpickler otherwise."""
    not_set = weights_only is None
    if weights_only is None:
        weights_only = pickle_module is None
    force, force_no = map(_environment_says, ("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"))
    if force and force_no:
        raise RuntimeError(
            "Only one of `TORCH_FORCE_WEIGHTS_ONLY_LOAD` or `TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD` "
            "should be set, but both were set."
        )
    if force:
        weights_only = True
    elif force_no and not_set:
        warnings.warn(
            "Environment variable TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD detected, since the"
            "`weights_only` argument was not explicitly passed to `torch.load`, forcing weights_only=False.",
            UserWarning,
            stacklevel=3,
        )
        weights_only = False
    if weights_only and pickle_module is not None:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
    return bool(weights_only), None if weights_only else pickle_module or pickle
