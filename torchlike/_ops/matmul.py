"""Products of vectors and matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jax import lax
from jax import numpy as jnp

from torchlike._ops.op import Array, Number, broadcast_shapes, composite, op
from torchlike._ops.op import _broadcast as broadcast
from torchlike._tensor.dtypes import from_numpy_dtype
from torchlike._tensor.promotion import SCALAR_TYPE_NAMES
from torchlike._tensor.tensor import Tensor


def scalar_name(x: Any) -> str:
    """An array's element type as messages spell it, such as Float."""
    return SCALAR_TYPE_NAMES[from_numpy_dtype(x.dtype)]


def c_name(x: Any) -> str:
    """An array's element type as C spells it, such as float."""
    names = {"Half": "c10::Half", "BFloat16": "c10::BFloat16", "Long": "long long", "Byte": "unsigned char"}
    name = scalar_name(x)
    return names.get(name, name.lower())


def product(a: Any, b: Any, contract: tuple, batch: tuple = ((), ())) -> Any:
    """``lax.dot_general`` in the inputs' dtype; half precision is summed in single precision."""
    if a.dtype in (np.float16, jnp.bfloat16):
        out = lax.dot_general(a, b, (contract, batch), preferred_element_type=np.float32)
        return lax.convert_element_type(out, a.dtype)
    return lax.dot_general(a, b, (contract, batch))


def check_matrices(a: Any, b: Any) -> None:
    """RuntimeError where two matrices cannot be multiplied."""
    if a.shape[1] != b.shape[0]:
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({a.shape[0]}x{a.shape[1]} and {b.shape[0]}x{b.shape[1]})"
        )
    check_same_dtype(a, b)


def check_same_dtype(a: Any, b: Any) -> None:
    """RuntimeError where two matrices' types differ."""
    if a.dtype != b.dtype:
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {c_name(a)} != {c_name(b)}")


@op()
def mm(input, mat2: Array, *, out=None):
    """The product of two matrices: (n x m) times (m x p) gives (n x p)."""
    if input.ndim != 2:
        raise RuntimeError("self must be a matrix")
    if mat2.ndim != 2:
        raise RuntimeError("mat2 must be a matrix")
    check_matrices(input, mat2)
    return product(input, mat2, ((1,), (0,)))


@op()
def mv(input, vec: Array, *, out=None):
    """The product of a matrix (n x m) and a vector (m): a vector (n)."""
    if input.ndim != 2 or vec.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got 1, {input.ndim}, {vec.ndim}")
    if input.shape[1] != vec.shape[0]:
        raise RuntimeError(
            f"size mismatch, got input ({input.shape[0]}), mat ({input.shape[0]}x{input.shape[1]}), vec "
            f"({vec.shape[0]})"
        )
    if input.dtype != vec.dtype:
        raise RuntimeError(
            f"addmv input tensors must have the same dtype, but got {scalar_name(vec)}, {scalar_name(input)}, and "
            f"{scalar_name(vec)}"
        )
    return product(input, vec, ((1,), (0,)))


def _check_vectors(name: str, a: Any, b: Any) -> None:
    if a.ndim != 1 or b.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {a.ndim}D and {b.ndim}D tensors")
    if a.dtype != b.dtype:
        raise RuntimeError(
            f"{name} : expected both vectors to have same dtype, but found {scalar_name(a)} and {scalar_name(b)}"
        )
    if a.shape != b.shape:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{a.shape[0]}] and src [{b.shape[0]}] to have the same "
            f"number of "
            f"elements, but got {a.shape[0]} and {b.shape[0]} elements respectively"
        )


@op()
def dot(input, tensor: Array, *, out=None):
    """The sum of the products of two vectors' elements."""
    _check_vectors("dot", input, tensor)
    return product(input, tensor, ((0,), (0,)))


@op()
def vdot(input, other, *, out=None):
    """``dot`` with the first vector conjugated."""
    _check_vectors("vdot", input, other)
    return product(jnp.conj(input), other, ((0,), (0,)))


