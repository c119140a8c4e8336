"""Host rules of linear algebra (LAPACK by way of NumPy and SciPy) and of Fourier transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jax.lax import FftType

from torchlike._engine.host.base import (
    NoRuleError,
    dtype_of,
    fresh,
    identity,
    out_dtype,
    out_shape,
    rule,
    shape_of,
)


def _lapack(dtype: np.dtype, *names: str) -> list[Callable]:
    """LAPACK's routines of these names for matrices of ``dtype``."""
    from scipy.linalg import get_lapack_funcs

    return get_lapack_funcs(names, dtype=dtype)


def _each(eqn: Any, ranks: tuple[int, ...], function: Callable) -> Callable:
    """``function`` of single matrices, mapped over the leading axes of the inputs.

    ``ranks`` are the ranks of the results of ``function``, which returns a tuple of as many.
    """
    outputs = [(out_shape(eqn, index), out_dtype(eqn, index)) for index in range(len(eqn.outvars))]
    lead = outputs[0][0][: len(outputs[0][0]) - ranks[0]]
    single = not eqn.primitive.multiple_results
    if any(0 in var.aval.shape for var in eqn.invars):
        raise NoRuleError("LAPACK takes no empty matrices")
    if not lead:
        dtypes = [dtype for _, dtype in outputs]

        def one(*xs: Any) -> Any:
            results = [np.asarray(result, dtype) for result, dtype in zip(function(*xs), dtypes, strict=True)]
            return results[0] if single else tuple(results)

        return fresh(one)

    def many(*xs: Any) -> Any:
        results = [np.empty(shape, dtype) for shape, dtype in outputs]
        for place in np.ndindex(lead):
            for target, value in zip(results, function(*[x[place] for x in xs]), strict=True):
                target[place] = value
        return results[0] if single else tuple(results)

    return fresh(many)


def _failing(function: Callable, eqn: Any) -> Callable:
    """``function``, with results full of NaN in place of the error that NumPy raises for a matrix it cannot treat."""
    shapes = [(out_shape(eqn, index), out_dtype(eqn, index)) for index in range(len(eqn.outvars))]

    def call(x: Any) -> tuple:
        try:
            return function(x)
        except np.linalg.LinAlgError:
            results = [np.full(shape, np.nan, dtype) for shape, dtype in shapes]
        if x.ndim > 2:
            for place in np.ndindex(x.shape[:-2]):
                for target, value in zip(results, call_one(x[place], results), strict=True):
                    target[place] = value
        return tuple(results)

    def call_one(x: np.ndarray, like: list[np.ndarray]) -> tuple:
        try:
            return function(x)
        except np.linalg.LinAlgError:
            return tuple([np.nan] * len(like))

    return call


@rule("cholesky")
def _cholesky(eqn: Any) -> Callable:
    """The lower factor; NaN in its lower triangle where a matrix is not positive definite."""
    upper = np.triu(np.ones(shape_of(eqn)[-2:], bool), 1)
    factor = _failing(lambda x: (np.linalg.cholesky(x),), eqn)

    def call(x: Any) -> Any:
        (lower,) = factor(x)
        return np.where(upper, lower.dtype.type(0), lower)

    return fresh(call)


@rule("eigh")
def _eigh(eqn: Any) -> Callable:
    """Eigenvectors and ascending eigenvalues of the Hermitian matrix whose lower (upper) triangle is given."""
    if eqn.params.get("subset_by_index") not in (None, (0, shape_of(eqn)[-1])):
        raise NoRuleError("a subset of the eigenvalues")
    triangle = "L" if eqn.params["lower"] else "U"

    def call(x: Any) -> tuple:
        values, vectors = np.linalg.eigh(x, triangle)
        return vectors, values

    return fresh(_failing(call, eqn))


@rule("eig")
def _eig(eqn: Any) -> Callable:
    left, right = bool(eqn.params["compute_left_eigenvectors"]), bool(eqn.params["compute_right_eigenvectors"])
    dtype = out_dtype(eqn)
    count = 1 + left + right

    def call(x: Any) -> tuple:
        import scipy.linalg

        if not np.isfinite(x).all():
            return tuple([np.full(x.shape if index else x.shape[:1], np.nan, dtype) for index in range(count)])
        results: Any = scipy.linalg.eig(x, None, left, right, check_finite=False)
        return results if left or right else (results,)

    return _each(eqn, (1, 2, 2)[:count], call)


@rule("svd")
def _svd(eqn: Any) -> Callable:
    """Singular values, and on demand the singular vectors U and V^H."""
    params, shape = eqn.params, shape_of(eqn)
    if params.get("subset_by_index") not in (None, (0, min(shape[-2:]))):
        raise NoRuleError("a subset of the singular values")
    full = bool(params["full_matrices"])
    if not params["compute_uv"]:
        return fresh(_failing(lambda x: (np.linalg.svd(x, full, False),), eqn))

    def call(x: Any) -> tuple:
        left, values, right = np.linalg.svd(x, full)
        return values, left, right

    return fresh(_failing(call, eqn))


@rule("qr")
def _qr(eqn: Any) -> Callable:
    """Q and R; with column pivoting also the order of the columns."""
    if not eqn.params.get("pivoting"):
        mode = "complete" if eqn.params["full_matrices"] else "reduced"
        return fresh(lambda x: tuple(np.linalg.qr(x, mode)))
    mode = "full" if eqn.params["full_matrices"] else "economic"

    def pivoted(x: Any) -> tuple:
        import scipy.linalg

        return scipy.linalg.qr(x, mode=mode, pivoting=True, check_finite=False)

    return _each(eqn, (2, 2, 1), pivoted)


