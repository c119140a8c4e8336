"""Making tensors: from Python data and NumPy arrays, filled, in ranges."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from torchlike._engine.value import concrete
from torchlike._ops.op import composite
from torchlike._tensor import device as devices
from torchlike._tensor import dtypes
from torchlike._tensor.dtypes import dtype as Dtype
from torchlike._tensor.size import Size
from torchlike._tensor.tensor import CPU, Tensor, from_array, host_array, wrap
from torchlike._tensor.type_names import type_name


def _place(device: Any) -> Any:
    """The device object that a ``device`` argument names, the default device for None."""
    if device is None:
        device = devices.get_default_device()
        if device is CPU:
            return CPU
    from torchlike._tensor.placement import resolve

    return resolve(device)


def _finish(array: np.ndarray, device: Any, requires_grad: bool = False) -> Tensor:
    """A tensor of ``array`` on ``device``."""
    place = CPU if device is None and devices.get_default_device() is CPU else _place(device)
    if place is CPU:
        t = from_array(array)
    else:
        from torchlike._tensor.placement import put

        t = wrap(concrete(put(array, place)), place)
    if requires_grad:
        if not (t.is_floating_point() or t.is_complex()):
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        t.requires_grad_(True)
    return t


NEGATIVE = "Trying to create tensor with negative dimension {}: {}"


def _shape(size: Sequence[Any], name: str, negative: str = NEGATIVE) -> tuple[int, ...]:
    """The shape given as ``f(2, 3)``, ``f((2, 3))`` or ``f(torch.Size(...))``."""
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        size = size[0]
    shape = []
    for i, n in enumerate(size):
        if type(n) is not int:
            if isinstance(n, (float, str, type(None))):
                kind = type(n).__name__
                found = f", but found element of type {kind} at pos {i}" if i else f", not {kind}"
                raise TypeError(f"{name}(): argument 'size' (position 1) must be tuple of ints{found}")
            n = n.__index__()
        shape.append(n)
    if any(n < 0 for n in shape):
        raise RuntimeError(negative.format(min(shape), shape))
    return tuple(shape)


# From data.


def _of_nested(data: Any) -> np.ndarray:
    """Nested sequences of numbers, arrays and tensors as an array of torch's inferred type."""
    try:
        array = np.array(data)
    except (ValueError, TypeError):
        array = None
    if array is None or array.dtype == object or _holds_tensors(data):
        _check_regular(data)
        array = np.array(_plain(data))
        if array.dtype == object:
            odd = _first_odd(data)
            if odd == "int":
                raise ValueError("Overflow when unpacking long long")
            raise RuntimeError(f"Could not infer dtype of {odd}")
    if array.dtype == np.uint64 and not _has_numpy_leaf(data):
        raise ValueError("Overflow when unpacking long long")
    if array.dtype.kind in "US":
        raise ValueError("too many dimensions 'str'")
    return array


def _holds_tensors(data: Any) -> bool:
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return isinstance(data, Tensor)


def _plain(data: Any) -> Any:
    if isinstance(data, Tensor):
        return host_array(data) if data._spec.ndim else data.item()
    if isinstance(data, (list, tuple)) or (
        hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, (str, dict, np.ndarray))
    ):
        return [_plain(x) for x in data]
    return data


def _first_odd(data: Any) -> str:
    while isinstance(data, (list, tuple)):
        odd = [x for x in data if not isinstance(x, (bool, int, float, complex, np.generic))]
        data = odd[0] if odd else data[0]
    return type(data).__name__


def _check_regular(data: Any) -> None:
    """ValueError in torch's words where nested sequences differ in length."""
    shape, inner = [], data
    while isinstance(inner, (list, tuple)):
        shape.append(len(inner))
        if not inner:
            break
        inner = inner[0]

    def visit(x, dim):
        if dim == len(shape):
            if isinstance(x, (list, tuple)):
                raise TypeError(f"'{type(x).__name__}' object cannot be interpreted as an integer")
            return
        if isinstance(x, (Tensor, np.ndarray)):
            return
        if not isinstance(x, (list, tuple)):
            raise TypeError("not a sequence")
        if len(x) != shape[dim]:
            raise ValueError(f"expected sequence of length {shape[dim]} at dim {dim} (got {len(x)})")
        for y in x:
            visit(y, dim + 1)

    visit(data, 0)


