"""Elements by their positions: gathering, scattering, selecting rows, and the positions of what is not zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import lax

from torchlike._engine.value import host
from torchlike._ops import op as machinery
from torchlike._ops.bodies import (
    choose,
    constant,
    convert,
    overwriting,
    put_along,
    put_rows,
    take_along,
    take_rows,
)
from torchlike._ops.op import Array, Number, apply, call, call_inplace, composite, delivered, op
from torchlike._tensor import dtypes
from torchlike._tensor.promotion import SCALAR_TYPE_NAMES
from torchlike._tensor.tensor import Tensor, from_array, host_array, value_of, wrap_dim

# Checks at call time: shapes, dtypes, and the range of indices that are at hand.


def _check_index(name: str, index: Any) -> None:
    if not isinstance(index, Tensor):
        raise TypeError(f"{name}(): argument 'index' (position 2) must be Tensor, not {type(index).__name__}")
    if index.dtype not in (dtypes.int64, dtypes.int32) and index._spec.numel:
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index")


def check_range(index: Tensor, dim: int, size: int, kind: type[Exception] = RuntimeError) -> None:
    """An error where an index at hand is out of range for a dimension of a size."""
    value = value_of(index)
    if value.array is None or not value.spec.numel:
        return
    array = host(value)
    low, high = array.min(), array.max()
    if low < 0 or high >= size:
        bad = array.reshape(-1)[np.argmax((array.reshape(-1) < 0) | (array.reshape(-1) >= size))]
        raise kind(f"index {bad} is out of bounds for dimension {dim} with size {size}")


def _check_gather(input: Any, dim: int, index: Any) -> None:
    _check_index("gather", index)
    if not index._spec.numel:
        return
    n = max(input._spec.ndim, 1)
    axis = wrap_dim(dim, input._spec.ndim)
    if max(index._spec.ndim, 1) != n:
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
    shape, have = input._spec.shape or (1,), index._spec.shape or (1,)
    for d in range(n):
        if d != axis and have[d] > shape[d]:
            raise RuntimeError(
                f"Size does not match at dimension {d} expected index {list(index._spec.shape)} to be no larger than "
                "self "
                f"{list(input._spec.shape)} apart from dimension {axis}"
            )
    check_range(index, axis, shape[axis])


@op(check=lambda input, dim, index, sparse_grad: _check_gather(input, dim, index))
def gather(input, dim, index: Array, *, sparse_grad=False, out=None):
    """The elements at ``index`` along ``dim``: ``out[i][j] = input[index[i][j]][j]`` for ``dim`` 0."""
    if not index.size:
        return lax.full(index.shape, 0, input.dtype)
    if not input.ndim:
        return lax.broadcast_in_dim(input, index.shape, ())
    if not index.ndim:
        index = lax.reshape(index, (1,))
        return lax.reshape(take_along(input, index, 0), ())
    return take_along(input, index, wrap_dim(dim, input.ndim))


def _check_scatter(name: str, self: Any, dim: int, index: Any, src: Any) -> None:
    _check_index(name, index)
    if not index._spec.numel:
        return
    n = max(self._spec.ndim, 1)
    axis = wrap_dim(dim, self._spec.ndim)
    shape, have = self._spec.shape or (1,), index._spec.shape or (1,)
    if len(have) != n:
        raise RuntimeError("Index tensor must have the same number of dimensions as self tensor")
    if isinstance(src, Tensor):
        given = src._spec.shape or (1,)
        if len(given) != len(have):
            raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
        if src.dtype is not self.dtype:
            raise RuntimeError(f"{name}(): Expected self.dtype to be equal to src.dtype")
        wrong = any((d != axis and have[d] > shape[d]) or have[d] > given[d] for d in range(n))
        and_src = f" and to be no larger size than src {list(src._spec.shape)}"
    else:
        wrong = any(d != axis and have[d] > shape[d] for d in range(n))
        and_src = ""
    if wrong:
        raise RuntimeError(
            f"Expected index {list(index._spec.shape)} to be no larger than self {list(self._spec.shape)} apart from "
            f"dimension {axis}{and_src}"
        )
    check_range(index, axis, shape[axis])


def _lifted(*arrays: Any) -> list[Any]:
    """0-dim arrays as arrays of one element."""
    return [a if a.ndim else lax.reshape(a, (1,)) for a in arrays]


def _padded(x: Any, shape: tuple[int, ...]) -> Any:
    """``x`` filled up with zeros at the ends to a shape."""
    if tuple(x.shape) == tuple(shape):
        return x
    return lax.pad(x, constant(x, 0), [(0, n - m, 0) for n, m in zip(shape, x.shape, strict=True)])


def _scattered(x: Any, dim: int, index: Any, source: Any, how: str) -> Any:
    """``x`` with elements of the source written (``how`` is set), added, ... at positions along a dimension."""
    if not index.size:
        return x
    shape, axis = x.shape, wrap_dim(dim, x.ndim)
    x, index, source = _lifted(x, index, source)
    if how == "set":
        out = overwriting(
            lambda x, index, source: put_along(x, index, source, axis),
            lambda g, index, source: _padded(take_along(g, index, axis), source.shape),
            x, index, source,
        )  # fmt: skip
    else:
        out = put_along(x, index, source, axis, how)
    return lax.reshape(out, shape)


@op(name="scatter", namespaces=("_private",), node="ScatterBackward0")
def _scatter(input, dim, index: Array, src: Array):
    """The input with the source's elements written at positions along a dimension."""
    return _scattered(input, dim, index, src, "set")


