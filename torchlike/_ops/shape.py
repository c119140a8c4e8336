"""Operators that show a tensor in another shape: views, and what copies only where it must."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax import lax

from torchlike._engine.instance import Kernel
from torchlike._engine.trace import record, threads
from torchlike._ops.op import composite
from torchlike._tape.graph import Bridge, Node, node_class
from torchlike._tensor import views
from torchlike._tensor.memory_format import contiguous_format
from torchlike._tensor.promotion import SCALAR_TYPE_NAMES
from torchlike._tensor.size import Size
from torchlike._tensor.tensor import Tensor, edge_of, strides_of, value_of, view_of, wrap, wrap_dim
from torchlike._tensor.views import View, spec_like, spec_of


def _sizes(given: Sequence[Any]) -> tuple[int, ...]:
    """Sizes given as ``f(2, 3)`` or ``f((2, 3))``."""
    if len(given) == 1 and isinstance(given[0], (tuple, list)):
        given = given[0]
    return tuple([n if type(n) is int else n.__index__() for n in given])


def _required(named: dict[str, Any], function: str, name: str) -> tuple:
    """The argument of this name, for a function that was given no positional ones."""
    if name not in named:
        raise TypeError(f'{function}() missing 1 required positional arguments: "{name}"')
    return (named[name],)


def _view(
    t: Tensor, step: views.Step, static: tuple, shape: Sequence[int], strides: Sequence[int], offset: int, name: str
) -> Tensor:
    """A view of ``t`` by one step, with what torch reports of it."""
    dense = t._view is None or t._view.dense
    made = View(t._view, step, static, spec_like(t._spec, shape), tuple(strides), offset, dense)
    return view_of(t, made, name)


def infer_size(shape: Sequence[int], numel: int) -> tuple[int, ...]:
    """``shape`` with its one -1, if any, replaced so that it has ``numel`` elements."""
    known, hole = 1, None
    for i, n in enumerate(shape):
        if n == -1:
            if hole is not None:
                raise RuntimeError("only one dimension can be inferred")
            hole = i
        elif n < 0:
            raise RuntimeError(f"invalid shape dimension {n} at index {i} of shape {list(shape)}")
        else:
            known *= n
    if hole is not None:
        if known == 0:
            raise RuntimeError(
                f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified dimension "
                f"size -1 "
                "can be any value and is ambiguous"
            )
        if numel % known == 0:
            return tuple(numel // known if i == hole else n for i, n in enumerate(shape))
    elif known == numel:
        return tuple(shape)
    raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}")


def _reshaped(t: Tensor, shape: tuple[int, ...], strides: Sequence[int], name: str) -> Tensor:
    return _view(t, views.RESHAPE, (shape,), shape, strides, t.storage_offset(), name)


@composite(namespaces=("Tensor",))
def view(self, *shape, dtype=None):
    """This tensor's elements in another shape, or its bytes as another dtype, sharing memory.

    RuntimeError where the elements do not lie in memory as the shape needs them to; ``reshape`` copies then.
    """
    if dtype is not None or (
        len(shape) == 1 and hasattr(shape[0], "is_floating_point") and not isinstance(shape[0], Tensor)
    ):
        return _view_as_dtype(self, shape[0] if dtype is None else dtype)
    if not shape:
        raise TypeError(
            "view() received an invalid combination of arguments - got (), but expected one of:\n * (torch.dtype "
            "dtype)\n"
            " * (tuple of ints size)\n"
        )
    size = infer_size(_sizes(shape), self._spec.numel)
    strides = views.view_strides(self._spec.shape, strides_of(self), size)
    if strides is None:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two "
            "contiguous subspaces). Use .reshape(...) instead."
        )
    return _reshaped(self, size, strides, "ViewBackward0")


def _view_as_dtype(t: Tensor, dtype: Any) -> Tensor:
    have, want = t._spec.dtype.itemsize, dtype.itemsize
    shape, strides, offset = t._spec.shape, strides_of(t), t.storage_offset()
    if have != want:
        if not shape:
            raise RuntimeError(f"self.dim() cannot be 0 to view {t.dtype} as {dtype} (different element sizes)")
        if strides[-1] != 1:
            raise RuntimeError(
                f"self.stride(-1) must be 1 to view {t.dtype} as {dtype} (different element sizes), but got "
                f"{strides[-1]}"
            )
        if want > have:
            ratio = want // have
            if shape[-1] % ratio:
                raise RuntimeError(
                    f"self.size(-1) must be divisible by {ratio} to view {t.dtype} as {dtype} (different element "
                    f"sizes), "
                    f"but got {shape[-1]}"
                )
            shape, strides = (*shape[:-1], shape[-1] // ratio), (*[s // ratio for s in strides[:-1]], 1)
            offset //= ratio
        else:
            ratio = have // want
            shape, strides = (*shape[:-1], shape[-1] * ratio), (*[s * ratio for s in strides[:-1]], 1)
            offset *= ratio
    made = View(
        t._view, views.BITCAST, (dtype.np, tuple(shape)), spec_of(tuple(shape), dtype.np), tuple(strides), offset, False
    )
    return view_of(t, made, "ViewBackward1")


@composite()
def reshape(input, *shape, **named):
    """The elements in another shape: a view where one is possible, a copy where not."""
    size = infer_size(_sizes(shape or _required(named, "reshape", "shape")), input._spec.numel)
    strides = views.view_strides(input._spec.shape, strides_of(input), size)
    if strides is None:
        copy = input.clone(memory_format=contiguous_format)
        shown = _reshaped(copy, size, views.contiguous_strides(size), "UnsafeViewBackward0")
        out = wrap(value_of(shown), input._storage.device)  # no view of the copy, which nobody else will see
        out._edge, out._requires_grad = shown._edge, shown._requires_grad
        return out
    name = "ViewBackward0" if views.is_contiguous(input._spec.shape, strides_of(input)) else "ReshapeAliasBackward0"
    return _reshaped(input, size, strides, name)


@composite(namespaces=("Tensor",))
def view_as(self, other):
    """``view`` with the shape of ``other``."""
    return self.view(other.size())


@composite(namespaces=("Tensor",))
def reshape_as(self, other):
    """``reshape`` with the shape of ``other``."""
    return self.reshape(other.size())


def _dims(dims: Sequence[int], ndim: int) -> tuple[int, ...]:
    return tuple([wrap_dim(d, ndim) for d in dims])


def _permuted(t: Tensor, order: tuple[int, ...], name: str) -> Tensor:
    shape, strides = t._spec.shape, strides_of(t)
    return _view(
        t, views.PERMUTE, (order,), [shape[d] for d in order], [strides[d] for d in order], t.storage_offset(), name
    )


@composite()
def permute(input, *dims, **named):
    """The dimensions in another order, sharing memory."""
    order = _sizes(dims or _required(named, "permute", "dims"))
    if len(order) != input._spec.ndim:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {input._spec.ndim} is not equal to len(dims) = {len(order)}"
        )
    order = _dims(order, len(order))
    if len(set(order)) != len(order):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return _permuted(input, order, "PermuteBackward0")


@composite(alias=("swapaxes", "swapdims"))
def transpose(input, dim0, dim1):
    """Dimensions ``dim0`` and ``dim1`` exchanged, sharing memory."""
    n = input._spec.ndim
    a, b = wrap_dim(dim0, n), wrap_dim(dim1, n)
    order = list(range(n))
    if n:
        order[a], order[b] = order[b], order[a]
    return _permuted(input, tuple(order), "TransposeBackward0")


@composite()
def t(input):
    """A matrix transposed; a tensor of fewer dimensions as it is."""
    n = input._spec.ndim
    if n > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {n}D")
    return _flipped(input, "TBackward0")


@composite(alias=("moveaxis",))
def movedim(input, source, destination):
    """Dimensions ``source`` moved to the positions ``destination``, the others in order."""
    source = (source,) if isinstance(source, int) else tuple(source)
    destination = (destination,) if isinstance(destination, int) else tuple(destination)
    if len(source) != len(destination):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({list(source)} dims) should contain the same number "
            f"of dims as destination ({list(destination)} dims)"
        )
    n = input._spec.ndim
    source, destination = _dims(source, n), _dims(destination, n)
    for dims, name in ((source, "source"), (destination, "destination")):
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"movedim: repeated dim in `{name}` ({list(dims)})")
    if n == 0:
        return alias(input)
    rest = iter(d for d in range(n) if d not in source)
    placed = dict(zip(destination, source, strict=True))
    order = tuple(placed[d] if d in placed else next(rest) for d in range(n))
    return _permuted(input, order, "PermuteBackward0")


def _matrix_transpose(name: str, conjugate: bool) -> property:
    def get(self):
        n = self._spec.ndim
        if n == 0:
            hint = "Consider using x.conj()." if conjugate else "This function is the identity in these cases."
            warnings.warn(f"Tensor.{name} is deprecated on 0-D tensors. {hint}", UserWarning, stacklevel=2)
        elif name != "H" and n < 2:
            raise RuntimeError(f"tensor.{name} is only supported on matrices or batches of matrices. Got {n}-D tensor.")
        elif name == "H" and n != 2:
            raise RuntimeError(
                f"tensor.H is only supported on matrices (2-D tensors). Got {n}-D tensor."
                + (" For batches of matrices, consider using tensor.mH" if n > 2 else "")
            )
        out = self.transpose(-2, -1) if n > 1 else self
        return out.conj() if conjugate and self.is_complex() else out

    return property(get, doc="The last two dimensions exchanged" + (", conjugated." if conjugate else "."))


def _get_T(self):
    n = self._spec.ndim
    if n == 0:
        warnings.warn(
            "Tensor.T is deprecated on 0-D tensors. This function is the identity in these cases.",
            UserWarning,
            stacklevel=2,
        )
    elif n != 2:
        warnings.warn(
            "The use of `x.T` on tensors of dimension other than 2 to reverse their shape is deprecated and it will "
            "throw "
            "an error in a future release. Consider `x.mT` to transpose batches of matrices or "
            "`x.permute(*torch.arange(x.ndim - 1, -1, -1))` to reverse the dimensions of a tensor.",
            UserWarning,
            stacklevel=2,
        )
    return _flipped(self, "PermuteBackward0")


def _flipped(t: Tensor, name: str) -> Tensor:
    """The dimensions in reverse order; what a plain matrix's transpose is, is worked out once for each spec."""
    spec, n = t._spec, t._spec.ndim
    if n != 2 or t._view is not None:
        return _permuted(t, tuple(range(n))[::-1], name)
    flipped = _FLIPPED.get(spec)
    if flipped is None:
        strides = strides_of(t)
        flipped = _FLIPPED[spec] = spec_like(spec, spec.shape[::-1]), strides[::-1]
    return view_of(t, View(None, views.PERMUTE, ((1, 0),), flipped[0], flipped[1], 0, True), name)


