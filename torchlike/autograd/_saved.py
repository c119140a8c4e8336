"""What nodes keep for the backward, and the hooks that may keep it in another form.

A pair of hooks is on while its context is: ``pack`` is called with each tensor that a node saves, and ``unpack`` with what
``pack`` returned when the backward wants the tensor again.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from torchlike._engine.trace import threads
from torchlike._engine.value import Value
from torchlike._tape.graph import FREED, Bridge, Node, OpNode, modified_message, observers, short_name
from torchlike._tensor.tensor import Tensor, detached, edge_of, legacy_type, value_of

Hooks = tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]

_PACK_WROTE = (
    "A saved tensor pack hook is modifying its input in place. Tensors provided as input to pack hook cannot be modified by "
    "in-place operations as this can lead to unexpected side-effects. Please open an issue if you need to perform in-place "
    "operations on the input to a pack hook."
)
_HOOKED_TWICE = (
    "Calling register_hooks on a saved tensor whose hooks have already been set. Hint: only one pair of hooks is allowed at a "
    "time."
)
_HOOKED_LATE = (
    "Calling register_hooks on a saved tensor after it has been freed. Saved intermediate values of the graph are freed when "
    "you call .backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second "
    "time or if you need to access saved variables after calling backward."
)


class _Stack(threading.local):
    """This thread's hooks, the innermost last, and why there must be none."""

    def __init__(self):
        self.hooks: list[Hooks] = []
        self.disabled: str | None = None


stack = _Stack()
_lock = threading.Lock()
_depth = 0


def push(pack: Callable, unpack: Callable) -> None:
    """Turn a pair of hooks on in this thread."""
    global _depth
    if stack.disabled is not None:
        raise RuntimeError(stack.disabled)
    if not (callable(pack) and callable(unpack)):
        raise TypeError(
            "_push_saved_tensors_default_hooks(): incompatible function arguments. The following argument types are "
            "supported:\n    1. (arg0: collections.abc.Callable, arg1: collections.abc.Callable) -> None\n\n"
            f"Invoked with: {pack!r}, {unpack!r}"
        )
    stack.hooks.append((pack, unpack))
    with _lock:
        _depth += 1
        if _depth == 1:
            observers.append(_pack_node)


def pop() -> None:
    """Turn this thread's innermost pair of hooks off."""
    global _depth
    if not stack.hooks:
        raise RuntimeError("there are no saved tensors hooks to take off")
    stack.hooks.pop()
    with _lock:
        _depth -= 1
        if _depth == 0:
            observers.remove(_pack_node)


def call_pack(pack: Callable, tensor: Tensor) -> Any:
    """What ``pack`` makes of a tensor; RuntimeError where it wrote to it."""
    enabled, threads.grad_enabled = threads.grad_enabled, False
    version = tensor._storage.version
    try:
        packed = pack(tensor)
    finally:
        threads.grad_enabled = enabled
    if tensor._storage.version != version:
        raise RuntimeError(_PACK_WROTE)
    return packed


def call_unpack(unpack: Callable, packed: Any) -> Tensor:
    """The tensor that ``unpack`` makes again; TypeError where it is none."""
    tensor = unpack(packed)
    if not isinstance(tensor, Tensor):
        raise TypeError(
            f"Output of saved tensor unpack_hook expected to be a Tensor but got result of type {type(tensor).__name__}"
        )
    return tensor


class Packed:
    """Stands among a node's residuals for a tensor that a hook keeps."""

    __slots__ = ("content", "unpack")

    def __init__(self, hooks: Hooks, tensor: Tensor):
        self.content = call_pack(hooks[0], tensor)
        self.unpack = hooks[1]

    def tensor(self) -> Tensor:
        """The tensor again."""
        return call_unpack(self.unpack, self.content)


