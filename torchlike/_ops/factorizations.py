"""Factorizations of matrices: Cholesky, LU, LDL, and their parts put together again."""

from __future__ import annotations

from typing import Any

import numpy as np
from jax import lax

from torchlike._ops.bodies import choose, constant, kind, positions, spread, type_name_of
from torchlike._ops.linalg_common import (
    INT32,
    LinAlgError,
    adjoint,
    check_floating,
    check_kernel,
    check_square,
    deliver,
    diagonal,
    first_failure,
    identity,
    is_empty,
    real_part,
    require_tensor,
    times,
    triangle,
    with_gradient,
)
from torchlike._ops.op import Array, composite, op
from torchlike._tensor.tensor import from_array, host_array
from torchlike.return_types import named


def solve_triangle(a: Any, b: Any, lower: bool, left: bool = True, adjoint_a: bool = False, unit: bool = False) -> Any:
    """The solution of ``a x = b`` (``x a = b``) for triangular matrices, ``a`` or its adjoint."""
    if is_empty(a, b):
        return lax.full_like(b, 0)
    return lax.linalg.triangular_solve(
        a,
        b,
        left_side=left,
        lower=lower,
        transpose_a=adjoint_a,
        conjugate_a=adjoint_a and kind(a) == "c",
        unit_diagonal=unit,
    )


# Cholesky's: A = L L^H.


def _cholesky_with(upper: bool) -> Any:
    turn = adjoint if upper else lambda x: x

    def gradient(factor: Any, g: Any) -> tuple:
        factor, g = turn(factor), turn(g)
        inner = triangle(times(adjoint(factor), g), True)
        inner = lax.mul(lax.add(inner, adjoint(triangle(inner, True, -1))), constant(inner, 0.5))
        half = solve_triangle(factor, inner, True, adjoint_a=True)
        return (solve_triangle(factor, half, True, left=False),)

    def compute(x: Any) -> Any:
        return turn(lax.linalg.cholesky(turn(x), symmetrize_input=False))

    return with_gradient(compute, lambda xs, factor: factor, gradient)


_cholesky = {False: _cholesky_with(False), True: _cholesky_with(True)}


def _factor(x: Any, upper: bool) -> tuple[Any, Any]:
    """Cholesky's factor, and where there is none: NaN stands in its first place there."""
    if is_empty(x):
        return x, lax.full(x.shape[:-2], 0, INT32)
    factor = _cholesky[upper](x)
    corner = real_part(lax.index_in_dim(lax.index_in_dim(factor, 0, -1, False), 0, -1, False))
    failed = lax.convert_element_type(lax.ne(corner, corner), INT32)
    return factor, lax.stop_gradient(failed)


@op(name="linalg_cholesky_ex", namespaces=("_private",))
def _cholesky_ex(A: Array, upper, function):
    """Cholesky's factors and where there are none."""
    check_square(A, function)
    if function != "cholesky":
        check_floating(A, function)
    check_kernel(A, "cholesky_cpu")
    return _factor(A, upper)


@op(name="_cholesky_legacy", namespaces=("_private",), node="CholeskyBackward0")
def _cholesky_legacy(input, upper, function):
    """Cholesky's factors and where there are none."""
    check_square(input, function)
    check_kernel(input, "cholesky_cpu")
    return _factor(input, upper)


def _minor(A: Any, upper: bool, failed: Any) -> Any:
    """The order of the leading minor that is not positive-definite, for each matrix; all zeros where ``failed`` is."""
    flags = host_array(failed)
    if not flags.any():
        return failed
    from scipy.linalg import get_lapack_funcs

    matrices = host_array(A)
    (potrf,) = get_lapack_funcs(("potrf",), dtype=matrices.dtype)
    codes = np.zeros(flags.shape, np.int32)
    for place in np.argwhere(flags):
        factor, code = potrf(matrices[tuple(place)], lower=not upper)
        # Some libraries pass NaN by.
        codes[tuple(place)] = code or 1 + int(np.argmax(np.isnan(np.diagonal(factor))))
    return from_array(codes)