#: Spec of a matrix -> spec and strides of its transpose.
_FLIPPED: dict = {}


Tensor.T = property(_get_T, doc="The dimensions in reverse order.")  # type: ignore[attr-defined]
Tensor.mT = _matrix_transpose("mT", False)  # type: ignore[attr-defined]
Tensor.H = _matrix_transpose("H", True)  # type: ignore[attr-defined]
Tensor.mH = _matrix_transpose("mH", True)  # type: ignore[attr-defined]


def alias(t: Tensor) -> Tensor:
    """A view of all of a tensor as it is."""
    shape = t._spec.shape
    return _view(t, views.RESHAPE, (shape,), shape, strides_of(t), t.storage_offset(), "AliasBackward0")


@composite()
def adjoint(input):
    """The last two dimensions exchanged and, for complex tensors, conjugated."""
    return input.mH


@composite()
def unsqueeze(input, dim):
    """A dimension of size one put in at ``dim``, sharing memory."""
    n = input._spec.ndim
    dim = wrap_dim(dim, n + 1)
    shape, strides = input._spec.shape, strides_of(input)
    stride = shape[dim] * strides[dim] if dim < n else 1
    shape = (*shape[:dim], 1, *shape[dim:])
    return _view(
        input,
        views.RESHAPE,
        (shape,),
        shape,
        (*strides[:dim], stride, *strides[dim:]),
        input.storage_offset(),
        "UnsqueezeBackward0",
    )


