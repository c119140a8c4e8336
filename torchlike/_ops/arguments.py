"""The arguments of operators: what a declaration says of them, the generated functions, what is off the hot path.

``generate`` makes a function with torch's own signature that sorts its arguments into operands and static ones and
calls dispatch. It is made once, with ``exec``, since binding a signature on each call would cost more than the
operation.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from torchlike._engine.value import concrete
from torchlike._tensor import tensor as tensors
from torchlike._tensor.tensor import Tensor, value_of

STATIC, ARRAY, OPTIONAL, ARRAYS, NUMBER = "static", "array", "optional array", "arrays", "number"

_KINDS = {"Array": ARRAY, "Array | None": OPTIONAL, "Arrays": ARRAYS, "Number": NUMBER, "Number | None": NUMBER}
_TENSOR_NAMES = ("input", "other")

#: What NumPy calls these parameters; torch's own functions take both names.
NUMPY_NAMES = {"dim": "axis", "keepdim": "keepdims"}
_ABSENT = object()


class Parameter(NamedTuple):
    """A parameter of an operator: its name, what it takes, its default, and whether it is keyword-only."""

    name: str
    kind: str
    default: Any
    keyword: bool


def parameters_of(body: Callable) -> list[Parameter]:
    """The parameters of a declaration, from its signature and annotations."""
    result = []
    for p in inspect.signature(body).parameters.values():
        if p.name in _TENSOR_NAMES and p.annotation is p.empty:
            kind = ARRAY
        else:
            kind = _KINDS.get(str(p.annotation).strip("'\""), STATIC)
        result.append(Parameter(p.name, kind, p.default, p.kind is p.KEYWORD_ONLY))
    return result


def as_static(x: Any) -> Any:
    """A static argument in hashable form: lists become tuples, integer tensors and NumPy numbers become numbers."""
    if isinstance(x, (list, tuple)):
        return tuple([as_static(i) for i in x])
    if isinstance(x, (Tensor, np.generic)):
        return x.item()
    return x


# Operands in a row, and back. A layout has an entry for each tensor or number parameter: 0 where it is absent, 1 where
# it is there, and (n,) where it is a sequence of n.


def flatten(op: Any, given: Sequence[Any]) -> tuple[tuple, tuple]:
    """The operands that are there, in a row, and their layout."""
    operands: list[Any] = []
    layout: list[Any] = []
    for position, (p, x) in enumerate(zip(op.tensors, given, strict=True)):
        if p.kind is ARRAYS:
            if not isinstance(x, (list, tuple)):
                if isinstance(x, Tensor) or not hasattr(x, "__iter__"):
                    raise TypeError(
                        f"{op.name}(): argument '{p.name}' (position {position + 1}) must be tuple of Tensors, not "
                        f"{type(x).__name__}"
                    )
                x = list(x)
            for i, element in enumerate(x):
                if not isinstance(element, Tensor):
                    raise TypeError(
                        f"expected Tensor as element {i} in argument {position}, but got {type(element).__name__}"
                    )
            operands.extend(x)
            layout.append((len(x),))
        elif x is None or (p.kind is NUMBER and x is p.default):
            layout.append(0)
        else:
            operands.append(x)
            layout.append(1)
    return tuple(operands), tuple(layout)


def unflatten(op_parameters: Sequence[Parameter], layout: Sequence[Any], operands: Sequence[Any]) -> dict[str, Any]:
    """The operands by parameter name; an absent one is its default."""
    result: dict[str, Any] = {}
    at = 0
    for p, entry in zip(op_parameters, layout, strict=True):
        if entry == 0:
            result[p.name] = None if p.default is inspect.Parameter.empty else p.default
        elif entry == 1:
            result[p.name] = operands[at]
            at += 1
        else:
            result[p.name] = tuple(operands[at : at + entry[0]])
            at += entry[0]
    return result


def owners(op: Any, layout: Any) -> list[Parameter]:
    """The parameter that each operand in a row belongs to."""
    if layout is None:
        return list(op.tensors)
    result = []
    for p, entry in zip(op.tensors, layout, strict=True):
        result.extend([p] * (entry if isinstance(entry, int) else entry[0]))
    return result


def is_plain(op: Any) -> bool:
    """Whether every tensor and number parameter is always there, so that no layout is wanted."""
    return all(p.kind is ARRAY or (p.kind is NUMBER and p.default is inspect.Parameter.empty) for p in op.tensors)


# Generated functions.


def generate(op: Any, inplace: bool) -> Callable:
    """The public function of an operator, or its in-place form, with torch's signature."""
    from torchlike._ops import op as machinery

    scope: dict[str, Any] = {
        "op": op, "call": machinery.call, "call_out": machinery.call_out, "call_inplace": machinery.call_inplace,
        "flatten": flatten, "as_static": as_static, "check": op.check,
    }  # fmt: skip
    parameters = [p for p in op.parameters if not (inplace and p.name == "out")]
    name = op.name + ("_" if inplace else "")
    signature, seen_keyword = [], False
    for p in parameters:
        if p.keyword and not seen_keyword:
            signature.append("*")
            seen_keyword = True
        if p.default is inspect.Parameter.empty:
            signature.append(p.name)
        else:
            scope[f"default_{p.name}"] = p.default
            signature.append(f"{p.name}=default_{p.name}")
    lines = []
    for p in parameters:
        numpy_name = NUMPY_NAMES.get(p.name)
        if numpy_name and p.default is not inspect.Parameter.empty:
            scope["absent"] = _ABSENT
            signature.extend([*(() if seen_keyword else "*"), f"{numpy_name}=absent"])
            seen_keyword = True
            lines.append(f"if {numpy_name} is not absent: {p.name} = {numpy_name}")
    for p in parameters:
        if p.kind is STATIC and p.name != "out":
            lines.append(f"if type({p.name}) not in hashable: {p.name} = as_static({p.name})")
    scope["hashable"] = frozenset([int, bool, str, type(None), float])
    if op.check is not None:
        lines.append(f"check({', '.join(f'{p.name}={p.name}' for p in parameters if p.name != 'out')})")
    statics = "".join(f"{n}, " for n in op.statics)
    given = "".join(f"{p.name}, " for p in op.tensors)
    if is_plain(op):
        operands, layout = f"({given})", "None"
    else:
        operands, layout = "operands", "layout"
        absent = [p for p in op.tensors if p.kind in (OPTIONAL, NUMBER) and p.default is not inspect.Parameter.empty]
        present = [p for p in op.tensors if p not in absent]
        lines.append(f"operands, layout = flatten(op, ({given}))")
        if absent and all(p.kind is ARRAY for p in present):
            # The usual call, without any of the optional operands, is told apart at once.
            scope["usual"] = tuple(0 if p in absent else 1 for p in op.tensors)
            lines[-1:] = [
                f"if {' and '.join(f'{p.name} is default_{p.name}' for p in absent)}: operands, layout = "
                f"({''.join(f'{p.name}, ' for p in present)}), usual",
                f"else: operands, layout = flatten(op, ({given}))",
            ]
    static = f"({layout}, ({statics}), None)"
    if not op.statics and layout == "None":
        scope["static"] = (None, (), None)
        static = "static"
    if inplace:
        lines.append(f"return call_inplace(op, {operands}, {static})")
    else:
        if any(p.name == "out" for p in parameters):
            lines.append(f"if out is not None: return call_out(op, out, {operands}, {static})")
        lines.append(f"return call(op, {operands}, {static})")
    text = f"def {name}({', '.join(signature)}):\n " + "\n ".join(lines)
    exec(compile(text, f"<operator {name}>", "exec"), scope)
    function = scope[name]
    function.__doc__ = op.doc if not inplace else f"In-place form of :func:`{op.name}`."
    function.__module__ = "torch"
    function.operator = op
    return function


