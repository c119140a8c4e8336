"""Shared memory for batches: one anonymous file per worker, which the worker fills and the loader maps.

The file has no name, only descriptors, so nothing is left of it when both processes are gone, however they went. It is
used in blocks. A block belongs to the worker until it is published; then to the loader, until the last array on it has
died there; then to the worker again. Blocks are recycled, so that in the steady state neither side takes page faults.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import weakref
from typing import Any

import numpy as np

from torchlike._tensor.shared import SharedFile

#: Arrays below this many bytes travel inside the message.
MIN_BLOCK = 32768
#: Free blocks are kept up to this many bytes, or twice what the loader holds, whichever is more.
MIN_KEPT = 64 << 20


def block_size(nbytes: int) -> int:
    """The size of the block for an array: at most an eighth more, so that similar sizes share blocks.

    >>> block_size(100_000) / mmap.ALLOCATIONGRANULARITY
    26.0
    """
    grain = max(mmap.ALLOCATIONGRANULARITY, 1 << max(nbytes.bit_length() - 4, 0))
    return -(-nbytes // grain) * grain


def address_of(array: np.ndarray) -> int:
    """Where an array's first element is."""
    return array.__array_interface__["data"][0]


class Block:
    """A part of the file and this process's mapping of it."""

    __slots__ = ("map", "offset", "owner", "size")

    def __init__(self, offset: int, size: int, memory: mmap.mmap) -> None:
        self.offset = offset
        self.size = size
        self.map = memory
        self.owner: Any = None  # weak reference to the array over it in this process

    def array(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        array = np.ndarray(shape, dtype, buffer=self.map)
        self.owner = weakref.ref(array)
        return array

    def is_referenced(self) -> bool:
        return self.owner is not None and self.owner() is not None


class Writer:
    """The worker's side: gives out memory for arrays, publishes them, takes blocks back."""

    def __init__(self, file: SharedFile) -> None:
        self.file = file
        self.end = 0
        self.private: dict[int, Block] = {}  # by address: given out, not published yet
        self.published: dict[int, Block] = {}  # by offset: the loader's
        self.held: list[Block] = []  # handed back, but an array in this process still shows them
        self.free: dict[int, list[Block]] = {}  # by size, the size used last at the end
        self.published_bytes = self.free_bytes = 0
        self.dropped: list[int] = []  # offsets whose memory was given back, for the loader to unmap

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An uninitialised array that can be published without a copy."""
        block = self._block_for(math.prod(shape) * dtype.itemsize)
        array = block.array(shape, dtype)
        self.private[address_of(array)] = block
        return array

    def publish(self, array: np.ndarray) -> tuple[int, int]:
        """Hand an array to the loader: ``(offset, nbytes)`` of its contents. It is not to be written to any more."""
        block = self.private.pop(address_of(array), None) if array.flags.c_contiguous else None
        if block is None:
            copy = self.empty(array.shape, array.dtype)
            copy[...] = array
            block = self.private.pop(address_of(copy))
        self.published[block.offset] = block
        self.published_bytes += block.size
        return block.offset, array.nbytes

    def take_back(self, offsets: list[int]) -> None:
        """Reuse the blocks that the loader is done with, and those of arrays that died here unpublished."""
        returned = [self.published.pop(offset) for offset in offsets]
        self.published_bytes -= sum(block.size for block in returned)
        unused = [address for address, block in self.private.items() if not block.is_referenced()]
        candidates = self.held + returned + [self.private.pop(address) for address in unused]
        self.held = [block for block in candidates if block.is_referenced()]
        for block in candidates:
            if not block.is_referenced():
                self.free.setdefault(block.size, []).append(block)
                self.free_bytes += block.size
        self._trim()

    def take_dropped(self) -> list[int]:
        """The offsets given back to the system since the last call."""
        dropped, self.dropped = self.dropped, []
        return dropped

    def _block_for(self, nbytes: int) -> Block:
        size = block_size(max(nbytes, 1))
        fitting = size if size in self.free else min((s for s in self.free if size <= s <= 2 * size), default=None)
        if fitting is not None:
            return self._pop_free(fitting)
        block = Block(self.end, size, self.file.map(self.end, size))
        self.end += size
        return block

    def _pop_free(self, size: int) -> Block:
        blocks = self.free.pop(size)
        block = blocks.pop()
        self.free_bytes -= size
        if blocks:
            self.free[size] = blocks
        return block

    def _trim(self) -> None:
        limit = max(MIN_KEPT, 2 * self.published_bytes)
        while self.free_bytes > limit and hasattr(mmap, "MADV_REMOVE"):
            block = self._pop_free(next(iter(self.free)))
            block.map.madvise(mmap.MADV_REMOVE)
            self.dropped.append(block.offset)


class Reader:
    """The loader's side: arrays over published blocks, which are handed back when their arrays have died."""

    def __init__(self, file: SharedFile) -> None:
        self.file = file
        self.maps: dict[int, mmap.mmap] = {}
        self.lent: dict[int, Any] = {}  # weak references that wait for the arrays' death
        self.finished: list[int] = []

    def open(self, offset: int, nbytes: int) -> np.ndarray:
        """The bytes of a published block."""
        memory = self.maps.get(offset)
        if memory is None or len(memory) < nbytes:
            memory = self.maps[offset] = self.file.map(offset, block_size(nbytes))
        array = np.frombuffer(memory, np.uint8, nbytes)
        lent, finished = self.lent, self.finished

        # Views refer to the array, not to the map beneath it, so its death is the end of all of them.
        def died(_: Any) -> None:
            del lent[offset]
            finished.append(offset)

        lent[offset] = weakref.ref(array, died)
        return array

    def forget(self, offsets: list[int]) -> None:
        """Unmap blocks whose memory the worker has given back."""
        for offset in offsets:
            self.maps.pop(offset, None)

    def take_finished(self) -> list[int]:
        """The blocks whose arrays have died since the last call."""
        count = len(self.finished)  # an array may die in another thread, or in the collector, at any line here
        finished = self.finished[:count]
        del self.finished[:count]
        return finished


_writer: Writer | None = None


def open_writer(writer: Writer | None) -> None:
    """Make ``writer`` the one that `empty` uses in this process."""
    global _writer
    _writer = writer


def is_open() -> bool:
    """Whether this process is a worker with shared memory."""
    return _writer is not None


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An uninitialised array: in shared memory in a worker, unless it is small."""
    if _writer is None or math.prod(shape) * dtype.itemsize < MIN_BLOCK:
        return np.empty(shape, dtype)
    with contextlib.suppress(OSError):
        return _writer.empty(shape, dtype)
    return np.empty(shape, dtype)
