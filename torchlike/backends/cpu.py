"""``torch.backends.cpu``: what the processor can do."""

from __future__ import annotations


def get_cpu_capability() -> str:
    """The widest vector instructions of the processor that native PyTorch would use."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
            flags = f.read()
    except OSError:
        return "DEFAULT"
    return "AVX512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "DEFAULT"