def _refuse_indefinite(info: Any, function: str) -> None:
    failure = first_failure(info)
    if failure:
        raise LinAlgError(
            f"{function}: {failure[0]}The factorization could not be completed because the input is not positive-definite (the "
            f"leading minor of order {failure[1]} is not positive-definite)."
        )


@composite(namespaces=("linalg",), name="cholesky")
def linalg_cholesky(A, *, upper=False, out=None):
    """The lower factor L of Hermitian positive-definite matrices, ``A = L L^H``; or with ``upper`` U, ``A = U^H U``.

    Raises :class:`torch.linalg.LinAlgError` where a matrix is not positive-definite.
    """
    require_tensor(A, "linalg_cholesky", "A", 1)
    factor, failed = _cholesky_ex(A, bool(upper), "linalg.cholesky")
    _refuse_indefinite(_minor(A, upper, failed), "linalg.cholesky")
    return deliver(factor, out)


@composite(namespaces=("linalg",))
def cholesky_ex(A, *, upper=False, check_errors=False, out=None):
    """Cholesky's factor and ``info``: 0, or the order of the leading minor that is not positive-definite."""
    require_tensor(A, "linalg_cholesky_ex", "A", 1)
    factor, failed = _cholesky_ex(A, bool(upper), "linalg.cholesky")
    info = _minor(A, upper, failed)
    if check_errors:
        _refuse_indefinite(info, "linalg.cholesky_ex")
    return deliver(named("linalg_cholesky_ex", ("L", "info"))((factor, info)), out)


@composite()
def cholesky(input, upper=False, *, out=None):
    """Cholesky's factor; :func:`torch.linalg.cholesky` is its successor."""
    require_tensor(input, "cholesky", "input", 1)
    factor, failed = _cholesky_legacy(input, bool(upper), "cholesky")
    _refuse_indefinite(_minor(input, upper, failed), "cholesky")
    return deliver(factor, out)


# LU with partial pivoting: A = P L U.


def permutation(pivots: Any, size: int) -> Any:
    """The permutations of the rows that LAPACK's pivots, counted from one, amount to."""
    return lax.linalg.lu_pivots_to_permutation(lax.sub(pivots, constant(pivots, 1)), size)


def take_rows(x: Any, order: Any) -> Any:
    """The matrices with their rows in another order."""
    lead = tuple(range(x.ndim - 2))
    numbers = lax.GatherDimensionNumbers(
        offset_dims=(x.ndim - 1,), collapsed_slice_dims=(x.ndim - 2,), start_index_map=(x.ndim - 2,),
        operand_batching_dims=lead, start_indices_batching_dims=lead,
    )  # fmt: skip
    sizes = (*[1] * (x.ndim - 1), x.shape[-1])
    return lax.gather(x, lax.expand_dims(order, (order.ndim,)), numbers, sizes, mode="clip")


def inverted(order: Any) -> Any:
    """The inverse permutations."""
    return lax.sort((order, positions(order.shape, order.ndim - 1)), num_keys=1)[1]


def lu_with_info(x: Any) -> tuple[Any, Any, Any, Any]:
    """Both factors in one matrix, LAPACK's pivots, the permutation, and the number of the first zero on U's diagonal."""
    rows = min(x.shape[-2:])
    if is_empty(x):
        lead = x.shape[:-2]
        order = lax.broadcasted_iota(INT32, (*lead, x.shape[-2]), len(lead))
        return x, lax.full((*lead, rows), 1, INT32), order, lax.full(lead, 0, INT32)
    factors, pivots, order = lax.linalg.lu(x)
    pivots, order = lax.stop_gradient((pivots, order))
    zero = lax.eq(diagonal(lax.stop_gradient(factors)), constant(factors, 0))
    numbers = lax.add(lax.broadcasted_iota(INT32, zero.shape, zero.ndim - 1), np.int32(1))
    first = lax.reduce_min(choose(zero, numbers, np.int32(rows + 1)), (zero.ndim - 1,))
    info = choose(lax.gt(first, spread(np.int32(rows), first.shape)), lax.full_like(first, 0), first)
    return factors, lax.add(pivots, spread(np.int32(1), pivots.shape)), order, info


