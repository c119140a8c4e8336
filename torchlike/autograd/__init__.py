"""Automatic differentiation: gradients of recorded operations.

>>> import torchlike as torch
>>> x = torch.tensor([1.0, 2.0], requires_grad=True)
>>> (x**2).sum().backward()
>>> x.grad
tensor([2., 4.])
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from torchlike._engine.value import concrete
from torchlike._tape.walk import walk
from torchlike._tensor.tensor import Tensor, dtype_of, edge_of, size_of, value_of, wrap
from torchlike.autograd import forward_ad, function, functional, grad_mode, graph
from torchlike.autograd._saved import SavedTensor
from torchlike.autograd.anomaly_mode import detect_anomaly, set_detect_anomaly
from torchlike.autograd.function import Function, NestedIOFunction
from torchlike.autograd.grad_mode import (
    enable_grad,
    enforce_grad_layout_policy,
    inference_mode,
    is_multithreading_enabled,
    is_view_replay_enabled,
    no_grad,
    set_grad_enabled,
    set_multithreading_enabled,
)
from torchlike.autograd.gradcheck import gradcheck, gradgradcheck
from torchlike.autograd.graph import GradientEdge
from torchlike.autograd.variable import Variable

__all__ = [
    "Variable", "Function", "backward", "grad_mode", "NestedIOFunction", "detect_anomaly", "enable_grad", "grad", "gradcheck",
    "gradgradcheck", "inference_mode", "no_grad", "set_detect_anomaly", "set_grad_enabled", "set_multithreading_enabled",
    "enforce_grad_layout_policy", "variable",
]  # fmt: skip

NO_HISTORY = "element {} of tensors does not require grad and does not have a grad_fn"
UNUSED = (
    "The differentiated Tensor at index {} appears to not have been used in the graph. Set allow_unused=True if this is the "
    "desired behavior."
)
NO_MAPPING = "`inputs` argument to `{}()` must be a dict, not {}. Other Mapping types are not supported."
BATCH_MISMATCH = (
    "If `is_grads_batched=True`, we interpret the first dimension of each grad_output as the batch dimension. The sizes of the "
    "remaining dimensions are expected to match the shape of corresponding output, but a mismatch was detected: "
    "grad_output[{0}] has a shape of {1} and output[{0}] has a shape of {2}. If you only want some tensors in `grad_output` to "
    "be considered batched, consider using vmap."
)
KEEPS_CYCLE = (
    "Using backward() with create_graph=True will create a reference cycle between the parameter and its gradient which can "
    "cause a memory leak. We recommend using autograd.grad when creating the graph to avoid this. If you have to use this "
    "function, make sure to reset the .grad fields of your parameters to None after use to break the cycle and avoid the leak."
)


def _places(x: Any) -> tuple:
    """Tensors and gradient edges as a tuple."""
    return (x,) if isinstance(x, (Tensor, GradientEdge)) else tuple(x)


def _gradients(x: Any, length: int) -> tuple:
    if x is None:
        return (None,) * length
    return (x,) if isinstance(x, Tensor) else tuple(x)


def _inputs(inputs: Any, function_name: str) -> tuple:
    """The ``inputs`` argument of ``backward`` and ``grad`` as a tuple."""
    if type(inputs) is dict:
        inputs = tuple(inputs.values())
    elif isinstance(inputs, Mapping):
        raise TypeError(NO_MAPPING.format(function_name, type(inputs).__name__))
    else:
        inputs = _places(inputs)
    if not inputs:
        raise RuntimeError(f"`inputs` argument to `{function_name}()` cannot be empty.")
    return inputs


def _spec_and_edge(out: Any) -> tuple[Any, Any]:
    if isinstance(out, Tensor):
        return out._spec, edge_of(out)
    if not isinstance(out, GradientEdge):
        raise AssertionError("Expected output to be a torch.Tensor")
    if isinstance(out.node, graph.AccumulateGrad):
        return out.node.variable._spec, (out.node.variable, 0)
    return out.node._out_specs[out.output_nr], (out.node, out.output_nr)


def _start(outputs: Sequence[Any], given: Sequence[Any], create_graph: bool) -> tuple[list, list]:
    """The edges that a backward starts from and the gradients there."""
    edges, grads = [], []
    for i, (out, grad) in enumerate(zip(outputs, given)):
        spec, edge = _spec_and_edge(out)
        if grad is None:
            grad = None if edge is None else _implicit(out, spec)
        elif not isinstance(grad, Tensor):
            raise TypeError(f"gradients can be either Tensors or None, but got {type(grad).__name__}")
        elif grad._spec is not spec:
            grad = _fitting(i, spec, grad)
        edges.append(edge)
        grads.append(grad if create_graph or grad is None else value_of(grad))
    if len(outputs) != len(given):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(given)} gradients")
    for i, edge in enumerate(edges):
        if edge is None:
            raise RuntimeError(NO_HISTORY.format(i))
    return edges, grads


def _fitting(i: int, spec: Any, grad: Tensor) -> Tensor:
    """A given gradient in its output's dtype; RuntimeError where it does not fit."""
    if grad._spec.shape != spec.shape:
        raise RuntimeError(
            f"Mismatch in shape: grad_output[{i}] has a shape of {grad.shape} and output[{i}] has a shape of {size_of(spec)}."
        )
    dtype = dtype_of(spec)
    if dtype.is_complex != grad.dtype.is_complex:
        raise RuntimeError(
            "For complex Tensors, both grad_output and output are required to have the same dtype. Mismatch in dtype: "
            f"grad_output[{i}] has a dtype of {grad.dtype} and output[{i}] has a dtype of {dtype}."
        )
    return grad.to(dtype)


