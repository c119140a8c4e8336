"""The strides of results: an elementwise operation keeps the order of dimensions in memory that its inputs have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torchlike._engine.trace import record
from torchlike._engine.value import Spec, Value
from torchlike._tensor.tensor import Tensor, wrap
from torchlike._tensor.views import PERMUTE, View, extent, spec_like


def _broadcast_strides(shape: Sequence[int], strides: Sequence[int], out: Sequence[int]) -> list[int]:
    """Strides as a broadcast operand has them: zero where it repeats itself."""
    lead = len(out) - len(shape)
    kept = [0 if n == 1 and want != 1 else s for n, s, want in zip(shape, strides, out[lead:], strict=True)]
    return [0] * lead + kept


def _order(shape: Sequence[int], operands: Sequence[Sequence[int]]) -> list[int]:
    """The dimensions from the one that varies fastest in memory to the slowest, as the operands suggest.

    An insertion sort that starts from the usual order and moves a dimension only where an operand's strides ask for it.
    """

    def compare(a: int, b: int) -> int:
        for strides in operands:
            s, t = strides[a], strides[b]
            if s == 0 or t == 0:
                continue
            if s != t:
                return -1 if s < t else 1
            if shape[a] > shape[b]:
                return 1
        return 0

    order = list(range(len(shape)))[::-1]
    for i in range(1, len(order)):
        at = i
        for before in range(i - 1, -1, -1):
            asked = compare(order[before], order[at])
            if asked > 0:
                order[before], order[at] = order[at], order[before]
                at = before
            elif asked < 0:
                break
    return order


def elementwise_strides(out: Spec, operands: Sequence[tuple[Sequence[int], Sequence[int]]]) -> tuple[int, ...]:
    """The strides of a new result of this spec from operands given by shape and strides."""
    shape = out.shape
    order = _order(shape, [_broadcast_strides(s, t, shape) for s, t in operands])
    strides, step = [0] * len(shape), 1
    for d in order:
        strides[d] = step
        step *= max(shape[d], 1)
    return tuple(strides)


def is_dense(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether the elements fill a stretch of memory, each once, in some order of the dimensions."""
    step = 1
    for stride, n in sorted((s, n) for n, s in zip(shape, strides, strict=True) if n != 1):
        if stride != step:
            return False
        step *= n
    return True


def wrap_strided(value: Value, strides: Sequence[int], device: Any) -> Tensor:
    """A tensor of its own storage that shows ``value`` with these strides, those of some order of the dimensions."""
    spec = value.spec
    if tuple(strides) == extent(spec) or not spec.numel:
        return wrap(value, device)
    slowest_first = tuple(sorted(range(spec.ndim), key=lambda d: (-strides[d], d)))
    base = record(PERMUTE.read, (slowest_first,), (value,))[0][0]
    t = wrap(base, device)
    inverse = tuple(slowest_first.index(d) for d in range(spec.ndim))
    t._view = View(None, PERMUTE, (inverse,), spec_like(spec, spec.shape), tuple(strides), 0, True)
    t._spec = spec
    return t
