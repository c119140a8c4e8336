"""Native PyTorch as the oracle: tensors there and back, comparisons that raise, and samples of native's operator table.

A test module starts with ``from oracle import ...`` after ``torch = pytest.importorskip("torch")``. The usual test is
``check(name, native_function, torchlike_function, args, kwargs)``: results, dtypes, shapes, node names and gradients
have to agree, or else the type and the text of the error.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ml_dtypes
import numpy as np
import torch

import torchlike
from torchlike._engine import config
from torchlike._ops.op import REGISTRY
from torchlike._tensor.tensor import from_array, host_array

#: Relative and absolute tolerance of each dtype: a few units in the last place of a short computation.
TOLERANCES: dict[str, tuple[float, float]] = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (2e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex64": (2e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}

#: Where (operator, dtype) needs more; a test module adds its own with ``loosen``, each with its reason.
LOOSER: dict[tuple[str, str], tuple[float, float]] = {}

#: No tolerance may be larger than this, whatever the reason.
CEILING = (5e-2, 2e-2)


def loosen(op: str, dtype: str, rtol: float, atol: float) -> None:
    """Allow an operator more than its dtype's tolerance."""
    if rtol > CEILING[0] or atol > CEILING[1]:
        raise ValueError(f"a tolerance of ({rtol}, {atol}) for {op} checks nothing")
    LOOSER[op, dtype] = (rtol, atol)


# There and back.


def dtype_name(dtype: Any) -> str:
    """``float32`` for both libraries' ``torch.float32``."""
    return str(dtype).removeprefix("torch.")


def array_of(t: Any) -> np.ndarray:
    """A tensor of either library as a NumPy array."""
    if isinstance(t, torchlike.Tensor):
        return np.array(host_array(t))
    t = t.detach().resolve_conj().resolve_neg()
    t = torch.zeros(t.shape, dtype=t.dtype) if t._is_zerotensor() else t.cpu()
    if t.dtype == torch.bfloat16:
        return t.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return np.array(t.numpy())


def ours(x: Any) -> Any:
    """Native tensors, dtypes, sizes and devices, inside of containers too, as torchlike's."""
    if isinstance(x, torch.Tensor):
        return from_array(np.ascontiguousarray(array_of(x)).reshape(tuple(x.shape))).requires_grad_(x.requires_grad)
    if isinstance(x, torch.dtype):
        return getattr(torchlike, dtype_name(x))
    if isinstance(x, torch.Size):
        return torchlike.Size(x)
    if isinstance(x, torch.device):
        return torchlike.device(str(x))
    if isinstance(x, (torch.memory_format, torch.layout)):
        return getattr(torchlike, dtype_name(x))
    return _mapped(ours, x)


def native(x: Any) -> Any:
    """torchlike's tensors and dtypes, inside of containers too, as native ones."""
    if isinstance(x, torchlike.Tensor):
        array = np.ascontiguousarray(array_of(x)).reshape(tuple(x.shape))
        if array.dtype == ml_dtypes.bfloat16:
            return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16).requires_grad_(x.requires_grad)
        return torch.from_numpy(array).requires_grad_(x.requires_grad)
    if isinstance(x, torchlike.dtype):
        return getattr(torch, dtype_name(x))
    return _mapped(native, x)


def _mapped(convert: Callable, x: Any) -> Any:
    if type(x) in (list, tuple):
        return type(x)(convert(y) for y in x)
    if type(x) is dict:
        return {k: convert(v) for k, v in x.items()}
    return x


# Comparisons.


