"""Straight-line NumPy programs against evaluating their jaxprs one equation at a time, and against XLA."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import lax
from jax.extend.core import Literal

from torchlike._engine.host import NoRuleError, StraightLine, inner_jaxpr, lower, program

jax.config.update("jax_enable_x64", True)


def obvious(jaxpr, consts, *args) -> list:
    """The outputs of a jaxpr, one equation at a time on copies: no folding, no inlining of branches, no reuse."""
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))

    def read(atom):
        return np.array(atom.val if isinstance(atom, Literal) else values[atom], atom.aval.dtype)

    for eqn in jaxpr.eqns:
        inner = inner_jaxpr(eqn)
        if inner is not None:
            results = obvious(inner.jaxpr, inner.consts, *map(read, eqn.invars))
        else:
            results = lower(eqn)(*map(read, eqn.invars))
            results = results if eqn.primitive.multiple_results else [results]
        values.update(zip(eqn.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def check(function, *args, tolerance: float = 1e-12):
    """The program of ``function`` gives what `obvious` gives, to the bit, and what XLA gives, and spares its inputs."""
    closed = jax.make_jaxpr(function)(*args)
    host = program(closed)
    assert host is not None
    originals = [np.copy(arg) for arg in args]
    with np.errstate(all="ignore"):
        got, expected = host(*args), obvious(closed.jaxpr, closed.consts, *args)
    for arg, original in zip(args, originals, strict=True):
        np.testing.assert_array_equal(arg, original)
    for one, other, compiled in zip(got, expected, jax.tree.leaves(jax.jit(function)(*args)), strict=True):
        assert one.dtype == other.dtype == compiled.dtype
        np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose(one, compiled, rtol=tolerance, atol=tolerance)
    return host


def sample(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-3, 3, shape)


def test_calls_are_inlined():
    @jax.custom_vjp
    def double(x):
        return x * 2

    double.defvjp(lambda x: (double(x), None), lambda _, g: (g * 2,), optimize_remat=True)

    @jax.custom_batching.custom_vmap
    def triple(x):
        return x * 3

    triple.def_vmap(lambda size, batched, x: (triple(x), batched))

    def scaled(x):
        return jax.custom_derivatives.linear_call(lambda r, x: x * r, lambda r, x: x * r, 2.0, x)

    def function(x):
        y = jax.nn.relu(jax.jit(jnp.sin)(x)) + double(x) + jax.checkpoint(jnp.cos)(x) + jax.nn.silu(x)
        return y + lax.composite(jnp.tan, "test.tan")(x) + scaled(x)

    x = sample(3, 4)
    check(function, x)
    check(jax.grad(lambda x: jax.nn.relu(jax.checkpoint(jnp.sin)(x)).sum() + double(x).sum()), x)
    check(triple, x)
    for eqn in jax.make_jaxpr(function)(x).eqns:
        inner = inner_jaxpr(eqn)
        assert (inner is None) == (eqn.primitive.name == "add")
        if inner is not None:
            operands = [np.asarray(atom.val) if isinstance(atom, Literal) else x for atom in eqn.invars]
            (want,) = program(inner)(*operands)
            np.testing.assert_array_equal(lower(eqn)(*operands)[0], want)


def test_whole_models():
    x, w1, w2 = sample(8, 6), sample(5, 6, seed=1), sample(3, 5, seed=2)
    labels = np.array([0, 2, 1, 1, 0, 2, 2, 0])

    def loss(w1, w2, x, labels):
        logits = jax.nn.gelu(x @ w1.T, approximate=False) @ w2.T
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()

    check(jax.value_and_grad(loss, (0, 1)), w1, w2, x, labels)

    def attention(q, k, v):
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / 2
        scores = jnp.where(jnp.tril(jnp.ones(scores.shape[-2:], bool)), scores, -jnp.inf)
        return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores, -1), v)

    q, k, v = (sample(2, 5, 3, 4, seed=seed) for seed in (1, 2, 3))
    check(attention, q, k, v)
    check(jax.grad(lambda *a: attention(*a).sum(), (0, 1, 2)), q, k, v)


def test_program_reuses_buffers_but_never_its_inputs():
    def function(x):
        y = jnp.exp(x)
        z = y.T  # a view of y lives on while y dies
        return (jnp.sin(y) + jnp.cos(x)) * 2, z

    x = sample(4, 4)
    host = program(jax.make_jaxpr(function)(x))
    assert "out=" in host.source
    before = x.copy()
    x.flags.writeable = False
    first, second = host(x)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_allclose(first, (np.sin(np.exp(x)) + np.cos(x)) * 2)
    np.testing.assert_array_equal(second, np.exp(x).T)


def test_program_folds_constants_and_drops_dead_steps():
    def function(x):
        jnp.sin(x)
        mask = jnp.tril(jnp.ones((4, 4), x.dtype))
        return x * mask

    host = program(jax.make_jaxpr(function)(np.zeros((4, 4), np.float32)))
    assert host.source.count("=") == 1
    check(function, sample(4, 4))


def test_broadcasts_are_left_to_numpy():
    def function(x, row, number):
        wide, tall = (lax.broadcast_in_dim(row, x.shape, (axis,)) for axis in (1, 0))
        return x * wide + tall, x - lax.broadcast_in_dim(number, x.shape, ())

    host = check(function, sample(4, 4), sample(4, seed=1), np.array(2.5))
    assert len(host.source.splitlines()) - 2 == 5  # one reshape, three sums and products, one release

    def both(row, number):  # no operand has the full shape by itself
        return lax.broadcast_in_dim(row, (4, 4), (0,)) * lax.broadcast_in_dim(number, (4, 4), ())

    check(both, sample(4), np.array(2.5))


def test_several_jaxprs_in_a_row():
    x = sample(3, 3)
    first, second = (
        jax.make_jaxpr(lambda x: (jnp.exp(x), x.sum()))(x),
        jax.make_jaxpr(lambda y, s: (y.T * s, s))(x, x[0, 0]),
    )
    line = StraightLine()
    middle = line.inline(first.jaxpr, first.consts, [line.input(x)])
    run = line.function(line.inline(second.jaxpr, second.consts, middle), arrays=True)
    product, total = run(x)
    np.testing.assert_array_equal(product, np.exp(x).T * x.sum())
    assert type(total) is np.ndarray and total.shape == ()


def test_a_line_without_host_form():
    closed = jax.make_jaxpr(lambda: jax.random.key(0))()
    with pytest.raises(NoRuleError, match="random_seed"):
        StraightLine().inline(closed.jaxpr, closed.consts, [])


STEPS = {
    "exp": lambda x, y: lax.exp(lax.neg(lax.abs(x))),
    "add": lambda x, y: lax.add(x, y),
    "mul": lambda x, y: lax.mul(x, lax.sin(y)),
    "twice": lambda x, y: lax.add(x, x),
    "transpose": lambda x, y: lax.transpose(x, (1, 0)),
    "rev": lambda x, y: lax.rev(x, (0,)),
    "reshape": lambda x, y: lax.reshape(lax.reshape(x, (9,)), (3, 3)),
    "slice": lambda x, y: lax.concatenate([lax.slice(x, (1, 0), (3, 3)), lax.slice(y, (0, 0), (1, 3))], 0),
    "update": lambda x, y: lax.dynamic_update_slice(x, lax.slice(y, (0, 0), (2, 2)), (0, 1)),
    "select": lambda x, y: lax.select(lax.lt(x, y), x, y),
    "where": lambda x, y: lax.select(lax.lt(x[0, 0], y[0, 0]), x, y),
    "row": lambda x, y: lax.add(x, lax.broadcast_in_dim(lax.reduce_sum(y, (0,)), (3, 3), (1,))),
    "column": lambda x, y: lax.broadcast_in_dim(lax.index_in_dim(x, 0, 0, False), (3, 3), (0,)),
    "dot": lambda x, y: lax.mul(lax.dot(x, y), 0.1),
    "split": lambda x, y: lax.concatenate(lax.split(x, (1, 2), 0)[::-1], 0),
    "one": lambda x, y: lax.full_like(x, 1.0),
}


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=25
    ),
    st.data(),
)
def test_random_programs(recipe, data):
    """Any chain of views, new arrays and elementwise steps, with any of its values as outputs."""
    keep = data.draw(st.sets(st.integers(0, len(recipe) - 1), min_size=1, max_size=4))

    def function(x, y):
        values = [x, y]
        for name, first, second in recipe:
            values.append(STEPS[name](values[first % len(values)], values[second % len(values)]))
        return [values[2 + place] for place in sorted(keep)]

    x, y = sample(3, 3), sample(3, 3, seed=1)
    closed = jax.make_jaxpr(function)(x, y)
    got, expected = program(closed)(x.copy(), y.copy()), obvious(closed.jaxpr, closed.consts, x, y)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)
