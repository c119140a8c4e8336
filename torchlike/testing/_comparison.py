"""``assert_close``: two values, or containers of them, are walked through in parallel; the first difference raises.

A comparison is a function ``compare(actual, expected, options, path)`` that returns False where it does not know what to do
with its operands, and raises where they differ.
"""

from __future__ import annotations

import cmath
import contextlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import torchlike as torch
from torchlike._tensor.tensor import host_array

#: Relative and absolute tolerance of each dtype; exact for the others.
_TOLERANCES: dict[str, tuple[float, float]] = {
    "float16": (0.001, 1e-5),
    "bfloat16": (0.016, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}


class _Options(NamedTuple):
    """What the caller of ``assert_close`` asks for."""

    allow_subclasses: bool
    rtol: float | None
    atol: float | None
    equal_nan: bool
    check_device: bool
    check_dtype: bool
    check_layout: bool
    check_stride: bool
    msg: Any


class _Failure(Exception):
    """A difference: the exception to raise for it, and where in the containers it is."""

    def __init__(self, kind: type[Exception], message: str, path: tuple = ()):
        super().__init__(message)
        self.kind, self.message, self.path = kind, message, path

    def as_error(self, msg: Any) -> Exception:
        """The exception for the caller, with the message that the caller wants."""
        if isinstance(msg, str):
            return self.kind(msg)
        text = self.message
        if self.path:
            text += f"\n\nThe failure occurred for item {''.join(str([item]) for item in self.path)}"
        return self.kind(msg(text) if callable(msg) else text)


def _default_tolerances(
    dtypes: Sequence[Any], table: Mapping[str, tuple[float, float]] = _TOLERANCES
) -> tuple[float, float]:
    """The loosest tolerances of some dtypes."""
    pairs = [table.get(dtype.name, (0.0, 0.0)) for dtype in dtypes]
    return max(r for r, _ in pairs), max(a for _, a in pairs)


def _tolerances(dtypes: Sequence[Any], options: _Options, path: tuple) -> tuple[float, float]:
    rtol, atol = options.rtol, options.atol
    if (rtol is None) != (atol is None):
        raise _Failure(
            ValueError,
            "Both 'rtol' and 'atol' must be either specified or omitted, but got no "
            f"{'rtol' if rtol is None else 'atol'}.",
            path,
        )
    if rtol is not None and atol is not None:
        return rtol, atol
    return _default_tolerances(dtypes)


# Messages.


def _difference(kind: str, size: Any, index: Any, tolerance: float, exact: bool) -> str:
    start = (
        f"{kind.title()} difference: {size}"
        if index is None
        else f"Greatest {kind} difference: {size} at index {index}"
    )
    return start if exact else f"{start} (up to {tolerance} allowed)"


def _mismatch(
    what: str, detail: str, absolute: tuple[Any, Any], relative: tuple[Any, Any], rtol: float, atol: float
) -> str:
    exact = rtol == 0 and atol == 0
    return "\n".join(
        [
            f"{what} are not {'equal' if exact else 'close'}!",
            "",
            detail,
            _difference("absolute", *absolute, atol, exact),
            _difference("relative", *relative, rtol, exact),
        ]
    )


def _scalar_message(actual: Any, expected: Any, rtol: float, atol: float) -> str:
    gap = abs(actual - expected)
    ratio = float("inf") if expected == 0 else gap / abs(expected)
    return _mismatch("Scalars", f"Expected {expected} but got {actual}.", (gap, None), (ratio, None), rtol, atol)


def _tensor_message(actual: Any, expected: Any, matches: Any, rtol: float, atol: float) -> str:
    a, e, same = (host_array(t.detach()) for t in (actual, expected, matches))
    count, total = int((~same).sum()), same.size
    if a.dtype.kind in "biu":
        a, e = a.astype(np.int64), e.astype(np.int64)
    with np.errstate(all="ignore"):
        gap = np.abs(a - e)
        gap[same] = 0
        size = np.abs(e)
        ratio = gap.astype(np.float32) / size.astype(np.float32) if gap.dtype.kind in "iu" else gap / size
        ratio[same] = 0

    def greatest(x: np.ndarray) -> tuple[Any, tuple[int, ...]]:
        place = np.unravel_index(int(np.argmax(x)), x.shape)
        return x[place].item(), tuple(int(i) for i in place)

    detail = f"Mismatched elements: {count} / {total} ({count / total:.1%})"
    return _mismatch("Tensor-likes", detail, greatest(gap), greatest(ratio), rtol, atol)


# Comparisons.


def _compare_none(actual: Any, expected: Any, options: _Options, path: tuple) -> bool:
    if actual is not None and expected is not None:
        return False
    if actual is not expected:
        raise _Failure(AssertionError, f"None mismatch: {actual} is not {expected}", path)
    return True


def _compare_bools(actual: Any, expected: Any, options: _Options, path: tuple) -> bool:
    if not all(isinstance(x, (bool, np.bool_)) for x in (actual, expected)):
        return False
    if bool(actual) is not bool(expected):
        raise _Failure(AssertionError, f"Booleans mismatch: {bool(actual)} is not {bool(expected)}", path)
    return True


def _compare_numbers(actual: Any, expected: Any, options: _Options, path: tuple) -> bool:
    if not all(isinstance(x, (int, float, complex, np.number)) for x in (actual, expected)):
        return False
    actual, expected = (x.item() if isinstance(x, np.number) else x for x in (actual, expected))
    kinds = {int: torch.int64, float: torch.float64, complex: torch.complex128}
    rtol, atol = _tolerances([kinds.get(type(x), torch.int64) for x in (actual, expected)], options, path)
    if options.check_dtype and type(actual) is not type(expected):
        raise _Failure(AssertionError, f"The (d)types do not match: {type(actual)} != {type(expected)}.", path)
    if actual == expected or (options.equal_nan and cmath.isnan(actual) and cmath.isnan(expected)):
        return True
    gap = abs(actual - expected)
    if not (cmath.isfinite(gap) and gap <= atol + rtol * abs(expected)):
        raise _Failure(AssertionError, _scalar_message(actual, expected, rtol, atol), path)
    return True


def _as_tensor(x: Any) -> Any:
    if isinstance(x, torch.Tensor):
        return x
    try:
        return torch.as_tensor(x)
    except Exception:
        return None


def _compare_tensors(actual: Any, expected: Any, options: _Options, path: tuple) -> bool:
    if not (isinstance(actual, type(expected)) or isinstance(expected, type(actual))):
        return False
    if not options.allow_subclasses and type(actual) is not type(expected):
        return False
    actual, expected = _as_tensor(actual), _as_tensor(expected)
    if actual is None or expected is None:
        return False
    rtol, atol = _tolerances([actual.dtype, expected.dtype], options, path)
    _compare_attributes(actual, expected, options, path)
    if actual.is_meta or expected.is_meta:
        return True
    if actual.device != expected.device:
        actual, expected = actual.cpu(), expected.cpu()
    if actual.dtype != expected.dtype:
        unsigned = ("uint16", "uint32", "uint64")
        dtype = torch.promote_types(*[torch.int64 if t.dtype.name in unsigned else t.dtype for t in (actual, expected)])
        actual, expected = actual.to(dtype), expected.to(dtype)
    matches = torch.isclose(actual, expected, rtol=rtol, atol=atol, equal_nan=options.equal_nan)
    if bool(matches.all()):
        return True
    if actual.ndim:
        raise _Failure(AssertionError, _tensor_message(actual, expected, matches, rtol, atol), path)
    raise _Failure(AssertionError, _scalar_message(actual.item(), expected.item(), rtol, atol), path)


def _compare_attributes(actual: Any, expected: Any, options: _Options, path: tuple) -> None:
    checks = [
        ("shape", True, lambda t: t.shape), ("layout", options.check_layout, lambda t: t.layout),
        ("stride()", options.check_stride, lambda t: t.stride()), ("device", options.check_device, lambda t: t.device),
        ("dtype", options.check_dtype, lambda t: t.dtype),
    ]  # fmt: skip
    for name, wanted, of in checks:
        if wanted and of(actual) != of(expected):
            raise _Failure(
                AssertionError,
                f"The values for attribute '{name}' do not match: {of(actual)} != {of(expected)}.",
                path,
            )


_COMPARISONS: tuple[Callable[[Any, Any, _Options, tuple], bool], ...] = (
    _compare_none, _compare_bools, _compare_numbers, _compare_tensors,
)  # fmt: skip


# Containers.


def _both(kind: Any, actual: Any, expected: Any) -> bool:
    return all(isinstance(x, kind) and not isinstance(x, str) for x in (actual, expected))


def _pairs(actual: Any, expected: Any, path: tuple) -> list[tuple[Any, Any, tuple]]:
    """The pairs of leaves, each with its path; _Failure where the containers differ."""
    if _both(Sequence, actual, expected):
        if len(actual) != len(expected):
            raise _Failure(
                AssertionError, f"The length of the sequences mismatch: {len(actual)} != {len(expected)}", path
            )
        return [p for i in range(len(actual)) for p in _pairs(actual[i], expected[i], (*path, i))]
    if _both(Mapping, actual, expected):
        ours, theirs = set(actual.keys()), set(expected.keys())
        if ours != theirs:
            raise _Failure(
                AssertionError,
                f"The keys of the mappings do not match:\nMissing keys in the actual mapping: {sorted(theirs - ours)}\n"
                f"Additional keys in the actual mapping: {sorted(ours - theirs)}",
                path,
            )
        keys: Any = list(ours)
        with contextlib.suppress(TypeError):
            keys = sorted(keys)
        return [p for key in keys for p in _pairs(actual[key], expected[key], (*path, key))]
    return [(actual, expected, path)]


def _first_difference(actual: Any, expected: Any, options: _Options) -> _Failure | None:
    """The first difference between values; _Failure is raised for what cannot be compared at all."""
    pairs = _pairs(actual, expected, ())
    failures = []
    for a, e, path in pairs:
        try:
            if any(compare(a, e, options, path) for compare in _COMPARISONS):
                continue
        except _Failure as failure:
            if failure.kind is ValueError:
                raise
            failures.append(failure)
            continue
        raise _Failure(
            TypeError, f"No comparison pair was able to handle inputs of type {type(a)} and {type(e)}.", path
        )
    return failures[0] if failures else None


def assert_close(
    actual: Any, expected: Any, *, allow_subclasses: bool = True, rtol: float | None = None, atol: float | None = None,
    equal_nan: bool = False, check_device: bool = True, check_dtype: bool = True, check_layout: bool = True,
    check_stride: bool = False, msg: str | Callable[[str], str] | None = None,
) -> None:  # fmt: skip
    """AssertionError unless ``actual`` and ``expected`` are close: ``|actual - expected| <= atol + rtol |expected|``.

    Args:
        actual: a tensor, something that can be made one, a number, or sequences and mappings of these.
        expected: what it should be.
        allow_subclasses: whether a tensor may be compared with one of a subclass.
        rtol: the relative tolerance; with ``atol`` it is the dtype's own unless given.
        atol: the absolute tolerance.
        equal_nan: whether NaN is close to NaN.
        check_device: whether devices have to agree.
        check_dtype: whether dtypes have to agree.
        check_layout: whether layouts have to agree.
        check_stride: whether strides have to agree.
        msg: a message for the error, or a function that makes one of the message that would be raised.

    >>> import torchlike as torch
    >>> assert_close(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0 + 1e-7]))
    """
    __tracebackhide__ = True
    options = _Options(
        allow_subclasses, rtol, atol, equal_nan, check_device, check_dtype, check_layout, check_stride, msg
    )
    try:
        difference = _first_difference(actual, expected, options)
    except _Failure as failure:
        raise failure.as_error(None) from None
    if difference is not None:
        raise difference.as_error(msg)


def assert_allclose(
    actual: Any, expected: Any, rtol: float | None = None, atol: float | None = None, equal_nan: bool = True,
    msg: str = "",
) -> None:  # fmt: skip
    """Deprecated: :func:`assert_close` without a check of dtypes and with looser tolerances."""
    warnings.warn(
        "`torch.testing.assert_allclose()` is deprecated since 1.12 and will be removed in a future release. Please use "
        "`torch.testing.assert_close()` instead. You can find detailed upgrade instructions in "
        "https://github.com/pytorch/pytorch/issues/61844.",
        FutureWarning,
        stacklevel=2,
    )
    if not isinstance(actual, torch.Tensor):
        actual = torch.tensor(actual)
    if not isinstance(expected, torch.Tensor):
        expected = torch.tensor(expected, dtype=actual.dtype)
    if rtol is None and atol is None:
        table = {"float16": (1e-3, 1e-3), "float32": (1e-4, 1e-5), "float64": (1e-5, 1e-8)}
        rtol, atol = _default_tolerances([actual.dtype, expected.dtype], table)
    assert_close(
        actual, expected, rtol=rtol, atol=atol, equal_nan=equal_nan, check_device=True, check_dtype=False,
        check_stride=False, msg=msg or None,
    )  # fmt: skip