def _array_of(data: Any, dtype: Dtype | None) -> np.ndarray:
    """A new array of ``data``: of ``dtype``, or of the type torch infers."""
    if isinstance(data, Tensor):
        array = host_array(data)
        return array.astype(dtype.np) if dtype is not None else np.array(array)
    if isinstance(data, (np.ndarray, np.generic)):
        array = np.asarray(data)
        if dtype is None:
            dtypes.from_numpy_dtype(array.dtype)
            return np.array(array, order="C")
        return _converted(array, dtype)
    if not isinstance(data, (bool, int, float, complex, list, tuple)) and hasattr(data, "__array__"):
        return _array_of(np.asarray(data), dtype)
    if isinstance(data, (str, dict, set)) or data is None:
        if isinstance(data, str):
            raise TypeError("new(): invalid data type 'str'")
        raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")
    if not isinstance(data, (bool, int, float, complex, list, tuple)) and not hasattr(data, "__getitem__"):
        if not hasattr(data, "__float__"):
            raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")
        data = float(data)
    array = _of_nested(data)
    if dtype is not None:
        if not _has_numpy_leaf(data):
            _check_range(array, dtype)
        return _converted(array, dtype)
    if array.size == 0 and array.dtype == np.float64:
        return array.astype(dtypes.get_default_dtype().np)
    if array.dtype.kind == "f" and not _has_numpy_leaf(data):
        return array.astype(dtypes.get_default_dtype().np)
    if array.dtype.kind == "c" and not _has_numpy_leaf(data):
        return array.astype(dtypes.get_default_dtype().to_complex().np)
    return array


def _check_range(array: np.ndarray, dtype: Dtype) -> None:
    """RuntimeError for a Python integer that the dtype cannot hold; a negative one may wrap around."""
    if dtype.np.kind in "iu" and array.dtype.kind in "iu" and array.size:
        low, high = np.iinfo(dtype.np).min, np.iinfo(dtype.np).max
        if int(array.max()) > high or int(array.min()) < (low or -high):
            raise RuntimeError(f"value cannot be converted to type {dtype.np.name} without overflow")


def _converted(array: np.ndarray, dtype: Dtype) -> np.ndarray:
    if array.dtype.kind == "c" and not dtype.is_complex:
        array = array.real
    with np.errstate(all="ignore"):
        return array.astype(dtype.np)


def _has_numpy_leaf(data: Any) -> bool:
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return isinstance(data, (np.ndarray, np.generic, Tensor))


@composite(namespaces=("torch",))
def tensor(data, *, dtype=None, device=None, requires_grad=False, pin_memory=False):
    """A tensor that holds a copy of ``data``: a number, nested sequences of numbers, a NumPy array or a tensor.

    ``dtype`` is inferred where it is not given: floats take the default dtype, integers int64. The result is a leaf.
    """
    if isinstance(data, Tensor):
        warnings.warn(
            "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
            "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).",
            UserWarning,
            stacklevel=2,
        )
        device = data.device if device is None else device
    return _finish(_array_of(data, dtype), device, requires_grad)


def _scalar_tensor(number: Any, device: Any) -> Tensor:
    """A 0-dim tensor of a number, in the type that the number alone would take."""
    return _finish(np.array(number, dtypes.of_number(number).np), device)


Tensor._scalar_tensor = staticmethod(_scalar_tensor)


@composite(namespaces=("torch",))
def scalar_tensor(s, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False):
    """A 0-dim tensor of the number ``s``."""
    return _finish(np.array(s, (dtype or dtypes.get_default_dtype()).np), device, requires_grad)


@composite(namespaces=("torch",))
def as_tensor(data, dtype=None, device=None):
    """``data`` as a tensor, sharing memory and history where it already is one of this dtype and device."""
    if isinstance(data, Tensor):
        return data.to(device=device or data.device, dtype=dtype or data.dtype)
    if isinstance(data, np.ndarray) and (dtype is None or dtype.np == data.dtype):
        return from_numpy(data).to(_place(device))
    return tensor(data, dtype=dtype, device=device)


