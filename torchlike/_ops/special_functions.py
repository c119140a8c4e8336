"""Special functions: of the gamma, error and Bessel families, entropy, and orthogonal polynomials."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.scipy import special as jsp

from torchlike._ops import op as machinery
from torchlike._ops import reduction
from torchlike._ops.bodies import broadcast_numbers, choose, constant, with_slopes
from torchlike._ops.op import Number, Promote, apply, composite, delivered, pointwise
from torchlike._tensor import dtypes
from torchlike._tensor.tensor import Tensor, from_array, host_array

_TO_FLOAT = Promote.INT_TO_FLOAT
_EVERYWHERE = ("torch", "Tensor", "special")
_SPECIAL = ("special",)
_PLAIN = (None, (), None)


def _also(name: str, function: Any) -> None:
    composite(namespaces=_SPECIAL, name=name)(function)


# The error function.


@pointwise(_TO_FLOAT, inplace=True, namespaces=_EVERYWHERE)
def erf(input, *, out=None):
    """The error function of each element."""
    return lax.erf(input)


@pointwise(_TO_FLOAT, inplace=True, namespaces=_EVERYWHERE)
def erfc(input, *, out=None):
    """One less the error function of each element, exact where that is small."""
    return lax.erfc(input)


@pointwise(_TO_FLOAT, inplace="method", namespaces=_EVERYWHERE)
def erfinv(input, *, out=None):
    """The inverse of the error function at each element."""
    return lax.erf_inv(input)


@jax.custom_jvp
def _erfcx(x: Any) -> Any:
    wide = lax.convert_element_type(x, np.float64)
    ten = np.float64(10)
    near = lax.mul(lax.exp(lax.mul(wide, wide)), lax.erfc(wide))
    # For large x the asymptotic series 1 / (x sqrt(pi)) * sum of (-1)^k (2k - 1)!! / (2 x^2)^k.
    far = lax.max(wide, ten)
    step = lax.div(np.float64(-0.5), lax.mul(far, far))
    term = total = lax.full_like(far, 1)
    for k in range(1, 12):
        term = lax.mul(term, lax.mul(step, np.float64(2 * k - 1)))
        total = lax.add(total, term)
    series = lax.div(total, lax.mul(far, np.float64(math.sqrt(math.pi))))
    return lax.convert_element_type(choose(lax.gt(wide, ten), series, near), x.dtype)


@_erfcx.defjvp
def _erfcx_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    y = _erfcx(x)
    slope = lax.sub(lax.mul(lax.mul(constant(x, 2), x), y), constant(x, 2 / math.sqrt(math.pi)))
    return y, lax.mul(t, slope)


@pointwise(_TO_FLOAT, namespaces=_SPECIAL, node="SpecialErfcxBackward0")
def erfcx(input, *, out=None):
    """``exp(x ** 2) * erfc(x)``, without overflow."""
    return _erfcx(input)


@pointwise(_TO_FLOAT, namespaces=_SPECIAL, node="MulBackward1")
def ndtr(input, *, out=None):
    """The standard normal distribution's share below each element."""
    half = constant(input, 0.5)
    return lax.mul(half, lax.erfc(lax.mul(input, constant(input, -math.sqrt(0.5)))))


@pointwise(_TO_FLOAT, namespaces=_SPECIAL, node="SpecialNdtriBackward0")
def ndtri(input, *, out=None):
    """The inverse of :func:`ndtr`."""
    return jsp.ndtri(input)


@pointwise(_TO_FLOAT, namespaces=_SPECIAL, node="SpecialLogNdtrBackward0")
def log_ndtr(input, *, out=None):
    """The logarithm of :func:`ndtr`, exact far below zero."""
    return jsp.log_ndtr(input)


# The gamma function.


@pointwise(_TO_FLOAT, inplace="method")
def lgamma(input, *, out=None):
    """The logarithm of the absolute value of the gamma function at each element."""
    return _lgamma(input)


def _digamma_value(x: Any) -> Any:
    pole = lax.eq(x, constant(x, 0))
    return choose(pole, lax.div(constant(x, -1), x), lax.digamma(choose(pole, constant(x, 1), x)))


_digamma = with_slopes(_digamma_value, lambda out, x: (_trigamma(x),))
_lgamma = with_slopes(lax.lgamma, lambda out, x: (_digamma(x),))


@pointwise(_TO_FLOAT, inplace="method")
def digamma(input, *, out=None):
    """The derivative of the logarithm of the gamma function at each element."""
    return _digamma(input)


_also("gammaln", lgamma)
_also("psi", digamma)
_also("digamma", digamma)


