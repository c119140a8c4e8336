"""``__torch_function__``: letting classes that are like tensors take part in torch's functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torchlike._tensor.tensor import Tensor


def _default(cls: type, func: Callable, types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None) -> Any:
    """What a Tensor subclass does unless it says otherwise: compute, and return results of the subclass."""
    with _Disabled():
        result = func(*args, **(kwargs or {}))
    return _as(result, cls)


class _Disabled:
    """While active, subclasses are treated as plain tensors."""

    depth = 0

    def __enter__(self) -> None:
        _Disabled.depth += 1

    def __exit__(self, *_: object) -> None:
        _Disabled.depth -= 1


def _as(result: Any, cls: type) -> Any:
    if isinstance(result, Tensor) and type(result) is Tensor and cls is not Tensor:
        return result.as_subclass(cls)
    if isinstance(result, (tuple, list)):
        made = [_as(r, cls) for r in result]
        return made if isinstance(result, list) else type(result)(made)
    return result


def call_operator(op: Any, args: Sequence[Any], plain: Sequence[Any], static: Any, subclasses: Sequence[type]) -> Any:
    """Apply an operator to operands of which some are of subclasses of Tensor."""
    from torchlike._ops.op import Parameter, call

    custom = [c for c in dict.fromkeys(subclasses) if not issubclass(c, Parameter)]
    if _Disabled.depth or not custom:
        return call(op, plain, static)
    cls = next((c for c in custom if all(issubclass(c, d) for d in custom)), custom[0])

    def function(*operands: Any, **_: Any) -> Any:
        return call(op, [a if not isinstance(a, Tensor) else _plain(a) for a in operands], static)

    function.__name__ = op.name
    shown = op.function if not static[1] and op.function is not None else function
    return cls.__torch_function__(shown, tuple(custom), tuple(args), {})


def _plain(a: Tensor) -> Tensor:
    from torchlike._ops.arguments import as_plain

    return a if type(a) is Tensor else as_plain(a)


Tensor.__torch_function__ = classmethod(_default)  # type: ignore[attr-defined]


def is_tensor_like(inp: Any) -> bool:
    """Whether ``inp`` is a tensor or takes part in torch's functions as one."""
    return type(inp) is Tensor or hasattr(inp, "__torch_function__")


def has_torch_function(relevant_args: Sequence[Any]) -> bool:
    """Whether any argument overrides torch's functions."""
    own = Tensor.__torch_function__.__func__  # type: ignore[attr-defined]
    return any(getattr(getattr(type(a), "__torch_function__", None), "__func__", own) is not own for a in relevant_args)
