"""Switches of ``torch.compiler``; they keep what a program sets and change nothing."""

from __future__ import annotations

job_id: str | None = None
dynamic_sources = ""
unbacked_sources = ""
force_disable_caches = False
cache_key_tag = ""
