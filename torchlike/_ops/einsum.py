"""Einstein's summation: an equation is parsed to labels, the labels planned as products of two, each one ``dot_general``.

A label is a number: 0 to 51 for A to Z and a to z, and from 52 on for the dimensions under an ellipsis.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax import lax
from jax import numpy as jnp

from torchlike._ops.bodies import kind, type_name_of
from torchlike._ops.matmul import product
from torchlike._ops.op import Arrays, composite, op
from torchlike._tensor.tensor import Tensor

Labels = tuple[int, ...]

_ELLIPSIS = 52
_NO_OPERANDS = "einsum(): must specify the equation string and at least one operand, or at least one operand and its subscripts list"


def _letter(label: int) -> str:
    return chr(ord("A") + label) if label < 26 else chr(ord("a") + label - 26) if label < _ELLIPSIS else "..."


def _label(letter: str) -> int:
    return ord(letter) - ord("A") if letter.isupper() else ord(letter) - ord("a") + 26


def _is_letter(c: str) -> bool:
    return c.isascii() and c.isalpha()


# Parsing.


def _invalid(index: int) -> RuntimeError:
    return RuntimeError(
        f"einsum(): invalid subscript given at index {index} in the equation string, subscripts must be in [a-zA-Z]"
    )


def _parse_term(equation: str, start: int, end: int, where: str) -> list[Any]:
    """The labels of one term, with ``...`` for its ellipsis."""
    labels: list[Any] = []
    i = start
    while i < end:
        c = equation[i]
        if c == " ":
            pass
        elif c == ".":
            if "..." in labels:
                raise RuntimeError(f"einsum(): found '.' for {where} for which an ellipsis was already found")
            if equation[i : i + 3] != "..." or i + 3 > end:
                raise RuntimeError(f"einsum(): found '.' for {where} that is not part of any ellipsis")
            labels.append("...")
            i += 2
        elif _is_letter(c):
            labels.append(_label(c))
        else:
            raise _invalid(i)
        i += 1
    return labels


def _parse(equation: str) -> tuple[list[list[Any]], list[Any] | None]:
    """The terms of the operands, and the output's or None where it is implied."""
    arrow = equation.find("->")
    end = len(equation) if arrow < 0 else arrow
    terms, start = [], 0
    for number, term in enumerate(equation[:end].split(",")):
        terms.append(_parse_term(equation, start, start + len(term), f"operand {number}"))
        start += len(term) + 1
    if arrow < 0:
        return terms, None
    return terms, _parse_term(equation, arrow + 2, len(equation), "the output")


def _from_lists(args: Sequence[Any]) -> tuple[list[list[Any]], list[Any] | None, list[Any]]:
    """Terms, output and operands given as ``operand, labels, operand, labels, ..., [output labels]``."""

    def term(labels: Any) -> list[Any]:
        result = []
        for x in labels:
            if x is not Ellipsis and not 0 <= x < _ELLIPSIS:
                raise ValueError("einsum(): subscript in subscript list is not within the valid range [0, 52)")
            result.append("..." if x is Ellipsis else int(x))
        return result

    terms = [term(labels) for labels in args[1::2]]
    output = term(args[-1]) if len(args) % 2 else None
    return terms, output, list(args[0 : len(args) - len(args) % 2 : 2])


def _spelled(terms: Sequence[Sequence[Any]], shapes: Sequence[tuple[int, ...]]) -> tuple[list[Labels], int]:
    """The terms with a label for each dimension, and how many dimensions there are under ellipses."""
    hidden = []
    for number, (term, shape) in enumerate(zip(terms, shapes, strict=True)):
        named = sum(label != "..." for label in term)
        if "..." in term:
            if named > len(shape):
                raise RuntimeError(
                    f"einsum(): the number of subscripts in the equation ({named}) is more than the number of dimensions "
                    f"({len(shape)}) for operand {number}"
                )
        elif named != len(shape):
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({named}) does not match the number of dimensions "
                f"({len(shape)}) for operand {number} and no ellipsis was given"
            )
        hidden.append(len(shape) - named)
    most = max(n for n, term in zip([*hidden, 0], [*terms, ["..."]], strict=True) if "..." in term)
    spelled = []
    for n, term in zip(hidden, terms, strict=True):
        labels: list[int] = []
        for label in term:
            labels.extend(range(_ELLIPSIS + most - n, _ELLIPSIS + most) if label == "..." else [label])
        spelled.append(tuple(labels))
    return spelled, most


