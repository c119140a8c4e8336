"""Whole jaxprs as straight-line NumPy functions.

A program is built in four steps: the equations are *lowered* one after the other, with calls inlined, constants folded
and broadcasts left to NumPy; steps that no output needs are *dropped*; results that die are *reused* as the buffers of
later ones; and the steps are *written out* as one Python function, compiled with ``exec``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from torchlike._engine.host.base import NoRuleError, identities, identity, inner_jaxpr, is_fresh, lower
from torchlike._engine.host.elementwise import BROADCASTING
from torchlike._engine.host.shape import narrow_shape

FOLD_SIZE = 1 << 16
"""Constant results of up to this many elements are computed once, when the program is built."""


class Value:
    """A variable of a program: an input, a constant or the result of a step."""

    __slots__ = ("constant", "dtype", "name", "narrow", "owned", "shape")

    def __init__(self, aval: Any, constant: np.ndarray | None = None):
        self.shape, self.dtype = tuple(aval.shape), aval.dtype
        self.constant = constant
        self.narrow: Value | None = None  # the same before a broadcast, for consumers that broadcast by themselves
        self.owned = False  # no view of it exists, so its buffer may be used again
        self.name = ""


class Step:
    """One call of a program: ``outputs = call(*inputs)``; ``buffer`` is the dying input that takes the result."""

    __slots__ = ("buffer", "call", "inputs", "outputs", "several")

    def __init__(self, call: Callable, inputs: list[Value], outputs: list[Value], several: bool):
        self.call, self.inputs, self.outputs, self.several = call, inputs, outputs, several
        self.buffer: Value | None = None


class StraightLine:
    """A straight-line function under construction, from one jaxpr or from several that feed each other.

    >>> import jax, numpy as np
    >>> x = np.ones(3, np.float32)
    >>> closed = jax.make_jaxpr(lambda x: x * 2 + 1)(x)
    >>> line = StraightLine()
    >>> outputs = line.inline(closed.jaxpr, closed.consts, [line.input(x)])
    >>> line.function(outputs)(x)
    (array([3., 3., 3.], dtype=float32),)
    """

    def __init__(self) -> None:
        self.inputs: list[Value] = []
        self.steps: list[Step] = []

    def input(self, aval: Any) -> Value:
        """The next argument of the function; ``aval`` is anything with a shape and a dtype."""
        value = Value(aval)
        value.name = f"a{len(self.inputs)}"
        self.inputs.append(value)
        return value

    def inline(self, jaxpr: Jaxpr, consts: Iterable[Any], operands: Sequence[Value]) -> list[Value]:
        """Append the steps of a jaxpr applied to ``operands`` and return the values of its outputs.

        Raises:
            NoRuleError: an equation has no host form.
        """
        values: dict[Any, Value] = dict(zip(jaxpr.invars, operands, strict=True))
        for var, constant in zip(jaxpr.constvars, consts, strict=True):
            values[var] = _constant(constant, var.aval)

        def read(atom: Any) -> Value:
            return _constant(atom.val, atom.aval) if isinstance(atom, Literal) else values[atom]

        for eqn in jaxpr.eqns:
            arguments = [read(atom) for atom in eqn.invars]
            called = _called(eqn, arguments)
            if called is None:
                results = self._append(eqn, arguments)
            else:
                inner, arguments = called
                results = self.inline(inner.jaxpr, inner.consts, arguments)
            values.update(zip(eqn.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def function(self, outputs: Sequence[Value], arrays: bool = False) -> Callable[..., tuple]:
        """The function from the inputs to the tuple of ``outputs``.

        Outputs of shape () may be NumPy scalars, unless ``arrays`` is set. This ends the line's construction.
        """
        steps = _needed(self.steps, outputs)
        _reuse(steps, outputs)
        return _write(steps, self.inputs, outputs, arrays)

    def _append(self, eqn: Any, operands: list[Value]) -> list[Value]:
        call = lower(eqn)
        if call is None:
            raise NoRuleError(eqn.primitive.name)
        if call is identity or call is identities:
            return operands
        results = [Value(var.aval) for var in eqn.outvars]
        several = eqn.primitive.multiple_results
        if _foldable(operands, results):
            if eqn.primitive.name == "broadcast_in_dim":
                return [_spread(eqn, operands[0].constant, results[0])]
            with np.errstate(all="ignore"):
                folded = call(*[operand.constant for operand in operands])
            return [_constant(value, result) for value, result in zip(folded if several else [folded], results)]
        if eqn.primitive.name == "broadcast_in_dim":
            results[0].narrow = self._narrow(eqn, operands[0])
        elif eqn.primitive.name in BROADCASTING and is_fresh(call):
            operands = _narrowed(operands, results[0].shape)
        self.steps.append(Step(call, operands, results, several))
        return results

    def _narrow(self, eqn: Any, operand: Value) -> Value:
        """The operand of a broadcast in a shape that NumPy broadcasts to the result's."""
        shape, rank = narrow_shape(eqn), len(operand.shape)
        if operand.shape == shape[len(shape) - rank :]:
            return operand
        narrow = Value(operand)
        narrow.shape = shape
        self.steps.append(Step(lambda x: x.reshape(shape), [operand], [narrow], False))
        return narrow


