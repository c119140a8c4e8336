"""Optimizers agree with native torch: parameters and state over hundreds of steps, state dicts, texts and errors."""

import copy
import doctest
import inspect

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from optimizers import (  # noqa: E402
    BASES,
    CASES,
    CONFIGURATIONS,
    LIBRARIES,
    assert_close,
    assert_same_state,
    compare,
    run,
    set_gradients,
    tensors,
)
from oracle import array_of, assert_same_error, native, ours, outcome  # noqa: E402

import torchlike  # noqa: E402
from torchlike._engine import config, stats  # noqa: E402


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


def test_swapping_in_other_parameters_and_state():
    def swapped(library):
        params, optimizer = run(library, "Adam", {}, steps=2)
        others = tensors(library, seed=5)
        state = optimizer.state_dict()
        state["param_groups"][0]["lr"] = 0.5
        state["state"] = {k: {n: t.clone() for n, t in v.items()} for k, v in state["state"].items()}
        before = [array_of(p).tolist() for p in params]
        with library.optim.swap_in_optimizer_params_and_state(optimizer, dict(enumerate(others)), state):
            set_gradients(library, others, 0)
            optimizer.step()
        assert before == [array_of(p).tolist() for p in params]
        assert optimizer.param_groups[0]["lr"] == 0.001
        return others, state["state"][0]["step"].item(), optimizer.state[params[0]]["step"].item()

    found, expected = swapped(torchlike), swapped(torch)
    assert found[1:] == expected[1:]
    for a, e in zip(found[0], expected[0], strict=True):
        assert_close(a, e, "parameter")


WRONG_SWAPS = {
    "no state": lambda o, s: o.state.clear(),
    "state": lambda o, s: s.update(state=[]),
    "entries": lambda o, s: s["state"].update({0: 3}),
    "groups": lambda o, s: s.update(param_groups={}),
    "number of groups": lambda o, s: s.update(param_groups=[]),
    "a group": lambda o, s: s.update(param_groups=[3]),
    "ids": lambda o, s: s["param_groups"][0].update(params=["a"]),
    "number of ids": lambda o, s: s["param_groups"][0].update(params=[0]),
    "keys": lambda o, s: s["param_groups"][0].update(extra=1),
    "extra": lambda o, s: s["state"].update({"a": {}}),
    "parameters": lambda o, s: s.update(missing=True),
}


@pytest.mark.parametrize("name", WRONG_SWAPS)
def test_wrong_swaps(name):
    def swapped(library):
        params, optimizer = run(library, "Adam", {}, steps=1)
        state = copy.deepcopy(optimizer.state_dict())
        WRONG_SWAPS[name](optimizer, state)
        given = dict(enumerate(params[1:] if state.pop("missing", False) else params))
        with library.optim.swap_in_optimizer_params_and_state(optimizer, given, state):
            pass

    errors = [outcome(swapped, library)[1] for library in LIBRARIES]
    assert errors[0] is not None
    assert_same_error(errors[1], errors[0])


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
        "_to_scalar", "required", "ParamsT", "StateDict", "DeviceDict", "_disable_dynamo_if_unsupported", "_params_doc",
        "_maximize_doc",
    ]  # fmt: skip
    from torchlike.optim import optimizer

    assert all(hasattr(optimizer, name) for name in helpers)
    assert repr(optimizer.required) == "<required parameter>"


def test_examples():
    attempted = 0
    for name in torchlike.optim.__all__:
        for example in doctest.DocTestFinder().find(getattr(torchlike.optim, name), name, module=False, globs={}):
            result = doctest.DocTestRunner().run(example)
            attempted += result.attempted
            assert not result.failed
    assert attempted
