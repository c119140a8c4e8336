"""The tape: nodes that know how to take gradients of their outputs to gradients of their inputs.

An edge ``(target, index)`` says where a gradient goes: to output ``index`` of a node, or to a leaf tensor, whose
``grad`` it is added to. The hot path works on bare values and records the transposes of op instances; with
``create_graph`` the same nodes work on tensors, and their own arithmetic is put on the tape.
"""

from __future__ import annotations

import itertools
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from torchlike._engine.instance import Instance, Kernel, conjugate, instance_of, transpose_of_inputs
from torchlike._engine.trace import record, threads
from torchlike._engine.value import Spec, Value, concrete
from torchlike._tape.names import ARITHMETIC, SAVED, TENSORS_OF_NUMBERS, gradient_name

Edge = tuple[Any, int]

next_sequence = itertools.count(1).__next__

#: Called as ``observer(node, operands, output values)`` with each node that is made, while there is any: what hooks on
#: saved tensors and anomaly detection see the tape grow by.
observers: list[Callable[[Any, Sequence[Any], Sequence[Value]], None]] = []


def observed(node: Any, operands: Sequence[Any] = (), outs: Sequence[Value] = ()) -> Any:
    """The node, shown to the observers."""
    for observer in observers:
        observer(node, operands, outs)
    return node


FREED = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already been "
    "freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify "
    "retain_graph=True if you need to backward through the graph a second time or if you need to access saved tensors "
    "after calling backward."
)


class Bridge:
    """What the tape needs of the layers above it, filled in by them: tensors are made and taken apart there."""

    #: (value, edge or None, like) -> a tensor of that value with that history
    tensor: Callable[..., Any]
    #: (kernel, static, tensors, node class) -> the kernel applied to tensors, recorded on the tape
    apply: Callable[..., Any]
    #: (tensor) -> its value
    value: Callable[..., Any]
    #: (leaf tensor) -> its AccumulateGrad node
    accumulate: Callable[..., Any]
    #: (tensor, tensor) -> their sum, on the tape
    add: Callable[..., Any]
    #: (spec) -> the legacy name of its tensor type, such as torch.FloatTensor
    type_name: Callable[..., Any]
    #: (hook, gradient, what the hook returned): raises where that cannot stand for the gradient
    check_hook_result: Callable[..., Any]
    #: () says to the backward walk that a leaf has a hook
    watch_leaves: Callable[[], None]
    #: (spec) -> what ``_input_metadata`` shows of an output
    metadata: Callable[..., Any]
    #: (storage, spec) -> the edge that a tensor of that storage has now, None where there is no such tensor
    history: Callable[..., Any]
    #: (node, name) -> the attribute ``_saved_...`` of an operator's node
    saved_attribute: Callable[..., Any]


def short_name(node: Node) -> str:
    """A node's name without the suffix that says it is a backward: ``Mul`` for ``MulBackward0``."""
    return re.sub(r"Backward\d*$", "", node.name())


def modified_message(
    kind: str, shape: Sequence[int], output_of: tuple[int, str] | None, now: int, expected: int
) -> str:
    """torch's words for a tensor that was saved and then written to; ``output_of`` says where it came from."""
    from torchlike._tape import walk

    where = "" if output_of is None else f", which is output {output_of[0]} of {output_of[1]},"
    hint = (
        "Hint: enable anomaly detection to find the operation that failed to compute its gradient, with "
        "torch.autograd.set_detect_anomaly(True, check_nan=False)."
        if walk.guard is None
        else "Hint: the backtrace further above shows the operation that failed to compute its gradient. The variable in "
        "question was changed in there or anywhere later. Good luck!"
    )
    return (
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        f"[{kind} [{', '.join(map(str, shape))}]]{where} is at version {now}; expected version {expected} instead. "
        f"{hint}"
    )


