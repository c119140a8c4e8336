"""The backward walk: nodes in the reverse order of their creation, gradients gathered on the way.

An edge always leads from a newer node to an older one, so a heap on the creation order is a topological order.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Any

from torchlike._engine.trace import backward_boundary, threads
from torchlike._engine.value import Value
from torchlike._tape.graph import Bridge, Edge, Node, add_values

#: How a node is run while anomaly detection is on: (node, gradients, create_graph) -> results. None while it is off.
guard: Callable[[Node, Sequence[Any], bool], Sequence[Any]] | None = None

_next_pass = itertools.count().__next__


class Pass:
    """One backward pass, while it runs."""

    __slots__ = ("callbacks", "id", "outer", "roots", "wanted")

    def __init__(self, roots: Sequence[Edge], wanted: Sequence[Edge] | None, outer: Pass | None):
        self.id = _next_pass()
        self.roots = roots
        self.wanted = wanted
        #: The pass that this one runs inside of.
        self.outer = outer
        #: Called when the pass is over.
        self.callbacks: list[Callable[[], None]] = []


class _Running(threading.local):
    innermost: Pass | None = None


#: This thread's innermost backward pass.
running = _Running()


def walk(
    roots: Sequence[Edge], grads: Sequence[Any], retain_graph: bool, create_graph: bool,
    wanted: Sequence[Edge] | None = None,
) -> list[Any]:  # fmt: skip
    """Propagate ``grads`` (values, or tensors with ``create_graph``) from ``roots``.

    Without ``wanted``, gradients that reach leaves are added to their ``grad`` and nothing is returned. With it, only
    what leads to the wanted edges is run, no ``grad`` is touched, and their gradients are returned (None where none
    arrived), in order.
    """
    if not create_graph:
        backward_boundary()
    enabled, threads.grad_enabled = threads.grad_enabled, create_graph
    outer = running.innermost
    running.innermost = this = Pass(roots, wanted, outer)
    try:
        results = _walk(roots, grads, retain_graph, create_graph, wanted)
        for callback in this.callbacks:
            callback()
        return results
    finally:
        threads.grad_enabled = enabled
        running.innermost = outer


def _walk(roots, grads, retain_graph, create_graph, wanted):
    add = Bridge.add if create_graph else add_values
    needed = None if wanted is None else _leading_to(roots, wanted)
    captured = {} if wanted is None else dict.fromkeys(wanted)
    leaves: dict[Any, Any] = {}
    buffers: dict[Node, list] = {}
    heap: list = []
    edges, results = roots, grads
    while True:
        # Send each gradient where its edge leads: to a leaf, or to the buffer of a node.
        for edge, grad in zip(edges, results):
            if edge is None or grad is None:
                continue
            target, index = edge
            seq = target._seq
            if seq:
                buffer = buffers.get(target)
                if buffer is None:
                    if needed is not None and target not in needed:
                        continue
                    buffer = buffers[target] = [None] * target._n_out
                    heappush(heap, (-seq, target))
                have = buffer[index]
                buffer[index] = grad if have is None else add(have, grad)
            else:
                have = leaves.get(target)
                leaves[target] = grad if have is None else add(have, grad)
        if not heap:
            break
        node = heappop(heap)[1]
        gradients = buffers.pop(node)
        edges = node._edges
        if node._watched:
            gradients = _before(node, gradients, create_graph)
        if wanted is not None:
            for index, grad in enumerate(gradients):
                if (node, index) in captured:
                    captured[node, index] = grad
            if not any(e is not None and _is_needed(e, needed, captured) for e in edges):
                results = ()
                continue
        if guard is not None:
            results = guard(node, gradients, create_graph)
        else:
            results = node.apply_tensors(gradients) if create_graph else node.apply_values(gradients)
        if node._watched:
            results = _after(node, results, gradients, create_graph)
        if not retain_graph:
            node._release()
    return _finish(leaves, captured, wanted, create_graph)


def _finish(leaves, captured, wanted, create_graph):
    for leaf, grad in leaves.items():
        if leaf._hooks is not None:
            grad = _run_hooks(leaf._hooks.values(), grad, leaf, create_graph)
        if wanted is None:
            leaf._accumulate(grad)
        elif (leaf, 0) in captured:
            captured[leaf, 0] = grad
    return [] if wanted is None else [captured[edge] for edge in wanted]


def _is_needed(edge: Edge, needed: set, captured: dict) -> bool:
    return edge[0] in needed or edge in captured


def _leading_to(roots: Sequence[Edge], wanted: Sequence[Edge]) -> set:
    """The targets from which a wanted edge can be reached, themselves included."""
    goals = {target for target, _ in wanted}
    order, seen, stack = [], set(), [t for t, _ in roots]
    while stack:
        target = stack.pop()
        if target in seen:
            continue
        seen.add(target)
        order.append(target)
        if isinstance(target, Node):
            stack.extend(e[0] for e in target._edges if e is not None)
    # Older targets first; leaves have no edges.
    order.sort(key=lambda t: t._seq if isinstance(t, Node) else 0)
    leading = set()
    for target in order:
        if target in goals or (
            isinstance(target, Node) and any(e is not None and e[0] in leading for e in target._edges)
        ):
            leading.add(target)
    return leading


def _wrap(grad: Any, like: Any) -> Any:
    return Bridge.tensor(grad, None, like) if type(grad) is Value else grad


def _unwrap(grad: Any, create_graph: bool) -> Any:
    return grad if create_graph or grad is None else Bridge.value(grad)


def _run_hooks(hooks: Any, grad: Any, like: Any, create_graph: bool) -> Any:
    for hook in list(hooks):
        shown = None if grad is None else _wrap(grad, like)
        result = hook(shown)
        if result is not None:
            Bridge.check_hook_result(hook, shown, result)
            shown = result
        grad = _unwrap(shown, create_graph)
    return grad


def _before(node: Node, gradients: list, create_graph: bool) -> list:
    """Run the hooks that see the gradients of the node's outputs, and keep those that were asked for."""
    for index, hooks in (node._tensor_hooks or {}).items():
        if gradients[index] is not None:
            gradients[index] = _run_hooks(hooks.values(), gradients[index], node, create_graph)
    for hook in list((node._pre_hooks or {}).values()):
        shown = tuple(None if g is None else _wrap(g, node) for g in gradients)
        result = hook(shown)
        if result is not None:
            result = result if isinstance(result, tuple) else (result,)
            gradients = [_unwrap(g, create_graph) for g in result]
    for index, keep in (node._retained or {}).items():
        if gradients[index] is not None:
            keep(_wrap(gradients[index], node))
    return gradients


def _after(node: Node, results: Sequence, gradients: Sequence, create_graph: bool) -> Sequence:
    if node._post_hooks is None:
        return results
    outs = tuple(None if g is None else _wrap(g, node) for g in gradients)
    for hook in list(node._post_hooks.values()):
        shown = tuple(None if r is None else _wrap(r, node) for r in results)
        result = hook(shown, outs)
        if result is not None:
            result = result if isinstance(result, tuple) else (result,)
            results = [_unwrap(r, create_graph) for r in result]
    return results
