"""Optimizers agree with native torch: parameters and state over hundreds of steps, state dicts, texts and errors."""

import copy
import doctest
import importlib
import inspect
import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from oracle import array_of, assert_same_error, dtype_name, native, ours, outcome  # noqa: E402

import torchlike  # noqa: E402
from torchlike._engine import config, stats  # noqa: E402

LIBRARIES = (torch, torchlike)
BASES = {library: importlib.import_module(f"{library.__name__}.optim.optimizer") for library in LIBRARIES}
SHAPES = ((3, 4), (4,), (2, 3, 2), ())
STEPS = 200

# Every option of every optimizer, in the combinations that take different paths.
CONFIGURATIONS = {
    "SGD": [
        {},
        {"lr": 0.1, "weight_decay": 0.05},
        {"lr": 0.05, "momentum": 0.9},
        {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01},
        {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1},
        {"lr": 0.01, "momentum": 0.5, "maximize": True},
        {"lr": 0.05, "momentum": 0.9, "foreach": True},
        {"lr": 0.05, "momentum": 0.9, "fused": True},
    ],
    "Adam": [
        {},
        {"lr": 0.01, "weight_decay": 0.1},
        {"lr": 0.01, "amsgrad": True, "betas": (0.8, 0.9)},
        {"lr": 0.01, "betas": (0.4, 0.5), "eps": 1e-3},
        {"lr": 0.01, "maximize": True, "amsgrad": True, "weight_decay": 0.01},
        {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True},
        {"lr": 0.01, "fused": True},
        {"lr": 0.01, "foreach": True},
    ],
    "AdamW": [
        {},
        {"lr": 0.01, "weight_decay": 0.0},
        {"lr": 0.01, "weight_decay": 0.3, "amsgrad": True, "maximize": True},
        {"lr": 0.01, "fused": True, "amsgrad": True},
    ],
    "Adagrad": [
        {},
        {"lr": 0.1, "lr_decay": 0.05, "weight_decay": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-3},
        {"maximize": True},
        {"fused": True},
    ],
    "Adadelta": [{}, {"lr": 0.5, "rho": 0.7, "eps": 1e-4, "weight_decay": 0.1}, {"maximize": True}],
    "Adamax": [{}, {"lr": 0.05, "betas": (0.3, 0.9), "eps": 1e-3, "weight_decay": 0.1}, {"maximize": True}],
    "NAdam": [
        {},
        {"lr": 0.02, "betas": (0.4, 0.9), "weight_decay": 0.1, "momentum_decay": 0.1},
        {"weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
    ],
    "RAdam": [
        {},
        {"lr": 0.02, "betas": (0.4, 0.5), "weight_decay": 0.1},
        {"weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True, "betas": (0.9, 0.99)},
    ],
    "RMSprop": [
        {},
        {"momentum": 0.9},
        {"centered": True, "alpha": 0.9, "eps": 1e-3},
        {"momentum": 0.5, "centered": True, "weight_decay": 0.1, "alpha": 0.4},
        {"maximize": True},
    ],
    "Rprop": [{}, {"lr": 0.05, "etas": (0.3, 1.4), "step_sizes": (1e-3, 0.2)}, {"maximize": True}],
    "ASGD": [{}, {"lr": 0.05, "lambd": 0.01, "alpha": 0.5, "t0": 20, "weight_decay": 0.1}, {"maximize": True}],
    "Adafactor": [
        {},
        {"lr": 0.05, "beta2_decay": -0.3, "eps": (1e-4, 1e-2), "d": 1.5, "weight_decay": 0.1},
        {"maximize": True},
    ],
}
CASES = [(name, options) for name, several in CONFIGURATIONS.items() for options in several]

# Relative to the parameters' size: rounding in another order, fed back for 200 steps.
TOLERANCE = {
    "float32": 1e-5,
    "float64": 1e-12,
    "complex64": 1e-5,
    # Native rounds to 8 bits after each operator and so do we, but a rounding that falls the other way is 2**-8.
    "bfloat16": 3e-2,
    "float16": 5e-3,
}


def arrays(seed, shapes, dtype):
    rng = np.random.default_rng(seed)
    made = [rng.standard_normal(shape) for shape in shapes]
    if dtype == "complex64":
        made = [a + 1j * rng.standard_normal(a.shape) for a in made]
    return made


def tensors(library, seed=0, shapes=SHAPES, dtype="float32"):
    made = [torch.tensor(a).to(getattr(torch, dtype)) for a in arrays(seed, shapes, dtype)]
    return [(t if library is torch else ours(t)).requires_grad_() for t in made]


def set_gradients(library, params, step, without=()):
    """Gradients that pull towards zero, with noise; none for the parameters whose indices are in ``without``."""
    dtype = dtype_name(params[0].dtype)
    noise = arrays(1000 + step, [tuple(p.shape) for p in params], dtype)
    for i, (p, n) in enumerate(zip(params, noise, strict=True)):
        if i in without:
            p.grad = None
            continue
        now = array_of(p)
        grad = torch.tensor(np.asarray(0.5 * np.sin(now.astype(n.dtype)) + 0.3 * n)).to(getattr(torch, dtype))
        p.grad = grad if library is torch else ours(grad)


def run(library, name, options, steps=STEPS, shapes=SHAPES, dtype="float32", without=lambda step: (), change=None):
    """Parameters and optimizer after some steps; ``change(group, step)`` may alter options in between."""
    params = tensors(library, shapes=shapes, dtype=dtype)
    optimizer = getattr(library.optim, name)(params, **options)
    for step in range(steps):
        if change is not None:
            change(optimizer.param_groups[0], step)
        set_gradients(library, params, step, without(step))
        optimizer.step()
    return params, optimizer


def assert_close(actual, expected, what, scale=1.0):
    name = dtype_name(expected.dtype)
    assert dtype_name(actual.dtype) == name and tuple(actual.shape) == tuple(expected.shape), what
    wide = "complex128" if name.startswith("complex") else "float64"
    a, e = array_of(actual).astype(wide), array_of(expected).astype(wide)
    bound = scale * TOLERANCE[name] * max(1.0, float(np.abs(e).max(initial=0)))
    assert np.abs(a - e).max(initial=0) <= bound, f"{what}: {np.abs(a - e).max()} > {bound}"


def assert_same_state(actual, expected, scale=1.0):
    """State dicts of the two libraries: same keys in the same order, same kinds of values, close tensors."""
    assert list(actual) == list(expected)
    assert list(actual["state"]) == list(expected["state"])
    for number, memory in expected["state"].items():
        assert list(actual["state"][number]) == list(memory), number
        for key, value in memory.items():
            found = actual["state"][number][key]
            if isinstance(value, torch.Tensor):
                assert_close(found, value, f"state {number} {key}", scale)
            else:
                assert type(found) is type(value) and found == value
    assert repr(actual["param_groups"]) == repr(expected["param_groups"])
    assert [list(g) for g in actual["param_groups"]] == [list(g) for g in expected["param_groups"]]


def compare(*args, scale=1.0, **kwargs):
    (params, optimizer), (expected, oracle) = (run(library, *args, **kwargs) for library in (torchlike, torch))
    for i, (p, e) in enumerate(zip(params, expected, strict=True)):
        assert_close(p, e, f"parameter {i}", scale)
    assert_same_state(optimizer.state_dict(), oracle.state_dict(), scale)
    assert repr(optimizer) == repr(oracle)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_steps(name, options):
    compare(name, options)


@pytest.mark.parametrize("tier", ["host", "xla"])
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_each_executor(name, tier, monkeypatch):
    monkeypatch.setattr(config, "tier", tier)
    compare(name, CONFIGURATIONS[name][1], steps=20)


@pytest.mark.parametrize("options", [{}, {"nesterov": False, "adjust_lr_fn": "match_rms_adamw", "momentum": 0.4}])
def test_muon(options):
    # Newton and Schulz's iteration is in bfloat16, whose matrix products round in another order.
    compare("Muon", {"lr": 0.02, **options}, steps=50, shapes=((4, 3), (3, 5), (6, 6)), scale=300)


@pytest.mark.parametrize("dtype", ["float64", "complex64", "bfloat16", "float16"])
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_dtypes(name, dtype):
    options = {} if name in ("Rprop", "Adadelta", "ASGD", "Adagrad") else {"weight_decay": 0.05}
    if name == "Adafactor" and dtype == "complex64":
        pytest.skip("not for complex parameters")
    if name == "SGD":
        options["momentum"] = 0.9
    compare(name, options, steps=20, dtype=dtype)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_parameters_without_gradient_stay_behind(name):
    compare(
        name,
        {"momentum": 0.9} if name == "SGD" else {},
        steps=24,
        without=lambda step: (step % 4, 2 if step < 7 else 3),
    )


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_options_change_between_steps(name):
    def change(group, step):
        group["lr"] = 0.01 + 0.001 * (step % 7)
        if "momentum" in group and name == "SGD":
            group["momentum"] = 0.5 + 0.01 * step
        if "betas" in group:
            group["betas"] = (0.7 + 0.005 * step, 0.99)
        if "weight_decay" in group:
            group["weight_decay"] = 0.001 * step

    compare(name, {}, steps=30, change=change)


@pytest.mark.parametrize("name", ["SGD", "Adam", "NAdam"])
def test_a_new_learning_rate_makes_no_new_program(name):
    options = {"momentum": 0.9} if name == "SGD" else {}

    def change(group, step):
        group["lr"] = 0.1 / (step + 1)

    run(torchlike, name, options, steps=4, change=change)
    before = stats.instances if hasattr(stats, "instances") else None
    compiles = stats.compiles
    run(torchlike, name, options, steps=10, change=change)
    assert stats.compiles == compiles and (before is None or stats.instances == before)


def test_groups():
    def made(library):
        a, b, c = tensors(library, shapes=((2,), (3,), (4,)))
        optimizer = library.optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5, "momentum": 0.9}], lr=0.1)
        optimizer.add_param_group({"params": (c,), "weight_decay": 0.1, "name": "late"})
        for step in range(20):
            set_gradients(library, [a, b, c], step)
            optimizer.step()
        return [a, b, c], optimizer

    (params, optimizer), (expected, oracle) = made(torchlike), made(torch)
    for p, e in zip(params, expected, strict=True):
        assert_close(p, e, "parameter")
    assert repr(optimizer) == repr(oracle)
    assert_same_state(optimizer.state_dict(), oracle.state_dict())


