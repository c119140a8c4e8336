"""``x[...]`` and ``x[...] = y``: views for slices and integers, gathers and scatters for tensors of indices and masks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax import lax

from torchlike._engine.trace import threads
from torchlike._engine.value import concrete, host
from torchlike._ops import op as machinery
from torchlike._ops.memory import cast
from torchlike._ops.op import Array, Arrays, composite, op
from torchlike._ops.shape import alias, select, sliced, unsqueeze
from torchlike._tensor.promotion import SCALAR_TYPE_NAMES
from torchlike._tensor.tensor import CPU, Tensor, assign, host_array, strides_of, value_of, view_of, wrap
from torchlike._tensor.views import Step, View, spec_like, strided

INVALID = "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got {})"

NON_TUPLE = (
    "Using a non-tuple sequence for multidimensional indexing is deprecated and will be changed in pytorch 2.9; use "
    "x[tuple(seq)] instead of x[seq]. In pytorch 2.9 this will be interpreted as tensor index, x[torch.tensor(seq)], which "
    "will result either in an error or a different result"
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
        return x.item() if x._spec.ndim == 0 and x._spec.dtype.kind in "iu" and not x._spec.dtype == np.uint8 else x
    if isinstance(x, (list, tuple, range)):
        array = np.array([_plain(i) for i in x])
        return Tensor._from_index(array.astype(np.int64) if array.size == 0 else array)
    if isinstance(x, np.ndarray):
        return Tensor._from_index(x) if x.ndim or x.dtype == bool else int(x)
    if hasattr(x, "__index__"):
        return x.__index__()
    if isinstance(x, str):
        raise TypeError("new(): invalid data type 'str'")
    raise IndexError(INVALID.format(type(x).__name__))


def _plain(i: Any) -> Any:
    if isinstance(i, Tensor):
        return host_array(i)
    if isinstance(i, (list, tuple)):
        return [_plain(j) for j in i]
    return i


Tensor._from_index = staticmethod(lambda array: wrap(concrete(np.ascontiguousarray(array))))


def _consumes(entry: Any) -> int:
    """How many dimensions an entry of an index stands for."""
    if entry is None or entry is Ellipsis or entry is True or entry is False:
        return 0
    if isinstance(entry, Tensor) and entry._spec.dtype in (np.bool_, np.uint8):
        return entry._spec.ndim
    return 1


def _basic(t: Tensor, entries: Sequence[Any]) -> tuple[Tensor, list[Tensor | None]]:
    """Apply what makes views; what is left is, for each dimension, a tensor of indices or None."""
    used = sum(_consumes(e) for e in entries)
    if t._spec.ndim == 0 and len(entries) == 1 and isinstance(entries[0], slice):
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    if used > t._spec.ndim:
        raise IndexError(f"too many indices for tensor of dimension {t._spec.ndim}")
    gaps = sum(e is Ellipsis for e in entries)
    out, dim = t, 0
    rest: list[Tensor | None] = []
    for e in entries:
        if e is Ellipsis:
            skipped = t._spec.ndim - used if gaps == 1 or not any(e is Ellipsis for e in rest) else 0
            dim += skipped
            rest.extend([None] * skipped)
        elif e is None:
            out = unsqueeze(out, dim)
            dim += 1
            rest.append(None)
        elif e is True or e is False:
            out = unsqueeze(out, dim)
            rest.append(Tensor._from_index(np.array([e])))
            dim += 1
        elif isinstance(e, slice):
            out = _slice(out, dim, e)
            dim += 1
            rest.append(None)
        elif isinstance(e, int):
            out = _select(out, dim, e)
        else:
            rest.append(e)
            rest.extend([None] * 0)
            dim += _consumes(e)
    return out, rest


def _select(t: Tensor, dim: int, index: int) -> Tensor:
    if t._spec.ndim == 0:
        raise IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a "
            "0-dim tensor to a number"
        )
    size = t._spec.shape[dim]
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {size}")
    return select(t, dim, index)


def _slice(t: Tensor, dim: int, s: slice) -> Tensor:
    if t._spec.ndim == 0:
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    step = 1 if s.step is None else s.step.__index__()
    if step <= 0:
        raise ValueError("step must be greater than zero")
    size = t._spec.shape[dim]
    start, stop, _ = slice(_bound(s.start), _bound(s.stop)).indices(size)
    if start == 0 and stop == size and step == 1:
        return t
    return sliced(t, dim, start, stop, step)


def _bound(x: Any) -> Any:
    return x if x is None or type(x) is int else x.__index__()


# Tensors of indices.


def _as_integers(t: Tensor, indices: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Masks as the positions they mark, one tensor of indices for each dimension they cover."""
    result: list[Tensor | None] = []
    for index in indices:
        if index is None or index._spec.dtype not in (np.bool_, np.uint8):
            if index is not None and index._spec.dtype.kind not in "iu":
                raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
            result.append(index)
            continue
        dim = len(result)
        for j, n in enumerate(index._spec.shape):
            if n != t._spec.shape[dim + j]:
                raise IndexError(
                    f"The shape of the mask {list(index._spec.shape)} at index {j} does not match the shape of the indexed "
                    f"tensor {list(t._spec.shape)} at index {dim + j}"
                )
        where = np.nonzero(host_array(index))
        if index._spec.ndim == 0:
            raise IndexError("a 0-dim mask stands for no dimension")
        result.extend(Tensor._from_index(w) for w in where)
    return result


