"""Reductions over all elements or over dimensions: sums, extrema, moments, norms, and running totals."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from jax import lax

from torchlike._ops import op as machinery
from torchlike._ops.bodies import (
    INT64,
    absolute,
    axes_of,
    back,
    choose,
    constant,
    convert,
    count,
    evenly,
    kind,
    positions,
    reduced,
    selecting,
    truth,
    type_name_of,
    widened,
)
from torchlike._ops.bounds import maximum, minimum
from torchlike._ops.op import apply, composite, delivered, reduction
from torchlike._tensor import dtypes
from torchlike._tensor.promotion import SCALAR_TYPE_NAMES
from torchlike._tensor.tensor import Tensor, wrap_dim


def _accumulated(x: Any, dtype: Any) -> tuple[Any, np.dtype]:
    """The input as a sum or product takes it, halves in float32, and the type of the result: int64 for integers."""
    target = dtype.np if dtype is not None else INT64 if kind(x) in "biu" else np.dtype(x.dtype)
    return widened(machinery._cast(x, target)), target


def _numbered(name: str) -> Callable[..., str]:
    """The node's name: number 0 for a reduction of everything, 1 over dimensions."""
    return lambda dim=None, **_: f"{name}Backward{0 if dim is None else 1}"


def require(function: str, dtype: Any) -> None:
    """TypeError unless a ``dtype`` argument is a dtype or None."""
    if dtype is not None and not isinstance(dtype, dtypes.dtype):
        raise TypeError(f"{function}(): argument 'dtype' must be torch.dtype, not {type(dtype).__name__}")


# Sums and products.


@reduction(name="sum", node=_numbered("Sum"))
def _sum(input, dim=None, keepdim=False, *, dtype=None, out=None):
    """The sum of all elements, or over ``dim``; of integers and bool in int64."""
    x, target = _accumulated(input, dtype)
    axes = axes_of(dim, input.ndim)
    return convert(reduced(lax.reduce_sum(x, axes), axes, keepdim), target)


@reduction(node="NansumBackward0")
def nansum(input, dim=None, keepdim=False, *, dtype=None, out=None):
    """The sum as :func:`sum` has it, NaN counting as zero."""
    if kind(input) == "c":
        raise RuntimeError("nansum on CPU does not support complex inputs")
    x, target = _accumulated(input, dtype)
    axes = axes_of(dim, input.ndim)
    if kind(x) == "f":
        x = choose(lax.ne(x, x), constant(x, 0), x)
    return convert(reduced(lax.reduce_sum(x, axes), axes, keepdim), target)


def _mean_type(x: Any, dtype: Any) -> np.dtype:
    target = np.dtype(x.dtype) if dtype is None else dtype.np
    if target.kind in "biu":
        which, name = ("Input", type_name_of(x)) if dtype is None else ("Optional", SCALAR_TYPE_NAMES[dtype])
        raise RuntimeError(
            f"mean(): could not infer output dtype. {which} dtype must be either a floating point or complex dtype. "
            f"Got: {name}"
        )
    return target


def _mean(x: Any, axes: tuple[int, ...]) -> Any:
    n = count(x, axes)
    total = lax.reduce_sum(x, axes)
    return lax.div(total, constant(total, n)) if n else lax.mul(total, constant(total, math.nan))


@reduction(node=_numbered("Mean"))
def mean(input, dim=None, keepdim=False, *, dtype=None, out=None):
    """The mean of all elements, or over ``dim``."""
    target = _mean_type(input, dtype)
    axes = axes_of(dim, input.ndim)
    x = widened(machinery._cast(input, target))
    return convert(reduced(_mean(x, axes), axes, keepdim), target)


