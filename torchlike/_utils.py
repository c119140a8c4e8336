"""Helpers that torch keeps under ``torch._utils``."""

from __future__ import annotations

import copy
import copyreg
import sys
import traceback
import warnings
from collections import OrderedDict
from typing import Any, NoReturn

import torchlike as torch

__all__ = ["ExceptionWrapper", "KeyErrorMessage"]


class KeyErrorMessage(str):
    """A message that is its own ``repr``, because `KeyError` shows the ``repr`` of its argument."""

    __slots__ = ()

    def __repr__(self) -> str:
        return self


class ExceptionWrapper:
    """An exception with its traceback as text, to be raised again in another thread or process.

    Args:
        exc_info: the triple of ``sys.exc_info()``, that of the exception being handled by default.
        where: where it was caught, for the message (default: ``"in background"``).
    """

    def __init__(self, exc_info: tuple | None = None, where: str = "in background") -> None:
        # Only text is kept of the traceback: its frames would hold this object, and it them.
        exc_info = sys.exc_info() if exc_info is None else exc_info
        self.exc_type: Any = exc_info[0]
        self.exc_msg = "".join(traceback.format_exception(*exc_info))
        self.where = where

    def reraise(self) -> NoReturn:
        """Raise an exception of the same type whose message holds the original traceback.

        A type that cannot be made from a message gives a RuntimeError.
        """
        message = f"Caught {self.exc_type.__name__} {self.where}.\nOriginal {self.exc_msg}"
        if self.exc_type is KeyError:
            message = KeyErrorMessage(message)
        elif getattr(self.exc_type, "message", None):
            raise self.exc_type(message=message)
        try:
            exception = self.exc_type(message)
        except Exception:
            raise RuntimeError(message) from None
        raise exception


# Rebuilding tensors. Files name these functions, so their names and arguments are part of the format.


def _restored_device(device: Any) -> Any:
    """Where a tensor goes whose device is not that of a storage, during a ``torch.load`` with ``map_location``."""
    from torchlike._serialization.config import local

    place = local.map_location
    if place is None:
        return device
    if isinstance(place, dict):
        return place.get(device, device)
    if isinstance(place, (str, torch.device)):
        return place
    if not callable(place):
        raise AssertionError(f"expected callable map_location, got {type(place).__name__}")
    raise RuntimeError(
        "Callable map_location not supported with _rebuild_wrapper_subclass or _rebuild_device_tensor_from_numpy"
    )


def _set_requires_grad(tensor: Any, requires_grad: Any) -> None:
    if type(requires_grad) is not bool:
        raise RuntimeError("requires_grad must be a bool")
    tensor.requires_grad = requires_grad


def _rebuild_tensor(storage: Any, storage_offset: Any, size: Any, stride: Any) -> Any:
    """A tensor of the type of ``storage``, a typed storage, that shows part of it."""
    from torchlike._storage.layout import tensor_on

    dtype = storage.dtype
    return tensor_on(storage._untyped_storage, dtype, storage_offset, size, stride)


def get_tensor_metadata(tensor: Any) -> dict[str, bool]:
    """The marks that files keep of a tensor besides its layout."""
    from torchlike._storage.layout import metadata_of

    if not isinstance(tensor, torch.Tensor):
        raise AssertionError(f"expected torch.Tensor, got {type(tensor).__name__}")
    return metadata_of(tensor) or {}


def set_tensor_metadata(tensor: Any, metadata: dict[str, bool]) -> None:
    """Give a tensor the marks that `get_tensor_metadata` found."""
    from torchlike._storage.layout import mark

    if not isinstance(metadata, dict):
        raise AssertionError(f"expected dict, got {type(metadata).__name__}")
    if not isinstance(tensor, torch.Tensor):
        raise AssertionError(f"expected torch.Tensor, got {type(tensor).__name__}")
    mark(tensor, metadata)


def _rebuild_tensor_v2(
    storage: Any,
    storage_offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any,
    backward_hooks: Any,
    metadata: Any = None,
) -> Any:
    """`_rebuild_tensor` with what else there is to a tensor."""
    tensor = _rebuild_tensor(storage, storage_offset, size, stride)
    _set_requires_grad(tensor, requires_grad)
    if metadata:
        set_tensor_metadata(tensor, metadata)
    return tensor


