"""Copies and conversions: cloning, changing dtype or device, writing into a tensor, exchanging memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from torchlike._engine.trace import threads
from torchlike._engine.value import Value, concrete, host
from torchlike._ops import op as machinery
from torchlike._ops.op import composite, op
from torchlike._tape.graph import Bridge, IdentityNode, node_class, zeros
from torchlike._tensor import dtypes, shared
from torchlike._tensor.dtypes import dtype as Dtype
from torchlike._tensor.layout import elementwise_strides, is_dense, wrap_strided
from torchlike._tensor.memory_format import contiguous_format, preserve_format
from torchlike._tensor.placement import put, resolve
from torchlike._tensor.promotion import SCALAR_TYPE_NAMES
from torchlike._tensor.tensor import CPU, Tensor, assign, detached, edge_of, legacy_type, strides_of, value_of, wrap
from torchlike._tensor.type_info import finfo, iinfo
from torchlike._tensor.views import is_contiguous


def _copied(t: Tensor, value: Value, name: str, ordered: bool = False) -> Tensor:
    """A tensor of its own storage with ``value``, which is ``t``'s, and a history that passes gradients through.

    It has ``t``'s order of dimensions in memory, unless ``ordered`` asks for the usual one.
    """
    strides = strides_of(t)
    if ordered or t._view is None:
        out = wrap(value, t._storage.device)
    else:
        if not is_dense(t._spec.shape, strides):
            strides = elementwise_strides(t._spec, [(t._spec.shape, strides)])
        out = wrap_strided(value, strides, t._storage.device)
    if threads.grad_enabled:
        edge = edge_of(t)
        if edge is not None:
            out._edge = (node_class(name, IdentityNode)((edge,), (value.spec,)), 0)
            out._requires_grad = True
    return out


@composite()
def clone(input, *, memory_format=preserve_format):
    """A copy of the tensor; gradients flow back to the original."""
    return _copied(input, value_of(input), "CloneBackward0", memory_format is contiguous_format)


@composite(namespaces=("Tensor",))
def contiguous(self, memory_format=None):
    """The tensor itself where its elements lie in order in memory, else a copy in which they do."""
    if self._view is None or is_contiguous(self._spec.shape, strides_of(self)):
        return self
    return clone(self, memory_format=contiguous_format)


@op(name="_to_copy", namespaces=("_private",), node="ToCopyBackward0", elementwise=True)
def _cast(input, dtype):
    """The elements converted to another dtype."""
    return machinery._cast(input, dtype.np)


def cast(t: Tensor, dtype: Dtype) -> Tensor:
    """The tensor in another dtype, itself where it has that one."""
    if t.dtype is dtype:
        return t
    if t._edge is None and not t.requires_grad and t._storage.device is CPU:
        value = value_of(t)
        if type(value.array) is np.ndarray and value.spec.numel <= _AT_ONCE:
            return wrap(concrete(_numpy_cast(value.array, dtype)))
    return _cast(t, dtype)


#: Conversions of arrays at hand up to this many elements are done with NumPy at once rather than recorded.
_AT_ONCE = 1 << 16


def _numpy_cast(array: np.ndarray, dtype: Dtype) -> np.ndarray:
    with np.errstate(all="ignore"):
        if array.dtype.kind == "c" and not dtype.is_complex:
            array = array.real
        if dtype.np == np.uint8 and array.dtype.kind == "f":
            array = array.astype(np.int64)
        return array.astype(dtype.np)


def _moved(t: Tensor, place: Any) -> Tensor:
    if t.is_meta:
        raise NotImplementedError("Cannot copy out of meta tensor; no data!")
    value = value_of(t)
    array = value.array if value.array is not None else host(value)
    return _with_device(_copied(t, concrete(put(array, place)), "ToCopyBackward0"), place)


def _with_device(t: Tensor, place: Any) -> Tensor:
    t._storage.device = place
    return t


@composite(namespaces=("Tensor",))
def to(self, *args, **kwargs):
    """The tensor in another dtype, on another device, or as another tensor is; itself where nothing changes.

    ``to(dtype)``, ``to(device, dtype=None)``, ``to(other)``; each with ``non_blocking``, ``copy``, ``memory_format``.
    """
    dtype, device, copy = parse_to(args, kwargs)
    out = self
    if device is not None:
        place = CPU if device == "cpu" else resolve(device)
        if place is not self._storage.device:
            out = _moved(self, place)
    if dtype is not None and dtype is not out.dtype:
        out = cast(out, dtype)
    return clone(out) if copy and out is self else out


def parse_to(args: tuple, kwargs: dict) -> tuple[Dtype | None, Any, bool]:
    """The dtype, the device and whether to copy, from the arguments of ``to``."""
    dtype, device, copy = kwargs.get("dtype"), kwargs.get("device"), kwargs.get("copy", False)
    other = kwargs.get("other")
    positions = list(args)
    if positions:
        first = positions.pop(0)
        if isinstance(first, Tensor):
            other = first
        elif isinstance(first, Dtype):
            dtype = first
        elif first is None or isinstance(first, (str, int, type(CPU))):
            device = first
            if positions and (positions[0] is None or isinstance(positions[0], Dtype)):
                dtype = positions.pop(0)
        else:
            raise TypeError(
                "to() received an invalid combination of arguments - got "
                f"({', '.join(type(a).__name__ for a in args)}), but expected one of:\n"
                " * (torch.device device = None, torch.dtype dtype = None, bool non_blocking = False, bool copy = "
                "False, *, "
                "torch.memory_format memory_format = None)\n"
                " * (torch.dtype dtype, bool non_blocking = False, bool copy = False, *, torch.memory_format "
                "memory_format "
                "= None)\n"
                " * (Tensor tensor, bool non_blocking = False, bool copy = False, *, torch.memory_format "
                "memory_format = "
                "None)\n"
            )
        if len(positions) > 1:
            copy = positions[1]
    if other is not None:
        dtype, device = other.dtype, other.device
    return dtype, device, bool(copy)


def _conversion(name: str, dtype: Dtype) -> None:
    def convert(self, memory_format=preserve_format):
        return cast(self, dtype)

    convert.__name__ = convert.__qualname__ = name
    convert.__doc__ = f"The tensor as {dtype}."
    composite(namespaces=("Tensor",))(convert)


for _name in ("double", "float", "half", "long", "int", "short", "cdouble", "cfloat", "bfloat16", "bool"):
    _conversion(_name, dtypes.EXPORTS[_name])
_conversion("char", dtypes.int8)
_conversion("byte", dtypes.uint8)


@composite(namespaces=("Tensor",))
def cpu(self, memory_format=preserve_format):
    """The tensor in host memory."""
    return self if self._storage.device is CPU else _moved(self, CPU)


@composite(namespaces=("Tensor",))
def cuda(self, device=None, non_blocking=False, memory_format=preserve_format):
    """The tensor on the accelerator."""
    return self.to("cuda" if device is None else f"cuda:{device}" if isinstance(device, int) else device)


@composite(namespaces=("Tensor",))
def type_as(self, other):
    """The tensor in the dtype of ``other``."""
    return cast(self, other.dtype)


@composite(namespaces=("Tensor",), name="type")
def _type(self, dtype=None, non_blocking=False, **kwargs):
    """The name of the tensor's legacy type, or the tensor as ``dtype`` (a dtype, or a legacy type or its name)."""
    if dtype is None:
        return legacy_type(self._spec, self._storage.device)
    if isinstance(dtype, Dtype):
        return cast(self, dtype)
    name = dtype if isinstance(dtype, str) else f"torch.{dtype.__name__}"
    wanted = next(
        (d for d, n in SCALAR_TYPE_NAMES.items() if name in (f"torch.{n}Tensor", f"torch.cuda.{n}Tensor")), None
    )
    if wanted is None:
        raise ValueError(f"invalid type: '{name}'")
    return cast(self, wanted)