def _check_lu(x: Any, function: str) -> None:
    if x.ndim < 2:
        raise RuntimeError(f"{function}: Expected tensor with 2 or more dimensions. Got size: {list(x.shape)} instead")
    check_kernel(x, "lu_cpu")


@op(name="linalg_lu_factor_ex", namespaces=("_private",))
def _lu_factor_ex(A: Array):
    """Both factors in one matrix, the pivots and the code."""
    _check_lu(A, "torch.lu_factor")
    factors, pivots, _, info = lu_with_info(A)
    return factors, pivots, info


def _require_pivot(pivot: Any) -> None:
    if not pivot:
        raise RuntimeError("linalg.lu_factor: LU without pivoting is not implemented on the CPU")


@composite(namespaces=("linalg",))
def lu_factor_ex(A, *, pivot=True, check_errors=False, out=None):
    """LU in LAPACK's compact form: ``LU``, ``pivots``, and ``info``, the number of the first zero on U's diagonal or 0."""
    require_tensor(A, "linalg_lu_factor_ex", "A", 1)
    _require_pivot(pivot)
    result = _lu_factor_ex(A)
    if check_errors:
        _refuse_singular(result[2], "torch.linalg.lu_factor_ex")
    return deliver(named("linalg_lu_factor_ex", ("LU", "pivots", "info"))(result), out)


def _refuse_singular(info: Any, function: str) -> None:
    failure = first_failure(info)
    if failure:
        raise RuntimeError(
            f"{function}: {failure[0]}U[{failure[1]},{failure[1]}] is zero and using it on lu_solve would result in a division "
            "by zero. If you still want to perform the factorization, consider calling linalg.lu(A, pivot) or "
            "linalg.lu_factor_ex(A, pivot)"
        )


@composite(namespaces=("linalg",))
def lu_factor(A, *, pivot=True, out=None):
    """LU in LAPACK's compact form, ``LU`` and ``pivots``; RuntimeError where U has a zero on its diagonal."""
    require_tensor(A, "linalg_lu_factor", "A", 1)
    _require_pivot(pivot)
    factors, pivots, info = _lu_factor_ex(A)
    _refuse_singular(info, "torch.linalg.lu_factor")
    return deliver(named("linalg_lu_factor", ("LU", "pivots"))((factors, pivots)), out)


@composite(namespaces=("torch",))
def _lu_with_info(input, pivot=True, check_errors=True):
    """LU in LAPACK's compact form with its code; as in native, ``check_errors`` changes nothing."""
    _require_pivot(pivot)
    result = _lu_factor_ex(input)
    return named("_lu_with_info", ("LU", "pivots", "info"))(result)


@composite(name="lu")
def _torch_lu(A, pivot=True, get_infos=False, out=None):
    """LU in LAPACK's compact form, and the codes if asked for; :func:`torch.linalg.lu_factor` is its successor."""
    result = _lu_with_info(A, pivot=pivot, check_errors=not get_infos)
    return deliver(result if get_infos else tuple(result)[:2], out)


def _lower_and_upper(factors: Any) -> tuple[Any, Any]:
    rows, columns = factors.shape[-2:]
    k, zeros = min(rows, columns), [0] * (factors.ndim - 2)
    low = lax.slice(factors, [*zeros, 0, 0], [*factors.shape[:-2], rows, k])
    up = lax.slice(factors, [*zeros, 0, 0], [*factors.shape[:-2], k, columns])
    ones = np.broadcast_to(np.eye(rows, k, dtype=factors.dtype), low.shape)
    return lax.add(triangle(low, True, -1), ones), triangle(up, False)


@op(name="linalg_lu", namespaces=("_private",))
def _lu(A: Array):
    """L, U and the pivots."""
    _check_lu(A, "linalg.lu")
    factors, pivots, _, _ = lu_with_info(A)
    return (*_lower_and_upper(factors), pivots)


