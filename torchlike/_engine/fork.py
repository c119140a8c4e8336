"""Forks beside XLA, whose threads a forked child does not have.

Before a fork, whatever is recorded or being computed is finished: in the child nobody would finish it, and whoever
asked for it would wait for ever. The child computes with NumPy from then on. JAX's warning that forking is unsafe is
about what is taken care of here.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings

from torchlike._engine import config, trace

#: What JAX says at a fork, and what Python says of a fork beside threads.
FORK_WARNINGS = ((r"os\.fork\(\) was called", RuntimeWarning), (r".*use of fork\(\) may lead", DeprecationWarning))


def _xla_has_started() -> bool:
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bridge is not None and bridge.backends_are_initialized()


def settle() -> None:
    """Wait until every array that XLA computes is there."""
    trace.flush()
    if _xla_has_started():
        import jax

        for array in jax.live_arrays():
            with contextlib.suppress(Exception):  # what has failed is reported to whoever uses it
                array.block_until_ready()


def _keep_off_xla() -> None:
    if _xla_has_started():
        config.force_host_tier()


def ignore_warnings() -> None:
    """Add filters for the warnings about forking to those that are in force."""
    for message, category in FORK_WARNINGS:
        warnings.filterwarnings("ignore", message=message, category=category)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=settle, after_in_child=_keep_off_xla)
ignore_warnings()