def _sizes(spelled: Sequence[Labels], shapes: Sequence[tuple[int, ...]]) -> dict[int, int]:
    """The size of each label; RuntimeError where operands disagree."""
    sizes: dict[int, int] = {}
    for number, (labels, shape) in enumerate(zip(spelled, shapes, strict=True)):
        own: dict[int, int] = {}
        for label, n in zip(labels, shape, strict=True):
            if own.setdefault(label, n) != n:
                raise RuntimeError(
                    f"einsum(): subscript {_letter(label)} is repeated for operand {number} but the sizes don't match, {n} != "
                    f"{own[label]}"
                )
        for label, n in own.items():
            if sizes.get(label, 1) == 1:
                sizes[label] = n
            elif n not in (1, sizes[label]):
                raise RuntimeError(
                    f"einsum(): subscript {_letter(label)} has size {n} for operand {number} which does not broadcast with "
                    f"previously seen size {sizes[label]}"
                )
    return sizes


def _output(output: Sequence[Any] | None, spelled: Sequence[Labels], hidden: int) -> Labels:
    """The output's labels: as given, or the ellipsis and then those that occur once."""
    ellipsis = tuple(range(_ELLIPSIS, _ELLIPSIS + hidden))
    every = [label for labels in spelled for label in labels]
    if output is None:
        return (*ellipsis, *sorted(x for x in set(every) if x < _ELLIPSIS and every.count(x) == 1))
    result: list[int] = []
    for label in output:
        if label == "...":
            result.extend(ellipsis)
            continue
        if label in result:
            raise RuntimeError(f"einsum(): output subscript {_letter(label)} appears more than once in the output")
        if label not in every:
            raise RuntimeError(
                f"einsum(): output subscript {_letter(label)} does not appear in the equation for any input operand"
            )
        result.append(label)
    return tuple(result)


# Planning.


def _path(spelled: Sequence[Labels], output: Labels, sizes: dict[int, int]) -> list[tuple[int, ...]]:
    """Which operands to multiply, pair by pair; a product is put at the end."""
    if len(spelled) == 2:
        return [(0, 1)]
    from torchlike.backends import opt_einsum as settings

    if not settings.enabled:
        return [(0, 1)] + [(0, len(spelled) - 1 - k) for k in range(1, len(spelled) - 1)]
    import opt_einsum

    names = {label: opt_einsum.get_symbol(i) for i, label in enumerate(sizes)}
    terms = ",".join("".join(names[x] for x in labels) for labels in spelled)
    equation = f"{terms}->{''.join(names[x] for x in output)}"
    shapes = [tuple(sizes[x] for x in labels) for labels in spelled]
    path, _ = opt_einsum.contract_path(equation, *shapes, shapes=True, optimize=settings.strategy or "auto")
    pairs = []
    for step in path:
        pairs.append(tuple(sorted(step)[:2]) if len(step) <= 2 else (0, 1))
        if len(step) > 2:
            pairs.extend((0, len(step) - 1 - k) for k in range(1, len(step) - 1))
    return pairs


@functools.lru_cache(maxsize=4096)
def _plan(terms: Any, output: Any, shapes: tuple[tuple[int, ...], ...]) -> tuple[Any, ...]:
    """The operands' labels and the output's, the steps (two places, labels of the product), and whether the last one sums."""
    spelled, hidden = _spelled(terms, shapes)
    sizes = _sizes(spelled, shapes)
    result = _output(output, spelled, hidden)
    if len(spelled) == 1:
        return spelled[0], result, (), True
    left, steps, sums = list(spelled), [], False
    for i, j in _path(spelled, result, sizes):
        b, a = left.pop(j), left.pop(i)
        both = dict.fromkeys((*a, *b))
        wanted = {*result, *(x for labels in left for x in labels)}
        kept = result if not left else tuple(x for x in both if x in wanted)
        shared = [x for x in both if x in a and x in b and x not in wanted]
        sums = bool(shared) or any(x not in wanted for x in both)
        steps.append((i, j, kept))
        left.append(kept)
    return tuple(spelled), result, tuple(steps), sums


# Running.