def test_a_duplicate_parameter_is_stepped_twice():
    def made(library):
        (a,) = tensors(library, shapes=((3,),))
        with pytest.warns(UserWarning, match="duplicate parameters"):
            optimizer = library.optim.SGD([a, a], lr=0.1, momentum=0.9)
        for step in range(5):
            set_gradients(library, [a], step)
            optimizer.step()
        return a, optimizer

    (a, optimizer), (e, oracle) = made(torchlike), made(torch)
    assert_close(a, e, "parameter")
    assert_same_state(optimizer.state_dict(), oracle.state_dict())


# State dicts


def native_state(state):
    return {"state": {k: native(v) for k, v in state["state"].items()}, "param_groups": native(state["param_groups"])}


def our_state(state):
    return {"state": {k: ours(v) for k, v in state["state"].items()}, "param_groups": ours(state["param_groups"])}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_run_goes_on_from_the_other_librarys_state(name):
    options = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
    _, oracle = run(torch, name, options, steps=5)
    _, optimizer = run(torchlike, name, options, steps=5)
    results = []
    for library, state in ((torchlike, our_state(oracle.state_dict())), (torch, native_state(optimizer.state_dict()))):
        params = tensors(library, seed=3)
        loaded = getattr(library.optim, name)(params, **options)
        loaded.load_state_dict(state)
        for step in range(5):
            set_gradients(library, params, step)
            loaded.step()
        results.append((params, loaded))
    for p, e in zip(results[0][0], results[1][0], strict=True):
        assert_close(p, e, "parameter")
    assert_same_state(results[0][1].state_dict(), results[1][1].state_dict())


