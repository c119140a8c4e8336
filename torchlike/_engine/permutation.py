"""The shuffles of Fisher and Yates that PyTorch's ``randperm`` runs, without a loop over the elements.

The forward shuffle swaps, for i = 0, 1, ..., the elements at i and at ``t[i] >= i``. Position i is final after step i,
and what it then holds came from ``t[i]``. So every element's way is a chain of steps:

* ``waiting(p)``, the element at position p just before step p, is what the last step with target p put there, namely
  ``waiting`` of that step; if there was none, it is p itself;
* the final element at i is what the previous step with the same target put there, ``waiting`` of that step; if there
  was none, ``t[i]`` itself; and ``waiting(i)`` where a step swaps i with itself.

Sorting the steps by target gives both the previous and the last step of each target, and the chains of ``waiting`` are
followed for all positions at once, doubling the stride each time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

#: Up to this length a loop over a Python list is faster.
_SHORT = 400
#: Words asked for at a time by the loop over a very long permutation.
_BATCH = 1 << 16
_32 = np.array(32, np.int64)


def shuffled(words: np.ndarray, n: int) -> np.ndarray:
    """``0, ..., n - 1``, int64, element i swapped in turn with the one ``words[i] % (n - i)`` places after it.

    Args:
        words: uint32, ``n - 1`` of them.
        n: less than 2**31.
    """
    if n < 2:
        return np.arange(n)
    steps = np.arange(n - 1, dtype=np.uint32)
    targets = np.remainder(words, np.subtract(np.uint32(n), steps))
    np.add(targets, steps, out=targets)
    if n > _SHORT:
        return _by_chains(targets.view(np.int32), n)
    items = list(range(n))
    for i, target in enumerate(targets.tolist()):
        items[i], items[target] = items[target], items[i]
    return np.array(items)


def _by_chains(targets: np.ndarray, n: int) -> np.ndarray:
    """The forward shuffle with the given targets, int32."""
    by_target = np.left_shift(targets, _32, dtype=np.int64)
    np.bitwise_or(by_target, np.arange(n - 1), out=by_target)
    by_target.sort()
    step = by_target.astype(np.int32)  # the low half
    target = np.right_shift(by_target, _32, out=by_target).astype(np.int32)
    same_as_previous = target[1:] == target[:-1]

    waiting = np.arange(n, dtype=np.int32)
    waiting[target] = step  # of several steps with one target, the last stays
    for at in np.flatnonzero(step == target).tolist():  # a swap of an element with itself moves nothing
        waiting[target[at]] = step[at - 1] if at and same_as_previous[at - 1] else target[at]
    waiting = _ends_of_chains(waiting)

    out = np.empty(n, np.int64)
    out[n - 1] = waiting[n - 1]
    out[step[0]] = target[0]
    out[step[1:]] = np.where(same_as_previous, waiting[step[:-1]], target[1:])
    return out


def _ends_of_chains(parent: np.ndarray) -> np.ndarray:
    """For every position the end of the chain that leads from it; an end is its own parent."""
    end = parent[parent]
    moving = np.flatnonzero(end != parent)
    while moving.size:
        before = end[moving]
        after = end[before]
        changed = after != before
        moving = moving[changed]
        end[moving] = after[changed]
    return end


def shuffled_inside_out(draw: Callable[[int], np.ndarray], n: int) -> np.ndarray:
    """``0, ..., n - 1``, int64, built up: i comes to a place drawn from the first i + 1, whose element moves to i.

    Args:
        draw: gives the next so many 64-bit numbers, uint64.
    """
    out = np.empty(n, np.int64)
    items = memoryview(out)  # type: ignore[arg-type]  # indexing it is faster than indexing the array
    for start in range(0, n, _BATCH):
        stop = min(start + _BATCH, n)
        places = np.remainder(draw(stop - start), np.arange(start + 1, stop + 1, dtype=np.uint64))
        for i, place in zip(range(start, stop), places.tolist()):
            items[i] = i
            items[i] = items[place]
            items[place] = i
    return out