class Node:
    """A function on the tape. ``_edges`` says where the gradients of its inputs go."""

    #: What few nodes have stands on the class, so that making a node sets little.
    _tensor_hooks: dict[int, OrderedDict] | None = None
    _retained: dict[int, Any] | None = None
    _pre_hooks: OrderedDict | None = None
    _post_hooks: OrderedDict | None = None
    _metadata: dict | None = None
    #: Whether any of those is set.
    _watched: bool = False
    #: Whether the node is run even where no gradient arrives at all.
    _takes_none: bool = False

    def __init__(self, edges: Sequence[Edge | None], out_specs: Sequence[Spec]):
        self._edges = edges
        self._out_specs = out_specs
        self._seq = next_sequence()
        if observers:
            observed(self)

    @property
    def _n_out(self) -> int:
        """The number of outputs."""
        return len(self._out_specs)

    def name(self) -> str:
        """The node's name, such as ``AddBackward0``."""
        return type(self).__name__

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object at {hex(id(self))}>"

    @property
    def metadata(self) -> dict:
        """A dictionary for whatever the program wants to remember about the node."""
        if self._metadata is None:
            self._metadata = {}
        return self._metadata

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """For each input, the node its gradient goes to (None where it has none) and which of its outputs it is."""
        return tuple((None, 0) if e is None else _shown(e) for e in self._edges)

    def register_hook(self, fn: Callable) -> Any:
        """Call ``fn(grad_inputs, grad_outputs)`` after the node has run; what it returns replaces ``grad_inputs``."""
        if self._post_hooks is None:
            self._post_hooks = OrderedDict()
        self._watched = True
        return _handle(self._post_hooks, fn)

    def register_prehook(self, fn: Callable) -> Any:
        """Call ``fn(grad_outputs)`` before the node runs; what it returns replaces ``grad_outputs``."""
        if self._pre_hooks is None:
            self._pre_hooks = OrderedDict()
        self._watched = True
        return _handle(self._pre_hooks, fn)

    def __call__(self, *grads: Any) -> tuple[Any, ...]:
        """The gradients of the inputs from those of the outputs, hooks apart."""
        if threads.grad_enabled:
            return tuple(self._spread(self.apply_tensors(list(grads))))
        results = self.apply_values([None if g is None else Bridge.value(g) for g in grads])
        return tuple(None if r is None else Bridge.tensor(r, None, self) for r in self._spread(results))

    def _spread(self, results: Sequence[Any]) -> Sequence[Any]:
        """Results for the edges as results for all the inputs that ``next_functions`` shows."""
        return results

    def _gather(self, results: Sequence[Any]) -> Sequence[Any]:
        """The reverse of ``_spread``."""
        return results

    def _register_hook_dict(self, tensor: Any) -> None:
        self._watched = True
        self._tensor_hooks = {**(self._tensor_hooks or {}), tensor.output_nr: tensor._backward_hooks}

    def _sequence_nr(self) -> int:
        return self._seq

    def _set_sequence_nr(self, number: int) -> None:
        raise RuntimeError("the order of nodes is the order of their creation, which cannot be changed")

    @property
    def _input_metadata(self) -> tuple[Any, ...]:
        return tuple(Bridge.metadata(spec) for spec in self._out_specs)

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient goes anywhere from here."""
        return True

    def apply_values(self, grads: list[Value | None]) -> Sequence[Value | None]:
        """The gradients of the inputs, one for each edge, from those of the outputs; nothing goes on the tape."""
        wrapped = [None if g is None else Bridge.tensor(g, None, self) for g in grads]
        enabled, threads.grad_enabled = threads.grad_enabled, False
        try:
            results = self.apply_tensors(wrapped)
        finally:
            threads.grad_enabled = enabled
        return [None if r is None else Bridge.value(r) for r in results]

    def apply_tensors(self, grads: list[Any]) -> Sequence[Any]:
        """The same on tensors, each operation going on the tape where grad mode is on."""
        raise NotImplementedError

    def _release(self) -> None:
        """Let go of what was saved for the backward."""


def _shown(edge: Edge) -> tuple[Any, int]:
    target, index = edge
    return (target, index) if isinstance(target, Node) else (Bridge.accumulate(target), 0)


def _of_linear(functions: tuple[tuple[Any, int], ...], node: Node) -> tuple[tuple[Any, int], ...]:
    """What ``next_functions`` shows of a linear layer, which PyTorch computes with the transposed weight.

    The nodes in between stand there for whoever looks at the graph; no gradient passes through them.
    """

    def between(name: str, *inputs: tuple[Any, int]) -> tuple[Any, int]:
        made = node_class(name, _Shown)((), ())
        made.next_functions = inputs
        return made, 0

    source, weight, *bias = functions
    if weight[0] is not None:
        weight = between("TBackward0", weight)
    if type(node).__name__ != "ViewBackward0":
        return *bias, source, weight
    if source[0] is not None:
        source = between("ViewBackward0", source)
    return (between("AddmmBackward0" if bias else "MmBackward0", *bias, source, weight),)


def _handle(hooks: OrderedDict, fn: Callable) -> Any:
    from torchlike.utils.hooks import RemovableHandle

    handle = RemovableHandle(hooks)
    hooks[handle.id] = fn
    return handle


_classes: dict[tuple[type, str], type] = {}


def node_class(name: str, kind: type | None = None) -> type:
    """The class of nodes with this name; its name is what ``type(grad_fn).__name__`` shows."""
    kind = kind or OpNode
    cls = _classes.get((kind, name))
    if cls is None:
        cls = _classes[kind, name] = type(name, (kind,), {"__module__": "builtins"})
    return cls


class OpNode(Node):
    """The node of a recorded op instance: its transpose, and the residuals that the transpose wants."""

    _edges: Sequence[Edge | None]
    saved: Sequence[Any] = ()
    versions: list[int] = []
    inputs: Any = None

    def __init__(self, instance: Instance, edges: Sequence[Edge | None], residuals: Any, saved: Any, inputs: Any):
        self._edges = edges
        self._seq = next_sequence()
        self.instance = instance
        self.residuals = residuals
        if saved:
            #: Storages whose contents were saved, and the versions they had.
            self.saved = saved
            self.versions = [s.version for s in saved]
        if inputs is not None:
            #: All inputs, kept only where the residuals do not determine second derivatives.
            self.inputs = inputs

    @property
    def _n_out(self) -> int:
        """The number of outputs."""
        return self.instance.n_out

    @property
    def _out_specs(self) -> tuple[Spec, ...]:  # type: ignore[override]
        """The specs of the outputs."""
        return self.instance.out_specs[: self.instance.n_out]

    @classmethod
    def checked(cls, instance: Instance) -> tuple[int, ...]:
        """The inputs and outputs of an instance that its nodes save, as PyTorch's nodes of this name do."""
        n = len(instance.inputs)
        operands = tuple(p for p in instance.checked if p < n)
        first = (0,) if isinstance(instance.inputs[0], Spec) else ()
        places = {"operands": operands, "self": first, "result": (n,), "indices": (n + 1,)}
        saved = [p for what in SAVED.get(cls.__name__, ("operands",)) for p in places[what]]
        return tuple(p for p in saved if p < n + instance.n_out)

    def _shown_inputs(self) -> list[int]:
        """The inputs that have a place in PyTorch's node: what could be differentiated, whether or not it is."""
        name = self.instance.kernel.name
        numbers, integers = 2 if name in TENSORS_OF_NUMBERS else 0, name in ARITHMETIC
        return [
            i for i, x in enumerate(self.instance.inputs)
            if (integers or x.dtype.kind not in "biu" if isinstance(x, Spec) else i < numbers)
        ]  # fmt: skip

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        edges = dict(zip(self.instance.mask, self._edges, strict=True))
        functions = tuple(_shown(edges[i]) if i in edges else (None, 0) for i in self._shown_inputs())
        if self.instance.kernel.name.startswith("_linear"):
            return _of_linear(functions, self)
        return functions

    def _spread(self, results: Sequence[Any]) -> Sequence[Any]:
        of_edges = dict(zip(self.instance.mask, results, strict=True))
        return [of_edges.get(i) for i in self._shown_inputs()]

    def _gather(self, results: Sequence[Any]) -> Sequence[Any]:
        return [r for i, r in zip(self._shown_inputs(), results, strict=True) if i in self.instance.mask]

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("_saved_", "_raw_saved_")):
            return Bridge.saved_attribute(self, name)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def _check_saved(self) -> None:
        if self.residuals is None:
            raise RuntimeError(FREED)
        for at, (storage, version) in enumerate(zip(self.saved, self.versions, strict=True)):
            if storage.version != version:
                raise RuntimeError(self._modified(at, storage.version, version))

    def _modified(self, at: int, now: int, expected: int) -> str:
        place, n = self.instance.checked[at], len(self.instance.inputs)
        output_of = None
        if place >= n:
            spec, output_of = self.instance.out_specs[place - n], (place - n, short_name(self))
        else:
            spec = self.instance.inputs[place]
            edge = Bridge.history(self.saved[at], spec)
            if edge is None and place in self.instance.mask:
                edge = self._edges[self.instance.mask.index(place)]
            if edge is not None and isinstance(edge[0], Node):
                # A view of what was written to since takes its history from the base anew.
                output_of = (edge[1], "AsStrided" if isinstance(edge[0], LinearNode) else short_name(edge[0]))
        shape = spec.shape
        if place == 1 and self.instance.kernel.name.startswith(
            "_linear"
        ):  # what torch multiplies by is the transposed weight
            shape = shape[::-1]
            output_of = output_of or (None if edge is None else (0, "AsStrided"))
        return modified_message(Bridge.type_name(spec), shape, output_of, now, expected)

    def apply_values(self, grads: list[Value | None]) -> Sequence[Value | None]:
        instance = self.instance
        residuals = self.residuals
        if residuals is None:
            raise RuntimeError(FREED)
        for storage, version in zip(self.saved, self.versions):
            if storage.version != version:
                self._check_saved()
        if instance.single is None or grads[0] is None:
            grads = [
                g if g is not None else zeros(spec)
                for g, spec, d in zip(grads, instance.out_specs, instance.differentiable)
                if d
            ]
        return threads.trace.record(instance.transpose, None, (*residuals, *grads), ())[0]

    def apply_tensors(self, grads: list[Any]) -> Sequence[Any]:
        self._check_saved()
        instance = self.instance
        cotangents = [
            g if g is not None else Bridge.tensor(zeros(spec), None, self)
            for g, spec, d in zip(grads, instance.out_specs, instance.differentiable, strict=False)
            if d
        ]
        edges = dict(zip(instance.mask, self._edges, strict=True))
        if self.inputs is not None:
            operands = [Bridge.tensor(v, edges.get(i), self) for i, v in zip(instance.arrays, self.inputs, strict=True)]
            kernel = transpose_of_inputs(instance)
        else:
            n = len(instance.inputs)
            operands = [
                Bridge.tensor(v, edges.get(p) if p < n else (self, p - n) if p - n < instance.n_out else None, self)
                for p, v in zip(instance.residuals, self.residuals, strict=True)
            ]
            kernel = instance.transpose
        cls = node_class(gradient_name(type(self).__name__))
        return Bridge.apply(kernel, None, [*operands, *cotangents], cls)

    def _release(self) -> None:
        if self.instance.frees:
            self.residuals = None
            self.saved = ()
            if self.inputs is not None:
                self.inputs = None


