"""``torch.autograd.graph``: the tape as programs see it, and the hooks on what it saves."""

from __future__ import annotations

import contextlib
import functools
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from typing import Any, Literal, NamedTuple

from torchlike._tape import walk
from torchlike._tape.graph import AccumulateGrad, Edge, Node
from torchlike._tensor.tensor import Tensor, edge_of, value_of, wrap
from torchlike.autograd import _saved
from torchlike.autograd.function import BackwardCFunction
from torchlike.autograd.grad_mode import enable_grad
from torchlike.utils.hooks import RemovableHandle

__all__ = [
    "saved_tensors_hooks", "save_on_cpu", "disable_saved_tensors_hooks", "register_multi_grad_hook",
    "allow_mutation_on_saved_tensors", "Node", "GradientEdge", "get_gradient_edge", "increment_version",
    "region_activation_memory_budget", "set_warn_on_accumulate_grad_stream_mismatch", "set_override_stale_capture_stream",
]  # fmt: skip


class GradientEdge(NamedTuple):
    """Where a gradient goes: output ``output_nr`` of ``node``. It stands for a tensor in ``backward`` and ``grad``."""

    node: Node
    output_nr: int
    #: Something that keeps the graph alive where the node alone does not.
    ownership_token: Node | None = None


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The edge that the gradient of ``tensor`` arrives at.

    >>> import torchlike as torch
    >>> x = torch.ones(2, requires_grad=True)
    >>> torch.autograd.grad((3 * x).sum(), get_gradient_edge(x))
    (tensor([3., 3.]),)
    """
    if not tensor.requires_grad:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    edge = edge_of(tensor)
    assert edge is not None
    token = None
    if isinstance(edge[0], BackwardCFunction):
        with enable_grad():
            token = tensor.view_as(tensor).grad_fn
    return GradientEdge(_node_of(edge), edge[1], token)


def _node_of(edge: Edge) -> Node:
    """The node that an edge leads to, the AccumulateGrad node for a leaf."""
    from torchlike._tape.graph import Bridge

    return edge[0] if isinstance(edge[0], Node) else Bridge.accumulate(edge[0])


def edge_to(place: Any) -> Edge | None:
    """The tape's own edge for a tensor or a GradientEdge; None for a tensor that requires no gradient."""
    if isinstance(place, GradientEdge):
        if isinstance(place.node, AccumulateGrad):
            return (place.node.variable, 0)
        return (place.node, place.output_nr)
    if isinstance(place, Tensor):
        return edge_of(place)
    raise RuntimeError(f"all inputs have to be Tensors or GradientEdges, but got {type(place).__name__}")


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Tell the tape that a tensor (or each of several) was written to in a way that it could not see."""
    if isinstance(tensor, Tensor):
        tensor = (tensor,)
    if not isinstance(tensor, Iterable):
        raise RuntimeError("increment_version expect a Iterable[Tensor] as input")
    for t in tensor:
        if not isinstance(t, Tensor):
            raise RuntimeError("increment_version expects each element of the iterable to be a tensor")
        if not t.is_inference():
            t._storage.version += 1


class saved_tensors_hooks:
    """While active, ``pack_hook(tensor)`` says how each tensor that operations save for the backward is kept, and
    ``unpack_hook(packed)`` gets it back.

    >>> import torchlike as torch
    >>> def pack(tensor):
    ...     print("packing", tensor.shape)
    ...     return tensor.numpy(force=True)
    >>> x = torch.ones(2, requires_grad=True)
    >>> with saved_tensors_hooks(pack, torch.from_numpy):
    ...     y = x.sin()
    packing torch.Size([2])
    >>> y.sum().backward()
    >>> x.grad
    tensor([0.5403, 0.5403])
    """

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __enter__(self) -> None:
        _saved.push(self.pack_hook, self.unpack_hook)

    def __exit__(self, *args: object) -> None:
        _saved.pop()


class save_on_cpu(saved_tensors_hooks):
    """While active, tensors that operations save for the backward are kept in host memory.

    ``pin_memory`` and ``device_type`` choose how an accelerator's memory is copied in PyTorch; here both ways are the same.
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        def pack_to_cpu(tensor: Tensor) -> tuple[Any, Tensor]:
            return tensor.device, tensor.cpu()

        def unpack_from_cpu(packed: tuple[Any, Tensor]) -> Tensor:
            device, tensor = packed
            return tensor.to(device, non_blocking=pin_memory)

        super().__init__(pack_to_cpu, unpack_from_cpu)


@contextlib.contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """While active, turning hooks on saved tensors on is a RuntimeError with this message."""
    if _saved.stack.hooks:
        raise RuntimeError(error_message)
    before, _saved.stack.disabled = _saved.stack.disabled, error_message
    try:
        yield
    finally:
        _saved.stack.disabled = before


class _MultiHandle(RemovableHandle):
    """Several handles in one."""

    def __init__(self, handles: tuple[RemovableHandle, ...]) -> None:
        self.handles = handles

    def remove(self) -> None:
        """Take all the hooks off."""
        for handle in self.handles:
            handle.remove()

    def __getstate__(self) -> tuple[RemovableHandle, ...]:
        return self.handles

    def __setstate__(self, state: tuple[RemovableHandle, ...]) -> None:
        self.handles = state


_NOT_IN_BACKWARD = "expected this hook to be called inside a backward call"