@jax.custom_jvp
def _trigamma(x: Any) -> Any:
    half, one = constant(x, 0.5), constant(x, 1)
    low = lax.lt(x, half)
    value = lax.zeta(constant(x, 2) * lax.full_like(x, 1), choose(low, lax.sub(one, x), x))
    sine = lax.div(constant(x, math.pi), lax.sin(lax.mul(constant(x, math.pi), x)))
    return choose(low, lax.sub(lax.mul(sine, sine), value), value)


@_trigamma.defjvp
def _trigamma_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _trigamma(x), lax.mul(t, _polygamma(2, x))


def _polygamma(n: int, x: Any) -> Any:
    """The n-th derivative of digamma, differentiable to any order."""
    if n == 0:
        return _digamma(x)
    if n == 1:
        return _trigamma(x)

    @jax.custom_jvp
    def value(x):
        sign = 1.0 if n % 2 else -1.0
        return lax.mul(constant(x, sign * math.factorial(n)), lax.zeta(lax.full_like(x, n + 1), x))

    @value.defjvp
    def _(primals, tangents):
        (x,), (t,) = primals, tangents
        return value(x), lax.mul(t, _polygamma(n + 1, x))

    return value(x)


@pointwise(_TO_FLOAT, name="polygamma", namespaces=("_private",))
def _polygamma_op(input, n):
    """A derivative of digamma."""
    return _polygamma(n, input)


def _order(n: Any) -> int:
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return int(n)


@composite(namespaces=("torch", "special"))
def polygamma(n, input, *, out=None):
    """The ``n``-th derivative of the digamma function at each element."""
    return apply(_polygamma_op.operator, (input,), (None, (_order(n),), None), out)


@composite(namespaces=("Tensor",), name="polygamma")
def _polygamma_method(self, n):
    """The ``n``-th derivative of the digamma function at each element."""
    return polygamma(n, self)


@composite(namespaces=("Tensor",))
def polygamma_(self, n):
    """In-place form of :func:`polygamma`."""
    return machinery.call_inplace(_polygamma_op.operator, (self,), (None, (_order(n),), None))


@pointwise(_TO_FLOAT, inplace="method", namespaces=("torch", "Tensor"))
def mvlgamma(input, p, *, out=None):
    """The logarithm of the multivariate gamma function of dimension ``p`` at each element."""
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    total = constant(input, p * (p - 1) / 4 * math.log(math.pi))
    for j in range(p):
        total = lax.add(_lgamma(lax.sub(input, constant(input, j / 2))), total)
    return total


_also("multigammaln", mvlgamma)


@pointwise(_TO_FLOAT, inplace="method")
def igamma(input, other, *, out=None):
    """The regularized lower incomplete gamma function of order ``input_i`` at ``other_i``."""
    return lax.igamma(input, other)


@pointwise(_TO_FLOAT, inplace="method")
def igammac(input, other, *, out=None):
    """The regularized upper incomplete gamma function of order ``input_i`` at ``other_i``."""
    return lax.igammac(input, other)


_also("gammainc", igamma)
_also("gammaincc", igammac)


@pointwise(_TO_FLOAT, namespaces=_SPECIAL, node="SpecialZetaBackward0")
def zeta(input, other, *, out=None):
    """Hurwitz's zeta function: the sum over k of ``(k + other_i) ** -input_i``."""
    shape = np.broadcast_shapes(np.shape(input), np.shape(other))
    return lax.zeta(*[lax.broadcast_in_dim(x, shape, ()) if not np.shape(x) else x for x in (input, other)])


# Bessel functions with derivatives.


@jax.custom_jvp
def _i0(x: Any) -> Any:
    return lax.mul(lax.exp(lax.abs(x)), lax.bessel_i0e(x))


@jax.custom_jvp
def _i1(x: Any) -> Any:
    return lax.mul(lax.exp(lax.abs(x)), lax.bessel_i1e(x))


_i0.defjvp(lambda primals, tangents: (_i0(*primals), lax.mul(tangents[0], _i1(*primals))))


@_i1.defjvp
def _i1_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    y = _i1(x)
    none = lax.eq(x, constant(x, 0))
    slope = lax.sub(_i0(x), lax.div(y, choose(none, constant(x, 1), x)))
    return y, lax.mul(t, choose(none, constant(x, 0.5), slope))


@pointwise(_TO_FLOAT, inplace=True, namespaces=_EVERYWHERE)
def i0(input, *, out=None):
    """The modified Bessel function of the first kind of order zero at each element."""
    return _i0(input)


@pointwise(_TO_FLOAT, namespaces=_SPECIAL, node="SpecialI0EBackward0")
def i0e(input, *, out=None):
    """The modified Bessel function of the first kind of order zero, times ``exp(-|x|)``."""
    return lax.bessel_i0e(input)


