"""Optax's transformations as optimizers, against optax itself."""

import copy
import doctest

import jax
import numpy as np
import optax
import pytest

import torchlike as torch
import torchlike.optim.optax
from torchlike._engine import stats
from torchlike.optim.optax import OptaxOptimizer

SHAPES = ((3, 2), (2,))

TRANSFORMATIONS = {
    "adam": optax.adam(0.05),
    "chain": optax.chain(optax.clip_by_global_norm(0.5), optax.adamw(0.05, weight_decay=0.1)),
    "schedule": optax.sgd(optax.linear_schedule(0.1, 0.0, 5), momentum=0.9),
    "lion": optax.lion(0.01),
}


def gradients(step):
    rng = np.random.default_rng(step)
    return [rng.standard_normal(shape).astype("float32") for shape in SHAPES]


def steps(optimizer, params, count, start=0):
    for step in range(start, start + count):
        for p, g in zip(params, gradients(step), strict=True):
            p.grad = torch.tensor(g)
        optimizer.step()


def start():
    return [torch.tensor(a, requires_grad=True) for a in gradients(1000)]


def expected(transformation, count):
    params = gradients(1000)
    state = transformation.init(params)
    for step in range(count):
        updates, state = jax.jit(transformation.update)(gradients(step), state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_steps(name):
    params = start()
    steps(OptaxOptimizer(params, TRANSFORMATIONS[name]), params, 10)
    for p, e in zip(params, expected(TRANSFORMATIONS[name], 10), strict=True):
        np.testing.assert_allclose(p.detach().numpy(), e, rtol=1e-5, atol=1e-6)


def test_a_scheduled_learning_rate_makes_no_new_program():
    params = start()
    optimizer = OptaxOptimizer(params, lambda lr: optax.adam(lr), lr=0.1)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    counts = []
    for step in range(8):
        steps(optimizer, params, 1, step)
        scheduler.step()
        counts.append(stats.compiles)
    assert scheduler.get_last_lr() == [0.1 * 0.5**8]
    assert counts[2] == counts[-1]
    schedule = optax.adam(lambda count: 0.1 * 0.5**count)
    for p, e in zip(params, expected(schedule, 8), strict=True):
        np.testing.assert_allclose(p.detach().numpy(), e, rtol=1e-5, atol=1e-6)


def test_state_is_saved_and_loaded():
    params = start()
    optimizer = OptaxOptimizer(params, TRANSFORMATIONS["schedule"])
    steps(optimizer, params, 3)
    others = [p.detach().clone().requires_grad_() for p in params]
    other = OptaxOptimizer(others, TRANSFORMATIONS["schedule"])
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    steps(optimizer, params, 4, 3)
    steps(other, others, 4, 3)
    for p, q in zip(params, others, strict=True):
        assert np.array_equal(p.detach().numpy(), q.detach().numpy())


def test_missing_gradients_are_zero():
    params = start()
    optimizer = OptaxOptimizer(params, optax.sgd(0.1))
    before = [p.detach().clone().numpy() for p in params]
    optimizer.step()
    params[0].grad = torch.ones(3, 2)
    optimizer.step()
    np.testing.assert_allclose(params[0].detach().numpy(), before[0] - 0.1, rtol=1e-6)
    assert np.array_equal(params[1].detach().numpy(), before[1])


def test_example():
    failed, attempted = 0, 0
    for example in doctest.DocTestFinder().find(OptaxOptimizer, "OptaxOptimizer", globs={}):
        result = doctest.DocTestRunner().run(example)
        failed, attempted = failed + result.failed, attempted + result.attempted
    assert attempted and not failed
