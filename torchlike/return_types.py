"""The named tuples that operators with several results return, such as ``torch.return_types.max``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


def named(name: str, fields: tuple[str, ...]) -> Callable[[Iterable[Any]], tuple]:
    """The named tuple type ``torch.return_types.<name>`` with these fields, made the first time it is asked for."""
    existing = globals().get(name)
    if existing is not None:
        return existing

    def show(self: Any) -> str:
        shown = ",\n".join(f"{field}={value!r}" for field, value in zip(fields, self, strict=True))
        return f"torch.return_types.{name}(\n{shown})"

    def reduce(self: Any) -> tuple:
        return cls, (tuple(self),)

    members: dict[str, Any] = {field: property(lambda self, i=i: self[i]) for i, field in enumerate(fields)}
    members.update(
        __slots__=(), __module__="torch.return_types", __repr__=show, __reduce__=reduce, n_fields=len(fields),
        n_sequence_fields=len(fields), n_unnamed_fields=0, _fields=fields, __match_args__=fields,
    )  # fmt: skip
    cls = type(name, (tuple,), members)
    globals()[name] = cls
    return cls