def _check_bounds(t: Tensor, indices: Sequence[Tensor | None]) -> None:
    """IndexError for an index out of range, where the indices are at hand."""
    shapes = [i._spec.shape for i in indices if i is not None]
    try:
        machinery.broadcast_shapes(shapes)
    except RuntimeError:
        raise IndexError(
            "shape mismatch: indexing tensors could not be broadcast together with shapes "
            + ", ".join(str(list(s)) for s in shapes)
        ) from None
    present = 0  # messages count the dimensions that have indices
    for dim, index in enumerate(indices):
        if index is None:
            continue
        present += 1
        if not index._spec.numel:
            continue
        if index._storage.device is not CPU:
            continue
        array, n = host(value_of(index)), t._spec.shape[dim]
        for extreme in (array.min(), array.max()):
            if not -n <= extreme < n:
                raise IndexError(f"index {int(extreme)} is out of bounds for dimension {present - 1} with size {n}")


def _key(pattern: Sequence[int], indices: Sequence[Any]) -> tuple:
    at = iter(indices)
    return tuple(next(at) if p else slice(None) for p in pattern)


@op(name="_index", namespaces=("_private",), node="IndexBackward0")
def _index(input, indices: Arrays, pattern):
    """The elements at ``indices``; ``pattern`` says which dimensions have some."""
    return input.at[_key(pattern, indices)].get(mode="promise_in_bounds", wrap_negative_indices=True)


@op(name="_index_put", namespaces=("_private",), node="IndexPutBackward0")
def _index_put(input, values: Array, indices: Arrays, pattern, accumulate):
    """The input with the elements at ``indices`` replaced by, or increased by, ``values``."""
    place = input.at[_key(pattern, indices)]
    values = values.astype(input.dtype)
    return place.add(values) if accumulate else place.set(values)


def _strip(indices: Sequence[Tensor | None]) -> tuple[tuple[int, ...], list[Tensor]]:
    pattern = tuple(0 if i is None else 1 for i in indices)
    return pattern, [i for i in indices if i is not None]


def index(t: Tensor, indices: Sequence[Tensor | None]) -> Tensor:
    """The elements at ``indices``, a tensor or None for each dimension."""
    indices = _as_integers(t, indices)
    pattern, present = _strip(indices)
    if not (threads.grad_enabled and t.requires_grad) and t._storage.device is CPU:
        values = [value_of(x) for x in (t, *present)]
        if all(v.array is not None for v in values):
            arrays = [host(v) for v in values]
            try:
                return wrap(concrete(np.asarray(arrays[0][_key(pattern, arrays[1:])])))
            except IndexError:
                pass  # in torch's words below
    _check_bounds(t, indices)
    return _index(t, present, pattern)


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
    elif cls is Tensor and index_._spec.ndim and index_._spec.dtype == np.int64:
        return index(self, [index_])
    out, rest = _basic(self, _entries(index_))
    if any(r is not None for r in rest):
        return index(out, rest)
    return alias(self) if out is self else out


