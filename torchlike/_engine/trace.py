"""Recording: operations become steps along a trie; a flush runs the path walked since the last one.

A position in the trie is reached by a sequence of steps, and holds what the next recording of the same sequence needs:
the output specs of its op instance and, where a flush ended, the programs for the values that were still wanted. The
key of a step is ``(kernel, static, mask, *inputs)`` where an input is the slot of a value already in the trace, the
spec of a concrete array met for the first time, or a Python number. So a step in the steady state is one tuple, one
dictionary look-up and the output objects.

Python numbers are constants of the program at first. When the same position meets a second value, the number becomes a
run-time argument there.
"""

from __future__ import annotations

import threading
from sys import getrefcount
from typing import Any

import numpy as np

from torchlike._engine import config, stats
from torchlike._engine.instance import NUMBER_SPECS, Instance, Kernel, instance_of, number_key
from torchlike._engine.program import Program
from torchlike._engine.value import Spec, Value, materialize


def _references(values: list[Value]) -> list[int]:
    """How many references there are to each value."""
    return [getrefcount(v) for v in values]


#: The count of a value that nobody but the trace holds.
_UNHELD = _references([Value(None, NUMBER_SPECS[int])])[0]


class Position:
    """A node of the trie: the state of a trace after a certain sequence of steps."""

    __slots__ = ("children", "inputs", "instance", "key", "parent", "programs", "specialised", "start")

    def __init__(self, parent: Position | None, key: Any, instance: Any, inputs: tuple, start: int):
        self.parent = parent
        self.key = key
        self.instance = instance
        #: Slot of each array input of the step; ``start`` is the slot of the first output.
        self.inputs = inputs
        self.start = start
        self.children: dict[Any, Position] = {}
        self.programs: dict[Any, Program] = {}
        #: Keys, numbers replaced by their types, of children that hold a number as a constant.
        self.specialised: set = set()


class Epoch:
    """The time between two flushes of a trace; values point to it to say where they were last given a slot."""

    __slots__ = ("trace",)

    def __init__(self, trace: Trace):
        self.trace = trace


