"""The arithmetic of each optimizer: pure functions from a parameter, its gradient and its state to the next ones.

They have the form of optax's transformations, ``update(gradient, state, parameter) -> (parameter, state)``, with two
differences. The new parameter is returned rather than its change, because torch rounds the sum in its own order. And
the numbers (learning rate, decays) are run-time arguments rather than constants, so that a schedule never recompiles.

A rule is written once, with the operators below, each of which rounds where torch's operator of that name rounds.
``step`` maps a rule over a group of JAX arrays; under ``differentiable=True`` the same rule runs on Tensors.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np
from jax import lax

_NARROW = (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))
_FLOAT32 = np.dtype(np.float32)
_FLOAT64 = np.dtype(np.float64)
_DOUBLE = (_FLOAT64, np.dtype(np.complex128))

#: The functions that a rule takes from its array library, here JAX's.
JAX = SimpleNamespace(
    abs=lax.abs, maximum=jnp.maximum, sign=jnp.sign, sqrt=lax.sqrt, where=jnp.where, sum=jnp.sum, mean=jnp.mean,
    constant=lambda x: x,
)  # fmt: skip

Rule = Callable[..., tuple[Any, tuple]]
"""``rule(xp, param, grad, state, numbers, options) -> (param, state)``; the state is a tuple of buffers."""


# Operators


def _rounded_once(operator: Callable) -> Callable:
    """An operator that computes in float32 where its first operand is 16 bits wide, and rounds its result."""

    @functools.wraps(operator)
    def rounded(x, *others):
        if x.dtype not in _NARROW:
            return operator(x, *others)
        wide = [y.astype(_FLOAT32) if getattr(y, "dtype", None) == x.dtype else y for y in others]
        return operator(x.astype(_FLOAT32), *wide).astype(x.dtype)

    return rounded


@_rounded_once
def add(x, y, alpha=None):
    """``x + alpha * y``."""
    return x + y if alpha is None else x + alpha * y


@_rounded_once
def mul(x, y):
    """``x * y``."""
    return x * y


@_rounded_once
def div(x, y):
    """``x / y``."""
    return x / y


@_rounded_once
def lerp(x, end, weight, from_start):
    """``x + weight * (end - x)``, counted from the nearer of the two: ``from_start`` if the weight is under a half."""
    return x + weight * (end - x) if from_start else end - (end - x) * (1 - weight)


@_rounded_once
def addcmul(x, a, b, value=1):
    """``x + value * a * b``."""
    return x + value * a * b


@_rounded_once
def addcdiv(x, a, b, value=1):
    """``x + value * a / b``."""
    return x + value * a / b


def _decayed(param, grad, weight_decay, maximize, decays):
    """The gradient to descend along, with the L2 penalty's part in it."""
    if maximize:
        grad = -grad
    return add(grad, param, weight_decay) if decays else grad


# Rules. The numbers' order is that of each optimizer's ``_plan``.


def sgd(xp, param, grad, state, numbers, options):
    """Stochastic gradient descent with momentum; the first momentum is the gradient itself."""
    lr, momentum, undamped, weight_decay = numbers
    maximize, decays, remembers, nesterov = options
    grad = _decayed(param, grad, weight_decay, maximize, decays)
    if remembers:
        buffer = add(mul(state[0], momentum), grad, undamped) if state else xp.constant(grad)
        grad = add(grad, buffer, momentum) if nesterov else buffer
        state = (buffer,)
    return add(param, grad, -lr), state


