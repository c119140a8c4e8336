"""How an operator is declared.

A declaration is a pure JAX function under a decorator. Its signature is torch's and becomes the public one; parameters
called ``input`` and ``other``, or annotated ``Array``, ``Array | None`` or ``Arrays``, are tensors; those annotated
``Number`` take a Python number; the others are static. From one declaration come the function, the method, the
in-place method and ``out=``, promotion, the gradient, the node's name and the rows of the operator table for tests and
stubs.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from jax import lax

from torchlike._engine.instance import Instance, Kernel, instance_of, number_key
from torchlike._engine.trace import Trace, record, threads
from torchlike._engine.value import Spec, Value, concrete
from torchlike._ops import arguments
from torchlike._tape.graph import Bridge, CopySlices, OpNode, next_sequence, node_class, observed, observers
from torchlike._tape.names import SAVE_NUMBERS
from torchlike._tensor import dtypes
from torchlike._tensor.dtypes import dtype
from torchlike._tensor.layout import elementwise_strides, wrap_strided
from torchlike._tensor.placement import without_elements
from torchlike._tensor.promotion import DIMENSIONED, NUMBER, SCALAR_TYPE_NAMES, ZERO_DIM, castable, result_type_of
from torchlike._tensor.storage import Storage
from torchlike._tensor.tensor import CPU, Tensor, assign, dtype_of, edge_of, forbidden_write, strides_of, value_of, wrap
from torchlike._tensor.views import is_contiguous

# Markers for annotations of declarations; what counts is their names.
Array: TypeAlias = Any
Arrays: TypeAlias = Any
Number: TypeAlias = Any

_new = object.__new__


class Promote(enum.Enum):
    """What an operator computes in and returns, from its inputs' dtypes."""

    NONE = "inputs as they are"
    DEFAULT = "the common type"
    INT_TO_FLOAT = "the common type; the default floating-point type for integers and bool"
    BOOL_RESULT = "computed in the common type, returns bool"
    FIRST = "the first tensor's type"


class Op:
    """A declared operator: what dispatch needs of it, and what tables are made of."""

    __slots__ = (
        "alias", "body", "check", "differentiable", "doc", "elementwise", "function", "inplace", "kernel",
        "layout", "name", "namespaces",
        "node", "node_classes", "parameters", "promote", "returns", "statics", "tensors",
    )  # fmt: skip

    def __init__(self, body: Callable, name: str, promote: Promote, options: dict[str, Any]):
        self.body = body
        self.name = name
        self.promote = promote
        self.alias: tuple[str, ...] = tuple(options.get("alias", ()))
        self.namespaces: tuple[str, ...] = tuple(options.get("namespaces", ("torch", "Tensor")))
        #: Whether there is an in-place form: everywhere, or with "method" on tensors alone.
        self.inplace: bool | str = options.get("inplace", False)
        self.node = options.get("node") or camel_case(name) + "Backward0"
        self.differentiable: bool = not options.get("nondiff", False)
        self.elementwise: bool = options.get("elementwise", options.get("recompute", False))
        self.returns = options.get("returns")
        self.check = options.get("check")
        self.doc = inspect.getdoc(body)
        if not self.doc:
            raise TypeError(f"operator {name} has no docstring")
        self.parameters = arguments.parameters_of(body)
        self.tensors = tuple(p for p in self.parameters if p.kind != arguments.STATIC)
        self.statics = tuple(p.name for p in self.parameters if p.kind == arguments.STATIC and p.name != "out")
        self.node_classes: dict[Any, type] = {}
        self.kernel = Kernel(name, self._bind, recompute=options.get("recompute", False))
        self.function: Any = None

    def __repr__(self) -> str:
        return f"<operator {self.name}>"

    def node_class(self, static: Any) -> type:
        """The class of this operator's nodes for these static arguments."""
        cls = self.node_classes.get(static)
        if cls is None:
            node = self.node
            if callable(node):
                values = static[1]
                node = node(**dict(zip(self.statics, values, strict=True)))
            cls = self.node_classes[static] = node_class(node)
        return cls

    def _bind(self, static: Any, inputs: Sequence[Any]) -> Callable:
        """The body as a function of its tensor and number inputs alone; see ``Kernel``.

        ``static`` is (layout, static arguments, dtype of an in-place result or None).
        """
        layout, values, target = static
        fixed = dict(zip(self.statics, values, strict=True))
        arguments.check_numbers(self, layout, inputs)
        cast, finish = _promotion(self, layout, inputs)
        names = [p.name for p in self.tensors]
        body = self.body

        def run(*operands):
            operands = cast(operands)
            if layout is None:
                keywords = dict(zip(names, operands, strict=True))
            else:
                keywords = arguments.unflatten(self.tensors, layout, operands)
            out = body(**keywords, **fixed)
            out = finish(out)
            return out if target is None else _cast(out, target)

        return run


