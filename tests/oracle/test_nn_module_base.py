"""`Module` agrees with native torch: registration, trees, hooks, state dictionaries, conversion, texts, errors."""

import copy
import gc
import io
import pickle
import warnings
import weakref
from collections import OrderedDict

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from oracle import array_of  # noqa: E402
from scenarios import attempt, compare, net, shown  # noqa: E402

import torchlike  # noqa: E402

SCENARIOS = []


def scenario(function):
    SCENARIOS.append(function)
    return function


# Registration and attributes.


@scenario
def attributes(t):
    nn = t.nn
    m = nn.Module()
    m.weight = nn.Parameter(t.ones(2))
    m.child = nn.Linear(1, 1)
    m.register_buffer("mean", t.zeros(2))
    m.register_buffer("hidden", t.zeros(1), persistent=False)
    m.number, m.nothing = 3, None
    yield sorted(m.__dict__)
    yield list(m._parameters), list(m._buffers), list(m._modules), m._non_persistent_buffers_set
    yield m.weight, m.mean, m.number, m.nothing
    m.mean = t.ones(3)
    yield m.mean, list(m._buffers)
    m.weight = None
    yield m.weight, list(m.named_parameters())
    m.child = None
    yield m.child, list(m.named_children())
    m.mean = None
    yield m.mean, list(m.state_dict())
    m.number = nn.Parameter(t.zeros(1))
    yield "number" in m.__dict__, m.number
    m.hidden = nn.Linear(1, 1)
    yield list(m._buffers), m._non_persistent_buffers_set, list(m._modules)
    yield attempt(setattr, m, "number", nn.ReLU())
    yield list(m._parameters), list(m._modules)
    del m.number
    yield attempt(getattr, m, "number")
    yield attempt(delattr, m, "number")
    m.wrapped = nn.Buffer(t.ones(2), persistent=False)
    yield m.wrapped, isinstance(m.wrapped, nn.Buffer), m._non_persistent_buffers_set
    del m.wrapped
    yield m._non_persistent_buffers_set
    yield [name for name in dir(m) if name in ("weight", "mean", "child", "training", "forward")]
    yield hasattr(m, "absent")


@scenario
def refused_attributes(t):
    nn = t.nn
    m = nn.Linear(2, 2)
    norm = nn.BatchNorm1d(2)
    w = nn.Parameter(t.ones(2))
    for name, value in [("weight", t.ones(2)), ("weight", 3), ("bias", [1.0]), ("weight", t.ones(1, dtype=t.int64))]:
        yield attempt(setattr, m, name, value)
    yield attempt(setattr, norm, "running_mean", "text")
    yield attempt(setattr, nn.Sequential(m), "0", 3)
    for name, value in [
        (3, None),
        ("a.b", None),
        ("", None),
        ("forward", None),
        ("w", t.ones(1)),
        ("w", 3),
        ("w", t.ones(1, dtype=t.float64)),
        ("w", w * 2),
    ]:
        yield attempt(m.register_parameter, name, value)
    for name, value in [(3, None), ("a.b", None), ("", None), ("weight", None), ("b", 3)]:
        yield attempt(m.register_buffer, name, value)
    for name, value in [(3, None), ("a.b", None), ("", None), ("weight", None), ("b", 3), ("b", t.ones(1))]:
        yield attempt(m.add_module, name, value)
    m.register_module("extra", nn.ReLU())
    yield m


@scenario
def before_init(t):
    nn = t.nn

    def make(body):
        class Broken(nn.Module):
            def __init__(self):
                body(self)

        return attempt(Broken)

    yield make(lambda self: setattr(self, "x", nn.Linear(1, 1)))
    yield make(lambda self: setattr(self, "x", nn.Parameter(t.ones(1))))
    yield make(lambda self: self.register_buffer("x", t.ones(1)))
    yield make(lambda self: self.register_parameter("x", None))
    yield make(lambda self: self.add_module("x", None))

    class Plain(nn.Module):
        def __init__(self):
            self.x = 1

    yield Plain().x
    yield attempt(lambda: Plain().y)
    yield attempt(repr, Plain())


@scenario
def constructor_arguments(t):
    nn = t.nn

    class Empty(nn.Module):
        pass

    class Base:
        def __init__(self, value=None, **rest):
            self.value = value

    class Cooperative(nn.Module, Base):
        call_super_init = True

    yield attempt(Empty, 3)
    yield attempt(Empty, x=3)
    yield attempt(Empty(), 1)
    yield attempt(lambda: Cooperative(value=5).value)


