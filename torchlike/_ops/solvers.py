"""Linear equations: solutions, inverses and determinants."""

from __future__ import annotations

from typing import Any

import numpy as np
from jax import lax

from torchlike._ops.bodies import choose, constant, kind, type_name_of
from torchlike._ops.factorizations import inverted, lu_with_info, permutation, solve_triangle, take_rows
from torchlike._ops.linalg_common import (
    INT32,
    LinAlgError,
    adjoint,
    check_equation,
    check_floating,
    check_kernel,
    check_matrix,
    check_same,
    check_square,
    common_stack,
    conjugated,
    deliver,
    diagonal,
    eps,
    first_failure,
    identity,
    is_empty,
    real_dtype,
    require_tensor,
    spread_stack,
    times,
    transposed,
    with_diagonal,
    with_gradient,
)
from torchlike._ops.op import Array, composite, exports, op
from torchlike._tensor.tensor import Tensor
from torchlike.return_types import named

# Solutions from LU's compact form.


def solve_factored(factors: Any, order: Any, b: Any, turned: bool = False) -> Any:
    """The solution of ``A x = b``, or of ``A^H x = b``, for A given as LU and the permutation of its rows."""
    if is_empty(factors, b):
        return lax.full_like(b, 0)
    if not turned:
        half = solve_triangle(factors, take_rows(b, order), True, unit=True)
        return solve_triangle(factors, half, False)
    half = solve_triangle(factors, b, False, adjoint_a=True)
    return take_rows(solve_triangle(factors, half, True, adjoint_a=True, unit=True), inverted(order))


def _solution_gradient(kept: Any, gs: Any) -> tuple:
    factors, order, x = kept
    gb = solve_factored(factors, order, gs[0], turned=True)
    return lax.neg(times(gb, adjoint(x))), gb


def _solve_with_code(a: Any, b: Any) -> tuple:
    factors, _, order, info = lu_with_info(a)
    return solve_factored(factors, order, b), info


def _solver() -> Any:
    def compute(a: Any, b: Any) -> tuple:
        factors, _, order, _ = lu_with_info(a)
        return (solve_factored(factors, order, b),)

    def keep(xs: Any, results: Any) -> tuple:
        factors, _, order, _ = lu_with_info(xs[0])
        return factors, order, results[0]

    return with_gradient(compute, keep, _solution_gradient)


_differentiable = _solver()


def solve(a: Any, b: Any) -> Any:
    """The solution of ``a x = b`` for stacks of matrices of one shape."""
    return _differentiable(a, b)[0]


def _code_of(a: Any) -> Any:
    """LAPACK's code for the LU factorization of ``a``."""
    return lu_with_info(lax.stop_gradient(a))[3]


def _is_vector(a: Any, b: Any) -> bool:
    """Whether ``b`` is a stack of vectors rather than of matrices."""
    return b.ndim == 1 or (a.ndim - 1 == b.ndim and tuple(b.shape) == tuple(a.shape[:-1]))


@op(name="linalg_solve_ex", namespaces=("_private",))
def _solve_ex(A: Array, B: Array, left):
    """The solution and LAPACK's codes."""
    function = "linalg.solve"
    check_floating(A, function)
    check_same(A, B, function)
    check_matrix(A, function)
    vector = _is_vector(A, B)
    if not vector:
        check_matrix(B, function, "B")
    check_square(A, function)
    b = lax.expand_dims(B, (B.ndim,)) if vector else B
    check_equation(A, b, left, function)
    check_kernel(A, "lu_cpu")
    if vector and not left:
        raise RuntimeError(
            "linalg.solve: Vector broadcasting of the left hand side is not supported for left=False. In this case linalg.solve "
            "is equivalent to B / A.squeeze(-1)"
        )
    lead = common_stack(A, b)
    info = _code_of(A)
    a, b = spread_stack(A, lead), spread_stack(b, lead)
    if is_empty(a, b):
        return (lax.squeeze(b, (b.ndim - 1,)) if vector else b), info
    x = solve(a, b) if left else transposed(solve(transposed(a), transposed(b)))
    return (lax.squeeze(x, (x.ndim - 1,)) if vector else x), info


