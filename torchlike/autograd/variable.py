"""``Variable``, the old name of a tensor on the tape, and the engine that it used to carry."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from torchlike._tape import walk
from torchlike._tensor.tensor import Tensor

__all__ = ["VariableMeta", "Variable"]


class VariableMeta(type):
    """Every tensor counts as a Variable."""

    def __instancecheck__(cls, other: Any) -> bool:
        return isinstance(other, Tensor)


class ImperativeEngine:
    """What programs ask of the engine that runs backward passes."""

    def queue_callback(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` when the backward pass that is running is over."""
        if walk.running.innermost is None:
            raise RuntimeError("Final callbacks can only be installed during backward pass.")
        walk.running.innermost.callbacks.append(callback)

    def is_checkpoint_valid(self) -> bool:
        """Whether all backward passes that are running here were asked for the gradients of all leaves."""
        this = walk.running.innermost
        while this is not None:
            if this.wanted is not None:
                return False
            this = this.outer
        return True

    def run_backward(self, tensors: Any, grad_tensors: Any, keep_graph: bool, create_graph: bool, inputs: Any, *_: Any,
                     allow_unreachable: bool = False, accumulate_grad: bool = False) -> Any:  # fmt: skip
        """Run a backward pass: ``torch.autograd.backward`` or ``grad`` in other words."""
        from torchlike import autograd

        if accumulate_grad:
            return autograd.backward(tensors, grad_tensors, keep_graph, create_graph, inputs=inputs or None)
        return autograd.grad(tensors, inputs, grad_tensors, keep_graph, create_graph, allow_unused=allow_unreachable)


class Variable(metaclass=VariableMeta):
    """``Variable(tensor)`` is a tensor of the same elements; kept for old programs."""

    _execution_engine = ImperativeEngine()

    def __new__(cls, data: Any = None, requires_grad: bool = False, volatile: bool = False) -> Any:
        if data is None:
            return Tensor()
        if not isinstance(data, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        if volatile:
            warnings.warn(
                "volatile was removed and now has no effect. Use `with torch.no_grad():` instead.", stacklevel=2
            )
        return data.detach().requires_grad_(requires_grad)


VariableMeta.__module__ = Variable.__module__ = "torch.autograd.variable"
ImperativeEngine.__module__ = "torch._C._EngineBase"
