"""The host tier's table of rules: what each ``lax`` primitive is in NumPy.

XLA needs tens of milliseconds to compile what NumPy does at once, so a program that is cold is run here: `lower` gives
the NumPy callable of one equation of a jaxpr, `program` the straight-line function of a whole one, `StraightLine` that
of several in a row. The meaning is XLA's on a CPU, to the last rules of integer overflow, division by zero, NaN and
out-of-range indices; floating-point results agree to rounding.

Everything that these functions return expects to be called under ``numpy.errstate(all="ignore")``, and everything that
goes in or comes out is immutable: results may share memory with inputs, and may be read-only.

| module | primitives |
|---|---|
| ``elementwise`` | arithmetic, comparisons, choices, bits, conversions |
| ``special`` | special functions (from SciPy, imported on first use) |
| ``shape`` | reshapes, slices, joining, padding |
| ``reduce`` | reductions, running totals, sorting |
| ``matmul`` | ``dot_general``, convolution |
| ``window`` | pooling and its gradient |
| ``index`` | ``gather``, ``scatter`` |
| ``linalg`` | factorisations, solves, Fourier transforms |
| ``control`` | calls, branches, loops |
"""

from __future__ import annotations

from torchlike._engine.host import (
    control,
    elementwise,
    index,
    linalg,
    matmul,
    reduce,
    shape,
    special,
    window,
)
from torchlike._engine.host.base import RULES, NoRuleError, identity, inner_jaxpr, is_fresh, lower, rule
from torchlike._engine.host.program import StraightLine, program

__all__ = ["RULES", "NoRuleError", "StraightLine", "identity", "inner_jaxpr", "is_fresh", "lower", "program", "rule"]
