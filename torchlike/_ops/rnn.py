"""Recurrent networks: LSTM, GRU and Elman's, whole sequences at once or one step.

A layer's input is multiplied by its weight for all times at once; what remains is a loop over time. Its gradient is
written out: the loop back collects the gradients of the gates, from which those of the weights are single products.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax

from torchlike._engine.value import concrete
from torchlike._ops.bodies import constant, convert, widened
from torchlike._ops.embedding import rows
from torchlike._ops.joining import cat, stack
from torchlike._ops.op import REGISTRY, Array, composite, op
from torchlike._ops.shape import _permuted as permuted
from torchlike._tensor.tensor import Tensor, host_array, wrap


def _times(a: Any, b: Any) -> Any:
    """``a @ b.T`` along the last dimension of ``a``."""
    return lax.dot_general(a, b, (((a.ndim - 1,), (1,)), ((), ())))


def _back(g: Any, w: Any) -> Any:
    """``g @ w``: the gradient of ``_times`` with respect to ``a``."""
    return lax.dot_general(g, w, (((g.ndim - 1,), (0,)), ((), ())))


def _outer(g: Any, a: Any) -> Any:
    """The sum over all but the last dimensions of outer products: the gradient of ``_times`` with respect to ``b``."""
    axes = tuple(range(g.ndim - 1))
    return lax.dot_general(g, a, ((axes, axes), ((), ())))


def _gates(x: Any, n: int) -> Sequence[Any]:
    size = x.shape[-1] // n
    return lax.split(x, (size,) * n, x.ndim - 1)


def _slope_of_sigmoid(y: Any) -> Any:
    return lax.mul(y, lax.sub(constant(y, 1), y))


def _slope_of_tanh(y: Any) -> Any:
    return lax.sub(constant(y, 1), lax.mul(y, y))


class Cell(NamedTuple):
    """One step of a network, and its gradient.

    ``step(from_input, from_state, state) -> (state, saved)`` where ``from_input`` is ``W_ih x + b_ih`` and ``from_state``
    ``W_hh h + b_hh``. ``back(d_state, saved, state before) -> (d from_input, d from_state, d of the state itself)``.
    A state is a tuple, whose first entry is the output.
    """

    step: Callable
    back: Callable


def _lstm_step(from_input, from_state, state):
    i, f, g, o = _gates(lax.add(from_input, from_state), 4)
    i, f, g, o = lax.logistic(i), lax.logistic(f), lax.tanh(g), lax.logistic(o)
    c = lax.add(lax.mul(f, state[1]), lax.mul(i, g))
    bent = lax.tanh(c)
    return (lax.mul(o, bent), c), (i, f, g, o, bent)


def _lstm_back(d_state, saved, before):
    dh, dc = d_state
    i, f, g, o, bent = saved
    dc = lax.add(dc, lax.mul(lax.mul(dh, o), _slope_of_tanh(bent)))
    d = lax.concatenate(
        [
            lax.mul(lax.mul(dc, g), _slope_of_sigmoid(i)),
            lax.mul(lax.mul(dc, before[1]), _slope_of_sigmoid(f)),
            lax.mul(lax.mul(dc, i), _slope_of_tanh(g)),
            lax.mul(lax.mul(dh, bent), _slope_of_sigmoid(o)),
        ],
        dh.ndim - 1,
    )
    return d, d, (None, lax.mul(dc, f))


def _gru_step(from_input, from_state, state):
    (ir, iz, in_), (hr, hz, hn) = _gates(from_input, 3), _gates(from_state, 3)
    r, z = lax.logistic(lax.add(ir, hr)), lax.logistic(lax.add(iz, hz))
    n = lax.tanh(lax.add(in_, lax.mul(r, hn)))
    return (lax.add(lax.mul(lax.sub(state[0], n), z), n),), (r, z, n, hn)


def _gru_back(d_state, saved, before):
    (dh,) = d_state
    r, z, n, hn = saved
    dn = lax.mul(lax.mul(dh, lax.sub(constant(z, 1), z)), _slope_of_tanh(n))
    dz = lax.mul(lax.mul(dh, lax.sub(before[0], n)), _slope_of_sigmoid(z))
    dr = lax.mul(lax.mul(dn, hn), _slope_of_sigmoid(r))
    axis = dh.ndim - 1
    d_input = lax.concatenate([dr, dz, dn], axis)
    return d_input, lax.concatenate([dr, dz, lax.mul(dn, r)], axis), (lax.mul(dh, z),)


def _tanh_step(from_input, from_state, state):
    h = lax.tanh(lax.add(from_input, from_state))
    return (h,), (h,)


def _tanh_back(d_state, saved, before):
    d = lax.mul(d_state[0], _slope_of_tanh(saved[0]))
    return d, d, (None,)


def _relu_step(from_input, from_state, state):
    h = lax.add(from_input, from_state)
    h = lax.max(h, constant(h, 0))
    return (h,), (h,)


def _relu_back(d_state, saved, before):
    d = lax.select(lax.gt(saved[0], lax.full_like(saved[0], 0)), d_state[0], lax.full_like(d_state[0], 0))
    return d, d, (None,)


CELLS = {
    "lstm": Cell(_lstm_step, _lstm_back), "gru": Cell(_gru_step, _gru_back), "rnn_tanh": Cell(_tanh_step, _tanh_back),
    "rnn_relu": Cell(_relu_step, _relu_back),
}  # fmt: skip


class Parameters(NamedTuple):
    """The parameters of a layer in one direction; the biases and the projection may be None."""

    w_ih: Any
    w_hh: Any
    b_ih: Any = None
    b_hh: Any = None
    w_hr: Any = None


def _biased(x: Any, bias: Any) -> Any:
    return x if bias is None else lax.add(x, lax.broadcast_in_dim(bias, x.shape, (x.ndim - 1,)))


def _choose(valid: Any, new: Any, old: Any) -> Any:
    return lax.select(lax.broadcast_in_dim(valid, new.shape, (0,)), new, old)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _run(mode, reverse, x, state, p, valid):
    """A layer over (time, batch, features) from an initial state: outputs for all times and the last state.

    Where ``valid`` (time, batch) is false a sequence has ended, and its state stays as it is.
    """
    return _run_forward(mode, reverse, x, state, p, valid)[0]


def _run_forward(mode, reverse, x, state, p, valid):
    cell = CELLS[mode]

    def step(state, now):
        from_input, going = now
        from_state = _biased(_times(state[0], p.w_hh), p.b_hh)
        new, saved = cell.step(from_input, from_state, state)
        whole = new[0]
        if p.w_hr is not None:
            new = (_times(whole, p.w_hr), *new[1:])
        if going is not None:
            new = tuple(_choose(going, n, o) for n, o in zip(new, state, strict=True))
        return new, (new, saved, whole if p.w_hr is not None else None)

    last, (states, saved, whole) = lax.scan(step, state, (_biased(_times(x, p.w_ih), p.b_ih), valid), reverse=reverse)
    return (states[0], *last), (x, state, p, valid, states, saved, whole)


def _before(first: Any, all_times: Any, reverse: bool) -> Any:
    """The state before each step, from the first one and those after each step."""
    n = all_times.shape[0]
    first = lax.expand_dims(first, (0,))
    if reverse:
        return lax.concatenate([lax.slice_in_dim(all_times, 1, n), first], 0)
    return lax.concatenate([first, lax.slice_in_dim(all_times, 0, n - 1)], 0)


def _run_backward(mode, reverse, kept, gs):
    x, state, p, valid, states, saved, whole = kept
    cell = CELLS[mode]
    before = tuple(_before(s, a, reverse) for s, a in zip(state, states, strict=True))

    def step(d_state, now):
        g, saved, before, going = now
        d_state = (lax.add(d_state[0], g), *d_state[1:])
        d_stay = None
        if going is not None:
            zero = [lax.full_like(d, 0) for d in d_state]
            d_stay = [_choose(going, z, d) for z, d in zip(zero, d_state, strict=True)]
            d_state = tuple(_choose(going, d, z) for z, d in zip(zero, d_state, strict=True))
        d_output = d_state[0] if p.w_hr is not None else None
        if p.w_hr is not None:
            d_state = (_back(d_state[0], p.w_hr), *d_state[1:])
        d_input, d_hidden, d_own = cell.back(d_state, saved, before)
        through = _back(d_hidden, p.w_hh)
        d_before = [through if d_own[0] is None else lax.add(through, d_own[0]), *d_own[1:]]
        if d_stay is not None:
            d_before = [lax.add(d, s) for d, s in zip(d_before, d_stay, strict=True)]
        return tuple(d_before), (d_input, None if d_hidden is d_input else d_hidden, d_output)

    d_first, (d_input, d_hidden, d_output) = lax.scan(
        step, tuple(gs[1:]), (gs[0], saved, before, valid), reverse=not reverse
    )
    d_hidden = d_input if d_hidden is None else d_hidden
    d_b_ih = None if p.b_ih is None else lax.reduce_sum(d_input, (0, 1))
    d_b_hh = None if p.b_hh is None else d_b_ih if d_hidden is d_input else lax.reduce_sum(d_hidden, (0, 1))
    d_w_hr = None if p.w_hr is None else _outer(d_output, whole)
    d_p = Parameters(_outer(d_input, x), _outer(d_hidden, before[0]), d_b_ih, d_b_hh, d_w_hr)
    return _back(d_input, p.w_ih), d_first, d_p, None


_run.defvjp(_run_forward, _run_backward)


def _node(node: str, **_: Any) -> str:
    return node


@op(namespaces=("_private",), name="_rnn_layer", node=_node)
def _layer(
    input, h: Array, c: Array | None, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None,
    w_hr: Array | None, valid: Array | None, mode, reverse, node,
):  # fmt: skip
    """One direction of a layer: its outputs for all times and its last state."""
    x = widened(input)
    state = tuple(widened(s) for s in (h, c) if s is not None)
    parameters = Parameters(*(None if w is None else widened(w) for w in (w_ih, w_hh, b_ih, b_hh, w_hr)))
    return tuple(convert(out, input.dtype) for out in _run(mode, reverse, x, state, parameters, valid))  # type: ignore[misc]


# Packed sequences: the steps of all sequences in order of time, and back.


@jax.custom_vjp
def _moved(x, there, back, real_there, real_back):
    """Rows of ``x`` by number, zeros where not real; ``back`` and its mask are what leads from the result to ``x``."""
    return _taken(x, there, real_there)


def _taken(x: Any, index: Any, real: Any) -> Any:
    found = rows(x, index)
    if real is None:
        return found
    return lax.select(lax.broadcast_in_dim(real, found.shape, (0,)), found, lax.full_like(found, 0))


_moved.defvjp(
    lambda x, there, back, real_there, real_back: (_taken(x, there, real_there), (back, real_back)),
    lambda saved, g: (_taken(g, *saved), None, None, None, None),
)


@op(namespaces=("_private",), name="_move_rows", node="CatBackward0")
def _move_rows(input, there: Array, back: Array, real_there: Array | None, real_back: Array | None, shape):
    """Packed steps as (time, batch, features), or the other way round."""
    features = input.shape[-1]
    flat = lax.reshape(input, (math.prod(input.shape[:-1]), features))
    return lax.reshape(_moved(flat, there, back, real_there, real_back), (*shape, features))


class Packing(NamedTuple):
    """How packed steps lie in (time, batch): row numbers there and back, and which places are real."""

    to_padded: Tensor
    to_packed: Tensor
    real: Tensor
    valid: Tensor
    shape: tuple[int, int]
    steps: int

    def pad(self, data: Tensor) -> Tensor:
        """(steps, features) as (time, batch, features)."""
        return _move_rows(data, self.to_padded, self.to_packed, self.real, None, self.shape)

    def pack(self, padded: Tensor) -> Tensor:
        """(time, batch, features) as (steps, features)."""
        return _move_rows(padded, self.to_packed, self.to_padded, None, self.real, (self.steps,))


def packing_of(batch_sizes: Tensor) -> Packing:
    """The packing that the number of sequences still going at each time stands for."""
    sizes = host_array(batch_sizes)
    time, batch = len(sizes), int(sizes[0])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    valid = np.arange(batch) < sizes[:, None]
    place = np.where(valid, starts[:, None] + np.arange(batch), 0).astype(np.int64)
    tensor = lambda array: wrap(concrete(np.ascontiguousarray(array)))  # noqa: E731
    return Packing(
        tensor(place.reshape(-1)), tensor(np.flatnonzero(valid).astype(np.int64)), tensor(valid.reshape(-1)), tensor(valid),
        (time, batch), int(sizes.sum()),
    )  # fmt: skip


# Stacks of layers.


def _layers(params: Sequence[Tensor], has_biases: bool, with_projection: bool) -> list[Sequence[Tensor | None]]:
    """The flat list of parameters by layer and direction, each as (w_ih, w_hh, b_ih, b_hh, w_hr)."""
    n = 2 + 2 * has_biases + with_projection
    result = []
    for i in range(0, len(params), n):
        part = list(params[i : i + n])
        biases = part[2:4] if has_biases else [None, None]
        result.append([*part[:2], *biases, part[-1] if with_projection else None])
    return result


def _check_sequence(mode: str, x: Tensor, states: Sequence[Tensor], layers: Sequence[Sequence[Tensor | None]]) -> None:
    for t in states:
        if t.dtype is not x.dtype:
            raise RuntimeError(
                f"Input and hidden tensors are not the same dtype, found input tensor with {x.dtype} and hidden tensor with "
                f"{t.dtype}"
            )
    weight = layers[0][0]
    if weight is not None and x._spec.shape[-1] != weight._spec.shape[1]:
        rows_ = int(np.prod(x._spec.shape[:-1]))
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({rows_}x{x._spec.shape[-1]} and {weight._spec.shape[1]}x"
            f"{weight._spec.shape[0]})"
        )


def _sequence(
    mode: str, x: Tensor, states: Sequence[Tensor], params: Sequence[Tensor], has_biases: bool, num_layers: int,
    dropout: float, train: bool, bidirectional: bool, packing: Packing | None,
) -> tuple[Tensor, ...]:  # fmt: skip
    """All layers over (time, batch, features) or packed steps: the last one's outputs, and the last states of all."""
    directions = 2 if bidirectional else 1
    per_direction = 2 + 2 * bool(has_biases)
    layers = _layers(params, has_biases, len(params) != per_direction * num_layers * directions)
    _check_sequence(mode, x, states, layers)
    node = "MkldnnRnnLayerBackward0" if mode == "lstm" else "StackBackward0"
    valid = None if packing is None else packing.valid
    finals: list[list[Tensor]] = [[] for _ in states]
    for layer in range(num_layers):
        padded = x if packing is None else packing.pad(x)
        outputs = []
        for direction in range(directions):
            at = layer * directions + direction
            first = [s[at] for s in states]
            c = first[1] if len(first) > 1 else None
            out, *last = _layer(padded, first[0], c, *layers[at], valid, mode, direction == 1, node)
            outputs.append(out)
            for collected, state in zip(finals, last, strict=True):
                collected.append(state)
        x = outputs[0] if directions == 1 else cat(outputs, 2)
        if packing is not None:
            x = packing.pack(x)
        if dropout > 0 and train and layer < num_layers - 1:
            x = REGISTRY["torch", "dropout"](x, dropout, True)
    return (x, *(stack(f) for f in finals))