@op()
def bmm(input, mat2: Array, *, out=None):
    """Products of matrices in two batches: (b x n x m) times (b x m x p) gives (b x n x p)."""
    if input.ndim != 3:
        raise RuntimeError("batch1 must be a 3D tensor")
    if mat2.ndim != 3:
        raise RuntimeError("batch2 must be a 3D tensor")
    _check_batches(input, mat2)
    return product(input, mat2, ((2,), (1,)), ((0,), (0,)))


def _check_batches(a: Any, b: Any) -> None:
    want = [a.shape[0], a.shape[2]]
    if [b.shape[0], b.shape[1]] != want:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: {want} but got: "
            f"{[b.shape[0], b.shape[1]]}."
        )
    if a.dtype != b.dtype:
        raise RuntimeError(f"expected scalar type {scalar_name(a)} but found {scalar_name(b)}")


def _row_times(a: Any, b: Any) -> Any:
    if a.shape[0] != b.shape[-2]:
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied (1x{a.shape[0]} and {b.shape[-2]}x{b.shape[-1]})"
        )
    check_same_dtype(a, b)
    return product(a, b, ((0,), (0,)))


@op(name="_vector_matrix", namespaces=("_private",), node="SqueezeBackward4")
def _vector_matrix(input, other):
    """A row vector times a matrix."""
    return _row_times(input, other)


@op(name="_matmul", namespaces=("_private",), node="UnsafeViewBackward0")
def _batched(input, other):
    """Products of stacks of matrices, their leading dimensions broadcast; a vector is a row or a column."""
    if other.ndim <= 2:
        # One matrix for all: a single product of everything stacked.
        inner = other.shape[0]
        if input.shape[-1] != inner:
            rows = math.prod(input.shape[:-1])
            last = other.shape[1] if other.ndim == 2 else 1
            if other.ndim == 1:
                raise RuntimeError(f"size mismatch, got input ({rows}), mat ({rows}x{input.shape[-1]}), vec ({inner})")
            raise RuntimeError(
                f"mat1 and mat2 shapes cannot be multiplied ({rows}x{input.shape[-1]} and {inner}x{last})"
            )
        check_same_dtype(input, other)
        return product(input, other, ((input.ndim - 1,), (0,)))
    a = input[None] if input.ndim == 1 else input
    lead = broadcast_shapes([a.shape[:-2], other.shape[:-2]])
    a = broadcast(a, (*lead, *a.shape[-2:]))
    b = broadcast(other, (*lead, *other.shape[-2:]))
    n = len(lead)
    if a.shape[-1] != b.shape[-2]:
        want, have = [math.prod(lead), a.shape[-1]], [math.prod(lead), b.shape[-2]]
        raise RuntimeError(f"Expected size for first two dimensions of batch2 tensor to be: {want} but got: {have}.")
    if a.dtype != b.dtype:
        raise RuntimeError(f"expected scalar type {scalar_name(a)} but found {scalar_name(b)}")
    batch = tuple(range(n))
    out = product(a, b, ((n + 1,), (n,)), (batch, batch))
    return lax.squeeze(out, (n,)) if input.ndim == 1 else out


_KERNELS = {(1, 1): dot, (2, 1): mv, (1, 2): _vector_matrix, (2, 2): mm}


@composite()
def matmul(input, other, *, out=None):
    """The matrix product: of vectors, matrices, or stacks of matrices whose leading dimensions broadcast."""
    if not isinstance(other, Tensor) or not isinstance(input, Tensor):
        bad, name, place = (other, "other", 2) if isinstance(input, Tensor) else (input, "input", 1)
        raise TypeError(f"matmul(): argument '{name}' (position {place}) must be Tensor, not {type(bad).__name__}")
    a, b = input._spec.ndim, other._spec.ndim
    if a == 0 or b == 0:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {a}D and {b}D")
    result = _KERNELS.get((a, b), _batched)(input, other)
    if out is not None:
        from torchlike._ops.op import write_out

        write_out(out, result)
        return out
    return result


