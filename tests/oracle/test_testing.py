"""``torch.testing`` against native PyTorch's, message by message."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.testing as native_testing
from oracle import check, ours

import torchlike
import torchlike.testing as testing

T = torch.tensor
PAIRS = [
    (T([1.0, 2, 3]), T([1.0, 2, 4])), (T([1.0, 2, 3]), T([1.0, 2, 3 + 1e-7])), (T(1.0), T(2.0)), (T([1, 2]), T([1, 3])),
    (T([True]), T([False])), (1.0, 2.0), (1, 2), (1, 1.0), (True, False), (None, 1), (None, None), ([1.0, 2.0], [1.0, 3.0]),
    ([1.0], [1.0, 2.0]), ({"a": 1.0}, {"b": 1.0}), ({"a": T([1.0])}, {"a": T([2.0])}),
    ([{"x": T([[1.0, 2.0], [3.0, 4.0]])}], [{"x": T([[1.0, 2.5], [3.0, 4.0]])}]), (T([1.0]), T([1.0], dtype=torch.double)),
    (T([1.0]), T([1.0, 2.0])), (T([1.0]), 1.0), (T([1.0]), np.array([1.0])), (np.array([1.0]), np.array([2.0])), ("a", "b"),
    (T([float("nan")]), T([float("nan")])), (float("nan"), float("nan")), (T([0.0, 1.0]), T([0.0, 0.0])), (T([1 + 1j]), T([1 + 2j])),
    (T([1.0]).half(), T([1.1]).half()), (T([float("inf")]), T([1.0])), (1j, 2j), (np.float32(1), np.float32(2)), ((1,), [1]),
    (T([300], dtype=torch.int16), T([-300], dtype=torch.int16)), (T([200], dtype=torch.uint8), T([100], dtype=torch.uint8)),
]  # fmt: skip
OPTIONS = [
    {}, {"rtol": 0, "atol": 0}, {"rtol": 1e-3}, {"atol": 1.0, "rtol": 0.0}, {"equal_nan": True}, {"check_dtype": False}, {"msg": "hello"},
    {"msg": "Header\n{}".format}, {"allow_subclasses": False},
]  # fmt: skip


def _message(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except Exception as error:
        return type(error).__name__, str(error)
    return None


@pytest.mark.parametrize(("actual", "expected"), PAIRS, ids=range(len(PAIRS)))
def test_assert_close(actual, expected):
    for options in OPTIONS:
        wanted = _message(native_testing.assert_close, actual, expected, **options)
        assert _message(testing.assert_close, ours(actual), ours(expected), **options) == wanted, options


def test_strides():
    transposed = torchlike.tensor([[1.0, 2.0]]).t()
    testing.assert_close(transposed, torchlike.tensor([[1.0], [2.0]]))
    message = _message(testing.assert_close, transposed, torchlike.tensor([[1.0], [2.0]]), check_stride=True)
    assert message == ("AssertionError", "The values for attribute 'stride()' do not match: (1, 2) != (1, 1).")


def test_subclasses():
    parameter = torchlike.nn.Parameter(torchlike.ones(1))
    testing.assert_close(parameter, torchlike.ones(1))
    with pytest.raises(TypeError, match="No comparison pair was able to handle inputs"):
        testing.assert_close(parameter, torchlike.ones(1), allow_subclasses=False)


def test_assert_allclose():
    with pytest.warns(FutureWarning, match="assert_allclose"):
        testing.assert_allclose([1.0, 2.0], [1.0, 2.00001])


@pytest.mark.parametrize(
    "kwargs",
    [
        {}, {"low": -3, "high": 5}, {"noncontiguous": True}, {"exclude_zero": True}, {"low": 3, "high": 1}, {"low": float("nan")},
        {"low": 300, "high": 400}, {"requires_grad": True},
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int16", "int64", "float16", "bfloat16", "float32", "float64", "complex64"]
)
def test_make_tensor(dtype, kwargs):
    torch.manual_seed(0)
    torchlike.manual_seed(0)
    options = {"dtype": getattr(torch, dtype), "device": "cpu", **kwargs}
    check("make_tensor", native_testing.make_tensor, testing.make_tensor, [(4, 5)], options, gradients=False)
