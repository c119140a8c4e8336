"""Distributions that are sampled by rejection: Poisson, binomial, gamma, Dirichlet.

How many uniforms an element takes depends on what they are, so these run element by element, in Python floats. As in
``draws``, the numbers and the words taken for them are PyTorch's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from math import floor, inf, lgamma, log, nan, sqrt

import ml_dtypes
import numpy as np

from torchlike._engine.mt19937 import MT19937Stream
from torchlike._engine.uniforms import FLOAT32, FLOAT64, FLOATS, doubles_of, narrow, require_dtype, type_label

NEGATIVE_RATE = "invalid Poisson rate, expected rate to be non-negative"
_REAL = frozenset({FLOAT32, FLOAT64})


class _Uniforms:
    """Uniform float64 numbers on [0, 1), one a call. Leaving the ``with`` block takes the words of those used.

    The numbers of what is left of the generator's block are made together. If that is an odd number of words, the last
    is taken out of the stream to form a pair with the first of the next block.
    """

    __slots__ = ("_next", "_stream", "_taken", "_values")

    def __init__(self, stream: MT19937Stream):
        self._stream = stream
        self._values: list[float] = []
        self._next = self._taken = 0

    def __enter__(self) -> _Uniforms:
        return self

    def __exit__(self, *_: object) -> None:
        self._take_used()

    def _take_used(self) -> None:
        self._stream.raw(2 * self._next - self._taken)

    def __call__(self) -> float:
        at = self._next
        if at == len(self._values):
            self._take_used()
            words = self._stream.peek()
            self._taken = 0
            if words.size == 1:
                words = np.concatenate((self._stream.raw(1), self._stream.peek()))
                self._taken = 1
            self._values = doubles_of(words[: words.size & ~1]).tolist()
            at = 0
        self._next = at + 1
        return self._values[at]


def _log(x: float) -> float:
    return log(x) if x > 0 else -inf


def _ceil(x: float) -> float:
    return x if x == inf else math.ceil(x)


# ----------------------------------------------------------------------------------------------------- Poisson


def poisson(stream: MT19937Stream, rates: np.ndarray) -> np.ndarray:
    """Poisson variates with the given rates, in their dtype."""
    if rates.size == 0:
        return np.empty_like(rates)
    require_dtype(rates.dtype, FLOATS, "poisson_cpu")
    with _Uniforms(stream) as uniform:
        values = [_poisson(rate, uniform) for rate in _elements(rates)]
    return narrow(np.array(values, np.int64), rates.dtype).reshape(rates.shape)


def _elements(array: np.ndarray) -> list[float]:
    return array.astype(FLOAT64).reshape(-1).tolist()


def _poisson(rate: float, uniform: Callable[[], float]) -> int:
    if not rate >= 0:
        raise RuntimeError(NEGATIVE_RATE)
    if rate >= 10:
        return _poisson_by_rejection(rate, uniform)
    if rate == 0:
        return 0
    # as many events as uniforms whose product stays above exp(-rate)
    least, product, events = math.exp(-rate), uniform(), 0
    while product > least:
        product *= uniform()
        events += 1
    return events


def _poisson_by_rejection(rate: float, uniform: Callable[[], float]) -> int:
    """Hörmann's transformed rejection with squeeze, PTRS (Insurance: Mathematics and Economics 12, 1993)."""
    root, log_rate = sqrt(rate), log(rate)
    b = 0.931 + 2.53 * root
    a = -0.059 + 0.02483 * b
    log_inverse_alpha = log(1.1239 + 1.1328 / (b - 3.4))
    squeeze = 0.9277 - 3.6224 / (b - 2)
    while True:
        u = uniform() - 0.5
        v = uniform()
        us = 0.5 - abs(u)
        if us == 0:
            continue
        k = floor((2 * a / us + b) * u + rate + 0.43)
        if us >= 0.07 and v <= squeeze:
            return k
        if k < 0 or (us < 0.013 and v > us):
            continue
        if _log(v) + log_inverse_alpha - log(a / (us * us) + b) <= -rate + k * log_rate - lgamma(k + 1.0):
            return k


