"""``torch.fft``: Fourier transforms, from their declarations in ``_ops``."""

from __future__ import annotations

from torchlike._ops.op import exports
from torchlike._tensor.tensor import Tensor as Tensor

globals().update(exports("fft"))