@op(name="_scatter_value", namespaces=("_private",), node="ScatterBackward1")
def _scatter_value(input, dim, index: Array, value: Number):
    """The input with a number written at positions along a dimension."""
    number = machinery._cast(value, input.dtype)
    return _scattered(input, dim, index, lax.broadcast_in_dim(number, index.shape or (1,), ()), "set")


@op(name="_scatter_with", namespaces=("_private",), node="ScatterBackward2", nondiff=True)
def _scatter_with(input, dim, index: Array, src: Array, how):
    """The input with the source's elements added to, or multiplied into, positions along a dimension."""
    return _scattered(input, dim, index, src, how)


@op(name="_scatter_value_with", namespaces=("_private",), node="ScatterBackward3", nondiff=True)
def _scatter_value_with(input, dim, index: Array, value: Number, how):
    """The input with a number added to, or multiplied into, positions along a dimension."""
    number = machinery._cast(value, input.dtype)
    return _scattered(input, dim, index, lax.broadcast_in_dim(number, index.shape or (1,), ()), how)


_HOW = {"add": "add", "multiply": "mul"}


def _scatter_call(self: Tensor, dim: int, index: Tensor, src: Any, value: Any, reduce: Any) -> tuple:
    if src is None:
        src = value
    _check_scatter("scatter", self, dim, index, src)
    tensor = isinstance(src, Tensor)
    if reduce is None:
        return (_scatter if tensor else _scatter_value).operator, (self, index, src), (None, (dim,), None)
    if reduce not in _HOW:
        raise RuntimeError("reduce argument must be either add or multiply.")
    return (
        (_scatter_with if tensor else _scatter_value_with).operator,
        (self, index, src),
        (None, (dim, _HOW[reduce]), None),
    )


@composite()
def scatter(input, dim, index, src=None, *, value=None, reduce=None, out=None):
    """A copy of ``input`` with ``src``, a tensor or a number, written at ``index`` along ``dim``."""
    operator, operands, static = _scatter_call(input, dim, index, src, value, reduce)
    return apply(operator, operands, static, out)


@composite(namespaces=("Tensor",))
def scatter_(self, dim, index, src=None, *, value=None, reduce=None):
    """In-place form of :func:`scatter`."""
    return call_inplace(*_scatter_call(self, dim, index, src, value, reduce))


@op(inplace="method", check=lambda input, dim, index, src: _check_scatter("scatter", input, dim, index, src))
def scatter_add(input, dim, index: Array, src: Array, *, out=None):
    """A copy of ``input`` with the elements of ``src`` added at ``index`` along ``dim``."""
    return _scattered(input, dim, index, src, "add")


# Rows.


