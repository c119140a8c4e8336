"""Copies where torch's usual operator is a view, parts that torch lets be written to, and storage given another shape."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from jax import lax

from torchlike._ops import creation
from torchlike._ops.linalg_common import require_tensor
from torchlike._ops.op import composite, exports, op
from torchlike._tensor.tensor import Tensor, wrap_dim

# Copies of views.


def _copies(name: str, signature: str, doc: str) -> None:
    """Declare ``<name>_copy``: the view, or views, that the operator ``name`` makes, each as a tensor of its own."""
    arguments = ", ".join(part.split("=")[0].strip() for part in signature.split(","))
    scope: dict[str, Any] = {"view": _view_function(name), "deliver": _deliver_copies}
    text = f"def {name}_copy({signature}, *, out=None):\n return deliver(view({arguments}), out)"
    exec(compile(text, f"<{name}_copy>", "exec"), scope)
    function = scope[f"{name}_copy"]
    function.__doc__ = doc
    composite(namespaces=("torch",))(function)


def _view_function(name: str) -> Callable:
    if name == "alias":
        return lambda input: input.view(input._spec.shape)
    if name in ("view", "expand", "unfold"):
        return lambda input, *args: getattr(input, name)(*args)
    if name == "slice":
        return _slice
    if name == "squeeze":
        return lambda input, dim: input.squeeze() if dim is None else input.squeeze(dim)
    return exports("torch").get(name) or getattr(Tensor, name)


def _slice(input: Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Tensor:
    index = [slice(None)] * input._spec.ndim
    index[wrap_dim(dim, input._spec.ndim)] = slice(start, end, step)
    return input[tuple(index)]


def _deliver_copies(views: Any, out: Any) -> Any:
    if isinstance(views, (tuple, list)):
        copied = tuple(v.clone() for v in views)
        if out is None:
            return copied
        for target, part in zip(out, copied, strict=True):
            target.copy_(part)
        return None
    if out is None:
        return views.clone()
    from torchlike._ops.op import write_out

    write_out(out, views.clone())
    return out


_copies("alias", "input", "A copy of a tensor.")
_copies(
    "as_strided", "input, size, stride, storage_offset=None", "A copy of the elements that :func:`as_strided` shows."
)
_copies("detach", "input", "A copy of a tensor.")
_copies("expand", "input, size", "A copy of a tensor, repeated along dimensions of size one.")
_copies("permute", "input, dims", "A copy with the dimensions in another order.")
_copies("select", "input, dim, index", "A copy of the slice at one position of a dimension.")
_copies("slice", "input, dim=0, start=None, end=None, step=1", "A copy of a range of positions of a dimension.")
_copies("split", "input, split_size, dim=0", "Copies of parts of equal size.")
_copies("split_with_sizes", "input, split_sizes, dim=0", "Copies of parts of given sizes.")
_copies("squeeze", "input, dim=None", "A copy without the dimensions of size one.")
_copies("t", "input", "A copy of a matrix, transposed.")
_copies("transpose", "input, dim0, dim1", "A copy with two dimensions exchanged.")
_copies("unbind", "input, dim=0", "Copies of all slices along a dimension.")
_copies("unfold", "input, dimension, size, step", "A copy of the windows of a size along a dimension.")
_copies("unsqueeze", "input, dim", "A copy with one more dimension of size one.")
_copies("view", "input, size", "A copy in another shape.")
_copies("view_as_complex", "input", "Complex numbers made of pairs of real ones.")
_copies("view_as_real", "input", "A copy of complex numbers as pairs of real ones.")


@op(name="narrow_copy")
def narrow_copy(input, dim, start, length, *, out=None):
    """A copy of ``length`` positions of a dimension from ``start`` on."""
    axis = wrap_dim(dim, input.ndim)
    n = input.shape[axis]
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if start < -n or start > n:
        raise IndexError(f"start out of range (expected to be in range of [{-n}, {n}], but got {start})")
    start = start + n if start < 0 else start
    if start + length > n:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")
    return lax.slice_in_dim(input, start, start + length, 1, axis)


# Parts that may be written to.


def _parts(x: Any, sizes: tuple[int, ...], dim: int) -> tuple:
    axis = wrap_dim(dim, x.ndim)
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return tuple(lax.slice_in_dim(x, end - n, end, 1, axis) for n, end in zip(sizes, ends, strict=True))


def _equal_sizes(total: int, size: int) -> tuple[int, ...]:
    if size == 0 and total:
        raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {total}")
    count = max(math.ceil(total / size), 1) if size else 1
    return tuple(min(size, total - i * size) for i in range(count))


@op(name="_unsafe_split", namespaces=("_private",), node="UnsafeSplitBackward0")
def _unsafe_split(input, sizes, dim):
    """Parts of given sizes."""
    return _parts(input, sizes, dim)


@op(name="_unsafe_split_with_sizes", namespaces=("_private",), node="UnsafeSplitWithSizesBackward0")
def _unsafe_split_with_sizes(input, sizes, dim):
    """Parts of given sizes."""
    return _parts(input, sizes, dim)


def _as_tuple(parts: Any) -> tuple:
    return parts if isinstance(parts, tuple) else (parts,)


@composite()
def unsafe_split(input, split_size, dim=0):
    """:func:`split`, whose parts autograd does not take for views; writing to several of them goes unnoticed."""
    require_tensor(input, "unsafe_split", "input", 1)
    return _as_tuple(_unsafe_split(input, _equal_sizes(input._spec.shape[dim], split_size), dim))


@composite(namespaces=("Tensor",))
def unsafe_split_with_sizes(self, split_sizes, dim=0):
    """:meth:`split_with_sizes`, whose parts autograd does not take for views."""
    if sum(split_sizes) != self._spec.shape[dim]:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {self._spec.shape[dim]} (input tensor's size at dimension "
            f"{dim}), but got split_sizes={list(split_sizes)}"
        )
    return _as_tuple(_unsafe_split_with_sizes(self, tuple(split_sizes), dim))


@composite()
def unsafe_chunk(input, chunks, dim=0):
    """:func:`chunk`, whose parts autograd does not take for views."""
    require_tensor(input, "unsafe_chunk", "input", 1)
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    total = input._spec.shape[dim]
    size = -(-total // chunks)
    if not size and not total:
        return _as_tuple(_unsafe_split_with_sizes(input, (0,) * chunks, dim))
    return _as_tuple(_unsafe_split(input, _equal_sizes(total, size), dim))


# Memory of a given order.


@composite(namespaces=("Tensor",))
def new_empty_strided(
    self, size, stride, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False
):
    """A tensor of shape ``size`` whose elements lie ``stride`` apart, of this tensor's dtype and device unless given."""
    return creation.empty_strided(
        size,
        stride,
        dtype=dtype or self.dtype,
        device=self.device if device is None else device,
        requires_grad=requires_grad,
    )


