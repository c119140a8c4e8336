"""Small helpers of the layers: sizes repeated over dimensions, and prefixes of state dictionaries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["consume_prefix_in_state_dict_if_present"]


def _ntuple(n: int, name: str = "parse") -> Callable[[Any], tuple]:
    def parse(x):
        return tuple(x) if isinstance(x, Iterable) else (x,) * n

    parse.__name__ = name
    return parse


_single = _ntuple(1, "_single")
_pair = _ntuple(2, "_pair")
_triple = _ntuple(3, "_triple")
_quadruple = _ntuple(4, "_quadruple")


def _reverse_repeat_tuple(t: tuple, n: int) -> tuple:
    """Last dimension first, each entry ``n`` times: the layout that ``F.pad`` wants."""
    return tuple(entry for entry in reversed(t) for _ in range(n))


def _list_with_default(out_size: Any, defaults: list[int]) -> Any:
    """Output sizes with ``None`` replaced by the trailing entries of ``defaults``."""
    if isinstance(out_size, int):
        return out_size
    if len(defaults) <= len(out_size):
        raise ValueError(f"Input dimension should be at least {len(out_size) + 1}")
    trailing = defaults[-len(out_size) :]
    return [default if size is None else size for size, default in zip(out_size, trailing, strict=False)]


def consume_prefix_in_state_dict_if_present(state_dict: dict[str, Any], prefix: str) -> None:
    """Strip ``prefix`` from the keys of a state dictionary, in place.

    Used to load into a bare model what ``DataParallel`` or ``DistributedDataParallel`` saved under ``"module."``.

    Args:
        state_dict: a state dictionary to be loaded into a model.
        prefix: the prefix, its final dot included.

    >>> state = {"module.weight": 1, "step": 2}
    >>> consume_prefix_in_state_dict_if_present(state, "module.")
    >>> state
    {'step': 2, 'weight': 1}
    """
    for key in [key for key in state_dict if key.startswith(prefix)]:
        state_dict[key[len(prefix) :]] = state_dict.pop(key)
    metadata = getattr(state_dict, "_metadata", None)
    if metadata is None:
        return
    # The entry of the wrapped module itself is its prefix without the dot.
    own_key = prefix.replace(".", "")
    for key in [key for key in metadata if key and (key == own_key or key.startswith(prefix))]:
        metadata[key[len(prefix) :]] = metadata.pop(key)