def test_loading_copies_and_casts():
    def loaded(library):
        _, optimizer = run(library, "Adam", {}, steps=2)
        state = optimizer.state_dict()
        params = tensors(library, dtype="float64")
        other = library.optim.Adam(params, lr=0.5)
        other.load_state_dict(state)
        memory = other.state[params[0]]
        kinds = {key: str(value.dtype) for key, value in memory.items()}
        return kinds, other.param_groups[0]["lr"], state["param_groups"][0]["params"]

    assert loaded(torchlike) == loaded(torch)


def test_old_states_hold_plain_numbers():
    def loaded(library):
        params = tensors(library, shapes=((2,),))
        optimizer = library.optim.Adam(params)
        state = optimizer.state_dict()
        state["state"] = {0: {"step": 3, "exp_avg": library.ones(2), "exp_avg_sq": library.ones(2)}}
        del state["param_groups"][0]["decoupled_weight_decay"], state["param_groups"][0]["maximize"]
        optimizer.load_state_dict(state)
        set_gradients(library, params, 0)
        optimizer.step()
        return params, optimizer

    (params, optimizer), (expected, oracle) = loaded(torchlike), loaded(torch)
    assert_close(params[0], expected[0], "parameter")
    assert_same_state(optimizer.state_dict(), oracle.state_dict())


def test_hooks():
    def events(library):
        seen = []
        params = tensors(library, shapes=((2,),))
        optimizer = library.optim.SGD(params, lr=0.1)
        register = BASES[library].register_optimizer_step_pre_hook
        handles = [
            register(lambda o, a, k: seen.append(("global pre", len(a), k))),
            BASES[library].register_optimizer_step_post_hook(lambda o, a, k: seen.append("global post")),
            optimizer.register_step_pre_hook(lambda o, a, k: ((a[0],), {"closure": lambda: seen.append("closure")})),
            optimizer.register_step_post_hook(lambda o, a, k: seen.append(("post", sorted(k)))),
            optimizer.register_state_dict_pre_hook(lambda o: seen.append("sd pre")),
            optimizer.register_state_dict_post_hook(lambda o, s: {**s, "extra": 1}),
            optimizer.register_state_dict_post_hook(lambda o, s: seen.append(sorted(s)), prepend=True),
            optimizer.register_load_state_dict_pre_hook(lambda o, s: seen.append(sorted(s))),
            optimizer.register_load_state_dict_pre_hook(lambda o, s: seen.append("first"), prepend=True),
            optimizer.register_load_state_dict_post_hook(lambda o: seen.append("loaded")),
        ]
        optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
        for handle in handles:
            handle.remove()
        optimizer.step()
        return seen

    assert events(torchlike) == events(torch)
    params = tensors(torchlike, shapes=((2,),))
    optimizer = torchlike.optim.SGD(params)
    optimizer.register_step_pre_hook(lambda o, a, k: 3)
    with pytest.raises(RuntimeError, match=r"must return None or a tuple of \(new_args, new_kwargs\), but got 3"):
        optimizer.step()