@composite()
def squeeze(input, dim=None):
    """Without its dimensions of size one, or without those among ``dim`` that are of size one."""
    shape, strides, n = input._spec.shape, strides_of(input), input._spec.ndim
    if dim is None:
        drop, name = {d for d in range(n) if shape[d] == 1}, "SqueezeBackward0"
    else:
        many = isinstance(dim, (tuple, list))
        dims = _dims(dim if many else (dim,), n)
        for d in dims:
            if dims.count(d) > 1:
                raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
        drop, name = {d for d in dims if n and shape[d] == 1}, "SqueezeBackward2" if many else "SqueezeBackward1"
    keep = [d for d in range(n) if d not in drop]
    shape = tuple(shape[d] for d in keep)
    return _view(input, views.RESHAPE, (shape,), shape, [strides[d] for d in keep], input.storage_offset(), name)


@composite()
def flatten(input, start_dim=0, end_dim=-1):
    """Dimensions ``start_dim`` to ``end_dim`` joined into one."""
    n = input._spec.ndim
    start, end = wrap_dim(start_dim, n), wrap_dim(end_dim, n)
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if n == 0:
        return input.reshape(1)
    if start == end:
        return input
    shape = input._spec.shape
    return input.reshape((*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))


@composite()
def ravel(input):
    """All elements in one dimension."""
    return input.reshape(-1)


