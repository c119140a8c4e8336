"""The Mersenne Twister that PyTorch draws from on a CPU: the stream of 32-bit words, and its state as bytes.

NumPy's ``MT19937`` produces the words, with the same seeding and the same twist. What is added here is PyTorch's view
of it: a seed of 64 bits of which the low 32 are used, the normal variates kept for the next call, and a state of 5056
bytes in PyTorch's own layout, so that states travel between the two libraries.

Small requests are served from a block of words drawn ahead. A block always ends where the generator's own block of 624
ends, so that NumPy's key together with the number of words not handed out yet is the exact state.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np

#: The seed of a generator that nobody has seeded; only the default generator starts from a random one.
DEFAULT_SEED = 67280421310721

BLOCK = 624
STATE_SIZE = 5056

#: PyTorch's state of a CPU generator, as the C structure lies in memory. ``normal_x`` and ``normal_rho`` are relics.
_STATE = np.dtype(
    [
        ("seed", "<u8"),
        ("left", "<i4"),
        ("seeded", "<i4"),
        ("next", "<u8"),
        ("key", "<u8", BLOCK),
        ("normal_x", "<f8"),
        ("normal_y", "<f8"),
        ("normal_rho", "<f8"),
        ("normal_is_valid", "<i4"),
        ("next_float_normal", "<f4"),
        ("next_float_normal_is_valid", "?"),
    ],
    align=True,
)
assert _STATE.itemsize == STATE_SIZE

_EMPTY = np.empty(0, np.uint32)


def nondeterministic_seed() -> int:
    """A seed of 64 bits from the operating system's entropy."""
    return int.from_bytes(os.urandom(8), "little")


class MT19937Stream:
    """A stream of 32-bit words, seeded and saved as PyTorch's CPU generator is.

    ``seed`` is the last seed given (64 bits, unsigned). ``next_normal`` is the second of the last pair of normal
    variates drawn one by one, kept for the next such call, or None; ``next_float_normal`` is its float32 twin, which
    no kernel uses any more but which is part of the state.
    """

    __slots__ = ("_ahead", "_bits", "_fresh", "_index", "_lock", "_position", "_words", "next_float_normal",
                 "next_normal", "seed")  # fmt: skip

    seed: int
    next_normal: float | None
    next_float_normal: float | None

    def __init__(self, seed: int = DEFAULT_SEED):
        self._lock = threading.Lock()
        self._bits = np.random.MT19937(0)
        self._words = np.random.Generator(self._bits).integers
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        """Start anew from ``seed``, of which the low 32 bits are used; a kept normal variate is dropped."""
        with self._lock:
            self._bits._legacy_seeding(seed & 0xFFFFFFFF)
            self.seed = seed & 0xFFFFFFFFFFFFFFFF
            self.next_normal = self.next_float_normal = None
            self._start(0, fresh=True)

    def _start(self, position: int, fresh: bool) -> None:
        """Note that NumPy's generator stands ``position`` words into its block and that none are drawn ahead."""
        self._position = position  # modulo 624
        self._fresh = fresh  # no word drawn since the seeding
        self._ahead = _EMPTY
        self._index = 0

    def raw(self, count: int) -> np.ndarray:
        """The next ``count`` words, uint32. The array may be a window on shared memory: do not write to it."""
        with self._lock:
            start = self._index
            stop = start + count
            if stop <= self._ahead.size:
                self._index = stop
                return self._ahead[start:stop]
            return self._raw_across_blocks(count)

    def _raw_across_blocks(self, count: int) -> np.ndarray:
        """``raw`` where the words drawn ahead do not suffice."""
        out = np.empty(count, np.uint32)
        filled = self._ahead.size - self._index
        out[:filled] = self._ahead[self._index :]
        direct = count - filled
        if direct >= BLOCK:
            out[filled:] = self._words(0, 2**32, size=direct, dtype=np.uint32)
            self._start((self._position + direct) % BLOCK, fresh=False)
            return out
        while filled < count:
            self._refill()
            self._index = min(self._ahead.size, count - filled)
            out[filled : filled + self._index] = self._ahead[: self._index]
            filled += self._index
        return out

    def _refill(self) -> None:
        """Draw ahead what is left of NumPy's block, or a new one."""
        self._ahead = self._bits.random_raw(BLOCK - self._position).astype(np.uint32)
        self._position = self._index = 0
        self._fresh = False

    def peek(self) -> np.ndarray:
        """Some of the next words, at least one, which stay in the stream. The caller goes on to take one or more."""
        with self._lock:
            if self._index == self._ahead.size:
                self._refill()
            return self._ahead[self._index :]

    def get_state(self) -> bytes:
        """The state, 5056 bytes in PyTorch's layout."""
        with self._lock:
            waiting = self._ahead.size - self._index
            left = waiting + 1 if waiting else (BLOCK - self._position) % BLOCK + 1
            state = np.zeros((), _STATE)
            state["seed"] = self.seed
            state["left"] = left
            state["seeded"] = 1
            # PyTorch twists when `left` has run out; only right after seeding does `next` not say the same thing.
            state["next"] = 0 if self._fresh else BLOCK + 1 - left
            state["key"] = self._bits.state["state"]["key"]
            if self.next_normal is not None:
                state["normal_is_valid"], state["normal_y"] = 1, self.next_normal
            if self.next_float_normal is not None:
                state["next_float_normal_is_valid"], state["next_float_normal"] = True, self.next_float_normal
            return state.tobytes()

    def set_state(self, data: Any) -> None:
        """Continue from a state of ``get_state``, or of a CPU generator of PyTorch (bytes or an array of uint8)."""
        size = memoryview(data).nbytes
        if size != STATE_SIZE:
            raise RuntimeError(
                f"Expected a CPUGeneratorImplState of size {STATE_SIZE} but found the input RNG state size to be {size}"
            )
        state = np.frombuffer(data, _STATE)[0]
        left, upcoming = int(state["left"]), int(state["next"])
        if not state["seeded"] or not 0 < left <= BLOCK or upcoming > BLOCK:
            raise RuntimeError("Invalid mt19937 state")
        with self._lock:
            position = BLOCK + 1 - left
            key = state["key"].astype(np.uint32)
            self._bits.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": position}}
            self.seed = int(state["seed"])
            self.next_normal = float(state["normal_y"]) if state["normal_is_valid"] else None
            self.next_float_normal = float(state["next_float_normal"]) if state["next_float_normal_is_valid"] else None
            self._start(position % BLOCK, fresh=left == 1 and upcoming == 0)


#: The stream behind the default CPU generator.
default_stream = MT19937Stream(nondeterministic_seed())
