"""Random tensors: drawn on the host when they are asked for, in the order in which native PyTorch draws.

``generator`` chooses the stream; None is the default one, which ``manual_seed`` seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from torchlike._engine import draws
from torchlike._engine.value import concrete
from torchlike._ops import op as machinery
from torchlike._ops.creation import _finish as finish
from torchlike._ops.creation import _shape as shape_of
from torchlike._ops.op import composite
from torchlike._tensor import dtypes
from torchlike._tensor.placement import put
from torchlike._tensor.tensor import CPU, Tensor, assign, host_array, strides_of, wrap
from torchlike._tensor.views import is_contiguous


def _stream(generator: Any) -> Any:
    from torchlike.random import cpu_stream

    return cpu_stream(generator)


def _out(out: Tensor, array: np.ndarray) -> Tensor:
    machinery.write_out(out, wrap(concrete(array)))
    return out


def _drawer(name: str, draw: Callable, doc: str) -> None:
    """Declare ``name(*size)`` and ``name_like(input)`` for a distribution without parameters."""

    def make(
        *size, generator=None, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False,
        names=None, **named,
    ):  # fmt: skip
        size = (named.pop("size"),) if "size" in named else size
        if named:
            raise TypeError(f"{name}() got an unexpected keyword argument '{next(iter(named))}'")
        shape = shape_of(size, name)
        kind = (out.dtype if out is not None else dtypes.get_default_dtype()) if dtype is None else dtype
        array = draw(_stream(generator), shape, kind.np)
        return _out(out, array) if out is not None else finish(array, device, requires_grad)

    def make_like(
        input, *, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None, pin_memory=False,
        generator=None,
    ):  # fmt: skip
        array = draw(_stream(generator), input._spec.shape, (dtype or input.dtype).np)
        return finish(array, input.device if device is None else device, requires_grad)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = doc
    make_like.__name__ = make_like.__qualname__ = f"{name}_like"
    make_like.__doc__ = f"{doc} The shape, and unless given the dtype and device, are those of ``input``."
    composite(namespaces=("torch",))(make)
    composite(namespaces=("torch",))(make_like)


_drawer("rand", draws.uniform, "Numbers drawn evenly from [0, 1).")
_drawer("randn", draws.normal, "Numbers drawn from the normal distribution of mean 0 and variance 1.")


def _bounds(args: tuple, named: dict, name: str) -> tuple[int, int, Any]:
    """``low``, ``high`` and the rest, from ``f(high, rest)`` or ``f(low, high, rest)``."""
    given = list(args)
    low, high = named.pop("low", None), named.pop("high", None)
    if high is None:
        if len(given) >= 2 and not isinstance(given[1], (tuple, list)):
            low, high = given.pop(0), given.pop(0)
        elif low is not None and given and not isinstance(given[0], (tuple, list)):
            high = given.pop(0)
        else:
            high = given.pop(0)
    elif given and not isinstance(given[0], (tuple, list, Tensor)) and low is None:
        low = given.pop(0)
    size = named.pop("size", None) if "size" in named else (given.pop(0) if given else None)
    return int(low or 0), int(high), size


@composite(namespaces=("torch",))
def randint(
    *args,
    generator=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
    **named,
):
    """``randint(low=0, high, size)``: whole numbers drawn evenly from ``low`` up to, not including, ``high``."""
    low, high, size = _bounds(args, named, "randint")
    kind = dtype or (out.dtype if out is not None else dtypes.int64)
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    array = draws.randint(_stream(generator), shape_of((size,), "randint"), kind.np, low, high)
    return _out(out, array) if out is not None else finish(array, device, requires_grad)


@composite(namespaces=("torch",))
def randint_like(input, *args, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None, **named):
    """``randint_like(input, low=0, high)``: whole numbers in the shape of ``input``."""
    low, high, _ = _bounds(args, named, "randint_like")
    array = draws.randint(_stream(None), input._spec.shape, (dtype or input.dtype).np, low, high)
    return finish(array, input.device if device is None else device, requires_grad)


@composite(namespaces=("torch",))
def randperm(
    n, *, generator=None, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False
):
    """The whole numbers from 0 to ``n - 1`` in random order."""
    if n < 0:
        raise RuntimeError("n must be non-negative, got" + str(n))
    kind = dtype or (out.dtype if out is not None else dtypes.int64)
    array = draws.randperm(_stream(generator), n, kind.np)
    return _out(out, array) if out is not None else finish(array, device, requires_grad)


@composite(namespaces=("torch",))
def normal(
    mean,
    std=1.0,
    size=None,
    *,
    generator=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
):
    """Normal numbers: of one ``mean`` and ``std`` and shape ``size``, or one for each element of tensors of them."""
    stream = _stream(generator)
    if size is not None:
        array = draws.normal(stream, shape_of((size,), "normal"), (dtype or dtypes.get_default_dtype()).np, mean, std)
    else:
        first, second = (host_array(x) if isinstance(x, Tensor) else x for x in (mean, std))
        array = draws.normal_around(stream, first, second)
    return _out(out, array) if out is not None else finish(array, device, requires_grad)


@composite()
def bernoulli(input, p=None, *, generator=None, out=None):
    """Zeros and ones: one with the probability that ``input`` holds, or with probability ``p``, element by element."""
    weights = host_array(input) if p is None else p
    array = draws.bernoulli(_stream(generator), input._spec.shape, input._spec.dtype, weights)
    if out is not None:
        return _out(out, array)
    return finish(array, input.device)


@composite()
def multinomial(input, num_samples, replacement=False, *, generator=None, out=None):
    """``num_samples`` category numbers for each row of weights."""
    array = draws.multinomial(_stream(generator), host_array(input), num_samples, replacement)
    return _out(out, array) if out is not None else finish(array, input.device)


def _sampler(name: str) -> None:
    from torchlike._engine import rejection

    sample = getattr(rejection, name)

    def draw(*arrays, generator=None):
        held = [host_array(a) for a in arrays]
        return finish(sample(_stream(generator), *held), arrays[0].device)

    draw.__name__ = draw.__qualname__ = name
    draw.__doc__ = f"Numbers from the {name} distribution with the parameters that the tensors hold."
    composite(namespaces=("torch",))(draw)


for _name in ("poisson", "binomial"):
    _sampler(_name)


# In place: fill a tensor from a distribution.


def _fill(t: Tensor, draw: Callable[..., np.ndarray]) -> Tensor:
    """Write draws into ``t`` in the order of its memory, as native kernels do."""
    machinery.check_inplace(t)
    if t.is_meta:
        return t
    shape, strides = t._spec.shape, strides_of(t)
    if t._view is None or is_contiguous(shape, strides):
        array = draw(shape)
    else:
        order = sorted(range(len(shape)), key=lambda d: -strides[d])
        array = draw(tuple(shape[d] for d in order)).transpose(np.argsort(order))
    place = t._storage.device
    assign(t, concrete(array if place is CPU else put(array, place)))
    if t._edge is not None:
        machinery.set_history(t, None, None)
    return t


@composite(namespaces=("Tensor",))
def uniform_(self, from_=0.0, to=1.0, *, generator=None, **named):
    """Fill with numbers drawn evenly from [``from``, ``to``)."""
    low = named.pop("from", from_)
    return _fill(self, lambda shape: draws.uniform(_stream(generator), shape, self._spec.dtype, low, to))


@composite(namespaces=("Tensor",))
def normal_(self, mean=0.0, std=1.0, *, generator=None):
    """Fill with normal numbers."""
    dense = self._view is None or is_contiguous(self._spec.shape, strides_of(self))
    return _fill(self, lambda shape: draws.normal(_stream(generator), shape, self._spec.dtype, mean, std, dense=dense))


@composite(namespaces=("Tensor",))
def random_(self, from_=None, to=None, *, generator=None, **named):
    """Fill with whole numbers: from [``from``, ``to``), [0, ``to``), or all that the dtype holds exactly."""
    low = named.pop("from", from_)
    if low is None and to is None:
        return _fill(self, lambda shape: draws.random_integers(_stream(generator), shape, self._spec.dtype))
    if to is None and "from" not in named and from_ is not None:
        low, to = 0, low
    return _fill(self, lambda shape: draws.randint(_stream(generator), shape, self._spec.dtype, int(low or 0), to))


@composite(namespaces=("Tensor",))
def bernoulli_(self, p=0.5, *, generator=None):
    """Fill with zeros and ones: one with probability ``p``, a number or a tensor."""
    weights = host_array(p) if isinstance(p, Tensor) else p
    return _fill(self, lambda shape: draws.bernoulli(_stream(generator), shape, self._spec.dtype, weights))


def _filling(name: str, parameters: dict[str, float], doc: str) -> None:
    draw = getattr(draws, name.rstrip("_"))
    names = tuple(parameters)

    def fill(self, *args, generator=None, **named):
        values = {**parameters, **dict(zip(names, args, strict=False)), **named}
        if None in values.values():
            raise TypeError(f'{name}() missing 1 required positional arguments: "{names[0]}"')
        return _fill(self, lambda shape: draw(_stream(generator), shape, self._spec.dtype, *values.values()))

    fill.__name__ = fill.__qualname__ = name
    fill.__doc__ = doc
    composite(namespaces=("Tensor",))(fill)


_filling("exponential_", {"lambd": 1.0}, "Fill with exponentially distributed numbers of rate ``lambd``.")
_filling("log_normal_", {"mean": 1.0, "std": 2.0}, "Fill with exponentials of normal numbers.")
_filling("cauchy_", {"median": 0.0, "sigma": 1.0}, "Fill with Cauchy-distributed numbers.")
_filling("geometric_", {"p": None}, "Fill with the number of trials until the first success of probability ``p``.")  # type: ignore[dict-item]
