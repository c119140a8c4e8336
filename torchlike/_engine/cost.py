"""Estimates of what running a program costs on each executor: deterministic, from shapes alone.

The constants were measured on two cores of a current server processor. They need not be exact: they decide only when a
program that repeats has earned its compilation (the ski-rental rule) and what is too large to be run with NumPy at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from torchlike._engine.instance import Instance

# Seconds.
HOST_PER_EQUATION = 0.7e-6
HOST_PER_BYTE = 1.2e-10
HOST_PER_FLOP = 3e-10
HOST_PER_MATMUL_FLOP = 1.2e-11
XLA_PER_CALL = 35e-6
XLA_PER_BYTE = 3e-11
XLA_PER_FLOP = 1e-10
COMPILE_PER_PROGRAM = 0.05
COMPILE_PER_EQUATION = 0.006
#: A program that would take longer than this with NumPy and much less with XLA is compiled at its first run.
AT_ONCE = 0.5

_TRANSCENDENTAL = frozenset(
    (
        "exp", "exp2", "log", "log1p", "expm1", "tanh", "logistic", "sin",
        "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh",
        "asinh", "acosh", "atanh", "pow", "erf", "erfc", "erf_inv", "lgamma",
        "digamma", "cbrt", "rsqrt",
    )
)  # fmt: skip
#: Primitives that NumPy runs far slower than XLA, with the cost per output element in arithmetic operations.
_HEAVY = {"conv_general_dilated": 0, "sort": 60, "scatter-add": 40, "scatter": 30, "gather": 12, "cumsum": 4}
_FREE = frozenset(
    (
        "reshape", "squeeze", "expand_dims", "transpose", "broadcast_in_dim", "slice",
        "copy", "rev", "pjit", "jit",
    )
)  # fmt: skip


class Estimate(NamedTuple):
    """Seconds: a run on the host, a run on XLA, a compilation; and whether to compile before the first run."""

    host: float
    xla: float
    compile: float
    compile_at_once: bool


def estimate(instances: Iterable[Instance]) -> Estimate:
    """The estimated costs of running the instances one after the other, as one program."""
    count, flops, matmul, moved = 0, 0.0, 0.0, 0.0
    for instance in instances:
        c, f, m, b = _of_jaxpr(instance.jaxpr)
        count, flops, matmul, moved = count + c, flops + f, matmul + m, moved + b
    host = count * HOST_PER_EQUATION + moved * HOST_PER_BYTE + flops * HOST_PER_FLOP + matmul * HOST_PER_MATMUL_FLOP
    xla = XLA_PER_CALL + moved * XLA_PER_BYTE + flops * XLA_PER_FLOP + matmul * HOST_PER_MATMUL_FLOP
    compile_time = COMPILE_PER_PROGRAM + count * COMPILE_PER_EQUATION
    return Estimate(host, xla, compile_time, host - xla > max(AT_ONCE, compile_time))


def _of_jaxpr(jaxpr: Any) -> tuple[int, float, float, float]:
    """Equations, elementwise and matrix arithmetic operations, and bytes moved."""
    count, flops, matmul, moved = 0, 0.0, 0.0, 0.0
    for eqn in jaxpr.eqns:
        name = eqn.primitive.name
        inner = eqn.params.get("jaxpr") or eqn.params.get("call_jaxpr") or eqn.params.get("body_jaxpr")
        if inner is not None:
            times = eqn.params.get("length", 1)
            c, f, m, b = _of_jaxpr(getattr(inner, "jaxpr", inner))
            # A loop is one equation to the compiler's cost but runs its body many times with NumPy.
            count, flops, matmul, moved = count + c * times, flops + f * times, matmul + m * times, moved + b * times
            continue
        count += 1
        out = sum(math.prod(v.aval.shape) for v in eqn.outvars)
        if name == "dot_general":
            (contract, _), _ = eqn.params["dimension_numbers"]
            matmul += 2.0 * out * math.prod(eqn.invars[0].aval.shape[d] for d in contract)
        elif name == "conv_general_dilated":
            kernel = eqn.invars[1].aval.shape
            spec = eqn.params["dimension_numbers"].rhs_spec
            flops += 0.2 * out * math.prod(kernel) / kernel[spec[0]]
        elif name in _FREE:
            continue
        else:
            flops += out * (8 if name in _TRANSCENDENTAL else _HEAVY.get(name, 1))
        moved += sum(math.prod(v.aval.shape) * v.aval.dtype.itemsize for v in (*eqn.outvars, *eqn.invars))
    return count, flops, matmul, moved
