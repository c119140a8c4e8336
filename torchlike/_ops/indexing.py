"""``x[...]`` and ``x[...] = y``: views for slices and integers, gathers and scatters for tensors and masks."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.custom_derivatives import SymbolicZero

from torchlike._engine.trace import threads
from torchlike._engine.value import Spec, concrete, host
from torchlike._ops import op as machinery
from torchlike._ops.memory import cast, check_fits, number_array
from torchlike._ops.op import Array, Arrays, composite, op
from torchlike._ops.shape import alias, select, sliced, unsqueeze
from torchlike._tensor.dtypes import bfloat16, float16, float64
from torchlike._tensor.layout import elementwise_strides, is_dense, wrap_strided
from torchlike._tensor.promotion import SCALAR_TYPE_NAMES
from torchlike._tensor.tensor import (
    CPU,
    Tensor,
    host_array,
    legacy_type,
    strides_of,
    value_of,
    view_of,
    wrap,
    wrap_dim,
)  # fmt: skip
from torchlike._tensor.views import Step, View, contiguous_strides, spec_like, strided, view_strides

INVALID = "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got {})"

NON_TUPLE = (
    "Using a non-tuple sequence for multidimensional indexing is deprecated and will be changed in pytorch 2.9; use "
    "x[tuple(seq)] instead of x[seq]. In pytorch 2.9 this will be interpreted as tensor index, x[torch.tensor(seq)], "
    "which will result either in an error or a different result"
)


EXPANDED = (
    "Use of index_put_ on expanded tensors is deprecated. Please clone() the tensor before performing this "
    "operation. This "
    "also applies to advanced indexing e.g. tensor[indices] = tensor"
)


def _entries(index: Any) -> list[Any]:
    """The entries of an index, lists and arrays as tensors."""
    if not isinstance(index, tuple):
        if isinstance(index, list) and _is_tuple_like(index):
            warnings.warn(NON_TUPLE, UserWarning, stacklevel=3)
            index = tuple(index)
        else:
            index = (index,)
    return [_entry(x) for x in index]


def _is_tuple_like(index: list) -> bool:
    """Whether a list stands for a tuple of indices, as old NumPy had it: a short one that holds other than integers."""
    return len(index) < 32 and any(
        isinstance(x, (slice, list, tuple, Tensor, np.ndarray)) or x is None or x is Ellipsis for x in index
    )


def _entry(x: Any) -> Any:
    if x is None or x is Ellipsis or isinstance(x, (slice, int)):
        return x
    if isinstance(x, Tensor):
        if x._spec.ndim == 0 and x._spec.dtype.kind in "iub":
            return bool(x.item()) if x._spec.dtype in _MASKS else x.item()
        return x
    if isinstance(x, str):
        raise TypeError("new(): invalid data type 'str'")
    if isinstance(x, (list, tuple, range)):
        array = np.array([_plain(i) for i in x])
        return Tensor._from_index(array if array.size and array.dtype == np.bool_ else array.astype(np.int64))
    if isinstance(x, np.ndarray):
        return Tensor._from_index(x) if x.ndim else x.item()
    if hasattr(x, "__index__"):
        return x.__index__()
    raise IndexError(INVALID.format(type(x).__name__))


def _plain(i: Any) -> Any:
    if isinstance(i, Tensor):
        return host_array(i)
    if isinstance(i, (list, tuple)):
        return [_plain(j) for j in i]
    return i


Tensor._from_index = staticmethod(lambda array: wrap(concrete(np.ascontiguousarray(array))))

_MASKS = (np.bool_, np.uint8)


def _consumes(entry: Any) -> int:
    """How many dimensions an entry of an index stands for."""
    if entry is None or entry is Ellipsis or entry is True or entry is False:
        return 0
    if isinstance(entry, Tensor) and entry._spec.dtype in _MASKS:
        return entry._spec.ndim
    return 1


def _basic(t: Tensor, index: Any, keep_whole: bool) -> tuple[Tensor, list[Tensor | None]]:
    """Apply what makes views; what is left is, for each dimension, a tensor of indices or None.

    A slice of everything makes no view, unless ``keep_whole`` is set and it stands alone.
    """
    entries = _entries(index)
    ndim = t._spec.ndim
    used = sum(map(_consumes, entries))
    alone = not isinstance(index, (tuple, list, Tensor))
    if used > ndim and not (ndim == 0 and alone):
        raise IndexError(f"too many indices for tensor of dimension {ndim}")
    out, dim = t, 0
    tensors: dict[int, Tensor] = {}
    for position, e in enumerate(entries):
        if e is Ellipsis:
            dim += ndim - used
        elif e is None:
            out = unsqueeze(out, dim)
            dim += 1
        elif e is True or e is False:
            out = unsqueeze(out, dim)
            tensors[dim] = Tensor._from_index(np.zeros(int(e), np.int64))
            dim += 1
        elif isinstance(e, slice):
            out = _slice(out, dim, e, keep_whole and alone)
            dim += 1
        elif isinstance(e, int):
            out = _select(out, dim, e, position)
        else:
            tensors[dim] = e
            dim += _consumes(e)
    rest: list[Tensor | None] = []
    dim, end = 0, max(tensors, default=-1)
    while dim <= end:
        rest.append(tensors.get(dim))
        dim += _consumes(rest[-1]) or 1
    return out, rest


def _select(t: Tensor, dim: int, index: int, position: int = 0) -> Tensor:
    """Position ``index`` of a dimension; ``position`` is where the index stands among its kin, for the message."""
    if t._spec.ndim == 0:
        raise IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a "
            "0-dim tensor to a number"
        )
    size = t._spec.shape[dim] if dim < t._spec.ndim else 0
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension {position} with size {size}")
    return select(t, dim, index)


def _slice(t: Tensor, dim: int, s: slice, keep_whole: bool) -> Tensor:
    if t._spec.ndim == 0:
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    step = 1 if s.step is None else s.step.__index__()
    if step <= 0:
        raise ValueError("step must be greater than zero" if step else "slice step cannot be zero")
    first, last = _bound(s.start), _bound(s.stop)
    size = t._spec.shape[dim] if dim < t._spec.ndim else 0
    if not keep_whole and not first and step == 1 and (last is None or last >= size):
        return t
    dim = wrap_dim(dim, t._spec.ndim)
    start, stop, _ = slice(first, last).indices(size)
    return sliced(t, dim, start, stop, step)


def _bound(x: Any) -> Any:
    return x if x is None or type(x) is int else x.__index__()


# Tensors of indices.


def _as_integers(t: Tensor, indices: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Masks as the positions they mark: a tensor of indices or None for each dimension that ``indices`` speak of."""
    result: list[Tensor | None] = []
    for index in indices:
        if index is None or index._spec.dtype not in _MASKS:
            if index is not None and index._spec.dtype not in (np.int64, np.int32):
                raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
            result.append(index)
            continue
        dim = len(result)
        for j, n in enumerate(index._spec.shape):
            if t._spec.shape[dim + j : dim + j + 1] != (n,):
                raise IndexError(
                    f"The shape of the mask {list(index._spec.shape)} at index {j} does not match the shape of the "
                    f"indexed tensor {list(t._spec.shape)} at index {dim + j}"
                )
        result.extend([Tensor._from_index(places) for places in host_array(index).nonzero()])
    if len(result) > t._spec.ndim:
        raise IndexError(f"too many indices for tensor of dimension {t._spec.ndim} (got {len(result)})")
    return result


