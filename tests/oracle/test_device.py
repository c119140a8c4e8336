"""``torch.device``, and the default device, against native torch."""

import copy
import operator
import pickle
import threading
import warnings

import numpy as np
import pytest

from torchlike._tensor import device as devices
from torchlike._tensor import dtypes
from torchlike._tensor.device import device, get_default_device, set_default_device

torch = pytest.importorskip("torch")

ARGUMENTS = [
    # strings
    *[(name,) for name in devices.TYPES if name != "mkldnn"],
    ("cuda:0",), ("cuda:1",), ("cpu:1",), ("cuda:127",), ("meta:0",), (b"cpu",), (b"cuda:3",),
    ("foo",), ("foo:1",), ("tt",), ("CPU",), ("_x",), ("",), (":0",), (" cpu",), ("cuda ",), ("cuda:",), ("cuda:a",),
    ("cuda:-1",), ("cuda:01",), ("cuda:1a",), ("cuda:0:1",), ("cuda1",), ("foo-1",), ("foo:99999999999999",),
    # type and index
    ("cuda", 1), ("cuda", 0), ("meta", 5), ("cuda", None), ("cuda", np.int64(1)), ("cuda", -1), ("cuda", -2),
    ("foo", 1), ("cuda:1", 1), ("cuda:1", 2), ("cuda", "1"), ("cuda", True), ("cpu", 1.5), ("cuda", [1]),
    ("cuda", 2**70),
    (1, 2), (None, None), (None, 1), ([1], 1), (1.5, 1),
    # others
    (), (1.5,), (None,), (True,), (["a"],), (["a", 1],), (("cuda", 0),), ((1,),), ({},), (np.ones(2),), (-1,), (0,),
    (np.int64(0),), (2**70,), ("cuda", 1, 2), ("cuda", "x", 1),
]  # fmt: skip

KEYWORDS = [
    {"type": "cuda"},
    {"type": "cuda", "index": 1},
    {"type": "cuda", "index": None},
    {"type": "cuda:1"},
    {"type": "cuda:1", "index": 3},
    {"device": "cuda:1"},
    {"device": "cuda", "index": 1},
    {"device": 1.5},
    {"type": 1},
    {"index": 2},
    {"foo": "cuda"},
    {"type": "cuda", "foo": 1},
    {"type": "cuda", "device": "cuda"},
]


@pytest.fixture(autouse=True)
def default_device():
    if torch.accelerator.is_available():
        pytest.skip("the expected errors are those of a machine without an accelerator")
    yield
    torch.set_default_device(None)
    set_default_device(None)


def outcome(function, *args, **kwargs):
    try:
        return repr(function(*args, **kwargs))
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        return type(error), str(error)


@pytest.mark.parametrize("args", ARGUMENTS, ids=str)
def test_constructor(args):
    assert outcome(device, *args) == outcome(torch.device, *args)


@pytest.mark.parametrize("kwargs", KEYWORDS, ids=str)
def test_constructor_by_keyword(kwargs):
    assert outcome(device, **kwargs) == outcome(torch.device, **kwargs)


def test_constructor_by_both():
    for args, kwargs in [
        (("cuda",), {"index": 2}),
        (("cuda",), {"index": -1}),
        (("cuda",), {"type": "cuda"}),
        (("cuda",), {"foo": 1}),
        ((1,), {"index": 2}),
    ]:
        assert outcome(device, *args, **kwargs) == outcome(torch.device, *args, **kwargs)


def test_constructor_from_objects_of_torch():
    assert device(device("cuda:1")) is device("cuda:1")
    assert device(device=device("cuda:1")) is device("cuda:1")
    for ours, native in [
        ((device("cuda"), 1), (torch.device("cuda"), 1)),
        ((dtypes.float32,), (torch.float32,)),
    ]:
        assert outcome(device, *ours) == outcome(torch.device, *native)
    assert outcome(lambda: device(type=device("cuda"))) == outcome(lambda: torch.device(type=torch.device("cuda")))


def test_mkldnn_warns():
    with pytest.warns(UserWarning, match="'mkldnn' is no longer used as device type"):
        device("mkldnn:3")


@pytest.mark.parametrize("text", ["cpu", "cpu:0", "cuda", "cuda:0", "cuda:11", "meta"])
def test_attributes_and_text(text):
    ours, native = device(text), torch.device(text)
    assert (ours.type, ours.index) == (native.type, native.index)
    assert (str(ours), repr(ours), f"{ours}") == (str(native), repr(native), f"{native}")


def test_one_instance_for_each_device():
    assert device("cuda:1") is device("cuda", 1) is device(type="cuda", index=1)
    for ours in (device("cpu"), device("cuda:1")):
        assert pickle.loads(pickle.dumps(ours)) is ours
        assert copy.deepcopy(ours) is ours
        assert copy.copy(ours) is ours


def test_comparison():
    texts = ["cpu", "cpu:0", "cuda", "cuda:0", "cuda:1"]
    for a in texts:
        for b in texts:
            assert (device(a) == device(b)) == (torch.device(a) == torch.device(b))
            assert (hash(device(a)) == hash(device(b))) == (hash(torch.device(a)) == hash(torch.device(b)))
    assert device("cpu") != "cpu"
    for order in (operator.lt, operator.ge):
        expected = outcome(order, torch.device("cpu"), torch.device("cuda"))
        assert outcome(order, device("cpu"), device("cuda")) == expected


def test_instances_cannot_be_changed():
    for change in (
        lambda d: setattr(d, "type", "cpu"),
        lambda d: setattr(d, "index", 1),
        lambda d: setattr(d, "foo", 1),
        lambda d: delattr(d, "type"),
        lambda d: d.foo,
    ):
        assert outcome(change, device("cuda")) == outcome(change, torch.device("cuda"))


def test_class():
    assert repr(device) == repr(torch.device)
    assert outcome(lambda: type("X", (device,), {})) == outcome(lambda: type("X", (torch.device,), {}))


def test_default_device():
    seen = []
    for make, get, choose in (
        (device, get_default_device, set_default_device),
        (torch.device, torch.get_default_device, torch.set_default_device),
    ):
        states = [get()]
        with make("meta") as entered:
            states += [entered, get()]
            with make("cpu"):
                states.append(get())
            states.append(get())
        states.append(get())
        choose("meta")
        states.append(get())
        with make("cpu:0"):
            states.append(get())
        states.append(get())
        thread = threading.Thread(target=lambda get=get, states=states: states.append(get()))
        thread.start()
        thread.join()
        choose(None)
        states.append(get())
        seen.append([str(state) for state in states])
    assert seen[0] == seen[1]


def test_default_device_comes_back_after_an_error():
    with pytest.raises(ZeroDivisionError), device("meta"):
        raise ZeroDivisionError
    assert get_default_device() is devices.cpu


@pytest.mark.parametrize("wrong", ["foo", 1.5, 0])
def test_wrong_default_devices(wrong):
    assert outcome(set_default_device, wrong) == outcome(torch.set_default_device, wrong)
    assert get_default_device() is devices.cpu


def test_bare_index_is_a_device_of_the_accelerator(monkeypatch):
    monkeypatch.setattr(devices, "accelerator_type", lambda: "cuda")
    assert device(1) is device("cuda:1")


def test_default_device_without_an_index_follows_the_current_one(monkeypatch):
    monkeypatch.setitem(devices.current_index, "cuda", lambda: 2)
    with device("cuda"):
        assert get_default_device() is device("cuda:2")
        assert devices.chosen_device() is device("cuda")


def test_no_other_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in devices.TYPES:
            if name != "mkldnn":
                device(name)