@op(name="_permutation_matrix", namespaces=("_private",), nondiff=True)
def _permutation_matrix(input, size, dtype):
    """The matrix P that puts rows back where pivoting took them from."""
    order = permutation(input, size)
    shape = (*order.shape, size)
    column = lax.broadcast_in_dim(order, (*order.shape[:-1], size, size), (*range(order.ndim - 1), order.ndim))
    rows = lax.broadcasted_iota(order.dtype, shape, order.ndim - 1)
    return lax.convert_element_type(lax.eq(rows, column), dtype.np)


@composite(namespaces=("linalg",))
def lu(A, *, pivot=True, out=None):
    """``A = P L U``: a permutation, a unit lower and an upper triangular matrix."""
    require_tensor(A, "linalg_lu", "A", 1)
    _require_pivot(pivot)
    low, up, pivots = _lu(A)
    order = _permutation_matrix(pivots, A._spec.shape[-2], A.dtype)
    return deliver(named("linalg_lu", ("P", "L", "U"))((order, low, up)), out)


@op(name="lu_unpack", namespaces=("_private",))
def _lu_unpack(LU_data: Array):
    """L and U out of one matrix."""
    return _lower_and_upper(LU_data)


@composite(namespaces=("torch",))
def lu_unpack(LU_data, LU_pivots, unpack_data=True, unpack_pivots=True, *, out=None):
    """P, L and U out of LU's compact form; what is not asked for is empty."""
    if LU_pivots.dtype.name != "int32":
        raise RuntimeError(
            "torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype."
            "\nNote: this function is intended to be used with the output produced by torch.linalg.lu_factor"
        )
    if LU_data._spec.ndim < 2:
        raise RuntimeError(
            f"torch.lu_unpack: Expected tensor with 2 or more dimensions. Got size: {list(LU_data.shape)} instead"
        )
    low, up = _lu_unpack(LU_data) if unpack_data else (LU_data.new_empty(0), LU_data.new_empty(0))
    order = LU_data.detach().new_empty(0)
    if unpack_pivots:
        order = _permutation_matrix(LU_pivots, LU_data._spec.shape[-2], LU_data.dtype)
    return deliver(named("lu_unpack", ("P", "L", "U"))((order, low, up)), out)


# The inverse by way of Cholesky's factor.


def _inverse_of_factor(factor: Any, upper: bool) -> Any:
    half = solve_triangle(factor, identity(factor), not upper)
    return times(half, adjoint(half)) if upper else times(adjoint(half), half)


def _cholesky_inverse(factor: Any, upper: bool) -> Any:
    def gradient(saved: Any, g: Any) -> tuple:
        factor, inverse = saved
        common = times(times(inverse, lax.add(g, adjoint(g))), inverse)
        return (lax.neg(times(factor, common) if upper else times(common, factor)),)

    keep = lambda xs, inverse: (xs[0], inverse)  # noqa: E731
    return with_gradient(lambda x: _inverse_of_factor(x, upper), keep, gradient)(factor)


@op(name="_cholesky_inverse", namespaces=("_private",), node="CholeskyInverseBackward0")
def _cholesky_inverse_op(L: Array, upper):
    """The inverse from Cholesky's factor, and the code."""
    check_square(L, "cholesky_inverse")
    check_kernel(L, "cholesky_inverse_out_cpu")
    if is_empty(L):
        return L, lax.full(L.shape[:-2], 0, INT32)
    zero = lax.eq(diagonal(lax.stop_gradient(L)), constant(L, 0))
    numbers = lax.add(lax.broadcasted_iota(INT32, zero.shape, zero.ndim - 1), np.int32(1))
    none = np.int32(L.shape[-1] + 1)
    first = lax.reduce_min(choose(zero, numbers, none), (zero.ndim - 1,))
    return _cholesky_inverse(L, upper), choose(lax.eq(first, spread(none, first.shape)), lax.full_like(first, 0), first)