@composite(namespaces=("Tensor",))
def pin_memory(self, device=None):
    """The tensor; host memory is not page-locked here."""
    return self


@composite(namespaces=("Tensor",))
def share_memory_(self):
    """Move the storage into memory that processes forked from this one share."""
    if self._storage.device is CPU:
        shared.share(self._storage)
    return self


@composite(namespaces=("Tensor",))
def is_shared(self):
    """Whether other processes share the memory."""
    return self.is_cuda or shared.is_shared(self._storage)


# Writing.


@op(name="_copy_into", namespaces=("_private",), node="CopyBackwards")
def _copy_into(input, other):
    """What ``copy_`` writes: the other tensor, converted and broadcast."""
    value = machinery._cast(other, input.dtype)
    try:
        return machinery._broadcast(value, input.shape) if value.shape != input.shape else value
    except (ValueError, TypeError):
        raise RuntimeError(broadcast_message(input.shape, other.shape)) from None


def broadcast_message(want: tuple[int, ...], have: tuple[int, ...]) -> str:
    """torch's words for a shape that cannot be written into another."""
    lead = len(have) - len(want)
    if lead > 0:
        return f"output with shape {list(want)} doesn't match the broadcast shape {list(have)}"
    for i, n in enumerate(have):
        if n != want[i - lead] and n != 1:
            return (
                f"The size of tensor a ({want[i - lead]}) must match the size of tensor b ({n}) at non-singleton "
                f"dimension {i - lead}"
            )
    return f"shape mismatch: value tensor of shape {list(have)} cannot be broadcast to indexing result of shape {list(want)}"


