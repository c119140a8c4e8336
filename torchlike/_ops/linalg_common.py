"""What the operators of linear algebra share: the checks of their inputs in torch's words, and products of matrices."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import lax

from torchlike._ops import op as machinery
from torchlike._ops.bodies import kind, type_name_of
from torchlike._tensor.dtypes import dtype as Dtype
from torchlike._tensor.tensor import Tensor, host_array

INT32 = np.dtype(np.int32)


class _LinAlgError(RuntimeError):
    """Raised where a decomposition fails because of the values in a matrix; ``torch.linalg.LinAlgError``."""


_LinAlgError.__module__ = "torch._C"
LinAlgError = _LinAlgError


# Checks. Inside bodies they see arrays, in composites ``x._spec``: both have a shape, ``ndim`` and a dtype.


def check_matrix(x: Any, function: str, name: str = "A") -> None:
    """RuntimeError for less than two dimensions."""
    if x.ndim < 2:
        raise RuntimeError(f"{function}: The input tensor {name} must have at least 2 dimensions.")


def check_square(x: Any, function: str, name: str = "A") -> None:
    """RuntimeError unless ``x`` is a stack of square matrices."""
    check_matrix(x, function, name)
    if x.shape[-1] != x.shape[-2]:
        prefix = f"{function}: " if function else ""
        raise RuntimeError(
            f"{prefix}{name} must be batches of square matrices, but they are {x.shape[-2]} by {x.shape[-1]} matrices"
        )


def check_floating(x: Any, function: str, low_precision: bool = True) -> None:
    """RuntimeError for integers, and without ``low_precision`` for half-precision numbers too."""
    if kind(x) not in "fc":
        raise RuntimeError(f"{function}: Expected a floating point or complex tensor as input. Got {type_name_of(x)}")
    if not low_precision and np.dtype(x.dtype).itemsize < 4:
        raise RuntimeError(f"{function}: Low precision dtypes not supported. Got {type_name_of(x)}")


def check_kernel(x: Any, kernel: str) -> None:
    """NotImplementedError for dtypes that LAPACK does not know."""
    if kind(x) not in "fc" or np.dtype(x.dtype).itemsize < 4:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{type_name_of(x)}'")


def check_same(a: Any, b: Any, function: str, names: tuple[str, str] = ("A", "B")) -> None:
    """RuntimeError where two dtypes differ."""
    if a.dtype != b.dtype:
        x, y = names
        raise RuntimeError(
            f"{function}: Expected {x} and {y} to have the same dtype, but found {x} of type {type_name_of(a)} and {y} of "
            f"type {type_name_of(b)} instead"
        )


def check_equation(a: Any, b: Any, left: bool, function: str) -> None:
    """RuntimeError where the sizes of A and B do not fit the equation AX = B, or XA = B."""
    rows = b.shape[-2] if b.ndim > 1 else b.shape[0]
    columns = b.shape[-1] if b.ndim > 1 else 1
    if a.shape[-2] != (rows if left else columns):
        raise RuntimeError(
            f"{function}: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} "
            f"({a.shape[-2]}x{a.shape[-1]} and {rows}x{columns})"
        )


def require_tensor(x: Any, function: str, name: str, position: int) -> None:
    """TypeError unless an argument is a tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{function}(): argument '{name}' (position {position}) must be Tensor, not {type(x).__name__}")


def first_failure(info: Tensor) -> tuple[str, int] | None:
    """Where LAPACK failed: the start of the message's text and the code; None where it did not. Waits for ``info``."""
    array = host_array(info)
    if not array.any():
        return None
    if not array.ndim:
        return "", int(array)
    flat = array.reshape(-1)
    place = int(np.flatnonzero(flat)[0])
    return f"(Batch element {place}): ", int(flat[place])


def deliver(result: Any, out: Any) -> Any:
    """A result, or several, written to ``out`` where that is given."""
    if out is None:
        return result
    if isinstance(result, tuple):
        for target, part in zip(out, result, strict=True):
            machinery.write_out(target, part)
        return type(result)(out)
    machinery.write_out(out, result)
    return out


# Products and shapes of stacks of matrices, as JAX sees them.


def transposed(x: Any) -> Any:
    """The transposes of a stack of matrices."""
    order = list(range(x.ndim))
    order[-2:] = order[-1], order[-2]
    return lax.transpose(x, order)


def adjoint(x: Any) -> Any:
    """The conjugate transposes of a stack of matrices."""
    x = transposed(x)
    return lax.conj(x) if kind(x) == "c" else x


def conjugated(x: Any) -> Any:
    """The conjugate of a complex array, any other as it is."""
    return lax.conj(x) if kind(x) == "c" else x


def real_part(x: Any) -> Any:
    """The real part."""
    return lax.real(x) if kind(x) == "c" else x


def real_dtype(dtype: Any) -> np.dtype:
    """The dtype of the parts of a complex dtype; a real one itself."""
    return np.zeros((), dtype).real.dtype if np.dtype(dtype).kind == "c" else np.dtype(dtype)


def times(a: Any, b: Any) -> Any:
    """The products of two stacks of matrices of the same stack's shape."""
    n = a.ndim - 2
    batch = tuple(range(n))
    return lax.dot_general(a, b, (((n + 1,), (n,)), (batch, batch)))


def spread_stack(x: Any, lead: tuple[int, ...], keep: int = 2) -> Any:
    """``x`` repeated so that its dimensions before the last ``keep`` become ``lead``."""
    return machinery._broadcast(x, (*lead, *x.shape[x.ndim - keep :]))


