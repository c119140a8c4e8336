"""Products with Jacobians and Hessians, and these themselves, of functions of tensors.

Each function here takes ``func(*inputs)`` and the point ``inputs``, a tensor or a tuple of tensors; results have the structure
of the inputs and outputs. ``create_graph`` gives the results a history, so that they can be differentiated; ``strict`` makes
an independence of an input an error, where otherwise its derivative is zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from torchlike._engine.trace import threads
from torchlike._engine.value import concrete
from torchlike._tensor.tensor import Tensor, wrap
from torchlike.autograd import forward_ad
from torchlike.autograd.grad_mode import enable_grad

__all__ = ["vjp", "jvp", "jacobian", "hessian", "hvp", "vhp"]

Tensors = tuple[Tensor, ...]

_OUTPUTS = "outputs of the user-provided function"
_NO_GRAPH = "This is not allowed in strict mode when create_graph=True."
_STRICT = "This is not allowed in strict mode."

#: What ``strict`` says of a missing gradient and of one without a history, at each stage.
_MISSING = {
    "back": f"The output of the user-provided function is independent of input {{}}. {_STRICT}",
    "back_trick": (
        "The gradient with respect to the input is independent of entry {} in the grad_outputs when using the double backward "
        f"trick to compute forward mode gradients. {_STRICT}"
    ),
    "double_back": f"The jacobian of the user-provided function is independent of input {{}}. {_STRICT}",
    "double_back_trick": (
        "The hessian of the user-provided function is independent of entry {} in the grad_jacobian. This is not allowed in "
        "strict mode as it prevents from using the double backward trick to replace forward mode AD."
    ),
}
#: What ``strict`` says of a tensor that requires no gradient although it should, by what the tensor is.
_DETACHED = {
    "outputs": (
        "Output {} of the user-provided function does not require gradients. The outputs must be computed in a differentiable "
        "manner from the input when running in strict mode."
    ),
    "grad_inputs": (
        f"The gradient with respect to input {{}} is independent of the inputs of the user-provided function. {_STRICT}"
    ),
    "jacobian": (
        "While computing the hessian, found that the jacobian of the user-provided function with respect to input {} is "
        "independent of the input. This is not allowed in strict mode. You should ensure that your function is twice "
        "differentiable and that the jacobian depends on the inputs (this would be violated by a linear function for example)."
    ),
    "hessian": (
        f"The hessian of the user-provided function with respect to input {{}} is independent of the input. {_STRICT} You should "
        "ensure that your function is thrice differentiable and that the hessian depends on the inputs."
    ),
}


# Arguments and results: tuples inside, single tensors outside.


def _as_tuple(x: Any, what: str, function: str) -> tuple[bool, Tensors]:
    """Whether ``x`` is a tuple, and it as a tuple; TypeError where something in it is no tensor."""
    is_tuple = isinstance(x, tuple)
    tensors = x if is_tuple else (x,)
    for i, t in enumerate(tensors):
        if not isinstance(t, Tensor):
            place = f"value at index {i}" if is_tuple else f"given {what}"
            raise TypeError(
                f"The {what} given to {function} must be either a Tensor or a tuple of Tensors but the {place} has type "
                f"{type(t)}."
            )
    return is_tuple, tensors


def _as_given(result: tuple, is_tuple: bool) -> Any:
    return result if is_tuple else result[0]


def _nested_as_given(result: tuple, outer_is_tuple: bool, inner_is_tuple: bool) -> Any:
    return _as_given(tuple(_as_given(inner, inner_is_tuple) for inner in result), outer_is_tuple)


def _starting_points(inputs: Tensors, create_graph: bool, need_graph: bool) -> Tensors:
    """New tensors for the function to be called with, so that they differ from what it may have captured by itself."""
    return tuple(
        t.view_as(t) if create_graph and t.requires_grad else t.detach().requires_grad_(need_graph) for t in inputs
    )


def _finished(tensors: Any, create_graph: bool) -> Any:
    """Results, without history unless that was asked for."""
    if isinstance(tensors, Tensor):
        return tensors if create_graph else tensors.detach()
    return tuple(_finished(t, create_graph) for t in tensors)


def _check_vector(v: Tensors, like: Tensors, is_tuple: bool) -> None:
    if len(v) != len(like):
        if is_tuple:
            raise RuntimeError(f"v is a tuple of invalid length: should be {len(like)} but got {len(v)}.")
        raise RuntimeError("The given v should contain a single Tensor.")
    for i, (a, b) in enumerate(zip(v, like)):
        if a.size() != b.size():
            entry = f"Entry {i} in " if is_tuple else ""
            raise RuntimeError(f"{entry}v has invalid size: should be {b.size()} but got {a.size()}.")


def _check_differentiable(tensors: Any, what: str, strict: bool) -> None:
    if not strict:
        return
    for i, t in enumerate(tensors):
        if t is None:
            raise RuntimeError(_MISSING["back"].format(i))
        if not t.requires_grad:
            raise RuntimeError(_DETACHED[what].format(i))


def _grad(
    outputs: Any, inputs: Tensors, grad_outputs: Any = None, create_graph: bool = False, retain_graph: bool | None = None,
    batched: bool = False,
) -> tuple:  # fmt: skip
    """``autograd.grad`` of those outputs that have a history; None for inputs that they do not depend on."""
    from torchlike import autograd

    given = (None,) * len(outputs) if grad_outputs is None else grad_outputs
    pairs = [(o, g) for o, g in zip(outputs, given, strict=True) if o is not None and o.requires_grad]
    if not pairs:
        return (None,) * len(inputs)
    outs, grads = zip(*pairs, strict=True)
    return autograd.grad(outs, inputs, grads, retain_graph, create_graph, allow_unused=True, is_grads_batched=batched)


def _filled(grads: tuple, like: Tensors, strict: bool, create_graph: bool, stage: str) -> Tensors:
    """Gradients with zeros for those that are missing, which ``strict`` forbids."""
    result = []
    for i, (g, t) in enumerate(zip(grads, like)):
        if g is None:
            if strict:
                raise RuntimeError(_MISSING[stage].format(i))
            g = _zeros_like(t)
        elif strict and create_graph and not g.requires_grad:
            what = "hessian" if "double" in stage else "jacobian"
            raise RuntimeError(f"The {what} of the user-provided function is independent of input {i}. {_NO_GRAPH}")
        result.append(g)
    return tuple(result)


def _zeros_like(t: Tensor, requires_grad: bool = False) -> Tensor:
    zeros = wrap(concrete(np.zeros(t._spec.shape, t._spec.dtype)), t.device)
    return zeros.requires_grad_(requires_grad)


class _RecordingFor:
    """Records operations where the results need a history; otherwise leaves the switch as it is."""

    def __init__(self, create_graph: bool):
        self.mode = create_graph

    def __enter__(self) -> None:
        self.before = threads.grad_enabled
        threads.grad_enabled = self.mode or self.before

    def __exit__(self, *_: object) -> None:
        threads.grad_enabled = self.before


# Products.


def vjp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """``(func(inputs), v @ J)``: the product of a vector with the Jacobian.

    Args:
        func: a function of tensors that returns a tensor or a tuple of tensors.
        inputs: where to evaluate it.
        v: of the outputs' structure and shapes; may be left out where the output is a single element.
        create_graph: whether both results can be differentiated.
        strict: whether an output independent of an input is an error.

    Returns:
        The function's value, and the product with the structure and shapes of ``inputs``.

    >>> import torchlike as torch
    >>> vjp(lambda x: x**2, torch.tensor([1.0, 2.0]), torch.tensor([1.0, 10.0]))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    with enable_grad():
        in_tuple, inputs = _as_tuple(inputs, "inputs", "vjp")
        inputs = _starting_points(inputs, create_graph, need_graph=True)
        out_tuple, outputs = _as_tuple(func(*inputs), _OUTPUTS, "vjp")
        _check_differentiable(outputs, "outputs", strict)
        if v is not None:
            _, v = _as_tuple(v, "v", "vjp")
            v = _starting_points(v, create_graph, need_graph=False)
            _check_vector(v, outputs, out_tuple)
        elif len(outputs) != 1 or outputs[0].nelement() != 1:
            raise RuntimeError(
                "The vector v can only be None if the user-provided function returns a single Tensor with a single element."
            )
    with _RecordingFor(create_graph):
        grads = _grad(outputs, inputs, v, create_graph)
        product = _filled(grads, inputs, strict, create_graph, "back")
    return _as_given(_finished(outputs, create_graph), out_tuple), _as_given(_finished(product, create_graph), in_tuple)


