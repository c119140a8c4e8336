"""Norms, powers and products of matrices, and the other functions of linear algebra."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax import lax

from torchlike._ops import op as machinery
from torchlike._ops import reduction as reductions
from torchlike._ops import shape as shapes
from torchlike._ops.bodies import INT64, choose, constant, kind, spread, type_name_of, widened
from torchlike._ops.linalg_common import (
    adjoint,
    check_floating,
    check_matrix,
    check_norm_dtype,
    check_same,
    check_square,
    deliver,
    identity,
    is_empty,
    real_dtype,
    require_tensor,
    times,
    with_gradient,
)
from torchlike._ops.matmul import matmul, mm
from torchlike._ops.op import Array, composite, exports, op
from torchlike._ops.solvers import inv, inv_ex, linalg_solve
from torchlike._ops.spectral import svdvals
from torchlike._tensor.dtypes import from_numpy_dtype
from torchlike._tensor.tensor import Tensor, wrap_dim

# Norms.


@composite(namespaces=("linalg",))
def vector_norm(x, ord=2, dim=None, keepdim=False, *, dtype=None, out=None):
    """The vector norm of order ``ord``, a number or ``inf``, of all elements or over ``dim``."""
    require_tensor(x, "linalg_vector_norm", "x", 1)
    if isinstance(ord, Tensor):
        ord = ord.item()
    if not isinstance(ord, (int, float)):
        raise TypeError(f"linalg_vector_norm(): argument 'ord' (position 2) must be Number, not {type(ord).__name__}")
    if kind(x._spec) in "fc":
        check_norm_dtype(dtype, x._spec, "linalg.vector_norm")
    dim = dim if dim is None or isinstance(dim, int) else tuple(dim)
    return deliver(reductions.vector_norm(x, ord, dim, bool(keepdim), dtype), out)


_ORDERS = (2, -2, 1, -1, math.inf, -math.inf)


def _matrix_dims(A: Any, dim: Any) -> tuple[int, int]:
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    if len(dims) != 2:
        shown = " ".join(map(str, dims))
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {shown}")
    rows, columns = (wrap_dim(d, A.ndim) for d in dims)
    if rows == columns:
        raise RuntimeError(f"linalg.matrix_norm: dims must be different. Got ({dims[0]}, {dims[1]})")
    return rows, columns


def _check_matrix_norm(A: Any, dtype: Any) -> None:
    check_matrix(A, "linalg.matrix_norm")
    check_floating(A, "linalg.matrix_norm")
    check_norm_dtype(dtype, A, "linalg.matrix_norm")


def _reduced(values: Tensor, how: str, dim: int, keepdim: bool) -> Tensor:
    """``values`` reduced over ``dim``; the largest of none is zero."""
    if how == "amax" and not values._spec.shape[dim]:
        how = "sum"
    return getattr(values, how)(dim, keepdim)


def _singular_norm(A: Tensor, dims: tuple[int, int], reduce: str, keepdim: bool) -> Tensor:
    """A function of the singular values of the matrices in two dimensions."""
    rows, columns = dims
    rest = [d for d in range(A._spec.ndim) if d not in dims]
    values = svdvals(A if (*rest, rows, columns) == tuple(range(A._spec.ndim)) else A.permute(*rest, rows, columns))
    result = _reduced(values, reduce, -1, keepdim)
    if not keepdim:
        return result
    back = np.argsort([*rest, rows, columns]).tolist()
    return result.unsqueeze(-1).permute(*back)


@composite(namespaces=("linalg",))
def matrix_norm(A, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None, out=None):
    """A norm of matrices: "fro" (Frobenius'), "nuc" (nuclear), inf, -inf, 1, -1, 2 or -2."""
    require_tensor(A, "linalg_matrix_norm", "A", 1)
    spec = A._spec
    _check_matrix_norm(spec, dtype)
    if isinstance(ord, str):
        if ord not in ("fro", "nuc"):
            raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
        dims = _matrix_dims(spec, dim)
        if ord == "fro":
            return deliver(reductions.vector_norm(A, 2, tuple(dims), bool(keepdim), dtype), out)
        check_floating(spec, "linalg.matrix_norm", low_precision=False)
        return deliver(_singular_norm(A if dtype is None else A.to(dtype), dims, "sum", bool(keepdim)), out)
    order = ord.item() if isinstance(ord, Tensor) else ord
    if order not in _ORDERS:
        raise RuntimeError(f"linalg.matrix_norm: Order {order:g} not supported.")
    rows, columns = _matrix_dims(spec, dim)
    largest = "amax" if order > 0 else "amin"
    if abs(order) == 2:
        check_floating(spec, "linalg.matrix_norm", low_precision=False)
        result = _singular_norm(A if dtype is None else A.to(dtype), (rows, columns), largest, bool(keepdim))
        return deliver(result, out)
    if abs(order) == math.inf:
        rows, columns = columns, rows
    sums = reductions.vector_norm(A, 1.0, (rows,), bool(keepdim), dtype)
    if not keepdim and columns > rows:
        columns -= 1
    return deliver(_reduced(sums, largest, columns, bool(keepdim)), out)


@composite(namespaces=("linalg",))
def norm(A, ord=None, dim=None, keepdim=False, *, out=None, dtype=None):
    """A vector norm, or for an ``ord`` of matrices or two dimensions a matrix norm; 2 of all elements where none is named."""
    require_tensor(A, "linalg_norm", "A", 1)
    ndim = A._spec.ndim
    dims = None if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    if isinstance(ord, str):
        if dims is not None and len(dims) not in (1, 2):
            raise RuntimeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dims)}")
        return matrix_norm(A, ord, (-2, -1) if dims is None else dims, keepdim, dtype=dtype, out=out)
    if ord is not None:
        if dims is not None and len(dims) not in (1, 2):
            raise RuntimeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dims)}")
        if dims is None and ndim not in (1, 2):
            raise RuntimeError(
                f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {ndim}D."
            )
        if (dims is not None and len(dims) == 2) or (dims is None and ndim == 2):
            return matrix_norm(A, ord, (0, 1) if dims is None else dims, keepdim, dtype=dtype, out=out)
    elif dims is not None and len(dims) not in (1, 2):
        raise RuntimeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dims)}")
    return vector_norm(A, 2 if ord is None else ord, dims, keepdim, dtype=dtype, out=out)


