"""Covariances and correlations of variables given as rows."""

from __future__ import annotations

import warnings
from typing import Any

from torchlike._ops.bodies import type_name_of
from torchlike._ops.linalg_common import require_tensor
from torchlike._ops.op import composite, exports
from torchlike._tensor.tensor import Tensor


def _check_weights(name: str, weights: Tensor, count: int, floating: bool) -> None:
    if weights._spec.ndim > 1:
        raise RuntimeError(
            f"cov(): expected {name} to have one or fewer dimensions but got {name} with {weights._spec.ndim} dimensions"
        )
    is_float = weights.is_floating_point() or weights.is_complex()
    if is_float != floating or weights.dtype.name == "bool":
        kind = "floating point" if floating else "integral"
        raise RuntimeError(
            f"cov(): expected {name} to have {kind} dtype but got {name} with {type_name_of(weights._spec)} dtype"
        )
    if weights._spec.numel != count:
        raise RuntimeError(
            f"cov(): expected {name} to have the same numel as there are observations in the input but got "
            f"{weights._spec.numel} != {count}"
        )
    if count and bool((weights.min() < 0).item()):
        raise RuntimeError(f"cov(): {name} cannot be negative")


def _check_rank(function: str, x: Tensor) -> None:
    require_tensor(x, function, "input", 1)
    if x._spec.ndim > 2:
        raise RuntimeError(
            f"{function}(): expected input to have two or fewer dimensions but got an input with {x._spec.ndim} dimensions"
        )


@composite()
def cov(input, *, correction=1, fweights=None, aweights=None):
    """The matrix of covariances of variables (rows) over observations (columns).

    ``fweights`` says how often each observation counts, ``aweights`` how much. The weights' sum, less ``correction``, divides.
    """
    _check_rank("cov", input)
    if input.dtype.name == "bool":
        raise RuntimeError("cov(): bool dtype is not supported for input")
    table = input if input._spec.ndim == 2 else input.view(1, -1)
    count = table._spec.shape[1]
    weights: Any = None
    if fweights is not None:
        _check_weights("fweights", fweights, count, False)
        weights = fweights
    if aweights is not None:
        _check_weights("aweights", aweights, count, True)
        weights = aweights if weights is None else weights * aweights
    total: Any = count if weights is None else weights.sum()
    if weights is not None and bool((total == 0).item()):
        raise RuntimeError("cov(): weights sum to zero, can't be normalized")
    mean = (table if weights is None else table * weights).sum(1) / total
    if weights is None or correction == 0 or aweights is None:
        divisor = total - correction
    else:
        divisor = total - correction * (weights * aweights).sum() / total
    exhausted = divisor <= 0
    if exhausted if isinstance(exhausted, bool) else bool(exhausted.item()):
        warnings.warn(
            "cov(): degrees of freedom is <= 0. Correction should be strictly less than the number of observations.",
            UserWarning,
            stacklevel=2,
        )
        divisor = 0 if isinstance(exhausted, bool) else divisor * 0
    centred = table - mean.unsqueeze(1)
    other = (centred if weights is None else centred * weights).t()
    products = exports("torch")["mm"](centred, other.conj() if other.is_complex() else other)
    return (products / divisor).squeeze()


@composite()
def corrcoef(input):
    """The matrix of Pearson's correlations of variables (rows) over observations (columns)."""
    _check_rank("corrcoef", input)
    c = cov(input)
    if not c._spec.ndim:
        return c / c
    spread = c.diagonal()
    if c.is_complex():
        deviation = spread.real.sqrt()
    else:
        deviation = spread.sqrt()
    c = c / deviation.view(-1, 1) / deviation.view(1, -1)
    if c.is_complex():
        return exports("torch")["complex"](c.real.clip(-1, 1), c.imag.clip(-1, 1))
    return c.clip(-1, 1)
