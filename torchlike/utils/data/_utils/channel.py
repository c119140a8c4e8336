"""A pipe of whole messages between the loader and one worker.

The loader's end never blocks: a message that does not fit into the socket's buffer waits here. The worker's end does,
and notices when the loader has gone, since a socket ends with the process that holds its other end. For this to be so,
no process that is forked later may keep a copy of the loader's end: all are closed in every forked child.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
import weakref
from collections import deque

_HEADER = struct.Struct("<Q")
_CHUNK = 1 << 18

_loader_ends: weakref.WeakSet[LoaderEnd] = weakref.WeakSet()


class _Socket(socket.socket):
    # An iterator that is garbage may be part of a cycle; then its socket may go first, which is no mistake to warn of.
    def __del__(self) -> None:
        self.close()


def pair() -> tuple[LoaderEnd, WorkerEnd]:
    """The two ends of a new channel."""
    ours, theirs = socket.socketpair()
    return LoaderEnd(_Socket(fileno=ours.detach())), WorkerEnd(theirs)


def _frame(message: bytes) -> bytes:
    return _HEADER.pack(len(message)) + message


class _Frames:
    """Messages out of a stream of bytes that comes in pieces."""

    def __init__(self) -> None:
        self.data = bytearray()

    def add(self, chunk: bytes) -> None:
        self.data += chunk

    def next(self) -> bytes | None:
        """The first message, if it is complete."""
        data = self.data
        if len(data) < _HEADER.size:
            return None
        end = _HEADER.size + _HEADER.unpack_from(data)[0]
        if len(data) < end:
            return None
        with memoryview(data) as view:
            message = bytes(view[_HEADER.size : end])
        del data[:end]
        return message


class LoaderEnd:
    """The end in the loader's process; nothing here waits."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.frames = _Frames()
        self.outbox: deque[memoryview] = deque()
        _loader_ends.add(self)

    def fileno(self) -> int:
        return self.sock.fileno()

    def send(self, message: bytes) -> None:
        """Send a message, as much of it as there is room for now. One to a process that has died is lost."""
        self.outbox.append(memoryview(_frame(message)))
        self.flush()

    def flush(self) -> bool:
        """Send what waits; whether nothing waits any more."""
        try:
            while self.outbox:
                piece = self.outbox[0]
                sent = self.sock.send(piece)
                if sent < len(piece):
                    self.outbox[0] = piece[sent:]
                else:
                    self.outbox.popleft()
        except BlockingIOError:
            return False
        except OSError:
            self.outbox.clear()
        return True

    def receive(self) -> tuple[list[bytes], bool]:
        """The messages that have come, and whether more may come."""
        more = True
        while True:
            try:
                chunk = self.sock.recv(_CHUNK)
            except BlockingIOError:
                break
            except OSError:
                chunk = b""
            self.frames.add(chunk)
            if len(chunk) < _CHUNK:
                more = bool(chunk)
                break
        return list(iter(self.frames.next, None)), more

    def close(self) -> None:
        self.sock.close()


class WorkerEnd:
    """The end in the worker's process, which waits. It can be sent to a spawned process."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.frames = _Frames()
        self.parent: int | None = None

    def watch_parent(self, interval: float) -> None:
        """Look every ``interval`` seconds of waiting whether the parent process is still the one of now.

        This is for the case that some other process keeps the loader's end open.
        """
        self.parent = os.getppid()
        if sys.platform != "win32":
            seconds = struct.pack("ll", int(interval), int(interval % 1 * 1e6))
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, seconds)

    def send(self, message: bytes) -> None:
        """Send a message; an OSError where the loader has gone or has no more use for it."""
        self.sock.sendall(_frame(message))

    def receive(self) -> bytes | None:
        """Wait for a message; None when the loader has closed its end, or has gone."""
        while (message := self.frames.next()) is None:
            try:
                chunk = self.sock.recv(_CHUNK)
            except BlockingIOError:
                if os.getppid() == self.parent:
                    continue
                return None
            except OSError:
                return None
            if not chunk:
                return None
            self.frames.add(chunk)
        return message

    def close(self) -> None:
        self.sock.close()


def _close_loader_ends() -> None:
    for end in list(_loader_ends):
        with contextlib.suppress(OSError):
            end.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_loader_ends)
