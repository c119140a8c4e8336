"""``torch.__config__``: what this package is built on."""

from __future__ import annotations

import os


def show() -> str:
    """A description of the libraries underneath."""
    import jax
    import jaxlib
    import numpy

    from torchlike import version

    lines = [
        "PyTorch built with:",
        f"  - torchlike {version.release}, PyTorch's interface of version {version.api}",
        f"  - JAX {jax.__version__}, jaxlib {jaxlib.__version__}",  # type: ignore[attr-defined]
        f"  - NumPy {numpy.__version__}",
        f"  - Devices: {', '.join(sorted({d.platform for d in jax.devices()}))}",
    ]
    return "\n".join([*lines, ""])


def parallel_info() -> str:
    """A description of the threads that operations use."""
    from torchlike import get_num_interop_threads, get_num_threads

    lines = [
        "ATen/Parallel:", f"\tat::get_num_threads() : {get_num_threads()}",
        f"\tat::get_num_interop_threads() : {get_num_interop_threads()}",
        f"OMP_NUM_THREADS : {os.environ.get('OMP_NUM_THREADS', '[not set]')}",
    ]  # fmt: skip
    return "\n".join([*lines, ""])