def common_stack(a: Any, b: Any) -> tuple[int, ...]:
    """The shape to which the stacks of two tensors of matrices broadcast."""
    return machinery.broadcast_shapes([tuple(b.shape[:-2]), tuple(a.shape[:-2])])


def mask(shape: tuple[int, ...], lower: bool, k: int = 0) -> np.ndarray:
    """Which elements of a matrix lie in its lower (upper) triangle, counted from diagonal ``k``."""
    ones = np.ones(shape[-2:], bool)
    return np.tril(ones, k) if lower else np.triu(ones, k)


def triangle(x: Any, lower: bool, k: int = 0) -> Any:
    """The lower (upper) triangles of a stack of matrices, zeros elsewhere."""
    where = lax.broadcast_in_dim(mask(x.shape, lower, k), x.shape, (x.ndim - 2, x.ndim - 1))
    return lax.select(where, x, lax.full_like(x, 0))


def hermitian_of(x: Any, lower: bool) -> Any:
    """The Hermitian matrices of which the lower (upper) triangles are given."""
    half = triangle(x, lower)
    other = adjoint(triangle(x, lower, -1 if lower else 1))
    full = lax.add(half, other)
    if kind(x) != "c":
        return full
    return with_diagonal(full, lax.complex(lax.real(diagonal(full)), lax.full_like(lax.real(diagonal(full)), 0)))


def diagonal(x: Any) -> Any:
    """The main diagonals of a stack of matrices."""
    n, k = x.ndim, min(x.shape[-2:])
    square = lax.slice(x, [0] * n, [*x.shape[:-2], k, k])
    on = lax.broadcast_in_dim(np.eye(k, dtype=bool), square.shape, (n - 2, n - 1))
    return lax.reduce_sum(lax.select(on, square, lax.full_like(square, 0)), (n - 1,))


def with_diagonal(x: Any, values: Any) -> Any:
    """A stack of square matrices with other diagonals."""
    n = x.ndim
    on = lax.broadcast_in_dim(np.eye(x.shape[-1], dtype=bool), x.shape, (n - 2, n - 1))
    rows = lax.broadcast_in_dim(values, x.shape, tuple(range(n - 1)))
    return lax.select(on, rows, x)


def scale_columns(x: Any, factors: Any) -> Any:
    """Each column of the matrices times its factor; real factors scale complex matrices too."""
    return lax.mul(x, lax.broadcast_in_dim(_as(factors, x), x.shape, (*range(x.ndim - 2), x.ndim - 1)))


def scale_rows(x: Any, factors: Any) -> Any:
    """Each row of the matrices times its factor; real factors scale complex matrices too."""
    return lax.mul(x, lax.broadcast_in_dim(_as(factors, x), x.shape, tuple(range(x.ndim - 1))))


def _as(factors: Any, x: Any) -> Any:
    return factors if factors.dtype == x.dtype else lax.convert_element_type(factors, x.dtype)


def identity(like: Any) -> Any:
    """Identity matrices of the shape and dtype of a stack of square ones."""
    n = like.ndim
    return lax.broadcast_in_dim(np.eye(like.shape[-1], dtype=like.dtype), like.shape, (n - 2, n - 1))


def is_empty(*arrays: Any) -> bool:
    """Whether any array has no elements, so that LAPACK must not see it."""
    return any(not math.prod(x.shape) for x in arrays)


def eps(dtype: Any) -> float:
    """The distance from one to the next number of a dtype."""
    return float(np.finfo(real_dtype(dtype)).eps)


def check_norm_dtype(dtype: Any, x: Any, function: str) -> None:
    """RuntimeError where a ``dtype`` argument of a norm does not fit its input."""
    if dtype is None:
        return
    if not isinstance(dtype, Dtype):
        raise TypeError(
            f"{function.replace('.', '_')}(): argument 'dtype' must be torch.dtype, not {type(dtype).__name__}"
        )
    from torchlike._tensor.promotion import SCALAR_TYPE_NAMES

    name = SCALAR_TYPE_NAMES[dtype]
    if not (dtype.is_floating_point or dtype.is_complex):
        raise RuntimeError(f"{function}: dtype should be floating point or complex, but got {name}")
    if dtype.is_complex != (x.dtype.kind == "c"):
        wanted = "complex for complex" if x.dtype.kind == "c" else "real for real"
        raise RuntimeError(f"{function}: dtype should be {wanted} inputs, but got {name}")


# Gradients. JAX's are the conjugates of torch's where numbers are complex.


def with_gradient(compute: Callable, keep: Callable, gradient: Callable) -> Callable:
    """``compute(*xs)`` with a gradient given by hand, in torch's convention.

    ``keep(xs, results)`` says what the gradient wants; ``gradient(kept, gs)`` returns a tuple of the gradients of ``xs``.
    """

    @jax.custom_vjp
    def function(*xs: Any) -> Any:
        return compute(*xs)

    def forward(*xs: Any) -> tuple:
        results = function(*xs)
        return results, keep(xs, results)

    def backward(kept: Any, gs: Any) -> tuple:
        gs = tuple(map(conjugated, gs)) if isinstance(gs, (tuple, list)) else conjugated(gs)
        return tuple(map(conjugated, gradient(kept, gs)))

    function.defvjp(forward, backward)
    return function


def refusing_gradient(compute: Callable, message: str) -> Callable:
    """``compute``, of which a gradient raises RuntimeError with ``message``."""

    def gradient(kept: Any, gs: Any) -> tuple:
        raise RuntimeError(message)

    return with_gradient(compute, lambda xs, results: None, gradient)