def _result_shape(shape: Sequence[int], indices: Sequence[Tensor | None]) -> tuple[int, ...]:
    """The shape of what the indices show: their common shape stands where they do, or first if they are apart."""
    shapes = [i._spec.shape for i in indices if i is not None]
    try:
        common = machinery.broadcast_shapes(shapes)
    except RuntimeError:
        raise IndexError(
            "shape mismatch: indexing tensors could not be broadcast together with shapes "
            + ", ".join(str(list(s)) for s in shapes)
        ) from None
    places = [d for d, i in enumerate(indices) if i is not None]
    rest = [n for d, n in enumerate(shape) if d not in places]
    if 0 in [shape[d] for d in places] and 0 not in common:
        raise IndexError("index is out of bounds for dimension with size 0")
    before = places[0] if places[-1] - places[0] == len(places) - 1 else 0
    return (*rest[:before], *common, *rest[before:])


def _result_strides(t: Tensor, indices: Sequence[Tensor | None], spec: Spec) -> tuple[int, ...]:
    """The strides that native PyTorch's element-by-element loop over source and indices gives the result."""
    places = [d for d, i in enumerate(indices) if i is not None]
    rest = [s for d, s in enumerate(strides_of(t)) if d not in places]
    before = places[0] if places[-1] - places[0] == len(places) - 1 else 0
    after = len(rest) - before
    common = spec.shape[before : spec.ndim - after]
    operands = [(spec.shape, (*rest[:before], *[0] * len(common), *rest[before:]))]
    for d in places:
        each: Any = indices[d]
        shape, strides = each._spec.shape, strides_of(each)
        lead = len(common) - len(shape)
        strides = [0] * lead + [0 if n != want else s for n, s, want in zip(shape, strides, common[lead:], strict=True)]
        shape = (*[1] * before, *common, *[1] * after)
        operands.append((shape, view_strides(common, strides, shape) or contiguous_strides(shape)))
    return elementwise_strides(spec, operands)


