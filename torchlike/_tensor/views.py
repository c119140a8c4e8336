"""Views: tensors that show part of a storage, or show it in another shape, and write through to it.

A view is a chain of steps from the storage's base array. Each step is a pair of kernels: ``read`` takes what the step
before it shows to what this one shows, ``write`` puts a new array back. Sizes, strides and offset are kept as torch
reports them. On a host whose base array is at hand, a read is a NumPy view and nothing is recorded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from torchlike._engine.instance import Kernel
from torchlike._engine.trace import record
from torchlike._engine.value import Spec, Value, concrete, host, spec_of
from torchlike._tensor.storage import Storage

#: Largest non-contiguous part of a base at hand that is passed on as a NumPy view rather than recorded, in bytes.
_STRIDED_LIMIT = 1 << 16


class Step:
    """One kind of view step: how to read through it and how to write through it."""

    __slots__ = ("name", "read", "write")

    def __init__(self, name: str, read: Callable[..., Any], write: Callable[..., Any] | None = None):
        self.name = name
        self.read = Kernel(name, lambda static, inputs: lambda x: read(x, *static))
        put = write or _generic_write(read)
        self.write = Kernel(f"{name}.write", lambda static, inputs: lambda x, new: put(x, new, *static))


def _generic_write(read: Callable[..., Any]) -> Callable[..., Any]:
    """The write of a step without a simple inverse: where the base's indices end up says what to replace."""

    def write(x, new, *static):
        with jax.ensure_compile_time_eval():  # known now, though this runs while a program is being traced
            places = np.asarray(read(np.arange(math.prod(x.shape)).reshape(x.shape), *static))
        return x.reshape(-1).at[places.reshape(-1)].set(new.reshape(-1)).reshape(x.shape)

    return write


def _reshape_write(x, new, shape):
    return lax.reshape(new, x.shape)


def _permute_write(x, new, order):
    return lax.transpose(new, tuple(int(i) for i in np.argsort(order)))


def _slice_read(x, dim, start, stop, step):
    return lax.slice_in_dim(x, start, stop, step, dim)


def _slice_write(x, new, dim, start, stop, step):
    if step == 1:
        return lax.dynamic_update_slice_in_dim(x, new, start, dim)
    where = (slice(None),) * dim + (slice(start, stop, step),)
    return x.at[where].set(new)


def _select_read(x, dim, index):
    return lax.index_in_dim(x, index, dim, keepdims=False)


def _select_write(x, new, dim, index):
    return lax.dynamic_update_slice_in_dim(x, jnp.expand_dims(new, dim), index, dim)


def _expand_write(x, new, shape):
    # Every position that shows an element holds the same value unless the write was ambiguous: take the first.
    lead = new.ndim - x.ndim
    new = new[(0,) * lead]
    return new[tuple(slice(0, 1) if n == 1 else slice(None) for n in x.shape)]


def _diagonal_read(x, offset, dim1, dim2):
    return jnp.diagonal(x, offset, dim1, dim2)


def _as_strided_places(numel: int, shape: Sequence[int], strides: Sequence[int], offset: int) -> np.ndarray:
    places = np.full(shape, offset, np.int64)
    for axis, (n, stride) in enumerate(zip(shape, strides, strict=True)):
        places += (np.arange(n) * stride).reshape((n,) + (1,) * (len(shape) - axis - 1))
    return places


def _as_strided_read(x, shape, strides, offset):
    return jnp.take(x.reshape(-1), _as_strided_places(x.size, shape, strides, offset), mode="clip")


def _as_strided_write(x, new, shape, strides, offset):
    places = _as_strided_places(x.size, shape, strides, offset)
    return x.reshape(-1).at[places.reshape(-1)].set(new.reshape(-1)).reshape(x.shape)


def _parts_read(x):
    return jnp.stack([x.real, x.imag], -1)


def _parts_write(x, new):
    return lax.complex(new[..., 0], new[..., 1])