def zeros(spec: Spec) -> Value:
    """A value of zeros."""
    return concrete(np.zeros(spec.shape, spec.dtype))


class IdentityNode(Node):
    """The node of a copy: the gradient passes through as it is."""

    def apply_values(self, grads: list[Value | None]) -> Sequence[Value | None]:
        return grads

    apply_tensors = apply_values


def _bind_transpose(static: Any, inputs: Any) -> Callable:
    kernel, arguments, spec = static
    function = kernel.bind(arguments, (spec,))
    transpose = jax.linear_transpose(function, jax.ShapeDtypeStruct(spec.shape, spec.dtype))
    return lambda grad: conjugate(transpose(conjugate(grad))[0])


#: The transpose of a linear kernel; its static arguments are the kernel, the kernel's own, and its input's spec.
TRANSPOSE = Kernel("transpose", _bind_transpose)


class CopyNode(IdentityNode):
    """The node of a copy over something else, whose edge comes first and gets no gradient."""

    def apply_values(self, grads: list[Value | None]) -> Sequence[Value | None]:
        return [None, *grads]

    apply_tensors = apply_values


class _Shown(IdentityNode):
    """A node that is only to be looked at."""

    next_functions: tuple[tuple[Any, int], ...] = ()  # type: ignore[assignment]


