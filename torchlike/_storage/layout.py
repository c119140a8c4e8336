"""Tensors laid over a storage: the checks of size and strides that ``Tensor.set_`` makes, and the views that follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from torchlike._engine.value import Spec, concrete, spec_of
from torchlike._tensor.storage import Storage, flat_array
from torchlike._tensor.tensor import Tensor
from torchlike._tensor.type_names import argument_type
from torchlike._tensor.views import (
    AS_STRIDED,
    BITCAST,
    CONJ,
    EXPAND,
    NEG,
    PERMUTE,
    RESHAPE,
    SLICE,
    View,
    contiguous_strides,
    extent,
    is_contiguous,
)

_INT64_MAX = (1 << 63) - 1
_UINT64_MAX = (1 << 64) - 1

_SET_FORMS = """set_() received an invalid combination of arguments - got ({got}), but expected one of:
 * ()
 * (torch.Storage source)
 * (torch.Storage source, int storage_offset, tuple of ints size, tuple of ints stride = None)
      didn't match because some of the arguments have invalid types: ({marked})
 * (Tensor source)
 * (Tensor source, int storage_offset, tuple of ints size, tuple of ints stride = None)
      didn't match because some of the arguments have invalid types: ({marked})
"""
_OVERFLOW = "Overflow when unpacking long long"


# Checks


def _type_name(value: Any) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__name__}" if kind.__module__ in ("torch.storage", "torch") else kind.__name__


def check_arguments(storage: Any, offset: Any, size: Any, stride: Any) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Offset, size and strides as plain integers.

    Raises:
        TypeError, ValueError, RuntimeError: what ``Tensor.set_`` raises for arguments of other types or lengths, or for
            numbers that no tensor can have.
    """
    if type(offset) is not int or not _are_ints(size) or not (stride is None or _are_ints(stride)):
        given = (storage, offset, size) if stride is None else (storage, offset, size, stride)
        got = ", ".join(_type_name(v) for v in given)
        kinds = (_type_name(storage), *(argument_type(v) for v in given[1:]))
        marked = [f"!{kinds[0]}!", kinds[1] if type(offset) is int else f"!{kinds[1]}!", *(f"!{k}!" for k in kinds[2:])]
        raise TypeError(_SET_FORMS.format(got=got, marked=", ".join(marked)))
    for name, numbers in (("size", size), ("stride", stride or ())):
        for i, n in enumerate(numbers):
            if not -_INT64_MAX - 1 <= n <= _INT64_MAX:
                raise TypeError(
                    f"set_(): argument '{name}' failed to unpack the object at pos {i + 1} with error \"{_OVERFLOW}\""
                )
    if not -_INT64_MAX - 1 <= offset <= _INT64_MAX:
        raise ValueError(_OVERFLOW)
    size = tuple(size)
    stride = contiguous_strides(size) if stride is None else tuple(stride)
    if len(size) != len(stride):
        raise RuntimeError(f"unequal size length ({len(size)}) and stride length ({len(stride)})")
    if offset < 0:
        raise RuntimeError(f"Tensor: invalid storage offset {offset}")
    numel = 1
    for n in size:
        # A negative number of elements is a large one to torch's unsigned product.
        numel *= n & _UINT64_MAX
        if numel > _UINT64_MAX or n < 0:
            raise RuntimeError("numel: integer multiplication overflow")
    if numel > _INT64_MAX:
        raise RuntimeError("numel: integer multiplication overflow")
    return offset, size, stride


def _are_ints(numbers: Any) -> bool:
    return isinstance(numbers, (tuple, list)) and all(type(n) is int for n in numbers)


def needed_bytes(itemsize: int, offset: int, size: Sequence[int], stride: Sequence[int]) -> int:
    """How many bytes from its start a storage must have for a tensor of this layout."""
    if 0 in size:
        return 0
    last = 0
    for n, step in zip(size, stride, strict=True):
        last += (n - 1) * (step & _UINT64_MAX)
    if (last + 1 + offset) * itemsize > _UINT64_MAX:
        raise RuntimeError(f"Storage size calculation overflowed with sizes={list(size)} and strides={list(stride)}")
    return (last + 1 + offset) * itemsize


# Building


def tensor_on(storage: Any, dtype: Any, offset: Any, size: Any, stride: Any) -> Tensor:
    """A tensor without history that shows part of ``storage``.

    Args:
        storage: an UntypedStorage.
        dtype: element type, in whose elements ``offset`` and ``stride`` count.
        offset: position of the first element.
        size: shape.
        stride: distance of neighbours along each dimension; None for those of a contiguous tensor.

    Raises:
        RuntimeError: the storage is too small, or the numbers are out of range.
    """
    offset, size, stride = check_arguments(storage, offset, size, stride)
    needed = needed_bytes(dtype.itemsize, offset, size, stride)
    if needed > storage.nbytes():
        storage._grow(needed)
    cell = storage._storage
    if storage._fresh:
        storage._fresh = False
        _shape_base(cell, dtype.np, offset, size, stride)
    made = object.__new__(Tensor)
    made._storage = cell
    made._view = _view(cell.value.spec, dtype.np, offset, size, stride)
    made._spec = cell.value.spec if made._view is None else made._view.spec
    return made