RESHAPE = Step("reshape", lambda x, shape: lax.reshape(x, shape), _reshape_write)
PERMUTE = Step("permute", lambda x, order: lax.transpose(x, order), _permute_write)
SLICE = Step("slice", _slice_read, _slice_write)
SELECT = Step("select", _select_read, _select_write)
EXPAND = Step("expand", lambda x, shape: jnp.broadcast_to(x, shape), _expand_write)
DIAGONAL = Step("diagonal", _diagonal_read)
AS_STRIDED = Step("as_strided", _as_strided_read, _as_strided_write)
VIEW_AS_REAL = Step("view_as_real", _parts_read, _parts_write)
VIEW_AS_COMPLEX = Step("view_as_complex", lambda x: lax.complex(x[..., 0], x[..., 1]), lambda x, new: _parts_read(new))
REAL = Step("real", lambda x: x.real, lambda x, new: lax.complex(new, x.imag))
IMAG = Step("imag", lambda x: x.imag, lambda x, new: lax.complex(x.real, new))
CONJ = Step("conj", lambda x: jnp.conj(x), lambda x, new: jnp.conj(new))
NEG = Step("neg_view", lambda x: -x, lambda x, new: -new)
BITCAST = Step(
    "view_dtype",
    lambda x, dtype, shape: _bitcast(x, dtype).reshape(shape),
    lambda x, new, dtype, shape: _bitcast(new, x.dtype).reshape(x.shape),
)


