"""``torch.__version__`` compares as a version; ``torch.version`` has PyTorch's names."""

from __future__ import annotations

import operator
import re

import pytest

from torchlike import version
from torchlike.torch_version import TorchVersion

# In ascending order, after the examples of PEP 440.
ASCENDING = [
    "0.9",
    "1.0.dev3",
    "1.0a1.dev2",
    "1.0a1",
    "1.0a1.post2",
    "1.0b",
    "1.0rc1",
    "1.0",
    "1.0+a",
    "1.0+a.1",
    "1.0+1",
    "1.0.post1.dev4",
    "1.0.post1",
    "1.0.1",
    "1.10",
    "2.13.0+cpu",
    "2.13.0+torchlike",
    "1!0.1",
]
# Several spellings of one version.
SAME = ["1.0rc1", "1.0c1", "1.0-pre.1", "v1.0.preview_1", "1.0.0RC1", "0!1rc01"]
OTHERS = [(1, 0), [2, 13, 0], (1, 0, "rc1"), "parrot", "", ("x",), 5, 2.5, None]
COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]


def test_order():
    for at, one in enumerate(ASCENDING):
        for other in ASCENDING[at + 1 :]:
            assert TorchVersion(one) < other
            assert TorchVersion(other) > one
            assert not TorchVersion(one) >= TorchVersion(other)


@pytest.mark.parametrize("spelling", SAME)
def test_spellings(spelling):
    assert TorchVersion(spelling) == SAME[0]
    assert TorchVersion(spelling) <= TorchVersion(SAME[0])


def test_tuples():
    assert (1, 2) < TorchVersion("1.10") < (1, 11)
    assert TorchVersion("2.13.0") == (2, 13)


def test_is_a_string():
    assert isinstance(TorchVersion("1.0"), str)
    assert hash(TorchVersion("1.0")) == hash("1.0")
    assert f"{TorchVersion('1.0')}".split(".") == ["1", "0"]
    with pytest.raises(TypeError, match="'<' not supported"):
        _ = TorchVersion("1.0") < 5


def test_agrees_with_native(native):
    theirs = native.torch_version.TorchVersion
    for one in ASCENDING + SAME + ["parrot"]:
        for other in ASCENDING + SAME + OTHERS:
            for compare in COMPARISONS:
                method = f"__{compare.__name__}__"
                ours = getattr(TorchVersion(one), method)(other)
                assert ours is getattr(theirs(one), method)(other), (one, compare, other)


def test_version_module():
    assert re.fullmatch(r"2\.13\.\d+\+torchlike", version.__version__)
    assert version.debug is False
    assert version.hip is version.rocm is version.xpu is None
    assert isinstance(version.git_version, str)
    assert version.cuda is None or re.fullmatch(r"\d+\.\d+", version.cuda)
    with pytest.raises(AttributeError, match="no attribute 'nowhere'"):
        _ = version.nowhere


def test_version_module_has_natives_names(native):
    assert set(native.version.__all__) == set(version.__all__)
