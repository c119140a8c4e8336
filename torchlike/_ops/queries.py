"""Questions about tensors as functions of torch, names that torch keeps for old programs, and what it has removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from torchlike._ops.linalg_common import require_tensor
from torchlike._ops.op import composite
from torchlike._tensor import dtypes
from torchlike._tensor.promotion import DIMENSIONED, NUMBER, ZERO_DIM, result_type_of
from torchlike._tensor.tensor import Tensor, strides_of

# Questions.


def _kind_of(x: Any) -> tuple[Any, int] | None:
    if isinstance(x, Tensor):
        return x.dtype, DIMENSIONED if x._spec.ndim else ZERO_DIM
    if isinstance(x, np.generic):
        x = x.item()
    return (dtypes.of_number(x), NUMBER) if isinstance(x, (bool, int, float, complex)) else None


@composite(namespaces=("torch",))
def result_type(tensor1, tensor2):
    """The dtype of a computation with two tensors, or tensors and numbers, as operands."""
    kinds = [_kind_of(tensor1), _kind_of(tensor2)]
    if None in kinds:
        raise TypeError(
            "result_type() received an invalid combination of arguments - got "
            f"({type(tensor1).__name__}, {type(tensor2).__name__}), but expected one of:\n * (Number scalar1, Number scalar2)\n"
            " * (Tensor tensor, Number other)\n * (Number scalar, Tensor tensor)\n * (Tensor tensor, Tensor other)\n"
        )
    return result_type_of(kinds)  # type: ignore[arg-type]


def _declare_question(name: str, doc: str) -> None:
    def ask(input: Any) -> Any:
        require_tensor(input, name, "input", 1)
        return getattr(input, name)()

    ask.__name__ = ask.__qualname__ = name
    ask.__doc__ = doc
    composite(namespaces=("torch",))(ask)


_declare_question("is_floating_point", "Whether a tensor's elements are floating-point numbers.")
_declare_question("is_complex", "Whether a tensor's elements are complex numbers.")
_declare_question("is_signed", "Whether a tensor's elements may be negative.")
_declare_question("is_inference", "Whether a tensor was made in inference mode.")
_declare_question("numel", "The number of a tensor's elements.")
_declare_question("get_device", "The index of a tensor's device, -1 for the host.")


@composite(namespaces=("Tensor",))
def dim_order(self, *, ambiguity_check=False):
    """The dimensions from the one that is outermost in memory to the innermost."""
    strides = strides_of(self)
    order = sorted(range(self._spec.ndim), key=lambda d: strides[d], reverse=True)
    if ambiguity_check and any(n == 1 for n in self._spec.shape):
        sized = [strides[d] for d in range(self._spec.ndim)]
        if len(set(sized)) < len(sized):
            raise RuntimeError(
                "The tensor does not have unique dim order, or cannot map to exact one of the given memory formats."
            )
    return tuple(order)


@composite(namespaces=("Tensor",))
def const_data_ptr(self):
    """The address of the first element, for reading."""
    return self.data_ptr()


@composite(namespaces=("Tensor",))
def storage_type(self):
    """The class of this tensor's storage, such as ``torch.FloatStorage``."""
    import torchlike

    return getattr(torchlike, self.type().rpartition(".")[2].replace("Tensor", "Storage"))


def _property(name: str, get: Callable[[Tensor], Any], doc: str) -> None:
    setattr(Tensor, name, property(get, doc=doc))


_property("name", lambda self: None, "None: tensors have no names of their own.")
_property("volatile", lambda self: False, "False; ``torch.no_grad`` took its place.")
_property("grad_dtype", lambda self: self.dtype, "The dtype that this tensor's gradient has.")


# Python's protocols.


def _delete(self: Tensor, index: Any) -> None:
    raise TypeError("Tensor does not support deleting items")


def _reversed(self: Tensor) -> Any:
    """The tensor's parts along the first dimension, the last first."""
    return self if not self._spec.ndim else self.flip(0)


def _named(name: str, function: Callable) -> None:
    function.__name__ = name
    setattr(Tensor, name, function)


_named("__delitem__", _delete)
_named("__reversed__", _reversed)
_named("__long__", lambda self: int(self))
_named("__nonzero__", lambda self: bool(self))
_named("__div__", lambda self, other: self.__truediv__(other))
_named("__rdiv__", lambda self, other: self.__rtruediv__(other))
_named("__idiv__", lambda self, other: self.__itruediv__(other))


# Devices that are never there.


def _absent(name: str, error: type[Exception], message: str) -> None:
    def move(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise error(message)

    move.__name__ = move.__qualname__ = name
    move.__doc__ = f"Always {error.__name__}: there is no such device."
    composite(namespaces=("Tensor",))(move)


_absent("xpu", AssertionError, "Torch not compiled with XPU enabled")
_absent("ipu", RuntimeError, "PyTorch is not linked with support for ipu devices")
_absent(
    "mtia", AssertionError,
    "Torch not compiled with MTIA enabled. Ensure you have `import mtia.host_runtime.torch_mtia.dynamic_library` in your python "
    "src file and include `//mtia/host_runtime/torch_mtia:torch_mtia` as your target dependency!",
)  # fmt: skip


@composite(namespaces=("Tensor",))
def record_stream(self, stream):
    """Nothing: JAX keeps memory for as long as it is used."""


# What torch has removed.

_REMOVED = "This function was deprecated since version 1.9 and is now removed."
_SUCCESSORS = {
    "lstsq": "`torch.lstsq` is deprecated in favor of `torch.linalg.lstsq`.\n",
    "eig": (
        "`torch.linalg.eig` returns complex tensors of dtype `cfloat` or `cdouble` rather than real tensors mimicking complex "
        "tensors."
    ),
    "symeig": (
        "The default behavior has changed from using the upper triangular portion of the matrix by default to using the lower "
        "triangular portion."
    ),
    "solve": (
        "`torch.solve` is deprecated in favor of `torch.linalg.solve`. `torch.linalg.solve` has its arguments reversed and does "
        "not return the LU factorization."
    ),
}


def _removed(name: str, message: str, namespaces: tuple[str, ...] = ("torch", "Tensor")) -> None:
    def gone(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(message)

    gone.__name__ = gone.__qualname__ = name
    gone.__doc__ = "Removed from torch; always RuntimeError."
    composite(namespaces=namespaces)(gone)


for _name, _successor in _SUCCESSORS.items():
    _removed(_name, f"{_REMOVED} {_successor}")
_removed("reinforce", "reinforce() was removed.", ("Tensor",))
