"""From a list of samples to a batch: tensors, arrays and numbers are stacked, containers are kept.

Everything here runs on NumPy; ``stack`` has the arithmetic of memory.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import torchlike as torch
from torchlike._tensor import dtypes
from torchlike._tensor.tensor import Tensor, from_array

from .containers import is_namedtuple, like_mapping, like_sequence
from .stack import stack_arrays, stack_tensors

__all__ = ["collate", "default_collate", "default_collate_fn_map", "default_convert"]

CollateMap = dict["type | tuple[type, ...]", Callable]

#: Type codes of NumPy's strings and objects, which no tensor holds.
np_str_obj_array_pattern = re.compile(r"[SaUO]")

default_collate_err_msg_format = (
    "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
)
NESTED = (
    "Batches of nested tensors are not currently supported by the default collate_fn; "
    "please provide a custom collate_fn to handle them appropriately."
)
SPARSE = (
    "Batches of sparse tensors are not currently supported by the default collate_fn; "
    "please provide a custom collate_fn to handle them appropriately."
)


def default_convert(data: Any) -> Any:
    """Turn the NumPy arrays and scalars in a sample into tensors; leave everything else as it is.

    This is what `DataLoader` does to samples when batching is off.

    Args:
        data: an array, or containers of arrays in any depth. Tuples come back as lists, named tuples as themselves.

    >>> default_convert({"a": np.array([0, 1]), "b": (2, "c")})
    {'a': tensor([0, 1]), 'b': [2, 'c']}
    """
    kind = type(data)
    if isinstance(data, Tensor):
        return data
    if kind.__module__ == "numpy" and kind.__name__ not in ("str_", "string_"):
        if kind is np.ndarray and np_str_obj_array_pattern.search(data.dtype.str) is not None:
            return data
        return torch.as_tensor(data)
    if isinstance(data, Mapping):
        return like_mapping(data, {key: default_convert(data[key]) for key in data})
    if is_namedtuple(data):
        return kind(*(default_convert(item) for item in data))
    if isinstance(data, tuple):
        return [default_convert(item) for item in data]
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return like_sequence(data, [default_convert(item) for item in data])
    return data


def collate(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Any:
    """Gather a list of samples into one batch, by a table of functions for the types of the samples' leaves.

    Args:
        batch: non-empty list of samples of one structure.
        collate_fn_map: function for each type, called as ``fn(batch, collate_fn_map=...)``. The exact type of the first
            sample is looked up first; then the first entry of which it is an instance.

    Returns:
        What the function returns; or a mapping, sequence or named tuple of batches for samples that are such. Samples
        that are tuples give a list.

    Raises:
        TypeError: a leaf's type is not in the table.
        RuntimeError: sequences of different lengths.

    >>> collate([(1, 2), (3, 4)], collate_fn_map={int: lambda batch, **_: sum(batch)})
    [4, 6]
    """
    first = batch[0]
    kind = type(first)
    if collate_fn_map is not None:
        function = _function_for(first, collate_fn_map)
        if function is not None:
            return function(batch, collate_fn_map=collate_fn_map)
    if isinstance(first, Mapping):
        columns = {key: collate([sample[key] for sample in batch], collate_fn_map=collate_fn_map) for key in first}
        return like_mapping(first, columns)
    if is_namedtuple(first):
        return kind(*(collate(column, collate_fn_map=collate_fn_map) for column in zip(*batch)))
    if isinstance(first, Sequence):
        length = len(first)
        if any(len(sample) != length for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        contents = [collate(column, collate_fn_map=collate_fn_map) for column in zip(*batch)]
        return contents if isinstance(first, tuple) else like_sequence(first, contents)
    raise TypeError(default_collate_err_msg_format.format(kind))


def _function_for(sample: Any, table: CollateMap) -> Callable | None:
    function = table.get(type(sample))
    if function is not None:
        return function
    for kind, function in table.items():
        if isinstance(sample, kind):
            return function
    return None


def collate_tensor_fn(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Tensor:
    """Stack tensors along a new first dimension."""
    first = batch[0]
    if first.is_nested:
        raise RuntimeError(NESTED)
    if first.layout is not torch.strided:
        raise RuntimeError(SPARSE)
    array = stack_tensors(batch) if type(first) is Tensor else None
    return torch.stack(batch, 0) if array is None else from_array(array)


def collate_numpy_array_fn(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Any:
    """Stack NumPy arrays into a tensor with a new first dimension."""
    first = batch[0]
    if np_str_obj_array_pattern.search(first.dtype.str) is not None:
        raise TypeError(default_collate_err_msg_format.format(first.dtype))
    if (
        collate_fn_map is not None
        and collate_fn_map.get(Tensor) is collate_tensor_fn
        and first.dtype in dtypes.BY_NUMPY
        and all(
            isinstance(item, np.ndarray) and item.dtype == first.dtype and item.shape == first.shape for item in batch
        )
    ):
        return from_array(stack_arrays(batch))
    return collate([torch.as_tensor(item) for item in batch], collate_fn_map=collate_fn_map)


def collate_numpy_scalar_fn(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Tensor:
    """NumPy scalars as a one-dimensional tensor."""
    kind = type(batch[0])
    if np.dtype(kind) in dtypes.BY_NUMPY and all(type(item) is kind for item in batch):
        return from_array(np.array(batch))
    return torch.as_tensor(batch)


def collate_float_fn(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Tensor:
    """Python floats as a one-dimensional tensor of float64."""
    return from_array(np.array(array("d", batch)))


def collate_int_fn(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Tensor:
    """Python integers, or bools, as a one-dimensional tensor of int64, or bool."""
    kinds = set(map(type, batch))
    try:
        if kinds == {int}:
            return from_array(np.array(batch, np.int64))
        if kinds == {bool}:
            return from_array(np.array(batch, np.bool_))
    except OverflowError:
        pass
    return torch.tensor(batch)


def collate_str_fn(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Any:
    """Strings stay a list."""
    return batch


#: What `default_collate` does with each type of leaf. Adding to it extends `default_collate`.
default_collate_fn_map: CollateMap = {
    Tensor: collate_tensor_fn,
    np.ndarray: collate_numpy_array_fn,
    (np.bool_, np.number, np.object_): collate_numpy_scalar_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}
_ORIGINAL_MAP = dict(default_collate_fn_map)


def default_collate(batch: Any) -> Any:
    """Gather samples into a batch, as `DataLoader` does by default.

    Tensors are stacked along a new first dimension; NumPy arrays, floats (as float64) and integers (as int64) become
    tensors; strings and bytes stay lists; mappings, named tuples and sequences keep their type around batches of their
    items, only tuples become lists. Further types may be added to ``default_collate_fn_map``.

    Args:
        batch: non-empty list of samples of one structure.

    Raises:
        TypeError: a leaf is of none of these types.
        RuntimeError: shapes, or lengths of sequences, differ.

    >>> default_collate([0, 1, 2, 3])
    tensor([0, 1, 2, 3])
    >>> default_collate([{"A": 0, "B": (1, "x")}, {"A": 100, "B": (100, "y")}])
    {'A': tensor([  0, 100]), 'B': [tensor([  1, 100]), ('x', 'y')]}
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)


def is_plain(collate_fn: Any) -> bool:
    """Whether ``collate_fn`` is `default_collate` with nothing added to its table."""
    return collate_fn is default_collate and default_collate_fn_map == _ORIGINAL_MAP
