"""Sequences of different lengths: padded to one length, or packed without padding.

A `PackedSequence` of sequences sorted by decreasing length holds first their first elements, then their second ones,
and so on: with sequences ``abc`` and ``d``, the data ``a d b c`` and the batch sizes ``2 1 1``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Self

import numpy as np

import torchlike as torch
from torchlike._tensor.tensor import Tensor, from_array, host_array

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]

BATCH_SIZES_ON_CPU = (
    "batch_sizes should always be on CPU. "
    "Instances of PackedSequence should never be created manually. "
    "They should be instantiated by functions like pack_sequence "
    "and pack_padded_sequences in nn.utils.rnn. "
    "https://pytorch.org/docs/stable/nn.html#torch.nn.utils.rnn.pack_sequence"
)
NOT_SORTED = (
    "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. "
    "You can pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement "
    "if you do not need ONNX exportability."
)
EMPTY_SEQUENCE = "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"


class PackedSequence_(NamedTuple):
    """The fields of a `PackedSequence`."""

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


def bind(optional: Any, fn: Callable[[Any], Any]) -> Any:
    """``fn(optional)``, or ``None`` for ``None``."""
    return None if optional is None else fn(optional)


class PackedSequence(PackedSequence_):
    """Sequences packed without padding, made by `pack_padded_sequence` or `pack_sequence`.

    Attributes:
        data: all elements, time by time, of shape (elements, ...).
        batch_sizes: how many sequences reach each time, int64, on the CPU.
        sorted_indices: order of decreasing length among the original sequences; ``None`` if they were sorted.
        unsorted_indices: the inverse permutation.
    """

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> Self:
        return super().__new__(cls, *_packed_sequence_init_args(data, batch_sizes, sorted_indices, unsorted_indices))

    def pin_memory(self) -> Self:
        """The sequences in page-locked memory."""
        return type(self)(
            self.data.pin_memory(),
            self.batch_sizes,
            bind(self.sorted_indices, lambda t: t.pin_memory()),
            bind(self.unsorted_indices, lambda t: t.pin_memory()),
        )

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """The sequences on another device or in another type; the arguments are those of `torch.Tensor.to`."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self

        def move(indices: Tensor) -> Tensor:
            return indices.to(data.device)

        return type(self)(data, self.batch_sizes, bind(self.sorted_indices, move), bind(self.unsorted_indices, move))

    def _on(self, device: str, args: tuple, kwargs: dict[str, Any]) -> Self:
        # The arguments may name a device of this kind themselves, such as "cuda:1".
        example = torch.tensor((), dtype=self.data.dtype, device=self.data.device).to(*args, **kwargs)
        if example.device.type != device:
            kwargs["device"] = device
        return self.to(*args, **kwargs)

    def cuda(self, *args: Any, **kwargs: Any) -> Self:
        """The sequences on the accelerator."""
        return self._on("cuda", args, kwargs)

    def cpu(self, *args: Any, **kwargs: Any) -> Self:
        """The sequences on the CPU."""
        return self._on("cpu", args, kwargs)

    def double(self) -> Self:
        """The sequences as ``float64``."""
        return self.to(dtype=torch.float64)

    def float(self) -> Self:
        """The sequences as ``float32``."""
        return self.to(dtype=torch.float32)

    def half(self) -> Self:
        """The sequences as ``float16``."""
        return self.to(dtype=torch.float16)

    def long(self) -> Self:
        """The sequences as ``int64``."""
        return self.to(dtype=torch.int64)

    def int(self) -> Self:
        """The sequences as ``int32``."""
        return self.to(dtype=torch.int32)

    def short(self) -> Self:
        """The sequences as ``int16``."""
        return self.to(dtype=torch.int16)

    def char(self) -> Self:
        """The sequences as ``int8``."""
        return self.to(dtype=torch.int8)

    def byte(self) -> Self:
        """The sequences as ``uint8``."""
        return self.to(dtype=torch.uint8)

    @property
    def is_cuda(self) -> bool:
        """Whether the data is on the accelerator."""
        return self.data.is_cuda

    def is_pinned(self) -> bool:
        """Whether the data is in page-locked memory."""
        return self.data.is_pinned()