@composite(namespaces=("torch",))
def asarray(obj, *, dtype=None, device=None, copy=None, requires_grad=False):
    """``obj`` as a tensor; ``copy`` True always copies, False never does (ValueError where it would have to)."""
    if copy is True:
        result = obj.clone() if isinstance(obj, Tensor) else tensor(obj, dtype=dtype, device=device)
        result = result.to(device=device or result.device, dtype=dtype or result.dtype)
    else:
        result = as_tensor(obj, dtype=dtype, device=device)
        shares = isinstance(obj, (Tensor, np.ndarray)) and (dtype is None or result.dtype is dtype)
        if copy is False and not shares:
            raise ValueError("can't alias arbitrary sequence into a tensor.")
    if isinstance(obj, Tensor) and requires_grad and result is obj:
        return result.detach().requires_grad_()
    return result.requires_grad_() if requires_grad else result


@composite(namespaces=("torch",))
def from_numpy(ndarray):
    """A tensor that shares memory with a NumPy array: each sees what is written to the other."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type_name(ndarray)})")
    dtypes.from_numpy_dtype(ndarray.dtype)
    if any(s < 0 for s in ndarray.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative strides are not "
            "currently supported. (You can probably work around this by making a copy of your array  with "
            "array.copy().) "
        )
    if not ndarray.dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion between byte orders is "
            "currently not supported."
        )
    if not ndarray.flags.writeable:
        warnings.warn(
            "The given NumPy array is not writable, and PyTorch does not support non-writable tensors. This means "
            "writing "
            "to this tensor will result in undefined behavior. You may want to copy the array to protect its data or "
            "make "
            "it writable before converting it to a tensor. This type of warning will be suppressed for the rest of "
            "this "
            "program.",
            UserWarning,
            stacklevel=2,
        )
    return _sharing(ndarray)


def _sharing(array: np.ndarray) -> Tensor:
    """A tensor over the memory of ``array``."""
    if array.flags.c_contiguous:
        value = concrete(array)
        t = wrap(value)
        t._storage.host_array = array
        return t
    from torchlike._tensor.views import AS_STRIDED, View, spec_like

    item = array.itemsize
    strides = tuple(s // item for s in array.strides)
    extent = 1 + sum((n - 1) * s for n, s in zip(array.shape, strides, strict=True)) if array.size else 0
    flat = np.lib.stride_tricks.as_strided(array, (extent,), (item,))
    value = concrete(flat)
    t = wrap(value)
    t._storage.host_array = flat
    spec = spec_like(value.spec, array.shape)
    t._view = View(None, AS_STRIDED, (array.shape, strides, 0), spec, strides, 0, True)
    t._spec = spec
    return t


@composite(namespaces=("torch",))
def frombuffer(buffer, *, dtype, count=-1, offset=0, requires_grad=False):
    """A 1-dim tensor over the bytes of an object with the buffer protocol, from byte ``offset`` on."""
    view = memoryview(buffer)
    size = view.nbytes
    if size == 0:
        raise (
            ValueError("both buffer length (0) and count (-1) must not be 0")
            if count <= 0
            else ValueError(f"both buffer length (0) and count ({count}) must not be 0")
        )
    if not 0 <= offset < size:
        raise ValueError(
            f"offset ({offset} bytes) must be non-negative and no greater than buffer length ({size} bytes) minus 1"
        )
    if count < 0 and (size - offset) % dtype.itemsize:
        raise ValueError(
            f"buffer length ({size - offset} bytes) after offset ({offset} bytes) must be a multiple of element size "
            f"({dtype.itemsize})"
        )
    n = (size - offset) // dtype.itemsize if count < 0 else count
    if offset + n * dtype.itemsize > size:
        raise ValueError(
            f"requested buffer length ({n} * {dtype.itemsize} bytes) after offset ({offset} bytes) must not be greater "
            f"than actual buffer length ({size} bytes)"
        )
    t = _sharing(np.frombuffer(buffer, dtype.np, n, offset))
    return t.requires_grad_() if requires_grad else t


# Filled.


def _dtype_or_default(dtype: Dtype | None) -> Dtype:
    return dtypes.get_default_dtype() if dtype is None else dtype


def _out(out: Tensor, array: np.ndarray, dtype: Dtype | None) -> Tensor:
    from torchlike._ops.op import write_out

    if dtype is not None and dtype is not out.dtype:
        raise RuntimeError(f"dtype {dtype} does not match dtype of out parameter ({out.dtype})")
    write_out(out, from_array(array.astype(out.dtype.np)))
    return out


def _filler(name: str, make: Any, doc: str) -> None:
    def fill(
        *size,
        out=None,
        dtype=None,
        layout=None,
        device=None,
        pin_memory=False,
        requires_grad=False,
        memory_format=None,
        names=None,
        **named,
    ):
        if named:
            size = (named.pop("size"),) if "size" in named else size
            if named:
                raise TypeError(f"{name}() got an unexpected keyword argument '{next(iter(named))}'")
        shape = _shape(size, name, "zeros: Dimension size must be non-negative." if name == "zeros" else NEGATIVE)
        if out is not None:
            return _out(out, make(shape, out.dtype.np), dtype)
        return _finish(make(shape, _dtype_or_default(dtype).np), device, requires_grad)

    fill.__name__ = fill.__qualname__ = name
    fill.__doc__ = doc
    composite(namespaces=("torch",))(fill)

    def fill_like(
        input, *, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None, pin_memory=False
    ):
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}_like(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
        made = make(input._spec.shape, (dtype or input.dtype).np)
        return _finish(made, input.device if device is None else device, requires_grad)

    fill_like.__name__ = fill_like.__qualname__ = f"{name}_like"
    fill_like.__doc__ = f"{doc} The shape, and unless given the dtype and device, are those of ``input``."
    composite(namespaces=("torch",))(fill_like)

    def new_fill(self, *size, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False, **named):
        size = (named.pop("size"),) if "size" in named else size
        shape = _shape(size, f"new_{name}")
        made = make(shape, (dtype or self.dtype).np)
        return _finish(made, self.device if device is None else device, requires_grad)

    new_fill.__name__ = new_fill.__qualname__ = f"new_{name}"
    new_fill.__doc__ = f"{doc} The dtype and device, unless given, are those of this tensor."
    composite(namespaces=("Tensor",))(new_fill)


_filler("zeros", np.zeros, "A tensor of zeros.")
_filler("ones", np.ones, "A tensor of ones.")
_filler("empty", np.zeros, "A tensor whose elements the program will set; they are zeros until then.")


@composite(namespaces=("torch",))
def full(
    size,
    fill_value,
    *,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    pin_memory=False,
    requires_grad=False,
    names=None,
):
    """A tensor of shape ``size`` with ``fill_value`` everywhere; its dtype is the number's unless given."""
    shape = _shape((size,), "full")
    number = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    if out is not None:
        return _out(out, np.full(shape, number, out.dtype.np), dtype)
    kind = dtype or (fill_value.dtype if isinstance(fill_value, Tensor) else dtypes.of_number(number))
    return _finish(np.full(shape, number, kind.np), device, requires_grad)


