"""Counters of ``torch._dynamo``, and its comparison of results."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

counters: defaultdict[str, Counter[str]] = defaultdict(Counter)


def same(ref: Any, res: Any, fp64_ref: Any = None, cos_similarity: bool = False, tol: float = 1e-4, equal_nan: bool = False,
         **kwargs: Any) -> bool:  # fmt: skip
    """Whether two results, or nested containers of them, agree up to the tolerance ``tol``."""
    import torchlike as torch

    if isinstance(ref, torch.Tensor):
        if not isinstance(res, torch.Tensor) or ref.shape != res.shape:
            return False
        if cos_similarity:
            a, b = ref.flatten().to(torch.float32), res.flatten().to(torch.float32)
            return bool(torch.nn.functional.cosine_similarity(a, b, 0, 1e-6) >= 0.99)
        return torch.allclose(ref, res.to(ref.dtype), rtol=tol, atol=tol, equal_nan=equal_nan)
    if isinstance(ref, Mapping):
        return ref.keys() == res.keys() and all(same(ref[k], res[k], None, cos_similarity, tol, equal_nan) for k in ref)
    if isinstance(ref, Sequence) and not isinstance(ref, str):
        return len(ref) == len(res) and all(
            same(a, b, None, cos_similarity, tol, equal_nan) for a, b in zip(ref, res, strict=True)
        )
    return bool(ref == res)