def _check_bounds(t: Tensor, indices: Sequence[Tensor | None], shape: tuple[int, ...]) -> None:
    """IndexError for an index out of range, where the indices are on the host and the result has elements."""
    if 0 in shape:
        return
    present = 0  # messages count the dimensions that have indices
    for dim, index in enumerate(indices):
        if index is None:
            continue
        present += 1
        if index._storage.device is not CPU:
            continue
        array, n = host_array(index), t._spec.shape[dim]
        wrong = array[(array < -n) | (array >= n)]
        if wrong.size:
            raise IndexError(f"index {int(wrong[0])} is out of bounds for dimension {present - 1} with size {n}")


def _key(pattern: Sequence[int], indices: Sequence[Any]) -> tuple:
    at = iter(indices)
    return tuple(next(at) if p else slice(None) for p in pattern)


@op(name="_index", namespaces=("_private",), node="IndexBackward0")
def _index(input, indices: Arrays, pattern):
    """The elements at ``indices``; ``pattern`` says which dimensions have some."""
    return input.at[_key(pattern, indices)].get(mode="promise_in_bounds", wrap_negative_indices=True)


@partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def _put(input, values, pattern, accumulate, *indices):
    place = input.at[_key(pattern, indices)]
    return place.add(values) if accumulate else place.set(values)


def _put_tangent(pattern, accumulate, primals, tangents):
    # Of several values for one place all have the gradient that arrives there, though only one was written.
    (input, values, *indices), (d_input, d_values) = primals, tangents[:2]
    key = _key(pattern, indices)
    if type(d_input) is SymbolicZero:
        tangent = lax.full(input.shape, 0, input.dtype)
    else:
        # Writing zero twice is writing it once, so the indices may be said to be unique, as the transpose needs them.
        tangent = d_input if accumulate else d_input.at[key].set(0, unique_indices=True)
    if type(d_values) is not SymbolicZero:
        tangent = tangent.at[key].add(d_values)
    return _put(input, values, pattern, accumulate, *indices), tangent


_put.defjvp(_put_tangent, symbolic_zeros=True)


@op(name="_index_put", namespaces=("_private",), node="IndexPutBackward0")
def _index_put(input, values: Array, indices: Arrays, pattern, accumulate):
    """The input with the elements at ``indices`` replaced by, or increased by, ``values``."""
    return _put(input, values, pattern, accumulate, *indices)