def _check_select(input: Any, dim: int, index: Any) -> None:
    if not isinstance(index, Tensor):
        raise TypeError(f"index_select(): argument 'index' (position 2) must be Tensor, not {type(index).__name__}")
    axis = wrap_dim(dim, input._spec.ndim)
    if index._spec.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    if index.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError("index_select(): Expected dtype int32 or int64 for index")
    if not input._spec.ndim and index._spec.numel != 1:
        raise RuntimeError(
            "index_select(): Index to scalar can have only 1 value, got " + str(index._spec.numel) + " value(s)"
        )
    size = input._spec.shape[axis] if input._spec.ndim else 1
    value = value_of(index)
    if value.array is not None and value.spec.numel and (host(value).min() < 0 or host(value).max() >= size):
        raise IndexError("index out of range in self" if input._spec.ndim else "index out of range")


@op(check=lambda input, dim, index: _check_select(input, dim, index))
def index_select(input, dim, index: Array, *, out=None):
    """The slices of ``input`` along ``dim`` at the positions in ``index``."""
    if not input.ndim:
        return input
    index = lax.reshape(index, (index.size,))
    return take_rows(input, index, wrap_dim(dim, input.ndim))


def _rows_check(
    name: str, self: Any, dim: int, index: Any, source: Any, kind: type[Exception], prefix: str = ""
) -> None:
    """The errors of writing slices: of ``index_add`` and its like."""
    axis = wrap_dim(dim, self._spec.ndim)
    if index._spec.ndim > 1:
        raise IndexError(f"{name}_(): Index should have dimension 1 or 0 (got {index._spec.ndim})")
    if index.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(f"{name}_(): Expected dtype int32/int64 for index but got: {SCALAR_TYPE_NAMES[index.dtype]}")
    if isinstance(source, Tensor):
        if source.dtype is not self.dtype:
            raise RuntimeError(
                f"{name}_(): self ({SCALAR_TYPE_NAMES[self.dtype]}) and source ({SCALAR_TYPE_NAMES[source.dtype]}) "
                "must have "
                "the same scalar type"
            )
        n = source._spec.shape[axis] if source._spec.ndim else 1
        if n != index._spec.numel:
            raise RuntimeError(
                f"{name}_(): Number of indices ({index._spec.numel}) should be equal to source.size(dim): ({n}), for "
                f"dim: {axis}"
            )
        have = [m for d, m in enumerate(source._spec.shape) if d != axis]
        want = [m for d, m in enumerate(self._spec.shape) if d != axis]
        if have != want and source._spec.ndim:
            raise RuntimeError(
                "source tensor shape must match self tensor shape, excluding the specified dimension. Got "
                "self.shape = "
                f"{list(self._spec.shape)} source.shape = {list(source._spec.shape)}"
            )
    size = self._spec.shape[axis] if self._spec.ndim else 1
    value = value_of(index)
    if value.array is not None and value.spec.numel:
        array = host(value).reshape(-1)
        low = -size if name == "index_fill" else 0
        wrong = array[(array < low) | (array >= size)]
        if wrong.size:
            raise kind(f"{prefix}index {wrong[0]} is out of bounds for dimension {axis} with size {size}")


def _row_operands(x: Any, dim: int, index: Any, source: Any) -> tuple[Any, Any, Any, int]:
    """The operands of a write of slices, 0-dim ones lifted."""
    axis = wrap_dim(dim, x.ndim)
    x, source = _lifted(x, source)
    index = lax.reshape(index, (index.size,))
    if source.ndim < x.ndim:  # one number for a 0-dim source
        source = lax.broadcast_in_dim(
            lax.reshape(source, ()), [index.size if d == axis else n for d, n in enumerate(x.shape)], ()
        )
    return x, index, source, axis


@op(
    inplace="method",
    check=lambda input, dim, index, source, alpha: _rows_check("index_add", input, dim, index, source, RuntimeError),
)
def index_add(input, dim, index: Array, source: Array, *, alpha: Number = 1, out=None):
    """A copy of ``input`` with ``alpha`` times the slices of ``source`` added at positions ``index`` along ``dim``."""
    x, index, source, axis = _row_operands(input, dim, index, source)
    if not (type(alpha) is int and alpha == 1):
        times = lax.bitwise_and if x.dtype == np.bool_ else lax.mul
        source = times(source, machinery._cast(alpha, source.dtype))
    return lax.reshape(put_rows(x, index, source, axis, "add"), input.shape)


