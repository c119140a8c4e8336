"""Host rules of the primitives that run inner jaxprs: branches, loops, solves, and calls that were not inlined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from torchlike._engine.host.base import INNER, NoRuleError, constant, inner_jaxpr, out_dtype, out_shape, rule
from torchlike._engine.host.program import program


def _program(closed_jaxpr: ClosedJaxpr) -> Callable[..., tuple]:
    function = program(closed_jaxpr)
    if function is None:
        raise NoRuleError("an inner jaxpr without host form")
    return function


@rule(*INNER)
def _call(eqn: Any) -> Callable:
    inner = inner_jaxpr(eqn)
    if inner is None:
        raise NoRuleError(eqn.primitive.name)
    return _program(inner)


@rule("platform_index")
def _platform_index(eqn: Any) -> Callable:
    """Which of several groups of platforms the CPU belongs to; the group None is every other platform."""
    groups = eqn.params["platforms"]
    own = [index for index, group in enumerate(groups) if group is None or "cpu" in group]
    index = constant(own[0], out_dtype(eqn))
    return lambda: index


@rule("cond")
def _cond(eqn: Any) -> Callable:
    branches = [_program(branch) for branch in eqn.params["branches"]]
    last = len(branches) - 1
    return lambda index, *operands: branches[min(max(int(index), 0), last)](*operands)


@rule("while")
def _while(eqn: Any) -> Callable:
    params = eqn.params
    proceed, body = _program(params["cond_jaxpr"]), _program(params["body_jaxpr"])
    first, second = int(params["cond_nconsts"]), int(params["cond_nconsts"]) + int(params["body_nconsts"])

    def call(*xs: Any) -> tuple:
        condition, fixed, carry = xs[:first], xs[first:second], xs[second:]
        while proceed(*condition, *carry)[0]:
            carry = body(*fixed, *carry)
        return tuple(carry)

    return call


@rule("scan")
def _scan(eqn: Any) -> Callable:
    """A loop that carries values along, takes one slice of each sequence a round and stacks what it gives."""
    params = eqn.params
    body, length = _program(params["jaxpr"]), int(params["length"])
    fixed, carried = int(params["num_consts"]), int(params["num_consts"]) + int(params["num_carry"])
    kept = int(params["num_carry"])
    stacked = [(out_shape(eqn, index), out_dtype(eqn, index)) for index in range(kept, len(eqn.outvars))]
    order = range(length - 1, -1, -1) if params["reverse"] else range(length)

    def call(*xs: Any) -> tuple:
        constants, carry, sequences = xs[:fixed], xs[fixed:carried], xs[carried:]
        results = [np.empty(shape, dtype) for shape, dtype in stacked]
        for position in order:
            outputs = body(*constants, *carry, *[sequence[position] for sequence in sequences])
            carry = outputs[:kept]
            for result, value in zip(results, outputs[kept:], strict=True):
                result[position] = value
        return (*carry, *results)

    return call


@rule("reduce")
def _reduce(eqn: Any) -> Callable:
    """A reduction by any function of two elements, applied to whole slices one after the other."""
    count, axes = len(eqn.outvars), tuple(map(int, eqn.params["dimensions"]))
    shape = out_shape(eqn)
    slices = [jax.ShapeDtypeStruct(shape, out_dtype(eqn, index % count)) for index in range(2 * count)]
    combine = jaxpr_as_fun(eqn.params["jaxpr"])
    for _ in shape:
        combine = jax.vmap(combine)
    step = _program(jax.make_jaxpr(combine)(*slices))

    def call(*xs: Any) -> tuple:
        stacks = [np.moveaxis(x, axes, range(len(axes))).reshape(-1, *shape) for x in xs[:count]]
        totals = tuple([np.broadcast_to(start, shape) for start in xs[count:]])
        for operands in zip(*stacks, strict=True):
            totals = step(*totals, *operands)
        return totals

    return call


@rule("custom_linear_solve")
def _custom_linear_solve(eqn: Any) -> Callable:
    """The solve that the equation brings along; the other jaxprs serve differentiation."""
    lengths, jaxprs = eqn.params["const_lengths"], eqn.params["jaxprs"]
    solve = _program(jaxprs.solve)
    first = int(lengths.matvec) + int(lengths.vecmat)
    last, total = first + int(lengths.solve), sum(map(int, lengths))
    return lambda *xs: solve(*xs[first:last], *xs[total:])
