"""The files that are written and read: opening them, telling formats apart, replacing old ones safely."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from typing import Any

from torchlike._serialization import config
from torchlike._serialization.archive import LOCAL_MAGIC, ArchiveReader, ArchiveWriter, archive_name, enforce_failed


def is_path(name_or_buffer: object) -> bool:
    """Whether this names a file rather than being one."""
    return isinstance(name_or_buffer, (str, os.PathLike))


def is_zipfile(f: Any) -> bool:
    """Whether the file goes on with a zip archive's first record."""
    start = f.tell()
    head = f.read(len(LOCAL_MAGIC))
    f.seek(start)
    return head == LOCAL_MAGIC


def is_torchscript(archive: ArchiveReader) -> bool:
    """Whether the archive holds a compiled program."""
    return "constants.pkl" in archive.get_all_records()


def should_read_directly(f: Any) -> bool:
    """Whether ``f`` is a file of the system, and not one that decompresses another."""
    if getattr(f, "__module__", None) == "gzip":
        return False
    try:
        return f.fileno() >= 0
    except (io.UnsupportedOperation, AttributeError):
        return False


def check_seekable(f: Any) -> bool:
    """True; raises what ``f`` raises, with advice, where it has no position to go back to."""
    try:
        f.seek(f.tell())
    except (io.UnsupportedOperation, AttributeError) as error:
        if "seek" in str(error) or "tell" in str(error):
            raise type(error)(
                f"{error}. You can only torch.load from a file that is seekable. Please pre-load the data into a "
                "buffer like io.BytesIO and try to load from it instead."
            ) from None
        raise
    return True


@contextlib.contextmanager
def opened(name_or_buffer: Any) -> Iterator[Any]:
    """The file to read from; one at a path is closed again after the block."""
    if is_path(name_or_buffer):
        with open(name_or_buffer, "rb") as file:
            yield file
    else:
        check_seekable(name_or_buffer)
        yield name_or_buffer


@contextlib.contextmanager
def replacing(path: str) -> Iterator[Any]:
    """A new file that takes the place of the one at ``path`` when the block ends well, and is gone when it does not.

    What is no plain file, or stands in a folder that takes no new files, is written to where it is.
    """
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    exists = os.path.exists(target)
    if exists and not (os.path.isfile(target) and os.access(target, os.W_OK) and os.access(folder, os.W_OK | os.X_OK)):
        with _written(open(target, "wb")) as file:
            yield file
        return
    temporary = os.path.join(folder, f".{os.urandom(8).hex()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, path) from None
    try:
        with _written(open(descriptor, "wb")) as file:
            yield file
        if exists:
            os.chmod(temporary, os.stat(target).st_mode & 0o7777)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def _written(file: Any) -> Iterator[Any]:
    """The file, closed after the block; an error in the block is not hidden by another one in closing."""
    try:
        yield file
        file.close()
    except BaseException:
        with contextlib.suppress(OSError):
            file.close()
        raise


def _check_target(path: str) -> str:
    """The archive's name for a file at ``path``; RuntimeError, as of PyTorch's writer, where none can be there."""
    name = archive_name(path)
    parent = os.path.dirname(path)
    if parent and not os.path.isdir(parent):
        raise RuntimeError(f"Parent directory {parent} does not exist.")
    return name if path.isascii() else "archive"


@contextlib.contextmanager
def opened_archive(name_or_buffer: Any) -> Iterator[ArchiveWriter]:
    """The writer of an archive at a path or into a file object, which is completed when the block ends well."""
    options = config.save.compute_crc32, config.save.storage_alignment
    if not is_path(name_or_buffer):
        if not callable(getattr(name_or_buffer, "write", None)):
            kind = str(type(name_or_buffer)).strip("<>")
            raise TypeError(f"Buffer of {kind} has no callable attribute 'write'")
        archive = ArchiveWriter(name_or_buffer.write, "archive", *options)
        yield archive
        archive.write_end_of_file()
        name_or_buffer.flush()
        return
    path = os.fspath(name_or_buffer)
    name = _check_target(path)
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(replacing(path))
        except OSError as error:
            raise enforce_failed(747, f"open file failed with strerror: {error.strerror}") from None

        def write(data: Any) -> None:
            with _write_errors(file):
                file.write(data)

        archive = ArchiveWriter(write, name, *options)
        yield archive
        archive.write_end_of_file()
        with _write_errors(file):
            file.flush()


@contextlib.contextmanager
def _write_errors(file: Any) -> Iterator[None]:
    """Report a write that fails (the disk is full, say) as PyTorch's writer does."""
    try:
        yield
    except OSError as error:
        raise enforce_failed(672, f"unexpected pos {file.tell()} vs {file.raw.tell()}") from error