@composite()
def unflatten(input, dim, sizes):
    """Dimension ``dim`` split into dimensions of these sizes."""
    dim = wrap_dim(dim, input._spec.ndim)
    sizes = tuple(sizes)
    if not input._spec.ndim:
        raise RuntimeError("unflatten got an unexpected error:\nDimension specified as 0 but tensor has no dimensions")
    if not sizes:
        raise RuntimeError("unflatten: sizes must be non-empty")
    n = input._spec.shape[dim]
    known = math.prod(s for s in sizes if s != -1)
    if (-1 not in sizes and known != n) or (-1 in sizes and (known == 0 or n % known)):
        raise RuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {dim} ({n}) in the input "
            f"tensor"
        )
    shape = input._spec.shape
    return input.view((*shape[:dim], *infer_size(sizes, n), *shape[dim + 1 :]))


@composite(namespaces=("Tensor",))
def expand(self, *sizes, implicit=False, **named):
    """Dimensions of size one repeated to these sizes without copying; -1 keeps a dimension as it is."""
    size = _sizes(sizes or _required(named, "expand", "size"))
    shape, strides = self._spec.shape, strides_of(self)
    lead = len(size) - len(shape)
    if lead < 0:
        raise RuntimeError(
            f"expand({legacy_name(self)}{{{list(shape)}}}, size={list(size)}): the number of sizes provided "
            f"({len(size)}) "
            f"must be greater or equal to the number of dimensions in the tensor ({len(shape)})"
        )
    result, steps = [], []
    for i in range(len(size) - 1, -1, -1):
        n = size[i]
        if i >= lead:
            have, stride = shape[i - lead], strides[i - lead]
        else:  # a new dimension steps over all that follows it
            have, stride = 1, result[-1] * steps[-1] if shape else 0
        if n == -1:
            if i < lead:
                raise RuntimeError(
                    f"expand({legacy_name(self)}{{{list(shape)}}}, size={list(size)}): the expanded size of the tensor "
                    f"({n}) isn't allowed in a leading, non-existing dimension {i}"
                )
            n = have
        if n != have:
            if have != 1:
                raise RuntimeError(
                    f"The expanded size of the tensor ({n}) must match the existing size ({have}) at non-singleton "
                    f"dimension {i}.  Target sizes: {list(size)}.  Tensor sizes: {list(shape)}"
                )
            stride = 0
        result.append(n)
        steps.append(stride)
    shape = tuple(result[::-1])
    return _view(self, views.EXPAND, (shape,), shape, steps[::-1], self.storage_offset(), "ExpandBackward0")


def legacy_name(t: Tensor) -> str:
    """The tensor's type as messages spell it, such as torch.FloatTensor."""
    return f"torch.{SCALAR_TYPE_NAMES[t.dtype]}Tensor"


@composite(namespaces=("Tensor",))
def expand_as(self, other):
    """``expand`` to the sizes of ``other``."""
    return self.expand(other.size())


@composite()
def broadcast_to(input, size):
    """``input`` expanded to shape ``size``."""
    return input.expand(size)