def program(closed_jaxpr: ClosedJaxpr) -> Callable[..., tuple] | None:
    """A function that evaluates a jaxpr on NumPy arrays to the tuple of its outputs; None if it has no host form.

    As with `lower`: call it under ``numpy.errstate(all="ignore")``, and treat inputs and outputs as immutable. Outputs
    of shape () may be NumPy scalars. The Python source of the function is its attribute ``source``.
    """
    line = StraightLine()
    inputs = [line.input(var.aval) for var in closed_jaxpr.jaxpr.invars]
    try:
        outputs = line.inline(closed_jaxpr.jaxpr, closed_jaxpr.consts, inputs)
    except NoRuleError:
        return None
    return line.function(outputs)


def _spread(eqn: Any, constant: Any, result: Value) -> Value:
    """A constant that was broadcast: a view, for it would be kept as long as the program."""
    narrow = np.reshape(constant, narrow_shape(eqn))
    spread = _constant(np.broadcast_to(narrow, result.shape), result)
    spread.narrow = _constant(narrow, result)
    spread.narrow.shape = narrow.shape
    return spread


def _constant(value: Any, aval: Any) -> Value:
    array = np.asarray(value, aval.dtype).view()
    array.flags.writeable = False
    return Value(aval, array)


def _called(eqn: Any, operands: list[Value]) -> tuple[ClosedJaxpr, list[Value]] | None:
    """The jaxpr that an equation amounts to and its operands: for a call, and for a ``cond`` whose branch is known."""
    if eqn.primitive.name == "cond" and operands[0].constant is not None:
        branches = eqn.params["branches"]
        return branches[min(max(int(operands[0].constant), 0), len(branches) - 1)], operands[1:]
    inner = inner_jaxpr(eqn)
    return None if inner is None else (inner, operands)


def _foldable(operands: list[Value], results: list[Value]) -> bool:
    return all(operand.constant is not None for operand in operands) and all(
        math.prod(result.shape) <= FOLD_SIZE for result in results
    )


def _narrowed(operands: list[Value], shape: tuple[int, ...]) -> list[Value]:
    """The operands of an elementwise step before they were broadcast, if one has the result's shape by itself."""
    if not any(operand.narrow is None and operand.shape == shape for operand in operands):
        return operands
    return [operand.narrow or operand for operand in operands]


# Liveness


def _needed(steps: list[Step], outputs: Sequence[Value]) -> list[Step]:
    """The steps whose results reach an output."""
    needed, kept = set(outputs), []
    for step in reversed(steps):
        if not needed.isdisjoint(step.outputs):
            needed.update(step.inputs)
            kept.append(step)
    return kept[::-1]


def _last_uses(steps: list[Step], outputs: Sequence[Value]) -> list[list[Value]]:
    """For each step, the results of earlier steps that it is the last to read."""
    produced = {value for step in steps for value in step.outputs}
    seen, dying = set(outputs), []
    for step in reversed(steps):
        last = [value for value in dict.fromkeys(step.inputs) if value in produced and value not in seen]
        seen.update(last)
        dying.append(last)
    return dying[::-1]


def _reuse(steps: list[Step], outputs: Sequence[Value]) -> None:
    """Let elementwise steps write into an operand that dies with them.

    The operand must be a new array of the result's own shape and dtype, of which no step has made a view.
    """
    for step in steps:
        if is_fresh(step.call):
            for value in step.outputs:
                value.owned = value.shape != ()
    for step in steps:
        if not is_fresh(step.call):
            for value in step.inputs:
                value.owned = False
    for step, dying in zip(steps, _last_uses(steps, outputs), strict=True):
        if isinstance(step.call, np.ufunc) and step.call.signature is None and not step.several:
            (result,) = step.outputs
            for value in dying:
                if value.owned and value.shape == result.shape and value.dtype == result.dtype:
                    step.buffer = value
                    break


# Writing out


class _Scope(dict):
    """The globals of a function under construction: the objects that its code names."""

    def __init__(self) -> None:
        super().__init__(asarray=np.asarray)
        self._names: dict[int, str] = {}

    def name(self, thing: Any, prefix: str) -> str:
        """The name of an object, the same one each time."""
        name = self._names.get(id(thing))
        if name is None:
            name = self._names[id(thing)] = f"{prefix}{len(self)}"
            self[name] = thing
        return name


def _write(steps: list[Step], inputs: list[Value], outputs: Sequence[Value], arrays: bool) -> Callable[..., tuple]:
    """Compile the steps to a function of the inputs."""
    scope = _Scope()
    used = {value for step in steps for value in step.inputs}.union(outputs)
    lines, count = [], 0

    def name(value: Value) -> str:
        return value.name if value.constant is None else scope.name(value.constant, "c")

    for step, dying in zip(steps, _last_uses(steps, outputs)):
        for value in step.outputs:
            if value not in used:
                value.name = "_"
            elif step.buffer is not None:
                value.name = step.buffer.name
            else:
                value.name, count = f"v{count}", count + 1
        arguments = [name(value) for value in step.inputs]
        if step.buffer is not None:
            arguments.append(f"out={step.buffer.name}")
        targets = ", ".join([value.name for value in step.outputs]) or "_"
        comma = "," if step.several and len(step.outputs) == 1 else ""
        lines.append(f"{targets}{comma} = {scope.name(step.call, 'f')}({', '.join(arguments)})")
        dead = [value.name for value in dying if value is not step.buffer]
        if dead:
            lines.append(f"del {', '.join(dead)}")
    results = [
        f"asarray({name(value)})" if arrays and value.shape == () and value.constant is None else name(value)
        for value in outputs
    ]
    head = f"def run({', '.join([value.name for value in inputs])}):"
    source = "\n    ".join([head, *lines, f"return ({''.join(f'{result}, ' for result in results)})"])
    exec(compile(source, "<host program>", "exec"), scope)
    scope["run"].source = source
    return scope["run"]