@op(
    inplace="method",
    check=lambda input, dim, index, source: _rows_check(
        "index_copy", input, dim, index, source, IndexError, "index_copy_(): "
    ),
)
def index_copy(input, dim, index: Array, source: Array, *, out=None):
    """A copy of ``input`` with the slices of ``source`` written at the positions in ``index`` along ``dim``."""
    x, index, source, axis = _row_operands(input, dim, index, source)
    written = overwriting(
        lambda x, index, rows: put_rows(x, index, rows, axis),
        lambda g, index, rows: take_rows(g, index, axis),
        x,
        index,
        source,
    )
    return lax.reshape(written, input.shape)


def _fill_rows(input: Any, dim: int, index: Any, value: Any) -> Any:
    if not index.size:
        return input
    x, index, _, axis = _row_operands(input, dim, index, input)
    n = x.shape[axis]
    index = choose(lax.lt(index, constant(index, 0)), lax.add(index, constant(index, n)), index)
    rows = [index.size if d == axis else m for d, m in enumerate(x.shape)]

    def put(x, index, value):
        return put_rows(x, index, lax.broadcast_in_dim(value, rows, ()), axis)

    def take(g, index, value):
        outside = put(g, index, constant(g, 0))
        return lax.sub(lax.reduce_sum(g, tuple(range(g.ndim))), lax.reduce_sum(outside, tuple(range(g.ndim))))

    return lax.reshape(overwriting(put, take, x, index, machinery._cast(value, x.dtype)), input.shape)


@op(name="index_fill", namespaces=("_private",), node="IndexFillBackward0")
def _index_fill(input, dim, index: Array, value: Number):
    """The input with a number in slices."""
    return _fill_rows(input, dim, index, value)


@op(name="_index_fill_tensor", namespaces=("_private",), node="IndexFillBackward1")
def _index_fill_tensor(input, dim, index: Array, value: Array):
    """The input with a tensor's only element in slices."""
    return _fill_rows(input, dim, index, value)


def _index_fill_call(self: Tensor, dim: int, index: Any, value: Any) -> tuple:
    if index.dtype not in (dtypes.int64, dtypes.int32):
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    _rows_check("index_fill", self, dim, index, None, IndexError)
    if isinstance(value, Tensor) and value._spec.ndim:
        raise RuntimeError(
            f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {value._spec.ndim} "
            "dimension(s)."
        )
    chosen = _index_fill_tensor if isinstance(value, Tensor) else _index_fill
    return chosen.operator, (self, index, value), (None, (dim,), None)


@composite()
def index_fill(input, dim, index, value):
    """A copy of ``input`` with ``value``, a number or 0-dim tensor, in the slices at ``index`` along ``dim``."""
    return call(*_index_fill_call(input, dim, index, value))


@composite(namespaces=("Tensor",))
def index_fill_(self, dim, index, value):
    """In-place form of :func:`index_fill`."""
    return call_inplace(*_index_fill_call(self, dim, index, value))


# Reductions into places.

_REDUCTIONS = {"sum": "add", "prod": "mul", "mean": "add", "amax": "amax", "amin": "amin"}
_NEUTRAL: dict[str, Callable[[np.dtype], Any]] = {
    "sum": lambda d: 0,
    "mean": lambda d: 0,
    "prod": lambda d: 1,
    "amax": lambda d: False if d.kind == "b" else np.iinfo(d).min if d.kind in "iu" else -np.inf,
    "amin": lambda d: True if d.kind == "b" else np.iinfo(d).max if d.kind in "iu" else np.inf,
}


