"""``torch.backends.opt_einsum``: how contractions of several operands are ordered."""

from __future__ import annotations

enabled = True
strategy = "auto"


def is_available() -> bool:
    """True: JAX depends on opt_einsum."""
    return True