@rule("geqrf")
def _geqrf(eqn: Any) -> Callable:
    """Householder's form of QR: R above the reflectors, and their scales."""
    (geqrf,) = _lapack(dtype_of(eqn), "geqrf")
    return _each(eqn, (2, 1), lambda x: geqrf(x)[:2])


@rule("householder_product")
def _householder_product(eqn: Any) -> Callable:
    """The unitary matrix whose reflectors `geqrf` left below the diagonal."""
    name = "orgqr" if dtype_of(eqn).kind == "f" else "ungqr"
    (product,) = _lapack(dtype_of(eqn), name)
    return _each(eqn, (2,), lambda x, scales: product(x, scales)[:1])


@rule("ormqr")
def _ormqr(eqn: Any) -> Callable:
    """The product of a matrix with the Q that `geqrf` left in factors."""
    cplx = dtype_of(eqn).kind == "c"
    (multiply,) = _lapack(dtype_of(eqn), "unmqr" if cplx else "ormqr")
    side = "L" if eqn.params["left"] else "R"
    flip = ("C" if cplx else "T") if eqn.params["transpose"] else "N"

    def call(reflectors: Any, scales: Any, x: Any) -> tuple:
        reflectors = reflectors[:, : len(scales)]
        room = multiply(side, flip, reflectors, scales, x, -1)[1][0]
        return multiply(side, flip, reflectors, scales, x, int(room.real))[:1]

    return _each(eqn, (2,), call)


@rule("lu")
def _lu(eqn: Any) -> Callable:
    """Both factors in one matrix, the row swaps, and the permutation that they amount to."""
    (getrf,) = _lapack(dtype_of(eqn), "getrf")

    def call(x: Any) -> tuple:
        factors, pivots, _ = getrf(x)
        return factors, pivots, _permutation(pivots, len(x))

    return _each(eqn, (2, 1, 1), call)


def _permutation(pivots: np.ndarray, size: int) -> list[int]:
    order = list(range(size))
    for row, other in enumerate(pivots.tolist()):
        order[row], order[other] = order[other], order[row]
    return order


@rule("lu_pivots_to_permutation")
def _lu_pivots_to_permutation(eqn: Any) -> Callable:
    size = int(eqn.params["permutation_size"])
    return _each(eqn, (1,), lambda pivots: (_permutation(pivots, size),))


@rule("triangular_solve")
def _triangular_solve(eqn: Any) -> Callable:
    """The solution x of ``op(a) x = b``, or of ``x op(a) = b``, for a triangular a."""
    params = eqn.params
    from scipy.linalg import get_blas_funcs

    (solve,) = get_blas_funcs(("trsm",), dtype=dtype_of(eqn))
    flip = 2 if params["transpose_a"] and params["conjugate_a"] else int(bool(params["transpose_a"]))
    side, lower, unit = int(not params["left_side"]), int(bool(params["lower"])), int(bool(params["unit_diagonal"]))
    prepare = np.conjugate if params["conjugate_a"] and not params["transpose_a"] else identity
    return _each(eqn, (2,), lambda a, b: (solve(1.0, prepare(a), b, side, lower, flip, unit),))


@rule("tridiagonal_solve")
def _tridiagonal_solve(eqn: Any) -> Callable:
    if eqn.params.get("perturb_singular"):
        raise NoRuleError("a perturbed tridiagonal solve")
    (gtsv,) = _lapack(dtype_of(eqn, 3), "gtsv")
    return _each(eqn, (2,), lambda low, middle, high, b: (gtsv(low[1:], middle, high[:-1], b)[3],))


@rule("hessenberg")
def _hessenberg(eqn: Any) -> Callable:
    (gehrd,) = _lapack(dtype_of(eqn), "gehrd")
    return _each(eqn, (2, 1), lambda x: gehrd(x)[:2])


@rule("schur")
def _schur(eqn: Any) -> Callable:
    if eqn.params["sort_eig_vals"] or eqn.params["select_callable"] is not None:
        raise NoRuleError("a sorted Schur form")
    vectors = bool(eqn.params["compute_schur_vectors"])

    def call(x: Any) -> tuple:
        import scipy.linalg

        return scipy.linalg.schur(x, "complex" if x.dtype.kind == "c" else "real")[: 1 + vectors]

    return _each(eqn, (2, 2)[: 1 + vectors], call)


@rule("symmetric_product")
def _symmetric_product(eqn: Any) -> Callable:
    """``alpha a a^T + beta c``, symmetric."""
    alpha, beta = eqn.params["alpha"], eqn.params["beta"]
    dtype = out_dtype(eqn)
    return fresh(lambda a, c: (alpha * np.matmul(a, a.swapaxes(-1, -2)) + beta * c).astype(dtype, copy=False))


# Fourier transforms


@rule("fft")
def _fft(eqn: Any) -> Callable:
    """A transform over the last axes: forward, inverse, or either between real and half-complex signals."""
    kind = FftType(int(eqn.params["fft_type"])).name.lower()
    lengths = tuple(map(int, eqn.params["fft_lengths"]))
    dtype, axes = out_dtype(eqn), tuple(range(-len(lengths), 0))
    if 0 in shape_of(eqn):
        shape = out_shape(eqn)
        return fresh(lambda x: np.zeros(shape, dtype))
    if len(lengths) == 1:
        transform = getattr(np.fft, kind)
        return fresh(lambda x: transform(x, lengths[0]).astype(dtype, copy=False))
    transform = getattr(np.fft, f"{kind}n")
    return fresh(lambda x: transform(x, lengths, axes).astype(dtype, copy=False))
