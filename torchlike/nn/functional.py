"""``torch.nn.functional``: the functions behind the modules, from their declarations in ``_ops``."""

from __future__ import annotations

from torchlike._ops.op import exports

globals().update(exports("nn.functional"))
