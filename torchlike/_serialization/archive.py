"""The checkpoint archive: a zip file of uncompressed records under one folder, every payload on a 64-byte boundary.

The layout is that of PyTorch's writer, byte for byte: a local header whose sizes are zero, a padding field ``FB``, the
payload, a data descriptor; then the central directory, always with the zip64 form of its end record. The reader takes
any zip file of stored or deflated records and reports damage in PyTorch's words.
"""

from __future__ import annotations

import hashlib
import struct
import sys
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import numpy as np

LOCAL_MAGIC = b"PK\x03\x04"
DEFAULT_ALIGNMENT = 64
FORMAT_VERSION = b"3\n"
READABLE_VERSIONS = range(1, 11)
SERIALIZATION_ID = ".data/serialization_id"

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR64 = struct.Struct("<4sIQI")
_U16, _U32, _U64 = 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF

_UTF8, _DESCRIPTOR, _ENCRYPTED, _PATCHED, _STRONG, _MASKED = 0x800, 0x8, 0x1, 0x20, 0x40, 0x2000
_STORED, _DEFLATED = 0, 8
_SEARCH_BLOCK = 4096  # the end record is looked for backwards in blocks that overlap by three bytes

_READ_FAILED = (
    "PytorchStreamReader failed {}: {}. This is an internal miniz error. If you are seeing this error, there is a high "
    "likelihood that your checkpoint file is corrupted. This can happen if the checkpoint was not saved properly, was "
    "transferred incorrectly, or the file was modified after saving."
)
_CORRUPTED = "invalid header or archive is corrupted"
_ARCHIVE = "reading zip archive"


def enforce_failed(line: int, message: str) -> RuntimeError:
    """PyTorch's error for a broken expectation about an archive, with the place where it checks it."""
    return RuntimeError(f"[enforce fail at inline_container.cc:{line}] . {message}")


def _fail(what: str, why: str) -> NoReturn:
    raise RuntimeError(_READ_FAILED.format(what, why))


def archive_name(path: str) -> str:
    """The folder that holds the records of an archive saved at ``path``: the file's name without its last suffix."""
    name = path[max(path.rfind("/"), path.rfind("\\")) + 1 :]
    if "." in name:
        name = name[: name.rfind(".")]
    if not name:
        raise enforce_failed(720, f"invalid file name: {path}")
    return name


# Writing


class ArchiveWriter:
    """Writes records one after the other with ``write``, a function of a bytes-like object.

    Args:
        write: takes each piece of the file in turn.
        name: the folder of the records.
        compute_crc32: whether checksums are computed; zeros stand in their place otherwise.
        alignment: boundary of every payload, in bytes.
    """

    def __init__(
        self,
        write: Callable[[Any], Any],
        name: str = "archive",
        compute_crc32: bool = True,
        alignment: int = DEFAULT_ALIGNMENT,
    ):
        self._write = write
        self._folder = name + "/"
        self._compute_crc32 = compute_crc32
        self._alignment = alignment
        self._position = 0
        self._central: list[bytes] = []
        self._checksums: dict[str, int] = {}

    def _put(self, data: Any) -> None:
        self._write(memoryview(data))
        self._position += len(data)

    def write_record(self, name: str, data: Any) -> None:
        """Add the record ``name`` with the bytes-like ``data``."""
        payload = memoryview(data)
        if payload.ndim != 1 or payload.itemsize != 1:
            payload = payload.cast("B")
        self._record(name, len(payload), zlib.crc32(payload) if self._compute_crc32 else 0, payload)

    def write_blank(self, name: str, size: int) -> None:
        """Add the record ``name`` with ``size`` zero bytes and no checksum, to be filled in later by somebody else."""
        self._record(name, size, 0, None)

    def _record(self, name: str, size: int, crc: int, payload: memoryview | None) -> None:
        if name in self._checksums:
            raise RuntimeError(f"Tried to serialize file twice: {name}")
        encoded = (self._folder + name).encode()
        header_at = self._position
        # PyTorch's writer leaves the packed size out of the local header, where it does not know it yet.
        zip64 = _zip64_extra(size, 0, header_at)
        start = header_at + _LOCAL.size + len(encoded) + len(zip64) + 4
        padding = -start % self._alignment
        flags = _UTF8 | _DESCRIPTOR if size else _UTF8
        extra_size = (len(zip64) + 4 + padding) & _U16
        self._put(_LOCAL.pack(LOCAL_MAGIC, 0, flags, _STORED, 0, 0, 0, 0, 0, len(encoded), extra_size))
        self._put(encoded + zip64 + b"FB" + struct.pack("<H", padding & _U16) + b"Z" * padding)
        if payload is not None:
            if size:
                self._put(payload)
        else:
            for begin in range(0, size, 1 << 20):
                self._put(bytes(min(size - begin, 1 << 20)))
        if size:
            self._put(struct.pack("<4sIQQ" if zip64 else "<4sIII", b"PK\x07\x08", crc, size, size))
        short_size, short_at = min(size, _U32), min(header_at, _U32)
        entry = (b"PK\x01\x02", 0, 0, flags, _STORED, 0, 0, crc, short_size, short_size, len(encoded), len(zip64))
        self._central.append(
            _CENTRAL.pack(*entry, 0, 0, 0, 0, short_at) + encoded + _zip64_extra(size, size, header_at)
        )
        self._checksums[name] = crc

    def _serialization_id(self) -> bytes:
        """Forty digits that stand for the records written: twenty for their names, twenty for their checksums."""
        names = "\n".join(self._checksums).encode()
        contents = 0
        for crc in self._checksums.values():
            contents ^= (crc + 0x9E3779B9 + (contents << 6) + (contents >> 2)) & _U64
        by_name = int.from_bytes(hashlib.blake2b(names, digest_size=8).digest(), "little")
        return f"{by_name:020d}{contents:020d}".encode()

    def write_end_of_file(self) -> None:
        """Add the records that every archive has and the directory of all records."""
        if "version" not in self._checksums:
            self.write_record("version", FORMAT_VERSION)
        if "byteorder" not in self._checksums:
            self.write_record("byteorder", sys.byteorder.encode())
        self.write_record(SERIALIZATION_ID, self._serialization_id())
        directory, at, count = b"".join(self._central), self._position, len(self._central)
        self._put(directory)
        end64_at = self._position
        self._put(_END64.pack(b"PK\x06\x06", 44, 0x31E, 45, 0, 0, count, count, len(directory), at))
        self._put(_LOCATOR64.pack(b"PK\x06\x07", 0, end64_at, 1))
        short = min(count, _U16)
        self._put(_END.pack(b"PK\x05\x06", 0, 0, short, short, min(len(directory), _U32), min(at, _U32), 0))