def _refuse_singular_system(info: Tensor, function: str) -> None:
    failure = first_failure(info)
    if failure:
        raise LinAlgError(f"torch.{function}: {failure[0]}The solver failed because the input matrix is singular.")


@composite(namespaces=("linalg",))
def solve_ex(A, B, *, left=True, check_errors=False, out=None):
    """The solution of ``A X = B`` and ``info``, which is not zero where A is singular."""
    require_tensor(A, "linalg_solve_ex", "A", 1)
    result = named("linalg_solve_ex", ("result", "info"))(_solve_ex(A, B, bool(left)))
    if check_errors:
        _refuse_singular_system(result[1], "linalg.solve_ex")
    return deliver(result, out)


@composite(namespaces=("linalg",), name="solve")
def linalg_solve(A, B, *, left=True, out=None):
    """The solution of ``A X = B``, or of ``X A = B``; :class:`torch.linalg.LinAlgError` where A is singular."""
    require_tensor(A, "linalg_solve", "A", 1)
    require_tensor(B, "linalg_solve", "B", 2)
    x, info = _solve_ex(A, B, bool(left))
    _refuse_singular_system(info, "linalg.solve")
    return deliver(x, out)


# Triangular systems.


@op(name="linalg_solve_triangular", namespaces=("_private",))
def _solve_triangular(A: Array, B: Array, upper, left, unit):
    """The solution of a triangular system."""
    function = "linalg.solve_triangular"
    check_matrix(A, function)
    check_matrix(B, function, "B")
    check_square(A, function)
    check_equation(A, B, left, function)
    lead = common_stack(A, B)
    check_kernel(A, "triangular_solve_cpu")
    b = B if B.dtype == A.dtype else lax.convert_element_type(B, A.dtype)
    return solve_triangle(spread_stack(A, lead), spread_stack(b, lead), not upper, left=left, unit=unit)


@composite(namespaces=("linalg",))
def solve_triangular(A, B, *, upper, left=True, unitriangular=False, out=None):
    """The solution of ``A X = B``, or of ``X A = B``, for triangular matrices A."""
    require_tensor(A, "linalg_solve_triangular", "A", 1)
    require_tensor(B, "linalg_solve_triangular", "B", 2)
    return deliver(_solve_triangular(A, B, bool(upper), bool(left), bool(unitriangular)), out)


@op(name="_triangular_solve", namespaces=("_private",), node="TriangularSolveBackward0")
def _triangular_solve(b: Array, A: Array, upper, transpose, unit):
    """The solution, and a copy of the matrices."""
    for x, name in ((b, "b"), (A, "A")):
        if x.ndim < 2:
            raise RuntimeError(f"torch.triangular_solve: Expected {name} to have at least 2 dimensions, but it has {x.ndim} "
                               "dimensions instead")  # fmt: skip
    check_square(A, "")
    if b.shape[-2] != A.shape[-1]:
        raise RuntimeError(
            f"Incompatible matrix sizes for triangular_solve: each A matrix is {A.shape[-1]} by {A.shape[-1]} but each b matrix "
            f"is {b.shape[-2]} by {b.shape[-1]}"
        )
    if A.dtype != b.dtype:
        raise RuntimeError(
            f"Expected b and A to have the same dtype, but found b of type {type_name_of(b)} and A of type {type_name_of(A)} "
            "instead."
        )
    check_kernel(A, "triangular_solve_cpu")
    lead = common_stack(A, b)
    a, right = spread_stack(A, lead), spread_stack(b, lead)
    if transpose:
        a, upper = transposed(a), not upper
    copy = transposed(a) if transpose else a
    return solve_triangle(a, right, not upper, unit=unit), lax.mul(copy, constant(copy, 1))