@scenario
def overridden_register_buffer(t):
    nn = t.nn

    class Old(nn.Module):
        def register_buffer(self, name, tensor):
            super().register_buffer(name, tensor)

    m = Old()
    m.a = nn.Buffer(t.ones(1))
    m.a = t.zeros(1)
    yield m.a
    yield attempt(setattr, m, "b", nn.Buffer(t.ones(1), persistent=False))


# Trees.


@scenario
def walking(t):
    m = net(t)
    shared = t.nn.Linear(2, 2)
    m.body.append(shared)
    m.again = shared
    m.tied = m.head.weight
    yield [name for name, _ in m.named_parameters()]
    yield [name for name, _ in m.named_parameters(prefix="net", recurse=False)]
    yield [name for name, _ in m.named_parameters(remove_duplicate=False)]
    yield [name for name, _ in m.named_buffers()], len(list(m.buffers()))
    yield [name for name, _ in m.named_children()], len(list(m.children()))
    yield [name for name, _ in m.named_modules()]
    yield [name for name, _ in m.named_modules(prefix="net", remove_duplicate=False)]
    yield len(list(m.modules())), sum(p.numel() for p in m.parameters())
    order = []
    yield m.apply(lambda module: order.append(type(module).__name__)) is m, order


@scenario
def looking_up(t):
    m = net(t)
    yield m.get_submodule("body.1"), m.get_submodule("") is m
    yield m.get_parameter("head.bias") is m.head.bias, m.get_buffer("body.0.running_mean") is m.body[0].running_mean
    for method, path in [
        (m.get_submodule, "body.7"),
        (m.get_submodule, "nothing.here"),
        (m.get_submodule, "scale"),
        (m.get_parameter, "head.nothing"),
        (m.get_parameter, "head.in_features"),
        (m.get_buffer, "head.weight"),
        (m.get_buffer, "head.nothing"),
    ]:
        yield attempt(method, path)
    m.set_submodule("body.1", t.nn.Tanh())
    m.set_submodule("extra", t.nn.ELU())
    yield m
    yield attempt(m.set_submodule, "", t.nn.Tanh())
    yield attempt(m.set_submodule, "body.9", t.nn.Tanh(), strict=True)
    yield attempt(m.set_submodule, "scale", t.nn.Tanh())
    yield attempt(m.set_submodule, "body.1", 3)


@scenario
def modes(t):
    m = net(t)
    yield m.training, m.eval() is m, [child.training for child in m.modules()]
    m.train()
    m.body.eval()
    yield [child.training for child in m.modules()]
    yield attempt(m.train, 1)
    m.requires_grad_(False)
    yield [p.requires_grad for p in m.parameters()]


# Texts.


@scenario
def texts(t):
    nn = t.nn
    yield net(t), str(net(t))
    yield nn.Module(), nn.Sequential(), nn.ModuleList(), nn.ModuleDict(), nn.ParameterList(), nn.ParameterDict()
    yield nn.ModuleList([nn.Linear(1, 2)] * 3 + [nn.ReLU()] + [nn.Sequential(nn.ReLU(), nn.Tanh())] * 2)
    yield nn.ModuleDict({"a": nn.Sequential(nn.ModuleList([nn.ReLU()])), "b": nn.Identity()})
    yield nn.ParameterList([t.ones(2, 3), nn.Parameter(t.ones(())), 3, "text"])
    yield nn.ParameterDict({"a": t.ones(2, 3), "b": 4})
    yield nn.Sequential(OrderedDict(first=nn.ParameterList([t.ones(1)]), second=None))

    class Described(nn.Module):
        def extra_repr(self):
            return "one\ntwo"

    yield Described(), nn.Sequential(Described(), nn.Linear(1, 1))
    yield repr(nn.Parameter(t.tensor([1.0, 2.0]))), repr(nn.Parameter(t.ones(2), requires_grad=False))


# Calling and hooks.


