"""``torch.linalg``: linear algebra, from its declarations in ``_ops``."""

from __future__ import annotations

from torchlike._ops.linalg_common import LinAlgError as LinAlgError
from torchlike._ops.op import exports

globals().update(exports("linalg"))
