"""``torch.utils`` itself: its submodules, and exchanging tensors."""

from __future__ import annotations

import weakref

import pytest

import torchlike as torch
from torchlike.utils import set_module, swap_tensors


def test_submodules_are_there_when_named():
    assert torch.utils.data.DataLoader is not None
    with pytest.raises(AttributeError, match=r"^module 'torchlike\.utils' has no attribute 'nowhere'$"):
        _ = torch.utils.nowhere


def test_set_module():
    def function():
        pass

    set_module(function, "elsewhere")
    assert function.__module__ == "elsewhere"
    with pytest.raises(TypeError, match=r"^The mod argument should be a string$"):
        set_module(function, 3)


def test_swapping_exchanges_everything():
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.full((2,), 3.0)
    parameter.note = "kept"
    plain = torch.zeros(3, dtype=torch.int64)
    swap_tensors(parameter, plain)
    assert type(parameter) is torch.Tensor
    assert parameter.tolist() == [0, 0, 0]
    assert not hasattr(parameter, "note")
    assert type(plain) is torch.nn.Parameter
    assert plain.note == "kept"
    assert plain.requires_grad
    assert plain.grad.tolist() == [3, 3]
    (plain * 2).sum().backward()
    assert plain.grad.tolist() == [5, 5]


def test_swapping_exchanges_slots():
    class Slotted(torch.Tensor):
        __slots__ = ("first", "second")

    a, b = (torch.zeros(1).as_subclass(Slotted) for _ in range(2))
    a.first, a.second, b.first = 1, 2, 3
    swap_tensors(a, b)
    assert (b.first, b.second, a.first) == (1, 2, 3)
    assert not hasattr(a, "second")


def test_what_cannot_be_swapped():
    class Slotted(torch.Tensor):
        __slots__ = ("first",)

    a, b = torch.zeros(1), torch.ones(1)
    with pytest.raises(RuntimeError, match=r"^Cannot swap t1 and t2 if they have different slots$"):
        swap_tensors(a, b.as_subclass(Slotted))
    reference = weakref.ref(b)
    with pytest.raises(RuntimeError, match=r"^Cannot swap t2 because it has weakref associated with it$"):
        swap_tensors(a, b)
    assert reference() is b
