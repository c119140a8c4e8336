"""JAX configured for torch's semantics, before anything uses it: 64-bit types, and the persistent compilation cache."""

from __future__ import annotations

import jax

from torchlike._engine import config, fork  # noqa: F401  (makes forks safe)

jax.config.update("jax_enable_x64", True)
if config.cache_dir:
    jax.config.update("jax_compilation_cache_dir", config.cache_dir)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
