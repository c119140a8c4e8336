"""Errors of ``torch._dynamo``."""

from __future__ import annotations


class TorchDynamoException(RuntimeError):
    """The base of the compiler's errors."""


class InvalidBackend(TorchDynamoException):
    """Raised where ``torch.compile`` is given the name of a backend that does not exist."""

    def __init__(self, name: str):
        super().__init__(f"Invalid backend: {name!r}, see `torch._dynamo.list_backends()` for available backends.")


class Unsupported(TorchDynamoException):
    """Raised by native's compiler for Python that it cannot compile; never here."""


InvalidBackend.__module__ = TorchDynamoException.__module__ = Unsupported.__module__ = "torch._dynamo.exc"