@composite()
def nanmean(input, dim=None, keepdim=False, *, dtype=None, out=None):
    """The mean of the elements that are not NaN."""
    if not (input.dtype.is_floating_point or input.dtype.is_complex):
        raise RuntimeError(
            "nanmean(): expected input to have floating point or complex dtype but got "
            f"{SCALAR_TYPE_NAMES[input.dtype]}"
        )
    factor = input.isnan().detach().logical_not().sum(dim, keepdim)
    return delivered(input.nansum(dim, keepdim, dtype=dtype).div(factor), out)


@reduction(node=_numbered("Prod"))
def prod(input, dim=None, keepdim=False, *, dtype=None, out=None):
    """The product of all elements, or over ``dim``; of integers and bool in int64."""
    x, target = _accumulated(input, dtype)
    axes = axes_of(dim, input.ndim)
    return convert(reduced(lax.reduce_prod(x, axes), axes, keepdim), target)


@reduction(nondiff=True, name="all")
def _all(input, dim=None, keepdim=False, *, out=None):
    """Whether all elements are non-zero; uint8 for uint8, else bool."""
    axes = axes_of(dim, input.ndim)
    result = reduced(lax.reduce_and(truth(input), axes), axes, keepdim)
    return convert(result, np.uint8) if input.dtype == np.uint8 else result


@reduction(nondiff=True, name="any")
def _any(input, dim=None, keepdim=False, *, out=None):
    """Whether any element is non-zero; uint8 for uint8, else bool."""
    axes = axes_of(dim, input.ndim)
    result = reduced(lax.reduce_or(truth(input), axes), axes, keepdim)
    return convert(result, np.uint8) if input.dtype == np.uint8 else result


@reduction(nondiff=True)
def count_nonzero(input, dim=None):
    """How many elements are not zero."""
    axes = axes_of(dim, input.ndim)
    return lax.reduce_sum(convert(truth(input), INT64), axes)


@composite(namespaces=("Tensor",))
def sum_to_size(self, *size):
    """The sum over the dimensions in which this tensor is larger than ``size``, to which it has to be expandable."""
    shape = tuple(size[0] if len(size) == 1 and isinstance(size[0], (tuple, list)) else size)
    have = self._spec.shape
    lead = len(have) - len(shape)
    if lead < 0 or any(n not in (1, have[lead + i]) for i, n in enumerate(shape)):
        raise RuntimeError(f"size {{{list(shape)}}} is not expandable to size {{{list(have)}}}.")
    axes = [d for d in range(len(have)) if d < lead or (shape[d - lead] == 1 and have[d] != 1)]
    result = self.sum(axes, True) if axes else self
    return result.view(shape) if lead else result


# Extrema.


def _no_elements(name: str, x: Any, axes: tuple[int, ...]) -> None:
    for axis in axes:
        if x.shape[axis] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {axis} to have non-zero size.")


def _no_complex(name: str, x: Any) -> None:
    if kind(x) == "c":
        raise NotImplementedError(f"\"{name}\" not implemented for '{type_name_of(x)}'")


def _extreme_all(name: str, reduce: Callable) -> Callable:
    def body(input):
        if not input.size:
            raise RuntimeError(
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim "
                "with the "
                "'dim' argument."
            )
        _no_complex(f"{name}_all", input)
        axes = tuple(range(input.ndim))
        return evenly(lambda x: reduce(x, axes), input, axes) if kind(input) == "f" else reduce(input, axes)

    body.__doc__ = f"The {name}imum of all elements, its gradient shared evenly between ties."
    return reduction(name=name, namespaces=("_private",), node=f"{name.capitalize()}Backward1")(body)


def _extreme_along(name: str, reduce: Callable, find: Callable) -> Callable:
    def body(input, dim, keepdim):
        axis = wrap_dim(dim, input.ndim)
        if kind(input) == "c":
            raise RuntimeError(f"{name}(): does not support complex input")
        if not input.ndim:
            return input, np.zeros((), INT64)
        _no_elements(name, input, (axis,))

        def along(x):
            values, index = reduce(x, (axis,)), find(x, axis, INT64)
            return lax.expand_dims(values, (axis,)), lax.expand_dims(index, (axis,))

        values, index = selecting(along, input, axis)
        return (values, index) if keepdim else (lax.squeeze(values, (axis,)), lax.squeeze(index, (axis,)))

    body.__doc__ = f"The {name}imum along a dimension, and where it is."
    return reduction(
        name=f"_{name}_along", namespaces=("_private",), node=f"{name.capitalize()}Backward0",
        returns=(name, ("values", "indices")),
    )(body)  # fmt: skip


