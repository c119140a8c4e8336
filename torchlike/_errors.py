"""Errors of torch that are classes of their own."""

from __future__ import annotations


class AcceleratorError(RuntimeError):
    """Raised for an error of an accelerator."""


class OutOfMemoryError(RuntimeError):
    """Raised where an accelerator has no memory left."""


AcceleratorError.__module__ = OutOfMemoryError.__module__ = "torch"
