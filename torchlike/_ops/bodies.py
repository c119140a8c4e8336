"""What the bodies of operators share: small things said in few ``lax`` primitives, since each costs time to trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax

from torchlike._tensor.dtypes import from_numpy_dtype
from torchlike._tensor.promotion import SCALAR_TYPE_NAMES
from torchlike._tensor.tensor import wrap_dim

INT64 = np.dtype(np.int64)
FLOAT32 = np.dtype(np.float32)


def kind(x: Any) -> str:
    """The kind of an array's dtype: ``b``, ``i``, ``u``, ``f`` (bfloat16 too) or ``c``."""
    found = np.dtype(x.dtype)
    return "f" if found.name.startswith(("bfloat", "float8")) else found.kind


def type_name_of(x: Any) -> str:
    """What torch's messages call an array's dtype: Float, Long, ..."""
    return SCALAR_TYPE_NAMES[from_numpy_dtype(np.dtype(x.dtype))]


_C_NAMES = {
    "float64": "double", "float32": "float", "float16": "c10::Half", "bfloat16": "c10::BFloat16", "int64": "long int",
    "int32": "int", "int16": "short int", "int8": "signed char", "uint8": "unsigned char",
    "complex64": "c10::complex<float>", "complex128": "c10::complex<double>",
}  # fmt: skip


def c_name(t: Any) -> str:
    """What some of torch's messages call a tensor's dtype: float, long int, ..."""
    name = str(t.dtype.name)
    return _C_NAMES.get(name, name)


def is_half(dtype: Any) -> bool:
    """Whether results of this dtype are computed in float32."""
    return np.dtype(dtype).itemsize == 2 and np.dtype(dtype).kind not in "iu"


def constant(x: Any, number: Any) -> np.ndarray:
    """A number as a scalar of the dtype of ``x``."""
    return np.asarray(number, x.dtype)


def convert(x: Any, dtype: Any) -> Any:
    """``x`` in another dtype; nothing is recorded where it has that one."""
    return x if x.dtype == dtype else lax.convert_element_type(x, dtype)


def widened(x: Any) -> Any:
    """``x``, in float32 where it is of half precision."""
    return lax.convert_element_type(x, FLOAT32) if is_half(x.dtype) else x


def choose(where: Any, a: Any, b: Any) -> Any:
    """``a`` where the mask says so, else ``b``; either may be a scalar, but not all three."""
    shape = np.shape(where) or np.shape(a) or np.shape(b)
    return lax.select(spread(where, shape), spread(a, shape), spread(b, shape))


def with_slopes(function: Callable, slopes: Callable[..., tuple]) -> Callable:
    """An element-by-element function with its derivatives: ``slopes(result, *operands)`` has one for each operand."""
    ruled = jax.custom_jvp(function)

    @ruled.defjvp
    def _(primals, tangents):
        out = ruled(*primals)
        parts = [lax.mul(t, s) for t, s in zip(tangents, slopes(out, *primals), strict=True)]
        total = parts[0]
        for part in parts[1:]:
            total = lax.add(total, part)
        return out, total

    return ruled


def signs(x: Any) -> Any:
    """-1, 0 or 1 as each real element is negative, zero or positive; zero for NaN."""
    if kind(x) != "f":
        return x if kind(x) == "b" else lax.sign(x)
    zero = constant(x, 0)
    return lax.sub(convert(lax.gt(x, zero), x.dtype), convert(lax.lt(x, zero), x.dtype))


#: The absolute value of real numbers; its derivative at zero is zero.
_absolute = with_slopes(lax.abs, lambda out, x: (signs(x),))


def absolute(x: Any) -> Any:
    """The absolute value, or modulus, of each element."""
    if kind(x) in "bu":
        return x
    return _absolute(x) if kind(x) == "f" else lax.abs(x)


def spread(x: Any, shape: Sequence[int]) -> Any:
    """A scalar repeated to a shape, an array of that shape as it is."""
    return x if np.shape(x) == tuple(shape) else lax.broadcast_in_dim(x, tuple(shape), ())


