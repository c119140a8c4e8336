"""``torch.random``: generators of random numbers, and the state of the default one.

On the CPU a generator is PyTorch's Mersenne Twister, and the numbers drawn from it are PyTorch's, seed for seed. On an
accelerator it is a seed and a counter, from which ``key`` makes JAX's random keys, one for each drawing operation.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from torchlike._engine.mt19937 import DEFAULT_SEED, MT19937Stream, default_stream, nondeterministic_seed
from torchlike._tensor.device import cpu
from torchlike._tensor.device import device as Device
from torchlike._tensor.type_names import type_name

if TYPE_CHECKING:
    from torchlike._tensor.tensor import Tensor

__all__ = [
    "set_rng_state",
    "get_rng_state",
    "manual_seed",
    "seed",
    "initial_seed",
    "fork_rng",
    "thread_safe_generator",
]

_UINT64 = 0xFFFFFFFFFFFFFFFF
#: How far one drawing operation moves an accelerator generator's offset; CUDA's generators count in fours.
_OFFSET_UNIT = 4

_NO_OFFSET = "CPU Generator does not use offset"
_UNAVAILABLE = {
    "cuda": "Cannot get CUDA generator without an accelerator that JAX can use.",
    "mps": "Cannot execute getNewGenerator() without MPS backend.",
    "xpu": "Cannot get XPU generator without ATen_xpu library.",
}


class _CounterStream:
    """What an accelerator's generator consists of; its state is 16 bytes, laid out as CUDA's."""

    __slots__ = ("offset", "seed")

    STATE_SIZE = 16

    def __init__(self, seed: int = DEFAULT_SEED):
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        self.seed = seed & _UINT64
        self.offset = 0

    def get_state(self) -> bytes:
        return self.seed.to_bytes(8, "little") + self.offset.to_bytes(8, "little")

    def set_state(self, data: Any) -> None:
        state = bytes(data)
        if len(state) not in (8, self.STATE_SIZE):  # a state of eight bytes is a seed alone
            raise RuntimeError("RNG state is wrong size")
        self.seed = int.from_bytes(state[:8], "little")
        self.offset = int.from_bytes(state[8:], "little")

    def key(self) -> Any:
        """A new JAX random key."""
        import jax

        words = np.array([self.seed >> 32, self.seed & 0xFFFFFFFF], np.uint32)
        base = jax.random.wrap_key_data(jax.numpy.asarray(words), impl="threefry2x32")
        count, self.offset = self.offset // _OFFSET_UNIT, self.offset + _OFFSET_UNIT
        return jax.random.fold_in(base, count & 0xFFFFFFFF)


class Generator:
    """``Generator(device="cpu")``: a source of random numbers of its own, for the ``generator`` argument of functions.

    Args:
        device (torch.device, optional): where the tensors are that will be filled from it.

    >>> g = Generator().manual_seed(2147483647)
    >>> g.initial_seed()
    2147483647
    """

    __slots__ = ("__weakref__", "_device", "_stream")

    _device: Device
    _stream: MT19937Stream | _CounterStream

    def __init__(self, device: Device | str | int | None = None):
        self._device = _generator_device(device)
        self._stream = MT19937Stream() if self._device is cpu else _CounterStream()

    def __repr__(self) -> str:
        return f"<torch._C.Generator object at {id(self):#x}>"

    @property
    def device(self) -> Device:
        """The device whose tensors the generator fills."""
        return self._device

    @device.setter
    def device(self, _: Any) -> None:
        raise AttributeError("attribute 'device' of 'torch._C.Generator' objects is not writable")

    def manual_seed(self, seed: int, /) -> Generator:
        """Set the seed, and with it the whole state.

        Args:
            seed (int): from ``-2**63`` to ``2**64 - 1``; a negative seed stands for ``2**64 + seed``.

        Returns:
            The generator itself.

        Raises:
            RuntimeError: the seed is no integer.
            ValueError: it is out of range.
        """
        if isinstance(seed, bool) or not isinstance(seed, int):
            if isinstance(seed, np.integer):
                raise TypeError("an integer is required")
            raise RuntimeError(f"manual_seed expected a long, but got {type_name(seed)}")
        if not -(1 << 63) <= seed <= _UINT64:
            raise ValueError("Overflow when unpacking long long")
        self._stream.reseed(int(seed))
        return self

    def seed(self) -> int:
        """Set a seed from the operating system's entropy, and return it."""
        chosen = nondeterministic_seed()
        if self._device is not cpu:
            chosen &= (1 << 53) - 1  # accelerators' seeds are kept to what a float64 holds
        self._stream.reseed(chosen)
        return chosen

    def initial_seed(self) -> int:
        """The seed that was set last."""
        return self._stream.seed

    def get_state(self) -> Tensor:
        """The state: a tensor of uint8 on the CPU, 5056 bytes, which native PyTorch's generators take and give too."""
        from torchlike._tensor.tensor import from_array

        return from_array(np.frombuffer(bytearray(self._stream.get_state()), np.uint8))

    def set_state(self, new_state: Tensor, /) -> Generator:
        """Take over the state that ``get_state`` of a generator for the same kind of device returned.

        Returns:
            The generator itself.

        Raises:
            TypeError: the argument is no tensor of uint8 on the CPU.
            RuntimeError: it has not the size of a state, or is none.
        """
        from torchlike._tensor.dtypes import uint8
        from torchlike._tensor.tensor import Tensor, host_array

        if not isinstance(new_state, Tensor):
            raise TypeError(f"expected a torch.ByteTensor, but got {type_name(new_state)}")
        if new_state.dtype is not uint8 or new_state.device.type != "cpu":
            raise TypeError("RNG state must be a torch.ByteTensor")
        self._stream.set_state(np.ascontiguousarray(host_array(new_state)))
        return self

    def clone_state(self) -> Generator:
        """A new generator in the same state."""
        clone = Generator(self._device)
        clone._stream.set_state(self._stream.get_state())
        return clone

    def get_offset(self) -> int:
        """How far an accelerator's generator has counted; a CPU generator does not count."""
        if isinstance(self._stream, MT19937Stream):
            raise RuntimeError(_NO_OFFSET)
        return self._stream.offset

    def set_offset(self, offset: int, /) -> Generator:
        """Set the count of an accelerator's generator, a multiple of 4."""
        if isinstance(self._stream, MT19937Stream):
            raise RuntimeError(_NO_OFFSET)
        if offset % _OFFSET_UNIT:
            raise RuntimeError("offset must be a multiple of 4")
        self._stream.offset = offset
        return self

    def graphsafe_get_state(self) -> Generator:
        """Not supported: there are no graphs that would record the state."""
        raise NotImplementedError("graphsafe_get_state is not supported in this Generator")

    def graphsafe_set_state(self, new_state: Generator, /) -> Generator:
        """Not supported: there are no graphs that would record the state."""
        raise NotImplementedError("graphsafe_set_state is not supported in this Generator")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_generator, (self._device,), (self.initial_seed(), None, self._stream.get_state())

    def __setstate__(self, state: tuple[int, int | None, Tensor | bytes]) -> None:
        # Files of native PyTorch have the state as a tensor.
        seed, offset, data = state
        self.manual_seed(seed)
        if offset is not None:
            self.set_offset(offset)
        if isinstance(data, bytes):
            self._stream.set_state(data)
        else:
            self.set_state(data)