def assert_same(actual: Any, expected: Any, op: str = "", where: str = "") -> None:
    """AssertionError unless torchlike's ``actual`` is what native's ``expected`` is, dtypes and shapes included."""
    if isinstance(expected, torch.Tensor):
        assert isinstance(actual, torchlike.Tensor), f"{where}: {type(actual)} instead of a tensor"
        name = dtype_name(expected.dtype)
        assert dtype_name(actual.dtype) == name, f"{where}: dtype {actual.dtype} instead of {expected.dtype}"
        assert tuple(actual.shape) == tuple(expected.shape), f"{where}: {actual.shape} instead of {expected.shape}"
        _assert_close(array_of(actual), array_of(expected), op, name, where)
    elif isinstance(expected, (tuple, list)):
        assert isinstance(actual, (tuple, list)), f"{where}: {type(actual)} instead of {type(expected)}"
        assert type(actual).__name__ == type(expected).__name__, f"{where}: {type(actual)} instead of {type(expected)}"
        assert len(actual) == len(expected), f"{where}: {len(actual)} items instead of {len(expected)}"
        for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
            assert_same(a, e, op, f"{where}[{i}]")
    elif isinstance(expected, torch.dtype):
        assert dtype_name(actual) == dtype_name(expected), f"{where}: {actual} instead of {expected}"
    elif isinstance(expected, float) and type(actual) is float:
        _assert_close(np.asarray(actual), np.asarray(expected), op, "float64", where)
    else:
        assert type(actual) is type(expected) and actual == expected, f"{where}: {actual!r} instead of {expected!r}"


def _assert_close(actual: np.ndarray, expected: np.ndarray, op: str, dtype: str, where: str) -> None:
    rtol, atol = LOOSER.get((op, dtype)) or TOLERANCES.get(dtype, (0.0, 0.0))
    if actual.dtype.kind in "biu":
        assert np.array_equal(actual, expected), f"{where}: got\n{actual}\ninstead of\n{expected}"
        return
    wide = np.complex128 if actual.dtype.kind == "c" else np.float64
    a, e = actual.astype(wide), expected.astype(wide)
    with np.errstate(all="ignore"):
        close = np.isclose(a, e, rtol, atol, equal_nan=True) | (a == e)
    if not close.all():
        worst = np.argwhere(~np.atleast_1d(close))[0]
        raise AssertionError(
            f"{where}: {(~close).sum()} of {close.size} differ, first at {worst}; got\n{a}\ninstead of\n{e}"
        )