@scenario
def forward_hooks(t):
    nn = t.nn

    class Affine(nn.Module):
        def forward(self, x, factor=2.0):
            return x * factor

    m = Affine()
    calls = []
    x = t.ones(2)
    handles = [
        m.register_forward_pre_hook(lambda mod, args: calls.append(("pre", len(args)))),
        m.register_forward_pre_hook(lambda mod, args: args[0] + 1),
        m.register_forward_pre_hook(lambda mod, args, kwargs: (args, {"factor": 3.0}), with_kwargs=True),
        m.register_forward_pre_hook(lambda mod, args: calls.append("first"), prepend=True),
        m.register_forward_hook(lambda mod, args, out: calls.append(("post", len(args)))),
        m.register_forward_hook(lambda mod, args, kwargs, out: out + len(kwargs), with_kwargs=True),
        m.register_forward_hook(lambda mod, args, out: calls.append("front"), prepend=True),
    ]
    yield m(x), calls
    for handle in handles[1:3]:
        handle.remove()
    yield m(x, factor=5.0), len(m._forward_pre_hooks), len(m._forward_pre_hooks_with_kwargs)
    with m.register_forward_hook(lambda mod, args, out: out * 0):
        yield m(x)
    yield m(x)
    m.register_forward_pre_hook(lambda mod, args, kwargs: 3, with_kwargs=True)
    yield attempt(m, x)
    for handle in handles:
        handle.remove()
    yield len(m._forward_hooks), len(m._forward_hooks_with_kwargs)


@scenario
def hooks_that_are_always_called(t):
    nn = t.nn

    class Failing(nn.Module):
        def forward(self, x):
            raise ValueError("no")

    m = Failing()
    calls = []
    m.register_forward_hook(lambda mod, args, out: calls.append("skipped"))
    m.register_forward_hook(lambda mod, args, out: calls.append(("always", out)), always_call=True)
    m.register_forward_hook(
        lambda mod, args, kwargs, out: calls.append(("kwargs", kwargs)), always_call=True, with_kwargs=True
    )
    yield attempt(m, t.ones(1)), calls

    def complain(mod, args, out):
        raise RuntimeError("silenced")

    m.register_forward_hook(complain, always_call=True)
    yield attempt(m, t.ones(1))


@scenario
def global_hooks(t):
    module = t.nn.modules.module
    calls = []
    handles = [
        module.register_module_forward_pre_hook(lambda m, args: calls.append(("pre", type(m).__name__))),
        module.register_module_forward_hook(lambda m, args, out: calls.append(("post", type(m).__name__))),
        module.register_module_parameter_registration_hook(lambda m, name, p: calls.append(("parameter", name))),
        module.register_module_buffer_registration_hook(lambda m, name, b: calls.append(("buffer", name))),
        module.register_module_module_registration_hook(lambda m, name, c: calls.append(("module", name))),
    ]
    try:
        model = t.nn.Sequential(t.nn.Linear(2, 2), t.nn.Identity())
        model.register_buffer("b", None)
        model(t.ones(1, 2))
    finally:
        for handle in handles:
            handle.remove()
    yield calls
    yield bool(module._has_any_global_hook())


@scenario
def full_backward_hooks(t):
    nn = t.nn
    seen = []

    def record(module, grad_input, grad_output):
        seen.append(shown(["after", list(grad_input), list(grad_output)]))

    m = nn.Linear(2, 1, bias=False)
    with t.no_grad():
        m.weight.fill_(2.0)
    handles = [
        m.register_full_backward_pre_hook(lambda module, grads: seen.append(shown(["before", list(grads)]))),
        m.register_full_backward_hook(record),
    ]
    x = t.ones(3, 2, requires_grad=True)
    m(x).sum().backward()
    yield seen, x.grad, m.weight.grad
    handles[0].remove()
    replaced = m.register_full_backward_pre_hook(lambda module, grads: (grads[0] * 10,))
    doubled = m.register_full_backward_hook(lambda module, gi, go: (gi[0] * 2,), prepend=True)
    x.grad = m.weight.grad = None
    m(x).sum().backward()
    yield x.grad, m.weight.grad, seen
    replaced.remove(), doubled.remove()
    seen.clear()
    yield attempt(lambda: m(t.ones(3, 2)).sum().backward()), seen
    m.register_full_backward_hook(lambda module, gi, go: (gi[0], gi[0]))
    yield attempt(lambda: m(x).sum().backward())
    yield attempt(m.register_backward_hook, record)