@pointwise(_TO_FLOAT, namespaces=_SPECIAL, node="SpecialI1Backward0")
def i1(input, *, out=None):
    """The modified Bessel function of the first kind of order one at each element."""
    return _i1(input)


@pointwise(_TO_FLOAT, namespaces=_SPECIAL, node="SpecialI1EBackward0")
def i1e(input, *, out=None):
    """The modified Bessel function of the first kind of order one, times ``exp(-|x|)``."""
    return lax.bessel_i1e(input)


# Products with a logarithm, and sin(x) / x.


@pointwise(_TO_FLOAT, inplace=True, namespaces=_EVERYWHERE)
def sinc(input, *, out=None):
    """``sin(pi * x) / (pi * x)``, one at zero."""
    none = lax.eq(input, constant(input, 0))
    turn = lax.mul(constant(input, math.pi), choose(none, constant(input, 1), input))
    return choose(none, constant(input, 1), lax.div(lax.sin(turn), turn))


def _entropy_value(x: Any) -> Any:
    zero = constant(x, 0)
    value = choose(lax.eq(x, zero), zero, lax.mul(lax.neg(x), lax.log(x)))
    return choose(lax.lt(x, zero), constant(x, -math.inf), value)


_entropy = with_slopes(_entropy_value, lambda out, x: (lax.sub(constant(x, -1), lax.log(x)),))


@pointwise(_TO_FLOAT, namespaces=_SPECIAL, node="SpecialEntrBackward0")
def entr(input, *, out=None):
    """The entropy ``-x * log(x)``, zero at zero and minus infinity below."""
    return _entropy(input)


def _xlog1py_value(x: Any, y: Any) -> Any:
    zero = lax.bitwise_and(lax.eq(x, constant(x, 0)), lax.eq(y, y))
    return choose(zero, constant(x, 0), lax.mul(x, lax.log1p(y)))


def _xlog1py_slopes(out: Any, x: Any, y: Any) -> tuple:
    nothing = lax.bitwise_and(lax.eq(x, constant(x, 0)), lax.le(y, constant(y, -1)))
    return choose(nothing, constant(x, 0), lax.log1p(y)), lax.div(x, lax.add(y, constant(y, 1)))


_xlog1py_ruled = with_slopes(_xlog1py_value, _xlog1py_slopes)


def _xlog1py(x: Any, y: Any) -> Any:
    return _xlog1py_ruled(*broadcast_numbers(x, y))


def _xlog1py_node(number: str) -> Callable:
    return pointwise(
        _TO_FLOAT, name=f"_xlog1py_{number}", namespaces=("_private",), node=f"SpecialXlog1PyBackward{number}"
    )


@_xlog1py_node("0")
def _xlog1py_tensors(input, other):
    """Each element times the logarithm of one plus another."""
    return _xlog1py(input, other)


@_xlog1py_node("1")
def _xlog1py_number(input: Number, other):
    """A number times the logarithm of one plus each element."""
    return _xlog1py(input, other)


@_xlog1py_node("2")
def _xlog1py_by_number(input, other: Number):
    """Each element times the logarithm of one plus a number."""
    return _xlog1py(input, other)


@composite(namespaces=_SPECIAL)
def xlog1py(input, other, *, out=None):
    """``input_i * log1p(other_i)``, zero where ``input_i`` is zero (unless ``other_i`` is NaN)."""
    if not isinstance(input, Tensor):
        operator = _xlog1py_number.operator
    else:
        operator = (_xlog1py_tensors if isinstance(other, Tensor) else _xlog1py_by_number).operator
    return apply(operator, (input, other), _PLAIN, out)


_also("logsumexp", reduction.logsumexp)


# Functions without derivatives, worked out on the host.


def _host_type(*operands: Any) -> np.dtype:
    described = [
        (x.dtype, 2 if x._spec.ndim else 1) if isinstance(x, Tensor) else (dtypes.of_number(x), 0) for x in operands
    ]
    common = machinery.result_type_of(described)
    return (common if common.is_floating_point else dtypes.get_default_dtype()).np


def _scipy(name: str, doc: str, function: str, pick: int | None = None) -> None:
    def evaluate(input, *, out=None):
        from scipy import special

        dtype = _host_type(input)
        with np.errstate(all="ignore"):
            found = getattr(special, function)(host_array(input).astype(np.float64))
        found = found if pick is None else found[pick]
        return delivered(from_array(np.asarray(found).astype(dtype), input.device), out)

    evaluate.__name__ = evaluate.__qualname__ = name
    evaluate.__doc__ = doc
    composite(namespaces=_SPECIAL)(evaluate)