def _bitcast(x, dtype):
    """The bytes of ``x``, the last dimension regrouped, as elements of another type."""
    have, want = np.dtype(x.dtype), np.dtype(dtype)
    if have == np.bool_:
        x, have = x.astype(np.uint8), np.dtype(np.uint8)
    target = np.dtype(np.uint8) if want == np.bool_ else want
    if target.itemsize > have.itemsize:
        ratio = target.itemsize // have.itemsize
        x = x.reshape(*x.shape[:-1], x.shape[-1] // ratio, ratio)
    x = lax.bitcast_convert_type(x, target)
    return x.astype(np.bool_) if want == np.bool_ else x


class View:
    """A chain of steps from a storage's base: this step, the chain before it, and what the tensor reports of itself."""

    __slots__ = (
        "contiguous", "dense", "offset", "parent", "read_at", "read_value", "recorded", "spec", "static", "step",
        "strides",
    )  # fmt: skip

    def __init__(
        self, parent: View | None, step: Step, static: tuple, spec: Spec, strides: tuple[int, ...], offset: int,
        dense: bool,
    ):  # fmt: skip
        self.parent = parent
        self.step = step
        self.static = static
        self.spec = spec
        self.strides = strides
        self.offset = offset
        #: Whether shape, strides and offset alone (in elements of the base's dtype) say what is shown.
        self.dense = dense
        self.read_at = -1
        self.read_value: Value | None = None
        #: Whether reads are recorded even where the base is at hand: so for views that are differentiated.
        self.recorded = False
        self.contiguous: bool | None = None

    def is_contiguous(self) -> bool:
        """Whether the strides are those of a contiguous tensor."""
        if self.contiguous is None:
            self.contiguous = is_contiguous(self.spec.shape, self.strides)
        return self.contiguous

    def read(self, storage: Storage) -> Value:
        """What the view shows of the storage now."""
        shared = storage.host_array
        if shared is not None:
            return concrete(np.array(self._of_array(storage.current().array if not self.dense else shared)))
        if self.read_at == storage.writes and self.read_value is not None:
            return self.read_value
        if storage.device.type == "meta":
            return Value(np.broadcast_to(np.zeros((), self.spec.dtype), self.spec.shape), self.spec)
        value = self._read_at_hand(storage) if self.dense else None
        if value is None:
            before = storage.value if self.parent is None else self.parent.read(storage)
            value = record(self.step.read, self.static, (before,))[0][0]
        self.read_at, self.read_value = storage.writes, value
        return value

    def _read_at_hand(self, storage: Storage) -> Value | None:
        array = storage.value.array
        if array is None or self.recorded or storage.device.type != "cpu":
            return None
        if self.spec.nbytes > _STRIDED_LIMIT and self.strides != contiguous_strides(self.spec.shape):
            return None
        if type(array) is not np.ndarray:
            array = np.asarray(array)
        if not array.flags.c_contiguous:
            array = storage.value.array = np.ascontiguousarray(array)
        return Value(strided(array, self.spec.shape, self.strides, self.offset), self.spec)

    def _of_array(self, base: np.ndarray) -> np.ndarray:
        if not self.dense:
            before = base if self.parent is None else self.parent._of_array(base)
            return host(record(self.step.read, self.static, (concrete(before),))[0][0])
        return strided(base, self.spec.shape, self.strides, self.offset)

    def write(self, storage: Storage, value: Value) -> None:
        """Make the view show ``value``."""
        memory = (
            storage.memory() if self.dense and (value.array is not None or storage.host_array is not None) else None
        )
        if memory is not None:
            with np.errstate(all="ignore"):
                strided(memory, self.spec.shape, self.strides, self.offset)[...] = host(value)
            storage.writes += 1
            return
        storage.write(self._rebuilt(storage, value))

    def _rebuilt(self, storage: Storage, value: Value) -> Value:
        before = storage.current() if self.parent is None else self.parent.read(storage)
        value = record(self.step.write, self.static, (before, value))[0][0]
        return value if self.parent is None else self.parent._rebuilt(storage, value)

    def steps(self) -> list[View]:
        """The chain from the base to this view."""
        chain, view = [], self
        while view is not None:
            chain.append(view)
            view = view.parent
        return chain[::-1]


def strided(base: np.ndarray, shape: Sequence[int], strides: Sequence[int], offset: int) -> np.ndarray:
    """The NumPy view of a base's elements with these strides and this offset, both counted in elements."""
    if not base.flags.c_contiguous:
        base = np.ascontiguousarray(base)
    item = base.itemsize
    if 0 in shape:
        return np.empty(shape, base.dtype)
    return np.ndarray(shape, base.dtype, base, offset * item, tuple([s * item for s in strides]))


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides, in elements, of a contiguous tensor: those of an empty dimension count it as one."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(strides[::-1])


def is_contiguous(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether elements follow one another in memory in row-major order."""
    step = 1
    for n, stride in zip(reversed(shape), reversed(strides), strict=True):
        if n == 0:
            return True
        if n != 1:
            if stride != step:
                return False
            step *= n
    return True


def view_strides(shape: Sequence[int], strides: Sequence[int], new_shape: Sequence[int]) -> tuple[int, ...] | None:
    """The strides with which a tensor shows another shape of the same elements; None where it must be copied.

    A run of dimensions each of which steps exactly over the next one's whole extent can be cut anew: the new dimensions
    are dealt out to such runs, from the last to the first. A new dimension of size one joins the run before it.
    """
    if 0 in shape:
        return tuple(strides) if tuple(shape) == tuple(new_shape) else contiguous_strides(new_shape)
    if not shape:
        return (1,) * len(new_shape)
    result: list[int] = []
    left = list(new_shape)
    innermost, elements = strides[-1], 1
    for d in range(len(shape) - 1, -1, -1):
        elements *= shape[d]
        if d and (shape[d - 1] == 1 or strides[d - 1] == elements * innermost):
            continue
        dealt = 1
        while left and (dealt < elements or left[-1] == 1):
            result.append(dealt * innermost)
            dealt *= left.pop()
        if dealt != elements:
            return None
        innermost, elements = strides[d - 1], 1
    return tuple(result[::-1])


def extent(spec: Spec) -> tuple[int, ...]:
    """The strides of a base with this spec, computed once."""
    if spec.strides is None:
        spec.strides = contiguous_strides(spec.shape)
    return spec.strides


def spec_like(spec: Spec, shape: Sequence[int]) -> Spec:
    """The spec of another shape and the same dtype."""
    return spec_of(tuple(shape), spec.dtype)