# Off the hot path.


def check_numbers(op: Any, layout: Any, inputs: Sequence[Any]) -> None:
    """TypeError where a Python number stands for an operand that must be a tensor."""
    for position, (p, x) in enumerate(zip(owners(op, layout), inputs, strict=False)):
        number = x if isinstance(x, type) else type(x)
        if p.kind is not NUMBER and p.name != "other" and number in (bool, int, float, complex):
            raise wrong_type(op, p, position, number(0))


def wrong_type(op: Any, p: Parameter, position: int, x: Any) -> TypeError:
    """The error for an operand of the wrong type."""
    wanted = "Number" if p.kind is NUMBER else "Tensor"
    return TypeError(
        f"{op.name}(): argument '{p.name}' (position {position + 1}) must be {wanted}, not {type(x).__name__}"
    )


def dispatch_other(op: Any, args: Sequence[Any], static: Any) -> Any:
    """Apply an operator where some operand is neither a plain tensor nor a Python number."""
    from torchlike import overrides
    from torchlike._ops import op as machinery

    subclasses = [type(a) for a in args if isinstance(a, Tensor) and type(a) not in (Tensor, machinery.Parameter)]
    converted = [_operand(op, static[0], i, a) for i, a in enumerate(args)]
    if not subclasses:
        return machinery.call(op, converted, static)
    return overrides.call_operator(op, args, converted, static, subclasses)


