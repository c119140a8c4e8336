"""The operators: one declaration each, grouped as torch's documentation groups them.

``load`` runs the declarations; afterwards ``op.exports(namespace)`` has the public names.
"""

from __future__ import annotations

import importlib

#: The modules that declare operators, in the order of what they build on.
MODULES = (
    "arithmetic", "creation", "shape", "memory", "indexing", "elementwise", "bounds", "pairs", "comparison",
    "reduction", "sorting", "joining", "gathering", "statistics", "special_functions", "complex_numbers", "matmul",
    "activation", "loss", "regression_loss", "normalization", "layer_normalization", "dropout", "embedding", "convolution", "pooling",
    "adaptive_pooling", "padding", "attention", "rnn", "distance", "margin_loss", "ctc", "resampling", "grids",
    "rearrangement", "pooling_variants", "neural", "torch_names", "random_ops", "factorizations", "orthogonal", "solvers",
    "spectral", "linalg_ops", "einsum", "fft_ops", "stft", "windows", "queries", "copies", "covariance", "amp", "exchange",
)  # fmt: skip


def load() -> None:
    """Run all declarations."""
    for name in MODULES:
        importlib.import_module(f"torchlike._ops.{name}")