_max_all, _min_all = _extreme_all("max", lax.reduce_max), _extreme_all("min", lax.reduce_min)
_max_along = _extreme_along("max", lax.reduce_max, lambda x, axis, dtype: lax.argmax(x, axis, dtype))
_min_along = _extreme_along("min", lax.reduce_min, lambda x, axis, dtype: lax.argmin(x, axis, dtype))
_NOTHING: Any = object()


def _of_overloads(every: Callable, along: Callable, pairwise: Callable) -> Callable:
    """The three forms of ``max`` and ``min``: of everything, along a dimension, of two tensors."""

    def function(input, dim=_NOTHING, keepdim=False, *, out=None, other=_NOTHING, axis=_NOTHING, keepdims=_NOTHING):
        dim = axis if axis is not _NOTHING else dim
        keepdim = keepdims if keepdims is not _NOTHING else keepdim
        other = dim if isinstance(dim, Tensor) and dim is not _NOTHING else other
        if other is not _NOTHING:
            return pairwise(input, other, out=out)
        if dim is _NOTHING or dim is None:
            return apply(every.operator, (input,), (None, (), None), out)
        static = (None, (int(dim), bool(keepdim)), None)
        return apply(along.operator, (input,), static, out)

    return function


def _declare_overloads(name: str, function: Callable) -> None:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"The {name}imum of all elements; with ``dim`` a named tuple of the {name}ima along it and of their indices; "
        "with "
        f"``other`` the element-by-element {name}imum of two tensors."
    )
    composite(name=name)(function)


_declare_overloads("max", _of_overloads(_max_all, _max_along, maximum))
_declare_overloads("min", _of_overloads(_min_all, _min_along, minimum))


def _check_extreme(name: str, kernel: str, x: Any, axes: tuple[int, ...], dim: Any) -> None:
    _no_complex(kernel, x)
    if not x.size:
        if dim in (None, ()):
            raise RuntimeError(
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim "
                "with the "
                "'dim' argument."
            )
        _no_elements(name, x, axes)


@reduction()
def amax(input, dim=(), keepdim=False, *, out=None):
    """The maximum over ``dim``, its gradient shared evenly between ties."""
    axes = axes_of(dim, input.ndim)
    _check_extreme("amax", "max_values_cpu", input, axes, dim)
    return reduced(lax.reduce_max(input, axes), axes, keepdim)


@reduction()
def amin(input, dim=(), keepdim=False, *, out=None):
    """The minimum over ``dim``, its gradient shared evenly between ties."""
    axes = axes_of(dim, input.ndim)
    _check_extreme("amin", "min_values_cpu", input, axes, dim)
    return reduced(lax.reduce_min(input, axes), axes, keepdim)


@reduction(returns=("aminmax", ("min", "max")))
def aminmax(input, *, dim=None, keepdim=False, out=None):
    """The minimum and the maximum, of everything or along ``dim``."""
    if dim is None and not input.size:
        raise RuntimeError(
            "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity."
        )
    axes = axes_of(dim, input.ndim)
    _no_complex("aminmax_cpu", input)
    return tuple(reduced(f(input, axes), axes, keepdim) for f in (lax.reduce_min, lax.reduce_max))


