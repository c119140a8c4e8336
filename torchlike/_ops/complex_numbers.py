"""Complex numbers: made of parts or of modulus and angle, and conjugated."""

from __future__ import annotations

from typing import Any

from jax import lax

from torchlike._ops import op as machinery
from torchlike._ops.bodies import kind, type_name_of
from torchlike._ops.op import Array, composite, delivered, op


def _check_parts(a: Any, b: Any) -> list[Any]:
    """Two real arrays of one type, broadcast to a common shape."""
    if kind(a) != "f" or kind(b) != "f":
        raise RuntimeError(
            f"Expected both inputs to be Half, Float or Double tensors but got {type_name_of(a)} and {type_name_of(b)}"
        )
    if a.dtype != b.dtype:
        raise RuntimeError(
            f"Expected object of scalar type {type_name_of(a)} but got scalar type {type_name_of(b)} for second "
            "argument"
        )
    shape = machinery.broadcast_shapes([a.shape, b.shape])
    return [machinery._broadcast(x, shape) for x in (a, b)]


@op(name="complex", namespaces=("_private",), node="ComplexBackward0")
def join(real: Array, imag: Array, *, out=None):
    """The complex numbers with these real and imaginary parts."""
    return lax.complex(*_check_parts(real, imag))


@op(namespaces=("torch",))
def polar(abs: Array, angle: Array, *, out=None):
    """The complex numbers of this modulus and this angle in radians: ``abs * (cos(angle) + i sin(angle))``."""
    modulus, turn = _check_parts(abs, angle)
    return lax.complex(lax.mul(modulus, lax.cos(turn)), lax.mul(modulus, lax.sin(turn)))


@op(name="_conj", namespaces=("_private",), node="ConjBackward0")
def _conj(input):
    """The complex conjugates."""
    return lax.conj(input)


@composite()
def conj(input):
    """The complex conjugate of each element; a real tensor itself."""
    return _conj(input) if input.is_complex() else input


@op(name="conj_physical", namespaces=("_private",), node="ConjPhysicalBackward0")
def _conj_physical(input):
    """The complex conjugates, worked out at once."""
    return lax.conj(input)


@composite()
def conj_physical(input, *, out=None):
    """A copy of the tensor with each element conjugated; a real tensor itself."""
    result = _conj_physical(input) if input.is_complex() else input
    return delivered(result, out)


@composite()
def conj_physical_(input):
    """In-place form of :func:`conj_physical`."""
    return machinery.call_inplace(_conj_physical.operator, (input,), (None, (), None)) if input.is_complex() else input