def _check_broadcast(want: tuple[int, ...], have: tuple[int, ...]) -> None:
    lead = len(want) - len(have)
    if lead < 0 or any(n not in (1, want[lead + i]) for i, n in enumerate(have)):
        raise RuntimeError(broadcast_message(want, have))


def _touched(t: Tensor) -> Tensor:
    """The tensor, counted as written to."""
    t._storage.writes += 1
    if not t._untracked:
        t._storage.version += 1
    return t


@composite(namespaces=("Tensor",))
def copy_(self, src, non_blocking=False):
    """Write the elements of ``src``, converted and broadcast, into this tensor."""
    if not isinstance(src, Tensor):
        if not isinstance(src, (int, float, complex, np.generic)):
            raise TypeError(f"copy_(): argument 'other' (position 1) must be Tensor, not {src.__class__.__name__}")
        src = Tensor._scalar_tensor(src, self.device)
    _check_broadcast(self._spec.shape, src._spec.shape)
    if src._storage.device is not self._storage.device:
        src = src.to(self._storage.device)
    if src._spec is self._spec and not (threads.grad_enabled and (src.requires_grad or self.requires_grad)):
        if src is self:
            return _touched(self)
        machinery.check_inplace(self, (src,))
        assign(self, value_of(src))
        return self
    return machinery.call_inplace(_copy_into.operator, (self, src), (None, (), None))


#: What messages call the type of an element.
_C_NAMES = {
    "float64": "double", "float32": "float", "float16": "c10::Half", "bfloat16": "c10::BFloat16", "int32": "int",
    "complex64": "c10::complex<float>", "complex128": "c10::complex<double>", "bool": "bool",
}  # fmt: skip


def fits(number: complex, dtype: Dtype) -> bool:
    """Whether a Python number can be converted to ``dtype``: negative ones wrap around in unsigned types."""
    if dtype is dtypes.bool_:
        return True
    if isinstance(number, complex) and not dtype.is_complex:
        return not number.imag and fits(number.real, dtype)
    if dtype.is_complex:
        part = dtypes.float32 if dtype.itemsize == 8 else dtypes.float64
        return fits(number.real, part) and fits(number.imag, part)
    if dtype.is_floating_point:
        return not math.isfinite(number) or abs(number) <= finfo(dtype).max
    if not math.isfinite(number):
        return False
    info = iinfo(dtype)
    wraps = info.min == 0 and isinstance(number, int)
    return (-info.max if wraps else info.min) <= number <= info.max


def check_fits(number: complex, dtype: Dtype) -> None:
    """RuntimeError where a Python number is beyond the range of ``dtype``."""
    if not fits(number, dtype):
        name = _C_NAMES.get(dtype.name, f"{dtype.name}_t")
        raise RuntimeError(f"value cannot be converted to type {name} without overflow")


def number_array(number: complex, dtype: Dtype) -> np.ndarray:
    """A 0-dim array of a Python number in ``dtype``."""
    one = np.array(number)
    if one.dtype.kind == "c" and not dtype.is_complex and dtype is not dtypes.bool_:
        one = one.real
    with np.errstate(all="ignore"):
        return one.astype(dtype.np)


def _filled(t: Tensor, number: Any) -> Value:
    if isinstance(number, int) and not -(1 << 63) <= number < 1 << 64:
        raise OverflowError("int too big to convert")
    check_fits(number, t.dtype)
    return concrete(np.full(t._spec.shape, number_array(number, t.dtype)))


def _overwrite(t: Tensor, number: Any, name: str) -> Tensor:
    """Write one number everywhere; what was there has no gradient from here on."""
    if threads.grad_enabled:
        machinery._check_history(t, ())
    tracked = threads.grad_enabled and t.requires_grad
    before = edge_of(t) if tracked else None
    assign(t, _filled(t, number))
    if tracked:
        node = node_class(name, _Overwritten)((before,), (t._spec,))
        machinery.set_history(t, node, 0)
    return t


class _Overwritten(IdentityNode):
    """The node of a fill: the gradient of what was there is zero."""

    def apply_values(self, grads):
        return [zeros(self._out_specs[0])]

    def apply_tensors(self, grads):
        return [Bridge.tensor(zeros(self._out_specs[0]), None, self)]


