"""QR, and orthogonal matrices as products of Householder's reflectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from jax import lax
from jax import numpy as jnp

from torchlike._engine.trace import threads
from torchlike._ops.bodies import constant, kind, type_name_of
from torchlike._ops.factorizations import solve_triangle
from torchlike._ops.linalg_common import (
    adjoint,
    check_floating,
    check_kernel,
    check_matrix,
    deliver,
    diagonal,
    identity,
    is_empty,
    refusing_gradient,
    require_tensor,
    times,
    transposed,
    triangle,
    with_diagonal,
    with_gradient,
)
from torchlike._ops.op import Array, composite, op
from torchlike._tensor.tensor import Tensor
from torchlike.return_types import named

# QR: A = Q R.


def _qr_square(q: Any, r: Any, gq: Any, gr: Any) -> Any:
    """The gradient for matrices with no more columns than rows: ``(gQ + Q M) R^-H`` with a Hermitian M."""
    inner = triangle(lax.sub(times(gr, adjoint(r)), times(adjoint(q), gq)), False)
    inner = lax.add(inner, adjoint(inner))
    inner = with_diagonal(inner, lax.mul(diagonal(inner), constant(inner, 0.5)))
    return solve_triangle(r, lax.add(gq, times(q, inner)), False, left=False, adjoint_a=True)


def _qr_gradient(factors: Any, gs: Any) -> tuple:
    (q, r), (gq, gr) = factors, gs
    rows, columns = q.shape[-2], r.shape[-1]
    if columns <= rows:
        return (_qr_square(q, r, gq, gr),)
    # A = Q [U V]: the columns of V are Q^H of A's last ones.
    first, last = _columns(r, 0, rows), _columns(r, rows, columns)
    g_first, g_last = _columns(gr, 0, rows), _columns(gr, rows, columns)
    gq = lax.add(gq, times(times(q, last), adjoint(g_last)))
    return (lax.concatenate([_qr_square(q, first, gq, g_first), times(q, g_last)], q.ndim - 1),)


def _columns(x: Any, start: int, stop: int) -> Any:
    return lax.slice_in_dim(x, start, stop, 1, x.ndim - 1)


def _thin_qr(x: Any) -> tuple:
    return tuple(lax.linalg.qr(x, full_matrices=False))


_differentiable_qr = with_gradient(_thin_qr, lambda xs, factors: factors, _qr_gradient)

_WITHOUT_Q = (
    "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please use linalg.qr(A, mode='reduced') if "
    "you are going to differentiate through linalg.qr."
)
_COMPLETE = "The QR decomposition is not differentiable when mode='complete' and nrows > ncols."


def _empty_qr(x: Any, mode: str) -> tuple:
    rows, columns = x.shape[-2:]
    k = rows if mode == "complete" else min(rows, columns)
    q = (
        identity(lax.full((*x.shape[:-2], rows, rows), 0, x.dtype))
        if k == rows
        else lax.full((*x.shape[:-2], rows, k), 0, x.dtype)
    )
    return q, lax.full((*x.shape[:-2], k, columns), 0, x.dtype)


def _complete_qr(x: Any) -> tuple:
    return tuple(lax.linalg.qr(x, full_matrices=True))


@op(name="linalg_qr", namespaces=("_private",))
def _qr(A: Array, mode):
    """Q and R."""
    check_matrix(A, "linalg.qr")
    check_floating(A, "linalg.qr")
    check_kernel(A, "geqrf_cpu")
    if is_empty(A):
        q, r = _empty_qr(A, mode)
    elif mode == "complete" and A.shape[-2] > A.shape[-1]:
        return refusing_gradient(_complete_qr, _COMPLETE)(A)
    elif mode == "r":
        q, r = refusing_gradient(_thin_qr, _WITHOUT_Q)(A)
    else:
        q, r = _differentiable_qr(A)
    return (lax.full((0,), 0, A.dtype), r) if mode == "r" else (q, r)


@composite(namespaces=("linalg",), name="qr")
def linalg_qr(A, mode="reduced", *, out=None):
    """``A = Q R`` with orthonormal columns in Q and an upper triangular R; ``mode`` is reduced, complete, or r (R alone)."""
    require_tensor(A, "linalg_qr", "A", 1)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'"
        )
    return deliver(named("linalg_qr", ("Q", "R"))(_qr(A, mode)), out)


@composite()
def qr(input, some=True, *, out=None):
    """``A = Q R``; :func:`torch.linalg.qr` is its successor."""
    require_tensor(input, "qr", "input", 1)
    return deliver(named("qr", ("Q", "R"))(_qr(input, "reduced" if some else "complete")), out)


# Householder's form of QR.


def _compact_qr(x: Any) -> tuple:
    transposed_factors, scales = jnp.linalg.qr(x, mode="raw")
    return transposed(transposed_factors), scales


def _refuse_complex_history(input: Any) -> None:
    if isinstance(input, Tensor) and input.is_complex() and input.requires_grad and threads.grad_enabled:
        raise RuntimeError("geqrf does not support automatic differentiation for outputs with complex dtype.")


@op(returns=("geqrf", ("a", "tau")), check=lambda input: _refuse_complex_history(input))
def geqrf(input, *, out=None):
    """QR in LAPACK's compact form: R above the reflectors, and the reflectors' scales ``tau``."""
    if input.ndim < 2:
        raise RuntimeError("torch.geqrf: input must have at least 2 dimensions.")
    check_kernel(input, "geqrf_cpu")
    if is_empty(input):
        return input, lax.full((*input.shape[:-2], min(input.shape[-2:])), 0, input.dtype)
    return refusing_gradient(_compact_qr, "derivative for geqrf is not implemented")(input)


def _reflectors(a: Any, count: int) -> Any:
    """The reflectors' vectors in the columns: one on the diagonal, zeros above."""
    low = triangle(lax.slice_in_dim(a, 0, count, 1, a.ndim - 1), True, -1)
    return lax.add(low, np.broadcast_to(np.eye(a.shape[-2], count, dtype=a.dtype), low.shape))