@composite()
def triangular_solve(b, A, upper=True, transpose=False, unitriangular=False, *, out=None):
    """The solution of ``A X = b`` for triangular A; :func:`torch.linalg.solve_triangular` is its successor."""
    fields = named("triangular_solve", ("solution", "cloned_coefficient"))
    return deliver(fields(_triangular_solve(b, A, bool(upper), bool(transpose), bool(unitriangular))), out)


# Systems whose factors are given.


@op(name="linalg_lu_solve", namespaces=("_private",))
def _lu_solve(LU: Array, pivots: Array, B: Array, left, adjoint_a):
    """The solution from LU's compact form."""
    function = "linalg.lu_solve"
    check_floating(LU, function)
    if pivots.dtype != INT32:
        raise RuntimeError("linalg.lu_solve: pivots should be a Tensor of scalar type torch.int32")
    check_same(LU, B, function, ("LU", "B"))
    check_square(LU, "torch.linalg.lu_solve", "LU")
    check_matrix(B, function, "B")
    check_equation(LU, B, left, function)
    if pivots.shape[-1:] != LU.shape[-1:]:
        raise RuntimeError(f"{function}: Number of pivots per batch should be same as the dimension of the matrix")
    if pivots.shape[:-1] != LU.shape[:-2]:
        raise RuntimeError(
            f"linalg.lu_solve: Expected LU.shape[:-1] and pivots.shape to be the same, but got pivots with shape "
            f"{list(pivots.shape)} instead"
        )
    lead = common_stack(LU, B)
    factors, b = spread_stack(LU, lead), spread_stack(B, lead)
    if is_empty(factors, b):
        return b
    order = permutation(spread_stack(pivots, lead, 1), LU.shape[-1])
    if left:
        return solve_factored(factors, order, b, turned=adjoint_a)
    return adjoint(solve_factored(factors, order, adjoint(b), turned=not adjoint_a))


@composite(namespaces=("linalg",), name="lu_solve")
def linalg_lu_solve(LU, pivots, B, *, left=True, adjoint=False, out=None):
    """The solution of ``A X = B`` (``X A = B``, ``A^H X = B``) for A in LU's compact form."""
    require_tensor(LU, "linalg_lu_solve", "LU", 1)
    return deliver(_lu_solve(LU, pivots, B, bool(left), bool(adjoint)), out)


@composite()
def lu_solve(b, LU_data, LU_pivots, *, out=None):
    """The solution of ``A X = b`` for A in LU's compact form; :func:`torch.linalg.lu_solve` is its successor."""
    return linalg_lu_solve(LU_data, LU_pivots, b, out=out)


def _solve_by_cholesky(upper: bool) -> Any:
    def compute(b: Any, factor: Any) -> Any:
        half = solve_triangle(factor, b, not upper, adjoint_a=upper)
        return solve_triangle(factor, half, not upper, adjoint_a=not upper)

    def gradient(kept: Any, g: Any) -> tuple:
        factor, x = kept
        gb = _solve_by_cholesky(upper)(g, factor)
        common = times(gb, adjoint(x))
        common = lax.add(common, adjoint(common))
        return gb, lax.neg(times(factor, common) if upper else times(common, factor))

    return with_gradient(compute, lambda xs, x: (xs[1], x), gradient)


@op()
def cholesky_solve(B: Array, L: Array, upper=False, *, out=None):
    """The solution of ``A X = B`` for the matrix A of which Cholesky's factor L is given."""
    for x, name in ((B, "b"), (L, "u")):
        if x.ndim < 2:
            raise RuntimeError(f"{name} should have at least 2 dimensions, but has {x.ndim} dimensions instead")
    if L.dtype != B.dtype:
        raise RuntimeError(
            f"Expected b and A to have the same dtype, but found b of type {type_name_of(B)} and A of type {type_name_of(L)} "
            "instead."
        )
    check_square(L, "")
    if B.shape[-2] != L.shape[-1]:
        raise RuntimeError(
            f"Incompatible matrix sizes for cholesky_solve: each A matrix is {L.shape[-1]} by {L.shape[-1]} but each b matrix is "
            f"{B.shape[-2]} by {B.shape[-1]}"
        )
    check_kernel(L, "cholesky_solve_cpu")
    lead = common_stack(L, B)
    b, factor = spread_stack(B, lead), spread_stack(L, lead)
    return b if is_empty(b) else _solve_by_cholesky(bool(upper))(b, factor)


