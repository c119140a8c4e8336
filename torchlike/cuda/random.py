"""The accelerators' default generators."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torchlike import random as _random
from torchlike._tensor.placement import NO_CUDA, accelerators


def _generator(device: Any) -> _random.Generator:
    from torchlike import cuda

    if not accelerators():
        raise AssertionError(NO_CUDA)
    if isinstance(device, str) and device == "cuda":
        device = None
    return _random.accelerator_generator(cuda._index(device))


def get_rng_state(device: Any = "cuda") -> Any:
    """The state of an accelerator's generator: a tensor of 16 bytes."""
    return _generator(device).get_state()


def get_rng_state_all() -> list[Any]:
    """The states of all accelerators' generators."""
    return [get_rng_state(i) for i in range(len(accelerators()))]


def set_rng_state(new_state: Any, device: Any = "cuda") -> None:
    """Set the state of an accelerator's generator; nothing happens where there is none."""
    if accelerators():
        _generator(device).set_state(new_state)


def set_rng_state_all(new_states: Iterable[Any]) -> None:
    """Set the states of all accelerators' generators."""
    for i, state in enumerate(new_states):
        set_rng_state(state, i)


def manual_seed(seed: int) -> None:
    """Seed the current accelerator's generator; nothing happens where there is none."""
    if accelerators():
        _generator(None).manual_seed(int(seed))


def manual_seed_all(seed: int) -> None:
    """Seed every accelerator's generator; nothing happens where there is none."""
    if accelerators():
        _random.seed_accelerators(int(seed))


def seed() -> None:
    """Seed the current accelerator's generator by chance; nothing happens where there is none."""
    if accelerators():
        _generator(None).seed()


def seed_all() -> None:
    """Seed every accelerator's generator by the same chance number; nothing happens where there is none."""
    if accelerators():
        _random.seed_accelerators(_generator(None).seed())


def initial_seed() -> int:
    """The seed that was set last for the current accelerator."""
    return _generator(None).initial_seed()
