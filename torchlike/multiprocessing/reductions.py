"""How tensors and storages are pickled for another process: as handles of shared memory.

The other process gets the same memory. A tensor keeps its sizes, strides and offset, and tensors that share a storage
here share one there. Tensors on an accelerator, and those that no strides describe, go by value.
"""

from __future__ import annotations

from multiprocessing import reduction
from typing import Any

import numpy as np

import torchlike as torch
from torchlike._tensor import dtypes, shared
from torchlike._tensor.tensor import Tensor, from_array, host_array, wrap
from torchlike.nn.parameter import Parameter
from torchlike.storage import UntypedStorage

NON_LEAF = (
    "Cowardly refusing to serialize non-leaf tensor which requires_grad, "
    "since autograd does not support crossing process boundaries.  "
    "If you just want to transfer the data, call detach() on the tensor "
    "before serializing (e.g., putting it on the queue)."
)


def reduce_tensor(tensor: Tensor) -> tuple:
    """The reduction of a tensor: its storage is moved to shared memory and stays there.

    Raises:
        RuntimeError: the tensor has a history, which cannot cross to another process.
    """
    if tensor.requires_grad and not tensor.is_leaf:
        raise RuntimeError(NON_LEAF)
    if tensor.layout is not torch.strided:
        return tensor.__reduce_ex__(2)  # type: ignore[return-value]
    kind = (tensor.requires_grad, isinstance(tensor, Parameter))
    view = tensor._view
    if tensor.device.type != "cpu" or not (view is None or view.dense):
        array = host_array(tensor.detach())
        number = dtypes.ALL.index(tensor.dtype)
        return rebuild_tensor_by_value, (array.tobytes(), number, array.shape, str(tensor.device), *kind)
    base = tensor._storage
    file = shared.share(base)
    shape, dtype = base.value.spec.shape, dtypes.ALL.index(dtypes.from_numpy_dtype(base.value.spec.dtype))
    geometry = None if view is None else (tuple(tensor.shape), tensor.stride(), tensor.storage_offset())
    return rebuild_tensor, (file, shape, dtype, geometry, *kind)


def rebuild_tensor(
    file: shared.SharedFile, shape: tuple, dtype: int, geometry: tuple | None, requires_grad: bool, is_parameter: bool
) -> Tensor:
    """The tensor over the memory of ``file``: all of it, or the part of a given size, stride and offset."""
    storage = shared.opened(file, shape, dtypes.ALL[dtype].np)
    tensor = wrap(storage.value)
    tensor._storage = storage
    if geometry is not None:
        tensor = tensor.as_strided(*geometry)
    return _as_kind(tensor, requires_grad, is_parameter)


def rebuild_tensor_by_value(
    contents: bytes, dtype: int, shape: tuple, device: str, requires_grad: bool, is_parameter: bool
) -> Tensor:
    """The tensor of its bytes."""
    array = np.ndarray(shape, dtypes.ALL[dtype].np, buffer=bytearray(contents) or bytearray(1))
    tensor = from_array(array)
    return _as_kind(tensor if device == "cpu" else tensor.to(device), requires_grad, is_parameter)


def _as_kind(tensor: Tensor, requires_grad: bool, is_parameter: bool) -> Tensor:
    if is_parameter:
        return Parameter(tensor, requires_grad=requires_grad)
    return tensor.detach().requires_grad_() if requires_grad else tensor


def reduce_storage(storage: Any) -> tuple:
    """The reduction of an untyped storage.

    Raises:
        RuntimeError: it is on an accelerator, or has no memory.
    """
    if storage.device.type == "cuda":
        raise RuntimeError("Cannot pickle CUDA storage; try pickling a CUDA tensor instead")
    if storage.device.type == "meta":
        raise RuntimeError("Cannot pickle meta storage; try pickling a meta tensor instead")
    base = storage._storage
    file = shared.share(base)
    spec = base.value.spec
    return rebuild_storage, (type(storage), file, spec.shape, dtypes.ALL.index(dtypes.from_numpy_dtype(spec.dtype)))


def rebuild_storage(cls: type, file: shared.SharedFile, shape: tuple, dtype: int) -> Any:
    """The untyped storage over the memory of ``file``."""
    return rebuild_tensor(file, shape, dtype, None, False, False).untyped_storage()


def init_reductions() -> None:
    """Teach ``multiprocessing`` the reductions."""
    for kind in (Tensor, Parameter):
        reduction.register(kind, reduce_tensor)
    reduction.register(UntypedStorage, reduce_storage)