_ones: dict = {}


def _implicit(out: Any, spec: Any) -> Tensor:
    """The gradient of a single number with respect to itself; the array of a 0-dim one is made once for each dtype."""
    if spec.numel != 1:
        raise RuntimeError("grad can be implicitly created only for scalar outputs")
    array = _ones.get(spec)
    if array is None:
        dtype = dtype_of(spec)
        if not dtype.is_floating_point:
            raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {dtype}")
        array = np.ones(spec.shape, spec.dtype)
        if spec.ndim == 0:
            _ones[spec] = array
    value = concrete(array)
    return wrap(value, out._storage.device) if isinstance(out, Tensor) else wrap(value)


_warned_of_cycle = False


def backward(
    tensors: Any, grad_tensors: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
    grad_variables: Any = None, inputs: Any = None,
) -> None:  # fmt: skip
    """Add the gradients of ``tensors`` with respect to the leaves of their graphs to the leaves' ``grad``.

    Args:
        tensors: a tensor, or several, or gradient edges.
        grad_tensors: the gradient to start from at each of them; None stands for one, where there is a single element.
        retain_graph: whether the graph can be used again; by default what ``create_graph`` is.
        create_graph: whether the gradients have a history of their own, for higher derivatives.
        inputs: only these get a gradient: tensors, gradient edges, or a dictionary of tensors.
    """
    if grad_variables is not None:
        warnings.warn("`grad_variables` is deprecated. Use `grad_tensors` instead.", FutureWarning, stacklevel=2)
        if grad_tensors is not None:
            raise RuntimeError(
                "`grad_tensors` and `grad_variables` (deprecated) arguments both passed to `backward()`. Please only use "
                "`grad_tensors`."
            )
        grad_tensors = grad_variables
    targets = None if inputs is None else _inputs(inputs, "backward")
    outputs = _places(tensors)
    edges, grads = _start(outputs, _gradients(grad_tensors, len(outputs)), create_graph)
    retain = create_graph if retain_graph is None else retain_graph
    if create_graph:
        _warn_of_cycle()
    if targets is None:
        walk(edges, grads, retain, create_graph)
        return
    for t in targets:
        if isinstance(t, Tensor):
            t.retain_grad()  # where it is no leaf, that is how it gets its gradient
    wanted = [graph.edge_to(t) for t in targets]
    results = walk(edges, grads, retain, create_graph, wanted)  # type: ignore[arg-type]
    for (target, _), result in zip(wanted, results):  # type: ignore[misc]
        if result is not None and isinstance(target, Tensor):
            target._accumulate(result)


def _warn_of_cycle() -> None:
    global _warned_of_cycle
    if not _warned_of_cycle:
        _warned_of_cycle = True
        warnings.warn(KEEPS_CYCLE, stacklevel=3)