class _Places:
    """Where a source is reduced into: positions along an axis, and whether what is there takes part."""

    def __init__(self, index: Any, axis: int, include_self: bool):
        self.index, self.axis, self.include_self = index, axis, include_self

    def take(self, x: Any) -> Any:
        """The elements at the places, in the source's shape."""
        return take_along(x, self.index, self.axis)

    def put(self, x: Any, values: Any, how: str = "set") -> Any:
        """``x`` with values, an array or one number, put there."""
        if not np.shape(values):
            values = lax.full(self.index.shape, values, x.dtype)
        return put_along(x, self.index, values, self.axis, how)

    def multiply(self, x: Any, values: Any) -> Any:
        """``x`` with values multiplied in, which can be differentiated again."""
        return _reduce_into(x, self.axis, self.index, values, "prod", True)

    def start(self, x: Any, how: str) -> Any:
        """What the reduction starts from."""
        return x if self.include_self else self.put(x, _NEUTRAL[how](np.dtype(x.dtype)))

    def counts(self, x: Any) -> Any:
        """How many elements meet at each place of ``x``, at least one."""
        ones = lax.full(x.shape, 1, x.dtype)
        total = self.put(ones if self.include_self else self.put(ones, 0), 1, "add")
        return lax.max(total, constant(total, 1))


def _reduce_into(x: Any, axis: int, index: Any, source: Any, how: str, include_self: bool) -> Any:
    """``x`` with the elements of the source reduced into positions along an axis, with torch's gradients."""
    source = lax.slice(source, [0] * source.ndim, index.shape) if source.shape != index.shape else source

    def result_of(x, index, source):
        places = _Places(index, axis, include_self)
        out = places.put(places.start(x, how), source, _REDUCTIONS[how])
        if how != "mean":
            return out
        n = places.counts(x)
        if np.dtype(x.dtype).kind not in "iu":
            return lax.div(out, n)
        rest = lax.rem(lax.add(lax.rem(out, n), n), n)
        return lax.div(lax.sub(out, rest), n)  # rounded down

    @jax.custom_vjp
    def reduce(x, index, source):
        return result_of(x, index, source)

    def forward(x, index, source):
        out = reduce(x, index, source)  # not its body, so that second derivatives keep to these rules
        return out, (x, index, source, out)

    def backward(saved, g):
        x, index, source, out = saved
        places = _Places(index, axis, include_self)
        to_self, to_source = _PULLS[how](places, x, source, out, g)
        return to_self if include_self else places.put(to_self, 0), None, to_source

    reduce.defvjp(forward, backward)
    return reduce(x, index, source)


def _pull_sum(places, x, source, out, g):
    return g, places.take(g)


def _pull_mean(places, x, source, out, g):
    share = lax.div(g, places.counts(g))
    return share, places.take(share)


def _pull_prod(places, x, source, out, g):
    one, zero = constant(x, 1), constant(x, 0)
    base = places.start(x, "prod")
    self_zero, source_zero = lax.eq(base, zero), lax.eq(source, zero)
    without_zero = choose(self_zero, one, base)
    to_self = lax.div(lax.mul(g, places.multiply(without_zero, source)), without_zero)
    # A source that is the only zero among its kin takes the product of the others.
    whole = places.multiply(base, choose(source_zero, one, source))
    zeros = places.put(lax.full(x.shape, 0, x.dtype), convert(source_zero, x.dtype), "add")
    alone = lax.bitwise_and(source_zero, lax.eq(places.take(zeros), one))
    usual = lax.div(places.take(lax.mul(g, out)), choose(source_zero, one, source))
    return to_self, choose(alone, places.take(lax.mul(g, whole)), choose(source_zero, zero, usual))


def _pull_extreme(places, x, source, out, g):
    self_wins, source_wins = lax.eq(x, out), lax.eq(source, places.take(out))
    winners = places.put(convert(self_wins, g.dtype), convert(source_wins, g.dtype), "add")
    share = lax.div(g, lax.max(winners, constant(winners, 1)))
    zero = constant(g, 0)
    return choose(self_wins, share, zero), choose(source_wins, places.take(share), zero)


_PULLS = {"sum": _pull_sum, "mean": _pull_mean, "prod": _pull_prod, "amax": _pull_extreme, "amin": _pull_extreme}


def _check_reduce(input: Any, dim: int, index: Any, src: Any, reduce: str) -> None:
    if reduce not in _REDUCTIONS:
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    _check_scatter("scatter", input, dim, index, src)


