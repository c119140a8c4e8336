"""``torch.nn.functional``: the functions behind the modules, from their declarations in ``_ops``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torchlike._ops.op import exports

globals().update(exports("nn.functional"))

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
