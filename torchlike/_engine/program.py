"""Programs: the steps of a trace that lead to the wanted values, and the executor that runs them.

The host executor is one straight-line Python function over NumPy arrays, generated once. The XLA executor is one jitted
function. Which of the two runs is decided by estimated costs alone, never by a clock, so that a script gives the same
bits each time it runs.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from torchlike._engine import config, cost, explain, host, stats
from torchlike._engine.instance import Instance
from torchlike._engine.value import Spec

Step = tuple[Instance, tuple, int]


class Program:
    """A runnable slice of a trace: ``run(arrays of the input slots) -> arrays of the wanted slots``."""

    __slots__ = (
        "__weakref__", "_host", "_saved", "_used", "_xla", "estimate", "inputs", "outputs", "runs", "specs", "steps",
    )  # fmt: skip

    def __init__(self, steps: Sequence[Step], wanted: tuple[int, ...], specs: Sequence[Spec]):
        self.steps = _needed(steps, wanted)
        self.outputs = wanted
        made = {s for instance, _, start in self.steps for s in range(start, start + len(instance.out_specs))}
        used = {s for _, slots, _ in self.steps for s in slots}
        self.inputs = tuple(sorted(used - made))
        self.specs = [specs[i] for i in self.inputs]
        self.runs = 0
        self.estimate = cost.estimate([instance for instance, _, _ in self.steps])
        self._host: Any = None
        self._xla: Any = None
        #: Seconds that XLA would have saved by now, and the number of the last run on XLA.
        self._saved = 0.0
        self._used = 0

    def run(self, arrays: list[Any]) -> Sequence[Any]:
        """Compute the wanted values from the arrays of the input slots."""
        self.runs += 1
        if self._xla is None:
            if self._stays_on_host():
                stats.host_runs += 1
                return self._run_host(arrays)
            self._compile()
        stats.xla_runs += 1
        self._used = stats.xla_runs
        return self._xla(*arrays)  # type: ignore[misc]

    def _stays_on_host(self) -> bool:
        if config.tier == "xla":
            return False
        if config.tier != "host" and (self.estimate.compile_at_once or self._saved >= self.estimate.compile):
            return False
        if self._host is None:
            self._host = host_function(self.steps, self.inputs, self.specs, self.outputs) or False
        if self._host is False:
            return False
        self._saved += self.estimate.host - self.estimate.xla
        return True

    def _run_host(self, arrays: list[Any]) -> Sequence[Any]:
        arrays = [a if type(a) is np.ndarray else np.asarray(a) for a in arrays]
        with np.errstate(all="ignore"):
            return self._host(*arrays)

    def _compile(self) -> None:
        stats.compiles += 1
        if config.log_compiles:
            explain.compilation(self)
        steps, inputs, outputs = self.steps, self.inputs, self.outputs

        def program(*arrays):
            env = dict(zip(inputs, arrays, strict=True))
            for instance, slots, start in steps:
                outs = jax.core.eval_jaxpr(instance.jaxpr, instance.consts, *[env[s] for s in slots])
                env.update(zip(range(start, start + len(outs)), outs, strict=True))
            return [env[s] for s in outputs]

        self._xla = jax.jit(program)
        self._host = None
        self._used = stats.xla_runs
        _compiled.add(self)
        if len(_compiled) > config.max_programs:
            _forget_least_used()


#: The programs that hold compiled code.
_compiled: weakref.WeakSet[Program] = weakref.WeakSet()


def _forget_least_used() -> None:
    """Let go of the compiled code of the half of the programs that ran least recently; they start over on the host."""
    for program in sorted(_compiled, key=lambda p: p._used)[: len(_compiled) // 2]:
        program._xla, program._saved = None, 0.0
        _compiled.discard(program)


def _needed(steps: Sequence[Step], wanted: tuple[int, ...]) -> list[Step]:
    """The steps on which the wanted slots depend, in order."""
    live = set(wanted)
    kept = []
    for step in reversed(steps):
        instance, slots, start = step
        if any(s in live for s in range(start, start + len(instance.out_specs))):
            kept.append(step)
            live.update(slots)
    return kept[::-1]


def host_function(steps: Sequence[Step], inputs: Sequence[int], specs: Sequence[Spec], outputs: Sequence[int]) -> Any:
    """A Python function that runs the steps with NumPy; None where a primitive has no host rule."""
    line = host.StraightLine()
    values = {slot: line.input(spec) for slot, spec in zip(inputs, specs, strict=True)}
    try:
        for instance, slots, start in steps:
            outs = line.inline(instance.jaxpr, instance.consts, [values[s] for s in slots])
            values.update(zip(range(start, start + len(outs)), outs, strict=True))
    except host.NoRuleError:
        return None
    return line.function([values[s] for s in outputs], arrays=True)
