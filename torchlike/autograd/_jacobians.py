"""Jacobians, by finite differences, by backward and by forward mode: what ``gradcheck`` compares."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torchlike._tensor.tensor import Tensor
from torchlike.autograd import forward_ad


class GradcheckError(RuntimeError):
    """Raised by ``gradcheck`` and ``gradgradcheck`` where a check fails."""


_PRIVATE = (
    "`{}` was part of PyTorch's private API and not meant to be exposed. We are deprecating it and it will be removed in a "
    "future version of PyTorch. If you have a specific use for this or feature request for this to be a stable API, please file "
    "us an issue at https://github.com/pytorch/pytorch/issues/new"
)

FAILED_NONDET_MSG = """\n
NOTE: If your op relies on non-deterministic operations i.e., it is listed here:
https://pytorch.org/docs/stable/generated/torch.use_deterministic_algorithms.html
this failure might be expected.

If you are adding a new operator, please file an issue and then use one of the
workarounds. The workaround depends on how your test invokes gradcheck/gradgradcheck.
If the test
- manually invokes gradcheck/gradgradcheck, then call gradcheck/gradgradcheck
  with `nondet_tol=<tol>` as a keyword argument.
- is OpInfo-based (e.g., in test_ops_gradients.py), then modify the OpInfo for the test
  to have `gradcheck_nondet_tol=<tol>`.
- is a Module test (e.g., in common_nn.py), then modify the corresponding
  module_test entry to have `gradcheck_nondet_tol=<tol>`