def adam(xp, param, grad, state, numbers, options):
    """Adam, or with ``decoupled`` AdamW: the number ``weight_decay`` is then the factor ``1 - lr * weight_decay``."""
    step_size, beta2, one_minus_beta1, one_minus_beta2, sqrt_correction2, eps, weight_decay = numbers
    maximize, decays, decoupled, from_start = options
    if decoupled:
        param = mul(param, weight_decay)
    grad = _decayed(param, grad, weight_decay, maximize, decays)
    exp_avg = lerp(state[0], grad, one_minus_beta1, from_start)
    exp_avg_sq = addcmul(mul(state[1], beta2), grad, grad, one_minus_beta2)
    largest = [xp.maximum(most, exp_avg_sq) for most in state[2:]]  # one with amsgrad, else none
    denominator = add(div(xp.sqrt(largest[0] if largest else exp_avg_sq), sqrt_correction2), eps)
    return addcdiv(param, exp_avg, denominator, -step_size), (exp_avg, exp_avg_sq, *largest)


def adagrad(xp, param, grad, state, numbers, options):
    """Adagrad: the learning rate over the root of the sum of all squared gradients."""
    rate, eps, weight_decay = numbers
    maximize, decays = options
    grad = _decayed(param, grad, weight_decay, maximize, decays)
    total = addcmul(state[0], grad, grad)
    return addcdiv(param, grad, add(xp.sqrt(total), eps), -rate), (total,)


def adadelta(xp, param, grad, state, numbers, options):
    """Adadelta: steps in the ratio of the running size of past steps to that of past gradients."""
    lr, rho, one_minus_rho, eps, weight_decay = numbers
    maximize, decays = options
    grad = _decayed(param, grad, weight_decay, maximize, decays)
    square_avg = addcmul(mul(state[0], rho), grad, grad, one_minus_rho)
    delta = mul(div(xp.sqrt(add(state[1], eps)), xp.sqrt(add(square_avg, eps))), grad)
    acc_delta = addcmul(mul(state[1], rho), delta, delta, one_minus_rho)
    return add(param, delta, -lr), (square_avg, acc_delta)


def adamax(xp, param, grad, state, numbers, options):
    """Adamax: Adam with the exponentially weighted infinity norm in place of the second moment."""
    step_size, beta2, one_minus_beta1, eps, weight_decay = numbers
    maximize, decays, from_start = options
    grad = _decayed(param, grad, weight_decay, maximize, decays)
    exp_avg = lerp(state[0], grad, one_minus_beta1, from_start)
    exp_inf = xp.maximum(mul(state[1], beta2), add(xp.abs(grad), eps))
    return addcdiv(param, exp_avg, exp_inf, -step_size), (exp_avg, exp_inf)


def nadam(xp, param, grad, state, numbers, options):
    """Adam with Nesterov momentum; ``now`` and ``ahead`` weigh the gradient and the momentum after it."""
    now, ahead, beta2, one_minus_beta1, one_minus_beta2, correction2, eps, weight_decay = numbers
    maximize, decays, decoupled, from_start = options
    if decoupled:
        param = mul(param, weight_decay)
    grad = _decayed(param, grad, weight_decay, maximize, decays)
    exp_avg = lerp(state[0], grad, one_minus_beta1, from_start)
    exp_avg_sq = addcmul(mul(state[1], beta2), grad, grad, one_minus_beta2)
    denominator = add(xp.sqrt(div(exp_avg_sq, correction2)), eps)
    param = addcdiv(addcdiv(param, grad, denominator, now), exp_avg, denominator, ahead)
    return param, (exp_avg, exp_avg_sq)


def radam(xp, param, grad, state, numbers, options):
    """Rectified Adam: a momentum step until the second moment's variance is ``tractable``, then a rectified one."""
    (lr, rectification, beta2, one_minus_beta1, one_minus_beta2, correction1, sqrt_correction2, eps, weight_decay) = (
        numbers
    )
    maximize, decays, decoupled, from_start, tractable = options
    if decoupled:
        param = mul(param, weight_decay)
    grad = _decayed(param, grad, weight_decay, maximize, decays)
    exp_avg = lerp(state[0], grad, one_minus_beta1, from_start)
    exp_avg_sq = addcmul(mul(state[1], beta2), grad, grad, one_minus_beta2)
    update = mul(div(exp_avg, correction1), lr)
    if tractable:
        adaptive = mul(_reciprocal(add(xp.sqrt(exp_avg_sq), eps)), sqrt_correction2)
        update = mul(mul(update, adaptive), rectification)
    return add(param, -update), (exp_avg, exp_avg_sq)