_scipy("airy_ai", "The Airy function Ai at each element.", "airy", 0)
_scipy("bessel_j0", "The Bessel function of the first kind of order zero at each element.", "j0")
_scipy("bessel_j1", "The Bessel function of the first kind of order one at each element.", "j1")
_scipy("bessel_y0", "The Bessel function of the second kind of order zero at each element.", "y0")
_scipy("bessel_y1", "The Bessel function of the second kind of order one at each element.", "y1")
_scipy("modified_bessel_i0", "The modified Bessel function of the first kind of order zero at each element.", "i0")
_scipy("modified_bessel_i1", "The modified Bessel function of the first kind of order one at each element.", "i1")
_scipy("modified_bessel_k0", "The modified Bessel function of the second kind of order zero at each element.", "k0")
_scipy("modified_bessel_k1", "The modified Bessel function of the second kind of order one at each element.", "k1")
_scipy("scaled_modified_bessel_k0", "The modified Bessel function K0 times ``exp(x)``.", "k0e")
_scipy("scaled_modified_bessel_k1", "The modified Bessel function K1 times ``exp(x)``.", "k1e")


@composite(namespaces=_SPECIAL)
def spherical_bessel_j0(input, *, out=None):
    """The spherical Bessel function of the first kind of order zero, ``sin(x) / x``."""
    x = host_array(input).astype(np.float64)
    with np.errstate(all="ignore"):
        found = np.where(np.isinf(x), 0.0, np.sinc(x / math.pi))
    return delivered(from_array(found.astype(_host_type(input)), input.device), out)


def _polynomial(name: str, doc: str, start: Callable, step: Callable, shift: Callable = lambda x: x) -> None:
    """Declare an orthogonal polynomial by its recurrence: ``start(x)`` is that of degree one, ``step(k, x, p, q)`` that
    of degree k + 1 from those of degrees k and k - 1."""

    def evaluate(input, n, *, out=None):
        dtype = _host_type(input, n)
        x = shift((host_array(input) if isinstance(input, Tensor) else np.asarray(input)).astype(np.float64))
        degree = (host_array(n) if isinstance(n, Tensor) else np.asarray(n)).astype(np.int64)
        x, degree = np.broadcast_arrays(x, degree)
        result = np.where(degree < 0, 0.0, 1.0)
        q, p = np.ones_like(x), start(x)
        with np.errstate(all="ignore"):
            for k in range(1, int(degree.max(initial=0)) + 1):
                result = np.where(degree == k, p, result)
                q, p = p, step(k, x, p, q)
        device = (input if isinstance(input, Tensor) else n).device
        return delivered(from_array(np.asarray(result).astype(dtype), device), out)

    evaluate.__name__ = evaluate.__qualname__ = name
    evaluate.__doc__ = doc
    composite(namespaces=_SPECIAL)(evaluate)


def _chebyshev_step(k, x, p, q):
    return 2 * x * p - q


for _letter, _start, _kind in (
    ("t", lambda x: x, "first"), ("u", lambda x: 2 * x, "second"), ("v", lambda x: 2 * x - 1, "third"),
    ("w", lambda x: 2 * x + 1, "fourth"),
):  # fmt: skip
    _polynomial(
        f"chebyshev_polynomial_{_letter}",
        f"The Chebyshev polynomial of the {_kind} kind of degree ``n_i`` at ``input_i``.",
        _start, _chebyshev_step,
    )  # fmt: skip
    _polynomial(
        f"shifted_chebyshev_polynomial_{_letter}",
        f"The Chebyshev polynomial of the {_kind} kind of degree ``n_i`` at ``2 * input_i - 1``.",
        _start, _chebyshev_step, lambda x: 2 * x - 1,
    )  # fmt: skip

_polynomial(
    "hermite_polynomial_h", "The physicist's Hermite polynomial of degree ``n_i`` at ``input_i``.",
    lambda x: 2 * x, lambda k, x, p, q: 2 * x * p - 2 * k * q,
)  # fmt: skip
_polynomial(
    "hermite_polynomial_he", "The probabilist's Hermite polynomial of degree ``n_i`` at ``input_i``.",
    lambda x: x, lambda k, x, p, q: x * p - k * q,
)  # fmt: skip
_polynomial(
    "laguerre_polynomial_l", "The Laguerre polynomial of degree ``n_i`` at ``input_i``.",
    lambda x: 1 - x, lambda k, x, p, q: ((2 * k + 1 - x) * p - k * q) / (k + 1),
)  # fmt: skip
_polynomial(
    "legendre_polynomial_p", "The Legendre polynomial of degree ``n_i`` at ``input_i``.",
    lambda x: x, lambda k, x, p, q: ((2 * k + 1) * x * p - k * q) / (k + 1),
)  # fmt: skip
