"""Activation functions."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp
from jax.scipy.special import erf

from torchlike._ops.matmul import scalar_name
from torchlike._ops.op import REGISTRY, Array, Number, Promote, composite, op, pointwise
from torchlike._tensor.tensor import Tensor, wrap_dim

_F = ("nn.functional",)


def _zero(x: Any) -> Any:
    return np.zeros((), x.dtype)


def _const(x: Any, number: float) -> Any:
    return np.asarray(number, x.dtype)


def _as(x: Any, number: Any) -> Any:
    """A number, known or arriving at run time, in the type of ``x``."""
    return lax.convert_element_type(number, x.dtype) if hasattr(number, "dtype") else _const(x, number)


@jax.custom_vjp
def _rectify(x):
    return lax.max(x, _zero(x))


def _rectify_forward(x):
    out = lax.max(x, _zero(x))
    return out, out


def _rectify_backward(out, g):
    return (lax.select(lax.gt(out, lax.full_like(out, 0)), g, lax.full_like(g, 0)),)


# The subgradient at zero is zero, and the output alone is kept for the backward.
_rectify.defvjp(_rectify_forward, _rectify_backward)


@op(namespaces=("torch", "Tensor"), node="ReluBackward0", inplace=True, elementwise=True, name="relu")
def _relu(input):
    """``max(0, x)``, element by element."""
    if input.dtype == np.bool_:
        raise RuntimeError("Boolean inputs not supported for relu")
    return (
        _rectify(input)
        if np.dtype(input.dtype).kind == "f" or input.dtype == jnp.bfloat16
        else lax.max(input, _zero(input))
    )


@composite(namespaces=_F, name="relu")
def relu(input, inplace=False):
    """``max(0, x)``, element by element."""
    return input.relu_() if inplace else _relu(input)


@composite(namespaces=_F, name="relu_")
def relu_(input):
    """In-place form of :func:`relu`."""
    return input.relu_()


def _softplus(x: Any, beta: Any, threshold: Any) -> Any:
    scaled = x * _as(x, beta)
    safe = jnp.where(scaled > _as(x, threshold), _zero(x), scaled)
    return jnp.where(scaled > _as(x, threshold), x, lax.log1p(lax.exp(safe)) / _as(x, beta))


@pointwise(Promote.FIRST, namespaces=_F)
def softplus(input, beta: Number = 1, threshold: Number = 20):
    """``log(1 + exp(beta * x)) / beta``, and ``x`` itself where ``beta * x`` exceeds ``threshold``."""
    return _softplus(input, beta, threshold)


def _leaky(x: Any, slope: Any) -> Any:
    return jnp.where(lax.gt(x, lax.full_like(x, 0)), x, x * _as(x, slope))


@pointwise(Promote.FIRST, namespaces=("_private",), inplace=False, node="LeakyReluBackward0", name="_leaky_relu")
def _leaky_relu(input, negative_slope: Number = 0.01):
    """``x`` where positive, ``negative_slope * x`` elsewhere."""
    return _leaky(input, negative_slope)


@pointwise(Promote.FIRST, namespaces=("_private",), node="EluBackward0", name="_elu")
def _elu(input, alpha: Number = 1.0, scale: Number = 1.0, input_scale: Number = 1.0):
    """``x`` where positive, ``alpha * (exp(x) - 1)`` elsewhere."""
    safe = jnp.where(input > 0, _zero(input), input)
    negative = _as(input, alpha) * lax.expm1(safe * _as(input, input_scale))
    return jnp.where(input > 0, input, negative) * _as(input, scale)


@op(namespaces=("_private",), node="HardtanhBackward0", name="_hardtanh", recompute=True)
def _hardtanh(input, min_val, max_val):
    """The input limited to a range; the gradient is zero at the limits."""
    low, high = _const(input, min_val), _const(input, max_val)
    inside = (input > low) & (input < high)
    return jnp.where(inside, input, lax.stop_gradient(lax.clamp(low, input, high)))


@pointwise(Promote.FIRST, namespaces=("_private",), node="SiluBackward0", name="_silu")
def _silu(input):
    """``x * sigmoid(x)``."""
    return input * lax.logistic(input)


@pointwise(Promote.FIRST, namespaces=("_private",), node="MishBackward0", name="_mish")
def _mish(input):
    """``x * tanh(softplus(x))``."""
    return input * lax.tanh(_softplus(input, 1, 20))


@pointwise(Promote.FIRST, namespaces=("_private",), node="HardswishBackward0", name="_hardswish")
def _hardswish(input):
    """``x * relu6(x + 3) / 6``."""
    return input * lax.clamp(_const(input, 0), input + _const(input, 3), _const(input, 6)) / _const(input, 6)


@pointwise(Promote.FIRST, namespaces=("_private",), node="HardsigmoidBackward0", name="_hardsigmoid")
def _hardsigmoid(input):
    """``relu6(x + 3) / 6``; the gradient is zero at the limits."""
    inside = (input > -3) & (input < 3)
    value = lax.clamp(_const(input, 0), input + _const(input, 3), _const(input, 6)) / _const(input, 6)
    return jnp.where(inside, value, lax.stop_gradient(value))


@pointwise(Promote.FIRST, namespaces=("_private",), node="ThresholdBackward0", name="_threshold")
def _threshold(input, threshold: Number, value: Number):
    """``x`` where it exceeds ``threshold``, ``value`` elsewhere."""
    return jnp.where(input > _as(input, threshold), input, _as(input, value))


def _with_inplace(name: str, operator: Any, signature: str, call: str, doc: str) -> None:
    """Declare ``F.name(input, ..., inplace=False)`` and ``F.name_``."""
    scope: dict[str, Any] = {"operator": operator}
    text = (
        f"def {name}(input{signature}, inplace=False):\n"
        f"    result = operator(input{call})\n"
        f"    return input._become(result) if inplace else result\n"
        f"def {name}_(input{signature}):\n"
        f"    return input._become(operator(input{call}))\n"
    )
    exec(text, scope)
    for function in (scope[name], scope[name + "_"]):
        function.__doc__ = doc
        composite(namespaces=_F)(function)


def _become(self: Tensor, result: Tensor) -> Tensor:
    """Write a result computed from this tensor back into it, history and all."""
    from torchlike._ops.op import check_inplace, set_history
    from torchlike._tensor.tensor import assign, value_of

    check_inplace(self)
    assign(self, value_of(result))
    if result._edge is not None:
        set_history(self, result._edge[0], 0)
    return self


Tensor._become = _become  # type: ignore[attr-defined]

_with_inplace("leaky_relu", _leaky_relu, ", negative_slope=0.01", ", negative_slope", _leaky_relu.__doc__)
_with_inplace("elu", _elu, ", alpha=1.0", ", alpha", _elu.__doc__)
_with_inplace("silu", _silu, "", "", _silu.__doc__)
_with_inplace("mish", _mish, "", "", _mish.__doc__)
_with_inplace("hardswish", _hardswish, "", "", _hardswish.__doc__)
_with_inplace("hardsigmoid", _hardsigmoid, "", "", _hardsigmoid.__doc__)
_with_inplace("hardtanh", _hardtanh, ", min_val=-1.0, max_val=1.0", ", min_val, max_val", _hardtanh.__doc__)
_with_inplace("relu6", _hardtanh, "", ", 0.0, 6.0", "``min(max(0, x), 6)``.")
_with_inplace("threshold", _threshold, ", threshold, value", ", threshold, value", _threshold.__doc__)
_with_inplace("selu", _elu, "", ", 1.6732632423543772, 1.0507009873554805", "The self-normalising unit: a scaled ELU.")
_with_inplace(
    "celu", _elu, ", alpha=1.0", ", alpha, 1.0, 1.0 / alpha", "``max(0, x) + min(0, alpha * (exp(x / alpha) - 1))``."
)

for _name in ("celu", "celu_", "selu", "selu_"):
    composite(namespaces=("torch",))(REGISTRY["nn.functional", _name])


@op(namespaces=_F, recompute=True)
def gelu(input, *, approximate="none"):
    """``x * Phi(x)`` with the normal distribution's function Phi, or its ``"tanh"`` approximation
    (arXiv:1606.08415).
    """
    if approximate == "none":
        half, root = _const(input, 0.5), _const(input, 1 / math.sqrt(2))
        return half * input * (_const(input, 1) + erf(input * root))
    if approximate == "tanh":
        inner = _const(input, math.sqrt(2 / math.pi)) * (input + _const(input, 0.044715) * input * input * input)
        return _const(input, 0.5) * input * (_const(input, 1) + lax.tanh(inner))
    raise RuntimeError("approximate argument must be either none or tanh.")


@pointwise(Promote.FIRST, namespaces=("nn.functional",), node="LogSigmoidBackward0")
def logsigmoid(input):
    """``log(1 / (1 + exp(-x)))``."""
    return lax.min(input, _zero(input)) - lax.log1p(lax.exp(-lax.abs(input)))


@op(namespaces=("torch", "nn.functional"), recompute=True)
def hardshrink(input, lambd=0.5):
    """``x`` where its magnitude exceeds ``lambd``, zero elsewhere."""
    return jnp.where((input >= -lambd) & (input <= lambd), _zero(input), input)


@op(namespaces=_F, recompute=True)
def softshrink(input, lambd=0.5):
    """``x`` moved towards zero by ``lambd``, zero where it is nearer than that."""
    lam = _const(input, lambd)
    return jnp.where(input > lam, input - lam, jnp.where(input < -lam, input + lam, input * _zero(input)))


@composite(namespaces=_F)
def tanhshrink(input):
    """``x - tanh(x)``."""
    return input - input.tanh()


@composite(namespaces=_F)
def softsign(input):
    """``x / (1 + |x|)``."""
    return input / (input.abs() + 1)


@composite(namespaces=_F)
def tanh(input):
    """The hyperbolic tangent of each element."""
    return input.tanh()


@composite(namespaces=_F)
def sigmoid(input):
    """``1 / (1 + exp(-x))``."""
    return input.sigmoid()


@op(namespaces=("torch", "nn.functional"), name="prelu", node="PreluKernelBackward0", recompute=True)
def prelu(input, weight: Array):
    """``x`` where positive, ``weight * x`` elsewhere; one weight, or one for each channel."""
    if weight.size != 1:
        channels = input.shape[1] if input.ndim > 1 else 1
        if weight.size != channels:
            raise RuntimeError(
                f"Mismatch of parameter numbers and input channel size. Found parameter numbers = {weight.size} and "
                f"channel "
                f"size = {channels}."
            )
        weight = weight.reshape((1, -1) + (1,) * (input.ndim - 2))
    return jnp.where(input > 0, input, weight.reshape(weight.shape if weight.size != 1 else ()) * input)


@op(namespaces=_F, recompute=True)
def glu(input, dim=-1):
    """The first half along ``dim`` times the sigmoid of the second."""
    if input.ndim == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    dim = wrap_dim(dim, input.ndim)
    n = input.shape[dim]
    if n % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {n}")
    a, b = jnp.split(input, 2, dim)
    return a * lax.logistic(b)


# Softmax and its logarithm: their gradients want the outputs alone.


def _sum(x: Any, dim: int) -> Any:
    return lax.expand_dims(lax.reduce_sum(x, (dim,)), (dim,))


def _make_softmax(log: bool) -> Any:
    def compute(x, dim):
        shifted = x - lax.expand_dims(lax.reduce_max(x, (dim,)), (dim,))
        exps = lax.exp(shifted)
        return shifted - lax.log(_sum(exps, dim)) if log else exps / _sum(exps, dim)

    function = jax.custom_vjp(compute, nondiff_argnums=(1,))

    def forward(x, dim):
        out = compute(x, dim)
        return out, out

    def backward(dim, out, g):
        if log:
            return (g - lax.exp(out) * _sum(g, dim),)
        weighted = g * out
        return (weighted - out * _sum(weighted, dim),)

    function.defvjp(forward, backward)
    return function


_softmax_op, _log_softmax_op = _make_softmax(False), _make_softmax(True)


def _over(function: Any, x: Any, dim: int, dtype: Any, name: str) -> Any:
    """A softmax along a dimension, half precision computed in single precision."""
    if dtype is not None:
        x = lax.convert_element_type(x, dtype.np)
    if np.dtype(x.dtype).kind in "iub":
        where = "lastdim_" if x.ndim == 0 or wrap_dim(dim, x.ndim) == x.ndim - 1 else ""
        raise NotImplementedError(f"\"{name}_{where}kernel_impl\" not implemented for '{scalar_name(x)}'")
    if x.ndim == 0:
        wrap_dim(dim, 0)
        return function(lax.reshape(x, (1,)), 0).reshape(())
    dim = wrap_dim(dim, x.ndim)
    if x.size == 0:
        return x
    if x.dtype in (np.float16, jnp.bfloat16):
        return lax.convert_element_type(function(lax.convert_element_type(x, np.float32), dim), x.dtype)
    return function(x, dim)


@op(namespaces=("torch", "Tensor", "special"))
def softmax(input, dim, dtype=None):
    """``exp(x_i) / sum_j exp(x_j)`` along ``dim``."""
    return _over(_softmax_op, input, dim, dtype, "softmax")


@op(namespaces=("torch", "Tensor", "special"))
def log_softmax(input, dim, dtype=None):
    """The logarithm of :func:`softmax`, computed stably."""
    return _over(_log_softmax_op, input, dim, dtype, "log_softmax")


def _implicit_dim(name: str, ndim: int, stacklevel: int) -> int:
    import warnings

    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        UserWarning,
        stacklevel=stacklevel + 1,
    )
    return 0 if ndim in (0, 1, 3) else 1


@composite(namespaces=_F, name="softmax")
def f_softmax(input, dim=None, _stacklevel=3, dtype=None):
    """``exp(x_i) / sum_j exp(x_j)`` along ``dim``."""
    return softmax(input, _implicit_dim("softmax", input.dim(), _stacklevel) if dim is None else dim, dtype)


@composite(namespaces=_F)
def softmin(input, dim=None, _stacklevel=3, dtype=None):
    """:func:`softmax` of the negated input."""
    return softmax(-input, _implicit_dim("softmin", input.dim(), _stacklevel) if dim is None else dim, dtype)


@composite(namespaces=_F, name="log_softmax")
def f_log_softmax(input, dim=None, _stacklevel=3, dtype=None):
    """The logarithm of :func:`softmax`, computed stably."""
    return log_softmax(input, _implicit_dim("log_softmax", input.dim(), _stacklevel) if dim is None else dim, dtype)