class Trace:
    """The operations recorded since the last flush, in one thread."""

    def __init__(self):
        self.thread = threading.get_ident()
        self.root = Position(None, None, None, (), 0)
        self.old: dict[Any, Position] = {}
        self.grown = 0
        self.position = self.root
        self.values: list[Value] = []
        self.epoch = Epoch(self)
        #: Values that belong to another thread's trace now -> what stands for them in this one.
        self.foreign: dict[Value, Value] = {}
        self.backwards = 0

    def record(self, kernel: Kernel, static: Any, inputs: Any, mask: tuple[int, ...]) -> tuple[list[Value], Instance]:
        """Record one operation; returns its output values and its op instance.

        ``inputs`` holds Values and Python numbers; ``mask`` the positions of those that are differentiated. Whatever
        the operation raises for its shapes and arguments is raised here and leaves the trace as it was.
        """
        epoch = self.epoch
        start = len(self.values)
        try:
            key = (
                kernel, static, mask,
                *[v.slot if type(v) is Value and v.epoch is epoch else self._enter(v) for v in inputs],
            )  # fmt: skip
            child = self.position.children.get(key)
            if child is None:
                child = self._grow(key, inputs, start)
            if child.instance.takes_numbers:
                self._enter_numbers(child.instance, inputs)
        except BaseException:
            self.take_back(start)
            raise
        return self.advance(child), child.instance

    def advance(self, child: Position) -> list[Value]:
        """Make ``child`` the trace's position; the values of its outputs."""
        values, epoch = self.values, self.epoch
        n = len(values)
        instance = child.instance
        if instance.single is not None:
            outs = [Value(None, instance.single, epoch, n)]
            values.append(outs[0])
        else:
            outs = [Value(None, spec, epoch, n + i) for i, spec in enumerate(instance.out_specs)]
            values.extend(outs)
        self.position = child
        if n > config.max_trace:
            self.flush()
        return outs

    def _enter(self, v: Any) -> Any:
        """Give an input that is not in the trace yet a slot there; what stands for it in the key of the step."""
        if type(v) is not Value:
            return number_key(v)
        if v.array is None:
            materialize(v)
        if v.epoch is not None and v.epoch.trace not in (None, self):
            return self._enter_foreign(v)
        v.epoch = self.epoch
        v.slot = len(self.values)
        self.values.append(v)
        return v.spec

    def _enter_foreign(self, v: Value) -> Any:
        """Enter a value that another thread's trace holds, under a name of our own: its slot there is not to be touched."""
        own = self.foreign.get(v)
        if own is None:
            own = self.foreign[v] = Value(v.array, v.spec)
        if own.epoch is self.epoch:
            return own.slot
        return self._enter(own)

    def take_back(self, start: int) -> None:
        """Forget the inputs that a failed operation entered."""
        for v in self.values[start:]:
            v.epoch = None
        del self.values[start:]

    def _enter_numbers(self, instance: Instance, inputs: Any) -> None:
        """Put the numbers that an instance takes at run time into the trace."""
        for described, v in zip(instance.inputs, inputs, strict=True):
            if isinstance(described, type):
                spec = NUMBER_SPECS[described]
                self.values.append(Value(np.array(v, spec.dtype), spec, self.epoch, len(self.values)))

    def _grow(self, exact: tuple, inputs: Any, start: int) -> Position:
        """The child under the key ``exact``, made now, or the one that takes its numbers at run time."""
        position = self.position
        if position is self.root and exact in self.old:
            child = position.children[exact] = self.old.pop(exact)
            return child
        described = tuple([v.spec if type(v) is Value else v for v in inputs])
        if any(type(v) is not Value for v in inputs):
            general = (
                *exact[:3],
                *[k if type(v) is Value else type(v) for k, v in zip(exact[3:], inputs, strict=True)],
            )
            child = position.children.get(general)
            if child is not None:
                return child
            if general in position.specialised:
                exact = general
                described = tuple([d if isinstance(d, Spec) else type(d) for d in described])
            else:
                position.specialised.add(general)
        instance = instance_of(exact[0], exact[1], described, exact[2])
        slots, at = [], start
        fresh = len(self.values)
        for element, d in zip(exact[3:], described, strict=True):
            if isinstance(element, Spec):
                slots.append(at)
                at += 1
            elif type(element) is int:
                slots.append(element)
            elif isinstance(d, type):
                slots.append(fresh)
                fresh += 1
        child = Position(position, exact, instance, tuple(slots), fresh)
        if self.grown >= config.max_positions // 2:
            self.old, self.root.children, self.grown = self.root.children, {}, 0
            if position is self.root:
                self.old.pop(exact, None)
        self.grown += 1
        position.children[exact] = child
        return child

    def flush(self) -> None:
        """Run what was recorded and make concrete the values that somebody still holds."""
        position, values = self.position, self.values
        if position is self.root:
            return
        counts = _references(values)
        alive = tuple([i for i, n in enumerate(counts) if n > _UNHELD and values[i].array is None])
        if alive:
            program = position.programs.get(alive)
            if program is None:
                program = position.programs[alive] = Program(_steps(position), alive, [v.spec for v in values])
            arrays = program.run([values[i].array for i in program.inputs])
            for i, array in zip(alive, arrays, strict=True):
                v = values[i]
                v.array = array
                v.epoch = None
        self._restart()

    def compute(self, value: Value) -> None:
        """Make one pending value concrete for another thread, leaving the trace to its own thread.

        The path to a position never changes and values are only ever appended, so both may be read at any time.
        """
        position, values = self.position, self.values
        while position.parent is not None and position.start > value.slot:
            position = position.parent
        if value.array is None and value.slot < len(values) and values[value.slot] is value:
            program = Program(_steps(position), (value.slot,), [v.spec for v in values])
            (value.array,) = program.run([values[i].array for i in program.inputs])

    def _restart(self) -> None:
        self.epoch.trace = None
        self.epoch = Epoch(self)
        self.values = []
        if self.foreign:
            self.foreign = {}
        self.position = self.root
        self.backwards = 0
        stats.flushes += 1


def _steps(position: Position) -> list[tuple[Instance, tuple, int]]:
    """The steps that lead to a position: each op instance with its input slots and the slot of its first output."""
    steps = []
    while position.parent is not None:
        steps.append((position.instance, position.inputs, position.start))
        position = position.parent
    return steps[::-1]


class _Threads(threading.local):
    """What each thread has of its own: its trace, and the tape's switches, kept here so that one look-up finds all."""

    def __init__(self):
        self.trace = Trace()
        self.grad_enabled = True
        self.inference = False


threads = _Threads()


def record(kernel: Kernel, static: Any, inputs: Any, mask: tuple[int, ...] = ()) -> tuple[list[Value], Instance]:
    """Record one operation in this thread's trace; see ``Trace.record``."""
    return threads.trace.record(kernel, static, inputs, mask)


def flush() -> None:
    """Run what this thread has recorded."""
    threads.trace.flush()


def step_boundary() -> None:
    """Mark the end of an optimizer's step: a natural place for one program to end and the next to begin."""
    threads.trace.flush()


def backward_boundary() -> None:
    """Mark the start of a backward pass: a second one in the same trace ends the trace first.

    So a hand-written loop that never looks at its loss is cut into programs that repeat.
    """
    trace = threads.trace
    if trace.backwards:
        trace.flush()
    trace.backwards += 1