@composite(namespaces=("torch",))
def full_like(
    input,
    fill_value,
    *,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    memory_format=None,
    pin_memory=False,
):
    """A tensor of ``input``'s shape with ``fill_value`` everywhere."""
    number = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    made = np.full(input._spec.shape, number, (dtype or input.dtype).np)
    return _finish(made, input.device if device is None else device, requires_grad)


@composite(namespaces=("Tensor",))
def new_full(self, size, fill_value, *, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False):
    """A tensor of shape ``size`` with ``fill_value`` everywhere, of this tensor's dtype and device unless given."""
    made = np.full(_shape((size,), "new_full"), fill_value, (dtype or self.dtype).np)
    return _finish(made, self.device if device is None else device, requires_grad)


@composite(namespaces=("Tensor",))
def new_tensor(self, data, *, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False):
    """A tensor that holds a copy of ``data``, of this tensor's dtype and device unless given."""
    return _finish(_array_of(data, dtype or self.dtype), self.device if device is None else device, requires_grad)


@composite(namespaces=("Tensor",))
def new(self, *args, **kwargs):
    """A tensor of this tensor's type, made as ``torch.Tensor(...)`` makes one."""
    return _legacy(args, kwargs, self.dtype)


@composite(namespaces=("torch",))
def empty_strided(size, stride, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
    """A tensor of shape ``size`` whose elements lie ``stride`` apart in memory; they are zeros until set."""
    shape, strides = tuple(size), tuple(stride)
    extent = 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) if math.prod(shape) else 0
    t = _finish(np.zeros(extent, _dtype_or_default(dtype).np), device).as_strided(shape, strides)
    t._base_tensor = None
    return t.requires_grad_() if requires_grad else t