def _arg(name: str, find: Callable, x: Any, dim: int | None, keepdim: bool) -> Any:
    if kind(x) in "bc":
        raise RuntimeError(f"{name}(): does not support {'bool' if kind(x) == 'b' else 'complex'} input")
    if dim is None and not x.size:
        raise IndexError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0.")
    axis = None if dim is None else wrap_dim(dim, x.ndim)
    if not x.ndim:
        return np.zeros((), INT64)
    if axis is None:
        flat = find(lax.reshape(x, (x.size,)), 0, INT64)
        return lax.reshape(flat, (1,) * x.ndim) if keepdim else flat
    _no_elements(name, x, (axis,))
    index = find(x, axis, INT64)
    return lax.expand_dims(index, (axis,)) if keepdim else index


@reduction(nondiff=True)
def argmax(input, dim=None, keepdim=False, *, out=None):
    """The position of the greatest element (of the first of equals): in the flattened tensor, or along ``dim``."""
    return _arg("argmax", lax.argmax, input, dim, keepdim)


@reduction(nondiff=True)
def argmin(input, dim=None, keepdim=False, *, out=None):
    """The position of the least element (of the first of equals): in the flattened tensor, or along ``dim``."""
    return _arg("argmin", lax.argmin, input, dim, keepdim)


# Moments.


def _variance(x: Any, dim: Any, correction: float, keepdim: bool, root: bool) -> tuple[Any, Any]:
    """The variance (or its root) and the mean, from the deviations from the mean."""
    axes = axes_of(dim, x.ndim)
    n = count(x, axes)
    x = widened(x)
    average = _mean(x, axes)
    deviation = lax.sub(x, back(average, x.shape, axes))
    squares = lax.mul(deviation, deviation) if kind(x) != "c" else _modulus_squared(deviation)
    total = lax.reduce_sum(squares, axes)
    variance = lax.div(total, constant(total, max(0.0, n - correction)))
    if root:
        # Where all elements are equal the root has no derivative; torch takes zero.
        none = lax.eq(variance, constant(variance, 0))
        safe = choose(none, constant(variance, 1), variance)
        variance = choose(none, constant(variance, 0), lax.sqrt(safe))
    return reduced(variance, axes, keepdim), reduced(average, axes, keepdim)


def _modulus_squared(x: Any) -> Any:
    re, im = lax.real(x), lax.imag(x)
    return lax.add(lax.mul(re, re), lax.mul(im, im))


def _moment_type(name: str, x: Any) -> np.dtype:
    if kind(x) in "biu":
        raise RuntimeError(f"{name} only support floating point and complex dtypes")
    return np.dtype(x.dtype)


def _real(dtype: np.dtype) -> np.dtype:
    return np.dtype(f"f{dtype.itemsize // 2}") if dtype.kind == "c" else dtype


def _moment_op(name: str, root: bool, with_mean: bool, node: str) -> Callable:
    def body(input, dim, correction, keepdim):
        dtype = _moment_type(name if with_mean else "std and var", input)
        spread, average = _variance(input, dim, correction, keepdim, root)
        spread = convert(spread, _real(dtype))
        return (spread, convert(average, dtype)) if with_mean else spread

    body.__doc__ = f"The operator behind :func:`{name}`."
    return reduction(name=name, namespaces=("_private",), node=node)(body)


def _types(*values: Any) -> str:
    return ", ".join(type(x).__name__ for x in values)