def test_zero_grad():
    for set_to_none in (True, False):
        results = []
        for library in LIBRARIES:
            params = tensors(library, shapes=((2,), (3,)))
            optimizer = library.optim.SGD(params)
            set_gradients(library, params, 0, without=(1,))
            grad = params[0].grad
            optimizer.zero_grad(set_to_none)
            results.append((params[0].grad is None, params[0].grad is grad, params[1].grad is None))
            if not set_to_none:
                assert not array_of(params[0].grad).any()
        assert results[0] == results[1]


def test_named_parameters():
    def made(library):
        a, b = tensors(library, shapes=((2,), (3,)))
        optimizer = library.optim.SGD([("a", a), ("b", b)])
        state = optimizer.state_dict()
        other = library.optim.SGD([("x", a), ("y", b)])
        other.load_state_dict(state)
        del state["param_groups"][0]["param_names"]
        third = library.optim.SGD([("x", a), ("y", b)])
        third.load_state_dict(state)
        return repr(optimizer), other.param_groups[0]["param_names"], third.param_groups[0]["param_names"]

    assert made(torchlike) == made(torch)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_a_copy_goes_on_alone(name):
    params, optimizer = run(torchlike, name, {}, steps=3)
    again = copy.deepcopy(optimizer)
    before = [array_of(p) for p in params]
    copies = again.param_groups[0]["params"]
    set_gradients(torchlike, copies, 3)
    again.step()
    assert all(np.array_equal(b, array_of(p)) for b, p in zip(before, params, strict=True))
    set_gradients(torchlike, params, 3)
    optimizer.step()
    for p, c in zip(params, copies, strict=True):
        assert np.array_equal(array_of(p), array_of(c))
    assert sorted(again.__getstate__()) == ["defaults", "param_groups", "state"]


def test_closure_runs_with_gradients_enabled():
    for library in LIBRARIES:
        params = tensors(library, shapes=((2,),))
        optimizer = library.optim.Adam(params)
        seen = []

        def closure(library=library, seen=seen):
            seen.append(library.is_grad_enabled())
            return 7.0

        with library.no_grad():
            assert optimizer.step(closure) == 7.0
        assert seen == [True]
        assert optimizer.step() is None


def test_custom_optimizers():
    """A subclass with a step of its own, as tutorials write them."""

    def made(library):
        class Plain(library.optim.Optimizer):
            def __init__(self, params, lr=BASES[library].required):
                super().__init__(params, {"lr": lr})

            def step(self, closure=None):
                with library.no_grad():
                    for group in self.param_groups:
                        for p in group["params"]:
                            memory = self.state[p]
                            memory["n"] = memory.get("n", 0) + 1
                            p.sub_(p.grad * group["lr"])

        (p,) = tensors(library, shapes=((3,),))
        _, error = outcome(Plain, [p])
        optimizer = Plain([p], lr=0.1)
        seen = []
        optimizer.register_step_post_hook(lambda *_: seen.append(1))
        set_gradients(library, [p], 0)
        optimizer.step()
        return array_of(p).tolist(), optimizer.state_dict()["state"], seen, Plain.step.hooked, repr(error)

    assert made(torchlike) == made(torch)


# Errors