def _strip(indices: Sequence[Tensor | None]) -> tuple[tuple[int, ...], list[Tensor]]:
    pattern = tuple(0 if i is None else 1 for i in indices)
    return pattern, [i for i in indices if i is not None]


def index(t: Tensor, indices: Sequence[Tensor | None]) -> Tensor:
    """The elements at ``indices``, a tensor or None for each dimension."""
    indices = _as_integers(t, indices)
    pattern, present = _strip(indices)
    out = None
    if not (threads.grad_enabled and t.requires_grad) and t._storage.device is CPU:
        values = [value_of(x) for x in (t, *present)]
        if all(v.array is not None for v in values):
            arrays = [host(v) for v in values]
            with contextlib.suppress(IndexError):  # which is raised in torch's words below
                out = wrap(concrete(np.asarray(arrays[0][_key(pattern, arrays[1:])])))
    if out is None:
        _check_bounds(t, indices, _result_shape(t._spec.shape, indices))
        out = _index(t, present, pattern)
    if t._view is None and len(present) == 1 and present[0]._view is None:
        return out
    strides = _result_strides(t, indices, out._spec)
    if strides == strides_of(out):
        return out
    shown = wrap_strided(value_of(out), strides, t._storage.device)
    shown._edge, shown._requires_grad = out._edge, out._requires_grad
    return shown


# What most programs do: integers and slices, on the host, off the tape. No intermediate views are made for them.


