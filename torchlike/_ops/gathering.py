"""Elements by their positions: gathering, scattering, selecting rows, and the positions of what is not zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import lax

from torchlike._engine.value import host
from torchlike._ops import op as machinery
from torchlike._ops.bodies import constant, convert, put_along, take_along
from torchlike._ops.op import Array, Number, call, call_inplace, call_out, composite, op
from torchlike._tensor import dtypes
from torchlike._tensor.promotion import SCALAR_TYPE_NAMES
from torchlike._tensor.tensor import Tensor, from_array, host_array, value_of, wrap_dim

# Checks at call time: shapes, dtypes, and the range of indices that are at hand.


def _check_index(name: str, index: Any) -> None:
    if not isinstance(index, Tensor):
        raise TypeError(f"{name}(): argument 'index' (position 2) must be Tensor, not {type(index).__name__}")
    if index.dtype not in (dtypes.int64, dtypes.int32):
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
                f"Size does not match at dimension {d} expected index {list(index._spec.shape)} to be no larger than self "
                f"{list(input._spec.shape)} apart from dimension {axis}"
            )
    check_range(index, axis, shape[axis])


@op(check=lambda input, dim, index, sparse_grad: _check_gather(input, dim, index))
def gather(input, dim, index: Array, *, sparse_grad=False, out=None):
    """The elements at ``index`` along ``dim``, position by position: ``out[i][j] = input[index[i][j]][j]`` for ``dim`` 0."""
    if not index.size:
        return lax.full(index.shape, 0, input.dtype)
    if not input.ndim:
        return lax.broadcast_in_dim(input, index.shape, ())
    if not index.ndim:
        index = lax.reshape(index, (1,))
        return lax.reshape(take_along(input, index, 0), ())
    return take_along(input, index, wrap_dim(dim, input.ndim))


def make_scatter(axis: int) -> Callable:
    """Writing along an axis, with torch's gradients: nothing for what was overwritten, each source its place's."""

    @jax.custom_vjp
    def scatter(x, index, source):
        return put_along(x, index, source, axis)

    def forward(x, index, source):
        return put_along(x, index, source, axis), (index, source)

    def backward(saved, g):
        index, source = saved
        zeros = lax.full(index.shape, 0, g.dtype)
        inside = take_along(g, index, axis)
        if inside.shape != source.shape:
            inside = lax.pad(inside, constant(g, 0), [(0, n - m, 0) for n, m in zip(source.shape, inside.shape, strict=True)])
        return make_scatter(axis)(g, index, zeros), None, inside

    scatter.defvjp(forward, backward)
    return scatter


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
        and_src = f" and to be no larger than src {list(src._spec.shape)}"
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


def _scattered(x: Any, dim: int, index: Any, source: Any, how: str) -> Any:
    if not index.size:
        return x
    shape, axis = x.shape, wrap_dim(dim, x.ndim)
    x, index = _lifted(x, index)
    if not isinstance(source, (int, float, bool, complex)) and source.ndim == 0 and how.startswith("value"):
        pass
    source = lax.reshape(source, (1,)) if not source.ndim else source
    out = make_scatter(axis)(x, index, source) if how == "set" else put_along(x, index, source, axis, how)
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


def _reduced_node(reduce: str = "", **_: Any) -> str:
    return "ScatterBackward2"


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
    return (_scatter_with if tensor else _scatter_value_with).operator, (self, index, src), (None, (dim, _HOW[reduce]), None)


@composite()
def scatter(input, dim, index, src=None, *, value=None, reduce=None, out=None):
    """A copy of ``input`` with ``src`` (a tensor or a number) written at ``index`` along ``dim``: the inverse of ``gather``."""
    operator, operands, static = _scatter_call(input, dim, index, src, value, reduce)
    return call(operator, operands, static) if out is None else call_out(operator, out, operands, static)


@composite(namespaces=("Tensor",))
def scatter_(self, dim, index, src=None, *, value=None, reduce=None):
    """In-place form of :func:`scatter`."""
    return call_inplace(*_scatter_call(self, dim, index, src, value, reduce))


@op(inplace=True, check=lambda input, dim, index, src: _check_scatter("scatter", input, dim, index, src))
def scatter_add(input, dim, index: Array, src: Array, *, out=None):
    """A copy of ``input`` with the elements of ``src`` added at ``index`` along ``dim``."""
    return _scattered(input, dim, index, src, "add")


# Rows.


def take_rows(x: Any, index: Any, axis: int) -> Any:
    """The slices of ``x`` at positions, one after the other along ``axis``."""
    window = tuple(1 if d == axis else n for d, n in enumerate(x.shape))
    numbers = lax.GatherDimensionNumbers(
        offset_dims=tuple(d for d in range(x.ndim) if d != axis), collapsed_slice_dims=(axis,), start_index_map=(axis,)
    )
    return lax.gather(x, lax.expand_dims(index, (1,)), numbers, window, mode="clip")


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


# What is not zero.


@composite()
def nonzero(input, *, out=None, as_tuple=False):
    """The positions of the elements that are not zero: a row for each, or with ``as_tuple`` a tensor for each dimension."""
    array = host_array(input)
    if as_tuple:
        where = np.nonzero(np.atleast_1d(array))
        return tuple(from_array(w.astype(np.int64), input.device) for w in where)
    result = from_array(np.argwhere(array).astype(np.int64), input.device)
    if out is not None:
        machinery.write_out(out, result)
        return out
    return result


@composite()
def argwhere(input):
    """The positions of the elements that are not zero, a row for each."""
    return nonzero(input)