def _zip64_extra(size: int, packed_size: int, header_at: int) -> bytes:
    """The field that carries what does not fit in 32 bits: the two sizes, then the place of the local header."""
    wide = ([size, packed_size] if size >= _U32 else []) + ([header_at] if header_at >= _U32 else [])
    return struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""


# Reading


class _Entry(NamedTuple):
    """A record as the central directory describes it."""

    flags: int
    method: int
    packed_size: int
    size: int
    header_at: int


class ArchiveReader:
    """Reads the records of an archive from a seekable file, beginning at its current position."""

    def __init__(self, file: Any):
        self._file = file
        self._start = file.tell()
        file.seek(0, 2)
        self._size = file.tell() - self._start
        file.seek(self._start)
        self._entries = self._read_directory()
        if not self._entries:
            raise enforce_failed(171, "archive does not contain any files")
        first, slash, _ = next(iter(self._entries)).partition("/")
        if not slash:
            raise enforce_failed(180, f"file in archive is not in a subdirectory: {first}")
        self._folder = first + "/"
        # Names are looked up without regard to case.
        self._by_name: dict[str, _Entry] = {}
        for name, entry in self._entries.items():
            self._by_name.setdefault(name.lower(), entry)
        self._id = (
            self.get_record(SERIALIZATION_ID).decode(errors="replace") if self.has_record(SERIALIZATION_ID) else ""
        )
        self._check_version()

    def _check_version(self) -> None:
        # Archives of other layouts (packages, early TorchScript) keep it elsewhere.
        name = ".data/version" if self.has_record(".data/version") else "version"
        if not self.has_record(name):
            raise RuntimeError(
                'Expected hasRecord("version") to be true, but got false.  (Could this error message be improved?  If '
                "so, please report an enhancement request to PyTorch.)"
            )
        text = self.get_record(name).decode(errors="replace")
        digits = text.strip().removeprefix("-")
        if not digits.isdecimal():
            raise enforce_failed(215, f"Couldn't parse the version {text} as Long Long.")
        version = int(text)
        if version < READABLE_VERSIONS.start:
            raise enforce_failed(
                219,
                f"Attempted to read a PyTorch file with version {version}, but the minimum supported version for "
                f"reading is {READABLE_VERSIONS.start}. Your PyTorch script module file is too old. Please regenerate "
                "it with latest version of PyTorch to mitigate this issue.",
            )
        if version >= READABLE_VERSIONS.stop:
            raise enforce_failed(
                230,
                f"Attempted to read a PyTorch file with version {version}, but the maximum supported version for "
                f"reading is {READABLE_VERSIONS.stop - 1}. The version of your PyTorch installation may be too old, "
                "please upgrade PyTorch to latest version to mitigate this issue.",
            )

    def _read_at(self, position: int, size: int) -> bytes:
        self._file.seek(self._start + position)
        return self._file.read(size)

    def _find_end(self) -> int:
        """The position of the end record, searched backwards through the last 64 KiB."""
        position = max(self._size - _SEARCH_BLOCK, 0)
        while True:
            block = self._read_at(position, min(_SEARCH_BLOCK, self._size - position))
            found = block.rfind(b"PK\x05\x06", 0, self._size - _END.size - position + 4)
            if found >= 0:
                return position + found
            if position == 0 or self._size - position >= _U16 + _END.size:
                _fail(_ARCHIVE, "failed finding central directory")
            # Not stopped at zero: in a file of a few blocks PyTorch's search runs past the beginning as well, and the
            # error that a program sees (and may catch) is that of the file object.
            position -= _SEARCH_BLOCK - 3

    def _read_directory(self) -> dict[str, _Entry]:
        if self._size < _END.size:
            _fail(_ARCHIVE, "not a ZIP archive")
        end_at = self._find_end()
        record = self._read_at(end_at, _END.size)
        if len(record) != _END.size:
            _fail(_ARCHIVE, "file read failed")
        _, disk, directory_disk, here, count, size, at, _ = _END.unpack(record)
        end64 = self._read_end64(end_at)
        if end64 is not None:
            disk, directory_disk, here, count, size, at = end64
        if count != here or ((disk | directory_disk) and (disk, directory_disk) != (1, 1)):
            _fail(_ARCHIVE, "unsupported multidisk archive")
        if size < count * _CENTRAL.size or at + size > self._size:
            _fail(_ARCHIVE, _CORRUPTED)
        directory = self._read_at(at, size)
        if len(directory) != size:
            _fail(_ARCHIVE, "file read failed")
        return self._parse_directory(directory, count, disk)

    def _read_end64(self, end_at: int) -> tuple[int, ...] | None:
        if end_at < _LOCATOR64.size + _END64.size:
            return None
        magic, _, at, disks = _LOCATOR64.unpack(self._read_at(end_at - _LOCATOR64.size, _LOCATOR64.size))
        if magic != b"PK\x06\x07":
            return None
        if at > self._size - _END64.size:
            _fail(_ARCHIVE, "not a ZIP archive")
        magic, length, _, _, disk, directory_disk, here, count, size, start = _END64.unpack(
            self._read_at(at, _END64.size)
        )
        if magic != b"PK\x06\x06":
            return None
        if length < _END64.size - 12:
            _fail(_ARCHIVE, _CORRUPTED)
        if disks != 1:
            _fail(_ARCHIVE, "unsupported multidisk archive")
        if max(here, count) > _U32:
            _fail(_ARCHIVE, "too many files")
        if size > _U32:
            _fail(_ARCHIVE, "unsupported central directory size")
        return disk, directory_disk, here, count, size, start

    def _parse_directory(self, directory: bytes, count: int, disk: int) -> dict[str, _Entry]:
        entries: dict[str, _Entry] = {}
        at = 0
        for _ in range(count):
            if len(directory) - at < _CENTRAL.size or directory[at : at + 4] != b"PK\x01\x02":
                _fail(_ARCHIVE, _CORRUPTED)
            fields = _CENTRAL.unpack_from(directory, at)
            (
                _,
                _,
                _,
                flags,
                method,
                time,
                _,
                _,
                packed,
                size,
                name_size,
                extra_size,
                comment_size,
                on_disk,
                _,
                _,
                header_at,
            ) = fields
            name_at = at + _CENTRAL.size
            extra = directory[name_at + name_size : name_at + name_size + extra_size]
            if _U32 not in (packed, size) and (((method | time) == 0 and size != packed) or (size and not packed)):
                _fail(_ARCHIVE, _CORRUPTED)
            if on_disk == _U16 or on_disk not in (disk, 1):
                _fail(_ARCHIVE, "unsupported multidisk archive")
            if packed != _U32 and header_at + _LOCAL.size + packed > self._size:
                _fail(_ARCHIVE, _CORRUPTED)
            if flags & _MASKED:
                _fail(_ARCHIVE, "unsupported encryption")
            at = name_at + name_size + extra_size + comment_size
            if at > len(directory):
                _fail(_ARCHIVE, _CORRUPTED)
            packed, size, header_at = _widen(extra, packed, size, header_at)
            name = directory[name_at : name_at + name_size].decode("utf-8", "surrogateescape")
            entries.setdefault(name, _Entry(flags, method, packed, size, header_at))
        return entries

    # Records

    def get_all_records(self) -> list[str]:
        """The names of all records, in the order of the directory."""
        for name in self._entries:
            if not name.startswith(self._folder):
                raise enforce_failed(340, f"file in archive is not in a subdirectory {self._folder}: {name}")
        return [name[len(self._folder) :] for name in self._entries]

    def has_record(self, name: str) -> bool:
        """Whether there is a record of this name."""
        return (self._folder + name).lower() in self._by_name

    def serialization_id(self) -> str:
        """The digits by which the writer marked this set of records; empty where it did not."""
        return self._id

    def _entry(self, name: str) -> _Entry:
        entry = self._by_name.get((self._folder + name).lower())
        if entry is None:
            _fail(f"locating file {name}", "file not found")
        what = f"retrieving file meta-data for {name}"
        if entry.method not in (_STORED, _DEFLATED):
            _fail(what, "unsupported method")
        if entry.flags & (_ENCRYPTED | _STRONG):
            _fail(what, "unsupported encryption")
        if entry.flags & _PATCHED:
            _fail(what, "unsupported feature")
        return entry

    def get_record_offset(self, name: str) -> int:
        """The position of a record's payload, counted from the beginning of the archive."""
        return self._payload_at(name, self._entry(name))

    def stored_at(self, name: str) -> tuple[int, int] | None:
        """Position and size of a record's payload; None where it is deflated."""
        entry = self._entry(name)
        return (self._payload_at(name, entry), entry.size) if entry.method == _STORED else None

    def _payload_at(self, name: str, entry: _Entry) -> int:
        what = f"reading file {name}"
        if entry.header_at + _LOCAL.size + entry.packed_size > self._size:
            _fail(what, _CORRUPTED)
        header = self._read_at(entry.header_at, _LOCAL.size)
        if len(header) != _LOCAL.size:
            _fail(what, "file read failed")
        magic, *_, name_size, extra_size = _LOCAL.unpack(header)
        at = entry.header_at + _LOCAL.size + name_size + extra_size
        if magic != LOCAL_MAGIC or at + entry.packed_size > self._size:
            _fail(what, _CORRUPTED)
        return at

    def get_record(self, name: str) -> bytes:
        """The payload of a record."""
        return self.get_array(name).tobytes()

    def get_array(self, name: str) -> np.ndarray:
        """The payload of a record as a new array of bytes."""
        entry = self._entry(name)
        self._file.seek(self._start + self._payload_at(name, entry))
        # The size was checked against the file: a directory that lies cannot ask for more memory than the file has.
        packed = np.empty(entry.packed_size, np.uint8)
        if not _read_into(self._file, packed):
            _fail(f"reading file {name}", "file read failed")
        if entry.method == _STORED:
            if entry.size != entry.packed_size:
                _fail(f"reading file {name}", "file read failed")
            return packed
        return _inflate(name, packed, entry.size)