def _vector_for_inputs(v: Any, inputs: Tensors, in_tuple: bool, create_graph: bool, function: str) -> Any:
    """``v`` checked against the inputs; None where there is a single element for it to stand for."""
    if v is not None:
        _, v = _as_tuple(v, "v", function)
        v = _starting_points(v, create_graph, need_graph=False)
        _check_vector(v, inputs, in_tuple)
    elif len(inputs) != 1 or inputs[0].nelement() != 1:
        raise RuntimeError(
            "The vector v can only be None if the input to the user-provided function is a single Tensor with a single element."
        )
    return v


def jvp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """``(func(inputs), J @ v)``: the product of the Jacobian with a vector.

    It is the derivative of ``u @ J`` with respect to ``u``, in the direction ``v``.

    Args:
        func: a function of tensors that returns a tensor or a tuple of tensors.
        inputs: where to evaluate it.
        v: of the inputs' structure and shapes; may be left out where the input is a single element.
        create_graph: whether both results can be differentiated.
        strict: whether an output independent of an input is an error.

    Returns:
        The function's value, and the product with the structure and shapes of the outputs.

    >>> import torchlike as torch
    >>> jvp(lambda x: x.exp(), torch.zeros(2), torch.tensor([1.0, 3.0]))
    (tensor([1., 1.]), tensor([1., 3.]))
    """
    with enable_grad():
        in_tuple, inputs = _as_tuple(inputs, "inputs", "jvp")
        inputs = _starting_points(inputs, create_graph, need_graph=True)
        v = _vector_for_inputs(v, inputs, in_tuple, create_graph, "jvp")
        out_tuple, outputs = _as_tuple(func(*inputs), _OUTPUTS, "jvp")
        _check_differentiable(outputs, "outputs", strict)
        # The gradient is linear in these, so that their value does not matter.
        directions = tuple(_zeros_like(out, requires_grad=True) for out in outputs)
        grad_inputs = _grad(outputs, inputs, directions, create_graph=True)
        _check_differentiable(grad_inputs, "grad_inputs", strict)
    with _RecordingFor(create_graph):
        grads = _grad(grad_inputs, directions, v, create_graph)
        product = _filled(grads, outputs, strict, create_graph, "back_trick")
    return _as_given(_finished(outputs, create_graph), out_tuple), _as_given(
        _finished(product, create_graph), out_tuple
    )