def _packed_sequence_init_args(
    data: Any,
    batch_sizes: Tensor | None = None,
    sorted_indices: Tensor | None = None,
    unsorted_indices: Tensor | None = None,
) -> tuple[Any, Any, Tensor | None, Tensor | None]:
    """The four fields, out of (data, batch_sizes) given as a pair or apart."""
    if unsorted_indices is None:
        unsorted_indices = invert_permutation(sorted_indices)
    if batch_sizes is None:
        if not (isinstance(data, (list, tuple)) and len(data) == 2):
            raise AssertionError("Expected data to be a list or tuple of length 2")
        data, batch_sizes = data
    elif batch_sizes.device.type != "cpu":
        raise ValueError(BATCH_SIZES_ON_CPU)
    return data, batch_sizes, sorted_indices, unsorted_indices


def _packed_sequence_init(
    data: Tensor,
    batch_sizes: Tensor | None = None,
    sorted_indices: Tensor | None = None,
    unsorted_indices: Tensor | None = None,
) -> PackedSequence:
    return PackedSequence(data, batch_sizes, sorted_indices, unsorted_indices)


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes ``permutation``; ``None`` for ``None``."""
    if permutation is None:
        return None
    positions = torch.arange(0, permutation.numel(), device=permutation.device)
    return torch.empty_like(permutation).scatter_(0, permutation, positions)


def _check_lengths(input: Tensor, lengths: Tensor, batch_size: int) -> list[int]:
    """The lengths as numbers."""
    if input.numel() == 0:
        raise RuntimeError("Cannot pack empty tensors.")
    if lengths.dim() != 1 or lengths.device.type != "cpu":
        raise RuntimeError(
            f"'lengths' argument should be a 1D CPU int64 tensor, but got {lengths.dim()}D {lengths.device} Long tensor"
        )
    if lengths.size(0) != batch_size:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {lengths.size(0)} (batch_size={batch_size})"
        )
    numbers = lengths.tolist()
    if numbers[-1] <= 0:
        raise RuntimeError(EMPTY_SEQUENCE)
    if any(later > earlier for earlier, later in itertools.pairwise(numbers)):
        raise RuntimeError(NOT_SORTED)
    return numbers


def _batch_sizes(lengths: list[int]) -> list[int]:
    """How many of the sequences, sorted by decreasing length, reach each time."""
    sizes = []
    reaching = len(lengths)
    for time in range(lengths[0]):
        while lengths[reaching - 1] <= time:
            reaching -= 1
        sizes.append(reaching)
    return sizes


def pack_padded_sequence(
    input: Tensor, lengths: Tensor | list[int], batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack padded sequences.

    Args:
        input: of shape (time, batch, ...), or (batch, time, ...) with ``batch_first``.
        lengths: length of each sequence, on the CPU.
        batch_first: order of the dimensions. Default: ``False``.
        enforce_sorted: whether the sequences are sorted by decreasing length; if false, they are sorted here.

    Raises:
        RuntimeError: a length is not positive, there is not one for each sequence, or they are not sorted.
    """
    counts: Any = lengths if isinstance(lengths, Tensor) else torch.as_tensor(lengths, device="cpu")
    counts = counts.to(dtype=torch.int64)
    sorted_indices = None
    if not enforce_sorted:
        counts, sorted_indices = torch.sort(counts, descending=True)
        sorted_indices = sorted_indices.to(input.device)
        input = input.index_select(0 if batch_first else 1, sorted_indices)
    if batch_first:
        input = input.transpose(0, 1)
    steps, batch_size = input.size(0), input.size(1)
    numbers = _check_lengths(input, counts, batch_size)
    if numbers[0] > steps:
        raise RuntimeError(
            f"Expected sequence length to be larger than {numbers[0]} but got {steps}"  # The input is too short.
        )
    sizes = _batch_sizes(numbers)
    rows = [time * batch_size + i for time, size in enumerate(sizes) for i in range(size)]
    flat = input.reshape(steps * batch_size, *input.shape[2:])
    data = flat.index_select(0, torch.tensor(rows, device=input.device))
    return PackedSequence(data, torch.tensor(sizes), sorted_indices, None)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Pad packed sequences, the inverse of `pack_padded_sequence`.

    Args:
        sequence: the sequences.
        batch_first: whether the result is (batch, time, ...) rather than (time, batch, ...). Default: ``False``.
        padding_value: what fills up short sequences. Default: 0.
        total_length: time to pad to, by default that of the longest sequence.

    Returns the padded sequences and their lengths, in their original order.

    Raises:
        ValueError: ``total_length`` is less than the longest sequence.
    """
    sizes = sequence.batch_sizes.tolist()
    steps, batch_size = len(sizes), sizes[0]
    if total_length is not None:
        if total_length < steps:
            raise ValueError(
                "Expected total_length to be at least the length "
                "of the longest sequence in input, but got "
                f"total_length={total_length} and max sequence length being {steps}"
            )
        steps = total_length
    lengths = [sum(size > i for size in sizes) for i in range(batch_size)]
    order = range(batch_size)
    if sequence.unsorted_indices is not None:
        order = sequence.unsorted_indices.tolist()
    starts = [sum(sizes[:time]) for time in range(len(sizes))]
    # One more row, of padding, at the end of the data; every place of the result is looked up among the rows.
    data = sequence.data
    padding = data.new_full((1, *data.shape[1:]), padding_value)
    missing = data.size(0)
    rows = [[starts[time] + i if time < lengths[i] else missing for time in range(steps)] for i in order]
    index = torch.tensor(rows, device=data.device)
    if not batch_first:
        index = index.t()
    padded = torch.cat([data, padding]).index_select(0, index.reshape(-1))
    padded = padded.reshape(*index.shape, *data.shape[1:])
    return padded, torch.tensor([lengths[i] for i in order])


def pad_sequence(
    sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Stack sequences of different lengths, filled up to the longest.

    Args:
        sequences: tensors of shape (time, ...), equal in all dimensions but the first.
        batch_first: whether the result is (batch, time, ...) rather than (time, batch, ...). Default: ``False``.
        padding_value: what fills up short sequences. Default: 0.
        padding_side: ``"right"`` or ``"left"``. Default: ``"right"``.

    Raises:
        RuntimeError: ``sequences`` is not iterable, empty, or ``padding_side`` is neither.

    >>> import torchlike as torch
    >>> pad_sequence([torch.tensor([1, 2, 3]), torch.tensor([4])], batch_first=True)
    tensor([[1, 2, 3],
            [4, 0, 0]])
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}"
        )
    sequences = tuple(sequences)
    if not sequences:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    first = sequences[0]
    for sequence in sequences[1:]:
        _check_trailing(first, sequence)
    longest = max(sequence.size(0) for sequence in sequences)
    left = padding_side == "left"
    if any(sequence.requires_grad for sequence in sequences) or not all(t.is_cpu for t in sequences):
        padded = torch.stack([_fill_up(t, longest, padding_value, left).to(first.dtype) for t in sequences])
        return padded if batch_first else padded.transpose(0, 1).contiguous()
    # Lengths differ from batch to batch; recorded operations would be traced anew for each.
    shape = (len(sequences), longest) if batch_first else (longest, len(sequences))
    array = np.full((*shape, *first.shape[1:]), padding_value, dtype=first.dtype.np)
    for i, sequence in enumerate(sequences):
        length = sequence.size(0)
        times = slice(longest - length, longest) if left else slice(0, length)
        array[(i, times) if batch_first else (times, i)] = host_array(sequence)
    return from_array(array)


def _check_trailing(first: Tensor, other: Tensor) -> None:
    """Raise unless the two agree (or the second broadcasts) in all dimensions but the first."""
    for dim, (size, other_size) in enumerate(zip(first.shape[1:], other.shape[1:], strict=False), 1):
        if size != other_size and other_size != 1:
            raise RuntimeError(
                f"The size of tensor a ({size}) must match the size of tensor b ({other_size}) "
                f"at non-singleton dimension {dim}"
            )
    if first.dim() != other.dim():
        raise RuntimeError(f"output with shape {list(other.shape[:1])} doesn't match the broadcast shape")


def _fill_up(sequence: Tensor, length: int, padding_value: float, left: bool) -> Tensor:
    missing = length - sequence.size(0)
    if not missing:
        return sequence
    padding = sequence.new_full((missing, *sequence.shape[1:]), padding_value)
    return torch.cat([padding, sequence] if left else [sequence, padding])


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """Take padding off, the inverse of `pad_sequence`.

    Args:
        padded_sequences: of shape (time, batch, ...), or (batch, time, ...) with ``batch_first``.
        lengths: length of each sequence.
        batch_first: order of the dimensions. Default: ``False``.
    """
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    times = torch.arange(padded_sequences.shape[1], device=lengths.device)
    return [sequence[times < length] for sequence, length in zip(padded_sequences, lengths, strict=True)]


def pack_sequence(sequences: list[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences of different lengths.

    Args:
        sequences: tensors of shape (time, ...), equal in all dimensions but the first.
        enforce_sorted: whether they are sorted by decreasing length; if false, they are sorted here.
    """
    lengths = torch.as_tensor([sequence.size(0) for sequence in sequences])
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """Unpack into a list of sequences, the inverse of `pack_sequence`."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
