"""Containers of modules and parameters agree with native torch: members, slices, operators, texts, errors."""

from collections import OrderedDict

import pytest

torch = pytest.importorskip("torch")

from scenarios import attempt, compare  # noqa: E402

SCENARIOS = []


def scenario(function):
    SCENARIOS.append(function)
    return function


@scenario
def sequential(t):
    nn = t.nn
    m = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 3))
    yield len(m), m[0], m[-1], m[1:], list(m), attempt(lambda: m[3]), attempt(lambda: m[-4]), attempt(lambda: m["a"])
    m[1] = nn.Tanh()
    yield m, m.append(nn.ELU()) is m, m.insert(1, nn.GELU()) is m, m.extend([nn.ReLU()]) is m
    del m[0]
    del m[1:3]
    yield m, m.pop(-1), m, attempt(m.insert, 9, nn.ReLU()), attempt(m.insert, 0, 3), attempt(m.append, 3)
    other = nn.Sequential(nn.Sigmoid())
    yield m + other, attempt(m.__add__, [nn.ReLU()]), other * 2, 2 * other, attempt(lambda: other * 0)
    yield attempt(lambda: other * "a")
    other += nn.Sequential(nn.ReLU())
    other *= 2
    yield other
    named = nn.Sequential(OrderedDict([("a", nn.ReLU()), ("b", nn.Tanh())]))
    yield named, named.a, named[:1], named(t.tensor([-1.0, 2.0])), "0" in dir(m)


@scenario
def module_list(t):
    nn = t.nn
    m = nn.ModuleList([nn.Linear(1, 2), nn.ReLU()])
    yield len(m), m[0], m[-1], m[:1], type(m[:1]), [type(x).__name__ for x in m], attempt(lambda: m[2])
    yield m.append(nn.Tanh()) is m, m.extend([nn.ELU()]) is m, m.insert(1, nn.GELU()), m
    m[0] = nn.Sigmoid()
    del m[-1]
    del m[1:3]
    yield m, m.pop(0), m.__add__([nn.ReLU()]), attempt(m.extend, 3), attempt(m.append, 3)
    m += [nn.Tanh()]
    yield m, [name for name, _ in m.named_modules()]


@scenario
def module_dict(t):
    nn = t.nn
    m = nn.ModuleDict({"b": nn.ReLU(), "a": nn.Tanh()})
    yield len(m), list(m), list(m.keys()), list(m.values()), [key for key, _ in m.items()], "a" in m, m["a"]
    m["c"] = nn.ELU()
    m.update([("d", nn.GELU()), ["e", nn.ReLU()]])
    m.update(nn.ModuleDict({"a": nn.Identity()}))
    del m["b"]
    yield m, m.pop("c"), list(m), attempt(m.update, 3), attempt(m.update, [3]), attempt(m.update, [("a",)])
    yield attempt(m.__getitem__, "zzz"), attempt(m.__setitem__, "x", 3), attempt(m.__setitem__, "pop", nn.ReLU())
    m.clear()
    yield len(m)


@scenario
def parameter_list(t):
    nn = t.nn
    m = nn.ParameterList([t.ones(1), nn.Parameter(t.zeros(2)), "text"])
    yield len(m), [type(x).__name__ for x in m], m[-1], m[:2], attempt(lambda: m[5])
    m[0] = t.full((3,), 2.0)
    yield m.append(t.ones(1)) is m, m.extend([3]) is m, attempt(m.extend, 3), attempt(m.extend, t.ones(2))
    m += [t.zeros(1)]
    yield m, [name for name, _ in m.named_parameters()], list(m.state_dict())


@scenario
def parameter_dict(t):
    nn = t.nn
    m = nn.ParameterDict({"b": t.ones(1), "a": t.zeros(2)})
    yield list(m), m["a"], len(m), "a" in m, list(reversed(m)), list(m.keys()), list(m.values()), list(m.items())
    yield m.setdefault("c", t.ones(3)), m.setdefault("a"), m.get("zzz"), m.get("zzz", 5)
    m["d"] = 3
    yield m.popitem(), m.pop("a"), list(m), m.copy(), m.fromkeys(["x", "y"], 1)
    m |= nn.ParameterDict({"e": t.ones(1)})
    yield m, m | nn.ParameterDict({"f": t.ones(2)}), attempt(m.__getitem__, 3), attempt(m.update, 3)
    yield attempt(m.update, [3]), attempt(m.update, [("a",)]), attempt(m, 3)
    del m["b"]
    m.clear()
    yield len(m), list(m.state_dict())


@pytest.mark.parametrize("run", SCENARIOS, ids=lambda run: run.__name__)
def test_scenario(run):
    compare(run)