def camel_case(name: str) -> str:
    """``log_softmax`` as ``LogSoftmax``, and ``log1p`` as ``Log1P``."""
    return name.title().replace("_", "")


# Promotion: casts that stand inside the differentiated function.


def _cast(x: Any, target: np.dtype) -> Any:
    if isinstance(x, (bool, int, float, complex)):
        return np.asarray(x).astype(target)
    if x.dtype == target:
        return x
    if x.dtype.kind == "c" and target.kind != "c":
        x = lax.real(x)
    if target == np.bool_:
        return lax.ne(x, np.zeros((), x.dtype))
    if target == np.uint8 and x.dtype.kind == "f":
        x = lax.convert_element_type(x, np.int64)  # negative numbers wrap around, as in C
    return lax.convert_element_type(x, target)


def operand_types(inputs: Sequence[Any]) -> list[tuple[dtype, int]]:
    """The dtype and promotion priority of each described input."""
    types = []
    for x in inputs:
        if isinstance(x, Spec):
            types.append((dtype_of(x), DIMENSIONED if x.ndim else ZERO_DIM))
        else:
            number = x(0) if isinstance(x, type) else x
            types.append((dtypes.of_number(number), NUMBER))
    return types


def _identity(x: Any) -> Any:
    return x


def _promotion(op: Op, layout: Any, inputs: Sequence[Any]) -> tuple[Callable, Callable]:
    """How an operator's operands are cast before the body and its result after it."""
    if op.promote is Promote.NONE:
        return _identity, _identity
    # Keyword numbers such as alpha scale; they have no say in the result's type.
    counted = [
        x
        for x, p in zip(inputs, arguments.owners(op, layout), strict=True)
        if not (p.keyword and p.kind is arguments.NUMBER)
    ]
    types = operand_types(counted)
    common = types[0][0] if op.promote is Promote.FIRST else result_type_of(types)
    if op.promote is Promote.INT_TO_FLOAT and not (common.is_floating_point or common.is_complex):
        common = dtypes.get_default_dtype()
    # Half precision is computed in single precision and rounded once, as torch's kernels do.
    compute = dtypes.float32 if common in (dtypes.float16, dtypes.bfloat16) else common
    result = None if op.promote is Promote.BOOL_RESULT else common
    shapes = [x.shape for x in inputs if isinstance(x, Spec) and x.ndim]
    shape = broadcast_shapes(shapes) if shapes else ()
    widen = any(s != shape for s in shapes)

    def cast(operands):
        operands = [_cast(x, compute.np) for x in operands]
        if widen:
            operands = [_broadcast(x, shape) if x.ndim else x for x in operands]
        return operands

    if result is None or compute is result:
        return cast, _identity

    def finish(out):
        if isinstance(out, tuple):
            return tuple(_cast(o, result.np) if o.dtype == compute.np else o for o in out)
        return _cast(out, result.np) if out.dtype == compute.np else out

    return cast, finish


def _broadcast(x: Any, shape: tuple[int, ...]) -> Any:
    if x.shape == shape:
        return x
    lead = len(shape) - x.ndim
    kept = [d for d in range(x.ndim) if x.shape[d] == shape[lead + d]]
    if len(kept) < x.ndim:
        x = lax.reshape(x, [x.shape[d] for d in kept])
    return lax.broadcast_in_dim(x, shape, [lead + d for d in kept])


