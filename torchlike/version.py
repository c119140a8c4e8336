"""Which PyTorch this package speaks, and which release of the package speaks it.

``__version__`` is PyTorch's version with ``torchlike`` as its local part, so that a program which asks for a minimal
PyTorch gets the answer it needs, and one that prints the version sees what it runs on. ``release`` is the package's own
version. ``cuda`` is the version of the CUDA libraries that JAX would use, or None where there are none.
"""

from __future__ import annotations

__all__ = ["__version__", "cuda", "debug", "git_version", "hip", "rocm", "xpu"]

release = "0.1.0"
api = "2.13.0"
__version__ = f"{api}+torchlike"
debug = False
git_version = "Unknown"
hip: str | None = None
rocm: str | None = None
xpu: str | None = None
cuda: str | None


def _cuda_version() -> str | None:
    """``major.minor`` of the installed CUDA runtime that JAX's GPU plugin brings, without starting a GPU."""
    from importlib import metadata

    for generation in ("13", "12"):
        try:
            metadata.version(f"jax-cuda{generation}-plugin")
        except metadata.PackageNotFoundError:
            continue
        for name in ("nvidia-cuda-runtime", f"nvidia-cuda-runtime-cu{generation}"):
            try:
                return ".".join(metadata.version(name).split(".")[:2])
            except metadata.PackageNotFoundError:
                continue
        return f"{generation}.0"
    return None


def __getattr__(name: str) -> str | None:
    if name == "cuda":
        globals()["cuda"] = _cuda_version()
        return globals()["cuda"]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