def _operator(self: Tensor, other: Any) -> Any:
    return matmul(self, other) if isinstance(other, Tensor) else NotImplemented


Tensor.__matmul__ = _operator  # type: ignore[attr-defined]
Tensor.__rmatmul__ = lambda self, other: matmul(other, self)  # type: ignore[attr-defined]


def _scale(x: Any, factor: Any) -> Any:
    if isinstance(factor, (bool, int, float)) and factor == 1:
        return x
    return lax.mul(x, lax.convert_element_type(jnp.asarray(factor), x.dtype))


def _plus(bias: Any, out: Any, beta: Any, alpha: Any) -> Any:
    """``beta * bias + alpha * out``, the bias expanded to the shape of ``out``."""
    out = _scale(out, alpha)
    if isinstance(beta, (bool, int, float)) and beta == 0:
        return out
    check_expand(bias.shape, out.shape)
    return lax.add(broadcast(_scale(bias, beta), out.shape), out)


def check_expand(have: tuple[int, ...], want: tuple[int, ...]) -> None:
    """RuntimeError where a shape cannot be expanded to another."""
    lead = len(want) - len(have)
    for i, n in enumerate(have):
        if lead < 0 or n not in (1, want[lead + i]):
            raise RuntimeError(
                f"The expanded size of the tensor ({want[lead + i] if lead >= 0 else want[0]}) must match the "
                f"existing size "
                f"({n}) at non-singleton dimension {lead + i}.  Target sizes: {list(want)}.  Tensor sizes: {list(have)}"
            )


@op(inplace=True)
def addmm(input, mat1: Array, mat2: Array, *, beta: Number = 1, alpha: Number = 1, out=None):
    """``beta * input + alpha * (mat1 @ mat2)``."""
    check_matrices(mat1, mat2)
    return _plus(input, product(mat1, mat2, ((1,), (0,))), beta, alpha)


@op(inplace=True)
def addmv(input, mat: Array, vec: Array, *, beta: Number = 1, alpha: Number = 1, out=None):
    """``beta * input + alpha * (mat @ vec)``."""
    if mat.shape[1] != vec.shape[0]:
        raise RuntimeError(
            f"size mismatch, got input ({mat.shape[0]}), mat ({mat.shape[0]}x{mat.shape[1]}), vec ({vec.shape[0]})"
        )
    return _plus(input, product(mat, vec, ((1,), (0,))), beta, alpha)


@op(inplace=True)
def baddbmm(input, batch1: Array, batch2: Array, *, beta: Number = 1, alpha: Number = 1, out=None):
    """``beta * input + alpha * (batch1 @ batch2)``, batch by batch."""
    if batch1.ndim != 3 or batch2.ndim != 3:
        raise RuntimeError(f"batch{1 if batch1.ndim != 3 else 2} must be a 3D tensor")
    _check_batches(batch1, batch2)
    return _plus(input, product(batch1, batch2, ((2,), (1,)), ((0,), (0,))), beta, alpha)


@op(inplace=True)
def addbmm(input, batch1: Array, batch2: Array, *, beta: Number = 1, alpha: Number = 1, out=None):
    """``beta * input + alpha *`` the sum over the batch of ``batch1 @ batch2``."""
    _check_batches(batch1, batch2)
    return _plus(input, product(batch1, batch2, ((0, 2), (0, 1))), beta, alpha)


@op(inplace=True)
def addr(input, vec1: Array, vec2: Array, *, beta: Number = 1, alpha: Number = 1, out=None):
    """``beta * input + alpha *`` the outer product of two vectors."""
    return _plus(input, vec1[:, None] * vec2[None, :], beta, alpha)


@composite(alias=("ger",))
def outer(input, vec2, *, out=None):
    """All products of an element of one vector with one of the other, as a matrix."""
    for x, name in ((input, "self"), (vec2, "vec2")):
        if x._spec.ndim != 1:
            raise RuntimeError(f"outer: Expected 1-D argument {name}, but got {x._spec.ndim}-D")
    from torchlike._ops.arithmetic import mul

    return mul(input.reshape(-1, 1), vec2, out=out)