@op(name="_fill", namespaces=("_private",), node="FillBackward3")
def _fill(input, other):
    """What ``fill_`` writes: the other tensor's one element everywhere."""
    return machinery._broadcast(machinery._cast(other, input.dtype), input.shape)


@composite(namespaces=("Tensor",))
def fill_(self, value):
    """Write ``value``, a number or 0-dim tensor, everywhere."""
    if isinstance(value, Tensor):
        if value._spec.ndim:
            raise RuntimeError(
                f"fill_ only supports 0-dimension value tensor but got tensor with {value._spec.ndim} dimensions."
            )
        tracked = threads.grad_enabled and (self.requires_grad or value.requires_grad)
        source = value_of(value).array
        if tracked or source is None or self._storage.device is not CPU:
            if value._storage is self._storage:  # which is allowed here
                value = value.clone()
            return machinery.call_inplace(_fill.operator, (self, value), (None, (), None))
        machinery.check_inplace(self)
        assign(self, concrete(np.full(self._spec.shape, _numpy_cast(np.asarray(source), self.dtype))))
        return self
    return _overwrite(self, value, "FillBackward2")


@composite(namespaces=("Tensor", "torch"))
def zero_(self):
    """Write zero everywhere."""
    return _overwrite(self, 0, "ZeroBackward0")


@composite(namespaces=("torch", "Tensor"))
def detach_(self):
    """Take this tensor off the tape, making it a leaf."""
    if self._base_tensor is not None:
        raise RuntimeError(
            "Can't detach views in-place. Use detach() instead. If you are using DistributedDataParallel (DDP) for "
            "training, and gradient_as_bucket_view is set as True, gradients are views of DDP buckets, and hence "
            "detach_() "
            "cannot be called on these gradients. To fix this error, please refer to the Optimizer.zero_grad() "
            "function in "
            "torch/optim/optimizer.py as the solution."
        )
    self._edge, self._requires_grad = None, False
    return self


@composite(namespaces=("torch",))
def detach(input):
    """A tensor of the same elements, sharing memory, without history."""
    return detached(input)


@composite(namespaces=("Tensor",))
def set_(self, source=None, storage_offset=0, size=None, stride=None):
    """Make this tensor share the storage, size and strides of ``source``."""
    if source is None:
        source = wrap(concrete(np.zeros(0, self._spec.dtype)), self._storage.device)
    if not isinstance(source, Tensor):
        from torchlike._storage.layout import tensor_on

        untyped = getattr(source, "_untyped_storage", source)
        if size is None:
            size, stride = (untyped.nbytes() // self.itemsize,), (1,)
        source = tensor_on(untyped, self.dtype, storage_offset, size, stride)
    elif size is not None:
        source = source.as_strided(size, stride, storage_offset)
    if source.dtype is not self.dtype:
        raise RuntimeError(f"Could not set tensor of type {source.dtype} to a tensor of type {self.dtype}")
    self._storage, self._spec, self._view = source._storage, source._spec, source._view
    return self


@composite(namespaces=("Tensor",))
def resize_(self, *sizes, memory_format=None):
    """Give this tensor another shape; elements are kept in order, new ones are zeros."""
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = sizes[0]
    if self.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    shape = tuple(int(n) for n in sizes)
    flat = host(value_of(self)).reshape(-1)
    n = int(np.prod(shape, dtype=np.int64))
    array = np.zeros(n, self._spec.dtype)
    array[: min(n, flat.size)] = flat[:n]
    self._storage.value = concrete(array.reshape(shape))
    self._storage.writes += 1
    self._storage.host_array = None
    self._view, self._spec = None, self._storage.value.spec
    return self


@composite(namespaces=("Tensor",))
def data_ptr(self):
    """A number that tells where the first element is: the same for tensors that share memory, zero where empty."""
    if not self._spec.numel:
        return 0
    return id(self._storage) * 16 + self.storage_offset() * self._spec.dtype.itemsize


@composite()
def is_same_size(input, other):
    """Whether both tensors have the same shape."""
    return input._spec.shape == other._spec.shape


@composite(namespaces=("Tensor",))
def is_set_to(self, tensor):
    """Whether both tensors show the same elements of the same storage in the same way."""
    return (
        self._storage is tensor._storage
        and self._spec is tensor._spec
        and self.storage_offset() == tensor.storage_offset()
        and strides_of(self) == strides_of(tensor)
    )


@composite()
def resolve_conj(input):
    """The tensor; conjugation is never left pending here."""
    return input


@composite()
def resolve_neg(input):
    """The tensor; negation is never left pending here."""
    return input


@composite()
def is_conj(input):
    """Whether conjugation is pending: never, here."""
    return False


@composite()
def is_neg(input):
    """Whether negation is pending: never, here."""
    return False
