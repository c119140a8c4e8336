"""Optimizers of both libraries on the same parameters and gradients, and comparisons of what they leave behind."""

import importlib

import numpy as np
import torch
from oracle import array_of, dtype_name, ours

import torchlike

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
