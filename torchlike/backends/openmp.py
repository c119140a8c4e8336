"""``torch.backends.openmp``: not underneath here."""

from __future__ import annotations


def is_available() -> bool:
    """False."""
    return False