@composite(namespaces=("torch",))
def eye(n, m=None, *, out=None, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False):
    """A matrix of ``n`` rows and ``m`` (or ``n``) columns with ones on the diagonal and zeros elsewhere."""
    for size, name in ((n, "n"), (m or 0, "m")):
        if size < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {size}")
    if out is not None:
        return _out(out, np.eye(n, m, dtype=out.dtype.np), dtype)
    return _finish(np.eye(n, m, dtype=_dtype_or_default(dtype).np), device, requires_grad)


# Ranges.


def _number(x: Any) -> Any:
    return x.item() if isinstance(x, (Tensor, np.generic)) else x


@composite(namespaces=("torch",))
def arange(*args, out=None, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False, **named):
    """``arange(start=0, end, step=1)``: the numbers from ``start`` up to, not including, ``end``.

    The dtype, unless given, is int64 for integers and the default dtype where any of the three is a float.
    """
    if len(args) == 1 and type(args[0]) is int and args[0] >= 0 and dtype is None and out is None and not named:
        return _finish(np.arange(args[0]), device, requires_grad)
    names = ("end",) if len(args) == 1 else ("start", "end", "step")
    given = {"start": 0, "step": 1, **dict(zip(names, args, strict=False)), **named}
    if set(given) != {"start", "end", "step"} or len(args) > 3:
        raise TypeError("arange() received an invalid combination of arguments")
    start, end, step = (_number(given[k]) for k in ("start", "end", "step"))
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if any(isinstance(x, float) and not math.isfinite(x) for x in (start, end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (step > 0 and start > end) or (step < 0 and start < end):
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    if dtype is None:
        dtype = (
            out.dtype
            if out is not None
            else (dtypes.get_default_dtype() if any(isinstance(x, float) for x in (start, end, step)) else dtypes.int64)
        )
    n = math.ceil((end - start) / step)
    if dtype.np.kind in "iu":
        array = (int(start) + np.arange(n, dtype=np.int64) * int(step)).astype(dtype.np)
    else:
        # Each element is start + i * step, computed in double precision as torch's accumulate type is.
        array = (start + np.arange(n, dtype=np.float64) * step).astype(dtype.np)
    if out is not None:
        return _out(out, array, None)
    return _finish(array, device, requires_grad)


@composite(namespaces=("torch",))
def linspace(
    start, end, steps, *, out=None, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False
):
    """``steps`` numbers evenly spaced from ``start`` to ``end``, both included."""
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    array = _linspace(_number(start), _number(end), steps, _dtype_or_default(dtype if out is None else out.dtype).np)
    return _out(out, array, dtype) if out is not None else _finish(array, device, requires_grad)


def _linspace(start: Any, end: Any, steps: int, kind: np.dtype) -> np.ndarray:
    """Counted from both ends, so that the two halves mirror each other, in the result's own precision."""
    if steps == 1:
        return np.array([start], kind)
    work = kind if kind.kind in "fc" and kind.itemsize >= 4 else np.dtype(np.float32)
    if kind.kind in "iu":
        work = np.dtype(np.float64)
    first, last = np.array(start, work), np.array(end, work)
    step = (last - first) / work.type(steps - 1)
    i = np.arange(steps, dtype=np.int64)
    ahead = (first + step * i.astype(work)).astype(work)
    behind = (last - step * (steps - 1 - i).astype(work)).astype(work)
    return np.where(i < steps // 2, ahead, behind).astype(kind)


@composite(namespaces=("torch",))
def logspace(
    start,
    end,
    steps,
    base=10.0,
    *,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    pin_memory=False,
    requires_grad=False,
):
    """``steps`` numbers evenly spaced on a logarithmic scale from ``base**start`` to ``base**end``."""
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    kind = _dtype_or_default(dtype if out is None else out.dtype).np
    exponents = _linspace(_number(start), _number(end), steps, np.dtype(np.float64) if kind.kind in "iu" else kind)
    array = np.power(np.array(base, exponents.dtype), exponents).astype(kind)
    return _out(out, array, dtype) if out is not None else _finish(array, device, requires_grad)


@composite(namespaces=("torch",), name="range")
def _range(start=0, end=None, step=1, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """The numbers from ``start`` to ``end``, both included. Deprecated: use :func:`arange`."""
    warnings.warn(
        "torch.range is deprecated and will be removed in a future release because its behavior is inconsistent with "
        "Python's range builtin. Instead, use torch.arange, which produces values in [start, end).",
        UserWarning,
        stacklevel=2,
    )
    if end is None:
        start, end = 0, start
    n = math.floor((end - start) / step) + 1
    array = (start + np.arange(n) * step).astype(_dtype_or_default(dtype).np)
    return _finish(array, device, requires_grad)


@composite(namespaces=("torch",), name="complex")
def _complex(real, imag, *, out=None):
    """A complex tensor of real and imaginary parts of the same floating-point dtype."""
    from torchlike._ops.complex_numbers import join

    return join(real, imag, out=out)


# The legacy constructors.


def _legacy(args: tuple, kwargs: dict, dtype: Dtype) -> Tensor:
    """``Tensor()``, ``Tensor(2, 3)``, ``Tensor([..])`` in a fixed dtype."""
    device = kwargs.pop("device", None)
    if "size" in kwargs:
        args = (kwargs.pop("size"),)
    if "data" in kwargs:
        args = (kwargs.pop("data"),)
    if kwargs:
        raise TypeError(f"new() got an unexpected keyword argument '{next(iter(kwargs))}'")
    if not args:
        return _finish(np.zeros(0, dtype.np), device)
    if len(args) == 1 and isinstance(args[0], Tensor):
        if args[0].dtype is not dtype:
            return args[0].detach() if dtype is dtypes.get_default_dtype() else args[0].to(dtype)
        return args[0].detach()
    if len(args) == 1 and isinstance(args[0], Size):
        return _finish(np.zeros(args[0], dtype.np), device)
    if len(args) == 1 and not isinstance(args[0], (int, np.integer)):
        if isinstance(args[0], float):
            raise TypeError("new(): data must be a sequence (got float)")
        return _finish(_array_of(args[0], dtype), device)
    return _finish(np.zeros(_shape(args, "new"), dtype.np), device)


def _legacy_constructor(*args: Any, _cls: type | None = None, **kwargs: Any) -> Tensor:
    made = _legacy(args, kwargs, dtypes.get_default_dtype())
    if _cls is None or _cls is Tensor:
        return made
    return as_subclass(made, _cls)


Tensor._legacy_constructor = staticmethod(_legacy_constructor)


@composite(namespaces=("Tensor",))
def as_subclass(self, cls):
    """This tensor as an instance of ``cls``, sharing storage and history."""
    out = object.__new__(cls)
    for name in ("_storage", "_spec", "_view", "_edge", "_base_tensor", "_seen_version"):
        setattr(out, name, getattr(self, name))
    out._requires_grad = self._requires_grad
    if self._requires_grad and self._edge is None:
        out._edge = (self, 0)
    return out


@staticmethod
def _make_subclass(cls, data, require_grad=False, **kwargs):
    """A leaf of class ``cls`` that shares ``data``'s storage."""
    out = object.__new__(cls)
    out._storage, out._spec, out._view = data._storage, data._spec, data._view
    out._requires_grad = bool(require_grad)
    return out


Tensor._make_subclass = _make_subclass
Tensor._legacy = staticmethod(_legacy)
