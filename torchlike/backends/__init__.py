"""``torch.backends``: switches of libraries that are not underneath here; they keep what a program sets."""

from __future__ import annotations

from torchlike.backends import cpu, cuda, cudnn, mkl, mkldnn, mps, openmp, opt_einsum, xnnpack

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp", "opt_einsum", "xnnpack"]