def _operand(op: Any, layout: Any, position: int, a: Any) -> Any:
    from torchlike._ops import op as machinery

    if type(a) in (Tensor, machinery.Parameter, bool, int, float, complex):
        return a
    if isinstance(a, Tensor):
        return as_plain(a)
    if isinstance(a, np.generic):
        return a.item()
    if isinstance(a, (bool, int, float, complex)):
        return next(t(a) for t in (bool, int, float, complex) if isinstance(a, t))
    raise wrong_type(op, owners(op, layout)[position], position, a)


def as_plain(a: Tensor) -> Tensor:
    """A plain tensor that is ``a`` in every respect but its class: it shares storage and history."""
    plain = tensors.detached(a)
    plain._requires_grad, plain._edge = a.requires_grad, tensors.edge_of(a)
    return plain


def value_or_number(op: Any, a: Any) -> Any:
    """An operand of an in-place operator as the engine takes it."""
    if isinstance(a, Tensor):
        storage = a._storage
        return storage.value if a._view is None and storage.host_array is None else value_of(a)
    return a if type(a) in (bool, int, float, complex) else _operand(op, None, 1, a)


def common_device(args: Sequence[Any]) -> Any:
    """The device of operands of which one is elsewhere: allowed for a 0-dim tensor on the host, else RuntimeError."""
    found = [a._storage.device for a in args if isinstance(a, Tensor) and a._spec.ndim]
    found = found or [a._storage.device for a in args if isinstance(a, Tensor)]
    for other in found:
        if other is not found[0]:
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, "
                f"{found[0]} and {other}!"
            )
    return found[0]


def resize_out(out: Tensor, shape: tuple[int, ...]) -> None:
    """Give an ``out=`` tensor another shape; torch warns unless it was empty."""
    import warnings

    if out._spec.numel:
        warnings.warn(
            f"An output with one or more elements was resized since it had shape {list(out._spec.shape)}, which does "
            f"not "
            f"match the required output shape {list(shape)}. This behavior is deprecated, and in a future PyTorch "
            f"release "
            "outputs will not be resized unless they have zero elements. You can explicitly reuse an out tensor t by "
            "resizing it, inplace, to zero elements with t.resize_(0).",
            UserWarning,
            stacklevel=4,
        )
    out._storage.value = concrete(np.zeros(shape, out._spec.dtype))
    out._storage.writes += 1
    out._view = None
    out._spec = out._storage.value.spec