def _pack_node(node: Node, operands: Sequence[Any], outs: Sequence[Value]) -> None:
    """Have this thread's hooks keep what an operator's node saves; an observer of the tape."""
    if stack.hooks and isinstance(node, OpNode) and node.residuals:
        tensors = _residual_tensors(node, operands, node.residuals)
        residuals = list(tensors)
        names = [_name_of(node, place) for place in node.instance.residuals]
        for i in sorted(range(len(names)), key=names.__getitem__):  # the order in which PyTorch's nodes pack
            if isinstance(tensors[i], Tensor):
                residuals[i] = Packed(stack.hooks[-1], tensors[i])
        replace_residuals(node, residuals)


def _name_of(node: OpNode, place: int) -> tuple[bool, str]:
    """What PyTorch's node would call this residual; results come after operands."""
    names = _operand_names(node)
    n = len(node.instance.inputs)
    return place >= n, names[place] if place < n == len(names) else ""


def _operand_names(node: OpNode) -> list[str]:
    op = getattr(node.instance.kernel.bind, "__self__", None)
    return ["self" if p.name == "input" else p.name for p in getattr(op, "tensors", ())]


def _residual_tensors(node: OpNode, operands: Sequence[Any], residuals: Sequence[Value]) -> list[Any]:
    """The residuals as tensors: the operands themselves, the results with their history, bare intermediate ones."""
    n, n_out = len(node.instance.inputs), node.instance.n_out
    tensors: list[Any] = []
    for place, value in zip(node.instance.residuals, residuals, strict=True):
        if place >= n:
            tensors.append(Bridge.tensor(value, (node, place - n) if place - n < n_out else None, node))
        elif operands:
            tensors.append(operands[place] if isinstance(operands[place], Tensor) else value)
        else:
            edge = node._edges[node.instance.mask.index(place)] if place in node.instance.mask else None
            tensors.append(Bridge.tensor(value, edge, node))
    return tensors


def replace_residuals(node: OpNode, residuals: list[Any]) -> None:
    """Put packed residuals in the place of a node's own; they are unpacked whenever the node runs."""
    packed = {id(old): new for old, new in zip(node.residuals, residuals, strict=True)}
    node.residuals = residuals
    node.saved, node.versions = (), []
    if node.inputs is not None:
        node.inputs = [packed.get(id(v), v) for v in node.inputs]
    own = weakref.ref(node)
    node.apply_values = _unpacking(own, "apply_values")
    node.apply_tensors = _unpacking(own, "apply_tensors")


def _unpacking(own: Callable[[], Any], method: str) -> Callable:
    """A node's method, run while its residuals are unpacked."""

    def run(grads: list[Any]) -> Any:
        node = own()
        residuals, inputs = node.residuals, node.inputs
        if residuals is None:
            raise RuntimeError(FREED)
        values = {id(p): value_of(p.tensor()) for p in residuals if isinstance(p, Packed)}
        node.residuals = [values.get(id(r), r) for r in residuals]
        if inputs is not None:
            node.inputs = [values.get(id(v), v) for v in inputs]
        try:
            return getattr(type(node), method)(node, grads)
        finally:
            node.residuals, node.inputs = residuals, inputs

    return run


class Saved:
    """A tensor that a custom function saved: itself, or what a hook packed it as; None for none.

    ``own`` says which of the node's own outputs it is; that is kept without its history, which would lead back here.
    """

    __slots__ = ("edge", "own", "packed", "tensor", "version")

    def __init__(self, tensor: Tensor | None, own: int | None):
        self.own = own
        self.packed: Packed | None = None
        self.tensor = tensor
        self.version = 0
        if tensor is None:
            return
        self.edge = None if own is not None else edge_of(tensor)
        if stack.hooks:
            self.pack(stack.hooks[-1])
            return
        self.tensor = tensor if own is None else detached(tensor)
        self.version = tensor._storage.version

    def pack(self, hooks: Hooks) -> None:
        """Have hooks keep the tensor."""
        assert self.tensor is not None
        self.packed, self.tensor = Packed(hooks, self.tensor), None

    def unpack(self, node: Node) -> Tensor | None:
        """The tensor with its history; RuntimeError where it was written to since."""
        if self.packed is not None:
            return self._with_history(self.packed.tensor(), node)
        tensor = self.tensor
        if tensor is None:
            return None
        if tensor._storage.version != self.version:
            raise RuntimeError(self._modified(node, tensor))
        return tensor if self.own is None else self._with_history(tensor, node)

    def _with_history(self, tensor: Tensor, node: Node) -> Tensor:
        edge = self.edge if self.own is None else (node, self.own)
        if edge is None or edge[0] is tensor:
            return tensor
        shown = detached(tensor)
        shown._edge, shown._requires_grad = edge, True
        return shown

    def _modified(self, node: Node, tensor: Tensor) -> str:
        edge = edge_of(tensor) if self.own is None else (node, self.own)
        where = None
        if edge is not None and isinstance(edge[0], Node):
            where = (edge[1], short_name(edge[0]))
        kind = legacy_type(tensor._spec, tensor.device)
        return modified_message(kind, tensor._spec.shape, where, tensor._storage.version, self.version)