@op(
    inplace="method",
    check=lambda input, dim, index, src, reduce, include_self: _check_reduce(input, dim, index, src, reduce),
)
def scatter_reduce(input, dim, index: Array, src: Array, reduce, *, include_self=True, out=None):
    """A copy of ``input`` in which the elements of ``src`` are reduced at ``index`` along ``dim``.

    ``reduce`` is ``"sum"``, ``"prod"``, ``"mean"``, ``"amax"`` or ``"amin"``; ``include_self`` says whether the input's
    own elements at those places take part.
    """
    if not index.size:
        return input
    axis = wrap_dim(dim, input.ndim)
    x, index, src = _lifted(input, index, src)
    return lax.reshape(_reduce_into(x, axis, index, src, reduce, include_self), input.shape)


def _check_index_reduce(input: Any, dim: int, index: Any, source: Any, reduce: str) -> None:
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either prod, mean, amax or amin, got {reduce}")
    _rows_check("index_reduce", input, dim, index, source, RuntimeError)


@op(
    inplace="method",
    check=lambda input, dim, index, source, reduce, include_self: _check_index_reduce(
        input, dim, index, source, reduce
    ),
)
def index_reduce(input, dim, index: Array, source: Array, reduce, *, include_self=True, out=None):
    """A copy of ``input`` in which the slices of ``source`` are reduced at the positions in ``index`` along ``dim``.

    ``reduce`` is ``"prod"``, ``"mean"``, ``"amax"`` or ``"amin"``.
    """
    if not index.size:
        return input
    x, index, source, axis = _row_operands(input, dim, index, source)
    places = lax.broadcast_in_dim(index, source.shape, (axis,))
    return lax.reshape(_reduce_into(x, axis, places, source, reduce, include_self), input.shape)


# In the flattened tensor.


def _check_flat(input: Any, index: Any) -> None:
    if index.dtype is not dtypes.int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {SCALAR_TYPE_NAMES[index.dtype]}")
    value, n = value_of(index), input._spec.numel
    if value.array is not None and value.spec.numel:
        array = host(value).reshape(-1)
        wrong = array[(array < -n) | (array >= n)]
        if wrong.size:
            raise IndexError(f"out of range: tried to access index {wrong[0]} on a tensor of {n} elements.")


def _from_front(index: Any, n: int) -> Any:
    flat = lax.reshape(index, (index.size,))
    return choose(lax.lt(flat, constant(flat, 0)), lax.add(flat, constant(flat, n)), flat) if index.size else flat


@op(check=_check_flat)
def take(input, index: Array, *, out=None):
    """The elements at these positions of the flattened tensor."""
    flat = lax.reshape(input, (input.size,))
    return lax.reshape(take_rows(flat, _from_front(index, input.size), 0), index.shape)


def _check_put(input: Any, index: Any, source: Any, accumulate: bool) -> None:
    if source.dtype is not input.dtype:
        raise RuntimeError(
            "put_(): self and source expected to have the same dtype, but got self.dtype = "
            f"{SCALAR_TYPE_NAMES[input.dtype]} and "
            f"source.dtype = {SCALAR_TYPE_NAMES[source.dtype]}"
        )
    if source._spec.numel != index._spec.numel:
        raise RuntimeError(
            f"put_(): Expected source and index to have the same number of elements, but got source.numel() = "
            f"{source._spec.numel}, index.numel() = {index._spec.numel}"
        )
    _check_flat(input, index)


@op(inplace="method", check=_check_put)
def put(input, index: Array, source: Array, accumulate=False):
    """A copy of ``input`` with the source's elements written at (or added to) positions of the flattened tensor."""
    if not index.size:
        return input
    flat = lax.reshape(input, (input.size,))
    places, values = _from_front(index, input.size), lax.reshape(source, (source.size,))
    if accumulate:
        written = put_rows(flat, places, values, 0, "add")
    else:
        written = overwriting(
            lambda x, index, rows: put_rows(x, index, rows, 0),
            lambda g, index, rows: take_rows(g, index, 0),
            flat,
            places,
            values,
        )
    return lax.reshape(written, input.shape)