# Inverses.


def _inverse_gradient(inverse: Any, g: Any) -> tuple:
    turned = adjoint(inverse)
    return (lax.neg(times(times(turned, g), turned)),)


def _invert(x: Any) -> Any:
    factors, _, order, _ = lu_with_info(x)
    return solve_factored(factors, order, identity(x))


_inverse = with_gradient(_invert, lambda xs, inverse: inverse, _inverse_gradient)


@op(name="linalg_inv_ex", namespaces=("_private",))
def _inv_ex(A: Array):
    """The inverses and LAPACK's codes."""
    check_square(A, "linalg.inv")
    check_floating(A, "linalg.inv", low_precision=False)
    if is_empty(A):
        return A, lax.full(A.shape[:-2], 0, INT32)
    return _inverse(A), _code_of(A)


def _refuse_singular(info: Tensor, function: str) -> None:
    failure = first_failure(info)
    if failure:
        raise LinAlgError(
            f"{function}: {failure[0]}The diagonal element {failure[1]} is zero, the inversion could not be completed because "
            "the input matrix is singular."
        )


@composite(namespaces=("linalg",))
def inv_ex(A, *, check_errors=False, out=None):
    """The inverse, and ``info``, which is not zero where there is none."""
    require_tensor(A, "linalg_inv_ex", "A", 1)
    result = named("linalg_inv_ex", ("inverse", "info"))(_inv_ex(A))
    if check_errors:
        _refuse_singular(result[1], "linalg.inv_ex")
    return deliver(result, out)


@composite(namespaces=("linalg",))
def inv(A, *, out=None):
    """The inverse; :class:`torch.linalg.LinAlgError` where there is none."""
    require_tensor(A, "linalg_inv", "A", 1)
    inverse, info = _inv_ex(A)
    _refuse_singular(info, "linalg.inv")
    return deliver(inverse, out)


@composite()
def inverse(input, *, out=None):
    """Another name of :func:`torch.linalg.inv`."""
    require_tensor(input, "inverse", "input", 1)
    return inv(input, out=out)


# Determinants.


def _signs(pivots: Any, dtype: Any) -> Any:
    """1 or -1 as LAPACK's pivots amount to an even or odd number of swaps."""
    own = lax.add(lax.broadcasted_iota(INT32, pivots.shape, pivots.ndim - 1), np.int32(1))
    swaps = lax.reduce_sum(lax.convert_element_type(lax.ne(pivots, own), INT32), (pivots.ndim - 1,))
    odd = lax.eq(lax.rem(swaps, np.int32(2)), np.int32(1))
    return (
        choose(odd, np.asarray(-1, dtype), np.asarray(1, dtype))
        if odd.ndim == 0
        else lax.select(odd, lax.full(odd.shape, -1, dtype), lax.full(odd.shape, 1, dtype))
    )


def _diagonal_system(factors: Any, order: Any, values: Any) -> Any:
    """The solution of ``A^H x = diag(values)``."""
    shape = factors.shape
    right = with_diagonal(
        lax.full(shape, 0, factors.dtype), lax.broadcast_in_dim(values, shape[:-1], tuple(range(len(shape) - 2)))
    )
    return solve_factored(factors, order, right, turned=True)