@composite(namespaces=("torch",))
def broadcast_tensors(*tensors):
    """The tensors expanded to their common shape."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tensors[0]
    shape = broadcast_shapes(*[t._spec.shape for t in tensors])
    return tuple(t.expand(shape) for t in tensors)


@composite(namespaces=("torch",))
def broadcast_shapes(*shapes):
    """The common shape of tensors of these shapes."""
    from torchlike._ops.op import broadcast_shapes as common

    shapes = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    try:
        return Size(common(shapes) if shapes else ())
    except RuntimeError:
        raise RuntimeError("Shape mismatch: objects cannot be broadcast to a single shape") from None


@composite()
def select(input, dim, index):
    """The part at position ``index`` of dimension ``dim``, which is gone from the result."""
    return selected(input, dim, index, "SelectBackward0")


def selected(input: Tensor, dim: int, index: int, name: str) -> Tensor:
    """``select`` under another node's name."""
    n = input._spec.ndim
    if n == 0:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    dim = wrap_dim(dim, n)
    index = index if type(index) is int else index.__index__()
    shape, strides = input._spec.shape, strides_of(input)
    size = shape[dim]
    if not -size <= index < size:
        raise IndexError(f"select(): index {index} out of range for tensor of size {list(shape)} at dimension {dim}")
    index += size if index < 0 else 0
    return _view(
        input, views.SELECT, (dim, index), (*shape[:dim], *shape[dim + 1 :]), (*strides[:dim], *strides[dim + 1 :]),
        input.storage_offset() + index * strides[dim], name,
    )  # fmt: skip