class LinearNode(Node):
    """The node of view steps: their transposes need nothing but the shapes."""

    _n_out = 1  # type: ignore[assignment]

    def __init__(self, edges: Sequence[Edge | None], spec: Spec, chain: Sequence[tuple[Kernel, tuple]], out: Spec):
        super().__init__(edges, (out,))
        self.spec = spec
        self.chain = chain

    def _transposes(self) -> list[tuple]:
        """The static arguments of each step's transpose, the last step's first."""
        if len(self.chain) == 1:
            return [(*self.chain[0], self.spec)]
        result, spec = [], self.spec
        for kernel, static in self.chain:
            result.append((kernel, static, spec))
            spec = instance_of(kernel, static, (spec,), ()).out_specs[0]
        return result[::-1]

    def apply_values(self, grads: list[Value | None]) -> Sequence[Value | None]:
        grad = grads[0]
        for static in self._transposes():
            grad = record(TRANSPOSE, static, (grad,), ())[0][0]
        return (grad,)

    def apply_tensors(self, grads: list[Any]) -> Sequence[Any]:
        name = gradient_name(type(self).__name__)
        grad = grads[0]
        for static in self._transposes():
            (grad,) = Bridge.apply(TRANSPOSE, static, [grad], node_class(name))
        return (grad,)