class _SavedTensorMeta(type):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and not kwargs and isinstance(args[0], (Saved, _Residual)):
            return super().__call__(*args)
        raise RuntimeError("Trying to create a SavedTensor object from Python is forbidden.")


class SavedTensor(metaclass=_SavedTensorMeta):
    """A tensor that a node saved, to which hooks of its own can be given."""

    def __init__(self, kept: Any):
        self._kept = kept

    def register_hooks(self, pack_hook: Callable, unpack_hook: Callable) -> None:
        """Have this pair of hooks keep the tensor; RuntimeError where others do, or where it is gone."""
        if self._kept.packed is not None:
            raise RuntimeError(_HOOKED_TWICE)
        if self._kept.tensor is None:
            raise RuntimeError(_HOOKED_LATE)
        self._kept.pack((pack_hook, unpack_hook))


def _as_saved(tensor: Tensor) -> Tensor:
    """A saved tensor as hooks that come later see it: a leaf without its history."""
    return detached(tensor) if tensor.is_leaf else tensor


SavedTensor.__module__ = "torch._C._autograd"


class _Residual:
    """One residual of an operator's node, looked at as a saved tensor."""

    def __init__(self, node: OpNode, index: int):
        self.node = node
        self.index = index

    @property
    def packed(self) -> Packed | None:
        residual = self.node.residuals and self.node.residuals[self.index]
        return residual if isinstance(residual, Packed) else None

    @property
    def tensor(self) -> Tensor | None:
        if not self.node.residuals:
            return None
        packed = self.packed
        if packed is not None:
            return packed.tensor()
        return _residual_tensors(self.node, (), self.node.residuals)[self.index]

    def pack(self, hooks: Hooks) -> None:
        residuals = list(self.node.residuals)
        tensor = self.tensor
        assert tensor is not None
        residuals[self.index] = Packed(hooks, _as_saved(tensor))
        replace_residuals(self.node, residuals)


def saved_attribute(node: OpNode, name: str) -> Any:
    """What ``grad_fn._saved_self``, ``_saved_dim``, ``_raw_saved_result`` and their like show; AttributeError for others."""
    raw = name.startswith("_raw_saved_")
    wanted = name.removeprefix("_raw_saved_" if raw else "_saved_")
    instance = node.instance
    n, names = len(instance.inputs), _operand_names(node)
    place = names.index(wanted) if wanted in names and len(names) == n else n if wanted == "result" else None
    if place in instance.residuals:
        residual = _Residual(node, instance.residuals.index(place))
        if raw:
            return SavedTensor(residual)
        if node.residuals is None:
            raise RuntimeError(FREED)
        return residual.tensor
    if not raw:
        op = getattr(instance.kernel.bind, "__self__", None)
        if place is not None and place < n and isinstance(instance.inputs[place], (bool, int, float, complex)):
            return instance.inputs[place]
        if wanted == "self_sym_sizes":
            return tuple(instance.inputs[0].shape)
        statics = dict(zip(getattr(op, "statics", ()), instance.static[1])) if names else {}
        if wanted in statics:
            return statics[wanted]
    raise AttributeError(f"'{type(node).__name__}' object has no attribute '{name}'")