def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable[..., None], *, mode: Literal["all", "any"] = "all"
) -> RemovableHandle:
    """Call ``fn`` once in each backward, when the gradients of several tensors are there.

    Args:
        tensors: the tensors.
        fn: called with the list of their gradients, None for a tensor that the backward does not reach; with ``"any"``, with
            the first gradient.
        mode: ``"all"`` or ``"any"``.

    Returns:
        A handle whose ``remove()`` takes the hook off.
    """
    modes = ("all", "any")
    if mode not in modes:
        raise ValueError(f"Expects mode to be one of {modes} but got {mode}")
    if mode == "any":
        return _MultiHandle(_hook_on_any(tensors, fn))
    return _MultiHandle(_hook_on_all(tensors, fn))


def _current_pass() -> walk.Pass:
    if walk.running.innermost is None:
        raise AssertionError(_NOT_IN_BACKWARD)
    return walk.running.innermost


def _hook_on_all(tensors: Sequence[Tensor], fn: Callable) -> tuple[RemovableHandle, ...]:
    edges = [edge_of(t) for t in tensors]
    if any(edge is None for edge in edges):
        raise AssertionError("Expected gradient function to be set")
    targets = [edge[0] for edge in edges]  # type: ignore[index]
    lock = threading.Lock()
    #: For each pass that is running: how many of the gradients are yet to come, and those that came.
    open_passes: dict[int, tuple[list[int], list[Any]]] = {}

    def hook_of(index: int) -> Callable:
        def hook(grad: Tensor) -> None:
            this = _current_pass()
            with lock:
                if this.id not in open_passes:
                    count = sum(target in this.reached() for target in targets)
                    open_passes[this.id] = ([count], [None] * len(tensors))
                remaining, grads = open_passes[this.id]
                remaining[0] -= 1
                grads[index] = grad
            if remaining[0] == 0:
                fn(grads)
                del open_passes[this.id]

        return hook

    return tuple(t.register_hook(hook_of(i)) for i, t in enumerate(tensors))


def _hook_on_any(tensors: Sequence[Tensor], fn: Callable) -> tuple[RemovableHandle, ...]:
    done: set[int] = set()
    lock = threading.Lock()

    @functools.wraps(fn)
    def hook(grad: Tensor) -> None:
        this = _current_pass()
        with lock:
            if this.id in done:
                return
            done.add(this.id)
            this.callbacks.append(lambda: done.discard(this.id))
        fn(grad)

    return tuple(t.register_hook(hook) for t in tensors if t.requires_grad)


_OUTSIDE = "Trying to backward outside of the 'allow_mutation_on_saved_tensors' contextin which the graph was originally recorded."


class _Handle:
    """Stands for a saved tensor: what it was, and the tensor whose writes tell whether it is that still."""

    def __init__(self, tensor: Tensor):
        self.tensor = tensor
        self.value = value_of(tensor)
        self.version = tensor._version

    @property
    def was_written_to(self) -> bool:
        return self.tensor._version != self.version


class _AllowMutationOnSavedContext:
    """The tensors saved in an ``allow_mutation_on_saved_tensors`` block."""

    def __init__(self) -> None:
        self._handles: weakref.WeakSet[_Handle] = weakref.WeakSet()
        self.active = True

    @property
    def cloned(self) -> MutableMapping[_Handle, Tensor]:
        """The saved tensors that were written to since, as they were."""
        return {h: wrap(h.value, h.tensor.device) for h in self._handles if h.was_written_to}

    @property
    def original(self) -> MutableMapping[_Handle, Tensor]:
        """The saved tensors that were not written to."""
        return {h: h.tensor for h in self._handles if not h.was_written_to}

    def clear(self) -> None:
        """Forget all saved tensors."""
        self._handles.clear()

    def pack(self, tensor: Tensor) -> _Handle:
        """Remember what a tensor is now."""
        handle = _Handle(tensor)
        self._handles.add(handle)
        return handle

    def unpack(self, handle: _Handle) -> Tensor:
        """The tensor as it was."""
        if not self.active or handle not in self._handles:
            raise AssertionError(_OUTSIDE)
        return wrap(handle.value, handle.tensor.device)


_mutation_allowed = False


@contextlib.contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[_AllowMutationOnSavedContext]:
    """While active, tensors saved for the backward may be written to: the backward sees them as they were.

    Forward and backward must both run inside of the block.
    """
    global _mutation_allowed
    context = _AllowMutationOnSavedContext()
    with saved_tensors_hooks(context.pack, context.unpack):
        if _mutation_allowed:
            raise RuntimeError("allow_mutation_on_saved_tensors contexts cannot be nested")
        _mutation_allowed = True
        try:
            yield context
        finally:
            context.clear()
            context.active = _mutation_allowed = False


def region_activation_memory_budget(budget: float) -> Any:
    """The share of activation memory that a compiled region may use; RuntimeError, as nothing is compiled that way here."""
    name = "torch.autograd.graph.region_activation_memory_budget"
    if isinstance(budget, bool) or not isinstance(budget, (int, float)):
        raise TypeError(f"{name}: expects a float, got {type(budget).__name__}")
    if not 0.0 <= budget <= 1.0:
        raise ValueError(f"{name}: must be in [0, 1], got {budget}")
    raise RuntimeError(f"{name} can only be used inside a torch.compile region; it has no effect in eager mode.")


def set_warn_on_accumulate_grad_stream_mismatch(enabled: bool) -> None:
    """Accepted for compatibility: there are no streams here that could differ."""


def set_override_stale_capture_stream(enabled: bool) -> None:
    """Accepted for compatibility: there are no streams here that could be captured."""


for _cls in (GradientEdge, saved_tensors_hooks, save_on_cpu, _MultiHandle, register_multi_grad_hook):
    _cls.__module__ = "torch.autograd.graph"
