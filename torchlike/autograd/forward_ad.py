"""Forward-mode differentiation: tensors that carry a tangent along.

Inside a level, ``make_dual(x, t)`` is a tensor like ``x`` whose tangent is ``t``; ``unpack_dual(y)`` gives the tangent of
whatever was computed from it. A dual tensor is marked on the tape. The tangent of ``y`` is then ``J t``, which is the derivative
of ``J^H v`` with respect to ``v`` in the direction ``t``: two backward passes. So operations must be recorded, and a dual tensor
requires a gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torchlike._engine.trace import threads
from torchlike._tape.graph import IdentityNode
from torchlike._tape.walk import reachable
from torchlike._tensor.tensor import Tensor, detached, edge_of
from torchlike.autograd.grad_mode import _Switch

__all__ = [
    "UnpackedDualTensor", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual", "dual_level",
]  # fmt: skip

#: The number of the level that is open, -1 where none is.
_current_level = -1
_enabled = True


class _Dual(IdentityNode):
    """The node of a dual tensor, which has a tangent until its level is over."""

    tangent: Tensor | None = None


#: The dual tensors of the level that is open.
_duals: list[_Dual] = []


def enter_dual_level() -> int:
    """Open a level; there can be only one at a time.

    Returns:
        Its number.
    """
    global _current_level
    if _current_level >= 0:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    _current_level = 0
    return _current_level


def exit_dual_level(*, level: int | None = None) -> None:
    """Close the level; its tangents are gone."""
    global _current_level
    if level is None:
        level = _current_level
    if level < 0:
        raise RuntimeError("Dual level must be a positive number.")
    if level != _current_level:
        raise RuntimeError(
            "Trying to exit a forward AD level that was not the last one that was created. This is not supported."
        )
    for node in _duals:
        node.tangent = None
    _duals.clear()
    _current_level = level - 1


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """A tensor that shares ``tensor``'s memory and history and has a tangent.

    Args:
        tensor: floating-point or complex.
        tangent: of the same shape and dtype.
        level: the number of the level that is open.

    >>> import torchlike as torch
    >>> with dual_level():
    ...     x = make_dual(torch.tensor(3.0), torch.tensor(1.0))
    ...     unpack_dual(x * x).tangent
    tensor(6.)
    """
    if level is None:
        level = _current_level
    if level < 0:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first."
        )
    if level != _current_level:
        raise RuntimeError("Invalid level given to _make_dual")
    for name, t in (("primal", tensor), ("tangent", tangent)):
        if not (t.is_floating_point() or t.is_complex()):
            raise ValueError(f"Expected {name} to be floating point or complex, but got: {t.dtype}")
    if tensor.shape != tangent.shape:
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original Tensor, this is not supported. "
            f"Tensor is of size {list(tensor.shape)} while the given forward gradient is of size {list(tangent.shape)}."
        )
    dual = detached(tensor)
    if _enabled:
        node = _Dual([edge_of(tensor)], (tensor._spec,))
        node.tangent = tangent
        _duals.append(node)
        dual._edge, dual._requires_grad = (node, 0), True
    return dual


class UnpackedDualTensor(NamedTuple):
    """A tensor and its tangent, None where it has none."""

    primal: Tensor
    tangent: Tensor | None


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """The tensor without its tangent, and the tangent: None for one that was not computed from a dual tensor."""
    if level is None:
        level = _current_level
    if level < 0:
        return UnpackedDualTensor(tensor, None)
    edge = edge_of(tensor)
    targets = [] if edge is None else reachable([edge])
    duals = [t for t in targets if isinstance(t, _Dual) and t.tangent is not None]
    primal = detached(tensor)
    if not duals:
        primal._edge, primal._requires_grad = tensor._edge, tensor.requires_grad
        return UnpackedDualTensor(primal, None)
    keeps_history = threads.grad_enabled and (
        any(isinstance(t, Tensor) for t in targets) or any(d.tangent.requires_grad for d in duals)  # type: ignore[union-attr]
    )
    tangent = _push_forward(tensor, duals, keeps_history)
    if keeps_history:
        primal._edge, primal._requires_grad = edge, True
    return UnpackedDualTensor(primal, tangent)


def _push_forward(tensor: Tensor, duals: Sequence[_Dual], keeps_history: bool) -> Tensor:
    """``J t`` for the tangents of these duals, by the backward of the backward."""
    from torchlike import autograd
    from torchlike.autograd.functional import _zeros_like
    from torchlike.autograd.graph import GradientEdge

    enabled, threads.grad_enabled = threads.grad_enabled, True
    try:
        direction = _zeros_like(tensor, requires_grad=True)
        edges = [GradientEdge(node, 0) for node in duals]
        grads = autograd.grad(tensor, edges, direction, retain_graph=True, create_graph=True, allow_unused=True)
        pairs = [(g, d.tangent) for g, d in zip(grads, duals) if g is not None and g.requires_grad]
        if not pairs:
            return _zeros_like(tensor)
        outputs, tangents = zip(*pairs, strict=True)
        (tangent,) = autograd.grad(
            outputs, direction, tangents, retain_graph=True, create_graph=keeps_history, allow_unused=True
        )
    finally:
        threads.grad_enabled = enabled
    return _zeros_like(tensor) if tangent is None else tangent


def tangents_of(args: Sequence[Any]) -> list[Any] | None:
    """The tangents of the tensors among a custom function's arguments; None where there are none at all."""
    if _current_level < 0 or not _duals:
        return None
    tangents = [unpack_dual(a).tangent if isinstance(a, Tensor) and a.requires_grad else None for a in args]
    return tangents if any(t is not None for t in tangents) else None


class dual_level(_Switch):
    """A level that is open inside the block, or the decorated function."""

    def __enter__(self) -> int:  # type: ignore[override]
        return enter_dual_level()

    def __exit__(self, *_: object) -> None:
        exit_dual_level()


def _is_fwd_grad_enabled() -> bool:
    return _enabled


class _set_fwd_grad_enabled(_Switch):
    """Whether dual tensors get their tangents."""

    def __init__(self, mode: bool) -> None:
        global _enabled
        self.prev, self.mode = _enabled, mode
        _enabled = mode

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        global _enabled
        _enabled = self.prev

    def clone(self) -> Any:
        return self.__class__(self.mode)


for _cls in (UnpackedDualTensor, dual_level, make_dual, unpack_dual, enter_dual_level, exit_dual_level):
    _cls.__module__ = "torch.autograd.forward_ad"