def _widen(extra: bytes, packed: int, size: int, header_at: int) -> tuple[int, int, int]:
    """Sizes and place of a record with those that did not fit in 32 bits taken from its zip64 field."""
    if _U32 not in (packed, size, header_at):
        return packed, size, header_at
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            wide = list(struct.unpack_from(f"<{length // 8}Q", extra, at + 4)) if at + 4 + length <= len(extra) else []
            if size == _U32 and wide:
                size = wide.pop(0)
            if packed == _U32 and wide:
                packed = wide.pop(0)
            if header_at == _U32 and wide:
                header_at = wide.pop(0)
            break
        at += 4 + length
    return packed, size, header_at


def _read_into(file: Any, target: np.ndarray) -> bool:
    """Fill ``target`` from the file; False where the file ends before."""
    view = target.data
    if not hasattr(file, "readinto"):
        data = file.read(len(view))
        if len(data) == len(view):
            view[:] = data
        return len(data) == len(view)
    while len(view):
        count = file.readinto(view)
        if not count:
            return False
        view = view[count:]
    return True


def _inflate(name: str, packed: np.ndarray, size: int) -> np.ndarray:
    """The ``size`` bytes that the deflated ``packed`` stands for; no more than that is ever unpacked."""
    what = f"reading file {name}"
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = stream.decompress(packed.data, size + 1)
    except zlib.error:
        _fail(what, "decompression failed")
    if len(data) != size:
        _fail(what, "decompression failed" if len(data) > size else "unexpected decompressed size")
    return np.frombuffer(bytearray(data), np.uint8)
