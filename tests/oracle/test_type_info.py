"""``torch.finfo`` and ``torch.iinfo`` against native torch."""

import copy
import pickle

import pytest

from torchlike._tensor import dtypes, type_info

torch = pytest.importorskip("torch")

ATTRIBUTES = {
    "finfo": ("bits", "eps", "max", "min", "tiny", "smallest_normal", "resolution", "dtype"),
    "iinfo": ("bits", "max", "min", "dtype"),
}

#: Expressions of finfo, iinfo and dtypes.
EXPRESSIONS = [
    "finfo()", "iinfo()", "finfo(type=float64)", "iinfo(type=int8)", "finfo('float32')", "finfo(1.0)", "finfo(None)",
    "finfo(x=1)", "iinfo(3)", "iinfo(None)", "iinfo(x=1)", "finfo(float32, 1)", "finfo(float32, x=1)", "finfo(1, 2, 3)",
    "iinfo(int8, 1)", "iinfo(int8, x=1)", "iinfo(int8, type=int8)", "iinfo(1, 2, 3)", "iinfo(float32)", "finfo(int8)",
    "iinfo(bool)", "finfo(bool)",
    "finfo(float32) == finfo(float32)", "finfo(float32) == finfo(float64)", "finfo(complex64) == finfo(float32)",
    "finfo(float32) != finfo(float32)", "iinfo(int8) == iinfo(uint8)", "iinfo(int8) == iinfo(int8)",
    "finfo(float32) == iinfo(int8)", "finfo(float32) == 1", "str(finfo(float32))", "finfo", "iinfo",
    "setattr(finfo(float32), 'eps', 1)", "setattr(finfo(float32), 'foo', 1)", "setattr(iinfo(int8), 'max', 1)",
]  # fmt: skip


def outcome(expression, namespace):
    try:
        return repr(eval(expression, namespace))
    except (TypeError, AttributeError) as error:
        return type(error), str(error)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions(expression):
    ours = {**dtypes.EXPORTS, "finfo": type_info.finfo, "iinfo": type_info.iinfo}
    native = {name: getattr(torch, name) for name in ours}
    assert outcome(expression, ours) == outcome(expression, native)


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
@pytest.mark.parametrize("kind", ["finfo", "iinfo"])
def test_limits(kind, dtype):
    function, expected = getattr(type_info, kind), getattr(torch, kind)
    native = getattr(torch, dtype.name)
    namespace = {"ours": (function, dtype), "native": (expected, native)}
    assert outcome("ours[0](ours[1])", namespace) == outcome("native[0](native[1])", namespace)
    if dtype is dtypes.bool_ or (kind == "finfo") != (dtype.is_floating_point or dtype.is_complex):
        return
    found, reference = function(dtype), expected(native)
    for name in ATTRIBUTES[kind]:
        value, wanted = getattr(found, name), getattr(reference, name)
        assert (type(value), value) == (type(wanted), wanted), name


def test_default_dtype():
    dtypes.set_default_dtype(dtypes.float64)
    try:
        assert type_info.finfo() == type_info.finfo(dtypes.float64)
    finally:
        dtypes.set_default_dtype(dtypes.float32)


def test_copies():
    for limits in (type_info.finfo(dtypes.bfloat16), type_info.iinfo(dtypes.uint8)):
        assert pickle.loads(pickle.dumps(limits)) == limits
        assert copy.deepcopy(limits) == limits
