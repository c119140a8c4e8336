"""Eigenvalues and singular values, and what follows from them: pseudoinverses, ranks, least squares."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from jax import lax
from jax import numpy as jnp

from torchlike._ops.bodies import choose, constant, kind, type_name_of
from torchlike._ops.linalg_common import (
    LinAlgError,
    adjoint,
    check_floating,
    check_kernel,
    check_matrix,
    check_square,
    common_stack,
    conjugated,
    deliver,
    diagonal,
    eps,
    is_empty,
    real_dtype,
    real_part,
    require_tensor,
    scale_columns,
    scale_rows,
    spread_stack,
    times,
    with_diagonal,
    with_gradient,
)
from torchlike._ops.op import Array, composite, op
from torchlike._tensor import dtypes
from torchlike._tensor.tensor import Tensor, host_array
from torchlike.return_types import named


def _differences(values: Any) -> Any:
    """The matrices ``E_ij = values_j - values_i``, with ones on the diagonal."""
    n = values.ndim
    shape = (*values.shape, values.shape[-1])
    across = lax.broadcast_in_dim(values, shape, (*range(n - 1), n))
    down = lax.broadcast_in_dim(values, shape, tuple(range(n)))
    return with_diagonal(lax.sub(across, down), lax.full_like(values, 1))


def _quotient(a: Any, b: Any) -> Any:
    """``a / b`` where the divisor may be real and the dividend complex."""
    return lax.div(a, b if b.dtype == a.dtype else lax.convert_element_type(b, a.dtype))


def _skew(x: Any) -> Any:
    return lax.sub(x, adjoint(x))


def _first_nan(values: Any) -> str | None:
    """How torch's message starts for the first matrix whose values are NaN; None where there is none."""
    array = host_array(values.detach())
    bad = np.isnan(array)
    if not bad.any():
        return None
    return "" if array.ndim < 2 else f"(Batch element {int(np.argwhere(bad.any(-1).reshape(-1))[0][0])}): "


# Hermitian matrices: A = V diag(L) V^H.


def _eigh_gradient(kept: Any, gs: Any) -> tuple:
    (values, vectors), (g_values, g_vectors) = kept, gs
    turned = times(adjoint(vectors), g_vectors)
    turned = lax.mul(_skew(turned), constant(turned, 0.5))  # the vectors only turn
    inner = _quotient(turned, _differences(values))
    inner = with_diagonal(inner, lax.convert_element_type(g_values, inner.dtype))
    return (times(times(vectors, inner), adjoint(vectors)),)


def _eigh_of(x: Any, upper: bool = False) -> tuple:
    vectors, values = lax.linalg.eigh(x, lower=not upper, symmetrize_input=False)
    return values, vectors


_eigh_pairs = {
    upper: with_gradient(partial(_eigh_of, upper=upper), lambda xs, results: results, _eigh_gradient)
    for upper in (False, True)
}


@op(name="linalg_eigh", namespaces=("_private",))
def _eigh(A: Array, upper):
    """Eigenvalues in ascending order and eigenvectors."""
    check_square(A, "linalg.eigh")
    check_kernel(A, "linalg_eigh_cpu")
    if is_empty(A):
        return lax.full(A.shape[:-1], 0, real_dtype(A.dtype)), A
    return _eigh_pairs[upper](A)


