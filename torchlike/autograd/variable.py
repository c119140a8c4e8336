"""``Variable``, the old name of a tensor on the tape."""

from __future__ import annotations

from typing import Any

from torchlike._tensor.tensor import Tensor


class _VariableMeta(type):
    def __instancecheck__(cls, other: Any) -> bool:
        return isinstance(other, Tensor)


class Variable(metaclass=_VariableMeta):
    """``Variable(tensor)`` is the tensor; kept for old programs."""

    def __new__(cls, data: Any = None, requires_grad: bool = False, volatile: bool = False) -> Any:
        if data is None:
            return Tensor()
        out = data.detach()
        out._base_tensor = None
        return out.requires_grad_() if requires_grad else out


Variable.__module__ = "torch.autograd.variable"
