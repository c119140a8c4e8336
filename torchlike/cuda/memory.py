"""The accelerator's memory, as JAX counts it."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from typing import Any

from torchlike._tensor.placement import accelerators

#: What torch calls the numbers that JAX knows.
_NAMES = {
    "allocated_bytes.all.current": "bytes_in_use",
    "allocated_bytes.all.peak": "peak_bytes_in_use",
    "active_bytes.all.current": "bytes_in_use",
    "active_bytes.all.peak": "peak_bytes_in_use",
    "reserved_bytes.all.current": "pool_bytes",
    "reserved_bytes.all.peak": "peak_pool_bytes",
    "allocation.all.allocated": "num_allocs",
}


def _index(device: Any) -> int:
    from torchlike import cuda

    return cuda._index(device)


def _of(device: Any) -> dict[str, int]:
    """JAX's counts for an accelerator."""
    from torchlike import cuda

    return cuda._require()[_index(device)].memory_stats() or {}


def memory_stats(device: Any = None) -> OrderedDict[str, int]:
    """The counts that JAX keeps, under torch's names; empty where there is no accelerator."""
    if not accelerators():
        return OrderedDict()
    counts = _of(device)
    return OrderedDict((name, counts[own]) for name, own in sorted(_NAMES.items()) if own in counts)


def memory_allocated(device: Any = None) -> int:
    """The bytes in use on the accelerator; 0 where there is none."""
    return _of(device).get("bytes_in_use", 0) if accelerators() else 0


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that were in use at once; 0 where there is no accelerator."""
    return _of(device).get("peak_bytes_in_use", 0) if accelerators() else 0


def memory_reserved(device: Any = None) -> int:
    """The bytes that JAX took from the accelerator's driver."""
    return _of(device).get("pool_bytes", memory_allocated(device)) if accelerators() else 0


def max_memory_reserved(device: Any = None) -> int:
    """The most bytes that JAX took from the accelerator's driver."""
    return _of(device).get("peak_pool_bytes", max_memory_allocated(device)) if accelerators() else 0


def _renamed(old: str, new: str) -> None:
    warnings.warn(f"`torch.cuda.{old}` has been renamed to `torch.cuda.{new}`", FutureWarning, stacklevel=3)


def memory_cached(device: Any = None) -> int:
    """Deprecated: :func:`memory_reserved`."""
    _renamed("memory_cached", "memory_reserved")
    return memory_reserved(device)


def max_memory_cached(device: Any = None) -> int:
    """Deprecated: :func:`max_memory_reserved`."""
    _renamed("max_memory_cached", "max_memory_reserved")
    return max_memory_reserved(device)


def empty_cache() -> None:
    """Nothing: JAX keeps no cache that a program could empty."""


def reset_peak_memory_stats(device: Any = None) -> None:
    """Nothing: JAX does not reset its peaks."""


def reset_accumulated_memory_stats(device: Any = None) -> None:
    """Nothing: JAX does not reset its counts."""


def reset_max_memory_allocated(device: Any = None) -> None:
    """Deprecated: :func:`reset_peak_memory_stats`."""
    warnings.warn(
        "torch.cuda.reset_max_memory_allocated now calls torch.cuda.reset_peak_memory_stats, which resets /all/ peak memory "
        "stats.",
        FutureWarning,
        stacklevel=2,
    )
    reset_peak_memory_stats(device)


def reset_max_memory_cached(device: Any = None) -> None:
    """Deprecated: :func:`reset_peak_memory_stats`."""
    warnings.warn(
        "torch.cuda.reset_max_memory_cached now calls torch.cuda.reset_peak_memory_stats, which resets /all/ peak memory stats.",
        FutureWarning,
        stacklevel=2,
    )
    reset_peak_memory_stats(device)


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """The bytes that are free and those that JAX may use in all."""
    counts = _of(device)
    total = counts.get("bytes_limit", 0)
    return total - counts.get("bytes_in_use", 0), total


def _shown(size: int) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 10240 or unit == "GiB":
            return f"{size} {unit}"
        size //= 1024
    return f"{size}"


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """A table of the accelerator's memory; KeyError where there is no accelerator."""
    stats = memory_stats(device)
    rows = [("Allocated memory", "allocated_bytes.all"), ("Active memory", "active_bytes.all"),
            ("GPU reserved memory", "reserved_bytes.all")]  # fmt: skip
    stats["allocated_bytes.all.current"]
    line = "|" + "=" * 51 + "|"
    shown = [line, f"| {f'JAX memory summary, device ID {_index(device)}':<49} |", line,
             f"| {'Metric':<21}| {'Cur Usage':<12}| {'Peak Usage':<12}|", "|" + "-" * 51 + "|"]  # fmt: skip
    for title, key in rows:
        if f"{key}.current" in stats:
            current, peak = (_shown(stats.get(f"{key}.{which}", 0)) for which in ("current", "peak"))
            shown.append(f"| {title:<21}| {current:>11} | {peak:>11} |")
    return "\n".join([*shown, line, ""])


def _record_memory_history(*args: Any, **kwargs: Any) -> None:
    """NotImplementedError: JAX keeps no history of single allocations."""
    raise NotImplementedError(
        "torch.cuda.memory._record_memory_history records each allocation of CUDA's caching allocator; JAX allocates memory "
        "here and keeps no such history. jax.profiler.save_device_memory_profile writes what is in use"
    )


def _snapshot(device: Any = None) -> Any:
    """NotImplementedError: JAX keeps no history of single allocations."""
    raise NotImplementedError(
        "torch.cuda.memory._snapshot shows the segments of CUDA's caching allocator; JAX allocates memory here. "
        "jax.profiler.save_device_memory_profile writes what is in use"
    )


def _dump_snapshot(filename: str = "dump_snapshot.pickle") -> None:
    """NotImplementedError: JAX keeps no history of single allocations."""
    _snapshot()