# ---------------------------------------------------------------------------------------------------- binomial


def binomial(stream: MT19937Stream, count: np.ndarray, prob: np.ndarray) -> np.ndarray:
    """Binomial variates for numbers of trials and probabilities that broadcast together, in their common dtype."""
    for name, array in (("count", count), ("prob", prob)):
        if array.dtype not in FLOATS and not type_label(array.dtype).startswith("Float8"):
            raise ValueError(f"binomial only supports floating-point dtypes for {name}, got: {type_label(array.dtype)}")
    if count.dtype != prob.dtype:
        raise RuntimeError(f"Found dtype {type_label(prob.dtype)} but expected {type_label(count.dtype)}")
    require_dtype(count.dtype, _REAL, "binomial_cpu")
    with _Uniforms(stream) as uniform:
        values = [_binomial(uniform, *setting) for setting in zip(*_binomial_settings(count, prob))]
    return np.array(values, count.dtype).reshape(np.broadcast_shapes(count.shape, prob.shape))


def _binomial_settings(count: np.ndarray, prob: np.ndarray) -> list[list[float]]:
    """For each element ``n``, ``p``, the smaller of ``p`` and ``1 - p``, and what the methods need, made in the dtype.

    That is: the mean, the standard deviation, the mode and the odds of success, and the logarithm of the probability of
    failure, all for the smaller probability.
    """
    n, p = (array.reshape(-1) for array in np.broadcast_arrays(count, prob))
    one = n.dtype.type(1)
    with np.errstate(all="ignore"):
        few = np.where(p <= 0.5, p, (1.0 - p.astype(FLOAT64)).astype(p.dtype))
        many = one - few
        mean = n * few
        log_failure = np.log1p(-few.astype(FLOAT64)).astype(p.dtype)
        settings = (n, p, few, mean, np.sqrt(mean * many), np.floor((n + one) * few), few / many, log_failure)
    return [setting.tolist() for setting in settings]


def _binomial(
    uniform: Callable[[], float],
    n: float,
    p: float,
    few: float,
    mean: float,
    deviation: float,
    mode: float,
    odds: float,
    log_failure: float,
) -> float:
    if n <= 0 or p <= 0:
        return 0.0
    if p >= 1:
        return n
    if math.isnan(p) or math.isnan(n):
        return nan
    if mean >= 10:
        successes = _binomial_by_rejection(uniform, n, few, mean, deviation, mode, odds)
    else:
        successes = _binomial_by_inversion(uniform, n, log_failure)
    return successes if p <= 0.5 else n - successes


def _binomial_by_inversion(uniform: Callable[[], float], n: float, log_failure: float) -> float:
    """Geometric waiting times until they exceed ``n``."""
    trials, successes = _ceil(_log(uniform()) / log_failure), 0
    while trials <= n:
        successes += 1
        trials += _ceil(_log(uniform()) / log_failure)
    return float(successes)


#: What Stirling's formula for log k! leaves out, for k up to 9.
_STIRLING_TAIL = (
    0.0810614667953272, 0.0413406959554092, 0.0276779256849983, 0.02079067210376509, 0.0166446911898211,
    0.0138761288230707, 0.0118967099458917, 0.0104112652619720, 0.00925546218271273, 0.00833056343336287,
)  # fmt: skip


def _stirling_tail(k: float) -> float:
    if k < 10:
        return _STIRLING_TAIL[int(k)]
    square = (k + 1) * (k + 1)
    return (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / square) / square) / (k + 1)


