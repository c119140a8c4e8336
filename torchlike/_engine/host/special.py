"""Host rules of the special functions, from SciPy (imported when first needed, as that takes a tenth of a second)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from torchlike._engine.host.base import RULES, adapt, constant, dtype_of, fresh, rule, ufunc_of, wide

SCIPY: dict[str, str] = {
    "bessel_i0e": "i0e",
    "bessel_i1e": "i1e",
    "erf": "erf",
    "erf_inv": "erfinv",
    "erfc": "erfc",
    "igamma": "gammainc",
    "igammac": "gammaincc",
    "regularized_incomplete_beta": "betainc",
}
"""Primitives and the functions of ``scipy.special`` that mean the same."""


def _special(name: str) -> Any:
    import scipy.special

    return getattr(scipy.special, name)


def _scipy_rule(name: str) -> Callable[[Any], Callable]:
    return lambda eqn: ufunc_of(eqn, _special(name))


RULES.update({primitive: _scipy_rule(name) for primitive, name in SCIPY.items()})


@rule("lgamma")
def _lgamma(eqn: Any) -> Callable:
    """The logarithm of the absolute value of gamma; infinite at both ends."""
    gammaln, maximum = _special("gammaln"), np.finfo(wide(dtype_of(eqn))).max
    least = constant(-maximum, wide(dtype_of(eqn)))  # a pole, as every large negative number is
    return adapt(eqn, fresh(lambda x: gammaln(np.maximum(x, least))))


@rule("zeta")
def _zeta(eqn: Any) -> Callable:
    """Hurwitz's zeta function."""
    zeta = _special("zeta")
    return adapt(eqn, fresh(lambda x, q: zeta(x, q)))


@rule("digamma")
def _digamma(eqn: Any) -> Callable:
    """The derivative of log-gamma; NaN at its poles, zero among them."""
    psi, dtype = _special("psi"), wide(dtype_of(eqn))
    zero, nan = constant(0, dtype), constant(np.nan, dtype)
    return adapt(eqn, fresh(lambda x: np.where(np.equal(x, zero) | np.equal(x, -np.inf), nan, psi(x))))


@rule("polygamma")
def _polygamma(eqn: Any) -> Callable:
    """Derivative of digamma of order n: ``(-1)**(n+1) n! zeta(n+1, x)``, and digamma itself for n = 0."""
    psi, zeta, gamma, dtype = _special("psi"), _special("zeta"), _special("gamma"), wide(dtype_of(eqn))
    one = constant(1, dtype)

    def call(n: Any, x: Any) -> Any:
        order = np.add(n, one)
        sign = np.where(np.equal(np.fmod(n, constant(2, dtype)), one), one, -one)
        value = np.where(np.equal(n, 0), psi(x), sign * gamma(order) * zeta(order, x))
        return np.where(np.less(n, 0) | np.not_equal(n, np.floor(n)), constant(np.nan, dtype), value)

    return adapt(eqn, fresh(call))