def _moment(name: str, root: bool, with_mean: bool, doc: str) -> None:
    operator = _moment_op(name, root, with_mean, machinery.camel_case(name) + "Backward0").operator

    def function(
        input, dim=None, unbiased=None, keepdim=False, *, correction=None, out=None, axis=None, keepdims=None
    ):  # fmt: skip
        dim, keepdim = dim if axis is None else axis, keepdim if keepdims is None else keepdims
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        if unbiased is not None and not isinstance(unbiased, bool):
            raise TypeError(
                f"{name}() received an invalid combination of arguments - got ({_types(input, dim, unbiased)}), but "
                "expected one "
                "of:\n * (Tensor input, tuple of ints dim = None, *, Number correction = None, bool keepdim = False, "
                "Tensor out = "
                "None)\n * (Tensor input, tuple of ints dim, bool unbiased = True, bool keepdim = False, *, Tensor "
                "out = None)\n"
                " * (Tensor input, bool unbiased = True)\n"
            )
        if correction is None:
            correction = 0 if unbiased is False else 1
        axes = axes_of(tuple(dim) if isinstance(dim, list) else dim, input._spec.ndim)
        if count(input._spec, axes) <= correction:
            warnings.warn(
                f"{name}(): degrees of freedom is <= 0. Correction should be strictly less than the reduction factor "
                "(input "
                "numel divided by output numel).",
                UserWarning,
                stacklevel=2,
            )
        static = (None, (axes if dim is not None else None, correction, bool(keepdim)), None)
        return apply(operator, (input,), static, out)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc + (
        " Divides by the number of elements less ``correction`` (1 unless given; ``unbiased=False`` means 0)."
    )
    composite(namespaces=("torch", "Tensor") if not with_mean else ("torch",))(function)


_moment("var", False, False, "The variance of all elements, or over ``dim``.")
_moment("std", True, False, "The standard deviation of all elements, or over ``dim``.")
_moment("var_mean", False, True, "The variance and the mean of all elements, or over ``dim``.")
_moment("std_mean", True, True, "The standard deviation and the mean of all elements, or over ``dim``.")


# Norms.


def _root(total: Any, order: float) -> Any:
    """``total ** (1 / order)``, whose gradient is zero at zero."""
    none = lax.eq(total, constant(total, 0))
    safe = choose(none, constant(total, 1), total)
    root = lax.sqrt(safe) if order == 2 else lax.pow(safe, constant(safe, 1 / order))
    return choose(none, constant(total, 0 if order > 0 else math.inf), root)


def norm_over(x: Any, order: float, axes: tuple[int, ...]) -> Any:
    """The vector norm of some order over axes of a floating-point array."""
    if order == 2:
        squares = _modulus_squared(x) if kind(x) == "c" else lax.mul(x, x)
        return _root(lax.reduce_sum(squares, axes), 2)
    if order == 0:
        return lax.reduce_sum(convert(truth(x), _real(np.dtype(x.dtype))), axes)
    size = absolute(x)
    if order == 1:
        return lax.reduce_sum(size, axes)
    if order in (math.inf, -math.inf):
        extreme = lax.reduce_max if order > 0 else lax.reduce_min
        return evenly(lambda size: extreme(size, axes), size, axes)
    zero = lax.eq(size, constant(size, 0))
    safe = choose(zero, constant(size, 1), size)
    powers = choose(zero, constant(size, 0 if order > 0 else math.inf), lax.pow(safe, constant(safe, order)))
    total = lax.reduce_sum(powers, axes)
    if order > 0:
        return _root(total, order)
    infinite = lax.eq(total, constant(total, math.inf))
    return choose(infinite, constant(total, 0), _root(choose(infinite, constant(total, 1), total), order))


@reduction(name="linalg_vector_norm", namespaces=("_private",), node="LinalgVectorNormBackward0")
def vector_norm(input, ord: Any = 2, dim=None, keepdim=False, dtype=None):
    """The vector norm of order ``ord`` of all elements, or over ``dim``."""
    if kind(input) in "biu":
        raise RuntimeError(
            f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got {type_name_of(input)}"
        )
    target = np.dtype(input.dtype) if dtype is None else dtype.np
    axes = axes_of(dim, input.ndim)
    if (ord < 0 or ord == math.inf) and not count(input, axes):
        raise RuntimeError(
            f"linalg.vector_norm cannot compute the {ord:g} norm on an empty tensor because the operation does not "
            "have an "
            "identity"
        )
    x = widened(machinery._cast(input, target))
    return convert(reduced(norm_over(x, ord, axes), axes, keepdim), _real(target))


