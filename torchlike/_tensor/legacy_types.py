"""The legacy tensor types ``torch.FloatTensor`` and its kin: constructors of one dtype, and types for
``isinstance``.
"""

from __future__ import annotations

from typing import Any

from torchlike._tensor import dtypes
from torchlike._tensor.dtypes import dtype as Dtype
from torchlike._tensor.promotion import SCALAR_TYPE_NAMES
from torchlike._tensor.tensor import Tensor


class tensortype(type):
    """The type of the legacy tensor types."""

    dtype: Dtype
    is_cuda: bool

    def __call__(cls, *args: Any, **kwargs: Any) -> Tensor:
        if cls.is_cuda:
            kwargs.setdefault("device", "cuda")
        return Tensor._legacy(args, kwargs, cls.dtype)

    def __instancecheck__(cls, other: Any) -> bool:
        return isinstance(other, Tensor) and other.dtype is cls.dtype and other.is_cuda == cls.is_cuda


def _make(kind: Dtype, cuda: bool) -> tensortype:
    name = f"{SCALAR_TYPE_NAMES[kind]}Tensor"
    module = "torch.cuda" if cuda else "torch"
    doc = f"``{module}.{name}(...)``: a {kind} tensor{' on the accelerator' if cuda else ''}."
    return tensortype(name, (), {"__module__": module, "__doc__": doc, "dtype": kind, "is_cuda": cuda})


_KINDS = (
    dtypes.float64, dtypes.float32, dtypes.float16, dtypes.bfloat16, dtypes.int64, dtypes.int32, dtypes.int16,
    dtypes.int8,
    dtypes.uint8, dtypes.bool_,
)  # fmt: skip

#: Name -> type, for ``torch`` and for ``torch.cuda``.
CPU_TYPES = {t.__name__: t for t in (_make(k, False) for k in _KINDS)}
CUDA_TYPES = {t.__name__: t for t in (_make(k, True) for k in _KINDS)}
