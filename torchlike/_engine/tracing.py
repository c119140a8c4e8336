"""Tracing functions to jaxprs, and both halves of ``jax.vjp`` at once.

The backward is traced together with the forward, since tracing is most of what a new shape costs. The shapes of the
cotangents are known only once the forward has been traced; they come from a primitive of their own, and what the trace
holds before the first of them is the forward half, the rest the backward half. What the backward half uses of the
forward's variables are the residuals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np
from jax.core import ShapedArray
from jax.extend import core as jex

#: Stands for the gradient of an output while both halves are traced.
_cotangent = jex.Primitive("cotangent")
_cotangent.def_abstract_eval(lambda *, shape, dtype: ShapedArray(shape, dtype))


def trace(function: Callable, avals: Sequence[Any]) -> jex.ClosedJaxpr:
    """The jaxpr of a function of arrays, without dead code."""

    def once(*arrays):  # JAX keeps what it traced as long as it sees the function: let it see one that dies
        return function(*arrays)

    closed = jax.make_jaxpr(once)(*avals)
    jaxpr = closed.jaxpr
    return _closed(closed, jaxpr.invars, _without_tracebacks(jaxpr.eqns), jaxpr.outvars)


class Halves:
    """A differentiated function: ``forward`` gives its outputs and the extra residuals, ``backward`` takes residuals and
    cotangents to the gradients.

    ``places`` says where each residual is found: its number among the inputs, the outputs and the extra residuals, in
    that order. ``opaque`` tells whether there are inexact extra residuals. Where the backward cannot be traced,
    ``backward`` is None and ``error`` why.
    """

    def __init__(self, function: Callable, avals: Sequence[Any], where: Sequence[int], recompute: bool):
        self.error: Exception | None = None

        def both(*arrays):
            _, vjp, out = jax.vjp(of_primals(function, arrays, where), *[arrays[i] for i in where], has_aux=True)
            self.n_out = len(out)
            cotangents = [_cotangent.bind(shape=o.shape, dtype=o.dtype) for o in out if is_inexact(o.dtype)]
            try:
                gradients = apply_vjp(vjp, cotangents)
            except Exception as error:
                self.error, gradients = error.with_traceback(None), ()
            return (*out, *gradients)

        closed = jax.make_jaxpr(both)(*avals)
        jaxpr, n = closed.jaxpr, self.n_out
        outs, gradients = jaxpr.outvars[:n], jaxpr.outvars[n:]
        self.differentiable = tuple(is_inexact(a.dtype) for a in closed.out_avals[:n])
        eqns = _without_tracebacks(jaxpr.eqns)
        if self.error is not None:
            self.forward = _closed(closed, jaxpr.invars, eqns, outs)
            self.backward, self.places, self.opaque = None, (), True
            return
        cut = next((i for i, e in enumerate(eqns) if e.primitive is _cotangent), len(eqns))
        before = eqns[:cut]
        after = [e for e in eqns[cut:] if e.primitive is not _cotangent]
        cotangents = [e.outvars[0] for e in eqns[cut:] if e.primitive is _cotangent]
        # What is made of nothing is made again rather than kept.
        after = [*_constants(before, jaxpr.constvars), *after]
        known = dict.fromkeys([*jaxpr.invars, *[v for e in before for v in e.outvars]])
        used = _used(_live(after, gradients), gradients)
        extra = [v for v in known if v in used and v not in jaxpr.invars and v not in outs]
        self.opaque = any(is_inexact(v.aval.dtype) for v in extra)
        if self.opaque and recompute:
            self.opaque, extra = False, []
            after = [*before, *after]
            used = _used(_live(after, gradients), gradients)
            pool = jaxpr.invars
        else:
            pool = [*jaxpr.invars, *outs, *extra]
        residuals = [v for v in dict.fromkeys(v for v in pool if not isinstance(v, jex.Literal)) if v in used]
        self.places = tuple(pool.index(v) for v in residuals)
        self.forward = _closed(closed, jaxpr.invars, before, [*outs, *extra])
        self.backward = _closed(closed, [*residuals, *cotangents], after, gradients)


def is_inexact(dtype: Any) -> bool:
    """Whether a dtype is one of real or complex numbers."""
    return jax.dtypes.issubdtype(dtype, np.inexact)  # type: ignore[arg-type]


def conjugate(x: Any) -> Any:
    """The conjugate of a complex array, any other as it is."""
    return x.conj() if np.dtype(x.dtype).kind == "c" else x


def apply_vjp(vjp: Callable, cotangents: Sequence[Any]) -> tuple:
    """``vjp`` under torch's convention: the gradient with respect to a complex number is conjugated."""
    return tuple(map(conjugate, vjp(tuple(map(conjugate, cotangents)))))


def of_primals(function: Callable, arrays: Sequence[Any], where: Sequence[int]) -> Callable:
    """The function of the arrays at ``where`` alone, its inexact results apart from the others."""

    def run(*primals):
        full = list(arrays)
        for i, p in zip(where, primals, strict=True):
            full[i] = p
        out = function(*full)
        return tuple(o for o in out if is_inexact(o.dtype)), out

    return run


def _without_tracebacks(eqns: Iterable[Any]) -> list[Any]:
    """Equations without the stacks that JAX keeps for its messages: they tell of this package only, and take memory."""
    bare: dict[Any, Any] = {}  # by name stack
    kept = []
    for eqn in eqns:
        info = eqn.source_info
        if info.name_stack not in bare:
            bare[info.name_stack] = type(info)(None, info.name_stack)
        kept.append(eqn.replace(source_info=bare[info.name_stack]))
    return kept


def _used(eqns: Iterable[Any], outvars: Iterable[Any]) -> set:
    used = {v for e in eqns for v in e.invars if not isinstance(v, jex.Literal)}
    used.update(v for v in outvars if not isinstance(v, jex.Literal))
    return used


def _live(eqns: Sequence[Any], outvars: Iterable[Any]) -> list[Any]:
    """The equations on which the outputs depend."""
    live = {v for v in outvars if not isinstance(v, jex.Literal)}
    kept = []
    for eqn in reversed(eqns):
        if eqn.effects or any(v in live for v in eqn.outvars):
            kept.append(eqn)
            live.update(v for v in eqn.invars if not isinstance(v, jex.Literal))
    return kept[::-1]


def _constants(eqns: Iterable[Any], constvars: Iterable[Any]) -> list[Any]:
    """The equations that depend on no input."""
    known, kept = set(constvars), []
    for eqn in eqns:
        if not eqn.effects and all(isinstance(v, jex.Literal) or v in known for v in eqn.invars):
            kept.append(eqn)
            known.update(eqn.outvars)
    return kept


def _closed(closed: Any, invars: Sequence[Any], eqns: Sequence[Any], outvars: Sequence[Any]) -> Any:
    """Part of a traced function: from these variables to those, by what it takes of these equations."""
    eqns = _live(eqns, outvars)
    used = _used(eqns, outvars)
    consts = [(v, c) for v, c in zip(closed.jaxpr.constvars, closed.consts, strict=True) if v in used]
    names = closed.jaxpr.debug_info._replace(arg_names=None, result_paths=None)
    jaxpr = closed.jaxpr.replace(
        invars=list(invars), constvars=[v for v, _ in consts], eqns=eqns, outvars=list(outvars), debug_info=names
    )
    return jex.ClosedJaxpr(jaxpr, [c for _, c in consts])