def sliced(input: Tensor, dim: int, start: int, stop: int, step: int = 1, name: str = "SliceBackward0") -> Tensor:
    """Positions ``start``, ``start + step``, ... before ``stop`` of a dimension; all within range."""
    shape, strides = input._spec.shape, strides_of(input)
    n = max(0, -(-(stop - start) // step))
    stop = max(stop, start)
    return _view(
        input, views.SLICE, (dim, start, stop, step), (*shape[:dim], n, *shape[dim + 1 :]),
        (*strides[:dim], strides[dim] * step, *strides[dim + 1 :]),
        input.storage_offset() + (start * strides[dim] if n else 0), name,
    )  # fmt: skip


@composite()
def narrow(input, dim, start, length):
    """``length`` positions of dimension ``dim`` from ``start`` on."""
    n = input._spec.ndim
    if n == 0:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    dim = wrap_dim(dim, n)
    start = start if type(start) is int else int(start)
    size = input._spec.shape[dim]
    if not -size <= start <= size:
        raise IndexError(f"start out of range (expected to be in range of [{-size}, {size}], but got {start})")
    start += size if start < 0 else 0
    if start + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return sliced(input, dim, start, start + length)


def _bind_joined(static: Any, inputs: Any) -> Callable:
    """The gradient of a tensor from those of its pieces along ``dim``, of which only some are ``present``."""
    dim, shapes, dropped, present = static
    runs = [(there, list(group)) for there, group in itertools.groupby(range(len(shapes)), present.__contains__)]

    def run(*gradients):
        given, parts = iter(gradients), []
        for there, pieces in runs:
            if there:
                some = [next(given) for _ in pieces]
                parts.extend([lax.expand_dims(g, [dim]) for g in some] if dropped else some)
            else:
                shape = list(shapes[0])
                shape[dim] = sum(shapes[i][dim] for i in pieces)
                parts.append(lax.full(shape, 0, gradients[0].dtype))
        return lax.concatenate(parts, dim)

    return run


_JOINED = Kernel("split.transpose", _bind_joined)


class _Pieces(Node):
    """The node of a tensor cut into pieces along a dimension, which ``dropped`` says the pieces do not have."""

    def __init__(self, edge: Any, out_specs: Sequence[Any], dim: int, dropped: bool):
        super().__init__((edge,), out_specs)
        self.dim, self.dropped = dim, dropped

    def _static(self, grads: Sequence[Any]) -> tuple:
        shapes = [s.shape for s in self._out_specs]
        if self.dropped:
            shapes = [(*s[: self.dim], 1, *s[self.dim :]) for s in shapes]
        return self.dim, tuple(shapes), self.dropped, tuple([i for i, g in enumerate(grads) if g is not None])

    def apply_values(self, grads: Sequence[Any]) -> Sequence[Any]:
        return record(_JOINED, self._static(grads), [g for g in grads if g is not None])[0]

    def apply_tensors(self, grads: Sequence[Any]) -> Sequence[Any]:
        name = node_class("StackBackward0" if self.dropped else "CatBackward0")
        return Bridge.apply(_JOINED, self._static(grads), [g for g in grads if g is not None], name)


def _together(input: Tensor, pieces: list[Tensor], name: str, dim: int, dropped: bool = False) -> tuple[Tensor, ...]:
    """Views made at once: they share a node, and autograd does not allow them to be written through."""
    edge = edge_of(input) if threads.grad_enabled else None
    if edge is not None and pieces:
        node = node_class(f"{name}Backward0", _Pieces)(edge, [piece._spec for piece in pieces], dim, dropped)
        for i, piece in enumerate(pieces):
            piece._edge, piece._requires_grad = (node, i), True
    for piece in pieces:
        piece._write_forbidden = piece._write_forbidden or name
    return tuple(pieces)


@composite()
def unbind(input, dim=0):
    """The parts at each position of dimension ``dim``, as a tuple."""
    if input._spec.ndim == 0:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    dim = wrap_dim(dim, input._spec.ndim)
    pieces = [selected(input, dim, i, "UnbindBackward0") for i in range(input._spec.shape[dim])]
    return _together(input, pieces, "Unbind", dim, dropped=True)


@composite()
def split(tensor, split_size_or_sections, dim=0):
    """Pieces along ``dim``: of one size (the last may be smaller), or of each of the given sizes."""
    if tensor._spec.ndim == 0:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    dim = wrap_dim(dim, tensor._spec.ndim)
    size = tensor._spec.shape[dim]
    if isinstance(split_size_or_sections, (list, tuple)):
        return split_with_sizes(tensor, split_size_or_sections, dim)
    length = int(split_size_or_sections)
    if length < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={length}")
    if length == 0 and size:
        raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {size}")
    starts = range(0, size, length) if size else [0]
    pieces = [sliced(tensor, dim, s, min(s + length, size), name="SplitBackward0") for s in starts]
    return _together(tensor, pieces, "Split", dim)


@composite()
def split_with_sizes(input, split_sizes, dim=0):
    """Pieces along ``dim`` of each of the given sizes, which add up to the dimension's."""
    dim = wrap_dim(dim, input._spec.ndim)
    size = input._spec.shape[dim]
    if any(n < 0 for n in split_sizes):
        raise RuntimeError(
            f"split_with_sizes expects split_sizes have only non-negative entries, but got "
            f"split_sizes={list(split_sizes)}"
        )
    if sum(split_sizes) != size:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's size at dimension "
            f"{dim}), but "
            f"got split_sizes={list(split_sizes)}"
        )
    pieces, start = [], 0
    for n in split_sizes:
        pieces.append(sliced(input, dim, start, start + n, name="SplitWithSizesBackward0"))
        start += n
    return _together(input, pieces, "SplitWithSizes", dim)


@composite()
def chunk(input, chunks, dim=0):
    """At most ``chunks`` pieces along ``dim``, all but the last of one size."""
    if input._spec.ndim == 0:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    dim = wrap_dim(dim, input._spec.ndim)
    size = input._spec.shape[dim]
    length = -(-size // chunks)
    if length == 0:
        return split_with_sizes(input, [0] * chunks, dim)
    return split(input, length, dim)


@composite()
def tensor_split(input, indices_or_sections, dim=0):
    """Pieces along ``dim``: a number of nearly equal ones, or cut at the given positions."""
    n = input._spec.ndim
    if n == 0:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    dim = wrap_dim(dim, n)
    size = input._spec.shape[dim]
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, int):
        parts = indices_or_sections
        if parts <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {parts}")
        small, larger = divmod(size, parts)
        cuts = np.cumsum([small + (i < larger) for i in range(parts)])[:-1].tolist()
    else:
        cuts = list(indices_or_sections)
    bounds = [slice(a, b).indices(size)[:2] for a, b in zip([0, *cuts], [*cuts, size], strict=True)]
    return tuple([sliced(input, dim, a, max(a, b)) for a, b in bounds])


def _numpy_split(name: str, dim_of: Callable[[int], int], least: int) -> None:
    def split_along(input, indices_or_sections):
        n = input._spec.ndim
        if n < least:
            raise RuntimeError(
                f"torch.{name} requires a tensor with at least {least} dimension{'s' if least > 1 else ''}, but got a "
                f"tensor with {n} dimensions!"
            )
        dim = dim_of(n)
        if isinstance(indices_or_sections, int):
            size = input._spec.shape[dim]
            if indices_or_sections == 0 or size % indices_or_sections:
                raise RuntimeError(
                    f"torch.{name} attempted to split along dimension {dim}, but the size of the dimension {size} is "
                    f"not "
                    f"divisible by the split_size {indices_or_sections}!"
                )
        return tensor_split(input, indices_or_sections, dim)

    split_along.__name__ = split_along.__qualname__ = name
    split_along.__doc__ = f"``tensor_split`` along the dimension that NumPy's ``{name}`` splits."
    composite()(split_along)


_numpy_split("hsplit", lambda n: 0 if n == 1 else 1, 1)
_numpy_split("vsplit", lambda n: 0, 2)
_numpy_split("dsplit", lambda n: 2, 3)


@composite()
def diagonal(input, offset=0, dim1=0, dim2=1):
    """The elements whose indices in ``dim1`` and ``dim2`` differ by ``offset``, as the last dimension; a view."""
    n = input._spec.ndim
    a, b = wrap_dim(dim1, n), wrap_dim(dim2, n)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    shape, strides, start = input._spec.shape, strides_of(input), input.storage_offset()
    length = max(0, min(shape[a] + min(offset, 0), shape[b] - max(offset, 0)))
    if length:
        start += offset * strides[b] if offset > 0 else -offset * strides[a]
    keep = [d for d in range(n) if d not in (a, b)]
    return _view(
        input, views.DIAGONAL, (offset, a, b), (*[shape[d] for d in keep], length),
        (*[strides[d] for d in keep], strides[a] + strides[b]), start, "DiagonalBackward0",
    )  # fmt: skip


@composite()
def as_strided(input, size, stride, storage_offset=None):
    """A view of the storage with these sizes, strides and offset, whatever the input's own are."""
    size, stride = tuple(size), tuple(stride)
    offset = input.storage_offset() if storage_offset is None else storage_offset
    if len(size) != len(stride):
        raise RuntimeError("mismatch in length of strides and shape")
    if any(s < 0 for s in stride):
        raise RuntimeError(f"as_strided: Negative strides are not supported at the moment, got strides: {list(stride)}")
    extent = 1 + offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if 0 not in size else 0
    base = input._storage.value.spec
    if extent > base.numel:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset}, and itemsize "
            f"{base.dtype.itemsize} requiring a storage size of {extent * base.dtype.itemsize} are out of bounds for "
            f"storage of size {base.nbytes}"
        )
    made = View(None, views.AS_STRIDED, (size, stride, offset), spec_like(base, size), stride, offset, True)
    if input._view is None:
        return view_of(input, made, "AsStridedBackward0")
    # History runs through the input's own elements: what it does not show has no gradient.
    chain = ((_as_strided_of(input, size, stride, offset), ()),)
    return view_of(input, made, "AsStridedBackward0", chain)