class CopySlices(Node):
    """A write through a view: the base's gradient outside the view, and the written function's gradient inside."""

    def __init__(
        self, base: Edge | None, spec: Spec, chain: Sequence[tuple[Any, tuple]], function: Any, self_at: int | None
    ):
        others = [] if function is None else [e for i, e in enumerate(function._edges) if i != self_at]
        super().__init__([base, *others], (spec,))
        self.spec = spec
        #: (step, static) from the base to the view
        self.chain = chain
        #: the node of what was written, None where it has no history; ``self_at`` is its edge to the view itself
        self.function = function
        self.self_at = self_at

    def name(self) -> str:
        return "torch::autograd::CopySlices"

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        # The written function's own inputs, its first being the view and thereby the base.
        others = () if self.function is None else self.function.next_functions[1:]
        return ((None, 0) if self._edges[0] is None else _shown(self._edges[0]), *others)

    def apply_tensors(self, grads: list[Any]) -> Sequence[Any]:
        (grad,) = grads
        cls = node_class("AsStridedBackward0")

        def apply(kernel: Kernel, static: Any, operands: list[Any]) -> Any:
            return Bridge.apply(kernel, static, operands, cls)[0]

        shown = [grad]
        for step, static in self.chain:
            shown.append(apply(step.read, static, [shown[-1]]))
        inside, others = None, []
        if self.function is not None:
            results = list(_apply_hooked(self.function, [shown[-1]]))
            if self.self_at is not None:
                inside = results.pop(self.self_at)
            others = results
        if self._edges[0] is None:
            return [None, *others]
        if inside is None:
            spec = Bridge.value(shown[-1]).spec
            inside = Bridge.tensor(zeros(spec), None, self)
        for before, (step, static) in zip(reversed(shown[:-1]), reversed(self.chain), strict=True):
            inside = apply(step.write, static, [before, inside])
        return [inside, *others]

    def _release(self) -> None:
        if self.function is not None:
            self.function._release()


def _apply_hooked(node: Node, grads: list[Any]) -> Sequence[Any]:
    if threads.grad_enabled:
        return node.apply_tensors(grads)
    return [
        None if v is None else Bridge.tensor(v, None, node)
        for v in node.apply_values([None if g is None else Bridge.value(g) for g in grads])
    ]


class AccumulateGrad(Node):
    """Stands for a leaf in ``next_functions``: the gradient that arrives is added to ``variable.grad``."""

    def __init__(self, variable: Any):
        super().__init__((), ())
        self.variable = variable

    def name(self) -> str:
        return "torch::autograd::AccumulateGrad"

    def register_hook(self, fn: Callable) -> Any:
        Bridge.watch_leaves()
        return super().register_hook(fn)

    def register_prehook(self, fn: Callable) -> Any:
        Bridge.watch_leaves()
        return super().register_prehook(fn)

    @property
    def next_functions(self) -> tuple:
        return ()

    @property
    def _input_metadata(self) -> tuple[Any, ...]:
        return (Bridge.metadata(self.variable._spec),)

    def apply_tensors(self, grads: list[Any]) -> Sequence[Any]:
        if grads[0] is not None:
            self.variable._accumulate(grads[0])
        return ()


AccumulateGrad.__module__ = CopySlices.__module__ = "builtins"


# How a gradient is added to another: one kernel, so that every accumulation is the same step of a trie.
ADD = Kernel("accumulate", lambda static, inputs: lambda a, b: a + b)


def add_values(a: Value, b: Value) -> Value:
    """The sum of two gradients."""
    return record(ADD, None, (a, b), ())[0][0]