def _is_upper(uplo: Any) -> bool:
    letter = str(uplo).upper()
    if letter not in ("U", "L"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {uplo}")
    return letter == "U"


def _checked_eigh(A: Tensor, uplo: Any) -> tuple[Tensor, Tensor]:
    values, vectors = _eigh(A, _is_upper(uplo))
    start = _first_nan(values)
    if start is not None:
        raise LinAlgError(
            f"linalg.eigh: {start}The algorithm failed to converge because the input matrix is ill-conditioned or has too many "
            f"repeated eigenvalues (error code: {A._spec.shape[-1] - 1})."
        )
    return values, vectors


@composite(namespaces=("linalg",))
def eigh(A, UPLO="L", *, out=None):
    """The eigenvalues, ascending, and eigenvectors of Hermitian matrices, of which one triangle is read."""
    require_tensor(A, "linalg_eigh", "A", 1)
    return deliver(named("linalg_eigh", ("eigenvalues", "eigenvectors"))(_checked_eigh(A, UPLO)), out)


@composite(namespaces=("linalg",))
def eigvalsh(A, UPLO="L", *, out=None):
    """The eigenvalues, ascending, of Hermitian matrices, of which one triangle is read."""
    require_tensor(A, "linalg_eigvalsh", "A", 1)
    return deliver(_checked_eigh(A, UPLO)[0], out)


# Square matrices: A = V diag(L) V^-1.


def _eig_pair(x: Any) -> tuple:
    values, vectors = lax.linalg.eig(x, compute_left_eigenvectors=False)
    return values, vectors


def _eig_gradient(is_real: bool) -> Any:
    def gradient(kept: Any, gs: Any) -> tuple:
        from torchlike._ops.solvers import solve

        (values, vectors), (g_values, g_vectors) = kept, gs
        turned = times(adjoint(vectors), g_vectors)
        length = lax.real(diagonal(turned))  # the vectors' norms are fixed
        inner = lax.sub(turned, scale_columns(times(adjoint(vectors), vectors), length))
        inner = with_diagonal(lax.div(inner, lax.conj(_differences(values))), g_values)
        g = solve(adjoint(vectors), times(inner, adjoint(vectors)))
        return (lax.real(g) if is_real else g,)

    return gradient


def _eig_body(A: Any, function: str) -> tuple:
    check_square(A, function)
    if kind(A) not in "fc":
        raise RuntimeError(f"Unknown Complex ScalarType for {type_name_of(A)}")
    check_kernel(A, "linalg_eig_out_cpu")
    if is_empty(A):
        x = lax.convert_element_type(A, np.result_type(A.dtype, np.complex64))
        return lax.full(x.shape[:-1], 0, x.dtype), x
    return with_gradient(_eig_pair, lambda xs, results: results, _eig_gradient(kind(A) == "f"))(A)


@op(name="linalg_eig", namespaces=("_private",))
def _eig(A: Array, function):
    """Eigenvalues and eigenvectors."""
    return _eig_body(A, function)


def _checked_eig(A: Tensor, function: str) -> tuple[Tensor, Tensor]:
    values, vectors = _eig(A, function)
    if _first_nan(values) is not None:
        raise RuntimeError("torch.linalg.eig: input tensor should not contain infs or NaNs.")
    return values, vectors


@composite(namespaces=("linalg",))
def eig(A, *, out=None):
    """The eigenvalues and eigenvectors of square matrices, both complex."""
    require_tensor(A, "linalg_eig", "A", 1)
    return deliver(named("linalg_eig", ("eigenvalues", "eigenvectors"))(_checked_eig(A, "linalg.eig")), out)


@composite(namespaces=("linalg",))
def eigvals(A, *, out=None):
    """The eigenvalues of square matrices, complex."""
    require_tensor(A, "linalg_eigvals", "A", 1)
    return deliver(_checked_eig(A, "linalg.eigvals")[0], out)


# Singular values: A = U diag(S) V^H.


def _svd_inner(values: Any, u_part: Any, v_part: Any, g_values: Any) -> Any:
    """The middle of the gradient: what the vectors and the values contribute in the basis of the vectors."""
    squares = _differences(lax.mul(values, values))
    inner = scale_columns(_quotient(_skew(u_part), squares), values)
    inner = lax.add(inner, scale_rows(_quotient(_skew(v_part), squares), values))
    middle = lax.convert_element_type(g_values, inner.dtype)
    if kind(inner) == "c":  # the phases of U's columns follow V's
        turn = lax.imag(diagonal(u_part))
        middle = lax.add(middle, lax.complex(lax.full_like(turn, 0), lax.div(turn, values)))
    return with_diagonal(inner, middle)


def _svd_gradient(kept: Any, gs: Any) -> tuple:
    (u, values, vh), (gu, g_values, g_vh) = kept, gs
    k = values.shape[-1]
    if u.shape[-1] > k:
        u, gu = (lax.slice_in_dim(x, 0, k, 1, u.ndim - 1) for x in (u, gu))
    if vh.shape[-2] > k:
        vh, g_vh = (lax.slice_in_dim(x, 0, k, 1, vh.ndim - 2) for x in (vh, g_vh))
    u_part, v_part = times(adjoint(u), gu), times(vh, adjoint(g_vh))
    g = times(times(u, _svd_inner(values, u_part, v_part, g_values)), vh)
    inverse = lax.div(constant(values, 1), values)
    if u.shape[-2] > k:
        outside = lax.sub(gu, times(u, u_part))
        g = lax.add(g, times(scale_columns(outside, inverse), vh))
    if vh.shape[-1] > k:
        outside = lax.sub(g_vh, times(adjoint(v_part), vh))
        g = lax.add(g, times(u, scale_rows(outside, inverse)))
    return (g,)


def _svd_triple(full: bool) -> Any:
    def compute(x: Any) -> tuple:
        u, values, vh = lax.linalg.svd(x, full_matrices=full)
        return u, values, vh

    return with_gradient(compute, lambda xs, results: results, _svd_gradient)


_thin_svd = _svd_triple(False)
_full_svd = _svd_triple(True)


def _values_gradient(kept: Any, g: Any) -> tuple:
    u, _, vh = _thin_svd(kept)
    return (times(scale_columns(u, g), vh),)


_singular_values = with_gradient(
    lambda x: lax.linalg.svd(x, full_matrices=False, compute_uv=False), lambda xs, values: xs[0], _values_gradient
)


def _empty_svd(A: Any, full: bool) -> tuple:
    rows, columns = A.shape[-2:]
    lead, k = A.shape[:-2], min(rows, columns)
    widths = (rows, columns) if full else (k, k)
    u = np.broadcast_to(np.eye(rows, widths[0], dtype=A.dtype), (*lead, rows, widths[0]))
    vh = np.broadcast_to(np.eye(widths[1], columns, dtype=A.dtype), (*lead, widths[1], columns))
    return jnp.asarray(u), lax.full((*lead, k), 0, real_dtype(A.dtype)), jnp.asarray(vh)


def _check_svd(A: Any) -> None:
    check_matrix(A, "linalg.svd")
    check_floating(A, "linalg.svd")
    check_kernel(A, "linalg_svd_cpu")


@op(name="linalg_svd", namespaces=("_private",))
def _svd(A: Array, full):
    """U, S and V^H."""
    _check_svd(A)
    return _empty_svd(A, full) if is_empty(A) else (_full_svd if full else _thin_svd)(A)


@op(name="_svdvals", namespaces=("_private",), node="LinalgSvdBackward0")
def _svdvals(A: Array):
    """S alone."""
    _check_svd(A)
    return lax.full((*A.shape[:-2], min(A.shape[-2:])), 0, real_dtype(A.dtype)) if is_empty(A) else _singular_values(A)


def _refuse_nan(values: Tensor) -> None:
    start = _first_nan(values)
    if start is not None:
        raise LinAlgError(
            f"linalg.svd: {start}The algorithm failed to converge because the input matrix contained non-finite values."
        )


def _checked_svd(A: Tensor, full: bool) -> tuple:
    result = _svd(A, full)
    _refuse_nan(result[1])
    return result


def _refuse_driver(driver: Any) -> None:
    if driver is not None:
        raise RuntimeError(
            "torch.linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER backend."
        )


@composite(namespaces=("linalg",), name="svd")
def linalg_svd(A, full_matrices=True, *, driver=None, out=None):
    """``A = U diag(S) Vh``: singular vectors, and singular values in descending order."""
    require_tensor(A, "linalg_svd", "A", 1)
    _refuse_driver(driver)
    return deliver(named("linalg_svd", ("U", "S", "Vh"))(_checked_svd(A, bool(full_matrices))), out)


@composite(namespaces=("linalg",))
def svdvals(A, *, driver=None, out=None):
    """The singular values in descending order."""
    require_tensor(A, "linalg_svdvals", "A", 1)
    _refuse_driver(driver)
    values = _svdvals(A)
    _refuse_nan(values)
    return deliver(values, out)


@composite()
def svd(input, some=True, compute_uv=True, *, out=None):
    """``input = U diag(S) V^H``, returned as U, S and V; :func:`torch.linalg.svd` is its successor."""
    require_tensor(input, "svd", "input", 1)
    if input._spec.ndim < 2:
        raise RuntimeError(
            f"linalg.svd: input should have at least 2 dimensions, but has {input._spec.ndim} dimensions instead"
        )
    fields = named("svd", ("U", "S", "V"))
    if not compute_uv:
        values = svdvals(input)
        rows, columns = input._spec.shape[-2:]
        lead = input._spec.shape[:-2]
        return deliver(
            fields((input.new_zeros((*lead, rows, rows)), values, input.new_zeros((*lead, columns, columns)))), out
        )
    u, values, vh = _checked_svd(input, not some)
    return deliver(fields((u, values, vh.mH)), out)


# The pseudoinverse.


def _pinv_gradient(kept: Any, g: Any) -> tuple:
    a, p = kept
    ph, gh = adjoint(p), adjoint(g)
    result = lax.neg(times(times(ph, g), ph))
    left = times(times(gh, p), ph)
    result = lax.add(result, lax.sub(left, times(a, times(p, left))))
    right = times(times(ph, p), gh)
    return (lax.add(result, lax.sub(right, times(times(right, p), a))),)


def _reciprocal_above(values: Any, bound: Any) -> Any:
    small = lax.le(lax.abs(values), bound)
    return choose(small, constant(values, 0), lax.div(constant(values, 1), choose(small, constant(values, 1), values)))


def _bound(values: Any, atol: Any, rtol: Any) -> Any:
    """The largest value that counts as zero: ``max(atol, rtol * the largest)``."""
    top = lax.reduce_max(lax.abs(values), (values.ndim - 1,))
    bound = lax.max(atol, lax.mul(rtol, top))
    return lax.broadcast_in_dim(bound, values.shape, tuple(range(values.ndim - 1)))


def _pseudoinverse(x: Any, atol: Any, rtol: Any, hermitian: bool) -> Any:
    def compute(x: Any) -> Any:
        if hermitian:
            values, vectors = _eigh_of(x)
            return times(
                scale_columns(vectors, _reciprocal_above(values, _bound(values, atol, rtol))), adjoint(vectors)
            )
        u, values, vh = _thin_svd(x)
        return times(scale_columns(adjoint(vh), _reciprocal_above(values, _bound(values, atol, rtol))), adjoint(u))

    return with_gradient(compute, lambda xs, p: (xs[0], p), _pinv_gradient)(x)


@op(name="linalg_pinv", namespaces=("_private",))
def _pinv(A: Array, atol: Array, rtol: Array, hermitian):
    """The pseudoinverse."""
    if is_empty(A):
        return lax.full((*A.shape[:-2], A.shape[-1], A.shape[-2]), 0, A.dtype)
    lead = A.shape[:-2]
    atol, rtol = (spread_stack(lax.convert_element_type(x, real_dtype(A.dtype)), lead, 0) for x in (atol, rtol))
    return _pseudoinverse(A, lax.stop_gradient(atol), lax.stop_gradient(rtol), hermitian)


def _tolerance(x: Any, A: Tensor, function: str, name: str) -> Tensor:
    """A tolerance as a tensor of the stack's shape or of none."""
    if isinstance(x, Tensor):
        if x.dtype.is_complex:
            shown = "rcond" if function.endswith("pinv") and name == "rtol" else name
            raise RuntimeError(
                f"{function}: {shown} tensor of complex type is not supported. Got {type_name_of(x._spec)}"
            )
        if x.requires_grad:
            raise RuntimeError(
                f"The function '{function.replace('torch.', '').replace('.', '_')}' is not differentiable with respect to "
                f"argument '{name}'. This input cannot have requires_grad True."
            )
        return x.to(dtypes.float64) if x._spec.ndim else x.to(dtypes.float64).reshape(())
    return Tensor._scalar_tensor(float(x), A.device).to(dtypes.float64)


def _tolerances(A: Tensor, atol: Any, rtol: Any, function: str) -> tuple[Tensor, Tensor]:
    """Both tolerances; the relative one is ``eps * max(m, n)`` unless it or a positive absolute one is given."""
    shape = A._spec.shape
    default = eps(A._spec.dtype) * max(shape[-2:])
    if rtol is None:
        rtol = default
        if isinstance(atol, Tensor):
            given = _tolerance(atol, A, function, "atol")
            return given, _tolerance(default, A, function, "rtol") * (given <= 0)
        if atol is not None and atol > 0:
            rtol = 0.0
    return _tolerance(0.0 if atol is None else atol, A, function, "atol"), _tolerance(rtol, A, function, "rtol")


@composite(namespaces=("linalg",))
def pinv(A, rcond=None, hermitian=False, *, atol=None, rtol=None, out=None):
    """The pseudoinverse of Moore and Penrose: singular values up to ``max(atol, rtol * the largest)`` count as zero."""
    require_tensor(A, "linalg_pinv", "A", 1)
    spec = A._spec
    if spec.ndim < 2 or kind(spec) not in "fc" or spec.dtype.itemsize < 4:
        raise RuntimeError(
            f"linalg.pinv({type_name_of(spec)}{{{list(spec.shape)}}}): expected a tensor with 2 or more dimensions of float, "
            "double, cfloat or cdouble types"
        )
    if rcond is not None:
        rtol = rcond
    lower, relative = _tolerances(A, atol, rtol, "torch.linalg.pinv")
    result = _pinv(A, lower, relative, bool(hermitian))
    _refuse_nan(
        result.detach().abs().amax((-2, -1)).reshape(*spec.shape[:-2], 1) if result._spec.numel else result.detach()
    )
    return deliver(result, out)


@composite()
def pinverse(input, rcond=1e-15):
    """The pseudoinverse; :func:`torch.linalg.pinv` is its successor."""
    return pinv(input, rcond)


# Ranks.


@op(name="linalg_matrix_rank", namespaces=("_private",), nondiff=True)
def _rank(input, atol: Array, rtol: Array, hermitian):
    """The numbers of singular values above the tolerance, and the largest ones."""
    if is_empty(input):
        return lax.full(input.shape[:-2], 0, np.int64), lax.full(input.shape[:-2], 0, real_dtype(input.dtype))
    if hermitian:
        values = lax.abs(lax.linalg.eigh(input, symmetrize_input=False)[1])
    else:
        values = lax.linalg.svd(input, full_matrices=False, compute_uv=False)
    lead = input.shape[:-2]
    atol, rtol = (spread_stack(lax.convert_element_type(x, values.dtype), lead, 0) for x in (atol, rtol))
    above = lax.convert_element_type(lax.gt(values, _bound(values, atol, rtol)), np.int64)
    return lax.reduce_sum(above, (above.ndim - 1,)), lax.reduce_max(values, (values.ndim - 1,))


@composite(namespaces=("linalg",))
def matrix_rank(A, tol=None, hermitian=False, *, atol=None, rtol=None, out=None):
    """The numbers of singular values above ``max(atol, rtol * the largest)``."""
    require_tensor(A, "linalg_matrix_rank", "A", 1)
    function = "torch.linalg.matrix_rank"
    if kind(A._spec) not in "fc" or A._spec.dtype.itemsize < 4:
        raise RuntimeError("This function doesn't handle types other than float and double")
    check_matrix(A._spec, function, "input")
    if hermitian:
        check_square(A._spec, "linalg.eigh")
    if tol is not None:
        atol, rtol = tol, 0.0
    lower, relative = _tolerances(A, atol, rtol, function)
    rank, top = _rank(A.detach(), lower, relative, bool(hermitian))
    _refuse_nan(top.reshape(*top.shape, 1))
    return deliver(rank, out)


# Least squares.


def _least_squares(rank_is_full: bool) -> Any:
    def compute(a: Any, b: Any, bound: Any) -> tuple:
        u, values, vh = _thin_svd(a)
        scales = lax.div(constant(values, 1), values) if rank_is_full else _reciprocal_above(values, bound)
        return times(adjoint(vh), scale_rows(times(adjoint(u), b), scales)), lax.stop_gradient(values)

    def keep(xs: Any, results: Any) -> tuple:
        return (*xs, results[0])

    def gradient(kept: Any, gs: Any) -> tuple:
        a, b, bound, _ = kept
        g = gs[0]
        u, values, vh = _thin_svd(a)
        scales = lax.div(constant(values, 1), values) if rank_is_full else _reciprocal_above(values, bound)
        p = times(scale_columns(adjoint(vh), scales), adjoint(u))
        (ga,) = _pinv_gradient((a, p), times(g, adjoint(b)))
        return ga, times(adjoint(p), g), lax.full_like(bound, 0)

    return with_gradient(compute, keep, gradient)


@op(name="linalg_lstsq", namespaces=("_private",))
def _lstsq(A: Array, B: Array, rcond, driver, residuals):
    """The solution, the squared norms of the residuals (or nothing), the rank, and the singular values."""
    lead = common_stack(A, B)
    columns = A.shape[-1]
    if is_empty(A) or is_empty(B):
        values = lax.full((*lead, min(A.shape[-2:])), 0, real_dtype(A.dtype))
        norms = lax.full((*lead, B.shape[-1]) if residuals else (0,), 0, real_dtype(A.dtype))
        return lax.full((*lead, columns, B.shape[-1]), 0, A.dtype), norms, lax.full(lead, 0, np.int64), values
    a, b = spread_stack(A, lead), spread_stack(B, lead)
    values = lax.stop_gradient(lax.linalg.svd(lax.stop_gradient(a), full_matrices=False, compute_uv=False))
    zero = lax.full(lead, 0, values.dtype)
    bound = _bound(values, zero, lax.full(lead, rcond, values.dtype))
    solution, _ = _least_squares(driver == "gels")(a, b, bound)
    above = lax.convert_element_type(lax.gt(values, bound), np.int64)
    rank = lax.reduce_sum(above, (above.ndim - 1,))
    if not residuals:
        return solution, lax.full((0,), 0, values.dtype), rank, values
    gap = lax.sub(times(a, solution), b)
    size = real_part(lax.mul(gap, conjugated(gap)))
    return solution, lax.reduce_sum(size, (size.ndim - 2,)), rank, values


_DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


def _check_lstsq(A: Any, B: Any, driver: Any) -> bool:
    """RuntimeError for wrong inputs; whether B is a stack of vectors."""
    if kind(A) not in "fc" or A.dtype.itemsize < 4:
        raise RuntimeError("This function doesn't handle types other than float and double")
    if A.ndim < 2:
        raise RuntimeError("torch.linalg.lstsq: input must have at least 2 dimensions.")
    if B.ndim < 1:
        raise RuntimeError("torch.linalg.lstsq: other must have at least 1 dimension.")
    if A.dtype != B.dtype:
        raise RuntimeError(
            f"torch.linalg.lstsq: Expected input and other to have the same dtype, but got input's dtype {type_name_of(A)} and "
            f"other's dtype {type_name_of(B)}"
        )
    vectors = A.ndim - 1 == B.ndim and A.shape[:-1] == B.shape
    rows = B.shape[-1] if vectors else (B.shape[-2] if B.ndim > 1 else -1)
    if rows != A.shape[-2]:
        which = "-1" if vectors else "-2"
        raise RuntimeError(f"torch.linalg.lstsq: input.size(-2) should match other.size({which})")
    if driver is not None and driver not in _DRIVERS:
        raise RuntimeError("torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)")
    return vectors


@composite(namespaces=("linalg",))
def lstsq(A, B, rcond=None, *, driver=None):
    """The matrix X of the least norm of those that minimise ``|A X - B|``: ``solution``, ``residuals``, ``rank``, ``singular_values``.

    ``driver`` "gels" takes A to be of full rank; the others count singular values up to ``rcond`` times the largest as zero
    (the dtype's epsilon times the larger side unless given). Residuals are the squared norms of the columns of ``A X - B``,
    for full rank and more rows than columns.
    """
    require_tensor(A, "linalg_lstsq", "input", 1)
    require_tensor(B, "linalg_lstsq", "b", 2)
    vectors = _check_lstsq(A._spec, B._spec, driver)
    chosen = driver or "gelsy"
    rows, columns = A._spec.shape[-2:]
    rcond = eps(A._spec.dtype) * max(rows, columns) if rcond is None else float(rcond)
    right = B.unsqueeze(-1) if vectors else B
    wanted = rows > columns and chosen != "gelsy"
    if wanted and chosen != "gels":
        rank = matrix_rank(A.detach(), atol=0.0, rtol=rcond)
        wanted = bool((rank == columns).all())
    solution, residuals, rank, values = _lstsq(A, right, rcond, chosen, wanted)
    if vectors:
        solution = solution.squeeze(-1)
    nothing = A.detach().new_empty(0, dtype=getattr(dtypes, real_dtype(A._spec.dtype).name))
    fields = named("linalg_lstsq", ("solution", "residuals", "rank", "singular_values"))
    return fields(
        (
            solution, residuals, nothing.to(dtypes.int64) if chosen == "gels" else rank,
            values.detach() if chosen in ("gelsd", "gelss") else nothing,
        )
    )  # fmt: skip