def grad(
    outputs: Any, inputs: Any, grad_outputs: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
    only_inputs: bool = True, allow_unused: bool | None = None, is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> Any:  # fmt: skip
    """The gradients of ``outputs`` with respect to ``inputs``; no ``grad`` attribute is touched.

    Args:
        outputs: a tensor, or several, or gradient edges.
        inputs: a tensor, several, gradient edges, or a dictionary of tensors.
        grad_outputs: the gradient to start from at each output; None stands for one, where there is a single element.
        retain_graph: whether the graph can be used again; by default what ``create_graph`` is.
        create_graph: whether the gradients have a history of their own, for higher derivatives.
        only_inputs: ignored.
        allow_unused: whether an input that the outputs do not depend on gets None rather than a RuntimeError; by default
            what ``materialize_grads`` is.
        is_grads_batched: whether ``grad_outputs`` and the results have a first dimension that counts independent gradients.
        materialize_grads: whether such an input gets zeros.

    Returns:
        The gradients, as a tuple, or as a dictionary with the keys of ``inputs``.

    >>> import torchlike as torch
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> (first,) = torch.autograd.grad(x**3, x, create_graph=True)
    >>> torch.autograd.grad(first, x)
    (tensor(18.),)
    """
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    if allow_unused is None:
        allow_unused = materialize_grads
    outs, ins = _places(outputs), _inputs(inputs, "grad")
    if not only_inputs:
        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True). To accumulate gradient for other parts "
            "of the graph, please use torch.autograd.backward.",
            FutureWarning,
            stacklevel=2,
        )
    given = _gradients(grad_outputs, len(outs))
    retain = create_graph if retain_graph is None else retain_graph
    if is_grads_batched:
        results = _batched(outs, ins, given, retain, create_graph, allow_unused)
    else:
        results = _once(outs, ins, given, retain, create_graph, allow_unused)
    if materialize_grads:
        results = tuple(_zeros_like(t, create_graph) if r is None else r for r, t in zip(results, ins))
    return dict(zip(inputs.keys(), results)) if type(inputs) is dict else results


def _once(outs: tuple, ins: tuple, given: tuple, retain: bool, create_graph: bool, allow_unused: bool) -> tuple:
    edges, grads = _start(outs, given, create_graph)
    wanted = [graph.edge_to(t) for t in ins]
    if any(edge is None for edge in wanted):
        raise RuntimeError("One of the differentiated Tensors does not require grad")
    results = walk(edges, grads, retain, create_graph, wanted)  # type: ignore[arg-type]
    if not allow_unused:
        for i, result in enumerate(results):
            if result is None:
                raise RuntimeError(UNUSED.format(i))
    if create_graph:
        return tuple(results)
    return tuple(None if r is None else wrap(r, _device_of(t)) for r, t in zip(results, ins))


def _device_of(place: Any) -> Any:
    return place.device if isinstance(place, Tensor) else place.node._input_metadata[place.output_nr].device


def _zeros_like(place: Any, requires_grad: bool) -> Tensor:
    if not isinstance(place, Tensor):
        raise RuntimeError("materialize_grads cannot be used when the given input is a GradientEdge")
    zeros = wrap(concrete(np.zeros(place._spec.shape, place._spec.dtype)), place._storage.device)
    return zeros.requires_grad_(requires_grad)


def _batched(outs: tuple, ins: tuple, given: tuple, retain: bool, create_graph: bool, allow_unused: bool) -> tuple:
    """One backward for each row of the given gradients, their results stacked."""
    import torchlike as torch

    rows = 1
    for i, (out, grad) in enumerate(zip(outs, given)):
        if isinstance(grad, Tensor):
            rows, shape = grad.shape[0], _spec_and_edge(out)[0].shape
            if grad.shape[1:] != shape:
                if isinstance(out, GradientEdge):
                    raise RuntimeError("Batched grads are not supported with GradientEdge")
                raise RuntimeError(BATCH_MISMATCH.format(i, grad.shape[2:], out.shape))
    each = []
    for row in range(rows):
        keep = retain or row + 1 < rows
        grads = tuple(g if g is None else g[row] for g in given)
        each.append(_once(outs, ins, grads, keep, create_graph, allow_unused))
    return tuple(None if column[0] is None else torch.stack(column) for column in zip(*each, strict=True))


def _is_checkpoint_valid() -> bool:
    return Variable._execution_engine.is_checkpoint_valid()


def variable(*args: Any, **kwargs: Any) -> Any:
    """Gone: use ``torch.tensor``."""
    raise RuntimeError("torch.autograd.variable(...) is deprecated, use torch.tensor(...) instead")


variable.Variable = Variable  # type: ignore[attr-defined]


def __getattr__(name: str) -> Any:
    if name in ("profiler", "profiler_util"):
        import importlib

        return importlib.import_module(f"torchlike.autograd.{name}")
    raise AttributeError(f"module 'torch.autograd' has no attribute '{name}'")