def _rebuild_tensor_v3(
    storage: Any, storage_offset: Any, size: Any, stride: Any, requires_grad: Any, backward_hooks: Any, dtype: Any,
    metadata: Any = None,
) -> Any:  # fmt: skip
    """`_rebuild_tensor_v2` for a type that has no storage class: ``storage`` is one of bytes."""
    from torchlike._storage.layout import tensor_on

    if not isinstance(dtype, torch.dtype):
        raise TypeError(f"empty(): argument 'dtype' must be torch.dtype, not {type(dtype).__name__}")
    tensor = tensor_on(storage._untyped_storage, dtype, storage_offset, size, stride)
    _set_requires_grad(tensor, requires_grad)
    if metadata:
        set_tensor_metadata(tensor, metadata)
    return tensor


def _rebuild_parameter(data: Any, requires_grad: Any, backward_hooks: Any) -> Any:
    """A parameter of the tensor ``data``."""
    return torch.nn.Parameter(data, requires_grad)


def _rebuild_parameter_with_state(data: Any, requires_grad: Any, backward_hooks: Any, state: Any) -> Any:
    """A parameter of the tensor ``data`` with the attributes in ``state``."""
    return _set_obj_state(torch.nn.Parameter(data, requires_grad), state)


def _rebuild_from_type(func: Any, type: Any, args: Any, dict: Any) -> Any:
    """A tensor of a subclass, from files of early versions."""
    if type is torch.Tensor:
        return func(*args)
    made = func(*args).as_subclass(type)
    made.__dict__.update(dict)
    return made


def _rebuild_from_type_v2(func: Any, new_type: Any, args: Any, state: Any) -> Any:
    """A tensor with attributes or of a subclass: what ``func(*args)`` makes, with the state ``state``."""
    made = func(*args)
    if type(made) is not new_type:
        made = made.as_subclass(new_type)
    own = getattr(type(made), "__setstate__", None)
    if own is not None and own is not getattr(torch.Tensor, "__setstate__", None):
        made.__setstate__(state)
        return made
    return _set_obj_state(made, state)


def _rebuild_device_tensor_from_cpu_tensor(data: Any, dtype: Any, device: Any, requires_grad: Any) -> Any:
    """A tensor on a device whose tensors are saved by way of the host."""
    tensor = data.to(dtype=dtype, device=_restored_device(device))
    _set_requires_grad(tensor, requires_grad)
    return tensor


def _rebuild_device_tensor_from_numpy(data: Any, dtype: Any, device: Any, requires_grad: Any) -> Any:
    """A tensor on a device whose tensors are saved as NumPy arrays."""
    return _rebuild_device_tensor_from_cpu_tensor(torch.from_numpy(data), dtype, device, requires_grad)


_rebuild_xla_tensor = _rebuild_device_tensor_from_numpy


def _rebuild_meta_tensor_no_storage(dtype: Any, size: Any, stride: Any, requires_grad: Any) -> Any:
    """A tensor without elements."""
    return torch.empty_strided(size, stride, dtype=dtype, device="meta", requires_grad=requires_grad)


def _rebuild_wrapper_subclass(
    cls: Any, dtype: Any, size: Any, stride: Any, storage_offset: Any, layout: Any, device: Any, requires_grad: Any
) -> Any:
    """A tensor of a subclass that wraps others."""
    tensor_class: Any = torch.Tensor
    return tensor_class._make_wrapper_subclass(
        cls, size, strides=stride, dtype=dtype, storage_offset=storage_offset, layout=layout,
        device=_restored_device(device), requires_grad=requires_grad,
    )  # fmt: skip


def _rebuild_nested_tensor(buffer: Any, sizes: Any, strides: Any, storage_offsets: Any) -> Any:
    """A nested tensor of the elements in ``buffer``."""
    return torch._nested_view_from_buffer(buffer, sizes, strides, storage_offsets)


def _rebuild_qtensor(
    storage: Any,
    storage_offset: Any,
    size: Any,
    stride: Any,
    quantizer_params: Any,
    requires_grad: Any,
    backward_hooks: Any,
) -> Any:
    """RuntimeError: quantized types do not exist here."""
    raise RuntimeError(f"Can't deserialize quantized tensor with qscheme {quantizer_params[0]}")


_sparse_tensors_to_validate: list[Any] = []