Generator.__module__ = "torch._C"


def _rebuild_generator(device: Device) -> Generator:
    """What pickles of a generator call; the class's own module is but a name."""
    return Generator(device)


def _generator_device(device: Any) -> Device:
    """The device of a generator made with the argument ``device``; RuntimeError where generators cannot be had."""
    if device is None:
        return cpu
    found = Device(device)
    if found.type == "cpu":
        return cpu
    if found.type == "cuda":
        from torchlike._tensor.placement import accelerators, resolve

        if accelerators():
            return resolve(found)
    raise RuntimeError(_UNAVAILABLE.get(found.type, f"{found.type.upper()} device type not an accelerator."))


def _default_generator() -> Generator:
    generator = Generator()
    generator._stream = default_stream
    return generator


default_generator = _default_generator()


def cpu_stream(generator: Generator | None) -> MT19937Stream:
    """The stream that a function with the argument ``generator`` draws from on the CPU: by default the common one."""
    if generator is None:
        return default_stream
    stream = generator._stream
    if not isinstance(stream, MT19937Stream):
        raise RuntimeError(f"Expected a 'cpu' device type for generator but found '{generator._device.type}'")
    return stream


# ------------------------------------------------------------------------------ the accelerators' default generators

_accelerator_generators: dict[int, Generator] = {}
#: The seed of those not made yet.
_accelerator_seed = DEFAULT_SEED