@composite()
def cholesky_inverse(L, upper=False, *, out=None):
    """The inverse of the matrix whose Cholesky factor is given."""
    inverse, info = _cholesky_inverse_op(L, bool(upper))
    failure = first_failure(info)
    if failure:
        raise LinAlgError(
            f"cholesky_inverse: {failure[0]}The diagonal element {failure[1]} is zero, the inversion could not be completed "
            "because the input matrix is singular."
        )
    return deliver(inverse, out)


# LDL, on the host: native has no derivative of it either.


@composite(namespaces=("linalg",))
def ldl_factor_ex(A, *, hermitian=False, check_errors=False, out=None):
    """LDL in LAPACK's compact form (``LD``, ``pivots``) of symmetric, or Hermitian, matrices, and ``info``."""
    require_tensor(A, "linalg_ldl_factor_ex", "A", 1)
    function = "torch.linalg.ldl_factor_ex"
    check_square(A._spec, function)
    check_floating(A._spec, function)
    check_kernel(A._spec, "ldl_factor_kernel_cpu")
    from scipy.linalg import get_lapack_funcs

    matrices = host_array(A)
    name = "hetrf" if hermitian and matrices.dtype.kind == "c" else "sytrf"
    (factor,) = get_lapack_funcs((name,), dtype=matrices.dtype)
    compact, pivots = np.array(matrices), np.zeros(matrices.shape[:-1], np.int32)
    codes = np.zeros(matrices.shape[:-2], np.int32)
    for place in np.ndindex(codes.shape) if matrices.size else ():
        low, pivots[place], codes[place] = factor(matrices[place], lower=1)
        compact[place] = np.tril(low)
    if check_errors and codes.any():
        raise RuntimeError(f"torch.linalg.ldl_factor: Unknown error code: {codes[codes != 0].flat[0]}.")
    fields = named("linalg_ldl_factor_ex", ("LD", "pivots", "info"))
    return deliver(fields((from_array(compact), from_array(pivots), from_array(codes))), out)


@composite(namespaces=("linalg",))
def ldl_factor(A, *, hermitian=False, out=None):
    """LDL in LAPACK's compact form, ``LD`` and ``pivots``, of symmetric or Hermitian matrices."""
    result = ldl_factor_ex(A, hermitian=hermitian, check_errors=True)
    return deliver(named("linalg_ldl_factor", ("LD", "pivots"))(tuple(result)[:2]), out)


@composite(namespaces=("linalg",))
def ldl_solve(LD, pivots, B, *, hermitian=False, out=None):
    """The solution of ``A X = B`` for matrices in LDL's compact form."""
    check_square(LD._spec, "torch.linalg.ldl_solve", "LD")
    if B._spec.ndim < 2:
        raise RuntimeError(
            f"torch.linalg.ldl_solve: Expected B to have at least 2 dimensions, but it has {B._spec.ndim} dimensions instead"
        )
    if pivots.dtype.is_floating_point or pivots.dtype.is_complex or pivots.dtype.name == "bool":
        raise RuntimeError(f"torch.linalg.ldl_solve: Expected pivots to be integers. Got {type_name_of(pivots._spec)}")
    if LD.dtype is not B.dtype:
        raise RuntimeError(
            f"torch.linalg.ldl_solve: LD dtype {type_name_of(LD._spec)} does not match b dtype {type_name_of(B._spec)}"
        )
    from scipy.linalg import get_lapack_funcs

    factors, order, right = host_array(LD), host_array(pivots), host_array(B)
    lead = np.broadcast_shapes(factors.shape[:-2], right.shape[:-2])
    factors = np.broadcast_to(factors, (*lead, *factors.shape[-2:]))
    order = np.broadcast_to(order, (*lead, order.shape[-1]))
    result = np.array(np.broadcast_to(right, (*lead, *right.shape[-2:])))
    name = "hetrs" if hermitian and factors.dtype.kind == "c" else "sytrs"
    (solve,) = get_lapack_funcs((name,), dtype=factors.dtype)
    for place in np.ndindex(lead) if result.size else ():
        result[place] = solve(factors[place], order[place].astype(np.int32), result[place], lower=1)[0]
    return deliver(from_array(result), out)