def _region(t: Tensor, index_: Any) -> tuple | None:
    """Shape, strides and offset of what integers and slices show of ``t``, and the index in full; None for others."""
    shape, strides, offset = t._spec.shape, strides_of(t), t.storage_offset()
    entries = index_ if type(index_) is tuple else (index_,)
    if len(entries) > len(shape):
        return None
    new_shape, new_strides, full = [], [], []
    for d, e in enumerate(entries):
        n = shape[d]
        cls = type(e)
        if cls is int:
            if not -n <= e < n:
                return None
            e = e + n if e < 0 else e
            offset += e * strides[d]
        elif cls is slice:
            try:
                start, stop, step = e.indices(n)
            except TypeError:
                return None
            if step <= 0:
                return None
            length = max(0, -(-(stop - start) // step))
            if length:
                offset += start * strides[d]
            new_shape.append(length)
            new_strides.append(strides[d] * step)
            e = (start, max(start, stop), step)
        else:
            return None
        full.append(e)
    k = len(entries)
    return (*new_shape, *shape[k:]), (*new_strides, *strides[k:]), offset, tuple(full)


def _part_read(x, full):
    starts = [e if isinstance(e, int) else e[0] for e in full]
    stops = [e + 1 if isinstance(e, int) else e[1] for e in full]
    steps = [1 if isinstance(e, int) else e[2] for e in full]
    rest = x.shape[len(full) :]
    part = lax.slice(x, (*starts, *[0] * len(rest)), (*stops, *rest), (*steps, *[1] * len(rest)))
    return lax.squeeze(part, [d for d, e in enumerate(full) if isinstance(e, int)])


def _part_write(x, new, full):
    return x.at[tuple(e if isinstance(e, int) else slice(*e) for e in full)].set(new)


_PART = Step("part", _part_read, _part_write)


def _is_off_tape(t: Tensor) -> bool:
    return not threads.grad_enabled or (not t._requires_grad and t._base_tensor is None)


def _getitem(self: Tensor, index_: Any) -> Tensor:
    cls = index_.__class__
    if cls is int:
        return _select(self, 0, index_)
    if cls is tuple and _is_off_tape(self):
        region = _region(self, index_)
        if region is not None:
            shape, strides, offset, full = region
            dense = self._view is None or self._view.dense
            return view_of(
                self, View(self._view, _PART, (full,), spec_like(self._spec, shape), strides, offset, dense), ""
            )
    elif cls is Tensor and index_._spec.ndim and index_._spec.dtype == np.int64 and self._spec.ndim:
        return index(self, [index_])
    out, rest = _basic(self, index_, keep_whole=True)
    if rest:
        return index(out, rest)
    return alias(self) if out is self else out


def _setitem(self: Tensor, index_: Any, value: Any) -> None:
    tracked = threads.grad_enabled and (self.requires_grad or (isinstance(value, Tensor) and value.requires_grad))
    if index_ is False or (not tracked and _write_region(self, index_, value)):
        return
    if not isinstance(value, Tensor):
        value = _number(value, self)
    out, rest = _basic(self, index_, keep_whole=False)
    if rest:
        shape = value._spec.shape
        lead = next((i for i, n in enumerate(shape) if n != 1), len(shape))
        _put_at(out, rest, value.view(shape[lead:]) if lead else value, False)
    else:
        _copy_to(out, value)


def _number(number: Any, like: Tensor) -> Tensor:
    """A Python number as a 0-dim tensor of another tensor's dtype."""
    dtype = like.dtype
    if not isinstance(number, (int, float, complex, np.integer)):
        raise TypeError(f"can't assign a {_type_name(number)} to a {legacy_type(like._spec, like._storage.device)}")
    if isinstance(number, (int, np.integer)):
        number = int(number)
        if not -(1 << 63) <= number < 1 << 63:
            raise ValueError("Overflow when unpacking long long")
    if dtype not in (float16, bfloat16):  # these take what is beyond their range as infinite
        check_fits(number, dtype)
    elif isinstance(number, complex):
        check_fits(number, float64)
    return wrap(concrete(number_array(number, dtype)), like._storage.device)


def _type_name(x: Any) -> str:
    cls = type(x)
    return cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _copy_to(out: Tensor, value: Tensor) -> None:
    """Write ``value`` to all of a view: a single number fills it, else leading dimensions of size one are dropped."""
    shape = value._spec.shape
    if shape == out._spec.shape:
        out.copy_(value)
    elif not shape and value._storage.device is CPU:
        out.fill_(value)
    else:
        lead = next((i for i, n in enumerate(shape) if n != 1), len(shape))
        out.copy_(value.view(shape[lead:]).expand(out._spec.shape))


#: Numbers up to this one fit into most types.
_SMALL = 1 << 15


def _write_region(t: Tensor, index_: Any, value: Any) -> bool:
    """Write numbers at hand to where integers and slices point, at once; False where that is not what this is."""
    cls = type(value)
    if cls is Tensor:
        if value._storage is t._storage or (value._spec.dtype.kind == "c" and t._spec.dtype.kind != "c"):
            return False
        source = value_of(value).array
        if source is None or value._spec.ndim > t._spec.ndim or value._storage.device is not t._storage.device:
            return False
    elif cls in (int, float, bool) and -_SMALL <= value <= _SMALL:
        source = value
    else:
        return False
    if t._view is not None and not t._view.dense:
        return False
    region = _region(t, index_)
    if region is None or 0 in region[1] or (cls is Tensor and not _fits(value._spec.shape, region[0])):
        return False
    storage = t._storage
    memory = storage.memory()
    if memory is None:
        return False
    part = strided(memory, *region[:3])
    try:
        with np.errstate(all="ignore"):
            part[...] = source
    except (OverflowError, ValueError):
        return False
    storage.writes += 1
    if not t._untracked:
        storage.version += 1
    return True


def _fits(have: tuple[int, ...], want: tuple[int, ...]) -> bool:
    """Whether a shape can be expanded to another."""
    lead = len(want) - len(have)
    return lead >= 0 and all(n == 1 or n == want[lead + i] for i, n in enumerate(have))


@composite(namespaces=("Tensor", "torch"))
def index_put_(self, indices, values, accumulate=False):
    """Write ``values`` at ``indices``, a tensor for each of the first dimensions; add them with ``accumulate``."""
    for i, each in enumerate(indices):
        if not isinstance(each, Tensor):
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type(each).__name__}")
    if not indices:
        raise RuntimeError("sym_strides() called on an undefined Tensor")
    return _put_at(self, indices, values, accumulate)


def _put_at(self: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool) -> Tensor:
    """``index_put_`` where None stands for all of a dimension."""
    _check_history(self, values)
    if len(indices) > self._spec.ndim:
        raise IndexError(f"too many indices for tensor of dimension {self._spec.ndim} (got {len(indices)})")
    fills = not accumulate and values._spec.numel == 1 and _is_one_mask(indices)
    if values._storage.device is not self._storage.device and values._spec.ndim == 0:
        values = values.to(self._storage.device)
    if not fills:
        for other in (values, *[i for i in indices if i is not None]):
            _check_apart(self, other)
    indices = _as_integers(self, indices)
    shape = _result_shape(self._spec.shape, indices)
    if not _fits(values._spec.shape, shape):
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(values._spec.shape)} cannot be broadcast to indexing result "
            f"of shape {list(shape)}"
        )
    if values.dtype is not self.dtype:
        if not fills:
            raise RuntimeError(
                f"Index put requires the source and destination dtypes match, got {SCALAR_TYPE_NAMES[self.dtype]} for "
                f"the destination and {SCALAR_TYPE_NAMES[values.dtype]} for the source."
            )
        values = cast(values, self.dtype)
    _check_bounds(self, indices, shape)
    pattern, present = _strip(indices)
    tracked = threads.grad_enabled and (self.requires_grad or values.requires_grad)
    if not tracked and not accumulate and _put_at_hand(self, pattern, present, values, 0 in shape):
        return self
    static = ((1, 1, (len(present),)), (pattern, bool(accumulate)), None)
    return machinery.call_inplace(_index_put.operator, (self, values, *present), static)