def _det_gradient(kept: Any, g: Any) -> tuple:
    a, det = kept
    factors, _, order, _ = lu_with_info(a)
    # det is differentiable at singular matrices too: the limit is taken from a close regular one.
    pivots = diagonal(factors)
    tiny = np.asarray(eps(factors.dtype), factors.dtype)
    factors = with_diagonal(factors, choose(lax.eq(pivots, constant(pivots, 0)), tiny, pivots))
    return (_diagonal_system(factors, order, lax.mul(g, conjugated(det))),)


def _determinant(x: Any) -> Any:
    factors, pivots, _, _ = lu_with_info(x)
    values = diagonal(factors)
    return lax.mul(lax.reduce_prod(values, (values.ndim - 1,)), _signs(pivots, x.dtype))


_det_of = with_gradient(_determinant, lambda xs, det: (xs[0], det), _det_gradient)


@op(name="linalg_det", namespaces=("_private",))
def _det(A: Array):
    """The determinant."""
    check_square(A, "linalg.det")
    check_floating(A, "linalg.det")
    check_kernel(A, "lu_cpu")
    return lax.full(A.shape[:-2], 1, A.dtype) if is_empty(A) else _det_of(A)


@composite(namespaces=("linalg",))
def det(A, *, out=None):
    """The determinants of square matrices."""
    return deliver(_det(A), out)


@composite(name="det")
def _torch_det(input):
    """The determinants of square matrices; :func:`torch.linalg.det`."""
    return _det(input)


def _slogdet_gradient(kept: Any, gs: Any) -> tuple:
    (a, sign), (g_sign, g_log) = kept, gs
    factors, _, order, _ = lu_with_info(a)
    values = g_log
    if kind(a) == "c":
        turn = lax.imag(lax.mul(lax.conj(g_sign), sign))
        values = lax.complex(g_log, lax.neg(turn))
    return (_diagonal_system(factors, order, values),)


def _sign_and_log(x: Any) -> tuple:
    factors, pivots, _, _ = lu_with_info(x)
    values = diagonal(factors)
    size = lax.abs(values)
    log = lax.reduce_sum(lax.log(size), (size.ndim - 1,))
    if kind(x) == "c":
        zero = lax.eq(size, constant(size, 0))
        safe = choose(zero, constant(size, 1), size)
        directions = choose(zero, constant(values, 0), lax.div(values, lax.complex(safe, lax.full_like(safe, 0))))
    else:
        directions = lax.sign(values)
    return lax.mul(lax.reduce_prod(directions, (size.ndim - 1,)), _signs(pivots, x.dtype)), log


_slogdet_of = with_gradient(_sign_and_log, lambda xs, results: (xs[0], results[0]), _slogdet_gradient)


@op(name="linalg_slogdet", namespaces=("_private",))
def _slogdet(A: Array, function):
    """The sign and the logarithm of the modulus of the determinant."""
    check_square(A, function)
    check_floating(A, function, low_precision=False)
    if is_empty(A):
        return lax.full(A.shape[:-2], 1, A.dtype), lax.full(A.shape[:-2], 0, real_dtype(A.dtype))
    return _slogdet_of(A)


@composite(namespaces=("linalg",))
def slogdet(A, *, out=None):
    """The sign of the determinant (a number of modulus one for complex matrices) and the logarithm of its modulus."""
    require_tensor(A, "linalg_slogdet", "A", 1)
    return deliver(named("linalg_slogdet", ("sign", "logabsdet"))(_slogdet(A, "linalg.slogdet")), out)


@composite(name="slogdet")
def _torch_slogdet(input, *, out=None):
    """The sign of the determinant and the logarithm of its modulus; :func:`torch.linalg.slogdet`."""
    require_tensor(input, "slogdet", "input", 1)
    return deliver(named("slogdet", ("sign", "logabsdet"))(_slogdet(input, "linalg.slogdet")), out)


@composite()
def logdet(input):
    """The logarithm of the determinant, NaN where that is negative."""
    require_tensor(input, "logdet", "input", 1)
    sign, log = _slogdet(input, "logdet")
    if input.is_complex():
        return log + sign.log()
    return exports("torch")["where"](sign == -1, float("nan"), log)
