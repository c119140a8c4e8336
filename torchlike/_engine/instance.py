"""Op instances: a kernel with its input specs and static arguments fixed, traced once to a jaxpr.

A ``Kernel`` is what the engine knows of an operator: a name and a way to bind static arguments and input descriptions
to a pure JAX function. An ``Instance`` is that function traced. Where inputs are differentiated it is the forward half
of ``jax.vjp``: its outputs are followed by those residuals that are neither inputs nor outputs, and ``transpose`` is
the other half, itself a kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend import core as jex

from torchlike._engine import config
from torchlike._engine.value import Spec, spec_of

#: The specs under which Python numbers enter a program as run-time arguments.
NUMBER_SPECS: dict[type, Spec] = {
    bool: spec_of((), np.dtype(np.bool_)),
    int: spec_of((), np.dtype(np.int64)),
    float: spec_of((), np.dtype(np.float64)),
    complex: spec_of((), np.dtype(np.complex128)),
}

#: How an input is described to a kernel: an array's spec, a Python number fixed in the program, or the type of one that
#: arrives at run time.
Input = Spec | bool | int | float | complex | type


class Kernel:
    """A pure JAX function in want of its static arguments.

    ``bind(static, inputs)`` returns a function of the inputs (arrays, or Python numbers where ``inputs`` holds numbers)
    that returns an array or a tuple of arrays. ``recompute`` lets the backward start from the inputs again rather than
    keep intermediate results: right where the forward is cheap.
    """

    __slots__ = ("__weakref__", "bind", "name", "recompute")

    def __init__(self, name: str, bind: Callable[..., Callable], recompute: bool = False):
        self.name = name
        self.bind = bind
        self.recompute = recompute

    def __repr__(self) -> str:
        return f"<kernel {self.name}>"


class Instance:
    """A traced kernel: ``jaxpr`` maps the array inputs to the outputs.

    For a differentiated instance, ``residuals`` lists where the backward finds what it needs: indices into the inputs
    followed by the outputs (all ``len(out_specs)`` of them, of which the first ``n_out`` are the operator's own).
    """

    __slots__ = (
        "__weakref__",
        "arrays",
        "checked",
        "consts",
        "differentiable",
        "frees",
        "function",
        "inputs",
        "jaxpr",
        "kernel",
        "mask",
        "n_out",
        "node_class",
        "opaque",
        "out_specs",
        "residuals",
        "single",
        "static",
        "takes_numbers",
        "transpose",
        "whole_transpose",
    )  # fmt: skip

    def __init__(self, kernel: Kernel, static: Any, inputs: tuple[Input, ...], mask: tuple[int, ...]):
        self.kernel = kernel
        self.static = static
        self.inputs = inputs
        self.mask = mask
        self.takes_numbers = any(isinstance(x, type) for x in inputs)
        #: Positions of the inputs that are arrays at run time.
        self.arrays = tuple(i for i, x in enumerate(inputs) if isinstance(x, (Spec, type)))
        self.residuals: tuple[int, ...] = ()
        #: The inputs and outputs (as in ``residuals``) whose tensors must not be written to before the backward, and
        #: whether the backward frees anything; the layers above may change both.
        self.checked: tuple[int, ...] = ()
        self.frees = False
        #: Whether there are residuals that are neither, so that second derivatives need all the inputs.
        self.opaque = False
        self.node_class: Any = None  # the layers above keep the class of this instance's nodes here
        self.transpose: Kernel | None = None
        self.whole_transpose: Kernel | None = None
        self.function = function = _of_arrays(kernel.bind(static, inputs), inputs)
        if mask:
            _trace_forward_half(self, function)
            n = len(inputs)
            self.checked = tuple(
                p for p in self.residuals if (isinstance(inputs[p], Spec) if p < n else p < n + self.n_out)
            )
            self.frees = bool(self.residuals)
        else:
            closed = _trace(function, [_aval(inputs[i]) for i in self.arrays])
            self._keep(closed)
            self.n_out = len(self.out_specs)
            self.differentiable: tuple[bool, ...] = ()

    def _keep(self, closed: Any) -> None:
        self.jaxpr = closed.jaxpr
        self.consts = closed.consts
        self.out_specs = tuple(spec_of(a.shape, a.dtype) for a in closed.out_avals)
        #: The spec of the only output, None where there are several.
        self.single = self.out_specs[0] if len(self.out_specs) == 1 else None

    def __repr__(self) -> str:
        return f"<instance {self.kernel.name}({', '.join(map(str, self.inputs))}) -> {self.out_specs[: self.n_out]}>"


def _aval(x: Any) -> jax.ShapeDtypeStruct:
    spec = x if isinstance(x, Spec) else NUMBER_SPECS[x]
    return jax.ShapeDtypeStruct(spec.shape, spec.dtype)


def _of_arrays(function: Callable, inputs: tuple[Input, ...]) -> Callable:
    """The function of all inputs as a function of those that are arrays, returning a tuple."""
    fixed = [None if isinstance(x, (Spec, type)) else x for x in inputs]
    holes = [i for i, x in enumerate(inputs) if isinstance(x, (Spec, type))]

    def of_arrays(*arrays):
        full = list(fixed)
        for i, array in zip(holes, arrays, strict=True):
            full[i] = array
        out = function(*full)
        return tuple(out) if isinstance(out, (tuple, list)) else (out,)

    return of_arrays


def _trace(function: Callable, avals: Sequence[Any]) -> Any:
    closed = jax.make_jaxpr(function)(*avals)
    return _without_dead_code(closed)


def _without_dead_code(closed: Any) -> Any:
    jaxpr = closed.jaxpr
    live = {v for v in jaxpr.outvars if not isinstance(v, jex.Literal)}
    kept = []
    for eqn in reversed(jaxpr.eqns):
        if eqn.effects or any(v in live for v in eqn.outvars):
            kept.append(eqn)
            live.update(v for v in eqn.invars if not isinstance(v, jex.Literal))
    if len(kept) == len(jaxpr.eqns):
        return closed
    return closed.replace(jaxpr=jaxpr.replace(eqns=kept[::-1]))


def _with_outputs(closed: Any, outvars: Sequence[Any]) -> Any:
    jaxpr = closed.jaxpr
    names = jaxpr.debug_info._replace(result_paths=None)
    return _without_dead_code(closed.replace(jaxpr=jaxpr.replace(outvars=list(outvars), debug_info=names)))


def _is_inexact(dtype: Any) -> bool:
    return jax.dtypes.issubdtype(dtype, np.inexact)  # type: ignore[misc]


def _split(function: Callable, arrays: Sequence[Any], where: Sequence[int]) -> Callable:
    """The function of the arrays at ``where`` alone, its inexact results apart from the others."""

    def of_primals(*primals):
        full = list(arrays)
        for i, p in zip(where, primals, strict=True):
            full[i] = p
        out = function(*full)
        return tuple(o for o in out if _is_inexact(o.dtype)), out

    return of_primals


def _trace_forward_half(instance: Instance, function: Callable) -> None:
    """Trace ``jax.vjp``'s forward half into the instance and set up its transpose."""
    avals = [_aval(instance.inputs[i]) for i in instance.arrays]
    where = [instance.arrays.index(i) for i in instance.mask]
    store: dict[str, Any] = {}

    def forward(*arrays):
        _, vjp, out = jax.vjp(_split(function, arrays, where), *[arrays[i] for i in where], has_aux=True)
        leaves, store["tree"] = jax.tree_util.tree_flatten(vjp)
        store["n_out"] = len(out)
        return (*out, *leaves)

    closed = _trace(forward, avals)
    n_out = instance.n_out = store["n_out"]
    instance.differentiable = tuple(_is_inexact(a.dtype) for a in closed.out_avals[:n_out])
    invars = {v: i for i, v in zip(instance.arrays, closed.jaxpr.invars, strict=True)}
    outvars, leaves = closed.jaxpr.outvars[:n_out], closed.jaxpr.outvars[n_out:]
    cotangents = [a for a, d in zip(closed.out_avals[:n_out], instance.differentiable, strict=True) if d]
    opaque = [
        v for v in leaves
        if not isinstance(v, jex.Literal) and v not in invars and v not in outvars and _is_inexact(v.aval.dtype)
    ]  # fmt: skip
    if opaque and instance.kernel.recompute:
        _transpose_from_inputs(instance, function, avals, where, cotangents)
        instance._keep(_with_outputs(closed, outvars))
        return
    instance.opaque = bool(opaque)
    # Each distinct residual once: inputs and outputs by their place, literals as constants of the transpose.
    places: list[int] = []
    sources: list[tuple[str, Any]] = []
    extra: list[Any] = []
    for v in leaves:
        if isinstance(v, jex.Literal):
            sources.append(("literal", np.asarray(v.val, v.aval.dtype)))
            continue
        if v in invars:
            place = invars[v]
        elif v in outvars:
            place = len(instance.inputs) + outvars.index(v)
        else:
            if v not in extra:
                extra.append(v)
            place = len(instance.inputs) + n_out + extra.index(v)
        if place not in places:
            places.append(place)
        sources.append(("residual", places.index(place)))
    instance._keep(_with_outputs(closed, [*outvars, *extra]))
    instance.residuals = tuple(places)
    tree = store["tree"]

    def transpose(static, inputs):
        def run(*arrays):
            residuals, cts = arrays[: len(places)], arrays[len(places) :]
            vjp = jax.tree_util.tree_unflatten(tree, [residuals[s] if kind == "residual" else s for kind, s in sources])
            return _apply_vjp(vjp, cts)

        return run

    instance.transpose = Kernel(instance.kernel.name + ".transpose", transpose)


def _transpose_from_inputs(instance, function, avals, where, cotangents) -> None:
    """Set the instance up so that its transpose runs the forward again from the inputs that it really needs."""

    from_inputs = _whole_transpose(function, len(avals), where)
    closed = _trace(from_inputs, [*avals, *cotangents])
    used = {v for eqn in closed.jaxpr.eqns for v in eqn.invars if not isinstance(v, jex.Literal)}
    used.update(v for v in closed.jaxpr.outvars if not isinstance(v, jex.Literal))
    needed = [i for i, v in enumerate(closed.jaxpr.invars[: len(avals)]) if v in used]
    instance.residuals = tuple(instance.arrays[i] for i in needed)

    def transpose(static, inputs):
        def run(*arrays):
            full = [np.zeros(a.shape, a.dtype) for a in avals]
            for i, array in zip(needed, arrays, strict=False):
                full[i] = array
            return from_inputs(*full, *arrays[len(needed) :])

        return run

    instance.transpose = Kernel(instance.kernel.name + ".transpose", transpose)


def _whole_transpose(function: Callable, n: int, where: Sequence[int]) -> Callable:
    """The transpose as a function of all ``n`` array inputs and the cotangents."""

    def run(*arrays):
        inputs, cts = arrays[:n], arrays[n:]
        _, vjp, _ = jax.vjp(_split(function, inputs, where), *[inputs[i] for i in where], has_aux=True)
        return _apply_vjp(vjp, cts)

    return run


def transpose_of_inputs(instance: Instance) -> Kernel:
    """The transpose as a kernel of all the array inputs and the cotangents: what second derivatives are taken of."""
    if instance.whole_transpose is None:
        where = [instance.arrays.index(i) for i in instance.mask]
        run = _whole_transpose(instance.function, len(instance.arrays), where)
        instance.whole_transpose = Kernel(f"{instance.kernel.name}.transpose", lambda static, inputs: run)
    return instance.whole_transpose


def conjugate(x: Any) -> Any:
    """The conjugate of a complex array, any other as it is."""
    return x.conj() if np.dtype(x.dtype).kind == "c" else x


def _apply_vjp(vjp: Callable, cotangents: Sequence[Any]) -> tuple:
    """``vjp`` under torch's convention: the gradient with respect to a complex number is conjugated."""
    return tuple(map(conjugate, vjp(tuple(map(conjugate, cotangents)))))


class Generations(dict):
    """A bounded cache: when full, entries not used since the last time it was full are dropped."""

    def __init__(self, limit: int):
        super().__init__()
        self.limit = limit
        self.old: dict = {}

    def find(self, key: Any) -> Any:
        """The entry under ``key`` or None."""
        entry = self.get(key)
        if entry is None:
            entry = self.old.pop(key, None)
            if entry is not None:
                self.keep(key, entry)
        return entry

    def keep(self, key: Any, entry: Any) -> None:
        """Put ``entry`` under ``key``."""
        if len(self) >= self.limit:
            self.old = dict(self)
            self.clear()
        self[key] = entry


_instances = Generations(config.max_instances // 2)


def number_key(x: Any) -> Any:
    """A Python number as a dictionary key that tells 1 from 1.0 and True, 0.0 from -0.0, and finds nan again."""
    if x == 0 or x != x:
        return type(x), repr(x)
    return type(x), x


def instance_of(kernel: Kernel, static: Any, inputs: tuple[Input, ...], mask: tuple[int, ...]) -> Instance:
    """The instance of a kernel for these inputs, traced the first time it is asked for."""
    key = (
        kernel, static, mask,
        *[x if isinstance(x, (Spec, type)) else number_key(x) for x in inputs],
    )  # fmt: skip
    instance = _instances.find(key)
    if instance is None:
        instance = Instance(kernel, static, inputs, mask)
        _instances.keep(key, instance)
    return instance