@composite()
def inner(input, other, *, out=None):
    """The sums of products along the last dimension of both."""
    if input._spec.ndim == 0 or other._spec.ndim == 0:
        return input * other
    return tensordot(input, other, ((-1,), (-1,)))


@op(name="_tensordot", namespaces=("_private",), node="ViewBackward0")
def _tensordot(input, other, dims_a, dims_b):
    """The sums of products over pairs of dimensions."""
    for i, j in zip(dims_a, dims_b, strict=True):
        if input.shape[i] != other.shape[j]:
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {input.shape[i]} in dim {i} and second has "
                f"size "
                f"{other.shape[j]} in dim {j}"
            )
    return product(input, other, (dims_a, dims_b))


@composite(namespaces=("torch",))
def tensordot(a, b, dims=2, out=None):
    """The sums of products over ``dims`` dimensions: a number of them, or a pair of lists."""
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        dims = (tuple(range(-dims, 0)), tuple(range(dims)))
    left, right = ([d] if isinstance(d, int) else list(d) for d in dims)
    if len(left) != len(right):
        raise RuntimeError("both dimension lists should have same length")
    result = _tensordot(a, b, [d % a._spec.ndim for d in left], [d % b._spec.ndim for d in right])
    if out is not None:
        from torchlike._ops.op import write_out

        write_out(out, result)
        return out
    return result


@composite(namespaces=("torch",))
def chain_matmul(*matrices, out=None):
    """The product of several matrices."""
    result = matrices[0]
    for m in matrices[1:]:
        result = mm(result, m)
    return result


def _linear(x: Any, weight: Any, bias: Any) -> Any:
    if x.shape[-1] != weight.shape[-1]:
        rows = math.prod(x.shape[:-1])
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({rows}x{x.shape[-1]} and {weight.shape[1]}x{weight.shape[0]})"
        )
    if x.dtype != weight.dtype:
        if bias is None:
            raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {c_name(x)} != {c_name(weight)}")
        raise RuntimeError(
            f"mat1 and mat2 must have the same dtype, but got {scalar_name(x)} and {scalar_name(weight)}"
        )
    out = product(x, weight, ((x.ndim - 1,), (1,)))
    if bias is None:
        return out
    check_expand(bias.shape, out.shape)
    return lax.add(out, lax.broadcast_in_dim(bias, out.shape, (out.ndim - 1,)) if bias.ndim else bias)


@op(name="_linear_addmm", namespaces=("_private",), node="AddmmBackward0")
def _linear_addmm(input, weight: Array, bias: Array):
    """A matrix times the weight's transpose plus the bias."""
    return _linear(input, weight, bias)


@op(name="_linear_mm", namespaces=("_private",), node="MmBackward0")
def _linear_mm(input, weight: Array):
    """A matrix times the weight's transpose."""
    return _linear(input, weight, None)


@op(name="_linear_view", namespaces=("_private",), node="ViewBackward0")
def _linear_view(input, weight: Array, bias: Array):
    """A stack of vectors times the weight's transpose plus the bias."""
    return _linear(input, weight, bias)


@op(name="_linear_unsafe_view", namespaces=("_private",), node="UnsafeViewBackward0")
def _linear_unsafe_view(input, weight: Array):
    """A stack of vectors times the weight's transpose."""
    return _linear(input, weight, None)


@composite(namespaces=("nn.functional",))
def linear(input, weight, bias=None):
    """``input @ weight.T + bias``: (..., in) and (out, in) give (..., out)."""
    n = input._spec.ndim
    if weight._spec.ndim == 1:
        result = matmul(input, weight)
        return result if bias is None else result + bias
    if bias is None:
        return (_linear_mm if n == 2 else _linear_unsafe_view)(input, weight)
    return (_linear_addmm if n == 2 else _linear_view)(input, weight, bias)