@_rounded_once
def _reciprocal(x):
    return 1 / x


def rmsprop(xp, param, grad, state, numbers, options):
    """RMSprop: the gradient over its running root mean square, optionally centred, optionally with momentum."""
    lr, alpha, one_minus_alpha, eps, momentum, weight_decay = numbers
    maximize, decays, remembers, centered, from_start = options
    grad = _decayed(param, grad, weight_decay, maximize, decays)
    square_avg = addcmul(mul(state[0], alpha), grad, grad, one_minus_alpha)
    new_state = [square_avg]
    if centered:
        grad_avg = lerp(state[-1], grad, one_minus_alpha, from_start)
        size = xp.sqrt(addcmul(square_avg, grad_avg, grad_avg, -1))
        new_state.append(grad_avg)
    else:
        size = xp.sqrt(square_avg)
    size = add(size, eps)
    if not remembers:
        return addcdiv(param, grad, size, -lr), tuple(new_state)
    buffer = addcdiv(mul(state[1], momentum), grad, size)
    new_state.insert(1, buffer)
    return add(param, buffer, -lr), tuple(new_state)


def rprop(xp, param, grad, state, numbers, options):
    """Resilient backpropagation: only signs count; a step that changed sign shrinks and is not taken."""
    shrink, grow, smallest, largest = numbers
    (maximize,) = options
    prev, step_size = state
    grad = -grad if maximize else grad
    agreement = xp.sign(mul(grad, prev))
    factor = xp.where(agreement > 0, _like(grow, param), xp.where(agreement < 0, _like(shrink, param), agreement + 1))
    step_size = _between(xp, mul(step_size, factor), _like(smallest, param), _like(largest, param))
    grad = xp.where(agreement < 0, _like(0, param), grad)
    return addcmul(param, xp.sign(grad), step_size, -1), (grad, step_size)


def _like(number, array):
    """A number as an operand that leaves the array's dtype alone."""
    return number.astype(array.dtype) if isinstance(array.dtype, np.dtype) and hasattr(number, "astype") else number


def _between(xp, x, low, high):
    if xp is JAX:
        return jnp.minimum(jnp.maximum(x, low), high)
    return x.clamp(low, high)


def asgd(xp, param, grad, state, numbers, options):
    """Averaged gradient descent: ``ax`` is the running mean of the parameter, which it copies until ``averages``."""
    eta, shrink, mu, weight_decay = numbers
    maximize, decays, averages = options
    grad = _decayed(param, grad, weight_decay, maximize, decays)
    param = add(mul(param, shrink), grad, -eta)
    (ax,) = state
    return param, (add(ax, mul(param - ax, mu)) if averages else param,)


def adafactor(xp, param, grad, state, numbers, options):
    """Adafactor: the second moment of a matrix kept as the outer product of its row and column means."""
    beta2_complement, rho, eps1, eps2, clip, shrink = numbers
    maximize, decays, from_start = options
    grad = -grad if maximize else grad
    root_size = param.size**0.5
    rate = xp.maximum(eps2, _norm(param) / root_size) * rho
    if decays:
        param = mul(param, shrink)
    if grad.ndim > 1:
        rows = lerp(state[0], _mean_square(xp, grad, -1), beta2_complement, from_start)
        columns = lerp(state[1], _mean_square(xp, grad, -2), beta2_complement, from_start)
        mean = xp.maximum(xp.mean(rows, axis=-2, keepdims=True), _like(eps1, param))
        variance = rows * columns / mean
        state = (rows, columns)
    else:
        variance = lerp(state[0], grad * grad, beta2_complement, from_start)
        state = (variance,)
    update = grad * lax.rsqrt(xp.maximum(variance, _like(eps1 * eps1, param)))
    return add(param, update, -rate / xp.maximum(1, _norm(update) / (root_size * clip))), state