@composite()
def norm(input, p="fro", dim=None, keepdim=False, out=None, dtype=None):
    """The norm of order ``p`` of all elements, or over ``dim``; ``"fro"`` is order 2 and ``"nuc"`` the nuclear norm."""
    if isinstance(p, str):
        if p == "nuc":
            from torchlike._ops.linalg_ops import matrix_norm

            return delivered(matrix_norm(input, "nuc", (-2, -1) if dim is None else dim, keepdim), out)
        if p != "fro":
            raise RuntimeError(f"linalg.matrix_norm: Order {p} not supported.")
    order = 2.0 if p is None or p == "fro" else float(p)
    return delivered(vector_norm(input, order, dim, keepdim, dtype), out)


@reduction()
def logsumexp(input, dim, keepdim=False, *, out=None):
    """The logarithm of the sum of exponentials over ``dim``, without overflow."""
    target = dtypes.get_default_dtype().np if kind(input) in "biu" else np.dtype(input.dtype)
    x = widened(convert(input, target))
    axes = axes_of(dim, x.ndim)
    if not count(x, axes):
        return reduced(lax.log(lax.reduce_sum(lax.exp(x), axes)), axes, keepdim)
    level = lax.stop_gradient(lax.reduce_max(x if kind(x) != "c" else lax.real(x), axes))
    level = choose(lax.is_finite(level), level, constant(level, 0))
    shift = convert(level, x.dtype)
    total = lax.reduce_sum(lax.exp(lax.sub(x, back(shift, x.shape, axes))), axes)
    return convert(reduced(lax.add(lax.log(total), shift), axes, keepdim), target)


# Running totals.


@reduction(inplace="method")
def cumsum(input, dim, *, dtype=None, out=None):
    """The running sum along ``dim``; of integers and bool in int64."""
    x, target = _accumulated(input, dtype)
    axis = wrap_dim(dim, x.ndim)
    return convert(lax.cumsum(x, axis) if x.ndim else x, target)


@reduction(inplace="method")
def cumprod(input, dim, *, dtype=None, out=None):
    """The running product along ``dim``; of integers and bool in int64."""
    x, target = _accumulated(input, dtype)
    axis = wrap_dim(dim, x.ndim)
    return convert(lax.cumprod(x, axis) if x.ndim else x, target)


@reduction()
def logcumsumexp(input, dim, *, out=None):
    """The logarithm of the running sum of exponentials along ``dim``."""
    if kind(input) in "biu":
        raise NotImplementedError(f"\"logcumsumexp_out_cpu\" not implemented for '{type_name_of(input)}'")
    axis = wrap_dim(dim, input.ndim)
    return convert(lax.cumlogsumexp(widened(input), axis), input.dtype) if input.ndim else input


def _running_extreme(name: str, run: Callable, beats: Callable) -> None:
    def body(input, dim):
        axis = wrap_dim(dim, input.ndim)
        _no_complex(f"{name}_cpu", input)
        if not input.ndim:
            return input, np.zeros((), INT64)
        if input.dtype == np.bool_:
            values, index = body(convert(input, np.uint8), dim)
            return convert(values, np.bool_), index

        def along(x):
            values = run(x, axis)
            new = beats(x, values)
            if kind(x) == "f":
                new = lax.bitwise_or(new, lax.ne(x, x))
            where = positions(x.shape, axis)
            return values, lax.cummax(choose(new, where, constant(where, 0)), axis)

        return selecting(along, input, axis)

    body.__doc__ = f"The running {name[3:]}imum along a dimension, and where each was last reached."
    operator = reduction(name=name, namespaces=("_private",), returns=(name, ("values", "indices")))(body).operator

    def function(input, dim, *, out=None):
        static = (None, (int(dim),), None)
        return apply(operator, (input,), static, out)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = body.__doc__
    composite()(function)


_running_extreme("cummax", lax.cummax, lax.ge)
_running_extreme("cummin", lax.cummin, lax.le)