def _shape_base(cell: Storage, dtype: np.dtype, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
    """Give a storage that nobody looks at yet the element type, and if shown whole the shape, of its first tensor."""
    array = cell.value.array
    if array is None or cell.host_array is not None:
        return
    if cell.device.type == "meta":
        array = np.broadcast_to(np.zeros((), dtype), array.nbytes // dtype.itemsize)
    elif array.dtype != dtype:
        if array.nbytes % dtype.itemsize or type(array) is not np.ndarray:
            return
        array = array.reshape(-1).view(np.uint8).view(dtype)
    whole = offset == 0 and stride == contiguous_strides(size) and array.size == np.prod(size, dtype=object)
    shape = size if whole else (array.size,)
    if array.shape != shape:
        array = np.broadcast_to(array[:1].reshape(()), shape) if cell.device.type == "meta" else array.reshape(shape)
    cell.value = concrete(array)


def _view(base: Spec, dtype: np.dtype, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> View | None:
    """The chain of views that shows this part of a base; None for the base itself."""
    if base.dtype == dtype and base.shape == size and offset == 0 and extent(base) == stride:
        return None
    spec = spec_of(size, dtype)
    chain = None
    elements = base.numel
    if base.dtype != dtype:
        chain, elements = _recast(base, dtype)
    if chain is None and spec.numel == 0:
        return View(None, AS_STRIDED, (size, stride, offset), spec, stride, offset, True)
    dense = chain is None
    kept = tuple(1 if step == 0 else n for n, step in zip(size, stride, strict=True))
    order = tuple(sorted(range(len(size)), key=lambda d: -stride[d] if kept[d] != 1 else 0))
    packed = tuple(kept[d] for d in order)
    packed_stride = tuple(stride[d] for d in order)
    if not is_contiguous(packed, packed_stride):
        return View(chain, AS_STRIDED, (size, stride, offset), spec, stride, offset, dense)
    count = int(np.prod(kept, dtype=object))
    if len(chain.spec.shape if chain else base.shape) != 1:
        chain = View(chain, RESHAPE, ((elements,),), spec_of((elements,), dtype), (1,), 0, dense)
    if count != elements:
        chain = View(chain, SLICE, (0, offset, offset + count, 1), spec_of((count,), dtype), (1,), offset, dense)
    chain = View(chain, RESHAPE, (packed,), spec_of(packed, dtype), packed_stride, offset, dense)
    if order != tuple(range(len(size))):
        back = tuple(int(i) for i in np.argsort(order))
        chain = View(chain, PERMUTE, (back,), spec_of(kept, dtype), stride, offset, dense)
    if kept != size:
        chain = View(chain, EXPAND, (size,), spec, stride, offset, dense)
    return chain


def _recast(base: Spec, dtype: np.dtype) -> tuple[View, int]:
    """The view of a base's bytes as a row of elements of another type, and their number."""
    elements = base.nbytes // dtype.itemsize
    chain = View(None, RESHAPE, ((base.numel,),), spec_of((base.numel,), base.dtype), (1,), 0, True)
    used = elements * dtype.itemsize // base.dtype.itemsize
    if used != base.numel:
        chain = View(chain, SLICE, (0, 0, used, 1), spec_of((used,), base.dtype), (1,), 0, True)
    return View(chain, BITCAST, (dtype, (elements,)), spec_of((elements,), dtype), (1,), 0, False), elements


# Conjugate and negative tensors


def _flags(tensor: Tensor) -> tuple[bool, bool, bool]:
    """Whether the tensor shows its storage conjugated, whether negated, and whether that is all besides its layout."""
    conj = neg = False
    simple = True
    for view in tensor._view.steps() if tensor._view is not None else ():
        if view.step is CONJ:
            conj = not conj
        elif view.step is NEG:
            neg = not neg
        elif (conj or neg) and not view.step.name.startswith(
            ("reshape", "permute", "slice", "select", "expand", "diagonal", "as_strided")
        ):
            simple = False
    return conj, neg, simple


def metadata_of(tensor: Tensor) -> dict[str, bool] | None:
    """The marks that torch keeps of a tensor besides its layout; None where they do not say what the tensor shows."""
    conj, neg, simple = _flags(tensor)
    if not simple:
        return None
    return {**({"conj": True} if conj else {}), **({"neg": True} if neg else {})}


def mark(tensor: Tensor, metadata: dict[str, bool]) -> None:
    """Show the tensor's elements conjugated or negated, as ``metadata`` says."""
    if metadata.get("conj") and not tensor.is_complex():
        raise RuntimeError("only complex tensors can be conjugated")
    for name, step in (("conj", CONJ), ("neg", NEG)):
        if metadata.get(name):
            tensor._view = View(tensor._view, step, (), tensor._spec, tensor.stride(), tensor.storage_offset(), False)


def bytes_of(storage: Storage) -> np.ndarray:
    """The bytes of a whole storage, not to be written to."""
    return flat_array(storage).view(np.uint8)