WRONG_OPTIONS = [
    ("SGD", {"lr": -1.0}),
    ("SGD", {"momentum": -1.0}),
    ("SGD", {"weight_decay": -1.0}),
    ("SGD", {"nesterov": True}),
    ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}),
    ("SGD", {"fused": True, "foreach": True}),
    ("SGD", {"fused": True, "differentiable": True}),
    ("Adam", {"lr": -1.0}),
    ("Adam", {"eps": -1.0}),
    ("Adam", {"betas": (1.0, 0.5)}),
    ("Adam", {"betas": (0.5, -0.1)}),
    ("Adam", {"betas": (0, 0.5)}),
    ("Adam", {"weight_decay": -1.0}),
    ("Adam", {"fused": True, "foreach": True}),
    ("Adam", {"fused": True, "differentiable": True}),
    ("Adam", {"unknown": 1}),
    ("AdamW", {"lr": float("nan")}),
    ("AdamW", {"weight_decay": -0.1}),
    ("Adagrad", {"lr": -1.0}),
    ("Adagrad", {"lr_decay": -1.0}),
    ("Adagrad", {"weight_decay": -1.0}),
    ("Adagrad", {"initial_accumulator_value": -1.0}),
    ("Adagrad", {"eps": -1.0}),
    ("Adagrad", {"fused": True, "foreach": True}),
    ("Adadelta", {"rho": 2.0}),
    ("Adadelta", {"lr": -2.0}),
    ("Adadelta", {"eps": -2.0}),
    ("Adadelta", {"weight_decay": -2.0}),
    ("Adamax", {"betas": (0.1, 1.0)}),
    ("Adamax", {"weight_decay": -1.0}),
    ("NAdam", {"momentum_decay": -1.0}),
    ("NAdam", {"betas": (0.1, 1.0)}),
    ("RAdam", {"betas": (-0.1, 0.5)}),
    ("RAdam", {"weight_decay": -0.1}),
    ("RMSprop", {"alpha": -1.0}),
    ("RMSprop", {"momentum": -1.0}),
    ("RMSprop", {"weight_decay": -1.0}),
    ("RMSprop", {"eps": -1.0}),
    ("Rprop", {"etas": (1.5, 1.2)}),
    ("Rprop", {"lr": -1.2}),
    ("ASGD", {"lr": -1.0}),
    ("ASGD", {"weight_decay": -1.0}),
    ("Adafactor", {"lr": -1.0}),
    ("Adafactor", {"beta2_decay": 1.0}),
    ("Adafactor", {"eps": (-1.0, 1.0)}),
    ("Adafactor", {"eps": (None, -1.0)}),
    ("Adafactor", {"d": 0.5}),
    ("Adafactor", {"weight_decay": -0.5}),
    ("Muon", {"lr": -1.0}),
    ("Muon", {"momentum": -1.0}),
    ("Muon", {"weight_decay": -1.0}),
    ("Muon", {"adjust_lr_fn": "other"}),
    ("Muon", {}),
    ("SparseAdam", {"lr": 0.0}),
    ("SparseAdam", {"eps": 0.0}),
    ("SparseAdam", {"betas": (1.0, 0.5)}),
    ("LBFGS", {"lr": -1.0}),
]


@pytest.mark.parametrize(("name", "options"), WRONG_OPTIONS)
def test_wrong_options(name, options):
    errors = [
        outcome(getattr(library.optim, name), tensors(library, shapes=((3,),)), **options)[1] for library in LIBRARIES
    ]
    assert errors[0] is not None
    assert_same_error(errors[1], errors[0])


def leaf(library):
    return library.zeros(2, requires_grad=True)


WRONG_PARAMS = {
    "a tensor": lambda m: m.optim.SGD(leaf(m)),
    "nothing": lambda m: m.optim.SGD([]),
    "a set": lambda m: m.optim.SGD([{"params": {leaf(m)}}]),
    "a number": lambda m: m.optim.SGD([3]),
    "a non-leaf": lambda m: m.optim.SGD([leaf(m) * 2]),
    "a missing name": lambda m: m.optim.SGD([("a", leaf(m)), leaf(m)]),
    "a group that is none": lambda m: m.optim.SGD([leaf(m)]).add_param_group([leaf(m)]),
    "a group without parameters": lambda m: m.optim.SGD([leaf(m)]).add_param_group({"lr": 1}),
    "names in one group": lambda m: m.optim.SGD([leaf(m)]).add_param_group({"params": [("a", leaf(m))]}),
    "names in the other": lambda m: m.optim.SGD([("a", leaf(m))]).add_param_group({"params": [leaf(m)]}),
    "twice": lambda m: (lambda o: o.add_param_group({"params": o.param_groups[0]["params"]}))(m.optim.SGD([leaf(m)])),
    "two groups for LBFGS": lambda m: m.optim.LBFGS([{"params": [leaf(m)]}, {"params": [leaf(m)]}]),
    "required": lambda m: m.optim.Optimizer([leaf(m)], {"lr": BASES[m].required}),
    "step": lambda m: m.optim.Optimizer([leaf(m)], {}).step(),
    "groups of a state": lambda m: m.optim.SGD([leaf(m)]).load_state_dict({"state": {}, "param_groups": []}),
    "size of a state": lambda m: m.optim.SGD([leaf(m)]).load_state_dict(
        {"state": {}, "param_groups": [{"params": []}]}
    ),
}


@pytest.mark.parametrize("name", WRONG_PARAMS)
def test_wrong_parameters(name):
    errors = [outcome(WRONG_PARAMS[name], library)[1] for library in LIBRARIES]
    assert errors[0] is not None
    assert_same_error(errors[1], errors[0])