def _put_at_hand(t: Tensor, pattern: Sequence[int], indices: Sequence[Tensor], values: Tensor, empty: bool) -> bool:
    """Write into the tensor's own memory where that, the indices and the values are at hand; False where not."""
    parts = [value_of(x) for x in (values, *indices)]
    if any(v.array is None for v in parts) or not (t._view is None or t._view.dense):
        return False
    arrays = [host(v) for v in parts]
    storage = t._storage
    memory = storage.memory()
    if memory is None:
        return False
    if not empty:
        part = strided(memory, t._spec.shape, strides_of(t), t.storage_offset())
        part[_key(pattern, arrays[1:])] = arrays[0]
    storage.writes += 1
    if not t._untracked:
        storage.version += 1
    return True


def _check_history(t: Tensor, values: Tensor) -> None:
    """What the tape has against a write. Memory that is shown more than once may be written to, unlike elsewhere."""
    if threads.grad_enabled:
        machinery._check_history(t, (values,))
    if t._view is not None and any(n > 1 and s == 0 for n, s in zip(t._spec.shape, t._view.strides, strict=True)):
        warnings.warn(EXPANDED, UserWarning, stacklevel=4)


def _is_one_mask(indices: Sequence[Tensor | None]) -> bool:
    present = [i for i in indices if i is not None]
    return len(present) == 1 and present[0]._spec.dtype in _MASKS


def _check_apart(t: Tensor, other: Tensor) -> None:
    """RuntimeError where two dense tensors show memory that they share."""
    if t is not other:
        if t._storage is not other._storage or not t._spec.numel or not other._spec.numel:
            return
        if not all(is_dense(x._spec.shape, strides_of(x)) for x in (t, other)):
            return
        a, b = t.storage_offset(), other.storage_offset()
        if a + t._spec.numel <= b or b + other._spec.numel <= a:
            return
    raise RuntimeError(machinery.PARTIAL_OVERLAP)


@composite()
def index_put(input, indices, values, accumulate=False):
    """A copy of ``input`` with ``values`` written at ``indices``."""
    return input.clone().index_put_(indices, values, accumulate)


Tensor.__getitem__ = _getitem  # type: ignore[attr-defined]
Tensor.__setitem__ = _setitem  # type: ignore[attr-defined]