def broadcast_shapes(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The common shape; RuntimeError in torch's words where there is none."""
    result = list(shapes[0])
    for shape in shapes[1:]:
        if len(shape) > len(result):
            result = [1] * (len(shape) - len(result)) + result
        for i in range(1, len(shape) + 1):
            a, b = result[-i], shape[-i]
            if a != b and a != 1 and b != 1:
                raise RuntimeError(
                    f"The size of tensor a ({a}) must match the size of tensor b ({b}) at non-singleton dimension "
                    f"{len(result) - i}"
                )
            if a == 1:
                result[-i] = b
    return tuple(result)


# Dispatch.

Parameter: type = Tensor  # replaced by nn.Parameter once that is defined; see ``register_parameter_type``


def register_parameter_type(cls: type) -> None:
    """Let the hot path take ``cls`` for a plain tensor."""
    global Parameter
    Parameter = cls


def call(op: Op, args: Sequence[Any], static: Any) -> Any:
    """Apply an operator to tensors and numbers: record it, wrap its outputs, put it on the tape."""
    state = threads
    recorded = _record_known(op, args, static, state.trace, state.grad_enabled and op.differentiable)
    if recorded is None:
        return _call_any(op, args, static)
    outs, instance, edges = recorded
    t = _new(Tensor)
    t._storage = storage = Storage(outs[0], CPU)
    t._spec = outs[0].spec
    if edges is not None:
        t._edge = (_node(op, static, instance, args, storage, outs, edges), 0)
        t._requires_grad = True
    return t


def _record_known(op: Op, args: Sequence[Any], static: Any, trace: Trace, tracking: bool) -> tuple | None:
    """The recording path: the output values, instance and edges of an operation that the trie knows.

    It takes tensors on the host, views of them that are read already or can be, and numbers that are constants of the
    program, for an operator with one result. None, and nothing recorded, for everything else.
    """
    epoch = trace.epoch
    values = trace.values
    start = len(values)
    key = [op.kernel, static, ()]
    edges = None
    unread = None
    for a in args:
        cls = type(a)
        if cls is Tensor or cls is Parameter:
            storage = a._storage
            view = a._view
            if storage.host_array is not None or storage.device is not CPU:
                break
            if view is None:
                v = storage.value
                edge = (a._edge or (a, 0)) if tracking and a._requires_grad else None
            else:
                if op.elementwise and not view.is_contiguous():
                    break
                if view.read_at != storage.writes:
                    unread = a
                    break
                v = view.read_value
                edge = edge_of(a) if tracking else None
            if v.epoch is epoch:
                key.append(v.slot)
            elif v.array is None or (v.epoch is not None and v.epoch.trace is not None):
                break
            else:
                v.epoch = epoch
                v.slot = len(values)
                values.append(v)
                key.append(v.spec)
            if edge is not None:
                if edges is None:
                    edges = []
                edges.append(edge)
                key[2] += (len(key) - 4,)
        elif cls in _NUMBERS:
            key.append(number_key(a))
        else:
            break
    else:
        child = trace.position.children.get(tuple(key))
        if child is not None and child.instance.n_out == 1:
            return trace.advance(child), child.instance, edges
    trace.take_back(start)
    if unread is not None:
        value_of(unread)  # recorded before the operation that wants it
        return _record_known(op, args, static, trace, tracking)
    return None


def _value_read(t: Tensor) -> Value:
    """What a tensor shows, where that was read just now."""
    view = t._view
    return t._storage.value if view is None else view.read_value  # type: ignore[return-value]


def _node(op: Op, static, instance: Instance, args, out: Storage, outs: list[Value], edges) -> OpNode:
    """The node of an operator with a single output, recorded from plain tensors and constants."""
    node = _new(instance.node_class or _class_of(op, static, instance))
    node._edges = edges
    node._seq = next_sequence()
    node.instance = instance
    if not instance.residuals:
        node.residuals = ()
        return observed(node) if observers else node
    n = len(args)
    node.residuals = [_value_read(args[p]) if p < n else outs[p - n] for p in instance.residuals]
    node.saved = saved = [args[p]._storage if p < n else out for p in instance.checked]
    node.versions = [s.version for s in saved]
    if instance.opaque:
        node.inputs = [_value_read(args[i]) for i in instance.arrays]
    return observed(node, args, outs) if observers else node


def _class_of(op: Op, static: Any, instance: Instance) -> type:
    return _keep_class(instance, op.node_class(static))


def _keep_class(instance: Instance, cls: type) -> type:
    """Remember the class of an instance's nodes, and what of its inputs and outputs that says must not be written
    to.
    """
    instance.node_class = cls
    instance.checked = cls.checked(instance)
    instance.frees = instance.frees or instance.kernel.name in SAVE_NUMBERS
    return cls


def _call_any(op: Op, args: Sequence[Any], static: Any) -> Any:
    """``call`` for operands and results of every kind, and for what is recorded for the first time."""
    tracking = threads.grad_enabled and op.differentiable
    inputs, edges, mask = [], [], ()
    device = None
    for a in args:
        cls = type(a)
        if cls is Tensor or cls is Parameter:
            edge = edge_of(a) if tracking else None
            if edge is not None:
                edges.append(edge)
                mask += (len(inputs),)
            inputs.append(value_of(a))
            if device is not a._storage.device:
                device = a._storage.device if device is None else arguments.common_device(args)
        elif cls in _NUMBERS:
            inputs.append(a)
        else:
            return arguments.dispatch_other(op, args, static)
    if device is not None and device.type == "meta":
        outs, instance = _without_elements(op.kernel, static, inputs, mask)
    else:
        outs, instance = threads.trace.record(op.kernel, static, inputs, mask)
    results = _results(op, args, outs[: instance.n_out], device or CPU)
    if mask:
        cls = instance.node_class or _class_of(op, static, instance)
        node = make_node(cls, instance, args, inputs, outs, edges, results)
        for i, t in enumerate(results):
            if instance.differentiable[i]:
                t._edge = (node, i)
                t._requires_grad = True
    if op.returns is not None:
        return op.returns(results)
    return results[0] if len(results) == 1 else results


def _without_elements(kernel: Kernel, static: Any, inputs: Sequence[Any], mask: tuple) -> tuple[list[Value], Instance]:
    """What an operation on the meta device gives: shapes and dtypes alone."""
    described = tuple([v.spec if type(v) is Value else v for v in inputs])
    instance = instance_of(kernel, static, described, mask)
    return [Value(without_elements(s.shape, s.dtype), s) for s in instance.out_specs], instance


def _results(op: Op, args: Sequence[Any], outs: Sequence[Value], device: Any) -> tuple[Tensor, ...]:
    """Tensors of an operator's results, in the memory order of its inputs where it works element by element."""
    if op.elementwise:
        strided = [(a._spec.shape, strides_of(a)) for a in args if isinstance(a, Tensor)]
        if not all(is_contiguous(*s) for s in strided):
            return tuple([wrap_strided(v, elementwise_strides(v.spec, strided), device) for v in outs])
    return tuple([wrap(v, device) for v in outs])


def make_node(cls: type, instance: Instance, args, inputs, outs, edges, results) -> OpNode:
    """The node of a recorded instance, holding the residuals that its transpose wants."""
    if instance.node_class is None:
        _keep_class(instance, cls)
    if not instance.residuals:
        node = cls(instance, edges, (), None, None)
        return observed(node) if observers else node
    pool = [*inputs, *outs]
    residuals = [pool[p] for p in instance.residuals]
    if instance.takes_numbers:
        residuals = [r if type(r) is Value else concrete(np.asarray(r)) for r in residuals]
    n = len(inputs)
    saved = [args[p]._storage if p < n else results[p - n]._storage for p in instance.checked]
    kept = None
    if instance.opaque:
        kept = [x if type(x) is Value else concrete(np.asarray(x)) for x in (inputs[i] for i in instance.arrays)]
    node = cls(instance, edges, residuals, saved, kept)
    return observed(node, args, outs) if observers else node


_NUMBERS = frozenset((bool, int, float, complex))


def apply_kernel(kernel: Kernel, static: Any, tensors: Sequence[Tensor], cls: type) -> list[Tensor]:
    """Apply a bare kernel to tensors, on the tape under nodes of class ``cls``; what double backward is made of."""
    inputs = [value_of(t) for t in tensors]
    mask = ()
    if threads.grad_enabled:
        mask = tuple([i for i, t in enumerate(tensors) if t.requires_grad])
    outs, instance = record(kernel, static, inputs, mask)
    device = tensors[0]._storage.device
    results = [wrap(v, device) for v in outs[: instance.n_out]]
    if mask:
        edges = [edge_of(tensors[i]) for i in mask]
        node = make_node(cls, instance, tensors, inputs, outs, edges, results)
        for i, t in enumerate(results):
            if instance.differentiable[i]:
                t._edge, t._requires_grad = (node, i), True
    return results


Bridge.apply = staticmethod(apply_kernel)


# In-place forms and out=.

LEAF_IN_PLACE = "a leaf Variable that requires grad is being used in an in-place operation."
VIEW_OF_LEAF_IN_PLACE = "a view of a leaf Variable that requires grad is being used in an in-place operation."


INTERNAL_OVERLAP = (
    "unsupported operation: more than one element of the written-to tensor refers to a single memory location. Please "
    "clone() the tensor before performing the operation."
)
PARTIAL_OVERLAP = (
    "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory "
    "location. "
    "Please clone() the tensor before performing the operation."
)


def check_inplace(t: Tensor, others: Sequence[Any] = ()) -> None:
    """RuntimeError where torch does not allow writing to ``t`` what is computed from it and ``others``."""
    if threads.grad_enabled:
        _check_history(t, others)
    if t._view is not None and any(n > 1 and s == 0 for n, s in zip(t._spec.shape, t._view.strides, strict=True)):
        raise RuntimeError(INTERNAL_OVERLAP)
    for other in others:
        if isinstance(other, Tensor) and other is not t and other._storage is t._storage:
            _check_overlap(t, other)


def _check_history(t: Tensor, others: Sequence[Any]) -> None:
    base = t._base_tensor
    if base is None:
        if t._requires_grad and t._edge is None:
            raise RuntimeError(LEAF_IN_PLACE)
    elif t.requires_grad or any(isinstance(o, Tensor) and o.requires_grad for o in others):
        if t._write_forbidden is not None:
            raise RuntimeError(forbidden_write(t))
        if t.requires_grad:
            if base._edge is None:
                raise RuntimeError(VIEW_OF_LEAF_IN_PLACE)
            if t.is_leaf:
                raise RuntimeError(LEAF_IN_PLACE)


def _check_overlap(t: Tensor, other: Tensor) -> None:
    """RuntimeError where two dense views of one storage overlap without being the same."""
    extents = []
    for x in (t, other):
        strides = strides_of(x)
        span = 1 + sum((n - 1) * s for n, s in zip(x._spec.shape, strides, strict=True))
        if not x._spec.numel or span != x._spec.numel:
            return
        extents.append((x.storage_offset(), x.storage_offset() + span, strides))
    (a, b, mine), (c, d, theirs) = extents
    if (a, b) == (c, d) and mine == theirs:
        return
    if a < d and c < b:
        raise RuntimeError(PARTIAL_OVERLAP)


def call_inplace(op: Op, args: Sequence[Any], static: Any) -> Tensor:
    """Apply an operator and write its result to its first argument, history and all."""
    target = args[0]
    if not isinstance(target, Tensor):
        raise TypeError(f"{op.name}_(): argument 'input' (position 1) must be Tensor, not {type(target).__name__}")
    state = threads
    if _is_simple_target(target, args, state.grad_enabled):
        recorded = _record_known(op, args, static, state.trace, False)
        if recorded is not None and recorded[0][0].spec is target._spec:
            storage = target._storage
            storage.write(recorded[0][0])
            if not target._untracked:
                storage.version += 1
            return target
    mask = ()
    check_inplace(target, args[1:])
    if state.grad_enabled and op.differentiable:
        mask = tuple([i for i, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad])
    inputs = [arguments.value_or_number(op, a) for a in args]
    if target._storage.device.type == "meta":
        outs, instance = _without_elements(op.kernel, (static[0], static[1], target._spec.dtype), inputs, mask)
        write_inplace(target, op, static, instance, args, inputs, outs, mask)
        return target
    # As it is where the result has the target's spec anyway, else cast to the target's type.
    outs, instance = state.trace.record(op.kernel, static, inputs, mask)
    if instance.out_specs[0] is not target._spec:
        check_inplace_dtype(op, target, inputs)
        outs, instance = state.trace.record(op.kernel, (static[0], static[1], target._spec.dtype), inputs, mask)
        write_inplace(target, op, static, instance, args, inputs, outs, mask)
    elif not mask and target._view is None and not (state.grad_enabled and target._edge is not None):
        storage = target._storage
        storage.write(outs[0])
        if not target._untracked:
            storage.version += 1
    else:
        write_inplace(target, op, static, instance, args, inputs, outs, mask)
    return target


def _is_simple_target(target: Tensor, args: Sequence[Any], grad_enabled: bool) -> bool:
    """Whether a write to ``target`` is no business of the tape and of no other tensor that takes part in it."""
    if target._view is not None:
        return False
    storage = target._storage
    for a in args:
        cls = type(a)
        if cls is Tensor or cls is Parameter:
            if grad_enabled and (a._requires_grad or a._base_tensor is not None):
                return False
            if a._storage is storage and a is not target:
                return False
    return True


def check_inplace_dtype(op: Op, target: Tensor, inputs: Sequence[Any]) -> None:
    """RuntimeError where the operator's result is of a category that the target cannot hold."""
    if op.promote in (Promote.NONE, Promote.FIRST, Promote.BOOL_RESULT):
        return
    described = [v.spec if type(v) is Value else v for v in inputs]
    common = result_type_of(operand_types(described))
    if op.promote is Promote.INT_TO_FLOAT and not (common.is_floating_point or common.is_complex):
        common = dtypes.get_default_dtype()
    if not castable(common, target.dtype):
        raise RuntimeError(
            f"result type {SCALAR_TYPE_NAMES[common]} can't be cast to the desired output type "
            f"{SCALAR_TYPE_NAMES[target.dtype]}"
        )


def write_inplace(target: Tensor, op: Op, static, instance: Instance, args, inputs, outs, mask) -> None:
    """Write a recorded result to ``target`` and give it, and the base it shows, the new history."""
    value = outs[0]
    if value.spec.shape != target._spec.shape:
        raise RuntimeError(
            f"output with shape {list(target._spec.shape)} doesn't match the broadcast shape {list(value.spec.shape)}"
        )
    if not mask:
        had = threads.grad_enabled and target.requires_grad and target._edge is not None
        assign(target, value)
        if had:  # what was overwritten has no gradient from here on
            set_history(target, None, None)
        return
    edges = [edge_of(args[i]) for i in mask]
    saved_target = _Written(target)
    if observers:  # they see what is overwritten as it was
        args = (Bridge.tensor(inputs[0], edge_of(target), target), *args[1:])
    node = make_node(op.node_class(static), instance, args, inputs, outs, edges, (saved_target,))
    assign(target, value)
    # What the target was before is saved as a value, which no write changes; as the result it is saved as of now.
    if node.saved:
        for k, place in enumerate(instance.checked):
            if place == 0:
                node.saved[k], node.versions[k] = _BEFORE_THE_WRITE, 0  # type: ignore[misc]
            elif place >= len(inputs):
                node.versions[k] = target._storage.version
    set_history(target, node, mask.index(0) if 0 in mask else None)


class _Before:
    """Stands for the storage of a value that no write changes."""

    version = 0


_BEFORE_THE_WRITE = _Before()


class _Written:
    """Stands for the result of a write where its storage is wanted."""

    def __init__(self, target: Tensor):
        self._storage = target._storage


def set_history(target: Tensor, node: Any, self_at: int | None) -> None:
    """Make ``node`` (None: nothing differentiable) the history of what was just written to ``target``."""
    base = target._base_tensor
    if base is None:
        before = target._edge
        target._edge = None if node is None else (node, 0)
        target._requires_grad = node is not None
        if target._retains_grad:
            target._retain_from(target._edge, before)
        return
    from torchlike._tensor.tensor import steps_from

    chain = [(v.step, v.static) for v in steps_from(base, target)]
    before = edge_of(base)
    if before is None and node is None:
        return
    copy = CopySlices(before, base._spec, chain, node, self_at)
    base._edge, base._requires_grad = (copy, 0), True


def call_out(op: Op, out: Any, args: Sequence[Any], static: Any) -> Any:
    """Apply an operator and write its results to ``out``, resized where that is empty."""
    for a in args:
        if isinstance(a, Tensor) and a.requires_grad and threads.grad_enabled and op.differentiable:
            raise RuntimeError(
                f"{op.name}(): functions with out=... arguments don't support automatic differentiation, but one of "
                f"the "
                "arguments requires grad."
            )
    results = call(op, args, static)
    if isinstance(results, tuple):
        for target, result in zip(out, results, strict=True):
            write_out(target, result)
        return type(results)(out) if op.returns is None else op.returns(tuple(out))
    write_out(out, results)
    return out


def apply(op: Op, args: Sequence[Any], static: Any, out: Any = None) -> Any:
    """Apply an operator, writing its results to ``out`` where that is given."""
    return call(op, args, static) if out is None else call_out(op, out, args, static)


def delivered(result: Tensor, out: Tensor | None) -> Tensor:
    """A result, written to ``out`` where that is given."""
    if out is None:
        return result
    write_out(out, result)
    return out


def write_out(out: Tensor, result: Tensor) -> None:
    """Write a result to an ``out=`` tensor, giving that the result's shape where it has another."""
    if not isinstance(out, Tensor):
        raise TypeError(f"argument 'out' must be Tensor, not {type(out).__name__}")
    if not castable(result.dtype, out.dtype):
        raise RuntimeError(
            f"result type {SCALAR_TYPE_NAMES[result.dtype]} can't be cast to the desired output type "
            f"{SCALAR_TYPE_NAMES[out.dtype]}"
        )
    if out._spec.shape != result._spec.shape:
        arguments.resize_out(out, result._spec.shape)
    value = value_of(result)
    if result._spec.dtype != out._spec.dtype:
        value = cast_value(value, out._spec.dtype)
    assign(out, value)


CAST = Kernel("cast", lambda static, inputs: lambda x: _cast(x, static[0]))


def cast_value(value: Value, target: np.dtype) -> Value:
    """A value in another element type."""
    return value if value.spec.dtype == target else record(CAST, (target,), (value,))[0][0]


# Declaring.

#: Every declared operator under its public names: (namespace, name) -> Op or composite function.
REGISTRY: dict[tuple[str, str], Any] = {}


def _register(namespaces: Sequence[str], name: str, function: Any) -> None:
    for namespace in namespaces:
        if (namespace, name) in REGISTRY:
            raise TypeError(f"{namespace}.{name} is declared twice")
        REGISTRY[namespace, name] = function
        if namespace == "Tensor":
            setattr(Tensor, name, function)


def op(promote: Promote = Promote.NONE, **options: Any) -> Callable:
    """Declare an operator; see the module's docstring. Options: ``alias``, ``namespaces``, ``inplace``, ``node``,
    ``nondiff``, ``returns`` (name and field names of a named tuple), ``check``, ``recompute``, ``name``."""

    def declare(body: Callable) -> Callable:
        name = options.get("name") or body.__name__.rstrip("_")
        returns = options.get("returns")
        if returns is not None:
            from torchlike.return_types import named

            options["returns"] = named(*returns)
        declared = Op(body, name, promote, options)
        function = arguments.generate(declared, inplace=False)
        declared.function = function
        for public in (name, *declared.alias):
            _register(declared.namespaces, public, function)
        if declared.inplace:
            inplace = arguments.generate(declared, inplace=True)
            where = ("Tensor",) if declared.inplace == "method" else ("torch", "Tensor", "nn.functional")
            for public in (name, *declared.alias):
                _register([n for n in declared.namespaces if n in where], public + "_", inplace)
        return function

    return declare


def pointwise(promote: Promote = Promote.DEFAULT, **options: Any) -> Callable:
    """Declare an operator that works element by element on broadcast inputs."""
    options.setdefault("recompute", True)
    return op(promote, **options)


def reduction(**options: Any) -> Callable:
    """Declare an operator that reduces over dimensions."""
    return op(Promote.NONE, **options)


def composite(
    namespaces: Sequence[str] = ("torch", "Tensor"), alias: Sequence[str] = (), name: str | None = None,
    inplace: Callable | None = None,
) -> Callable:  # fmt: skip
    """Declare a function that calls other operators and records nothing of its own."""

    def declare(function: Callable) -> Callable:
        if not function.__doc__:
            raise TypeError(f"function {function.__name__} has no docstring")
        for public in (name or function.__name__, *alias):
            _register(namespaces, public, function)
        return function

    return declare


def exports(namespace: str) -> dict[str, Any]:
    """The public names of a namespace, such as ``torch`` or ``nn.functional``."""
    return {name: function for (where, name), function in REGISTRY.items() if where == namespace}


__all__ = [
    "REGISTRY", "Array", "Arrays", "Number", "Op", "Promote", "call", "composite", "exports", "op",
    "pointwise", "reduction",
]  # fmt: skip