@pytest.mark.parametrize("name", ["Adam", "NAdam", "ASGD", "Adadelta", "Rprop"])
def test_capturable_is_for_accelerators(name):
    def run_one(library):
        params = tensors(library, shapes=((2,),))
        optimizer = getattr(library.optim, name)(params, capturable=True)
        set_gradients(library, params, 0)
        optimizer.step()

    errors = [outcome(run_one, library)[1] for library in LIBRARIES]
    assert_same_error(errors[1], errors[0])


def test_fused_is_for_floating_point_parameters():
    def run_one(library):
        params = tensors(library, shapes=((2,),), dtype="complex64")
        optimizer = library.optim.Adam(params, fused=True)
        set_gradients(library, params, 0)
        optimizer.step()

    errors = [outcome(run_one, library)[1] for library in LIBRARIES]
    assert_same_error(errors[1], errors[0])


# Gradient scaling and sparse gradients


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adagrad"])
def test_fused_optimizers_unscale_gradients(name):
    def stepped(library):
        params = tensors(library, shapes=((3,), (2, 2)))
        optimizer = getattr(library.optim, name)(params, lr=0.1, fused=True)
        assert optimizer._step_supports_amp_scaling
        for found in (0.0, 1.0, 0.0):
            set_gradients(library, params, int(found))
            optimizer.grad_scale, optimizer.found_inf = library.tensor(4.0), library.tensor(found)
            optimizer.step()
        return params, optimizer, [p.grad for p in params]

    (params, optimizer, grads), (expected, oracle, expected_grads) = stepped(torchlike), stepped(torch)
    for a, e in zip([*params, *grads], [*expected, *expected_grads], strict=True):
        assert_close(a, e, name)
    assert_same_state(optimizer.state_dict(), oracle.state_dict())


SPARSE = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "maximize": True}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "eps": 1e-3}),
    ("Adagrad", {"lr": 0.1, "weight_decay": 0.1}),
    ("SparseAdam", {"lr": 0.1}),
    ("SparseAdam", {"lr": 0.1, "betas": (0.5, 0.7), "maximize": True}),
    ("Adam", {}),
    ("RMSprop", {}),
]


@pytest.mark.skipif(not hasattr(torchlike, "sparse_coo_tensor"), reason="no sparse tensors yet")
@pytest.mark.parametrize(("name", "options"), SPARSE)
def test_sparse_gradients(name, options):
    def stepped(library):
        (p,) = tensors(library, shapes=((5, 2),))
        optimizer = getattr(library.optim, name)([p], **options)
        for step in range(4):
            rows = library.tensor([[step % 5, 3, 3]])
            values = library.tensor(np.random.default_rng(step).standard_normal((3, 2)).astype("float32"))
            p.grad = library.sparse_coo_tensor(rows, values, (5, 2))
            optimizer.step()
        return p, optimizer

    expected, error = outcome(stepped, torch)
    found, our_error = outcome(stepped, torchlike)
    if error is not None:
        assert_same_error(our_error, error)
        return
    assert our_error is None, our_error
    assert_close(found[0], expected[0], name)
    assert_same_state(found[1].state_dict(), expected[1].state_dict())


def test_sparse_adam_wants_sparse_gradients():
    errors = []
    for library in LIBRARIES:
        params = tensors(library, shapes=((2,),))
        set_gradients(library, params, 0)
        errors.append(outcome(library.optim.SparseAdam(params).step)[1])
    assert_same_error(errors[1], errors[0])


# Options that are tensors


TENSOR_CASES = [
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    *((name, {"lr": 0.05}) for name in CONFIGURATIONS if name != "SGD"),
]


@pytest.mark.parametrize(("name", "options"), TENSOR_CASES)
def test_tensor_learning_rate(name, options):
    def made(library, value):
        return library.tensor(value)

    results = []
    for library in (torchlike, torch):
        changed = {**options, "lr": made(library, [options["lr"]] if name == "Adam" else options["lr"])}
        if name in ("Adam", "AdamW"):
            changed["betas"] = (made(library, 0.8), made(library, 0.9))
        results.append(run(library, name, changed, steps=20))
    (params, optimizer), (expected, oracle) = results
    for p, e in zip(params, expected, strict=True):
        assert_close(p, e, "parameter")
    assert repr(optimizer) == repr(oracle)


def test_tensor_options_of_several_elements():
    for name, options in (("SGD", {"lr": [0.1, 0.2]}), ("Adam", {"lr": [0.1, 0.2]}), ("RAdam", {"lr": [0.1, 0.2]})):
        errors = []
        for library in LIBRARIES:
            tensor = library.tensor(options["lr"])
            errors.append(outcome(getattr(library.optim, name), tensors(library, shapes=((2,),)), lr=tensor)[1])
        assert_same_error(errors[1], errors[0])
    for options in ({"lr": 0.1, "foreach": True}, {"betas": (0.1, 0.2), "foreach": True}, {"betas": (0.1, 0.5)}):
        errors = []
        for library in LIBRARIES:
            changed = dict(options)
            if "lr" in changed:
                changed["lr"] = library.tensor(0.1)
            elif "foreach" in changed:
                changed["betas"] = (library.tensor(0.1), library.tensor(0.2))
            else:
                changed["betas"] = (library.tensor(0.1), 0.5)
            errors.append(outcome(library.optim.Adam, tensors(library, shapes=((2,),)), **changed)[1])
        assert_same_error(errors[1], errors[0])


