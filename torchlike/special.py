"""``torch.special``: special functions, from their declarations in ``_ops``."""

from __future__ import annotations

from torchlike._ops.op import exports

globals().update(exports("special"))
