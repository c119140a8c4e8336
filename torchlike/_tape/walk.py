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

    __slots__ = ("_reached", "callbacks", "id", "outer", "roots", "wanted")

    def __init__(self, roots: Sequence[Edge], wanted: Sequence[Edge] | None, outer: Pass | None):
        self.id = _next_pass()
        self.roots = roots
        self.wanted = wanted
        #: The pass that this one runs inside of.
        self.outer = outer
        #: Called when the pass is over.
        self.callbacks: list[Callable[[], None]] = []
        self._reached: set | None = None

    def reached(self) -> set:
        """The nodes and leaves that a gradient reaches in this pass."""
        if self._reached is None:
            if self.wanted is None:
                self._reached = set(reachable(self.roots))
            else:
                self._reached = _leading_to(self.roots, self.wanted)
        return self._reached


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
    last = _last_visits(roots, needed) if hooks_on_leaves else None
    leaves: dict[Any, Any] = {}
    buffers: dict[Node, list] = {}
    heap: list = []
    #: Nodes that are visited although nothing arrives there.
    unfed: set[Node] = set()
    edges, results, node = roots, grads, None
    while True:
        # Send each gradient where its edge leads: to a leaf, or to the buffer of a node.
        for edge, grad in zip(edges, results):
            if edge is None:
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
                if grad is None:
                    unfed.add(target)
                    continue
                have = buffer[index]
                buffer[index] = grad if have is None else add(have, grad)
            elif grad is not None:
                have = leaves.get(target)
                leaves[target] = grad if have is None else add(have, grad)
        if last is not None:
            _finish({t: leaves.pop(t) for t in last.get(node, ()) if t in leaves}, captured, wanted, create_graph)  # type: ignore[misc]
        if not heap:
            break
        node = heappop(heap)[1]
        gradients = buffers.pop(node)
        edges = node._edges
        if unfed and node in unfed and not any(g is not None for g in gradients) and not node._takes_none:
            results = [None] * len(edges)
            continue
        runs = wanted is None or any(e is not None and _is_needed(e, needed, captured) for e in edges)
        # What a pass was asked for is what arrives at a node that it runs, but what hooks made of it where it ends
        # there.
        if wanted is not None and runs:
            _capture(node, gradients, captured)
        if node._watched:
            gradients = _before(node, gradients, create_graph)
        if not runs:
            _capture(node, gradients, captured)
            results = ()
            continue
        if node._pre_hooks is not None:
            gradients = _run_pre_hooks(node, gradients, create_graph)
        if guard is not None:
            results = guard(node, gradients, create_graph)
        else:
            results = node.apply_tensors(gradients) if create_graph else node.apply_values(gradients)
        if node._post_hooks is not None:
            results = _run_post_hooks(node, results, gradients, create_graph)
        if not retain_graph:
            node._release()
    _finish(leaves, captured, wanted, create_graph)
    return [] if wanted is None else [captured[edge] for edge in wanted]


def _capture(node: Node, gradients: Sequence[Any], captured: dict) -> None:
    for index, grad in enumerate(gradients):
        if (node, index) in captured:
            captured[node, index] = grad


#: Whether a leaf was ever given a hook. From then on leaves are done with as soon as their gradient is complete, as
#: hooks can tell; before, they wait for the end of the pass.
hooks_on_leaves = False


def watch_leaves() -> None:
    """Say that a leaf has a hook."""
    global hooks_on_leaves
    hooks_on_leaves = True


Bridge.watch_leaves = staticmethod(watch_leaves)


def _last_visits(roots: Sequence[Edge], needed: set | None) -> dict[Node | None, list[Any]]:
    """For each node, the leaves that get the last part of their gradient from it; under None those that are roots
    only.
    """
    oldest: dict[Any, Node | None] = {t: None for t, _ in roots if not isinstance(t, Node)}
    for node in reachable(roots):
        if isinstance(node, Node) and (needed is None or node in needed):
            for edge in node._edges:
                if edge is not None and not edge[0]._seq:
                    have = oldest.get(edge[0])
                    if have is None or node._seq < have._seq:
                        oldest[edge[0]] = node
    visits: dict[Node | None, list[Any]] = {}
    for leaf, node in oldest.items():
        visits.setdefault(node, []).append(leaf)
    for node, leaves in visits.items():
        if node is not None:  # in the order in which the node names them
            places = {id(e[0]): -i for i, e in enumerate(reversed(node._edges)) if e is not None}
            leaves.sort(key=lambda leaf, places=places: places[id(leaf)])
    return visits