def accelerator_generator(index: int = 0) -> Generator:
    """The default generator of the accelerator with this ordinal; AssertionError where there is no accelerator."""
    found = _accelerator_generators.get(index)
    if found is None:
        from torchlike._tensor.placement import resolve

        device = resolve(Device("cuda", index))
        found = _accelerator_generators[index] = Generator(device).manual_seed(_accelerator_seed)
    return found


def seed_accelerators(seed: int) -> None:
    """Seed the default generators of all accelerators, also of those that nobody has used yet."""
    global _accelerator_seed
    _accelerator_seed = seed
    for generator in _accelerator_generators.values():
        generator.manual_seed(seed)


# ----------------------------------------------------------------------------------------------- the public functions


def set_rng_state(new_state: Tensor) -> None:
    """Set the state of the default CPU generator.

    Args:
        new_state (torch.ByteTensor): a state that ``get_rng_state`` returned.
    """
    default_generator.set_state(new_state)


def get_rng_state() -> Tensor:
    """The state of the default CPU generator, a ``torch.ByteTensor``."""
    return default_generator.get_state()


def manual_seed(seed) -> Generator:
    """Seed the default generators of all devices.

    Args:
        seed (int): from ``-2**63`` to ``2**64 - 1``; a negative seed stands for ``2**64 + seed``.

    Returns:
        The default CPU generator.
    """
    seed = int(seed)
    default_generator.manual_seed(seed)
    seed_accelerators(seed)
    return default_generator


def seed() -> int:
    """Seed the default generators of all devices from the operating system's entropy, and return the seed."""
    chosen = default_generator.seed()
    seed_accelerators(chosen)
    return chosen


def initial_seed() -> int:
    """The seed of the default CPU generator."""
    return default_generator.initial_seed()


_warned_of_many_devices = False


def _devices_to_fork(devices: Iterable[int] | None, kind: str, caller: str, keyword: str) -> list[int]:
    global _warned_of_many_devices
    if devices is not None:
        return list(devices)
    if kind != "cuda":
        return []
    from torchlike._tensor.placement import accelerators

    # Whoever has not looked for accelerators has drawn nothing there; looking for them now would start them.
    count = len(accelerators()) if accelerators.cache_info().currsize else 0
    if count > 1 and not _warned_of_many_devices:
        _warned_of_many_devices = True
        warnings.warn(
            f"{kind.upper()} reports that you have {count} available devices, and "
            f"you have used {caller} without explicitly specifying which devices are being used. "
            f"For safety, we initialize *every* {kind.upper()} device by default, which can "
            f"be quite slow if you have a lot of {kind.upper()}s. If you know that you are only"
            f" making use of a few {kind.upper()} devices, set the environment variable "
            f"{kind.upper()}_VISIBLE_DEVICES or the '{keyword}' keyword argument of {caller} "
            "with the set of devices you are actually using. For example, if you are using CPU only, "
            "set device.upper()_VISIBLE_DEVICES= or devices=[]; if you are using device 0 only, "
            f"set {kind.upper()}_VISIBLE_DEVICES=0 or devices=[0].  To initialize all devices "
            f"and suppress this warning, set the '{keyword}' keyword argument to "
            f"`range(torch.{kind}.device_count())`.",
            stacklevel=4,
        )
    return list(range(count))


@contextlib.contextmanager
def fork_rng(
    devices=None,
    enabled=True,
    _caller="fork_rng",
    _devices_kw="devices",
    device_type=None,
) -> Iterator[None]:
    """A block after which the default generators are back in the state in which they entered it.

    Args:
        devices (iterable of int): ordinals of the accelerators to restore, by default all; the CPU always is.
        enabled (bool): if False, nothing is saved or restored.
        device_type (str): the kind of accelerator, by default the machine's.
    """
    if device_type == "meta":
        yield
        return
    kind = Device(device_type or "cuda").type
    if not enabled:
        yield
        return
    ordinals = _devices_to_fork(devices, kind, _caller, _devices_kw)
    state = default_stream.get_state()
    generators = [accelerator_generator(i) for i in ordinals]
    states = [generator._stream.get_state() for generator in generators]
    try:
        yield
    finally:
        default_stream.set_state(state)
        for generator, saved in zip(generators, states):
            generator._stream.set_state(saved)


def thread_safe_generator() -> Generator | None:
    """The generator of the DataLoader's worker thread that calls this; None elsewhere, for the default generator."""
    from torchlike.utils.data import get_worker_info

    info: Any = get_worker_info()
    rng = getattr(info, "rng", None)
    if rng is not None and getattr(info, "worker_method", None) == "thread":
        return rng.torch_generator
    return None