def _as_strided_of(t: Tensor, size: tuple, stride: tuple, offset: int) -> Kernel:
    """The kernel that takes a view's elements to those an ``as_strided`` of its storage shows, zeros for others."""
    from jax import numpy as jnp

    shape, strides, start = t._spec.shape, strides_of(t), t.storage_offset()
    own = views._as_strided_places(0, shape, strides, start).reshape(-1)
    wanted = views._as_strided_places(0, size, stride, offset)
    where = {int(p): i for i, p in enumerate(own)}
    source = np.array([where.get(int(p), -1) for p in wanted.reshape(-1)], np.int64).reshape(size)

    def read(x):
        taken = jnp.take(x.reshape(-1), np.maximum(source, 0), mode="clip")
        return jnp.where(source >= 0, taken, jnp.zeros((), x.dtype))

    return Kernel("as_strided", lambda static, inputs: read)


@composite(namespaces=("Tensor",))
def unfold(self, dimension, size, step):
    """All windows of ``size`` positions, ``step`` apart, along a dimension, each window as the last dimension; a
    view.
    """
    n = self._spec.ndim
    dim = wrap_dim(dimension, n)
    shape, strides = self._spec.shape or (1,), strides_of(self) or (1,)
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > shape[dim]:
        raise RuntimeError(f"maximum size for tensor at dimension {dim} is {shape[dim]} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    count = (shape[dim] - size) // step + 1
    if n == 0:
        return _view(self, views.RESHAPE, ((size,),), (size,), (1,), self.storage_offset(), "UnfoldBackward0")
    return _view(
        self, _UNFOLD, (dim, size, step), (*shape[:dim], count, *shape[dim + 1 :], size),
        (*strides[:dim], strides[dim] * step, *strides[dim + 1 :], strides[dim]), self.storage_offset(),
        "UnfoldBackward0",
    )  # fmt: skip


def _unfold_read(x, dim, size, step):
    starts = np.arange(0, x.shape[dim] - size + 1, step)
    places = starts[:, None] + np.arange(size)[None, :]
    from jax import numpy as jnp

    return jnp.moveaxis(jnp.take(x, places, axis=dim, mode="clip"), dim + 1, -1)


_UNFOLD = views.Step("unfold", _unfold_read)


@composite(namespaces=("torch",))
def view_as_real(input):
    """A complex tensor as a real one whose last dimension holds real and imaginary parts; a view."""
    if not input.is_complex():
        raise RuntimeError("view_as_real is only supported for complex tensors")
    shape = (*input._spec.shape, 2)
    spec = spec_of(shape, input.dtype.to_real().np)
    strides = (*[2 * s for s in strides_of(input)], 1)
    return view_of(
        input,
        View(input._view, views.VIEW_AS_REAL, (), spec, strides, 2 * input.storage_offset(), False),
        "ViewAsRealBackward0",
    )


@composite(namespaces=("torch",))
def view_as_complex(input):
    """A real tensor whose last dimension is of size two as a complex one; a view."""
    shape, strides = input._spec.shape, strides_of(input)
    if input.dtype.name not in ("float16", "float32", "float64"):
        raise RuntimeError(
            f"view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar type: "
            f"{SCALAR_TYPE_NAMES[input.dtype]}"
        )
    if not shape or shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    spec = spec_of(shape[:-1], input.dtype.to_complex().np)
    made = View(
        input._view,
        views.VIEW_AS_COMPLEX,
        (),
        spec,
        tuple(s // 2 for s in strides[:-1]),
        input.storage_offset() // 2,
        False,
    )
    return view_of(input, made, "ViewAsComplexBackward0")


def _part(t: Tensor, step: views.Step, offset: int, name: str) -> Tensor:
    spec = spec_of(t._spec.shape, t.dtype.to_real().np)
    strides = tuple(2 * s for s in strides_of(t))
    return view_of(t, View(t._view, step, (), spec, strides, 2 * t.storage_offset() + offset, False), name)


@composite(namespaces=("torch",))
def real(input):
    """The real parts of a complex tensor, a view; a real tensor itself."""
    return _part(input, views.REAL, 0, "ViewAsRealBackward0") if input.is_complex() else input


@composite(namespaces=("torch",))
def imag(input):
    """The imaginary parts of a complex tensor; a view."""
    if not input.is_complex():
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return _part(input, views.IMAG, 1, "ViewAsRealBackward0")


Tensor.real = property(real, lambda self, value: self.real.copy_(value) if self.is_complex() else self.copy_(value))  # type: ignore[attr-defined]
Tensor.imag = property(imag, lambda self, value: self.imag.copy_(value))  # type: ignore[attr-defined]


def _like_in_place(name: str) -> None:
    out_of_place = globals()[name]

    def change(self, *args, **kwargs):
        made = out_of_place(self, *args, **kwargs)
        if self.requires_grad and self.is_leaf:
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
        self._view, self._spec = made._view, made._spec
        if self._requires_grad:
            self._edge = made._edge
        return self

    change.__name__ = change.__qualname__ = name + "_"
    change.__doc__ = f"In-place form of :func:`{name}`: this tensor itself takes the new shape."
    composite(namespaces=("Tensor",), alias={"transpose": ("swapaxes_", "swapdims_")}.get(name, ()))(change)


for _name in ("t", "transpose", "squeeze", "unsqueeze", "as_strided"):
    _like_in_place(_name)