# Steps on the tape


# With how many steps: native's own operators write to what others saved for the backward pass of a second one.
DIFFERENTIABLE = [
    (3, "SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    (3, "SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    (1, "Adam", {"lr": 0.1, "amsgrad": True, "weight_decay": 0.1}),
    (3, "Adam", {"lr": 0.1, "eps": 0.1}),
    (3, "AdamW", {"lr": 0.1}),
    (3, "Adagrad", {"lr": 0.1, "eps": 0.1}),
    (3, "Adadelta", {"lr": 0.1, "eps": 0.1}),
    (1, "Adamax", {"lr": 0.1}),
    (3, "NAdam", {"lr": 0.1, "eps": 0.1}),
    (3, "RAdam", {"lr": 0.1}),
    (1, "RMSprop", {"lr": 0.1, "centered": True, "momentum": 0.5, "eps": 0.1}),
    (1, "Rprop", {"lr": 0.1}),
    (3, "ASGD", {"lr": 0.1}),
]

# Under differentiable=True, native computes Adam's bias correction from a step count in float32.
FLOAT32 = 3e7


@pytest.mark.parametrize(("steps", "name", "options"), DIFFERENTIABLE)
def test_differentiable(steps, name, options):
    def gradient(library):
        start = library.tensor([0.5, -1.0, 2.0], dtype=library.float64, requires_grad=True)
        scale = library.tensor([1.0, 0.7, 1.3], dtype=library.float64, requires_grad=True)
        p = start.clone()
        optimizer = getattr(library.optim, name)([p], differentiable=True, **options)
        for i in range(steps):
            p.grad = (scale * start * (i + 1)).clone()
            optimizer.step()
        p.sum().backward()
        return start.grad, scale.grad, p

    for a, e in zip(gradient(torchlike), gradient(torch), strict=True):
        assert_close(a, e, name, FLOAT32)


def test_differentiable_over_more_steps_than_native_can():
    start = torchlike.tensor([0.5, -1.0], dtype=torchlike.float64, requires_grad=True)
    p = start.clone()
    optimizer = torchlike.optim.Adam([p], lr=0.1, amsgrad=True, differentiable=True)
    for i in range(3):
        p.grad = start * (i + 1)
        optimizer.step()
    p.sum().backward()
    assert np.isfinite(array_of(start.grad)).all()


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_gradient_of_the_learning_rate(name):
    def gradient(library):
        lr = library.tensor(0.1, dtype=library.float64, requires_grad=True)
        p = library.tensor([0.5, -1.0], dtype=library.float64, requires_grad=True).clone()
        optimizer = getattr(library.optim, name)([p], lr=lr, differentiable=True)
        for i in range(3):
            p.grad = library.tensor([1.0 + i, 2.0], dtype=library.float64)
            optimizer.step()
        (p * p).sum().backward()
        return lr.grad

    assert_close(gradient(torchlike), gradient(torch), name, FLOAT32)


# L-BFGS


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lr": 0.5, "max_iter": 7, "history_size": 3},
        {"line_search_fn": "strong_wolfe"},
        {"line_search_fn": "strong_wolfe", "max_eval": 9, "history_size": 2, "tolerance_change": 1e-6},
    ],
)
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True to a scalar")
def test_lbfgs(options):
    def minimized(library):
        x = library.tensor([-1.5, 1.2], dtype=library.float64, requires_grad=True)
        y = library.tensor([[0.3], [0.4]], dtype=library.float64, requires_grad=True)
        optimizer = library.optim.LBFGS([x, y], **options)
        losses = []

        def closure():
            optimizer.zero_grad()
            loss = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2 + ((y - 2.0) ** 4).sum() * x[0] ** 2
            loss.backward()
            return loss

        for _ in range(6):
            losses.append(optimizer.step(closure).item())
        memory = optimizer.state_dict()["state"][0]
        return losses, [x, y], memory

    losses, params, memory = minimized(torchlike)
    expected_losses, expected, expected_memory = minimized(torch)
    assert losses == pytest.approx(expected_losses, rel=1e-6, abs=1e-10)
    for p, e in zip(params, expected, strict=True):
        assert_close(p, e, "parameter", 1e6)
    assert sorted(memory) == sorted(expected_memory)
    assert (memory["n_iter"], memory["func_evals"]) == (expected_memory["n_iter"], expected_memory["func_evals"])
    assert [type(v).__name__ for _, v in sorted(memory.items())] == [
        type(v).__name__ for _, v in sorted(expected_memory.items())
    ]