def outcome(function: Callable, *args: Any, **kwargs: Any) -> tuple[Any, Exception | None]:
    """What a call returns, or the error it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return function(*args, **kwargs), None
        except Exception as error:
            return None, error


def assert_same_error(actual: Exception | None, expected: Exception, text: bool = True) -> None:
    """AssertionError unless both are errors of the same type with the same text."""
    assert actual is not None, f"no error instead of {type(expected).__name__}: {expected}"
    assert type(actual).__name__ == type(expected).__name__, f"{actual!r} instead of {expected!r}"
    if text:
        assert _first_line(actual) == _first_line(expected), f"{actual}\ninstead of\n{expected}"


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0]


def tensors_in(x: Any) -> list[Any]:
    """The tensors of either library in nested containers, in order."""
    if isinstance(x, (torch.Tensor, torchlike.Tensor)):
        return [x]
    if isinstance(x, (tuple, list)):
        return [t for y in x for t in tensors_in(y)]
    return [t for y in x.values() for t in tensors_in(y)] if isinstance(x, dict) else []


def node_name(t: Any) -> str | None:
    """The name of the node that made a tensor, None for a leaf."""
    return None if t.grad_fn is None else type(t.grad_fn).__name__


def assert_same_gradients(
    actual: Any, expected: Any, leaves: Sequence[Any], native_leaves: Sequence[Any], op: str
) -> None:
    """AssertionError unless the gradients of the leaves agree, for fixed gradients of all results."""
    pairs = [(a, e) for a, e in zip(tensors_in(actual), tensors_in(expected), strict=True) if e.requires_grad]
    for a, e in zip(tensors_in(actual), tensors_in(expected), strict=True):
        assert a.requires_grad == e.requires_grad, f"{op}: requires_grad {a.requires_grad} instead of {e.requires_grad}"
    if not pairs or not native_leaves:
        return
    generator = torch.Generator().manual_seed(0)
    cotangents = [torch.randn(e.shape, dtype=_drawn(e.dtype), generator=generator).to(e.dtype) for _, e in pairs]
    wanted = torch.autograd.grad([e for _, e in pairs], native_leaves, cotangents, allow_unused=True)
    found = torchlike.autograd.grad([a for a, _ in pairs], leaves, ours(cotangents), allow_unused=True)
    for i, (a, e) in enumerate(zip(found, wanted, strict=True)):
        if e is None or a is None:
            zero = a is None or not np.any(array_of(a).astype(np.complex128))
            assert zero and (e is None or not e.any()), f"{op}: gradient {i} is {a} instead of {e}"
        else:
            assert_same(a, e, op, f"{op}: gradient {i}")


def _drawn(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype in (torch.float32, torch.float64, torch.complex64, torch.complex128) else torch.float32


def check(
    op: str, native_function: Callable, function: Callable, args: Sequence[Any] = (), kwargs: Any = None,
    gradients: bool = True, node: bool = True, text: bool = True,
) -> None:  # fmt: skip
    """AssertionError unless ``function`` does to the converted arguments what ``native_function`` does to these.

    ``node`` also compares the names of the nodes that made the results, ``text`` those of errors.
    """
    kwargs = kwargs or {}
    args = _leaves(args)
    kwargs = _leaves(kwargs)
    our_args, our_kwargs = ours(list(args)), ours(dict(kwargs))
    expected, error = outcome(native_function, *args, **kwargs)
    actual, our_error = outcome(function, *our_args, **our_kwargs)
    if error is not None:
        assert_same_error(our_error, error, text)
        return
    if our_error is not None:
        raise AssertionError(f"{op}: {type(our_error).__name__}: {our_error}") from our_error
    assert_same(actual, expected, op, op)
    if node:
        names = [(node_name(a), node_name(e)) for a, e in zip(tensors_in(actual), tensors_in(expected), strict=True)]
        assert all(a == e for a, e in names), f"{op}: nodes {names}"
    if gradients:
        leaves = [t for t in tensors_in([args, kwargs]) if t.requires_grad]
        our_leaves = [t for t in tensors_in([our_args, our_kwargs]) if t.requires_grad]
        assert_same_gradients(actual, expected, our_leaves, leaves, op)


def _leaves(x: Any) -> Any:
    """The arguments with every native tensor a leaf of its own, contiguous and off any graph."""
    if isinstance(x, torch.Tensor):
        return x.detach().clone().contiguous().requires_grad_(x.requires_grad)
    return _mapped(_leaves, x)


# Native's operator table.


def words(text: str) -> list[str]:
    """The words of a text: a list of names in a compact form."""
    return text.split()


def infos(name: str) -> list[Any]:
    """The entries of native's operator table for an operator, all its variants."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db
    return [info for info in op_db if info.name == name]


def samples(
    info: Any, dtype: Any, count: int, requires_grad: bool = False
) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """At most ``count`` of an entry's sample inputs, as (arguments, keyword arguments): the same ones each time."""
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = list(info.sample_inputs("cpu", dtype, requires_grad=requires_grad))
    chosen = found if len(found) <= count else random.Random(0).sample(found, count)
    for sample in chosen:
        yield [sample.input, *sample.args], dict(sample.kwargs)


def operator(name: str) -> Callable:
    """torchlike's operator of a name such as ``exp`` or ``special.i0e``: the function, or else the method."""
    namespace, _, last = name.rpartition(".")
    for where in (namespace or "torch", "Tensor", "_private"):
        if (where, last) in REGISTRY:
            return REGISTRY[where, last]
    raise LookupError(f"torchlike has no operator {name}")


#: Entries of native's table whose function takes its arguments in another order than the public one.
OWN_ORDER: dict[str, Callable] = {
    "where": lambda input, condition, other: torchlike.where(condition, input, other),
    "polygamma": lambda input, n: torchlike.polygamma(n, input),
    "special.polygamma": lambda input, n: torchlike.polygamma(n, input),
}