@composite(namespaces=("torch",))
def empty_permuted(
    size, physical_layout, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False
):
    """A tensor of shape ``size`` whose dimensions lie in memory in the order ``physical_layout``, the innermost last."""
    order = [d + len(size) if d < 0 else d for d in physical_layout]
    if len(order) != len(size):
        raise RuntimeError(
            f"Number of dimensions in size does not match the length of the physical_layout; i.e. len(size) = {len(size)} is not "
            f"equal to len(physical_layout) = {len(order)}"
        )
    if len(set(order)) != len(order):
        raise RuntimeError("Duplicate dim not allowed")
    strides, step = [0] * len(size), 1
    for d in reversed(order):
        strides[d] = step
        step *= max(size[d], 1)
    return creation.empty_strided(size, strides, dtype=dtype, device=device, requires_grad=requires_grad)


@composite()
def resize_as_(input, the_template, *, memory_format=None):
    """Give this tensor the shape of another, its elements in the order in which they are in memory."""
    require_tensor(the_template, "resize_as_", "the_template", 1)
    return input.resize_(the_template.size())


def _resized(t: Tensor, size: tuple[int, ...]) -> Tensor:
    wanted = math.prod(size)
    if wanted != t._spec.numel:
        shown = "x".join(map(str, size)) if len(size) != 1 else str(size[0])
        have = "x".join(map(str, t._spec.shape))
        raise RuntimeError(
            f"requested resize to {shown} ({wanted} elements in total), but the given tensor has a size of {have} "
            f"({t._spec.numel} elements). autograd's resize can only change the shape of a given tensor, while preserving the "
            "number of elements. "
        )
    return t.contiguous().view(size)


@composite(namespaces=("Tensor",))
def resize(self, *sizes):
    """This tensor's elements in another shape of as many elements; :meth:`reshape` is its successor."""
    warnings.warn("non-inplace resize is deprecated", stacklevel=2)
    return _resized(self, tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else tuple(sizes))


@composite(namespaces=("Tensor",))
def resize_as(self, tensor):
    """This tensor's elements in the shape of another; :meth:`view_as` is its successor."""
    warnings.warn("non-inplace resize_as is deprecated", stacklevel=2)
    return _resized(self, tuple(tensor._spec.shape))


@composite(namespaces=("torch",))
def fill_(input, value):
    """Set all elements of a tensor to a value."""
    return input.fill_(value)


@composite(namespaces=("torch",))
def as_strided_(input, size, stride, storage_offset=None):
    """Let a tensor show its memory with other sizes and strides."""
    return input.as_strided_(size, stride, storage_offset)


def _hash_words(x: Any) -> Any:
    from torchlike._ops.bodies import kind

    if kind(x) == "f":
        x = lax.convert_element_type(x, "float64")
        return lax.bitcast_convert_type(x, "uint64")
    if kind(x) == "b":
        return lax.convert_element_type(x, "uint64")
    return lax.bitcast_convert_type(lax.convert_element_type(x, "int64"), "uint64")


@op(nondiff=True)
def hash_tensor(input, dim=(), *, keepdim=False, mode=0, out=None):
    """A checksum over ``dim``: the exclusive or of all elements' bits, numbers taken as float64 or int64."""
    from torchlike._ops.bodies import axes_of, reduced

    axes = axes_of(dim, input.ndim)
    return reduced(lax.reduce(_hash_words(input), np.uint64(0), lax.bitwise_xor, axes), axes, keepdim)