def test_lbfgs_knows_one_line_search():
    for library in LIBRARIES:
        x = library.tensor([3.0], requires_grad=True)
        optimizer = library.optim.LBFGS([x], line_search_fn="golden")

        def closure(x=x, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (x * x).sum()
            loss.backward()
            return loss

        with pytest.raises(RuntimeError, match=r"^only 'strong_wolfe' is supported$"):
            optimizer.step(closure)


# Functional forms


def test_functional_forms():
    def stepped(library, name, *lists, **options):
        params = tensors(library, shapes=((3,), (2, 2)))
        set_gradients(library, params, 0)
        with library.no_grad():
            state = [[make(library, p) for p in params] for make in lists]
            function = getattr(library.optim._functional, name)
            for _ in range(3):
                function(params, [p.grad for p in params], *state, **options)
        return [*params, *itertools.chain(*state)]

    def zeros(library, p):
        return library.zeros_like(p)

    def step(library, p):
        return library.tensor(0.0)

    def none(library, p):
        return None

    def ones(library, p):
        return library.ones_like(p)

    decay = {"lr": 0.1, "weight_decay": 0.1, "eps": 1e-8, "maximize": False}
    betas = {"beta1": 0.9, "beta2": 0.99}
    cases = [
        (
            "sgd",
            none,
            {"lr": 0.1, "weight_decay": 0.1, "momentum": 0.9, "dampening": 0.0, "nesterov": True, "maximize": True},
        ),
        ("adam", zeros, zeros, zeros, step, {**decay, **betas, "amsgrad": True}),
        ("adamw", zeros, zeros, zeros, step, {**decay, **betas, "amsgrad": False}),
        ("adagrad", zeros, step, {**decay, "lr_decay": 0.1}),
        ("adadelta", zeros, zeros, step, {**decay, "rho": 0.9}),
        ("adamax", zeros, zeros, step, {k: v for k, v in {**decay, **betas}.items() if k != "maximize"}),
        ("radam", zeros, zeros, step, {k: v for k, v in {**decay, **betas}.items() if k != "maximize"}),
        ("rmsprop", zeros, zeros, zeros, step, {**decay, "alpha": 0.9, "momentum": 0.5, "centered": True}),
        ("rprop", zeros, ones, step, {"step_size_min": 1e-6, "step_size_max": 5, "etaminus": 0.5, "etaplus": 1.2}),
    ]
    for name, *lists, options in cases:
        for a, e in zip(
            stepped(torchlike, name, *lists, **options), stepped(torch, name, *lists, **options), strict=True
        ):
            assert_close(a, e, name)
    _, expected = outcome(stepped, torch, "adam", zeros, zeros, zeros, none, **cases[1][-1])
    _, error = outcome(stepped, torchlike, "adam", zeros, zeros, zeros, none, **cases[1][-1])
    assert_same_error(error, expected)


# Surface


def test_public_names_and_signatures():
    assert torchlike.optim.__all__ == torch.optim.__all__
    for name in torch.optim.__all__:
        a, e = getattr(torchlike.optim, name), getattr(torch.optim, name)
        if inspect.isclass(e):
            assert a.__doc__ and a.__init__ is not object.__init__
            signatures = [
                [(p.name, p.default, p.kind) for p in inspect.signature(c).parameters.values()] for c in (a, e)
            ]
            assert signatures[0] == signatures[1], name
            missing = [m for m in dir(e) if not m.startswith("_") and not hasattr(a, m)]
            assert not missing, f"{name}: {missing}"
    helpers = [
        "_use_grad_for_differentiable", "_get_value", "_stack_if_compiling", "_default_to_fused_or_foreach",
        "_device_dtype_check_for_fused", "_view_as_real", "_get_scalar_dtype", "_get_capturable_supported_devices",
        "_to_scalar", "required", "ParamsT", "StateDict",
    ]  # fmt: skip
    from torchlike.optim import optimizer

    assert all(hasattr(optimizer, name) for name in helpers)
    assert repr(optimizer.required) == "<required parameter>"


def test_functional_signatures():
    for name in ("sgd", "adam", "adamw", "adagrad", "adadelta", "adamax", "nadam", "radam", "rmsprop", "rprop", "asgd"):
        functions = [getattr(library.optim._functional, name) for library in LIBRARIES]
        signatures = [
            [(p.name, p.default, p.kind) for p in inspect.signature(f).parameters.values()] for f in functions
        ]
        assert signatures[0] == signatures[1], name


def test_examples():
    attempted = 0
    for name in torchlike.optim.__all__:
        for example in doctest.DocTestFinder().find(getattr(torchlike.optim, name), name, module=False, globs={}):
            result = doctest.DocTestRunner().run(example)
            attempted += result.attempted
            assert not result.failed
    assert attempted