"""


@dataclass
class Check:
    """A function, the point at which it is checked, and how."""

    func: Callable
    inputs: tuple
    eps: float = 1e-6
    atol: float = 1e-5
    rtol: float = 1e-3
    nondet_tol: float = 0.0
    check_grad_dtypes: bool = False
    forward: bool = False
    #: Which outputs (inputs, in forward mode) are really complex, and whether their imaginary parts are being looked at.
    complex_indices: Sequence[int] = ()
    test_imag: bool = False

    def call(self) -> tuple:
        return as_tuple(self.func(*self.inputs))


def as_tuple(x: Any) -> tuple:
    return x if isinstance(x, tuple) else tuple(x) if isinstance(x, list) else (x,)


def differentiable_of(outputs: Any) -> tuple[Tensor, ...]:
    return tuple(o for o in as_tuple(outputs) if o.requires_grad)


def leaves_of(inputs: tuple) -> list[tuple[int, Tensor]]:
    """The inputs that require a gradient, each with its position."""
    return [(i, t) for i, t in enumerate(inputs) if isinstance(t, Tensor) and t.requires_grad]


def is_inexact(t: Any) -> bool:
    return isinstance(t, Tensor) and (t.is_floating_point() or t.is_complex())


# By finite differences.


def _central_difference(check: Check, entry: Tensor, step: Any, length: float, where: str) -> list[Tensor]:
    """``(f(x + step) - f(x - step)) / (2 length)`` for each output; ``entry`` is the part of an input that is changed."""
    original = entry.clone()
    entry.copy_(original - step)
    below = [out.clone() for out in check.call()]
    entry.copy_(original + step)
    above = [out.clone() for out in check.call()]
    entry.copy_(original)
    for a, b in zip(below, above):
        for what in ("shape", "dtype"):
            if getattr(a, what) != getattr(b, what):
                raise AssertionError(
                    f"Expected `func` to return outputs with the same {what} when inputs are perturbed {where}by {check.eps}, "
                    f"but got: {what}s {getattr(a, what)} and {getattr(b, what)}."
                )
    return [((b - a) / (2 * length)).detach().reshape(-1) for a, b in zip(below, above)]


def numerical_derivative(check: Check, t: Tensor, entry: Tensor, step: Any, where: str = "") -> list[Tensor]:
    """The derivative of each output along ``step``; along a pair of steps, real and imaginary, for a complex input."""
    real, imag = step if isinstance(step, tuple) else (step, step)
    along = _central_difference(check, entry, real, check.eps, where)
    if not t.is_complex():
        return along
    return [x + y * 1j for x, y in zip(along, _central_difference(check, entry, imag * 1j, check.eps, where))]


def numerical_jacobian(check: Check, t: Tensor, outputs: tuple) -> tuple[Tensor, ...]:
    """For each differentiable kind of output the matrix of its derivatives, a row for each element of ``t``."""
    import torchlike as torch

    data = t.data  # writes to it are hidden from the tape
    rows: list[list[Tensor]] = []
    for index in itertools.product(*[range(n) for n in t.shape]):
        rows.append(numerical_derivative(check, t, data[index], check.eps, f"on index {index} "))
    result = []
    for k, out in enumerate(outputs):
        if is_inexact(out):
            dtype = t.dtype if t.is_complex() else out.dtype
            columns = [row[k].to(dtype) for row in rows]
            result.append(torch.stack(columns) if columns else torch.zeros((0, out.numel()), dtype=dtype))
    return tuple(result)


def get_numerical_jacobian_wrt_specific_input(
    fn: Callable, input_idx: int, inputs: tuple, outputs: tuple, eps: float, input: Any = None, is_forward_ad: bool = False
) -> tuple[Tensor, ...]:  # fmt: skip
    """The Jacobian of ``fn`` with respect to one input, by finite differences: for each output a matrix, with a row for each
    element of the input."""
    t = inputs[input_idx] if input is None else input
    if not t.requires_grad:
        raise AssertionError("Expected input to have requires_grad=True")
    return numerical_jacobian(Check(fn, as_tuple(inputs), eps=eps, forward=is_forward_ad), t, outputs)


def get_numerical_jacobian(
    fn: Callable, inputs: Any, target: Any = None, eps: float = 1e-3, grad_out: float = 1.0
) -> tuple[Tensor, ...]:
    """Deprecated: the Jacobian of the first output of ``fn(inputs)`` by finite differences."""
    warnings.warn(_PRIVATE.format("get_numerical_jacobian"), FutureWarning, stacklevel=2)
    if grad_out != 1.0:
        raise ValueError(
            "Expected grad_out to be 1.0. get_numerical_jacobian no longer supports values of grad_out != 1.0."
        )
    check = Check(lambda *points: fn(points), as_tuple(inputs), eps=eps)
    outputs = check.call()
    if any(o.is_complex() for o in outputs):
        raise ValueError(
            "Expected output to be non-complex. get_numerical_jacobian no longer supports functions that return complex outputs."
        )
    targets = check.inputs if target is None else as_tuple(target)
    return tuple(numerical_jacobian(check, t, outputs)[0] for _, t in leaves_of(targets))


# By backward.


def _gradient_of(output: Tensor, inputs: tuple) -> Callable[[Tensor], tuple]:
    from torchlike import autograd

    leaves = [t for _, t in leaves_of(inputs)]
    return lambda g: autograd.grad(output, leaves, g, retain_graph=True, allow_unused=True)


def _columns(output: Tensor, inputs: tuple, vector: Tensor | None) -> list[list[Any]]:
    """For each input its gradients from each element of the output, or from the one gradient ``vector``."""
    import torchlike as torch

    gradient = _gradient_of(output, inputs)
    if vector is not None:
        given = [vector.reshape(output.shape)]
    else:
        given = []
        for j in range(output.numel()):
            unit = torch.zeros(output.numel(), dtype=output.dtype, device=output.device)
            unit[j] = 1.0
            given.append(unit.reshape(output.shape))
    results = [gradient(g) for g in given]
    return [list(column) for column in zip(*results)] if results else [[] for _ in leaves_of(inputs)]


def _stacked(columns: list[list[Any]], inputs: tuple, width: int) -> tuple[list[Tensor], bool, bool]:
    """Each input's gradients as the columns of a matrix, and whether their sizes and their dtypes are the input's."""
    import torchlike as torch

    matrices, sizes_ok, dtypes_ok = [], True, True
    for (_, t), grads in zip(leaves_of(inputs), columns):
        made = []
        for g in grads:
            if g is None:
                made.append(torch.zeros(t.numel(), dtype=t.dtype, device=t.device))
                continue
            sizes_ok = sizes_ok and g.size() == t.size()
            dtypes_ok = dtypes_ok and (g.size() != t.size() or g.dtype == t.dtype)
            if g.numel() != t.numel():
                raise AssertionError(f"Expected out_jacobian column to have {g.numel()} elements, but got {t.numel()}")
            made.append(g.reshape(-1).to(t.dtype))
        matrices.append(torch.stack(made, dim=1) if made else torch.zeros((t.numel(), width), dtype=t.dtype))
    return matrices, sizes_ok, dtypes_ok


def analytical_jacobians(check: Check, output: Tensor, vector: Tensor | None = None) -> list[Tensor]:
    """For each input the matrix of derivatives of the output, a column for each element of it; computed twice."""
    width = 1 if vector is not None else output.numel()
    first, sizes_ok, dtypes_ok = _stacked(_columns(output, check.inputs, vector), check.inputs, width)
    second, _, _ = _stacked(_columns(output, check.inputs, vector), check.inputs, width)
    if not dtypes_ok and check.check_grad_dtypes:
        raise GradcheckError("Gradient has dtype mismatch")
    if not sizes_ok:
        raise GradcheckError("Analytical gradient has incorrect size")
    if any(a.numel() and (a - b).abs().max() > check.nondet_tol for a, b in zip(first, second)):
        raise GradcheckError(
            "Backward is not reentrant, i.e., running backward with same input and grad_output multiple times gives different "
            f"values, although analytical gradient matches numerical gradient.The tolerance for nondeterminism was "
            f"{check.nondet_tol}." + FAILED_NONDET_MSG
        )
    return first


def get_analytical_jacobian(
    inputs: Any, output: Tensor, nondet_tol: float = 0.0, grad_out: float = 1.0
) -> tuple[tuple[Tensor, ...], bool, bool, bool]:
    """Deprecated: the Jacobian of ``output`` by ``backward``, and whether it came out the same twice, in the right sizes and
    the right dtypes."""
    warnings.warn(_PRIVATE.format("get_analytical_jacobian"), FutureWarning, stacklevel=2)
    if grad_out != 1.0:
        raise ValueError(
            "Expected grad_out to be 1.0. get_analytical_jacobian no longer supports values of grad_out != 1.0."
        )
    if output.is_complex():
        raise ValueError(
            "Expected output to be non-complex. get_analytical_jacobian no longer supports functions that return complex outputs."
        )
    inputs = as_tuple(inputs)
    first, sizes_ok, dtypes_ok = _stacked(_columns(output, inputs, None), inputs, output.numel())
    second, _, _ = _stacked(_columns(output, inputs, None), inputs, output.numel())
    reentrant = all(not a.numel() or bool((a - b).abs().max() <= nondet_tol) for a, b in zip(first, second))
    return tuple(first), reentrant, sizes_ok, dtypes_ok


# By forward mode.


def forward_derivatives(check: Check, tangents: Sequence[Any]) -> list[Tensor]:
    """The tangents of the inexact outputs where each input that requires a gradient has the given tangent (None: zeros)."""
    import torchlike as torch

    with forward_ad.dual_level():
        points = list(check.inputs)
        for (i, t), tangent in zip(leaves_of(check.inputs), tangents):
            points[i] = forward_ad.make_dual(t.detach(), torch.zeros_like(t) if tangent is None else tangent)
        results = []
        for out in as_tuple(check.func(*points)):
            if not is_inexact(out):
                continue
            primal, tangent = forward_ad.unpack_dual(out)
            if tangent is not None and check.check_grad_dtypes and primal.is_complex() != tangent.is_complex():
                raise GradcheckError("Forward AD gradient has dtype mismatch.")
            results.append((torch.zeros_like(primal) if tangent is None else tangent).detach().reshape(-1))
    return results


def forward_jacobians(check: Check, vectors: Sequence[Tensor] | None = None) -> list[list[Tensor]]:
    """For each input, for each output the matrix of derivatives, or its product with the input's vector."""
    import torchlike as torch

    leaves = leaves_of(check.inputs)
    if any(t.is_complex() for _, t in leaves):
        raise ValueError("Expected inputs to be non-complex for _get_analytical_jacobian_forward_ad.")
    result = []
    for k, (_, t) in enumerate(leaves):
        if vectors is not None:
            directions = [vectors[k].reshape(t.shape)]
        else:
            directions = [row.reshape(t.shape) for row in torch.eye(t.numel(), dtype=t.dtype)]
        rows = [forward_derivatives(check, [d if j == k else None for j in range(len(leaves))]) for d in directions]
        by_output = zip(*rows)
        result.append([c[0] if vectors is not None else torch.stack(list(c)) for c in by_output])
    return result