@scenario
def backward_hooks_of_several_inputs(t):
    class Two(t.nn.Module):
        def forward(self, a, flag, b):
            return a * b, a + b

    seen = []
    m = Two()
    m.register_full_backward_hook(lambda module, gi, go: seen.append(shown([list(gi), list(go)])))
    a, b = t.ones(2, requires_grad=True), t.full((2,), 3.0)
    first, _ = m(a, "flag", b)
    first.sum().backward()
    yield seen, a.grad


@scenario
def old_backward_hooks(t):
    m = t.nn.Linear(2, 1, bias=False)
    seen = []
    m.register_backward_hook(lambda module, gi, go: seen.append(shown(list(go))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        m(t.ones(3, 2)).sum().backward()
    yield seen
    yield attempt(m.register_full_backward_hook, lambda module, gi, go: None)


@scenario
def calls_without_forward(t):
    class Lazy(t.nn.Module):
        pass

    yield attempt(Lazy())
    yield attempt(Lazy().get_extra_state)
    yield attempt(t.nn.ParameterList(), 3)
    yield attempt(t.nn.ModuleList(), 3)


# State dictionaries.


@scenario
def saving(t):
    m = net(t)
    state = m.state_dict()
    yield type(state), list(state), dict(state._metadata)
    yield [value.requires_grad for value in state.values()], [type(value).__name__ for value in state.values()]
    yield [value.data_ptr() == m.get_parameter(key).data_ptr() for key, value in state.items() if "conv" in key]
    kept = m.state_dict(prefix="net.", keep_vars=True)
    yield list(kept), kept["net.scale"] is m.scale
    target = OrderedDict()
    yield m.state_dict(destination=target) is target, len(target), hasattr(target, "_metadata")
    yield attempt(lambda: list(m.state_dict(OrderedDict(), "x.")))


@scenario
def loading(t):
    source, m = net(t), net(t)
    result = m.load_state_dict(source.state_dict())
    yield repr(result), result.missing_keys, tuple(result) == ([], [])
    yield [t.equal(a, b) for a, b in zip(m.state_dict().values(), source.state_dict().values(), strict=True)]
    state = source.state_dict()
    for missing in ("head.bias", "body.0.running_mean", "steps"):
        del state[missing]
    state["extra.weight"] = t.ones(1)
    state["conv.nothing"] = t.ones(1)
    state["head.weight"] = t.ones(3, 3)
    state["conv.bias"] = "text"
    yield attempt(m.load_state_dict, state)
    del state["head.weight"], state["conv.bias"]
    yield m.load_state_dict(state, strict=False)
    yield attempt(m.load_state_dict, {}, strict=False)
    yield attempt(m.load_state_dict, [1, 2])
    scalar = t.nn.Module()
    scalar.s = t.nn.Parameter(t.zeros(()))
    yield scalar.load_state_dict({"s": t.tensor([3.0])}), scalar.s
    old = {key: value for key, value in source.state_dict().items() if "num_batches" not in key}
    yield m.load_state_dict(old)  # Without metadata, as files of older versions.


@scenario
def loading_by_assignment(t):
    m = t.nn.Linear(2, 1)
    values = {"weight": t.full((1, 2), 3.0, dtype=t.float64), "bias": t.nn.Parameter(t.ones(1), requires_grad=False)}
    m.bias.requires_grad_(True)
    yield m.load_state_dict(values, assign=True), m.weight, m.bias
    yield m.bias is values["bias"], m.weight.data_ptr() == values["weight"].data_ptr()
    meta = t.nn.Linear(2, 1, device="meta")
    yield attempt(meta.load_state_dict, t.nn.Linear(2, 1).state_dict())
    plain = t.nn.Linear(2, 1)
    meta.load_state_dict(plain.state_dict(), assign=True)
    yield t.equal(meta.weight, plain.weight), meta.weight.requires_grad, meta.weight.device


@scenario
def state_hooks(t):
    m = net(t)
    calls = []
    m.register_state_dict_pre_hook(lambda module, prefix, keep: calls.append(("before", prefix, keep)))
    m.register_state_dict_post_hook(lambda module, state, prefix, meta: state.pop(prefix + "steps"))
    yield attempt(m.state_dict)
    m = net(t)

    def drop(module, state, prefix, meta):
        del state[prefix + "steps"]

    m.register_state_dict_post_hook(drop)
    m._register_state_dict_hook(lambda module, state, prefix, meta: OrderedDict(list(state.items())[:2]))
    yield list(m.state_dict()), calls
    yield attempt(m._register_state_dict_hook, drop)
    m = net(t)
    m.register_load_state_dict_pre_hook(lambda module, state, prefix, *rest: calls.append(module._get_name() + prefix))
    m.body._register_load_state_dict_pre_hook(lambda state, prefix, *rest: calls.append(prefix))
    m.head.register_load_state_dict_post_hook(lambda module, keys: keys.missing_keys.clear())
    partial = {key: value for key, value in m.state_dict().items() if not key.startswith("head")}
    yield m.load_state_dict(partial), calls[1:]
    m.register_load_state_dict_post_hook(lambda module, keys: 3)
    yield attempt(m.load_state_dict, partial)


@scenario
def extra_state(t):
    class Counting(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.count = 0

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    a, b = t.nn.Sequential(Counting()), t.nn.Sequential(Counting())
    a[0].count = 5
    yield dict(a.state_dict())
    yield b.load_state_dict(a.state_dict()), b[0].count
    yield attempt(b.load_state_dict, {})
    yield attempt(t.nn.Sequential(t.nn.ReLU()).load_state_dict, a.state_dict())


@scenario
def stripping_a_prefix(t):
    wrapped = t.nn.Module()
    wrapped.module = t.nn.Sequential(t.nn.Linear(1, 1))
    state = wrapped.state_dict()
    t.nn.modules.utils.consume_prefix_in_state_dict_if_present(state, "module.")
    yield list(state), dict(state._metadata)


# Gradients and conversion.


@scenario
def zeroing_gradients(t):
    m = t.nn.Linear(2, 1)
    m(t.ones(1, 2)).sum().backward()
    grad = m.weight.grad
    m.zero_grad(set_to_none=False)
    yield m.weight.grad is grad, m.weight.grad
    m.zero_grad()
    yield m.weight.grad, m.bias.grad


@scenario
def converting(t):
    m = net(t)
    weight = m.head.weight
    (m(t.ones(1, 1, 6, 6)).sum()).backward()
    yield m.double() is m, m.head.weight is weight, m.head.weight.dtype, m.head.weight.grad.dtype, m.steps.dtype
    yield m.half().scale.dtype, m.bfloat16().scale.dtype, m.float().scale.dtype, m.body[0].num_batches_tracked.dtype
    yield m.to(t.float64).scale.dtype, m.to("cpu", t.float32).scale.dtype, m.to(t.ones(1, dtype=t.float64)).scale.dtype
    yield m.to(device="cpu", dtype=t.float32, non_blocking=True).scale.dtype, m.to().scale.dtype, m.cpu() is m
    yield m.type(t.float64).steps.dtype
    for args, kwargs in [
        ((t.int32,), {}),
        ((3.5,), {}),
        (([1],), {}),
        ((), {"dtype": "x"}),
        ((), {"blah": 2}),
        ((t.float32, t.float32), {}),
        (("cpu", "cpu"), {}),
        ((), {"copy": True}),
    ]:
        result, caught = attempt(m.to, *args, **kwargs)
        yield result[0], result[1].split("\n")[0], caught
    yield m.share_memory() is m
    yield m.requires_grad_().scale.requires_grad


@scenario
def meta_device(t):
    m = t.nn.Sequential(t.nn.Linear(2, 3, device="meta"), t.nn.BatchNorm1d(3, device="meta"))
    weight = m[0].weight
    yield str(weight.device), weight.is_meta, [str(buffer.device) for buffer in m.buffers()]
    yield attempt(m.to, "cpu")
    m.to_empty(device="cpu")
    yield m[0].weight is weight, m[0].weight.shape, str(m[0].weight.device), m[0].weight.requires_grad
    yield t.nn.utils.skip_init(t.nn.Linear, 2, 3).weight.shape
    yield attempt(t.nn.utils.skip_init, t.nn.ReLU), attempt(t.nn.utils.skip_init, int)


# Parameters.


@scenario
def parameters(t):
    nn = t.nn
    data = t.ones(2)
    p = nn.Parameter(data)
    yield p, p.is_leaf, isinstance(p, t.Tensor), isinstance(data, nn.Parameter), type(p)
    data[0] = 5
    yield p
    yield nn.Parameter(), nn.Parameter(p) is p, nn.Parameter(p, requires_grad=False)
    yield type(p * 2), type(p.data), type(p.detach()), type(p.clone())
    yield attempt(nn.Parameter, t.ones(1, dtype=t.int64)), attempt(nn.Parameter, [1.0]), attempt(nn.Parameter, 3)
    yield nn.Parameter(t.ones(1, dtype=t.int64), requires_grad=False)
    c = copy.deepcopy(p)
    yield type(c), c, c is p, c.data_ptr() == p.data_ptr()
    with t.no_grad():
        yield nn.Parameter(t.ones(1)).requires_grad
    buffer = nn.Buffer(data)
    yield isinstance(buffer, nn.Buffer), isinstance(data, nn.Buffer), type(buffer), buffer.persistent


# Copies.


@scenario
def copies(t):
    m = net(t)
    m.register_forward_hook(print)
    c = copy.deepcopy(m)
    yield repr(c) == repr(m), len(c._forward_hooks)
    yield c.head.weight is m.head.weight, t.equal(c.head.weight, m.head.weight)
    shared = t.nn.Linear(1, 1)
    pair = copy.deepcopy(t.nn.ModuleList([shared, shared]))
    yield pair[0] is pair[1]
    state = t.nn.Linear(1, 1).__getstate__()
    for key in ("_forward_hooks_with_kwargs", "_non_persistent_buffers_set", "_backward_pre_hooks"):
        del state[key]
    revived = t.nn.Linear.__new__(t.nn.Linear)
    revived.__setstate__(state)
    yield type(revived._forward_hooks_with_kwargs), revived._non_persistent_buffers_set, revived._is_full_backward_hook
    yield revived(t.ones(1)).shape


@pytest.mark.parametrize("run", SCENARIOS, ids=lambda run: run.__name__)
def test_scenario(run):
    compare(run)


# Of this library alone.


def test_whole_modules_are_saved_and_loaded():
    """Through torch's file format, in both directions."""
    torchlike.manual_seed(0)
    model = torchlike.nn.Sequential(torchlike.nn.Linear(2, 3), torchlike.nn.BatchNorm1d(3), torchlike.nn.LSTM(3, 4))
    file = io.BytesIO()
    torchlike.save(model, file)
    file.seek(0)
    there = torch.load(file, weights_only=False)
    assert repr(there) == repr(model) and isinstance(there[0], torch.nn.Linear)
    assert np.array_equal(array_of(there[0].weight), array_of(model[0].weight))
    file = io.BytesIO()
    torch.save(there, file)
    file.seek(0)
    back = torchlike.load(file, weights_only=False)
    assert repr(back) == repr(model) and isinstance(back[2], torchlike.nn.LSTM)
    assert all(a is b for a, b in zip(back[2]._flat_weights, back[2].parameters(), strict=True))


def test_modules_are_pickled_under_either_name():
    """Native torch is imported here, so ``torch.nn`` is not this package; pickles must not lead there."""
    torchlike.manual_seed(0)
    model = torchlike.nn.Sequential(torchlike.nn.Linear(2, 3), torchlike.nn.BatchNorm1d(3), torchlike.nn.GRU(3, 2))
    back = pickle.loads(pickle.dumps(model))
    assert repr(back) == repr(model) and type(back) is type(model) and type(back[1]) is type(model[1])
    assert np.array_equal(array_of(back[0].weight), array_of(model[0].weight))
    parameter = pickle.loads(pickle.dumps(torchlike.nn.UninitializedParameter()))
    assert type(parameter) is torchlike.nn.UninitializedParameter


def test_state_is_saved_and_loaded():
    model = net(torchlike)
    file = io.BytesIO()
    torchlike.save(model.state_dict(), file)
    file.seek(0)
    there = net(torch)
    assert repr(there.load_state_dict(torch.load(file))) == "<All keys matched successfully>"
    assert np.array_equal(array_of(there.head.weight), array_of(model.head.weight))


def test_modules_are_freed_without_the_collector():
    """No cycle holds a module: memory is given back as soon as the last reference goes."""
    for make in (lambda: torchlike.nn.Linear(2, 2), lambda: torchlike.nn.LSTM(2, 2), lambda: net(torchlike)):
        gc.collect()
        gc.disable()
        try:
            model = make()
            watch = weakref.ref(model)
            del model
            assert watch() is None
        finally:
            gc.enable()


def test_classes_print_as_native_ones():
    for name in ("Linear", "Parameter", "Sequential", "Module", "LSTM", "CrossEntropyLoss"):
        assert repr(getattr(torchlike.nn, name)) == repr(getattr(torch.nn, name))