def _diagonals(x: Any, labels: Labels) -> tuple[Any, Labels]:
    """``x`` with each label once."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            x = jnp.diagonal(x, 0, first, second)
            labels = (*(n for d, n in enumerate(labels) if d not in (first, second)), label)
    return x, labels


def _drop(x: Any, labels: Labels, gone: Sequence[int], reduce: Any) -> tuple[Any, Labels]:
    axes = [d for d, label in enumerate(labels) if label in gone]
    return (reduce(x, axes), tuple(n for n in labels if n not in gone)) if axes else (x, labels)


def _aligned(x: Any, labels: Labels, output: Labels, sizes: dict[int, int]) -> Any:
    order = sorted(range(len(labels)), key=lambda d: output.index(labels[d]))
    x = lax.transpose(x, order) if order != list(range(len(order))) else x
    places = [output.index(labels[d]) for d in order]
    shape = [sizes[label] for label in output]
    return x if len(places) == len(output) else lax.broadcast_in_dim(x, shape, places)


def _pair(a: Any, la: Labels, b: Any, lb: Labels, output: Labels) -> Any:
    """The product of two operands summed over the labels that are not in the output."""
    sizes = {**dict(zip(la, a.shape, strict=True))}
    for label, n in zip(lb, b.shape, strict=True):
        sizes[label] = max(n, sizes.get(label, 1)) if n and sizes.get(label, 1) else 0
    # A label of size one in one operand alone is only repeated there.
    a, la = _drop(a, la, [x for x in la if x in lb and a.shape[la.index(x)] == 1 != sizes[x]], lax.squeeze)
    b, lb = _drop(b, lb, [x for x in lb if x in la and b.shape[lb.index(x)] == 1 != sizes[x]], lax.squeeze)
    a, la = _drop(a, la, [x for x in la if x not in lb and x not in output], lax.reduce_sum)
    b, lb = _drop(b, lb, [x for x in lb if x not in la and x not in output], lax.reduce_sum)
    batch = [x for x in la if x in lb and x in output]
    inner = [x for x in la if x in lb and x not in output]
    if not inner:
        common = np.result_type(a.dtype, b.dtype) if a.dtype != b.dtype else a.dtype
        x, y = (
            _aligned(lax.convert_element_type(t, common), labels, output, sizes) for t, labels in ((a, la), (b, lb))
        )
        return lax.mul(x, y)
    if a.dtype != b.dtype:
        raise RuntimeError(f"expected scalar type {type_name_of(a)} but found {type_name_of(b)}")
    if kind(a) == "b":
        raise NotImplementedError("\"bmm\" not implemented for 'Bool'")
    out = product(
        a, b, ([la.index(x) for x in inner], [lb.index(x) for x in inner]),
        ([la.index(x) for x in batch], [lb.index(x) for x in batch]),
    )  # fmt: skip
    made = (*batch, *(x for x in la if x not in lb), *(x for x in lb if x not in la))
    order = [made.index(x) for x in output]
    return out if order == list(range(len(order))) else lax.transpose(out, order)


def _node(labels: Any, steps: Any, sums: bool) -> str:
    return "ViewBackward0" if sums else "MulBackward0"


@op(name="_einsum", namespaces=("_private",), node=_node)
def _einsum(operands: Arrays, labels, steps, sums):
    """The planned products."""
    left = [_diagonals(x, own) for x, own in zip(operands, labels, strict=True)]
    for i, j, kept in steps:
        (b, lb), (a, la) = left.pop(j), left.pop(i)
        left.append((_pair(a, la, b, lb, kept), kept))
    return left[0][0]


def _of_one(x: Tensor, labels: Labels, output: Labels) -> Tensor:
    """Diagonals, a permutation and a sum of one operand: a view where nothing is summed."""
    while len(set(labels)) < len(labels):
        label = next(n for n in labels if labels.count(n) > 1)
        first = labels.index(label)
        second = labels.index(label, first + 1)
        x = x.diagonal(0, first, second)
        labels = (*(n for d, n in enumerate(labels) if d not in (first, second)), label)
    gone = [n for n in labels if n not in output]
    x = x.permute([labels.index(n) for n in (*output, *gone)])
    return x.sum(list(range(len(output), len(labels)))) if gone else x


def _plan_of(args: Sequence[Any]) -> tuple[Any, Any, list[Any]]:
    if len(args) < 2:
        raise ValueError(_NO_OPERANDS)
    if isinstance(args[0], Tensor):
        terms, output, operands = _from_lists(args)
    else:
        if not isinstance(args[0], str):
            raise TypeError(f"einsum(): argument 'equation' (position 1) must be str, not {type(args[0]).__name__}")
        terms, output = _parsed(args[0])
        operands = list(args[1]) if len(args) == 2 and isinstance(args[1], (list, tuple)) else list(args[1:])
    return terms, output, operands


@functools.lru_cache(maxsize=4096)
def _parsed(equation: str) -> tuple[Any, Any]:
    terms, output = _parse(equation)
    return tuple(map(tuple, terms)), None if output is None else tuple(output)


@composite(namespaces=("torch",))
def einsum(*args):
    """Sums of products of the operands' elements by Einstein's convention: ``einsum(equation, *operands)``.

    The equation names each operand's dimensions by letters, an ellipsis standing for those without a name; letters that are
    not in the output are summed over. ``einsum(operand, labels, operand, labels, ..., [output])`` says the same by numbers.
    """
    terms, output, operands = _plan_of(args)
    for number, x in enumerate(operands):
        if not isinstance(x, Tensor):
            raise TypeError(f"expected Tensor as element {number} in argument 1, but got {type(x).__name__}")
    if len(operands) != len(terms):
        which = "fewer" if len(operands) < len(terms) else "more"
        raise RuntimeError(f"einsum(): {which} operands were provided than specified in the equation")
    shapes = tuple([x._spec.shape for x in operands])
    given = None if output is None else tuple(output)
    labels, result, steps, sums = _plan(tuple(map(tuple, terms)), given, shapes)
    if len(operands) == 1:
        return _of_one(operands[0], labels, result)
    return _einsum(operands, labels, steps, sums)