def _validate_loaded_sparse_tensors() -> None:
    """Check the sparse tensors that were rebuilt, where the user asks for such checks, once their storages are read."""
    rebuilt = list(_sparse_tensors_to_validate)
    _sparse_tensors_to_validate.clear()
    if not rebuilt or not torch.sparse.check_sparse_tensor_invariants().is_enabled():
        return
    for tensor in rebuilt:
        if tensor.layout is torch.sparse_coo:
            torch._validate_sparse_coo_tensor_args(
                tensor._indices(), tensor._values(), tensor.size(), tensor.is_coalesced(), check_pinning=False
            )
        else:
            by_row = tensor.layout in (torch.sparse_csr, torch.sparse_bsr)
            compressed = tensor.crow_indices() if by_row else tensor.ccol_indices()
            plain = tensor.col_indices() if by_row else tensor.row_indices()
            torch._validate_sparse_compressed_tensor_args(
                compressed, plain, tensor.values(), tensor.size(), tensor.layout, check_pinning=False
            )


def _rebuild_sparse_tensor(layout: Any, data: Any) -> Any:
    """A sparse tensor of the given layout from the tensors in ``data``."""
    if layout is torch.sparse_coo:
        indices, values, size, *coalesced = data
        tensor = torch.sparse_coo_tensor(
            indices, values, size, check_invariants=False, is_coalesced=coalesced[0] if coalesced else None
        )
    elif layout in (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc):
        compressed, plain, values, size = data
        tensor = torch.sparse_compressed_tensor(compressed, plain, values, size, layout=layout, check_invariants=False)
    else:
        raise NotImplementedError(f"rebuilding sparse tensor for layout {layout}")
    _sparse_tensors_to_validate.append(tensor)
    return tensor


# Taking tensors apart


#: The names of a class's slots; the function is there for picklers but not declared.
_slot_names: Any = vars(copyreg)["_slotnames"]


def _get_obj_state(obj: Any) -> Any:
    """The attributes that a program put on a tensor or parameter, as pickles keep them; empty where there are none."""
    kind = type(obj)
    own = getattr(kind, "__getstate__", None)
    if own is not None and own is not getattr(object, "__getstate__", None):
        return obj.__getstate__()
    internal = torch.Tensor.__annotations__
    state = {name: value for name, value in vars(obj).items() if name not in internal}
    slots = {name: getattr(obj, name) for name in _slot_names(kind) if hasattr(obj, name)}
    return (state, slots) if slots else state


def _set_obj_state(obj: Any, state: Any) -> Any:
    """``obj`` with the attributes that `_get_obj_state` found."""
    attributes, slots = state, None
    if isinstance(state, tuple):
        if len(state) != 2:
            raise RuntimeError(f"Invalid serialized state: {state}")
        attributes, slots = state
    for part in (attributes, slots):
        for name, value in (part or {}).items():
            setattr(obj, name, value)
    return obj


def _hooks_of(tensor: Any) -> list[Any]:
    return [hook for hooks in (tensor._hooks, tensor._backward_hooks) for hook in (hooks or {}).values()]


def _warn_if_has_hooks(tensor: Any) -> None:
    """Warn of each backward hook that is not saved with the tensor, unless it says that this is as it should be."""
    for hook in _hooks_of(tensor):
        if not hasattr(hook, "__torch_unserializable__"):
            warnings.warn(
                f"backward hook {hook!r} on tensor will not be "
                "serialized.  If this is expected, you can "
                "decorate the function with @torch.utils.hooks.unserializable_hook "
                "to suppress this warning",
                stacklevel=2,
            )


def reduce_tensor(tensor: Any, protocol: Any) -> tuple[Any, ...]:
    """``Tensor.__reduce_ex__``: the function and arguments that rebuild a tensor."""
    state = _get_obj_state(tensor)
    function, arguments = _reduce_data(tensor)
    if type(tensor) is torch.Tensor and not state:
        return function, arguments
    return _rebuild_from_type_v2, (function, type(tensor), arguments, state)