def _finish(leaves, captured, wanted, create_graph):
    for leaf, grad in leaves.items():
        if leaf._hooks is not None:
            grad = _run_hooks(leaf._hooks.values(), grad, leaf, create_graph)
        if wanted is None:
            accumulator = leaf._accumulator and leaf._accumulator()
            if accumulator is not None and accumulator._watched:
                _accumulate_watched(accumulator, grad, create_graph)
            else:
                leaf._accumulate(grad)
        elif (leaf, 0) in captured:
            captured[leaf, 0] = grad


def _accumulate_watched(node: Node, grad: Any, create_graph: bool) -> None:
    """Add a gradient to a leaf whose AccumulateGrad node has hooks."""
    gradients = [grad]
    if node._pre_hooks is not None:
        gradients = _run_pre_hooks(node, gradients, create_graph)
    if gradients[0] is not None:
        node.variable._accumulate(gradients[0])
    if node._post_hooks is not None:
        _run_post_hooks(node, (), gradients, create_graph)


def _is_needed(edge: Edge, needed: set, captured: dict) -> bool:
    return edge[0] in needed or edge in captured


def reachable(roots: Sequence[Edge]) -> list[Any]:
    """The nodes and leaves that can be reached from the roots."""
    order, seen, stack = [], set(), [t for t, _ in roots]
    while stack:
        target = stack.pop()
        if target in seen:
            continue
        seen.add(target)
        order.append(target)
        if target._seq:
            stack.extend(e[0] for e in target._edges if e is not None)
    return order


def _leading_to(roots: Sequence[Edge], wanted: Sequence[Edge]) -> set:
    """The targets from which a wanted edge can be reached, themselves included."""
    goals = {target for target, _ in wanted}
    # Older targets first; leaves have no edges.
    order = sorted(reachable(roots), key=lambda t: t._seq)
    leading = set()
    for target in order:
        if target in goals or (target._seq and any(e is not None and e[0] in leading for e in target._edges)):
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
    """Run the hooks of the tensors that are the node's outputs, and keep the gradients that were asked for."""
    for index, hooks in (node._tensor_hooks or {}).items():
        if gradients[index] is not None:
            gradients[index] = _run_hooks(hooks.values(), gradients[index], node, create_graph)
    for index, keep in (node._retained or {}).items():
        if gradients[index] is not None:
            keep(_wrap(gradients[index], node))
    return gradients


def _run_pre_hooks(node: Node, gradients: list, create_graph: bool) -> list:
    for hook in list(node._pre_hooks.values()):  # type: ignore[union-attr]
        shown = tuple(None if g is None else _wrap(g, node) for g in gradients)
        gradients = _replaced(hook, shown, hook(shown), create_graph)
    return gradients


def _run_post_hooks(node: Node, results: Sequence, gradients: Sequence, create_graph: bool) -> Sequence:
    outs = tuple(None if g is None else _wrap(g, node) for g in gradients)
    results = list(node._spread(results))
    for hook in list(node._post_hooks.values()):  # type: ignore[union-attr]
        shown = tuple(None if r is None else _wrap(r, node) for r in results)
        results = _replaced(hook, shown, hook(shown, outs), create_graph)
    return node._gather(results)


def _replaced(hook: Callable, shown: tuple, returned: Any, create_graph: bool) -> list:
    """The gradients that a node's hook was shown, or those that it returned in their place."""
    if returned is not None:
        if not isinstance(returned, tuple):
            raise TypeError(f"expected tuple, but hook returned '{type(returned).__name__}'")
        if len(returned) != len(shown):
            raise RuntimeError(
                f"hook '{getattr(hook, '__name__', hook)}' has returned an incorrect number of values (got "
                f"{len(returned)}, "
                f"but expected {len(shown)})"
            )
        for before, after in zip(shown, returned):
            Bridge.check_hook_result(hook, before, after)
        shown = tuple(returned)
    return [_unwrap(g, create_graph) for g in shown]