def broadcast_numbers(*operands: Any) -> list[Any]:
    """Operands of which some are scalars, all in the shape of the others."""
    shape = next((np.shape(x) for x in operands if np.shape(x)), ())
    return [spread(x, shape) for x in operands]


def truth(x: Any) -> Any:
    """Where the elements are not zero."""
    return x if x.dtype == np.bool_ else lax.ne(x, constant(x, 0))


# Dimensions.


def axes_of(dim: Any, ndim: int) -> tuple[int, ...]:
    """The axes that a ``dim`` argument names, in order; None and an empty list name them all."""
    if dim is None or dim == ():
        return tuple(range(ndim))
    if isinstance(dim, int):
        axis = wrap_dim(dim, ndim)
        return (axis,) if ndim else ()
    seen = set()
    for d in dim:
        axis = wrap_dim(d, ndim)
        if axis in seen:
            raise RuntimeError(f"dim {axis} appears multiple times in the list of dims")
        seen.add(axis)
    return tuple(sorted(seen)) if ndim else ()


def reduced(out: Any, axes: Sequence[int], keepdim: bool) -> Any:
    """The result of a reduction over ``axes``, these put back with size one where they are to be kept."""
    return lax.expand_dims(out, axes) if keepdim and axes else out


def count(x: Any, axes: Sequence[int]) -> int:
    """How many elements a reduction over ``axes`` takes together."""
    n = 1
    for axis in axes:
        n *= x.shape[axis]
    return n


def back(reduced_result: Any, shape: Sequence[int], axes: Sequence[int]) -> Any:
    """What a reduction over ``axes`` without keepdim made, repeated to the shape it came from."""
    return lax.broadcast_in_dim(reduced_result, tuple(shape), [d for d in range(len(shape)) if d not in axes])


def positions(shape: Sequence[int], axis: int) -> Any:
    """Each element's position along ``axis``."""
    return lax.broadcasted_iota(INT64, tuple(shape), axis)


# Gathering and scattering along a dimension, element by element.


def _others(ndim: int, axis: int) -> tuple[int, ...]:
    return tuple(d for d in range(ndim) if d != axis)


def _narrow(x: Any, shape: Sequence[int], axis: int) -> Any:
    """``x`` cut to ``shape`` in every dimension but ``axis``."""
    limits = [x.shape[d] if d == axis else shape[d] for d in range(x.ndim)]
    return x if list(x.shape) == limits else lax.slice(x, [0] * x.ndim, limits)


def take_along(x: Any, index: Any, axis: int) -> Any:
    """``out[.., i, ..] = x[.., index[.., i, ..], ..]``; ``index`` may be smaller than ``x`` elsewhere."""
    if x.ndim == 0:
        return lax.broadcast_in_dim(x, index.shape, ())
    others = _others(x.ndim, axis)
    numbers = lax.GatherDimensionNumbers(
        offset_dims=(), collapsed_slice_dims=(axis,), start_index_map=(axis,), operand_batching_dims=others,
        start_indices_batching_dims=others,
    )  # fmt: skip
    index = lax.expand_dims(index, (index.ndim,))
    return lax.gather(_narrow(x, index.shape, axis), index, numbers, (1,) * x.ndim, mode="clip")


_SCATTERS = {
    "set": lax.scatter, "add": lax.scatter_add, "mul": lax.scatter_mul, "amax": lax.scatter_max,
    "amin": lax.scatter_min,
}  # fmt: skip


def _scatter(x: Any, how: str) -> Callable:
    if x.dtype == np.bool_:  # a sum of bool is whether any holds, a product whether all do
        how = {"add": "amax", "mul": "amin"}.get(how, how)
    return _SCATTERS[how]