def _declare(mode: str, doc: str) -> None:
    def whole(*args, **kwargs):
        names_packed = (
            "data",
            "batch_sizes",
            "hx",
            "params",
            "has_biases",
            "num_layers",
            "dropout",
            "train",
            "bidirectional",
        )
        names = (
            "input",
            "hx",
            "params",
            "has_biases",
            "num_layers",
            "dropout",
            "train",
            "bidirectional",
            "batch_first",
        )
        packed = (len(args) > 3 and isinstance(args[3], (list, tuple))) or "batch_sizes" in kwargs
        given = dict(zip(names_packed if packed else names, args, strict=False), **kwargs)
        return _call(mode, packed, **given)

    whole.__name__ = whole.__qualname__ = mode
    whole.__doc__ = doc
    composite(namespaces=("torch",))(whole)
    globals()[mode] = whole


def _call(
    mode: str, packed: bool, hx, params, has_biases, num_layers, dropout, train, bidirectional, input=None, data=None,
    batch_sizes=None, batch_first=False,
):  # fmt: skip
    states = tuple(hx) if mode == "lstm" else (hx,)
    packing = packing_of(batch_sizes) if packed else None
    x = data if packed else input.transpose(0, 1) if batch_first else input  # type: ignore[misc]
    out, *last = _sequence(mode, x, states, params, has_biases, num_layers, dropout, train, bidirectional, packing)
    if batch_first:
        out = permuted(out, (1, 0, 2), "TransposeBackward0" if mode == "lstm" else "TransposeBackward1")
    return (out, *last)