def _reduce_data(tensor: Any) -> tuple[Any, tuple[Any, ...]]:
    from torchlike._serialization.config import local

    _warn_if_has_hooks(tensor)
    if tensor.device.type == "meta":
        if local.skip_data:
            warnings.warn(
                "Serializing tensors on the meta device under skip_data context manager is a no-op", stacklevel=2
            )
        return _rebuild_meta_tensor_no_storage, (
            tensor.dtype,
            tuple(tensor.size()),
            tensor.stride(),
            tensor.requires_grad,
        )
    if tensor.layout is torch.sparse_coo:
        parts: tuple[Any, ...] = (tensor._indices(), tensor._values(), tensor.size(), tensor.is_coalesced())
        return _rebuild_sparse_tensor, (tensor.layout, parts)
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        parts = (tensor.crow_indices(), tensor.col_indices(), tensor.values(), tensor.size())
        return _rebuild_sparse_tensor, (tensor.layout, parts)
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        parts = (tensor.ccol_indices(), tensor.row_indices(), tensor.values(), tensor.size())
        return _rebuild_sparse_tensor, (tensor.layout, parts)
    return _reduce_strided(tensor)


def _reduce_strided(tensor: Any) -> tuple[Any, tuple[Any, ...]]:
    from torchlike._storage.layout import metadata_of
    from torchlike._storage.typed import TypedStorage, new_dtypes
    from torchlike._storage.untyped import UntypedStorage

    requires_grad = tensor.requires_grad
    metadata = metadata_of(tensor)
    if metadata is None:  # No storage, size and strides show these elements: save a copy.
        tensor, metadata = tensor.detach().clone(), {}
    untyped = UntypedStorage._of(tensor._storage)
    # Sizes and strides are tuples of this tensor's own, as natively, so that the pickle's memo and so the bytes agree.
    size, stride = (*tensor.size(),), (*tensor.stride(),)
    layout = (tensor.storage_offset(), size, stride, requires_grad, OrderedDict())
    marks = (metadata,) if metadata else ()
    if tensor.dtype in new_dtypes():
        return _rebuild_tensor_v3, (untyped, *layout, tensor.dtype, *marks)
    typed = TypedStorage(wrap_storage=untyped, dtype=tensor.dtype, _internal=True)
    return _rebuild_tensor_v2, (typed, *layout, *marks)


def setstate_tensor(tensor: Any, state: tuple[Any, ...]) -> None:
    """``Tensor.__setstate__``: give a tensor the state that early versions pickled.

    Four items are the storage, offset, size and strides of a tensor; five those of a variable, its data first; three
    are whether it requires gradients, something no longer used, and its hooks.
    """
    if not tensor.is_leaf:
        raise RuntimeError("__setstate__ can be only called on leaf Tensors")
    if len(state) == 4:
        tensor.set_(*state)
        return
    if len(state) == 5:
        tensor.data = state[0]
        state = (state[3], state[4], state[2])
    requires_grad, _, tensor._backward_hooks = state
    tensor.requires_grad = requires_grad


_NOT_A_LEAF = (
    "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment.  If you "
    "were attempting to deepcopy a module, this may be because of a torch.nn.utils.weight_norm usage, see "
    "https://github.com/pytorch/pytorch/pull/103001"
)


def deepcopy_tensor(tensor: Any, memo: dict[int, Any]) -> Any:
    """``Tensor.__deepcopy__``: a copy with memory of its own; tensors that shared memory do so as copies as well."""
    if not tensor.is_leaf:
        raise RuntimeError(_NOT_A_LEAF)
    if id(tensor) in memo:
        return memo[id(tensor)]
    with torch.no_grad():
        copied = _copied_with_storage(tensor, memo)
        if type(copied) is not type(tensor):
            copied = copied.as_subclass(type(tensor))
        if tensor.requires_grad:
            copied.requires_grad_()
        if tensor.grad is not None:
            copied.grad = tensor.grad.__deepcopy__(memo)
        _set_obj_state(copied, copy.deepcopy(_get_obj_state(tensor), memo))
    memo[id(tensor)] = copied
    return copied


def _copied_with_storage(tensor: Any, memo: dict[int, Any]) -> Any:
    from torchlike._storage.layout import mark, metadata_of, tensor_on
    from torchlike._storage.untyped import UntypedStorage

    metadata = metadata_of(tensor) if tensor.layout is torch.strided else None
    if metadata is None:
        return tensor.detach().clone()
    storage = UntypedStorage._of(tensor._storage).__deepcopy__(memo)
    copied = tensor_on(storage, tensor.dtype, tensor.storage_offset(), tuple(tensor.size()), tensor.stride())
    mark(copied, metadata)
    return copied