def _norm(x):
    """The Euclidean norm of all elements, at least in float32."""
    x = x.astype(_FLOAT32) if x.dtype in _NARROW else x
    return lax.sqrt(jnp.sum(x * x))


def _mean_square(xp, x, axis):
    return xp.sum(x * x, axis=axis, keepdims=True) / x.shape[axis]


def muon(xp, param, grad, state, numbers, options):
    """Muon: momentum whose matrix is replaced by the nearest semi-orthogonal one."""
    lr, momentum, one_minus_momentum, shrink = numbers
    nesterov, buffer_from_start, update_from_start, coefficients, eps, iterations, adjust = options
    buffer = lerp(state[0], grad, one_minus_momentum, buffer_from_start)
    update = lerp(grad, buffer, momentum, update_from_start) if nesterov else buffer
    update = orthogonalized(update, coefficients, iterations, eps)
    update = update.astype(jnp.promote_types(update.dtype, param.dtype))
    return add(mul(param, shrink), update, -lr * _aspect(param.shape, adjust)), (buffer,)


def _aspect(shape, adjust):
    """The factor by which the learning rate follows the matrix's shape; ``adjust`` names one of two conventions."""
    rows, columns = shape
    if adjust == "match_rms_adamw":
        return 0.2 * max(rows, columns) ** 0.5
    return max(1.0, rows / columns) ** 0.5


def orthogonalized(matrix, coefficients, iterations, eps):
    """The Newton-Schulz iteration, in bfloat16, towards ``U V^T`` of the matrix's singular value decomposition."""
    a, b, c = coefficients
    bfloat16 = jnp.bfloat16
    x = matrix.astype(bfloat16)
    tall = matrix.shape[0] > matrix.shape[1]
    if tall:
        x = x.T
    size = jnp.maximum(_norm(x).astype(bfloat16), jnp.asarray(eps, bfloat16))
    x = div(x, size.astype(_FLOAT32))
    for _ in range(iterations):
        gram = _product(x, x.T).astype(bfloat16)
        wide = gram.astype(_FLOAT32)
        update = (b * wide + c * _product(gram, gram)).astype(bfloat16)
        x = (a * x.astype(_FLOAT32) + _product(update, x)).astype(bfloat16)
    return x.T if tall else x


def _product(x, y):
    return lax.dot_general(x, y, (((1,), (0,)), ((), ())), preferred_element_type=_FLOAT32)


# Mapping a rule over a group


def step(rule: Rule, static: tuple, arrays: tuple) -> list:
    """Apply a rule to each parameter of a batch.

    Args:
        rule: one of the functions above.
        static: ``(count, options)``, the number of parameters and the rule's options.
        arrays: all parameters, all gradients, the first buffer of each, and so on; last the numbers, a float64 vector.

    Returns all new parameters, then the new first buffer of each, and so on.
    """
    count, options = static
    *tensors, numbers = arrays
    scalars: dict[Any, list] = {}
    results = []
    for i in range(count):
        param, grad, *state = tensors[i::count]
        dtype = _FLOAT64 if param.dtype in _DOUBLE else _FLOAT32
        if dtype not in scalars:
            vector = lax.convert_element_type(numbers, dtype)
            scalars[dtype] = [lax.index_in_dim(vector, k, keepdims=False) for k in range(vector.shape[0])]
        is_complex = jnp.issubdtype(param.dtype, jnp.complexfloating)
        if is_complex:
            param, grad, *state = [_as_real(x) for x in (param, grad, *state)]
        param, new_state = rule(JAX, param, grad, tuple(state), scalars[dtype], options)
        new = [param, *new_state]
        results.append([lax.complex(x[..., 0], x[..., 1]) for x in new] if is_complex else new)
    return [array for column in zip(*results, strict=True) for array in column]


def _as_real(x):
    """A complex array as a real one with a last dimension of two, as ``torch.view_as_real``."""
    return jnp.stack([lax.real(x), lax.imag(x)], -1)