def put_along(base: Any, index: Any, updates: Any, axis: int, how: str = "set") -> Any:
    """``base`` with ``base[.., index[.., i, ..], ..]`` set to (increased by, ...) ``updates[.., i, ..]``."""
    if base.ndim == 0:
        base, index, updates = (lax.reshape(a, (1,)) for a in (base, index, updates))
        return lax.reshape(put_along(base, index, updates, 0, how), ())
    others = _others(base.ndim, axis)
    numbers = lax.ScatterDimensionNumbers(
        update_window_dims=(), inserted_window_dims=(axis,), scatter_dims_to_operand_dims=(axis,),
        operand_batching_dims=others, scatter_indices_batching_dims=others,
    )  # fmt: skip
    if tuple(updates.shape) != tuple(index.shape):
        updates = lax.slice(updates, [0] * updates.ndim, index.shape)
    block = _narrow(base, index.shape, axis)
    put = _scatter(base, how)(block, lax.expand_dims(index, (index.ndim,)), updates, numbers, mode="clip")
    return put if block is base else lax.dynamic_update_slice(base, put, [np.int32(0)] * base.ndim)


def take_rows(x: Any, index: Any, axis: int) -> Any:
    """The slices of ``x`` at the positions in a vector, one after the other along ``axis``."""
    window = tuple(1 if d == axis else n for d, n in enumerate(x.shape))
    numbers = lax.GatherDimensionNumbers(
        offset_dims=_others(x.ndim, axis), collapsed_slice_dims=(axis,), start_index_map=(axis,)
    )
    return lax.gather(x, lax.expand_dims(index, (1,)), numbers, window, mode="clip")


def put_rows(x: Any, index: Any, rows: Any, axis: int, how: str = "set") -> Any:
    """``x`` with the slices at the positions in a vector set to (increased by, ...) those of ``rows``."""
    numbers = lax.ScatterDimensionNumbers(
        update_window_dims=_others(x.ndim, axis), inserted_window_dims=(axis,), scatter_dims_to_operand_dims=(axis,)
    )
    return _scatter(x, how)(x, lax.expand_dims(index, (1,)), rows, numbers, mode="clip")


def overwriting(put: Callable, take: Callable, x: Any, index: Any, source: Any) -> Any:
    """``put(x, index, source)`` with torch's gradients: none for what was overwritten, and each source its place's.

    ``take(g, index, source)`` brings a gradient from the places to the source's shape.
    """

    @jax.custom_vjp
    def write(x, index, source):
        return put(x, index, source)

    def forward(x, index, source):
        return put(x, index, source), (index, source)

    def backward(saved, g):
        index, source = saved
        zeros = lax.full(source.shape, 0, g.dtype)
        return overwriting(put, take, g, index, zeros), None, take(g, index, source)

    write.defvjp(forward, backward)
    return write(x, index, source)


def evenly(reduce: Callable[[Any], Any], x: Any, axes: Sequence[int]) -> Any:
    """``reduce(x)``, one of the elements along axes; its gradient is shared evenly between those equal to it."""

    @jax.custom_vjp
    def pick(x):
        return reduce(x)

    def forward(x):
        out = pick(x)
        return out, (x, out)

    def backward(saved, g):
        x, out = saved
        wide = back(out, x.shape, axes)
        same = lax.bitwise_or(lax.eq(x, wide), lax.bitwise_and(lax.ne(x, x), lax.ne(wide, wide)))
        n = lax.reduce_sum(lax.convert_element_type(same, g.dtype), axes)
        return (choose(same, back(lax.div(g, n), x.shape, axes), constant(g, 0)),)

    pick.defvjp(forward, backward)
    return pick(x)


def selecting(find: Callable[[Any], tuple[Any, Any]], x: Any, axis: int) -> tuple[Any, Any]:
    """``find(x)``: elements of ``x`` along ``axis`` and their positions, to which the gradients go."""
    shape = x.shape

    @jax.custom_vjp
    def select(x):
        return find(x)

    def forward(x):
        values, index = select(x)
        return (values, index), index

    def backward(index, gs):
        g = gs[0]
        if not shape:
            return (g,)
        zero = lax.broadcast_in_dim(np.zeros((), g.dtype), shape, ())
        if index.shape[axis] != 1:
            return (put_along(zero, index, g, axis, "add"),)
        every = range(len(shape))
        here = lax.eq(positions(shape, axis), lax.broadcast_in_dim(index, shape, every))
        return (lax.select(here, lax.broadcast_in_dim(g, shape, every), zero),)

    select.defvjp(forward, backward)
    return select(x)
