"""Distances and similarities of vectors."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import numpy as np
from jax import lax

from torchlike._ops.bodies import constant, convert, kind, type_name_of, widened
from torchlike._ops.op import Array, broadcast_shapes, composite, op, operand_types
from torchlike._ops.op import _broadcast as broadcast
from torchlike._ops.op import _cast as cast
from torchlike._tensor.dtypes import get_default_dtype
from torchlike._tensor.promotion import result_type_of
from torchlike._tensor.tensor import wrap_dim

_BOTH = ("torch", "nn.functional")


# The p-norm with torch's subgradients.


def p_norm(x: Any, p: float, axis: int) -> Any:
    """``sum(|x| ** p) ** (1 / p)`` along ``axis``, which is dropped; a real number."""
    if kind(x) != "c":
        return _p_norm(x, p, axis)
    if p == 2:
        return _p_norm(lax.concatenate([lax.real(x), lax.imag(x)], axis), p, axis)
    return _p_norm(lax.abs(x), p, axis)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _p_norm(x, p, axis):
    if p == 2:
        return lax.sqrt(lax.reduce_sum(lax.mul(x, x), (axis,)))
    size = lax.abs(x)
    if p == 0:
        return lax.reduce_sum(convert(lax.ne(x, constant(x, 0)), x.dtype), (axis,))
    if p == 1:
        return lax.reduce_sum(size, (axis,))
    if p == math.inf:
        return lax.reduce_max(size, (axis,))
    return lax.pow(lax.reduce_sum(lax.pow(size, constant(x, p)), (axis,)), constant(x, 1 / p))


def _p_norm_forward(x, p, axis):
    out = _p_norm(x, p, axis)
    return out, (x, out)


def _p_norm_backward(p, axis, saved, g):
    x, out = saved
    back = lambda small: lax.broadcast_in_dim(  # noqa: E731
        small, x.shape, tuple(d for d in range(x.ndim) if d != axis)
    )
    zero = lax.full_like(x, 0)
    if p == 0:
        return (zero,)
    if p == 1:
        return (lax.mul(back(g), lax.sign(x)),)
    if p == 2:
        at_zero = lax.eq(out, lax.full_like(out, 0))
        scale = lax.select(at_zero, lax.full_like(out, 0), lax.div(g, out))
        return (lax.mul(x, back(scale)),)
    if p == math.inf:
        top = lax.eq(lax.abs(x), back(out))
        count = lax.reduce_sum(convert(top, x.dtype), (axis,))
        return (lax.select(top, lax.mul(lax.sign(x), back(lax.div(g, count))), zero),)
    size = lax.abs(x)
    slope = lax.mul(lax.sign(x), lax.pow(size, constant(x, p - 1)))
    if p < 2:
        slope = lax.select(lax.eq(x, zero), zero, slope)
    at_zero = lax.eq(out, lax.full_like(out, 0))
    scale = lax.div(g, lax.pow(out, constant(out, p - 1)))
    return (lax.mul(slope, back(lax.select(at_zero, lax.full_like(out, 0), scale))),)


_p_norm.defvjp(_p_norm_forward, _p_norm_backward)


def _common(a: Any, b: Any) -> tuple[Any, Any]:
    """Two arrays in their common type."""
    from torchlike._engine.value import spec_of

    common = result_type_of(operand_types([spec_of(x.shape, np.dtype(x.dtype)) for x in (a, b)]))
    return cast(a, common.np), cast(b, common.np)


# Pairs of vectors.


@op(namespaces=("_private",), name="_cosine_similarity", node="SumBackward1")
def _cosine_similarity(x1: Array, x2: Array, dim, eps):
    """The cosine of the angle between vectors along a dimension."""
    a, b = _common(x1, x2)
    if kind(a) not in "fc":
        from torchlike._tensor.dtypes import from_numpy_dtype
        from torchlike._tensor.promotion import SCALAR_TYPE_NAMES

        raise RuntimeError(
            "expected common dtype to be floating point, yet common dtype is "
            f"{SCALAR_TYPE_NAMES[from_numpy_dtype(np.dtype(a.dtype))]}"
        )
    shape = broadcast_shapes([a.shape, b.shape])
    a, b = (broadcast(widened(x), shape) for x in (a, b))
    if not shape:
        a, b = (lax.reshape(x, (1,)) for x in (a, b))
    axis = wrap_dim(dim, len(shape))
    normal = []
    for x in (a, b):
        norm = p_norm(x, 2, axis)
        # The gradient of the norm is not cut off where its value is.
        raised = lax.add(norm, lax.stop_gradient(lax.sub(lax.max(norm, constant(norm, eps)), norm)))
        normal.append(lax.div(x, lax.broadcast_in_dim(raised, x.shape, tuple(d for d in range(x.ndim) if d != axis))))
    return convert(lax.reduce_sum(lax.mul(*normal), (axis,)), np.promote_types(x1.dtype, x2.dtype))


@composite(namespaces=_BOTH)
def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    """The cosine of the angle between vectors along ``dim``: ``x1 . x2 / (max(|x1|, eps) * max(|x2|, eps))``."""
    return _cosine_similarity(x1, x2, dim, float(eps))


@op(namespaces=("_private",), name="_pairwise_distance", node="NormBackward1")
def _pairwise_distance(x1: Array, x2: Array, p, eps, keepdim):
    """The norms of differences along the last dimension."""
    a, b = _common(x1, x2)
    dtype = a.dtype
    shape = broadcast_shapes([a.shape, b.shape])
    a, b = (broadcast(widened(x), shape) for x in (a, b))
    d = lax.sub(a, b)
    if kind(d) in "iu":
        d = convert(d, get_default_dtype().np)
        dtype = d.dtype
    d = lax.add(d, constant(d, eps)) if eps else d
    axis = wrap_dim(-1, d.ndim)
    out = p_norm(d, p, axis)
    return convert(lax.expand_dims(out, (axis,)) if keepdim else out, out.dtype if kind(d) == "c" else dtype)


@composite(namespaces=_BOTH)
def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    """The p-norm of ``x1 - x2 + eps`` along the last dimension."""
    return _pairwise_distance(x1, x2, float(p), float(eps), bool(keepdim))


# All pairs.


def _difference(a: Any, b: Any) -> Any:
    """``a[..., i, None, :] - b[..., None, j, :]``."""
    lead = a.ndim - 2
    shape = (*a.shape[:-1], b.shape[-2], a.shape[-1])
    first = (*range(lead + 1), lead + 2)
    second = (*range(lead), lead + 1, lead + 2)
    return lax.sub(lax.broadcast_in_dim(a, shape, first), lax.broadcast_in_dim(b, shape, second))


def _product(a: Any, b: Any, contract: tuple[int, int]) -> Any:
    lead = tuple(range(a.ndim - 2))
    n = len(lead)
    return lax.dot_general(a, b, (((n + contract[0],), (n + contract[1],)), (lead, lead)))


@jax.custom_vjp
def _by_products(a, b):
    """Euclidean distances from ``|a| ** 2 + |b| ** 2 - 2 a . b``."""
    lead = a.ndim - 2
    shape = (*a.shape[:-1], b.shape[-2])
    squares = [lax.reduce_sum(lax.mul(x, x), (x.ndim - 1,)) for x in (a, b)]
    total = lax.add(
        lax.broadcast_in_dim(squares[0], shape, tuple(range(lead + 1))),
        lax.broadcast_in_dim(squares[1], shape, (*range(lead), lead + 1)),
    )
    total = lax.sub(total, lax.mul(constant(a, 2), _product(a, b, (1, 1))))
    return lax.sqrt(lax.max(total, constant(total, 0)))


def _by_products_forward(a, b):
    out = _by_products(a, b)
    return out, (a, b, out)


def _by_products_backward(saved, g):
    a, b, out = saved
    zero = lax.full_like(out, 0)
    ratio = lax.select(lax.eq(out, zero), zero, lax.div(g, out))
    last = ratio.ndim - 1

    def gradient(x, other, rows, contract):
        weight = lax.broadcast_in_dim(rows, x.shape, tuple(range(x.ndim - 1)))
        return lax.sub(lax.mul(x, weight), _product(ratio, other, contract))

    return (
        gradient(a, b, lax.reduce_sum(ratio, (last,)), (1, 0)),
        gradient(b, a, lax.reduce_sum(ratio, (last - 1,)), (0, 0)),
    )


_by_products.defvjp(_by_products_forward, _by_products_backward)


def _cdist_node(by_products: bool, **_: Any) -> str:
    return "ViewBackward0" if by_products else "CdistBackward0"


@op(namespaces=("_private",), name="_cdist", node=_cdist_node)
def _cdist(x1: Array, x2: Array, p, by_products):
    """The distances of all pairs of vectors of two sets."""
    lead = broadcast_shapes([x1.shape[:-2], x2.shape[:-2]])
    a, b = (broadcast(x, (*lead, *x.shape[-2:])) for x in (x1, x2))
    if by_products:
        return _by_products(a, b)
    if a.shape[-1] == 0:
        return lax.full((*a.shape[:-1], b.shape[-2]), a.dtype.type(0))
    return p_norm(_difference(a, b), p, len(lead) + 2)


@composite(namespaces=("torch",))
def cdist(x1, x2, p=2.0, compute_mode=None):
    """The p-norms of the differences of all pairs: (..., P, M) and (..., R, M) give (..., P, R).

    ``compute_mode`` says when Euclidean distances are taken from products of matrices, faster but less exact:
    ``"use_mm_for_euclid_dist_if_necessary"`` (for more than 25 vectors, the default), ``"use_mm_for_euclid_dist"`` or
    ``"donot_use_mm_for_euclid_dist"``.
    """
    a, b = x1._spec, x2._spec
    for name, t in (("X1", a), ("X2", b)):
        if kind(t) != "f":
            raise RuntimeError(f"cdist only supports floating-point dtypes, {name} got: {type_name_of(t)}")
    if a.ndim < 2 or b.ndim < 2:
        name, t = ("X1", a) if a.ndim < 2 else ("X2", b)
        raise RuntimeError(f"cdist only supports at least 2D tensors, {name} got: {t.ndim}D")
    if a.shape[-1] != b.shape[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {a.shape[-1]} X2: {b.shape[-1]}")
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    modes = (None, "use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")
    if compute_mode not in modes:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    many = a.shape[-2] > 25 or b.shape[-2] > 25
    by_products = p == 2 and a.shape[-1] > 0 and (compute_mode == modes[2] or (compute_mode in modes[:2] and many))
    return _cdist(x1, x2, float(p), by_products)


@op(namespaces=_BOTH, node="PdistBackward0")
def pdist(input, p=2.0):
    """The p-norms of the differences of all pairs of rows of a matrix (N, M), first row first: (N * (N - 1) / 2)."""
    if input.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.ndim}D")
    if kind(input) != "f":
        raise RuntimeError("pdist only supports floating-point dtypes")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    first, second = np.triu_indices(input.shape[0], 1)
    if not first.size or not input.shape[1]:
        return lax.full((first.size,), input.dtype.type(0))
    from torchlike._ops.embedding import rows

    d = lax.sub(rows(input, first.astype(np.int64)), rows(input, second.astype(np.int64)))
    return p_norm(d, float(p), 1)