@composite(namespaces=("linalg",))
def cond(A, p=None, *, out=None):
    """The condition number, in the norm ``p``: that of A times that of its inverse; by singular values for None, 2, -2."""
    require_tensor(A, "linalg_cond", "A", 1)
    spec = A._spec
    if spec.ndim < 2:
        raise RuntimeError("linalg.cond: The input tensor must have at least 2 dimensions.")
    if p is None or p in (2, -2):
        if not spec.numel:
            return deliver(A.new_zeros(spec.shape[:-2], dtype=_real(A)), out)
        values = svdvals(A)
        first, last = values.narrow(-1, 0, 1), values.narrow(-1, -1, 1)
        return deliver((last / first if p == -2 else first / last).squeeze(-1), out)
    if (isinstance(p, str) and p not in ("fro", "nuc")) or (not isinstance(p, str) and p not in _ORDERS):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
    check_square(spec, f"linalg.cond(ord={p})")
    if not spec.numel:
        return deliver(A.new_zeros(spec.shape[:-2], dtype=_real(A)), out)
    if p == "nuc":
        return deliver(matrix_norm(A, p) * matrix_norm(inv(A), p), out)
    inverse, _ = inv_ex(A)
    return deliver((matrix_norm(A, p) * matrix_norm(inverse, p)).nan_to_num(math.inf, math.inf, -math.inf), out)


def _real(A: Tensor) -> Any:
    return from_numpy_dtype(real_dtype(A._spec.dtype))


# Powers and exponentials.


def _check_square_of(A: Any, function: str, name: str, argument: str = "A") -> None:
    require_tensor(A, name, argument, 1)
    check_square(A._spec, function)


@composite(namespaces=("linalg",), name="matrix_power")
def linalg_matrix_power(A, n, *, out=None):
    """The ``n``-th powers of square matrices; negative ones are powers of the inverse."""
    _check_square_of(A, "linalg.matrix_power", "linalg_matrix_power")
    if n == 0:
        result = A.clone()
        return deliver(result.copy_(exports("torch")["eye"](A._spec.shape[-1], dtype=A.dtype, device=A.device)), out)
    if n == 1:
        return deliver(A.clone(), out)
    if n == -1:
        return inv(A, out=out)
    base = A if n > 0 else inv(A)
    n = abs(n)
    if n == 2:
        return deliver(matmul(base, base), out)
    if n == 3:
        return deliver(matmul(matmul(base, base), base), out)
    result, power = None, None
    while n:
        power = base if power is None else matmul(power, power)
        if n % 2:
            result = power if result is None else matmul(result, power)
        n //= 2
    return deliver(result, out)