def _scalar_gradient(
    func: Callable, inputs: Any, v: Any, create_graph: bool, strict: bool, function: str
) -> tuple[bool, bool, Tensors, Any, Tensors, tuple]:
    """What ``vhp`` and ``hvp`` begin with: the value of a scalar function and its gradient, with a history."""
    in_tuple, inputs = _as_tuple(inputs, "inputs", function)
    inputs = _starting_points(inputs, create_graph, need_graph=True)
    v = _vector_for_inputs(v, inputs, in_tuple, create_graph, function)
    out_tuple, outputs = _as_tuple(func(*inputs), _OUTPUTS, function)
    _check_differentiable(outputs, "outputs", strict)
    if out_tuple:
        raise RuntimeError(f"The function given to {function} should return a single Tensor")
    if outputs[0].nelement() != 1:
        raise RuntimeError(f"The Tensor returned by the function given to {function} should contain a single element")
    gradient = _grad(outputs, inputs, create_graph=True)
    _check_differentiable(gradient, "jacobian", strict)
    return in_tuple, out_tuple, inputs, v, outputs, gradient


def vhp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """``(func(inputs), v @ H)``: the product of a vector with the Hessian of a function that returns a single element.

    Args:
        func: a function of tensors that returns a tensor of one element.
        inputs: where to evaluate it.
        v: of the inputs' structure and shapes; may be left out where the input is a single element.
        create_graph: whether both results can be differentiated.
        strict: whether an output independent of an input is an error.

    Returns:
        The function's value, and the product with the structure and shapes of ``inputs``.
    """
    with enable_grad():
        in_tuple, out_tuple, inputs, v, outputs, gradient = _scalar_gradient(
            func, inputs, v, create_graph, strict, "vhp"
        )
    with _RecordingFor(create_graph):
        grads = _grad(gradient, inputs, v, create_graph)
        product = _filled(grads, inputs, strict, create_graph, "double_back")
    return _as_given(_finished(outputs, create_graph), out_tuple), _as_given(_finished(product, create_graph), in_tuple)


