"""The table of host rules and what the families of rules share.

A *rule* turns one equation of a jaxpr into a callable on NumPy arrays. Everything that can be known from the equation
(shapes, axes, dtypes, parameters) is settled by the rule, once; the callable does only the work, and where NumPy has a
ufunc of the same meaning, the callable is that ufunc.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
from jax.core import ShapedArray
from jax.extend.core import ClosedJaxpr, Jaxpr

Rule = Callable[[Any], Callable]
"""From an equation (``jax.extend.core.JaxprEqn``) to a callable over the values of its inputs."""

RULES: dict[str, Rule] = {}
"""The rule of each primitive, by the primitive's name."""

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOAT16 = np.dtype(np.float16)
FLOAT32 = np.dtype(np.float32)
HALVES = frozenset({FLOAT16, BFLOAT16})
DTYPES = HALVES | frozenset(
    map(np.dtype, ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8", "c8", "c16"))
)
"""The dtypes that the rules speak of; an equation with any other (float8, int4, random keys) has no host form."""


class NoRuleError(Exception):
    """Raised by a rule for an equation that it does not cover; `lower` turns it into ``None``."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Enter the decorated function into `RULES` as the rule of the primitives called ``names``."""

    def enter(function: Rule) -> Rule:
        for name in names:
            if name in RULES:
                raise ValueError(f"two host rules for the primitive {name!r}")
            RULES[name] = function
        return function

    return enter


def fresh(function: Callable) -> Callable:
    """Mark a callable whose result is an array of its own, never a view of an input (`is_fresh`)."""
    function.fresh = True  # type: ignore[attr-defined]
    return function


def is_fresh(function: Callable) -> bool:
    """Whether the results of ``function`` share no memory with its inputs, so that they may be overwritten."""
    return isinstance(function, np.ufunc) or function is np.ndarray.dot or getattr(function, "fresh", False)


def identity(x: Any) -> Any:
    """The callable of an equation whose output is its input. A program leaves it out."""
    return x


def identities(*xs: Any) -> tuple:
    """`identity` for equations with several results."""
    return xs


def shape_of(eqn: Any, index: int = 0) -> tuple[int, ...]:
    """Shape of input ``index``, as plain integers."""
    return tuple(map(int, eqn.invars[index].aval.shape))


def dtype_of(eqn: Any, index: int = 0) -> np.dtype:
    """NumPy dtype of input ``index``."""
    return np.dtype(eqn.invars[index].aval.dtype)


def out_shape(eqn: Any, index: int = 0) -> tuple[int, ...]:
    """Shape of output ``index``, as plain integers."""
    return tuple(map(int, eqn.outvars[index].aval.shape))


def out_dtype(eqn: Any, index: int = 0) -> np.dtype:
    """NumPy dtype of output ``index``."""
    return np.dtype(eqn.outvars[index].aval.dtype)


def wide(dtype: np.dtype) -> np.dtype:
    """The dtype to compute in: float32 for the 16-bit floats, else ``dtype`` itself."""
    return FLOAT32 if dtype in HALVES else dtype


def constant(value: Any, dtype: np.dtype) -> np.ndarray:
    """A read-only 0-dim array: what ufuncs take fastest, and strongly typed."""
    array = np.asarray(value, dtype)
    array.flags.writeable = False
    return array


def through(dtype: np.dtype, function: Callable, out: np.dtype) -> Callable:
    """``function`` computed in ``dtype`` on inputs of any dtype, with the result cast to ``out``."""

    def call(*xs: Any) -> Any:
        return function(*[x.astype(dtype, copy=False) for x in xs]).astype(out, copy=False)

    return fresh(call) if is_fresh(function) else call


def adapt(eqn: Any, function: Callable) -> Callable:
    """``function`` itself, or for 16-bit floats ``function`` computed in float32 and rounded once."""
    dtype = dtype_of(eqn)
    return through(FLOAT32, function, out_dtype(eqn)) if dtype in HALVES else function


def ufunc_of(eqn: Any, ufunc: np.ufunc) -> Callable:
    """``ufunc`` if NumPy has a loop for exactly the equation's dtypes, else through float32 for 16-bit floats."""
    inputs = tuple(np.dtype(var.aval.dtype) for var in eqn.invars)
    output = out_dtype(eqn)
    try:
        resolved = ufunc.resolve_dtypes((*inputs, None))
    except TypeError:
        resolved = ()
    if resolved == (*inputs, output):
        return ufunc
    if inputs[0] in HALVES:
        return through(FLOAT32, ufunc, output)
    if resolved[:-1] == inputs:
        return fresh(lambda *xs: ufunc(*xs).astype(output))
    raise NoRuleError(f"{ufunc.__name__} has no loop for {inputs}")


def along(axis: int, item: Any) -> tuple:
    """The index that applies ``item`` at ``axis`` and takes all of the axes before."""
    return (slice(None),) * axis + (item,)


def lower(eqn: Any) -> Callable | None:
    """A callable that computes one equation of a jaxpr on NumPy arrays, or None where the table has no rule for it.

    Args:
        eqn: a ``jax.extend.core.JaxprEqn``.

    Returns:
        A function of the values of ``eqn.invars``, literals included: arrays (read-only and non-contiguous ones too) of
        the shapes and dtypes that the equation says; NumPy scalars are welcome where the shape is (). It returns one
        array (or NumPy scalar, for the shape ()), or a tuple of arrays if ``eqn.primitive.multiple_results``. Inputs
        are never written to; a result may share memory with an input or with an earlier result unless `is_fresh` says
        otherwise, so values must be treated as immutable.

    NumPy's floating-point warnings are not suppressed here, as that costs more than many a call: run the callable
    under ``numpy.errstate(all="ignore")``.
    """
    function = RULES.get(eqn.primitive.name)
    if function is None or not all(map(_is_plain, eqn.invars)) or not all(map(_is_plain, eqn.outvars)):
        return None
    try:
        return function(eqn)
    except Exception:  # whatever a rule did not foresee, XLA can do
        return None


def _is_plain(variable: Any) -> bool:
    """Whether a variable of a jaxpr holds an array of one of `DTYPES` (not a reference, a token or a random key)."""
    aval = variable.aval
    return type(aval) is ShapedArray and aval.dtype in DTYPES


INNER: dict[str, str] = {
    "call": "call_jaxpr",
    "closed_call": "call_jaxpr",
    "composite": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vmap_call": "call",
    "jit": "jaxpr",
    "linear_call": "callee",
    "remat2": "jaxpr",
    "remat_opt": "fwd_jaxpr",
}
"""Primitives that merely call the jaxpr in the parameter of this name, with their own inputs."""


def inner_jaxpr(eqn: Any) -> ClosedJaxpr | None:
    """The jaxpr that an equation calls on its inputs as they are (``jit``, ``custom_jvp_call``, ``remat``), or None.

    Such an equation is best replaced by the equations of the jaxpr.
    """
    inner = eqn.params.get(INNER.get(eqn.primitive.name))
    if inner is None or isinstance(inner, ClosedJaxpr):
        return inner
    return ClosedJaxpr(inner, ()) if isinstance(inner, Jaxpr) and not inner.constvars else None