@composite()
def take_along_dim(input, indices, dim=None, *, out=None):
    """The elements at ``indices`` along ``dim``, both broadcast; without ``dim``, in the flattened tensor."""
    if indices.dtype is not dtypes.int64 and indices.dtype is not dtypes.int32:
        raise RuntimeError(
            f"torch.take_along_dim(): dtype of indices should be Long but got {SCALAR_TYPE_NAMES[indices.dtype]}"
        )
    if dim is None:
        return gather(input.view(-1), 0, indices.view(-1), out=out)
    if input._spec.ndim != indices._spec.ndim:
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, but got "
            f"{input._spec.ndim} dimensions for input, and {indices._spec.ndim} dimensions for indices"
        )
    axis = wrap_dim(dim, input._spec.ndim)
    indices = indices.where(indices >= 0, indices + input._spec.shape[axis])
    rest = [s[:axis] + s[axis + 1 :] for s in (input._spec.shape, indices._spec.shape)]
    common = machinery.broadcast_shapes(rest)
    shapes = [(*common[:axis], t._spec.shape[axis], *common[axis:]) for t in (input, indices)]
    return gather(input.expand(shapes[0]), axis, indices.expand(shapes[1]), out=out)


@composite()
def repeat_interleave(input, repeats=None, dim=None, *, output_size=None):
    """Each element repeated, ``repeats`` times or as often as a tensor of counts says, along ``dim`` or flattened.

    ``repeat_interleave(counts)`` gives each position as often as its count says.
    """
    if repeats is None:
        counts = host_array(input)
        if counts.ndim != 1 and counts.size:
            raise RuntimeError("repeat_interleave only accept 1D vector as repeat")
        _check_counts(input, counts)
        return from_array(np.repeat(np.arange(len(counts), dtype=counts.dtype), counts), input.device)
    if dim is None:
        input, dim = input.flatten(), 0
    axis = wrap_dim(dim, input._spec.ndim)
    if not isinstance(repeats, Tensor) and not isinstance(repeats, int):
        repeats = from_array(np.asarray(repeats, np.int64))
    if isinstance(repeats, int):
        if repeats < 0:
            raise RuntimeError("Repeats must be non-negative")
        wide = [-1] * (input._spec.ndim + 1)
        wide[axis + 1] = repeats
        shape = list(input._spec.shape)
        shape[axis] *= repeats
        return input.unsqueeze(axis + 1).expand(wide).clone().view(shape)
    counts = host_array(repeats)
    _check_counts(repeats, counts)
    n = input._spec.shape[axis]
    if counts.size == 1:
        counts = np.broadcast_to(counts.reshape(-1), (n,))
    elif counts.shape != (n,):
        raise RuntimeError(
            f"repeats must have the same size as input along dim, but got repeats.size(0) = {counts.shape[0]} and "
            f"input.size({axis}) = {n}"
        )
    return index_select(input, axis, from_array(np.repeat(np.arange(n), counts), input.device))


def _check_counts(t: Tensor, counts: np.ndarray) -> None:
    if t.dtype not in (dtypes.int64, dtypes.int32):
        raise NotImplementedError(f"\"repeat_interleave_cpu\" not implemented for '{SCALAR_TYPE_NAMES[t.dtype]}'")
    if (counts < 0).any():
        raise RuntimeError("repeats can not be negative")


# What is not zero.


@composite()
def nonzero(input, *, out=None, as_tuple=False):
    """The positions of the elements that are not zero: a row for each, or ``as_tuple`` a tensor for each dimension."""
    array = host_array(input)
    if as_tuple:
        where = np.nonzero(np.atleast_1d(array))
        return tuple(from_array(w.astype(np.int64), input.device) for w in where)
    result = from_array(np.argwhere(array).astype(np.int64), input.device)
    return delivered(result, out)


@composite()
def argwhere(input):
    """The positions of the elements that are not zero, a row for each."""
    return nonzero(input)


@composite()
def nonzero_static(input, *, size, fill_value=-1, out=None):
    """The first ``size`` rows of :func:`nonzero`, filled up with ``fill_value``."""
    found = np.argwhere(host_array(input)).astype(np.int64)[:size]
    rows = np.full((size, input._spec.ndim), fill_value, np.int64)
    rows[: len(found)] = found
    result = from_array(rows, input.device)
    return delivered(result, out)


@composite(namespaces=("torch",))
def unravel_index(indices, shape):
    """The coordinates in a tensor of ``shape`` of positions in it flattened, a tensor for each dimension."""
    shape = (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)
    found = np.unravel_index(host_array(indices), shape)
    return tuple(from_array(np.asarray(f, np.int64), indices.device) for f in found)