def check_samples(
    name: str, dtypes: Sequence[str] = ("float32",), count: int = 3, pick: Callable = lambda x: x, **options: Any
) -> None:  # fmt: skip
    """``check`` an operator on sample inputs from native's table, in each of the dtypes that the operator takes.

    ``pick`` chooses what of both results is compared. Gradients are compared in float32, float64 and the complex types.
    """
    entries = infos(name)
    assert entries, f"native's table has no entry {name}"
    ours_ = OWN_ORDER.get(name) or operator(name)
    checked = 0
    for info in entries:
        for dtype in dtypes:
            kind = getattr(torch, dtype)
            if kind not in info.dtypes:
                continue
            differentiated = info.supports_autograd and dtype in ("float32", "float64", "complex64", "complex128")
            for args, kwargs in samples(info, kind, count, differentiated):
                where = f"{name}({', '.join(map(_described, args))}, {kwargs})"
                try:
                    functions = [_then(pick, f) for f in (info.op, ours_)]
                    check(name, *functions, args, kwargs, **{"gradients": differentiated, **options})
                except AssertionError as error:
                    raise AssertionError(f"{where}: {error}") from error
                checked += 1
    assert checked, f"no sample of {name} was checked"


def _then(last: Callable, first: Callable) -> Callable:
    return lambda *args, **kwargs: last(first(*args, **kwargs))


def check_second_derivatives(name: str, count: int = 2) -> None:
    """AssertionError unless derivatives of an operator's gradients agree, on float64 samples of native's table."""
    checked = 0
    for info in infos(name):
        if not info.supports_gradgrad:
            continue
        for args, kwargs in samples(info, torch.float64, count, requires_grad=True):
            args, kwargs = _leaves(args), _leaves(kwargs)
            expected = _second_derivatives(torch, info.op, args, kwargs)
            actual = _second_derivatives(torchlike, operator(name), ours(list(args)), ours(dict(kwargs)))
            for a, e in zip(actual, expected, strict=True):
                # A derivative that is zero everywhere may be none at all.
                wanted = np.zeros(()) if e is None else array_of(e)
                found = np.zeros(wanted.shape) if a is None else array_of(a)
                _assert_close(found, np.broadcast_to(wanted, found.shape), name, "float64", f"{name} {kwargs}")
                checked += 1
    assert checked, f"no sample of {name} was checked"


def _second_derivatives(library: Any, function: Callable, args: Any, kwargs: Any) -> list[Any]:
    leaves = [t for t in tensors_in([args, kwargs]) if t.requires_grad]
    results = [t for t in tensors_in(function(*args, **kwargs)) if t.requires_grad]
    weights = [np.linspace(0.5, 1.5, max(t.numel(), 1))[: t.numel()].reshape(tuple(t.shape)) for t in results]
    total = sum((t * library.tensor(w)).sum() for t, w in zip(results, weights, strict=True))
    first = library.autograd.grad(total, leaves, create_graph=True, allow_unused=True)
    parts = [(g * g).sum() for g in first if g is not None and g.requires_grad]
    if not parts:
        return [None] * len(leaves)
    return list(library.autograd.grad(sum(parts), leaves, allow_unused=True))


def _described(x: Any) -> str:
    if isinstance(x, torch.Tensor):
        return f"{dtype_name(x.dtype)}{list(x.shape)}"
    return f"[{', '.join(map(_described, x))}]" if isinstance(x, (list, tuple)) else repr(x)


# Expressions, evaluated on both sides.


def evaluated(library: Any, expression: str) -> str:
    """What an expression of ``torch``, ``x = [1., 2., 3.]``, ``y`` (3 by 4, with history) and ``v`` (a leaf) shows, or
    the type and first line of the error that it raises."""
    scope = {
        "torch": library, "L": library.tensor, "nan": float("nan"), "inf": float("inf"),
        "x": library.tensor([1.0, 2, 3]),
        "y": library.arange(12.0).reshape(3, 4).requires_grad_() * 1,
        "v": library.tensor([0.1, 0.2, 0.3], requires_grad=True),
    }  # fmt: skip
    result, error = outcome(eval, expression, scope)
    return repr(result) if error is None else f"{type(error).__name__}: {_first_line(error)}"


def assert_same_evaluation(expression: str) -> None:
    """AssertionError unless an expression shows, or raises, the same on both sides."""
    actual, expected = evaluated(torchlike, expression), evaluated(torch, expression)
    assert actual == expected, f"{expression}: got\n{actual}\ninstead of\n{expected}"


@contextmanager
def tier(name: str) -> Iterator[None]:
    """Run everything on one tier, ``host`` or ``xla``."""
    before, config.tier = config.tier, name
    try:
        yield
    finally:
        config.tier = before