def _reflected(a: Any, tau: Any, x: Any, turn: bool, conjugate: bool) -> Any:
    """The reflectors applied to ``x`` from the left: the last first, or with ``turn`` the first first."""
    count = tau.shape[-1]
    vectors = _reflectors(a, count)
    if conjugate and kind(tau) == "c":
        tau = lax.conj(tau)
    n = x.ndim - 2
    columns = lax.transpose(vectors, (n + 1, *range(n + 1)))
    scales = lax.transpose(tau, (n, *range(n)))

    def apply(x: Any, step: Any) -> tuple:
        v, t = step
        column = lax.expand_dims(v, (n + 1,))
        row = times(adjoint(column), x)
        scaled = lax.mul(row, lax.broadcast_in_dim(t, row.shape, tuple(range(n))))
        return lax.sub(x, times(column, scaled)), None

    return lax.scan(apply, x, (columns, scales), reverse=not turn)[0]


def _product_of_reflectors(a: Any, tau: Any) -> Any:
    eye = np.broadcast_to(np.eye(a.shape[-2], a.shape[-1], dtype=a.dtype), a.shape)
    return _reflected(a, tau, lax.convert_element_type(eye, a.dtype), False, False)


def _check_reflectors(a: Any, tau: Any, function: str) -> None:
    if a.ndim < 2:
        raise RuntimeError(f"{function}: input must have at least 2 dimensions.")
    if a.shape[-2] < a.shape[-1]:
        raise RuntimeError(f"{function}: input.shape[-2] must be greater than or equal to input.shape[-1]")
    if a.shape[-1] < tau.shape[-1]:
        raise RuntimeError(f"{function}: input.shape[-1] must be greater than or equal to tau.shape[-1]")
    if a.ndim - tau.ndim != 1:
        raise RuntimeError(
            f"{function}: Expected tau to have one dimension less than input, but got tau.ndim equal to {tau.ndim} and "
            f"input.ndim is equal to {a.ndim}"
        )
    if a.ndim > 2 and a.shape[:-2] != tau.shape[:-1]:
        raise RuntimeError(
            f"{function}: Expected batch dimensions of tau to be equal to input.shape[:-2], but got {list(tau.shape[:-1])}"
        )
    if a.dtype != tau.dtype:
        raise RuntimeError(f"{function}: tau dtype {type_name_of(tau)} does not match input dtype {type_name_of(a)}")


@op(name="linalg_householder_product", namespaces=("_private",))
def _householder_product(A: Array, tau: Array):
    """The product of reflectors."""
    _check_reflectors(A, tau, "torch.linalg.householder_product")
    check_kernel(A, "orgqr_cpu")
    if is_empty(A, tau):
        return lax.convert_element_type(np.broadcast_to(np.eye(*A.shape[-2:]), A.shape), A.dtype)
    return _product_of_reflectors(A, tau)


@composite(namespaces=("linalg",))
def householder_product(A, tau, *, out=None):
    """The first columns of the product of the reflectors that :func:`torch.geqrf` left below the diagonal."""
    require_tensor(A, "linalg_householder_product", "A", 1)
    return deliver(_householder_product(A, tau), out)


@composite()
def orgqr(input, tau, *, out=None):
    """Another name of :func:`torch.linalg.householder_product`."""
    return householder_product(input, tau, out=out)


@op()
def ormqr(input, tau: Array, other, left=True, transpose=False, *, out=None):
    """``other`` times the full Q of :func:`torch.geqrf`'s compact form: from the left or the right, Q or its adjoint."""
    if input.ndim < 2 or other.ndim < 2:
        name = "input" if input.ndim < 2 else "other"
        raise RuntimeError(f"torch.ormqr: {name} must have at least 2 dimensions.")
    side = other.shape[-2 if left else -1]
    if tau.shape[-1] > input.shape[-1]:
        raise RuntimeError("torch.ormqr: tau.shape[-1] must be less than or equal to input.shape[-1]")
    which = "-2" if left else "-1"
    if side < tau.shape[-1]:
        raise RuntimeError(f"torch.ormqr: other.shape[{which}] must be greater than or equal to tau.shape[-1]")
    if side != input.shape[-2]:
        raise RuntimeError(f"torch.ormqr: other.shape[{which}] must be equal to input.shape[-2]")
    check_kernel(input, "ormqr_cpu")
    if is_empty(other, tau):
        return other
    if left:
        return _reflected(input, tau, other, transpose, transpose)
    return adjoint(_reflected(input, tau, adjoint(other), not transpose, not transpose))