def hvp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """``(func(inputs), H @ v)``: the product of the Hessian of a function that returns a single element with a vector.

    ``vhp`` computes the same for a function that is twice continuously differentiable, and faster.

    Args:
        func: a function of tensors that returns a tensor of one element.
        inputs: where to evaluate it.
        v: of the inputs' structure and shapes; may be left out where the input is a single element.
        create_graph: whether both results can be differentiated.
        strict: whether an output independent of an input is an error.

    Returns:
        The function's value, and the product with the structure and shapes of ``inputs``.
    """
    with enable_grad():
        in_tuple, out_tuple, inputs, v, outputs, gradient = _scalar_gradient(
            func, inputs, v, create_graph, strict, "hvp"
        )
        directions = tuple(_zeros_like(t, requires_grad=True) for t in inputs)
        double_back = _grad(gradient, inputs, directions, create_graph=True)
        _check_differentiable(gradient, "hessian", strict)
    with _RecordingFor(create_graph):
        grads = _grad(double_back, directions, v, create_graph)
        product = _filled(grads, inputs, strict, create_graph, "double_back_trick")
    return _as_given(_finished(outputs, create_graph), out_tuple), _as_given(_finished(product, create_graph), in_tuple)


# Whole matrices.


def _standard_basis(tensors: Tensors) -> Tensors:
    """The rows of an identity matrix of as many elements as the tensors have together, each tensor's columns apart."""
    sizes = [t.numel() for t in tensors]
    total, at, chunks = sum(sizes), 0, []
    for t, n in zip(tensors, sizes):
        chunk = np.zeros((total, n), t._spec.dtype)
        chunk[range(at, at + n), range(n)] = 1
        chunks.append(wrap(concrete(chunk), t.device))
        at += n
    return tuple(chunks)


def _split_columns(rows: Tensor, outer: Tensors, inner: Tensor, inner_first: bool) -> tuple[Tensor, ...]:
    """A block for each of the ``outer`` tensors, whose elements are the rows; shaped as both tensors' shapes together."""
    blocks = []
    for block, t in zip(rows.split([t.numel() for t in outer], dim=0), outer):
        if inner_first:
            blocks.append(block.permute(*range(1, block.ndim), 0).reshape(inner.shape + t.shape))
        else:
            blocks.append(block.reshape(t.shape + inner.shape))
    return tuple(blocks)


def _forward_jacobian(func: Callable, inputs: Any, strict: bool, vectorize: bool) -> Any:
    if strict:
        raise RuntimeError(
            'torch.autograd.functional.jacobian: `strict=True` and `strategy="forward-mode"` are not supported together (yet). '
            'Please either set `strict=False` or `strategy="reverse-mode"`.'
        )
    in_tuple, inputs = _as_tuple(inputs, "inputs", "jacobian")
    if not vectorize:
        raise NotImplementedError(
            "Computing Jacobian using forward-AD or forward-over-reverse Hessian isonly implemented for `vectorize=True`."
        )
    columns: list[list[Tensor]] = []
    out_tuple, outputs = True, ()
    for row in zip(*_standard_basis(inputs), strict=True):
        with forward_ad.dual_level():
            duals = tuple(forward_ad.make_dual(t, d.view_as(t)) for t, d in zip(inputs, row))
            out_tuple, results = _as_tuple(func(*duals), _OUTPUTS, "jacobian")
            unpacked = [forward_ad.unpack_dual(out) for out in results]
            outputs = tuple(primal for primal, _ in unpacked)
            columns.append([_zeros_like(p) if tangent is None else tangent for p, tangent in unpacked])
    import torchlike as torch

    stacked = [torch.stack(list(column)) for column in zip(*columns, strict=True)]
    by_output = [list(_split_columns(rows, inputs, out, inner_first=True)) for rows, out in zip(stacked, outputs)]
    if not in_tuple:
        by_output = tuple(row[0] for row in by_output)
    return by_output if out_tuple else by_output[0]