def _binomial_by_rejection(
    uniform: Callable[[], float], n: float, p: float, mean: float, deviation: float, mode: float, odds: float
) -> float:
    """Hörmann's BTRS (Journal of Statistical Computation and Simulation 46, 1993), for ``n p >= 10``, ``p <= 1/2``."""
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * p
    c = mean + 0.5
    squeeze = 0.92 - 4.2 / b
    alpha = (2.83 + 5.1 / b) * deviation
    while True:
        u = uniform() - 0.5
        v = uniform()
        us = 0.5 - abs(u)
        if us == 0:
            continue
        k = float(floor((2 * a / us + b) * u + c))
        if k < 0 or k > n:
            continue
        if us >= 0.07 and v <= squeeze:
            return k
        bound = (
            (mode + 0.5) * log((mode + 1) / (odds * (n - mode + 1)))
            + (n + 1) * log((n - mode + 1) / (n - k + 1))
            + (k + 0.5) * log(odds * (n - k + 1) / (k + 1))
            + _stirling_tail(mode)
            + _stirling_tail(n - mode)
            - _stirling_tail(k)
            - _stirling_tail(n - k)
        )
        if _log(v * alpha / (a / (us * us) + b)) <= bound:
            return k


# -------------------------------------------------------------------------------------------- gamma, Dirichlet


def _normal(stream: MT19937Stream, uniform: Callable[[], float]) -> float:
    """One standard normal variate; every other one is the partner of the one before."""
    waiting = stream.next_normal
    if waiting is not None:
        stream.next_normal = None
        return waiting
    u1, u2 = uniform(), uniform()
    radius, angle = sqrt(-2.0 * math.log1p(-u2)), 2.0 * math.pi * u1
    stream.next_normal = radius * math.sin(angle)
    return radius * math.cos(angle)


_SQUEEZE = float(np.float32(0.0331))
_THIRD = np.float32(1) / np.float32(3)


def _gamma(
    stream: MT19937Stream, uniform: Callable[[], float], alpha: float, inverse: float, d: float, c: float
) -> float:
    """Marsaglia and Tsang's method (ACM Transactions on Mathematical Software 26, 2000)."""
    scale = 1.0
    if alpha < 1:
        if alpha == 0:
            return 0.0
        scale = (1 - uniform()) ** inverse
    if not 0 < d < inf:
        return d if d == inf else nan
    while True:
        x = y = 0.0
        while y <= 0:
            x = _normal(stream, uniform)
            y = 1.0 + c * x
        v = y * y * y
        u = 1 - uniform()
        xx = x * x
        if u < 1.0 - _SQUEEZE * xx * xx or log(u) < 0.5 * xx + d * (1.0 - v + log(v)):
            return scale * d * v


def _gammas(stream: MT19937Stream, alpha: np.ndarray) -> np.ndarray:
    """Standard gamma variates, at least the smallest positive number of full precision.

    A shape less than 1 is raised by 1, and the variate multiplied by a power of a uniform.
    """
    flat = alpha.reshape(-1)
    one = alpha.dtype.type(1)
    with np.errstate(all="ignore"):
        inverse = one / flat
        d = (np.where(flat < 1, flat + one, flat) - alpha.dtype.type(_THIRD)).astype(FLOAT64)
        c = 1.0 / np.sqrt(9.0 * d)
    with _Uniforms(stream) as uniform:
        settings = zip(*(setting.tolist() for setting in (flat, inverse, d, c)))
        values = [_gamma(stream, uniform, *setting) for setting in settings]
    least = ml_dtypes.finfo(alpha.dtype).smallest_normal
    return np.fmax(np.array(values, alpha.dtype), least).reshape(alpha.shape)


def standard_gamma(stream: MT19937Stream, alpha: np.ndarray) -> np.ndarray:
    """Gamma variates of scale 1 with the given shapes, in their dtype."""
    if alpha.size == 0:
        return np.empty_like(alpha)
    require_dtype(alpha.dtype, _REAL, "gamma_cpu")
    return _gammas(stream, alpha)


def dirichlet(stream: MT19937Stream, alpha: np.ndarray) -> np.ndarray:
    """Dirichlet variates along the last axis: gamma variates in float64, divided by their sum."""
    require_dtype(alpha.dtype, _REAL, "dirichlet")
    gammas = _gammas(stream, alpha.astype(FLOAT64))
    total = gammas.sum(axis=-1, keepdims=True) if gammas.ndim else gammas
    shares = np.asarray(gammas / total).astype(alpha.dtype)
    least = ml_dtypes.finfo(alpha.dtype).smallest_normal
    return np.clip(shares, least, np.nextafter(alpha.dtype.type(1), alpha.dtype.type(0)))
