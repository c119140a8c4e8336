"""How tensors are written: ``tensor([[ 1.2000, -0.5000]], grad_fn=<AddBackward0>)``, letter for letter as torch does.

Everything here works on NumPy arrays and plain values. Of an array too large to print in full only the corners that
appear are ever looked at.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from torchlike._tensor import dtypes
from torchlike._tensor.dtypes import dtype as DType


@dataclass(slots=True)
class PrinterOptions:
    """The options of ``set_printoptions``, in force for the whole process."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


PRINT_OPTS = PrinterOptions()

_PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors print. Options left None stay as they are, except ``sci_mode``.

    Args:
        precision: digits after the decimal point of floating-point numbers (4 at first).
        threshold: tensors of more elements than this are summarised with ``...`` (1000 at first).
        edgeitems: how many items a summary shows at either end of each dimension (3 at first).
        linewidth: characters per line before a line breaks (80 at first).
        profile: "default", "short" or "full": values for all of the above, which the other arguments then change.
        sci_mode: True for scientific notation, False for none, None to choose for each tensor by its magnitudes.
    """
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    chosen = _PROFILES.get(profile, {}) if profile is not None else {}
    for name, value in {**chosen, **{k: v for k, v in given.items() if v is not None}}.items():
        setattr(PRINT_OPTS, name, value)
    PRINT_OPTS.sci_mode = sci_mode


def get_printoptions() -> dict[str, Any]:
    """The print options now, as the keyword arguments of ``set_printoptions`` that bring them back."""
    return asdict(PRINT_OPTS)


@contextlib.contextmanager
def printoptions(**kwargs: Any) -> Iterator[None]:
    """Print options for the length of a block; takes the arguments of ``set_printoptions``."""
    before = get_printoptions()
    set_printoptions(**kwargs)
    try:
        yield
    finally:
        set_printoptions(**before)


# The numbers: every element as text, padded to one width.


def _format_reals(values: list[float]) -> tuple[list[str], int]:
    """Floating-point numbers as text, all in one notation, and the width to pad them to.

    The notation and the width come from the finite numbers other than zero. Scientific where these span more than three
    orders of magnitude or leave 1e-4 .. 1e8; with no digits after the point where all are whole.
    """
    telling = [v for v in values if v and math.isfinite(v)]
    scientific, whole = False, True
    if telling:
        magnitudes = [abs(v) for v in telling]
        low, high = min(magnitudes), max(magnitudes)
        whole = all(v.is_integer() for v in telling)
        scientific = PRINT_OPTS.sci_mode
        if scientific is None:
            scientific = high > 1e8 or low < 1e-4 or high / low > 1000.0
    if scientific:
        spec = f".{PRINT_OPTS.precision}e"
        texts = [format(v, spec) for v in values]
    elif whole:
        texts = [f"{v:.0f}." if math.isfinite(v) else f"{v:.0f}" for v in values]
    else:
        spec = f".{PRINT_OPTS.precision}f"
        texts = [format(v, spec) for v in values]
    width = max((len(text) for text, v in zip(texts, values, strict=True) if v and math.isfinite(v)), default=1)
    return [text.rjust(width) for text in texts], width


def _format_complex(values: np.ndarray[Any, np.dtype[np.complexfloating]]) -> tuple[list[str], int]:
    """Complex numbers as text: real and imaginary parts each in a notation and width of their own."""
    reals, real_width = _format_reals(values.real.tolist())
    imaginaries, imaginary_width = _format_reals(values.imag.tolist())
    texts = []
    for real, imaginary in zip(reals, imaginaries, strict=True):
        imaginary = imaginary.lstrip() + "j"
        texts.append(real + imaginary if imaginary[0] in "+-" else f"{real}+{imaginary}")
    return texts, real_width + imaginary_width + 1


def _format_elements(values: np.ndarray, dtype: DType) -> tuple[list[str], int]:
    """The elements of a flat array as text, and the width that a column of them takes."""
    if dtype.is_complex:
        return _format_complex(values)
    if dtype.is_floating_point:
        return _format_reals(values.astype(np.float64).tolist())
    texts = [str(v) for v in values.tolist()]
    width = max(map(len, texts))
    return [text.rjust(width) for text in texts], width


# The layout: brackets, commas, line breaks, and "..." where items are left out.


def _edges(array: np.ndarray) -> np.ndarray:
    """The part of ``array`` that its summary shows: both ends of each dimension that is too long."""
    edge = PRINT_OPTS.edgeitems
    kept = [
        np.arange(n) if n <= 2 * edge else np.concatenate((np.arange(edge), np.arange(n - edge, n)))
        for n in array.shape
    ]
    return array[np.ix_(*kept)]


class _Layout:
    """Brackets around formatted elements; ``cut[d]`` says whether the middle of dimension d is left out."""

    def __init__(self, texts: list[str], width: int, shape: tuple[int, ...], cut: tuple[bool, ...]):
        self.texts = iter(texts)
        self.width = width
        self.shape = shape
        self.cut = cut

    def write(self, indent: int, depth: int = 0) -> str:
        """The text of the next sub-array at ``depth`` dimensions in, its first bracket in column ``indent``."""
        last = len(self.shape) - 1
        if depth > last:
            return next(self.texts)
        count = self.shape[depth]
        if depth == last:
            items = [next(self.texts) for _ in range(count)]
        else:
            items = [self.write(indent + 1, depth + 1) for _ in range(count)]
        if self.cut[depth]:
            items.insert(PRINT_OPTS.edgeitems, " ..." if depth == last else "...")
        if depth == last:
            return f"[{self._wrap(items, indent)}]"
        separator = "," + "\n" * (last - depth) + " " * (indent + 1)
        return f"[{separator.join(items)}]"

    def _wrap(self, items: list[str], indent: int) -> str:
        per_line = max(1, math.floor((PRINT_OPTS.linewidth - indent) / (self.width + 2)))  # 2 for ", "
        lines = [", ".join(items[i : i + per_line]) for i in range(0, len(items), per_line)]
        return (",\n" + " " * (indent + 1)).join(lines)


def contents(array: np.ndarray, dtype: DType, indent: int) -> str:
    """The elements of ``array``, of type ``dtype``, in nested brackets of which the first is in column ``indent``."""
    if array.size == 0:
        return "[]"
    cut = (False,) * array.ndim
    if array.ndim and array.size > PRINT_OPTS.threshold:
        if not PRINT_OPTS.edgeitems:
            return "[...]"
        cut = tuple(n > 2 * PRINT_OPTS.edgeitems for n in array.shape)
        if True in cut:
            array = _edges(array)
    texts, width = _format_elements(array.reshape(-1), dtype)
    return _Layout(texts, width, array.shape, cut).write(indent)


# What follows the numbers.


def suffixes(
    dtype: DType,
    shape: Sequence[int],
    *,
    device: Any = "cpu",
    default_dtype: DType | None = None,
    default_device_type: str = "cpu",
    current_index: int | None = None,
    meta: bool = False,
    layout: Any = None,
    nnz: int | None = None,
    grad_fn: str | None = None,
    requires_grad: bool = False,
    tangent: Any = None,
) -> list[str]:
    """What is written after the numbers of a tensor, in torch's order.

    Args:
        dtype: written unless the numbers alone tell it: the default dtype and its complex type, int64 and bool.
        shape: written for an empty tensor of more or less than one dimension, and where elements cannot be written.
        device: the tensor's device; written unless of type ``default_device_type`` and, for cuda, of ``current_index``.
        default_dtype: the default floating-point type; None for the one in force.
        meta: whether the tensor has no elements to write.
        layout: the layout of a tensor that is not strided, with the number ``nnz`` of its specified elements.
        grad_fn: the name of the node that made the tensor, such as "AddBackward0".
        requires_grad: whether the tensor requires a gradient; written only where there is no ``grad_fn``.
        tangent: the tangent of a dual tensor.
    """
    default = default_dtype or dtypes.get_default_dtype()
    usual = dtype in (default, dtypes.complex128 if default is dtypes.float64 else dtypes.complex64)
    found = []
    kind, _, index = str(device).partition(":")
    if kind != default_device_type or kind == "mps" or (kind == "cuda" and index != str(current_index)):
        found.append(f"device='{device}'")
    if layout is not None:
        show_size, show_dtype = True, not (usual or dtype in (dtypes.int64, dtypes.bool_))
    elif meta or 0 in shape:
        show_size, show_dtype = meta or len(shape) != 1, dtype is not default
    else:
        show_size = not PRINT_OPTS.edgeitems
        show_dtype = not (usual or dtype in (dtypes.int64, dtypes.bool_))
    if show_size:
        found.append(f"size={tuple(shape)}")
    if nnz is not None:
        found.append(f"nnz={nnz}")
    if show_dtype:
        found.append(f"dtype={dtype}")
    if layout is not None:
        found.append(f"layout={layout}")
    if grad_fn is not None:
        found.append(f"grad_fn=<{grad_fn}>")
    elif requires_grad:
        found.append("requires_grad=True")
    if tangent is not None:
        found.append(f"tangent={tangent}")
    return found


def join_suffixes(text: str, suffixes: Iterable[str], indent: int, force_newline: bool = False) -> str:
    """``text`` and the suffixes after it, and the closing parenthesis.

    A suffix that does not fit on the line starts a new one in column ``indent``; ``force_newline`` has the first do so.
    """
    parts = [text]
    column = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if force_newline or column + len(suffix) + 2 > PRINT_OPTS.linewidth:
            parts.append(",\n" + " " * indent + suffix)
            column = indent + len(suffix)
            force_newline = False
        else:
            parts.append(f", {suffix}")
            column += len(suffix) + 2
    return "".join(parts) + ")"


def tensor_repr(
    array: np.ndarray | None, dtype: DType, *, prefix: str = "tensor(", suffixes: Iterable[str] = ()
) -> str:
    """The text of a tensor of these elements; None for a tensor that has a shape but no elements.

    >>> tensor_repr(np.array([[1.5, -2.0]]), dtypes.float32, suffixes=["requires_grad=True"])
    'tensor([[ 1.5000, -2.0000]], requires_grad=True)'
    """
    written = "..." if array is None else contents(array, dtype, len(prefix))
    return join_suffixes(prefix + written, suffixes, len(prefix))


def sparse_repr(
    parts: Sequence[tuple[str, np.ndarray, DType]],
    *,
    prefix: str = "tensor(",
    suffixes: Iterable[str] = (),
    force_newline: bool = False,
) -> str:
    """The text of a tensor made of several arrays, each given as its name, its elements and their type.

    ``force_newline`` is for the COO layout, whose suffixes always start on a line of their own.
    """
    indent = len(prefix)
    written = []
    for name, array, dtype in parts:
        opening = f"{name}=tensor("
        shape = f", size={tuple(array.shape)}" if array.size == 0 else ""
        written.append(f"{opening}{contents(array, dtype, indent + len(opening))}{shape})")
    return join_suffixes(prefix + (",\n" + " " * indent).join(written), suffixes, indent, force_newline)
