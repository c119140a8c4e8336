"""A model's graph for TensorBoard: the operations that autograd recorded, under the modules whose calls made them."""

# pyright: reportMissingImports=false, reportMissingModuleSource=false

from __future__ import annotations

from typing import Any

from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.config_pb2 import RunMetadata
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.versions_pb2 import VersionDef

import torchlike as torch
from torchlike.utils._pytree import tree_leaves, tree_map


def _nodes_of(outputs: Any) -> list[tuple[Any, list[Any]]]:
    """The history of some tensors: every node once with those it takes its inputs from, what is computed first first."""
    order: list[tuple[Any, list[Any]]] = []
    inputs: dict[int, list[Any]] = {}
    stack = [(t.grad_fn, False) for t in tree_leaves(outputs) if isinstance(t, torch.Tensor) and t.grad_fn is not None]
    while stack:
        node, done = stack.pop()
        if done:
            order.append((node, inputs[id(node)]))
        elif id(node) not in inputs:
            # Asked for once: some nodes are made anew each time.
            inputs[id(node)] = [n for n, _ in node.next_functions if n is not None]
            stack.append((node, True))
            stack.extend((n, False) for n in inputs[id(node)])
    return order


class _Scopes:
    """Which module's call made which node: hooks that look at a module's results as soon as it returns."""

    def __init__(self, model: Any):
        self.scope: dict[int, str] = {}
        self.kept: list[Any] = []  # nodes, so that their ids stay theirs
        names = {module: name for name, module in model.named_modules()}
        self.handles = [m.register_forward_hook(self._hook(self._path(model, name))) for m, name in names.items()]

    @staticmethod
    def _path(model: Any, name: str) -> str:
        path, module = [type(model).__name__], model
        for part in name.split(".") if name else ():
            module = getattr(module, part)
            path.append(f"{type(module).__name__}[{part}]")
        return "/".join(path)

    def _hook(self, path: str) -> Any:
        def hook(module: Any, args: Any, output: Any) -> None:
            for node, _ in _nodes_of(output):
                if id(node) not in self.scope:
                    self.scope[id(node)] = path
                    self.kept.append(node)

        return hook

    def remove(self) -> None:
        """Take the hooks off the modules."""
        for handle in self.handles:
            handle.remove()


def _shape_attribute(shape: Any) -> AttrValue:
    dims = [TensorShapeProto.Dim(size=n) for n in shape]
    return AttrValue(list=AttrValue.ListValue(shape=[TensorShapeProto(dim=dims)]))


def _operation(node: Any) -> str:
    """``AddmmBackward0`` as ``aten::addmm``."""
    name = type(node).__name__.partition("Backward")[0]
    return "aten::" + "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))


def graph(model: Any, args: Any, verbose: bool = False, use_strict_trace: bool = True) -> tuple[GraphDef, Any]:
    """The graph of ``model(*args)``: parameters and inputs, the operations on them, and the results."""
    from tensorboard.compat.proto.step_stats_pb2 import DeviceStepStats, StepStats

    args = args if isinstance(args, (tuple, list)) else (args,)
    inputs = tree_map(
        lambda t: t.detach().requires_grad_() if isinstance(t, torch.Tensor) and t.is_floating_point() else t,
        tuple(args),
    )
    scopes = _Scopes(model)
    try:
        with torch.enable_grad():
            outputs = model(*inputs)
    finally:
        scopes.remove()
    root = type(model).__name__
    parameters = {id(p): name for name, p in model.named_parameters()}
    given = {id(t): f"input.{i}" for i, t in enumerate(tree_leaves(inputs)) if isinstance(t, torch.Tensor)}
    names: dict[int, str] = {}
    counts: dict[str, int] = {}
    protos = []
    history = _nodes_of(outputs)
    for node, before in reversed(history):  # a node that no module's call returned belongs to what uses it
        for n in before:
            scopes.scope.setdefault(id(n), scopes.scope.get(id(node), root))
    for node, before in history:
        variable = getattr(node, "variable", None)
        if variable is not None:
            name = given.get(id(variable)) or f"{root}/{parameters.get(id(variable), 'parameter').replace('.', '/')}"
            kind = "IO Node" if id(variable) in given else "prim::GetAttr"
            proto = NodeDef(name=name, op=kind, attr={"_output_shapes": _shape_attribute(variable.shape)})
        else:
            kind = _operation(node)
            base = f"{scopes.scope.get(id(node), root)}/{kind.removeprefix('aten::')}"
            counts[base] = counts.get(base, 0) + 1
            name = base if counts[base] == 1 else f"{base}_{counts[base] - 1}"
            proto = NodeDef(name=name, op=kind, input=[names[id(n)] for n in before])
        names[id(node)] = proto.name
        protos.append(proto)
    for i, t in enumerate(t for t in tree_leaves(outputs) if isinstance(t, torch.Tensor) and t.grad_fn is not None):
        shape = {"_output_shapes": _shape_attribute(t.shape)}
        protos.append(NodeDef(name=f"output.{i}", op="IO Node", input=[names[id(t.grad_fn)]], attr=shape))
    if verbose:
        print("\n".join(f"{p.name} = {p.op}({', '.join(p.input)})" for p in protos))
    stats = RunMetadata(step_stats=StepStats(dev_stats=[DeviceStepStats(device="/device:CPU:0")]))
    return GraphDef(node=protos, versions=VersionDef(producer=22)), stats
