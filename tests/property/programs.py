"""Random programs of views, in-place writes and backward passes, run the same on native PyTorch and on torchlike.

A program is a list of steps drawn from a seed; each step names tensors made before it by number. ``run`` executes a
program on either library and gives one observation for each step and one for each tensor at the end: contents, shape,
strides, version, node name, gradient, or the type of the error that a step raised. A step that raises leaves everything
as it was, and the program goes on.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

SHAPES = [(), (1,), (4,), (2, 3), (3, 1), (2, 3, 4), (1, 4), (2, 2, 2)]


def program(seed: int, length: int = 14) -> list[tuple]:
    """A random program."""
    rng = random.Random(seed)
    steps: list[tuple] = []
    for _ in range(rng.randint(1, 3)):
        steps.append(("leaf", rng.choice(SHAPES), rng.random() < 0.6, rng.randrange(1 << 30)))
    for _ in range(rng.randint(4, length)):
        steps.append(_step(rng))
    steps.append(("backward",))
    return steps


#: How often each kind of step is drawn.
KINDS = {
    "view": 6, "out": 5, "inplace": 5, "index": 3, "setitem": 3, "setnumber": 1.5, "detach": 1, "no_grad_write": 1,
    "data_write": 0.7, "leaf": 1, "numpy": 1, "numpy_write": 0.5, "backward": 0.5,
}  # fmt: skip


def _step(rng: random.Random) -> tuple:
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    a, b = rng.randrange(1 << 16), rng.randrange(1 << 16)
    if kind == "view":
        return (kind, a, rng.choice(list(VIEWS)), [rng.randrange(-3, 5) for _ in range(4)])
    if kind == "out":
        return (kind, a, b, rng.choice(list(OUT)))
    if kind == "inplace":
        return (kind, a, b, rng.choice(list(INPLACE)))
    if kind in ("index", "setitem", "setnumber"):
        return (kind, a, b, _index(rng))
    if kind == "leaf":
        return (kind, rng.choice(SHAPES), rng.random() < 0.5, rng.randrange(1 << 30))
    return (kind, a)


def _index(rng: random.Random) -> list:
    entries: list = []
    for _ in range(rng.randint(1, 3)):
        entries.append(
            rng.choice(
                [
                    ("int", rng.randrange(-3, 3)),
                    ("slice", rng.choice([None, 0, 1, -2]), rng.choice([None, 2, 3, -1]), rng.choice([None, 1, 2])),
                    ("slice", None, None, None),
                    ("none",),
                    ("ellipsis",),
                    ("bool", rng.random() < 0.8),
                    ("list", [rng.randrange(-2, 2) for _ in range(rng.randint(1, 3))]),
                    ("table", [[rng.randrange(-1, 2), rng.randrange(-1, 2)] for _ in range(rng.randint(1, 2))]),
                    ("list", [rng.random() < 0.6 for _ in range(rng.choice([2, 2, 3, 4]))]),
                ]
            )
        )
    return entries


def _key(torch: Any, entries: list) -> tuple:
    make = {
        "int": lambda i: i,
        "slice": slice,
        "none": lambda: None,
        "ellipsis": lambda: Ellipsis,
        "bool": lambda b: b,
        "list": lambda x: torch.tensor(x),
        "table": lambda x: torch.tensor(x),
    }
    return tuple(make[kind](*rest) for kind, *rest in entries)


VIEWS: dict[str, Callable[[Any, list[int]], Any]] = {
    "t": lambda x, n: x.t(),
    "T": lambda x, n: x.T,
    "mT": lambda x, n: x.mT,
    "transpose": lambda x, n: x.transpose(n[0], n[1]),
    "permute": lambda x, n: x.permute(*range(x.dim())[::-1]),
    "unsqueeze": lambda x, n: x.unsqueeze(n[0]),
    "squeeze": lambda x, n: x.squeeze(),
    "squeeze_dim": lambda x, n: x.squeeze(n[0]),
    "squeeze_dims": lambda x, n: x.squeeze((0, -1)),
    "view_flat": lambda x, n: x.view(-1),
    "reshape_flat": lambda x, n: x.reshape(-1),
    "view_two": lambda x, n: x.view(2, -1),
    "reshape_two": lambda x, n: x.reshape(2, -1),
    "reshape_three": lambda x, n: x.reshape(-1, 2, 2),
    "select": lambda x, n: x.select(n[0], n[1]),
    "narrow": lambda x, n: x.narrow(n[0], abs(n[1]), abs(n[2]) % 3),
    "expand": lambda x, n: x.expand(2, *x.shape),
    "expand_inside": lambda x, n: x.unsqueeze(-1).expand(*x.shape, 2),
    "expand_one": lambda x, n: x.expand(1, *x.shape),
    "diagonal": lambda x, n: x.diagonal(n[0] % 2),
    "unbind": lambda x, n: x.unbind(n[0])[0],
    "unbind_last": lambda x, n: x.unbind(n[0])[-1],
    "chunk": lambda x, n: x.chunk(2, n[0])[-1],
    "split": lambda x, n: x.split(1, n[0])[0],
    "split_sizes": lambda x, n: x.split([1, x.shape[n[0]] - 1], n[0])[1],
    "tensor_split": lambda x, n: x.tensor_split(2, n[0])[0],
    "flatten": lambda x, n: x.flatten(),
    "unflatten": lambda x, n: x.unflatten(n[0], (2, -1)),
    "movedim": lambda x, n: x.movedim(n[0], n[1]),
    "unfold": lambda x, n: x.unfold(n[0], 2, 2),
    "as_strided": lambda x, n: x.as_strided((2, 2), (2 + n[0] % 2, 1)),
    "contiguous": lambda x, n: x.contiguous(),
    "alias": lambda x, n: x[...],
    "view_as": lambda x, n: x.view_as(x),
}

OUT: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y,
    "mul": lambda x, y: x * y,
    "sub": lambda x, y: x - y,
    "scale": lambda x, y: x * 2.5,
    "sin": lambda x, y: x.sin(),
    "sum": lambda x, y: x.sum(),
    "sum_last": lambda x, y: x.sum(-1, keepdim=True),
    "mean0": lambda x, y: x.mean(0),
    "clone": lambda x, y: x.clone(),
    "square": lambda x, y: x**2,
    "divide": lambda x, y: x / (y * y + 1),
}

INPLACE: dict[str, Callable[[Any, Any], Any]] = {
    "add_": lambda x, y: x.add_(y),
    "mul_": lambda x, y: x.mul_(y),
    "scale_": lambda x, y: x.mul_(0.5),
    "sin_": lambda x, y: x.sin_(),
    "zero_": lambda x, y: x.zero_(),
    "fill_": lambda x, y: x.fill_(1.5),
    "fill_tensor_": lambda x, y: x.fill_(y.sum()),
    "copy_": lambda x, y: x.copy_(y),
    "sub_": lambda x, y: x.sub_(y, alpha=2),
    "clamp_": lambda x, y: x.clamp_(0.6, 1.9),
    "iadd": lambda x, y: x.__iadd__(y),
}


class Text(str):
    """The text of an error: shown, not compared."""


def run(torch: Any, steps: list[tuple]) -> list:
    """What each step of a program shows on this library, and all tensors and gradients at its end."""
    tensors: list = []
    arrays: list = []
    seen: list = []
    graded = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for step in steps:
            try:
                made = _execute(torch, step, tensors, arrays)
            except (RuntimeError, IndexError, ValueError, TypeError) as error:
                seen.append(("error", type(error).__name__, Text(error)))
                # Native PyTorch adds to some gradients before it comes upon the error; they are not compared.
                graded &= step[0] != "backward"
                continue
            # Behind the tape's back, native PyTorch changes what was saved for the backward; here that is immutable.
            graded &= step[0] not in ("data_write", "numpy_write")
            if made is not None:
                tensors.append(made)
            seen.append(None if made is None else _shown(made))
        for t in tensors:
            seen.append(("final", _shown(t), _gradient(t) if graded else None))
    return seen


def _execute(torch: Any, step: tuple, tensors: list, arrays: list) -> Any:
    kind = step[0]
    if kind == "leaf":
        _, shape, requires_grad, seed = step
        array = np.random.default_rng(seed).uniform(0.5, 2.0, shape)
        return torch.tensor(array, requires_grad=requires_grad)
    if kind == "backward":
        roots = [t for t in tensors if t.requires_grad and not t.is_leaf]
        if roots:
            sum((t * 1.0).sum() for t in roots[-3:]).backward(retain_graph=True)
        return None
    x = tensors[step[1] % len(tensors)]
    if kind == "view":
        return VIEWS[step[2]](x, step[3])
    if kind == "detach":
        return x.detach()
    if kind == "numpy":
        arrays.append(x.detach().numpy())
        return None
    if kind == "numpy_write":
        if arrays:
            arrays[step[1] % len(arrays)][...] *= 0.75
        return None
    if kind == "no_grad_write":
        with torch.no_grad():
            x.mul_(1.25)
        return None
    if kind == "data_write":
        x.data.mul_(1.5)
        return None
    y = tensors[step[2] % len(tensors)]
    if kind == "out":
        return OUT[step[3]](x, y)
    if kind == "inplace":
        INPLACE[step[3]](x, y)
        return None
    key = _key(torch, step[3])
    if kind == "index":
        return x[key]
    _check_places(x, key)
    x[key] = y if kind == "setitem" else 1.5
    return None


def _check_places(x: Any, key: tuple) -> None:
    """Raise for an index out of range before anything is written: native PyTorch writes what comes before it."""
    try:
        x.detach()[key]
    except IndexError as error:
        if "is out of bounds for dimension" in str(error):
            raise


def _gradient(t: Any) -> Any:
    try:
        return None if not t.is_leaf or t.grad is None else (_numbers(t.grad), tuple(t.grad.shape))
    except RuntimeError as error:
        return str(error)


def _numbers(t: Any) -> np.ndarray:
    return np.array(t.detach().numpy())


def _shown(t: Any) -> tuple:
    try:
        node = t.grad_fn
    except RuntimeError as error:
        return ("no history", str(error))
    return (
        tuple(t.shape), tuple(t.stride()) if t.numel() else None, t.storage_offset() if t.numel() else None,
        t.requires_grad, t.is_leaf, None if node is None else type(node).__name__, t._version, _numbers(t),
    )  # fmt: skip


def difference(want: Any, got: Any) -> str | None:
    """Where two runs differ, None where they agree (numbers to rounding)."""
    if len(want) != len(got):
        return f"{len(want)} observations, not {len(got)}"
    for i, (w, g) in enumerate(zip(want, got, strict=True)):
        found = differs(w, g)
        if found:
            return f"observation {i}: want {w}, got {g} ({found})"
    return None


def differs(w: Any, g: Any) -> str | None:
    """How two observations differ, None where they agree."""
    if isinstance(w, np.ndarray) or isinstance(g, np.ndarray):
        if not isinstance(g, np.ndarray) or not isinstance(w, np.ndarray) or w.shape != g.shape:
            return "shape or presence"
        return None if np.allclose(w, g, rtol=1e-9, atol=1e-12, equal_nan=True) else "numbers"
    if isinstance(w, tuple) and isinstance(g, tuple):
        if len(w) != len(g):
            return "length"
        found = ((i, differs(a, b)) for i, (a, b) in enumerate(zip(w, g, strict=True)))
        return next((f"field {i}: {d}" for i, d in found if d), None)
    return None if w == g or (isinstance(w, Text) and isinstance(g, Text)) else f"{w!r} != {g!r}"
