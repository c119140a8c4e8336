"""``torch.backends.xnnpack``: not underneath here."""

from __future__ import annotations

enabled = False
