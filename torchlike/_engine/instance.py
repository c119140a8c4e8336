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

from torchlike._engine import config
from torchlike._engine.tracing import Halves, apply_vjp, of_primals, trace
from torchlike._engine.tracing import conjugate as conjugate
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
    keep intermediate results: right where the forward is cheap. ``traced`` is the function as a jaxpr, where it was
    traced before, for arrays of the specs that it says.
    """

    __slots__ = ("__weakref__", "bind", "name", "recompute", "traced")

    def __init__(self, name: str, bind: Callable[..., Callable], recompute: bool = False, traced: Any = None):
        self.name = name
        self.bind = bind
        self.recompute = recompute
        self.traced = traced

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
        if mask:
            self._keep_halves(_of_arrays(kernel.bind(static, inputs), inputs))
            n = len(inputs)
            self.checked = tuple(
                p for p in self.residuals if (isinstance(inputs[p], Spec) if p < n else p < n + self.n_out)
            )
            self.frees = bool(self.residuals)
        else:
            self._keep(_traced(kernel, inputs) or trace(_of_arrays(kernel.bind(static, inputs), inputs), self._avals()))
            self.n_out = len(self.out_specs)
            self.differentiable: tuple[bool, ...] = ()

    def _avals(self) -> list[Any]:
        return [_aval(self.inputs[i]) for i in self.arrays]

    def _where(self) -> list[int]:
        """Which of the arrays are differentiated."""
        return [self.arrays.index(i) for i in self.mask]

    def _keep_halves(self, function: Callable) -> None:
        halves = Halves(function, self._avals(), self._where(), self.kernel.recompute)
        self._keep(halves.forward)
        self.n_out = halves.n_out
        self.differentiable = halves.differentiable
        self.opaque = halves.opaque
        k = len(self.arrays)
        self.residuals = tuple(self.arrays[p] if p < k else p - k + len(self.inputs) for p in halves.places)
        self.transpose = _transpose(self.kernel.name, halves)

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


def _traced(kernel: Kernel, inputs: tuple[Input, ...]) -> Any:
    """The kernel's jaxpr where it has one for these inputs."""
    if kernel.traced is None:
        return None
    specs = tuple([spec_of(a.shape, a.dtype) for a in kernel.traced.in_avals])
    return kernel.traced if specs == inputs else None


def _transpose(name: str, halves: Halves) -> Kernel:
    """The backward half as a kernel of residuals and cotangents."""
    closed, error = halves.backward, halves.error

    def bind(static, inputs):
        whole = closed
        if whole is None:
            raise error  # type: ignore[misc]
        return lambda *arrays: tuple(jax.core.eval_jaxpr(whole.jaxpr, whole.consts, *arrays))

    return Kernel(f"{name}.transpose", bind, traced=closed)


def _whole_transpose(function: Callable, n: int, where: Sequence[int]) -> Callable:
    """The transpose as a function of all ``n`` array inputs and the cotangents."""

    def run(*arrays):
        inputs, cts = arrays[:n], arrays[n:]
        _, vjp, _ = jax.vjp(of_primals(function, inputs, where), *[inputs[i] for i in where], has_aux=True)
        return apply_vjp(vjp, cts)

    return run


def transpose_of_inputs(instance: Instance) -> Kernel:
    """The transpose as a kernel of all the array inputs and the cotangents: what second derivatives are taken of."""
    if instance.whole_transpose is None:
        function = _of_arrays(instance.kernel.bind(instance.static, instance.inputs), instance.inputs)
        run = _whole_transpose(function, len(instance.arrays), instance._where())
        instance.whole_transpose = Kernel(f"{instance.kernel.name}.transpose", lambda static, inputs: run)
    return instance.whole_transpose


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
