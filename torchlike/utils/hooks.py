"""Handles that take hooks off again."""

from __future__ import annotations

import itertools
import weakref
from typing import Any

_next_id = itertools.count().__next__


class RemovableHandle:
    """What registering a hook returns: ``remove()`` takes the hook off; so does leaving a ``with`` block."""

    id: int

    def __init__(self, hooks_dict: Any, *, extra_dict: Any = None):
        self.hooks_dict_ref = weakref.ref(hooks_dict)
        self.id = _next_id()
        extras = extra_dict if isinstance(extra_dict, list) else [] if extra_dict is None else [extra_dict]
        self.extra_dict_ref: tuple = tuple(weakref.ref(d) for d in extras)

    def remove(self) -> None:
        """Take the hook off; nothing happens where it is off already."""
        for ref in (self.hooks_dict_ref, *self.extra_dict_ref):
            hooks = ref()
            if hooks is not None:
                hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def __getstate__(self) -> Any:
        return self.hooks_dict_ref(), self.id, *[ref() for ref in self.extra_dict_ref]

    def __setstate__(self, state: Any) -> None:
        from collections import OrderedDict

        self.hooks_dict_ref = weakref.ref(OrderedDict() if state[0] is None else state[0])
        self.id = state[1]
        self.extra_dict_ref = tuple(weakref.ref(OrderedDict() if d is None else d) for d in state[2:])


RemovableHandle.__module__ = "torch.utils.hooks"


def unserializable_hook(f: Any) -> Any:
    """Mark a hook as one that is not kept when its tensor is saved, so that saving does not warn of it."""
    f.__torch_unserializable__ = True
    return f


def warn_if_has_hooks(tensor: Any) -> None:
    """Warn of hooks on a tensor that will not be saved with it."""
    from torchlike._utils import _warn_if_has_hooks

    _warn_if_has_hooks(tensor)


def __getattr__(name: str) -> Any:
    if name == "BackwardHook":
        from torchlike.nn.modules._backward_hook import BackwardHook

        return BackwardHook
    raise AttributeError(f"module 'torch.utils.hooks' has no attribute '{name}'")
