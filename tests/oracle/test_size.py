"""``torch.Size`` against native torch."""

import copy
import pickle

import numpy as np
import pytest

from torchlike._tensor.size import Size, size

torch = pytest.importorskip("torch")

#: Expressions of S, the class, and s, an instance [2, 3]; np is NumPy.
EXPRESSIONS = [
    "S()", "S((1,))", "S([2, 3])", "S(range(3))", "S(x for x in (1, 2))", "S(s)", "S([True])", "S(np.array([2, 3]))",
    "S([np.int64(4)])", "S(5)", "S([1.5])", "S([2, 'a'])", "S('ab')", "S([None])", "S([[1]])", "S([np.float64(2)])",
    "S([np.bool_(True)])", "S([2], [3])",
    "s[0]", "s[-1]", "s[:1]", "s[::-1]", "s[0:2]", "s[5]", "s['a']", "s[True]", "s[np.int64(1)]",
    "s + (1,)", "s + s", "(1,) + s", "s + [1]", "[1] + s", "'ab' + s", "s + 5", "1 + s", "s + None", "None + s",
    "s + ('a',)", "(1.5,) + s", "s + np.array([1, 2])", "np.array([1, 2]) + s", "np.array([1, 2]) * s", "np.add(s, 1)",
    "s * 2", "2 * s", "s * 0", "s * -1", "s * True", "s * np.int64(2)", "np.int64(2) * s", "s * 1.5", "1.5 * s",
    "s * None", "s * s", "s * 'a'",
    "s.numel()", "S().numel()", "S((2, 0)).numel()", "s == (2, 3)", "(2, 3) == s", "s == [2, 3]", "s < (2, 4)",
    "hash(s) == hash((2, 3))", "s.count(2)", "s.index(3)", "2 in s", "len(s)", "str(s)", "f'{s}'", "'%s' % (s,)", "S",
    "s.foo", "setattr(s, 'x', 1)", "S.__module__", "isinstance(s, tuple)", "sorted(s)", "tuple(s)", "{s: 1}[(2, 3)]",
    "type('X', (S,), {})",
]  # fmt: skip


def outcome(expression, kind):
    try:
        value = eval(expression, {"S": kind, "s": kind([2, 3]), "np": np})
    except (TypeError, IndexError, AttributeError, ValueError) as error:
        return type(error), str(error)
    return type(value).__name__, repr(value)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_like_native(expression):
    assert outcome(expression, Size) == outcome(expression, torch.Size)


def test_dimensions_are_plain_integers():
    assert [type(n) for n in Size([True, np.int64(2), np.int32(3), 4])] == [int] * 4


def test_copies():
    for s in (Size(), Size([2, 3])):
        for twin in (pickle.loads(pickle.dumps(s)), copy.copy(s), copy.deepcopy(s), size(tuple(s))):
            assert type(twin) is Size
            assert twin == s