def _setitem(self: Tensor, index_: Any, value: Any) -> None:
    if not threads.grad_enabled or not (self.requires_grad or (isinstance(value, Tensor) and value.requires_grad)):
        if _write_region(self, index_, value):
            return
    out, rest = _basic(self, _entries(index_))
    if not isinstance(value, Tensor):
        if isinstance(value, (int, float, complex, np.generic)):
            value = Tensor._scalar_tensor(value.item() if isinstance(value, np.generic) else value, CPU)
            value = cast(value, self.dtype) if not value.is_complex() or self.is_complex() else value
        else:
            value = Tensor._from_index(np.array(value)) if isinstance(value, np.ndarray) else _as_value(value, self)
    if value._storage.device is not self._storage.device and value._spec.ndim == 0:
        value = value.to(self._storage.device)
    if any(r is not None for r in rest):
        index_put_(out, rest, _squeezed(value, None), False, _converted=True)
        return
    shape = out._spec.shape
    value = _squeezed(value, shape)
    out.copy_(value if value._spec.shape == shape else value.expand(shape))


def _write_region(t: Tensor, index_: Any, value: Any) -> bool:
    """Write numbers at hand to where integers and slices point, at once; False where that is not what this is."""
    cls = type(value)
    if cls is Tensor:
        if value._storage is t._storage or (value._spec.dtype.kind == "c" and t._spec.dtype.kind != "c"):
            return False
        source = value_of(value).array
        if source is None or value._spec.ndim > t._spec.ndim or value._storage.device is not t._storage.device:
            return False
    elif cls in (int, float, bool):
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


def _as_value(value: Any, like: Tensor) -> Tensor:
    raise TypeError(f"can't assign a {type(value).__name__} to a {legacy(like)}")


def legacy(t: Tensor) -> str:
    """The tensor's legacy type, such as torch.FloatTensor."""
    return f"torch.{SCALAR_TYPE_NAMES[t.dtype]}Tensor"


def _squeezed(value: Tensor, shape: Any) -> Tensor:
    """Without leading dimensions of size one that the target does not have."""
    n = 0 if shape is None else len(shape)
    while shape is not None and value._spec.ndim > n and value._spec.shape[0] == 1:
        value = value.squeeze(0)
    return value


@composite(namespaces=("Tensor", "torch"))
def index_put_(self, indices, values, accumulate=False, _converted=False):
    """Write ``values`` at ``indices``, a tensor (or None) for each dimension; add them with ``accumulate``."""
    indices = _as_integers(self, list(indices))
    _check_bounds(self, indices)
    pattern, present = _strip(indices)
    if values.dtype is not self.dtype:
        if not _converted:
            raise RuntimeError(
                f"Index put requires the source and destination dtypes match, got {SCALAR_TYPE_NAMES[self.dtype]} for the "
                f"destination and {SCALAR_TYPE_NAMES[values.dtype]} for the source."
            )
        values = cast(values, self.dtype)
    machinery.check_inplace(self)
    tracked = threads.grad_enabled and (self.requires_grad or values.requires_grad)
    if not tracked and self._storage.device is CPU and not accumulate:
        parts = [value_of(x) for x in (self, values, *present)]
        if all(v.array is not None for v in parts):
            array = np.array(host(parts[0]))
            key = _key(pattern, [host(v) for v in parts[2:]])
            try:
                array[key] = host(parts[1])
            except ValueError:
                raise _put_mismatch(parts[1].spec.shape, array[key].shape) from None
            assign(self, concrete(array))
            return self
    operands = (self, values, *present)
    static = ((1, 1, (len(present),)), (pattern, bool(accumulate)), None)
    try:
        return machinery.call_inplace(_index_put.operator, operands, static)
    except ValueError:
        raise _put_mismatch(values._spec.shape, index(self.detach(), indices)._spec.shape) from None


def _put_mismatch(values: tuple[int, ...], result: tuple[int, ...]) -> RuntimeError:
    return RuntimeError(
        f"shape mismatch: value tensor of shape {list(values)} cannot be broadcast to indexing result of shape {list(result)}"
    )


@composite()
def index_put(input, indices, values, accumulate=False):
    """A copy of ``input`` with ``values`` written at ``indices``."""
    return input.clone().index_put_(indices, values, accumulate)


Tensor.__getitem__ = _getitem  # type: ignore[attr-defined]
Tensor.__setitem__ = _setitem  # type: ignore[attr-defined]