_CALL = (
    "``(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first)``, or for packed sequences "
    "``(data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional)``."
)
_declare("lstm", f"Layers of long short-term memory; ``hx`` is the pair of states (h, c). {_CALL}")
_declare("gru", f"Layers of gated recurrent units. {_CALL}")
_declare("rnn_tanh", f"Layers of Elman's network with the hyperbolic tangent. {_CALL}")
_declare("rnn_relu", f"Layers of Elman's network with the rectifier. {_CALL}")


# Single steps.


def _check_cell(input: Any, h: Any, w_ih: Any, w_hh: Any, gates: int) -> None:
    if input.shape[1] != w_ih.shape[1]:
        raise RuntimeError(f"input has inconsistent input_size: got {input.shape[1]} expected {w_ih.shape[1]}")
    if input.shape[0] != h.shape[0]:
        raise RuntimeError(f"Input batch size {input.shape[0]} doesn't match hidden batch size {h.shape[0]}")
    if h.shape[1] != w_hh.shape[1]:
        raise RuntimeError(f"hidden has inconsistent hidden_size: got {h.shape[1]}, expected {w_hh.shape[1]}")


def _one_step(mode: str, input, states, w_ih, w_hh, b_ih, b_hh):
    x, states = widened(input), tuple(widened(s) for s in states)
    _check_cell(x, states[0], w_ih, w_hh, w_ih.shape[0] // w_hh.shape[1])
    from_input = _biased(_times(x, widened(w_ih)), None if b_ih is None else widened(b_ih))
    from_state = _biased(_times(states[0], widened(w_hh)), None if b_hh is None else widened(b_hh))
    return CELLS[mode].step(from_input, from_state, states)


@op(namespaces=("_private",), name="_lstm_cell_state", node="AddBackward0")
def _lstm_cell_state(
    input, h: Array, c: Array, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Array | None = None
):
    """The next cell state and the output gate."""
    (_, new), saved = _one_step("lstm", input, (h, c), w_ih, w_hh, b_ih, b_hh)
    return convert(new, input.dtype), convert(saved[3], input.dtype)


@op(namespaces=("_private",), name="_lstm_cell_output", node="MulBackward0")
def _lstm_cell_output(input, other):
    """The output gate times the bent cell state."""
    return convert(lax.mul(widened(input), lax.tanh(widened(other))), input.dtype)


@composite(namespaces=("torch",))
def lstm_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step of long short-term memory: input (N, I), the pair of states (N, H) each; returns the next pair."""
    c, gate = _lstm_cell_state(input, hx[0], hx[1], w_ih, w_hh, b_ih, b_hh)
    return _lstm_cell_output(gate, c), c


def _declare_cell(mode: str, name: str, node: str, doc: str) -> None:
    def cell(input, hx: Array, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Array | None = None):
        (h,), _ = _one_step(mode, input, (hx,), w_ih, w_hh, b_ih, b_hh)
        return convert(h, input.dtype)

    cell.__doc__ = doc
    globals()[name] = op(namespaces=("torch",), name=name, node=node)(cell)


_declare_cell("gru", "gru_cell", "AddBackward0", "One step of a gated recurrent unit: input (N, I), state (N, H).")
_declare_cell("rnn_tanh", "rnn_tanh_cell", "TanhBackward0", "One step of Elman's network with the hyperbolic tangent.")
_declare_cell("rnn_relu", "rnn_relu_cell", "ReluBackward0", "One step of Elman's network with the rectifier.")
