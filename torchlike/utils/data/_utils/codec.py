"""Messages between the loader and its workers: pickles whose large arrays stay behind in shared memory."""

from __future__ import annotations

import functools
import io
import math
import pickle
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np

import torchlike as torch
from torchlike._tensor import dtypes
from torchlike._tensor.tensor import Tensor, from_array, host_array

from .arena import MIN_BLOCK, Reader, Writer

NON_LEAF = (
    "Cowardly refusing to serialize non-leaf tensor which requires_grad, "
    "since autograd does not support crossing process boundaries.  "
    "If you just want to transfer the data, call detach() on the tensor "
    "before serializing (e.g., putting it on the queue)."
)
_DTYPE_NUMBER = {dtype.np: number for number, dtype in enumerate(dtypes.ALL)}
_PLACEHOLDER = bytearray(1)


class _Pickler(pickle.Pickler):
    # Tensors and arrays of some size become out-of-band buffers of the pickle, in the order in which they are met.

    def __init__(self, file: Any, out_of_band: bool) -> None:
        self.out_of_band = out_of_band
        self.arrays: list[np.ndarray] = []
        self.of_tensors: dict[int, np.ndarray] = {}
        # Not a bound method: a cycle would keep every batch, and its memory, until the garbage collector comes by.
        keep = functools.partial(_keep, self.arrays, self.of_tensors)
        super().__init__(file, pickle.HIGHEST_PROTOCOL, buffer_callback=keep if out_of_band else None)

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if isinstance(obj, Tensor):
            return self._reduce_tensor(obj)
        # What multiprocessing has taught its pickles of this type, which user code may have added to.
        reduce = ForkingPickler._extra_reducers.get(kind)  # type: ignore[attr-defined]
        return NotImplemented if reduce is None else reduce(obj)

    def _reduce_tensor(self, tensor: Tensor) -> Any:
        is_parameter = type(tensor) is not Tensor and _is_parameter(tensor)
        if not (type(tensor) is Tensor or is_parameter) or tensor.layout is not torch.strided:
            return NotImplemented
        if tensor.device.type != "cpu":
            return NotImplemented
        if tensor.requires_grad and not tensor.is_leaf:
            raise RuntimeError(NON_LEAF)
        order = None if tensor.is_contiguous() else _storage_order(tensor)
        array = host_array(tensor.detach())
        if order is not None:
            array = array.transpose(order)
        header = (_DTYPE_NUMBER[array.dtype], array.shape, order, tensor.requires_grad, is_parameter)
        return _rebuild_tensor, (self._contents(array), *header)

    def _contents(self, array: np.ndarray) -> Any:
        if not self.out_of_band or array.nbytes < MIN_BLOCK:
            return bytearray(array.tobytes())
        # The real contents need not be writable, or of a dtype that buffers can express.
        buffer = pickle.PickleBuffer(_PLACEHOLDER)
        self.of_tensors[id(buffer)] = array
        return buffer


def _keep(arrays: list[np.ndarray], of_tensors: dict[int, np.ndarray], buffer: pickle.PickleBuffer) -> bool:
    # Called with each buffer of a pickle; whether it goes into the pickle after all.
    array = of_tensors.pop(id(buffer), None)
    if array is None:
        raw = buffer.raw()
        if raw.nbytes < MIN_BLOCK:
            return True
        array = np.frombuffer(raw, np.uint8)
    arrays.append(array)
    return False


def _is_parameter(tensor: Tensor) -> bool:
    from torchlike.nn.parameter import Parameter

    return type(tensor) is Parameter


def _storage_order(tensor: Tensor) -> list[int] | None:
    # The order of the dimensions in memory, for a tensor that is the permutation of a contiguous one.
    strides, shape = tensor.stride(), tensor.shape
    order = sorted(range(len(shape)), key=lambda dim: (-strides[dim], -shape[dim]))
    expected = math.prod(shape)
    for dim in order:
        if expected == 0:
            return None
        expected //= shape[dim]
        if strides[dim] != expected and shape[dim] != 1:
            return None
    return order


def _rebuild_tensor(
    contents: Any, number: int, shape: tuple, order: list[int] | None, requires_grad: bool, is_parameter: bool
) -> Tensor:
    dtype = dtypes.ALL[number].np
    tensor = from_array(np.ndarray(shape, dtype, buffer=contents) if len(contents) else np.empty(shape, dtype))
    if order is not None:
        tensor = tensor.permute(*(order.index(dim) for dim in range(len(order))))
    if is_parameter:
        return torch.nn.Parameter(tensor, requires_grad=requires_grad)
    return tensor.requires_grad_() if requires_grad else tensor


class Encoder:
    """Objects to messages.

    Args:
        writer: the shared memory for what is large; without it, everything goes into the message.
    """

    def __init__(self, writer: Writer | None = None) -> None:
        self.writer = writer

    def encode(self, obj: Any) -> bytes:
        """One message."""
        file = io.BytesIO()
        writer = self.writer
        pickler = _Pickler(file, out_of_band=writer is not None)
        pickler.dump(obj)
        if writer is None:
            return file.getvalue()
        payload: Any = file.getbuffer()
        blocks = [writer.publish(array) for array in pickler.arrays]
        if len(payload) >= MIN_BLOCK:
            blocks.append(writer.publish(np.frombuffer(payload, np.uint8)))
            payload = None
        else:
            payload = bytes(payload)
        return pickle.dumps((payload, blocks, writer.take_dropped()), pickle.HIGHEST_PROTOCOL)


def decode(message: bytes, reader: Reader | None = None) -> Any:
    """The object of a message of an `Encoder`, whose writer's blocks ``reader`` maps."""
    if reader is None:
        return pickle.loads(message)
    payload, blocks, dropped = pickle.loads(message)
    arrays: list[Any] = [reader.open(offset, nbytes) for offset, nbytes in blocks]
    if payload is None:
        payload = arrays.pop()
    reader.forget(dropped)
    return pickle.loads(payload, buffers=arrays)
