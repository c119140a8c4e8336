"""What optimizers do besides plain steps agrees with native torch.

Scaled and sparse gradients, options that are tensors, steps on the tape, L-BFGS, and the functional forms.
"""

import inspect
import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from optimizers import (  # noqa: E402
    CONFIGURATIONS,
    LIBRARIES,
    assert_close,
    assert_same_state,
    run,
    set_gradients,
    tensors,
)
from oracle import array_of, assert_same_error, outcome  # noqa: E402

import torchlike  # noqa: E402

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


def test_functional_signatures():
    for name in ("sgd", "adam", "adamw", "adagrad", "adadelta", "adamax", "nadam", "radam", "rmsprop", "rprop", "asgd"):
        functions = [getattr(library.optim._functional, name) for library in LIBRARIES]
        signatures = [
            [(p.name, p.default, p.kind) for p in inspect.signature(f).parameters.values()] for f in functions
        ]
        assert signatures[0] == signatures[1], name
