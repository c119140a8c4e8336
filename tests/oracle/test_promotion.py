"""Type promotion agrees with native torch for every pair of types in every pair of roles, errors included."""

import itertools

import pytest

from torchlike._tensor import dtypes
from torchlike._tensor.promotion import (
    DIMENSIONED,
    NUMBER,
    ZERO_DIM,
    can_cast,
    promote_types,
    result_type_of,
)

torch = pytest.importorskip("torch")

NUMBERS = {True: dtypes.bool_, 3: dtypes.int64, 1.5: dtypes.float32, 1j: dtypes.complex64}


@pytest.fixture(params=["float32", "float64", "float16", "bfloat16"])
def default_dtype(request):
    before = dtypes.get_default_dtype()
    torch.set_default_dtype(getattr(torch, request.param))
    dtypes.set_default_dtype(getattr(dtypes, request.param))
    yield request.param
    torch.set_default_dtype(torch.float32)
    dtypes.set_default_dtype(before)


def native(dtype):
    return getattr(torch, dtype.name)


def native_tensor(dtype, priority):
    return torch.zeros((2,) if priority == DIMENSIONED else (), dtype=native(dtype))


def outcome(function, *args):
    """The result's name, or the error's type and text. Half-precision complex numbers, which torchlike has not, count
    as complex64."""
    try:
        return repr(function(*args)).replace("complex32", "complex64")
    except (RuntimeError, TypeError) as error:
        return type(error), str(error)


@pytest.mark.parametrize("a", dtypes.ALL, ids=str)
def test_promote_types_and_can_cast(a):
    for b in dtypes.ALL:
        assert outcome(promote_types, a, b) == outcome(torch.promote_types, native(a), native(b)), b
        assert can_cast(a, b) == torch.can_cast(native(a), native(b)), b


@pytest.mark.parametrize("priority", [ZERO_DIM, DIMENSIONED])
def test_two_tensors(priority):
    tensors = list(itertools.product(dtypes.ALL, (ZERO_DIM, DIMENSIONED)))
    for a, (b, other) in itertools.product(dtypes.ALL, tensors):
        expected = outcome(torch.result_type, native_tensor(a, priority), native_tensor(b, other))
        assert outcome(result_type_of, [(a, priority), (b, other)]) == expected, (a, b, other)


@pytest.mark.parametrize("priority", [ZERO_DIM, DIMENSIONED])
def test_tensor_and_number(priority, default_dtype):
    for dtype, (number, kind) in itertools.product(dtypes.ALL, NUMBERS.items()):
        tensor = native_tensor(dtype, priority)
        expected = outcome(torch.result_type, tensor, number)
        assert outcome(result_type_of, [(dtype, priority), (kind, NUMBER)]) == expected, (dtype, number)
        expected = outcome(torch.result_type, number, tensor)
        assert outcome(result_type_of, [(kind, NUMBER), (dtype, priority)]) == expected, (number, dtype)


def test_two_numbers(default_dtype):
    for (a, kind), (b, other) in itertools.product(NUMBERS.items(), repeat=2):
        expected = outcome(torch.result_type, a, b)
        assert outcome(result_type_of, [(kind, NUMBER), (other, NUMBER)]) == expected, (a, b)


def test_three_operands_in_any_order():
    cases = {
        (("int32", DIMENSIONED), ("int64", ZERO_DIM), ("float32", NUMBER)): "float32",
        (("int32", DIMENSIONED), ("int64", ZERO_DIM), ("int64", NUMBER)): "int32",
        (("float16", DIMENSIONED), ("float64", ZERO_DIM), ("float32", NUMBER)): "float16",
        (("uint8", DIMENSIONED), ("int8", DIMENSIONED), ("int64", ZERO_DIM)): "int16",
        (("bool_", DIMENSIONED), ("uint8", ZERO_DIM), ("int64", NUMBER)): "uint8",
        (("float64", DIMENSIONED), ("complex64", ZERO_DIM), ("int64", NUMBER)): "complex128",
    }
    for operands, expected in cases.items():
        for order in itertools.permutations(operands):
            assert result_type_of([(getattr(dtypes, d), p) for d, p in order]) is getattr(dtypes, expected), order


@pytest.mark.parametrize("args", [(1, 2), ("a", "float32"), ("float32", 1), (None, "float32")], ids=str)
def test_arguments_that_are_no_dtypes(args):
    def convert(module):
        return [getattr(module, x) if x == "float32" else x for x in args]

    assert outcome(promote_types, *convert(dtypes)) == outcome(torch.promote_types, *convert(torch))
    assert outcome(can_cast, *convert(dtypes)) == outcome(torch.can_cast, *convert(torch))