def jacobian(
    func: Callable, inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """The Jacobian of a function.

    Args:
        func: a function of tensors that returns a tensor or a tuple of tensors.
        inputs: where to evaluate it.
        create_graph: whether the result can be differentiated.
        strict: whether an output independent of an input is an error.
        vectorize: whether all rows may be computed in one backward.
        strategy: ``"reverse-mode"``, row by row, or ``"forward-mode"``, column by column (with ``vectorize`` only).

    Returns:
        ``J[i][j]`` with the shape of output ``i`` followed by that of input ``j``, without the level of nesting that
        belongs to a single output or input.

    >>> import torchlike as torch
    >>> jacobian(lambda x: x**2, torch.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(
            'Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your function has more outputs than '
            'inputs, "forward-mode" tends to be more performant. Otherwise, prefer to use "reverse-mode".'
        )
    if strategy == "forward-mode":
        if create_graph:
            raise NotImplementedError(
                'torch.autograd.functional.jacobian: `create_graph=True` and `strategy="forward-mode"` are not supported '
                'together (yet). Please either set `create_graph=False` or `strategy="reverse-mode"`.'
            )
        return _forward_jacobian(func, inputs, strict, vectorize)
    with enable_grad():
        in_tuple, inputs = _as_tuple(inputs, "inputs", "jacobian")
        inputs = _starting_points(inputs, create_graph, need_graph=True)
        out_tuple, outputs = _as_tuple(func(*inputs), _OUTPUTS, "jacobian")
        _check_differentiable(outputs, "outputs", strict)
        rows = _vectorized_rows if vectorize else _rows
        matrix = rows(outputs, inputs, create_graph, strict)
        return _nested_as_given(_finished(matrix, create_graph), out_tuple, in_tuple)


def _vectorized_rows(outputs: Tensors, inputs: Tensors, create_graph: bool, strict: bool) -> tuple:
    if strict:
        raise RuntimeError(
            "torch.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not supported together. Please either "
            "set `strict=False` or `vectorize=False`."
        )
    flat = tuple(out.reshape(-1) for out in outputs)
    grads = _grad(flat, inputs, _standard_basis(outputs), create_graph, batched=True)
    total = sum(out.numel() for out in outputs)
    by_input = []
    for rows, t in zip(grads, inputs):
        rows = _zeros_like(t).expand((total, *t.shape)) if rows is None else rows
        by_input.append(_split_columns(rows, outputs, t, inner_first=False))
    return tuple(zip(*by_input, strict=True))


def _rows(outputs: Tensors, inputs: Tensors, create_graph: bool, strict: bool) -> tuple:
    import torchlike as torch

    matrix = []
    for i, out in enumerate(outputs):
        columns: list[list[Tensor]] = [[] for _ in inputs]
        for j in range(out.nelement()):
            grads = _grad((out.reshape(-1)[j],), inputs, create_graph=create_graph, retain_graph=True)
            for k, (column, g, t) in enumerate(zip(columns, grads, inputs)):
                if g is None:
                    if strict:
                        raise RuntimeError(
                            f"Output {i} of the user-provided function is independent of input {k}. {_STRICT}"
                        )
                    g = _zeros_like(t)
                elif strict and create_graph and not g.requires_grad:
                    raise RuntimeError(
                        f"The jacobian of the user-provided function is independent of input {i}. {_NO_GRAPH}"
                    )
                column.append(g)
        matrix.append(tuple(torch.stack(c, dim=0).view(out.size() + t.size()) for c, t in zip(columns, inputs)))
    return tuple(matrix)


def hessian(
    func: Callable, inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """The Hessian of a function that returns a single element: the Jacobian of its gradient.

    Args:
        func: a function of tensors that returns a tensor of one element.
        inputs: where to evaluate it.
        create_graph: whether the result can be differentiated.
        strict: whether an output independent of an input is an error.
        vectorize: whether all rows may be computed in one backward.
        outer_jacobian_strategy: how the gradient's Jacobian is computed; see ``jacobian``.

    Returns:
        ``H[i][j]`` with the shape of input ``i`` followed by that of input ``j``; a tensor for a single input.

    >>> import torchlike as torch
    >>> hessian(lambda x: (x**3).sum(), torch.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    in_tuple, inputs = _as_tuple(inputs, "inputs", "hessian")
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')

    def scalar(*points: Tensor) -> Tensor:
        out = func(*points)
        out_tuple, outputs = _as_tuple(out, _OUTPUTS, "hessian")
        _check_differentiable(outputs, "outputs", strict)
        if out_tuple:
            raise RuntimeError("The function given to hessian should return a single Tensor")
        if out.nelement() != 1:
            raise RuntimeError("The Tensor returned by the function given to hessian should contain a single element")
        return out.squeeze()

    def gradient(*points: Tensor) -> Any:
        if outer_jacobian_strategy == "forward-mode":
            points = tuple(t.requires_grad_(True) for t in points)
        result = jacobian(scalar, points, create_graph=True)
        _check_differentiable(result, "jacobian", strict)
        return result

    matrix = jacobian(
        gradient,
        inputs,
        create_graph=create_graph,
        strict=strict,
        vectorize=vectorize,
        strategy=outer_jacobian_strategy,
    )
    return _nested_as_given(matrix, in_tuple, in_tuple)


for _function in (vjp, jvp, vhp, hvp, jacobian, hessian):
    _function.__module__ = "torch.autograd.functional"
