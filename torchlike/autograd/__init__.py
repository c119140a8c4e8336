"""Automatic differentiation: gradients of recorded operations."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from torchlike._engine.value import concrete
from torchlike._tensor.tensor import Tensor, edge_of, value_of
from torchlike._tape.walk import walk
from torchlike.autograd.function import Function
from torchlike.autograd.grad_mode import (
    enable_grad,
    inference_mode,
    no_grad,
    set_grad_enabled,
    set_multithreading_enabled,
)
from torchlike.autograd.variable import Variable

__all__ = [
    "Function", "Variable", "backward", "enable_grad", "grad", "grad_mode", "inference_mode", "no_grad",
    "set_grad_enabled", "set_multithreading_enabled",
]  # fmt: skip

NO_HISTORY = "element {} of tensors does not require grad and does not have a grad_fn"


def _tuple(x: Any) -> tuple:
    return (x,) if isinstance(x, Tensor) else tuple(x)


def _start(outputs: Sequence[Tensor], given: Sequence[Any], create_graph: bool) -> tuple[list, list]:
    """The edges a backward starts from and the gradients there."""
    edges, grads = [], []
    for i, (out, grad) in enumerate(zip(outputs, given, strict=True)):
        edge = edge_of(out)
        if edge is None:
            raise RuntimeError(NO_HISTORY.format(i))
        if grad is None:
            if out._spec.numel != 1:
                raise RuntimeError("grad can be implicitly created only for scalar outputs")
            if not (out.is_floating_point() or out.is_complex()):
                raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {out.dtype}")
            if out.is_complex():
                raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {out.dtype}")
            grad = Tensor._ones_like(out)
        elif not isinstance(grad, Tensor):
            raise TypeError(f"gradients can be either Tensors or None, but got {type(grad).__name__}")
        elif grad._spec.shape != out._spec.shape:
            raise RuntimeError(
                f"Mismatch in shape: grad_output[{i}] has a shape of {grad.shape} and output[{i}] has a shape of "
                f"{out.shape}."
            )
        edges.append(edge)
        grads.append(grad if create_graph else value_of(grad))
    return edges, grads


_ones: dict = {}


def _ones_like(t: Tensor) -> Tensor:
    """A tensor of ones; their array is made once for each shape."""
    from torchlike._tensor.tensor import wrap

    import numpy as np

    array = _ones.get(t._spec)
    if array is None:
        array = np.ones(t._spec.shape, t._spec.dtype)
        if t._spec.ndim == 0:
            _ones[t._spec] = array
    return wrap(concrete(array), t._storage.device)


Tensor._ones_like = staticmethod(_ones_like)  # type: ignore[attr-defined]


def backward(
    tensors: Any, grad_tensors: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
    grad_variables: Any = None, inputs: Any = None,
) -> None:  # fmt: skip
    """Add the gradients of ``tensors`` with respect to the leaves of their graphs to the leaves' ``grad``.

    ``grad_tensors`` are the gradients to start from, by default ones for single elements. With ``inputs``, only their
    ``grad`` is added to.
    """
    if grad_variables is not None:
        warnings.warn("`grad_variables` is deprecated. Use `grad_tensors` instead.", FutureWarning, stacklevel=2)
        grad_tensors = grad_tensors if grad_tensors is not None else grad_variables
    outputs = _tuple(tensors)
    given = (None,) * len(outputs) if grad_tensors is None else _tuple(grad_tensors)
    if inputs is not None and len(_tuple(inputs)) == 0:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    retain = create_graph if retain_graph is None else retain_graph
    edges, grads = _start(outputs, given, create_graph)
    if inputs is None:
        walk(edges, grads, retain, create_graph)
        return
    targets = _tuple(inputs)
    for i, t in enumerate(targets):
        if edge_of(t) is None:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    results = walk(edges, grads, retain, create_graph, [edge_of(t) for t in targets])
    for target, result in zip(targets, results, strict=True):
        if result is not None:
            target._accumulate(result)


def grad(
    outputs: Any, inputs: Any, grad_outputs: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
    only_inputs: bool = True, allow_unused: bool | None = None, is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:  # fmt: skip
    """The gradients of ``outputs`` with respect to ``inputs``, as a tuple; no ``grad`` attribute is touched.

    RuntimeError for an input that the outputs do not depend on, unless ``allow_unused`` (None for it) or
    ``materialize_grads`` (zeros for it).
    """
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    if not only_inputs:
        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True). To accumulate gradient for other "
            "parts of the graph, please use torch.autograd.backward.",
            FutureWarning,
            stacklevel=2,
        )
    outs, ins = _tuple(outputs), _tuple(inputs)
    given = (None,) * len(outs) if grad_outputs is None else _tuple(grad_outputs)
    if is_grads_batched:
        return _batched(outs, ins, given, retain_graph, create_graph, allow_unused, materialize_grads)
    retain = create_graph if retain_graph is None else retain_graph
    targets = [edge_of(t) for t in ins]
    edges, grads = _start(outs, given, create_graph)
    if any(t is None for t in targets):
        raise RuntimeError("One of the differentiated Tensors does not require grad")
    results = walk(edges, grads, retain, create_graph, targets)
    return tuple(_result(r, t, create_graph, allow_unused, materialize_grads) for r, t in zip(results, ins, strict=True))


def _result(result: Any, like: Tensor, create_graph: bool, allow_unused: Any, materialize: bool) -> Any:
    from torchlike._tensor.tensor import wrap

    if result is None:
        if materialize:
            import torchlike as torch

            return torch.zeros_like(like, requires_grad=create_graph)
        if not allow_unused:
            raise RuntimeError(
                "One of the differentiated Tensors appears to not have been used in the graph. Set allow_unused=True if "
                "this is the desired behavior."
            )
        return None
    return result if create_graph else wrap(result, like._storage.device)


def _batched(outs, ins, given, retain_graph, create_graph, allow_unused, materialize):
    """One backward for each row of the given gradients, their results stacked."""
    import torchlike as torch

    rows = given[0].shape[0]
    each = []
    for i in range(rows):
        keep = True if i + 1 < rows else retain_graph
        row = tuple(None if g is None else g[i] for g in given)
        each.append(grad(outs, ins, row, keep, create_graph, allow_unused=allow_unused, materialize_grads=materialize))
    return tuple(None if column[0] is None else torch.stack(column) for column in zip(*each, strict=True))


def __getattr__(name: str) -> Any:
    lazy = {
        "gradcheck": ("gradcheck", "gradcheck"), "gradgradcheck": ("gradcheck", "gradgradcheck"),
        "detect_anomaly": ("anomaly_mode", "detect_anomaly"), "set_detect_anomaly": ("anomaly_mode", "set_detect_anomaly"),
    }  # fmt: skip
    import importlib

    if name in lazy:
        module, attribute = lazy[name]
        return getattr(importlib.import_module(f"torchlike.autograd.{module}"), attribute)
    if name in ("functional", "forward_ad", "profiler", "anomaly_mode"):
        return importlib.import_module(f"torchlike.autograd.{name}")
    raise AttributeError(f"module 'torch.autograd' has no attribute '{name}'")