@composite()
def matrix_power(input, n, *, out=None):
    """The ``n``-th powers of square matrices; :func:`torch.linalg.matrix_power`."""
    return linalg_matrix_power(input, n, out=out)


#: The largest 1-norm for which a Taylor polynomial of degree 18 gives the exponential to the dtype's precision.
_LARGEST = {4: 3.0, 8: 1.09}


def _taylor(x: Any) -> Any:
    """The Taylor polynomial of the exponential of degree 18, in blocks of powers up to six."""
    powers = [identity(x), x]
    while len(powers) < 7:
        powers.append(times(powers[len(powers) // 2], powers[(len(powers) + 1) // 2]))
    factor = [1 / math.factorial(k) for k in range(19)]
    result = lax.mul(powers[6], constant(x, factor[18]))
    for start in (12, 6, 0):
        block = None
        for k in range(6):
            term = lax.mul(powers[k], constant(x, factor[start + k]))
            block = term if block is None else lax.add(block, term)
        result = lax.add(result, block)
        if start:
            result = times(result, powers[6])
    return result


def _exponential(x: Any) -> Any:
    size = lax.abs(x)
    n = x.ndim
    norm = lax.reduce_max(lax.reduce_sum(size, (n - 2,)), (n - 2,))
    ratio = lax.div(norm, constant(norm, _LARGEST[np.dtype(norm.dtype).itemsize]))
    ratio = lax.max(ratio, constant(ratio, 1))
    fine = lax.is_finite(ratio)
    log = lax.div(lax.log(choose(fine, ratio, constant(ratio, 1))), constant(ratio, math.log(2)))
    squarings = lax.convert_element_type(lax.ceil(log), np.int32)
    scale = lax.exp2(lax.neg(lax.convert_element_type(squarings, norm.dtype)))
    scaled = lax.mul(x, lax.broadcast_in_dim(lax.convert_element_type(scale, x.dtype), x.shape, tuple(range(n - 2))))
    most = lax.reduce_max(squarings, tuple(range(n - 2)))

    def more(state: Any) -> Any:
        return lax.lt(state[0], most)

    def square(state: Any) -> tuple:
        i, result = state
        wanted = lax.broadcast_in_dim(lax.lt(spread(i, squarings.shape), squarings), x.shape, tuple(range(n - 2)))
        return lax.add(i, np.int32(1)), lax.select(wanted, times(result, result), result)

    return lax.while_loop(more, square, (np.int32(0), _taylor(scaled)))[1]


def _exponential_gradient(x: Any, g: Any) -> tuple:
    # The exponential of [[A^H, G], [0, A^H]] has the gradient in its upper right block.
    turned, n, axis = adjoint(x), x.shape[-1], x.ndim - 1
    top = lax.concatenate([turned, g], axis)
    bottom = lax.concatenate([lax.full_like(turned, 0), turned], axis)
    big = _exponential_of(lax.concatenate([top, bottom], axis - 1))
    return (lax.slice(big, [0] * (axis - 1) + [0, n], [*x.shape[:-2], n, 2 * n]),)


_exponential_of = with_gradient(_exponential, lambda xs, result: xs[0], _exponential_gradient)


@op(name="linalg_matrix_exp", namespaces=("_private",))
def _matrix_exp(A: Array):
    """The exponentials of square matrices."""
    check_square(A, "linalg.matrix_exp")
    check_floating(A, "linalg.matrix_exp")
    if is_empty(A):
        return A
    x = widened(A)
    result = lax.exp(x) if A.shape[-1] == 1 else _exponential_of(x)
    return result if result.dtype == A.dtype else lax.convert_element_type(result, A.dtype)


@composite(namespaces=("linalg",), name="matrix_exp")
def linalg_matrix_exp(A):
    """The exponentials of square matrices, ``I + A + A A / 2 + ...``."""
    return _matrix_exp(A)


@composite()
def matrix_exp(A):
    """The exponentials of square matrices; :func:`torch.linalg.matrix_exp`."""
    return _matrix_exp(A)


# Products.


@composite(namespaces=("linalg",), name="matmul")
def linalg_matmul(input, other, *, out=None):
    """The matrix product; another name of :func:`torch.matmul`."""
    return matmul(input, other, out=out)


def _check_multi_dot(tensors: Sequence[Tensor]) -> None:
    n = len(tensors)
    if n < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {n}")
    for i, t in enumerate(tensors):
        end = i in (0, n - 1)
        if t._spec.ndim not in ((1, 2) if end else (2,)):
            which = "the first tensor" if i == 0 else "the last tensor" if end else f"tensor {i}"
            allowed = "1D or 2D" if end else "2D"
            raise RuntimeError(f"multi_dot(): {which} must be {allowed} but got {t._spec.ndim}D")
        if t.dtype is not tensors[0].dtype:
            names = [SMALL_NAMES.get(x.dtype.name, x.dtype.name) for x in (tensors[0], t)]
            raise RuntimeError(
                f"multi_dot(): all tensors must have be the same dtype but tensor 0 is {names[0]} and tensor {i} {names[1]}"
            )
    for i in range(n - 1):
        a, b = tensors[i]._spec.shape, tensors[i + 1]._spec.shape
        if a[-1] != b[0]:
            raise RuntimeError(
                f"multi_dot(): tensors {i} and {i + 1} with shapes {list(a)} and {list(b)} cannot be multiplied"
            )


#: What C++ calls dtypes in a few messages.
SMALL_NAMES = {
    "float32": "float", "float64": "double", "int64": "long int", "int32": "int", "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>", "float16": "c10::Half", "bfloat16": "c10::BFloat16",
}  # fmt: skip


def _cheapest_order(sizes: Sequence[int]) -> list[list[int]]:
    """Where to split each run of a chain of matrices so that the fewest multiplications are done."""
    n = len(sizes) - 1
    cost = [[0] * n for _ in range(n)]
    split = [[0] * n for _ in range(n)]
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            options = [(cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)]
            cost[i][j], split[i][j] = min(options)
    return split


@composite(namespaces=("linalg",))
def multi_dot(tensors, *, out=None):
    """The product of several matrices, in the order that needs the fewest multiplications; the ends may be vectors."""
    tensors = list(tensors)
    _check_multi_dot(tensors)
    rows = [] if tensors[0]._spec.ndim == 1 else [tensors[0]._spec.shape[0]]
    columns = [] if tensors[-1]._spec.ndim == 1 else [tensors[-1]._spec.shape[1]]
    matrices = list(tensors)
    matrices[0] = matrices[0] if rows else matrices[0].unsqueeze(0)
    matrices[-1] = matrices[-1] if columns else matrices[-1].unsqueeze(-1)
    split = _cheapest_order([matrices[0]._spec.shape[0], *[m._spec.shape[1] for m in matrices]])

    def chain(i: int, j: int) -> Tensor:
        return matrices[i] if i == j else mm(chain(i, split[i][j]), chain(split[i][j] + 1, j))

    return deliver(chain(0, len(matrices) - 1).view(*rows, *columns), out)


@composite(namespaces=("linalg",))
def vecdot(x, y, *, dim=-1, out=None):
    """The sums over ``dim`` of ``conj(x_i) * y_i``."""
    require_tensor(x, "linalg_vecdot", "x", 1)
    check_floating(x._spec, "linalg.vecdot")
    check_same(x._spec, y._spec, "linalg.vecdot", ("x", "y"))
    if x._spec.ndim == 1 and y._spec.ndim == 1:
        return deliver(exports("torch")["vdot"](x, y), out)
    return deliver((x.conj() * y).sum(dim), out)


@op(name="linalg_cross", namespaces=("_private",))
def _cross(input, other, dim):
    """The cross product."""
    if input.ndim != other.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    axis = wrap_dim(dim, input.ndim)
    if input.shape[axis] != 3 or other.shape[axis] != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {input.shape[axis]} and {other.shape[axis]}"
        )
    if input.dtype != other.dtype:
        raise RuntimeError(f"expected scalar type {type_name_of(input)} but found {type_name_of(other)}")
    shape = machinery.broadcast_shapes([input.shape, other.shape])
    x, y, z = _components(machinery._broadcast(input, shape), axis)
    u, v, w = _components(machinery._broadcast(other, shape), axis)
    parts = [lax.sub(lax.mul(a, b), lax.mul(c, d)) for a, b, c, d in ((y, w, z, v), (z, u, x, w), (x, v, y, u))]
    return lax.concatenate(parts, axis)


def _components(x: Any, axis: int) -> list[Any]:
    return [lax.slice_in_dim(x, i, i + 1, 1, axis) for i in range(3)]


@composite(namespaces=("linalg",), name="cross")
def linalg_cross(input, other, *, dim=-1, out=None):
    """The cross products of vectors of three elements along ``dim``."""
    return deliver(_cross(input, other, int(dim)), out)


@composite()
def cross(input, other, dim=None, *, out=None):
    """The cross products along ``dim``, the first dimension of size three unless given."""
    require_tensor(input, "cross", "input", 1)
    if dim is None:
        dim = next((d for d, n in enumerate(input._spec.shape) if n == 3), None)
        if dim is None:
            raise RuntimeError("no dimension of size 3 in input")
    return deliver(_cross(input, other, int(dim)), out)


@composite()
def kron(input, other, *, out=None):
    """Kronecker's product: the blocks ``input_ij * other``."""
    n = max(input._spec.ndim, other._spec.ndim)
    a, b = ((*[1] * (n - x._spec.ndim), *x._spec.shape) for x in (input, other))
    left = input.reshape([k for m in a for k in (m, 1)])
    right = other.reshape([k for m in b for k in (1, m)])
    result = left * right
    size = tuple(x * y for x, y in zip(a, b, strict=True))
    strides = shapes.views.contiguous_strides(size)
    return deliver(shapes._reshaped(result, size, strides, "UnsafeViewBackward0"), out)


@op()
def trace(input):
    """The sum of a matrix's diagonal; of integers in int64."""
    if input.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    if kind(input) == "b":
        raise NotImplementedError("\"trace\" not implemented for 'Bool'")
    x = lax.convert_element_type(input, INT64) if kind(input) in "iu" else widened(input)
    on = lax.select(np.eye(*x.shape, dtype=bool), x, lax.full_like(x, 0))
    total = lax.reduce_sum(on, (0, 1))
    return total if kind(input) in "iu" else lax.convert_element_type(total, input.dtype)


# The rest.


@composite(namespaces=("linalg",))
def diagonal(A, *, offset=0, dim1=-2, dim2=-1):
    """The diagonals of matrices, sharing memory."""
    return A.diagonal(offset, dim1, dim2)


@composite(namespaces=("linalg",))
def vander(x, N=None):
    """Vandermonde's matrix: each element's powers from 0 to ``N - 1`` (as many as there are elements) along a new last dimension."""
    require_tensor(x, "linalg_vander", "x", 1)
    if x.dtype.name == "bool":
        raise RuntimeError("linalg.vander supports floating point, complex, and integer tensors, but got Bool")
    shape = x._spec.shape
    count = (shape[-1] if shape else 1) if N is None else N
    if count <= 1:
        raise RuntimeError("N must be greater than 1.")
    rows = (x if shape else x.unsqueeze(0)).unsqueeze(-1)
    powers = rows.expand(*(shape or (1,)), count - 1).cumprod(-1)
    return exports("torch")["cat"]([exports("torch")["ones_like"](rows, dtype=powers.dtype), powers], -1)


@composite(namespaces=("linalg",))
def tensorinv(A, ind=2, *, out=None):
    """The inverse of A as a map between tensors: the first ``ind`` dimensions against the others."""
    require_tensor(A, "linalg_tensorinv", "A", 1)
    if ind <= 0:
        raise RuntimeError(f"Expected a strictly positive integer for 'ind', but got {ind}")
    shape = A._spec.shape
    if ind > len(shape):
        raise RuntimeError(f"ArrayRef: invalid slice, N = {ind}; size = {len(shape)}")
    first, last = shape[:ind], shape[ind:]
    if math.prod(first) != math.prod(last):
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got "
            f"{math.prod(last)} != {math.prod(first)}"
        )
    inverse, info = inv_ex(A.reshape(math.prod(last), math.prod(first)))
    if bool(info.any()):
        raise RuntimeError("Failed to invert the input tensor, because it is singular.")
    return deliver(inverse.reshape(*last, *first), out)


@composite(namespaces=("linalg",))
def tensorsolve(A, B, dims=None, *, out=None):
    """The tensor X for which ``tensordot(A, X)`` over X's dimensions is B; ``dims`` of A are moved to its end first."""
    require_tensor(A, "linalg_tensorsolve", "A", 1)
    n = A._spec.ndim
    if dims is not None:
        moved = [wrap_dim(d, n) for d in dims]
        A = A.movedim(moved, list(range(n - len(moved), n)))
    rest = A._spec.shape[B._spec.ndim :]
    size, wanted = math.prod(rest), math.prod(A._spec.shape[: B._spec.ndim])
    if size != wanted:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), but got "
            f"{size} != {wanted}"
        )
    return deliver(linalg_solve(A.reshape(size, size), B.reshape(size)).reshape(*rest), out)
