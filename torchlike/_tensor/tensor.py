"""The Tensor: a storage, the view of it that the tensor shows, and its place on the tape.

Only what a tensor *is* stands here: state, history, Python's protocols. Operators put their methods on the class as
they are declared.
"""

from __future__ import annotations

import gc
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from torchlike._engine.trace import threads
from torchlike._engine.value import Spec, Value, concrete, host
from torchlike._tape.graph import (
    AccumulateGrad,
    Bridge,
    CopyNode,
    Edge,
    LinearNode,
    Node,
    add_values,
    node_class,
    short_name,
)
from torchlike._tensor import device as devices
from torchlike._tensor import dtypes, printing
from torchlike._tensor.promotion import SCALAR_TYPE_NAMES
from torchlike._tensor.size import Size
from torchlike._tensor.storage import Storage
from torchlike._tensor.views import RESHAPE, View, extent, strided

CPU = devices.device("cpu")

_new = object.__new__


def size_of(spec: Spec) -> Size:
    """The torch.Size of a spec, made once."""
    if spec.size is None:
        spec.size = Size(spec.shape)
    return spec.size


def dtype_of(spec: Spec) -> dtypes.dtype:
    """The torch dtype of a spec, found once."""
    if spec.torch_dtype is None:
        spec.torch_dtype = dtypes.from_numpy_dtype(spec.dtype)
    return spec.torch_dtype


class _TensorMeta(type):
    """Lets ``isinstance(parameter_like, ...)`` checks and the legacy constructor ``Tensor(2, 3)`` be torch's."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is Tensor:
            return Tensor._legacy_constructor(*args, **kwargs)
        return super().__call__(*args, **kwargs)


class Tensor(metaclass=_TensorMeta):
    """A multi-dimensional array of elements of one type, which may share memory with others and be differentiated.

    The attributes below that are set here are what most tensors have; a tensor's own dictionary holds the rest.
    """

    _storage: Storage
    _spec: Spec
    _view: View | None = None
    _requires_grad: bool = False
    _grad: Any = None
    #: (node, output) this tensor came from; None for a leaf.
    _edge: Edge | None = None
    #: The tensor whose history a view shares, and the version of the storage that the view's own history is of.
    _base_tensor: Any = None
    _seen_version: int = 0
    #: Why autograd forbids writes through this view: made in no_grad mode, or one of several made at once (their node).
    _write_forbidden: str | None = None
    #: Whether writes through this tensor are hidden from the tape (``.data``).
    _untracked: bool = False
    _hooks: OrderedDict | None = None
    _post_accumulate_hooks: OrderedDict | None = None
    _retains_grad: bool = False
    _accumulator: Any = None
    #: Nodes count from one; zero tells the backward walk that an edge leads to a leaf.
    _seq: int = 0
    _backward_hooks: Any = None
    _inference: bool = False
    __array_priority__ = 1000

    #: Filled in by the layer that makes tensors from Python data.
    _legacy_constructor: Callable[..., Any]

    if TYPE_CHECKING:  # the operators' methods are put on the class as they are declared

        def __getattr__(self, name: str) -> Any: ...
        def __getitem__(self, index: Any) -> Any: ...
        def __setitem__(self, index: Any, value: Any) -> None: ...
        def __add__(self, other: Any) -> Any: ...

        __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __floordiv__ = __add__
        __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __matmul__ = __rmatmul__ = __and__ = __rand__ = (
            __add__
        )
        __or__ = __ror__ = __xor__ = __rxor__ = __lshift__ = __rshift__ = __lt__ = __le__ = __gt__ = __ge__ = __add__
        __iadd__ = __isub__ = __imul__ = __itruediv__ = __ipow__ = __iand__ = __ior__ = __ixor__ = __add__

        def __neg__(self) -> Any: ...

        __pos__ = __invert__ = __abs__ = __neg__

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return Tensor._legacy_constructor(*args, _cls=cls, **kwargs)

    # State.

    @property
    def shape(self) -> Size:
        """The size of each dimension."""
        spec = self._spec
        return spec.size or size_of(spec)

    def size(self, dim: int | None = None) -> Any:
        """The sizes of all dimensions, or of dimension ``dim``."""
        if dim is None:
            return size_of(self._spec)
        return self._spec.shape[wrap_dim(dim, self._spec.ndim)]

    @property
    def dtype(self) -> dtypes.dtype:
        """The type of the elements."""
        spec = self._spec
        return spec.torch_dtype or dtype_of(spec)

    @property
    def device(self) -> devices.device:
        """Where the elements are."""
        return self._storage.device

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self._spec.ndim

    def dim(self) -> int:
        """The number of dimensions."""
        return self._spec.ndim

    ndimension = dim

    def numel(self) -> int:
        """The number of elements."""
        return self._spec.numel

    nelement = numel

    def stride(self, dim: int | None = None) -> Any:
        """How many elements apart neighbours along each dimension, or along ``dim``, are in memory."""
        strides = strides_of(self)
        return strides if dim is None else strides[wrap_dim(dim, self._spec.ndim)]

    def storage_offset(self) -> int:
        """The position in the storage of the first element, in elements."""
        return 0 if self._view is None else self._view.offset

    def element_size(self) -> int:
        """The size of one element in bytes."""
        return self._spec.dtype.itemsize

    @property
    def itemsize(self) -> int:
        """The size of one element in bytes."""
        return self._spec.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """The size of all elements in bytes."""
        return self._spec.nbytes

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the elements follow one another in memory in the order of the indices."""
        from torchlike._tensor import memory_format as formats

        return formats.is_contiguous(self._spec.shape, strides_of(self), memory_format)

    @property
    def layout(self) -> Any:
        """``torch.strided``."""
        from torchlike._tensor.memory_format import strided

        return strided

    @property
    def _version(self) -> int:
        return self._storage.version

    @property
    def is_cuda(self) -> bool:
        """Whether the elements are on a GPU."""
        return self._storage.device.type == "cuda"

    @property
    def is_cpu(self) -> bool:
        """Whether the elements are in host memory."""
        return self._storage.device.type == "cpu"

    @property
    def is_meta(self) -> bool:
        """Whether the tensor has a shape but no elements."""
        return self._storage.device.type == "meta"

    is_sparse = is_sparse_csr = is_quantized = is_nested = is_mkldnn = is_mps = is_xpu = is_xla = is_ipu = False
    is_vulkan = is_maia = is_mtia = is_ort = False

    def is_floating_point(self) -> bool:
        """Whether the elements are floating-point numbers."""
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether the elements are complex numbers."""
        return self.dtype.is_complex

    def is_signed(self) -> bool:
        """Whether the elements may be negative."""
        return self.dtype.is_signed

    def is_inference(self) -> bool:
        """Whether the tensor was made in inference mode."""
        return self._inference

    def is_pinned(self, device: Any = None) -> bool:
        """Whether the memory is page-locked; there is no such memory here."""
        return False

    def get_device(self) -> int:
        """The index of the tensor's device, -1 for the host."""
        device = self._storage.device
        return -1 if device.type == "cpu" else device.index or 0

    # History.

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded for ``backward``."""
        base = self._base_tensor
        return self._requires_grad if base is None else self._requires_grad or base._requires_grad

    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None:
        if not flag and self._edge is not None:
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a computed variable in "
                "a subgraph that doesn't require differentiation use var_no_grad = var.detach()."
            )
        if flag and not (self.dtype.is_floating_point or self.dtype.is_complex):
            raise RuntimeError("only Tensors of floating point and complex dtype can require gradients")
        self.requires_grad_(flag)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Record operations on this tensor from now on, or no longer; returns the tensor."""
        flag = bool(requires_grad)
        if flag and not (self.dtype.is_floating_point or self.dtype.is_complex):
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        if not flag and self._edge is not None:
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a computed variable in "
                "a subgraph that doesn't require differentiation use var_no_grad = var.detach()."
            )
        self._requires_grad = flag
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made this tensor."""
        edge = self._edge if self._base_tensor is None else edge_of(self)
        return edge is None or not isinstance(edge[0], Node)

    @property
    def grad_fn(self) -> Node | None:
        """The node of the operation that made this tensor, None for a leaf."""
        edge = self._edge if self._base_tensor is None else edge_of(self)
        return edge[0] if edge is not None and isinstance(edge[0], Node) else None

    @property
    def output_nr(self) -> int:
        """Which output of ``grad_fn`` this tensor is."""
        edge = self._edge if self._base_tensor is None else edge_of(self)
        return 0 if edge is None else edge[1]

    @property
    def grad(self) -> Any:
        """The gradient that ``backward`` accumulated, or None."""
        if self._grad is None and not self.is_leaf and not self._retains_grad and self._requires_grad:
            _warn_non_leaf_grad()
        return self._grad

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            _check_grad(self, value)
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    @property
    def data(self) -> Tensor:
        """The same elements without history: writes to it are not recorded and do not count as new versions."""
        out = detached(self)
        out._untracked = True
        return out

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        if self.dtype.is_floating_point != value.dtype.is_floating_point and self._requires_grad:
            raise RuntimeError("data set to a tensor that requires gradients must be floating point or complex dtype")
        self._storage, self._spec, self._view = value._storage, value._spec, value._view

    @property
    def _base(self) -> Any:
        return self._base_tensor

    def _is_view(self) -> bool:
        return self._base_tensor is not None

    @property
    def retains_grad(self) -> bool:
        """Whether ``backward`` keeps this non-leaf tensor's gradient."""
        return self._retains_grad and not self.is_leaf

    def retain_grad(self) -> None:
        """Keep this tensor's gradient in ``grad`` although it is no leaf."""
        if not self.requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self.is_leaf or self._retains_grad:
            return
        self._retains_grad = True
        self._retain_from(edge_of(self))

    def _retain_from(self, edge: Any, before: Any = None) -> None:
        """Keep the gradient that arrives at ``edge``, no longer that at the edge ``before``."""
        if before is not None and isinstance(before[0], Node) and before[0]._retained is not None:
            before[0]._retained.pop(before[1], None)
        if edge is None:
            return
        node, index = edge
        node._watched = True
        if node._retained is None:
            node._retained = {}
        own = weakref.ref(self)

        def keep(grad):
            tensor = own()
            if tensor is not None:
                tensor._grad = grad if tensor._grad is None else Bridge.add(tensor._grad, grad)

        node._retained[index] = keep

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Any:
        """Call ``hook(grad)`` each time this tensor's gradient is computed; what it returns replaces the gradient."""
        from torchlike.utils.hooks import RemovableHandle

        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        edge = edge_of(self)
        if edge is None or not isinstance(edge[0], Node):
            Bridge.watch_leaves()
            if self._hooks is None:
                self._hooks = OrderedDict()
            hooks = self._hooks
        else:
            node, index = edge
            node._watched = True
            if node._tensor_hooks is None:
                node._tensor_hooks = {}
            hooks = node._tensor_hooks.setdefault(index, OrderedDict())
        handle = RemovableHandle(hooks)
        hooks[handle.id] = hook
        return handle

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> Any:
        """Call ``hook(tensor)`` each time a gradient was added to this leaf's ``grad``."""
        from torchlike.utils.hooks import RemovableHandle

        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if not self.is_leaf:
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        Bridge.watch_leaves()
        if self._post_accumulate_hooks is None:
            self._post_accumulate_hooks = OrderedDict()
        handle = RemovableHandle(self._post_accumulate_hooks)
        self._post_accumulate_hooks[handle.id] = hook
        return handle

    def backward(
        self, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False,
        inputs: Any = None,
    ) -> None:  # fmt: skip
        """Add the gradient of this tensor with respect to each leaf of its graph to the leaf's ``grad``.

        ``gradient`` has this tensor's shape and is needed unless that is a single element.
        """
        from torchlike import autograd

        autograd.backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    def _accumulate(self, grad: Any) -> None:
        """Add a gradient, a value or (with its own history) a tensor, to ``grad``."""
        have = self._grad
        if type(grad) is Value:
            if have is None:
                t = self._grad = _new(Tensor)
                t._storage = Storage(grad, self._storage.device)
                t._spec = grad.spec
            else:
                assign(have, add_values(value_of(have), grad))
        elif have is None:
            self._grad = _tensor_with_history(value_of(grad), None, self)
            edge = edge_of(grad)
            if edge is not None:
                node = node_class("CopyBackwards", CopyNode)((None, edge), (grad._spec,))
                self._grad._edge, self._grad._requires_grad = (node, 0), True
        else:
            self._grad = Bridge.add(have, grad)
        if self._post_accumulate_hooks is not None:
            for hook in list(self._post_accumulate_hooks.values()):
                hook(self)

    def detach(self) -> Tensor:
        """A tensor of the same elements, sharing memory, without history."""
        return detached(self)

    # Python's protocols.

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return tensor_repr(self)

    __hash__ = object.__hash__

    def __len__(self) -> int:
        if self._spec.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self._spec.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if self._spec.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __bool__(self) -> bool:
        return bool(_only_element(self, "Boolean value of Tensor with {} is ambiguous"))

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self._spec.numel != 1 or self._spec.dtype.kind not in "iub":
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __format__(self, format_spec: str) -> str:
        if self._spec.ndim == 0 and not self.is_meta and type(self) is Tensor:
            return self.item().__format__(format_spec)
        return object.__format__(self, format_spec)

    def __contains__(self, element: Any) -> bool:
        if isinstance(element, (Tensor, int, float, complex)):
            return bool((element == self).any().item())
        raise RuntimeError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}.")

    def item(self) -> Any:
        """The only element as a Python number."""
        if self._spec.numel != 1:
            raise RuntimeError(f"a Tensor with {self._spec.numel} elements cannot be converted to Scalar")
        view, storage = self._view, self._storage
        if storage.device.type == "meta":
            raise RuntimeError("Tensor.item() cannot be called on meta tensors")
        if view is not None and view.dense and storage.host_array is None:
            array = storage.value.array
            if type(array) is np.ndarray and array.flags.c_contiguous:
                return array.item(view.offset)
        return host(value_of(self)).item()

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers, or the number itself."""
        return host(value_of(self)).tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """A NumPy array that shares this tensor's memory."""
        if force:
            return self.detach().cpu().resolve_conj().resolve_neg().numpy()
        if self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if not self.is_cpu:
            raise TypeError(
                f"can't convert {self._storage.device} device type tensor to numpy. Use Tensor.cpu() to copy the "
                f"tensor "
                "to host memory first."
            )
        if self._spec.dtype.kind == "V" or dtype_of(self._spec).name.startswith(("bfloat", "float8")):
            raise TypeError(f"Got unsupported ScalarType {SCALAR_TYPE_NAMES[self.dtype]}")
        return shared_array(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __array_wrap__(self, array: np.ndarray, context: Any = None, return_scalar: bool = False) -> Any:
        if array.dtype == bool:
            array = array.astype("uint8")
        return from_array(np.array(array))

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        from torchlike._utils import reduce_tensor

        return reduce_tensor(self, protocol)

    def __setstate__(self, state: Any) -> None:
        from torchlike._utils import setstate_tensor

        setstate_tensor(self, state)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        from torchlike._utils import deepcopy_tensor

        return deepcopy_tensor(self, memo)

    def untyped_storage(self) -> Any:
        """The storage underneath, as bytes."""
        from torchlike.storage import untyped_storage

        return untyped_storage(self)

    def storage(self) -> Any:
        """The storage underneath, in elements of this tensor's dtype."""
        from torchlike.storage import storage

        return storage(self)

    def _typed_storage(self) -> Any:
        from torchlike.storage import typed_storage

        return typed_storage(self)

    def __dir__(self) -> list[str]:
        return sorted({*dir(type(self)), *self.__dict__})


Tensor.__module__ = "torch"


# Making tensors.


def wrap(value: Value, device: Any = CPU) -> Tensor:
    """A tensor of its own storage that holds ``value``."""
    t = _new(Tensor)
    t._storage = Storage(value, device)
    t._spec = value.spec
    return t


def from_array(array: Any, device: Any = None) -> Tensor:
    """A tensor of a NumPy or JAX array, which belongs to the tensor from now on."""
    return wrap(concrete(array), CPU if device is None else device)


def view_of(t: Tensor, view: View, name: str, chain: Any = None) -> Tensor:
    """A tensor that shows ``t``'s storage through ``view``, whose last step is the operator ``name``."""
    out = _new(Tensor)
    out._storage = t._storage
    out._spec = view.spec
    out._view = view
    base = t._base_tensor
    if base is None:
        base = t
    out._base_tensor = base
    out._seen_version = t._storage.version
    if threads.grad_enabled:
        if t._requires_grad or t._base_tensor is not None:
            edge = edge_of(t)
            if edge is not None:
                steps = chain or ((view.step.read, view.static),)
                out._edge = (node_class(name, LinearNode)((edge,), t._spec, steps, view.spec), 0)
                out._requires_grad = view.recorded = True
    else:
        out._write_forbidden = "no_grad"
    if t._untracked:
        out._untracked = True
    return out


def view_as_itself(t: Tensor) -> Tensor:
    """A view of all of ``t`` in its own shape."""
    dense = t._view is None or t._view.dense
    view = View(t._view, RESHAPE, (t._spec.shape,), t._spec, strides_of(t), t.storage_offset(), dense)
    return view_of(t, view, "ViewBackward0")


def detached(t: Tensor) -> Tensor:
    """A tensor of the same storage and view without history."""
    out = _new(Tensor)
    out._storage = t._storage
    out._spec = t._spec
    out._view = t._view
    if t._untracked:
        out._untracked = True
    return out


# Looking into tensors.


def value_of(t: Tensor) -> Value:
    """What the tensor shows now."""
    view, storage = t._view, t._storage
    if view is not None:
        return view.read(storage)
    return storage.value if storage.host_array is None else storage.current()


def host_array(t: Tensor) -> np.ndarray:
    """The tensor's contents as a NumPy array that must not be written to; waits for pending work."""
    return host(value_of(t))


def strides_of(t: Tensor) -> tuple[int, ...]:
    """The tensor's strides, in elements."""
    return extent(t._spec) if t._view is None else t._view.strides


def edge_of(t: Tensor) -> Edge | None:
    """Where a gradient of ``t`` goes: a node's output, the leaf itself, or nowhere.

    A view whose base was written to since takes its history from the base anew.
    """
    base = t._base_tensor
    if base is not None and t._storage.version != t._seen_version:
        t._seen_version = t._storage.version
        edge = edge_of(base)
        if edge is None:
            if t._edge is not None:
                t._edge, t._requires_grad = None, False
        else:
            if t._write_forbidden is not None:
                t._seen_version = -1
                raise RuntimeError(forbidden_write(t, indirect=True))
            chain = [(v.step.read, v.static) for v in steps_from(base, t)]
            t._edge = (node_class("AsStridedBackward0", LinearNode)((edge,), base._spec, chain, t._spec), 0)
            t._requires_grad = True
    return t._edge or ((t, 0) if t._requires_grad or (base is not None and base._requires_grad) else None)


#: Why a view must not be written through, by what is in its ``_write_forbidden``.
_FORBIDDEN = {
    "no_grad": (
        ". Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your "
        "code by moving both the view and the inplace either both inside the no_grad block (if you don't want the "
        "inplace to be "
        "tracked) or both outside (if you want the inplace to be tracked)."
    ),
    "custom function": (
        ". This view was created inside a custom Function (or because an input was returned as-is) and the autograd "
        "logic to "
        "handle view+inplace would override the custom backward associated with the custom Function, leading to "
        "incorrect "
        "gradients. This behavior is forbidden. You can fix this by cloning the output of the custom Function."
    ),
}
_ONE_OF_SEVERAL = (
    ". This view is the output of a function that returns multiple views. Such functions do not allow the output "
    "views to be "
    "modified inplace. You should replace the inplace operation by an out-of-place one."
)


def forbidden_write(t: Tensor, indirect: bool = False) -> str:
    """torch's words for a write through the view ``t``, or (``indirect``) one that changed it, which autograd cannot
    follow.
    """
    if t._edge is not None and isinstance(t._edge[0], Node):
        view = f"Output {t._edge[1]} of {short_name(t._edge[0])} is a view"
    else:
        view = "A view was created in no_grad mode"
    what = "its base or another view of its base has been modified inplace" if indirect else "is being modified inplace"
    if not view.startswith("Output"):
        what += " with grad mode enabled"
    return f"{view} and {what}{_FORBIDDEN.get(t._write_forbidden or '', _ONE_OF_SEVERAL)}"


def steps_from(base: Tensor, t: Tensor) -> list[View]:
    """The view steps that lead from ``base`` to ``t``."""
    steps = [] if t._view is None else t._view.steps()
    return steps[0 if base._view is None else len(base._view.steps()) :]


def shared_array(t: Tensor) -> np.ndarray:
    """The NumPy array that shares the tensor's memory from now on."""
    array = t._storage.share()
    view = t._view
    if view is None:
        return array
    if not view.dense:
        return host(view.read(t._storage))
    return strided(array, view.spec.shape, view.strides, view.offset)


def assign(t: Tensor, value: Value) -> None:
    """Make the tensor show ``value`` (of its own spec), through its view, and count a new version."""
    if t._view is None:
        t._storage.write(value)
    else:
        t._view.write(t._storage, value)
    if not t._untracked:
        t._storage.version += 1


def wrap_dim(dim: int, ndim: int, what: str = "Dimension") -> int:
    """``dim`` counted from the front; IndexError in torch's words where there is no such dimension."""
    n = max(ndim, 1)
    if -n <= dim < n:
        return dim + n if dim < 0 else dim
    raise IndexError(f"{what} out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")


def legacy_type(spec: Spec, device: Any = CPU) -> str:
    """The name of the legacy tensor type, such as torch.FloatTensor."""
    place = "" if device.type == "cpu" else f"{device.type}."
    return f"torch.{place}{SCALAR_TYPE_NAMES[dtype_of(spec)]}Tensor"


def tensor_repr(t: Tensor) -> str:
    """The tensor as torch prints it."""
    edge = edge_of(t)
    node = edge[0] if edge is not None and isinstance(edge[0], Node) else None
    meta = t.is_meta
    suffixes = printing.suffixes(
        t.dtype, t._spec.shape, device=t.device, meta=meta, requires_grad=t.requires_grad,
        grad_fn=None if node is None else type(node).__name__,
    )  # fmt: skip
    return printing.tensor_repr(None if meta else host_array(t), t.dtype, prefix="tensor(", suffixes=suffixes)


def _only_element(t: Tensor, message: str) -> Any:
    n = t._spec.numel
    if n != 1:
        raise RuntimeError(message.format("no values" if n == 0 else "more than one value"))
    return t.item()


#: What C++ calls some dtypes, which shows in a message.
_CPP_NAMES = {
    "float64": "double", "float32": "float", "float16": "c10::Half", "bfloat16": "c10::BFloat16", "int64": "long int",
    "int32": "int",
    "int16": "short int", "int8": "signed char", "uint8": "unsigned char", "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}  # fmt: skip


def _check_grad(t: Tensor, grad: Any) -> None:
    if not isinstance(grad, Tensor):
        raise TypeError(f"assigned grad expected to be a Tensor or None but got grad of type {type(grad).__name__}")
    if grad is t:
        raise RuntimeError("can't assign Variable as its own grad")
    if grad.dtype is not t.dtype:
        raise RuntimeError(
            f"attempting to assign a gradient with dtype '{_CPP_NAMES.get(grad.dtype.name, grad.dtype.name)}' to a "
            f"tensor with grad_dtype "
            f"'{SCALAR_TYPE_NAMES[t.dtype]}'. The gradient must match the tensor's grad_dtype (defaults to the "
            f"tensor's dtype). "
            "You can set the tensor's grad_dtype attribute with a specific dtype, or None to allow any dtype. Set "
            "grad_dtype "
            "with caution. Diverging the dtypes of a tensor and its gradient may break downstream systems that "
            "assume they "
            "match."
        )
    if grad.device is not t.device:
        raise RuntimeError(
            f"attempting to assign a gradient with device type '{grad.device.type}' to a tensor with device type "
            f"'{t.device.type}'. Please ensure that the gradient and the tensor are on the same device"
        )
    if grad._spec.shape != t._spec.shape:
        raise RuntimeError(
            f"attempting to assign a gradient of size '{list(grad._spec.shape)}' to a tensor of size "
            f"'{list(t._spec.shape)}'. "
            "Please ensure that the gradient and the tensor are the same size"
        )


def _warn_non_leaf_grad() -> None:
    import warnings

    warnings.warn(
        "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't be "
        "populated during autograd.backward(). If you indeed want the .grad field to be populated for a non-leaf "
        "Tensor, "
        "use .retain_grad() on the non-leaf Tensor. If you access the non-leaf Tensor by mistake, make sure you access "
        "the leaf Tensor instead. See github.com/pytorch/pytorch/pull/30531 for more information.",
        UserWarning,
        stacklevel=3,
    )


# What the tape needs of tensors.


def _tensor_with_history(value: Any, edge: Edge | None, like: Any) -> Tensor:
    if type(value) is not Value:
        value = concrete(np.asarray(value))
    t = wrap(value, CPU if isinstance(like, Node) else like._storage.device)
    if edge is not None:
        t._edge, t._requires_grad = edge, True
    return t


def _accumulator(t: Tensor) -> AccumulateGrad:
    node = t._accumulator() if t._accumulator is not None else None
    if node is None:
        node = AccumulateGrad(t)
        t._accumulator = weakref.ref(node)
    return node


def _check_hook_result(hook: Any, grad: Any, result: Any) -> None:
    if result is None:
        return
    if grad is None:
        raise RuntimeError("can't replace a None gradient with a non-None value")
    if not isinstance(result, Tensor):
        raise TypeError(f"expected Variable, but hook returned '{type(result).__name__}'")
    name = getattr(hook, "__name__", "<unknown>")
    if result._spec.dtype != grad._spec.dtype:
        was, got = (legacy_type(t._spec, t._storage.device) for t in (grad, result))
        raise RuntimeError(f"hook '{name}' has changed the type of value (was {was} got {got})")
    if result._spec.shape != grad._spec.shape:
        raise RuntimeError(f"hook '{name}' has changed the size of value")


class _OutputMetadata:
    """What ``grad_fn._input_metadata`` shows of an output."""

    is_nested_tensor = is_cpp_nested_tensor = False

    def __init__(self, spec: Spec):
        self.shape = list(spec.shape)
        self.dtype = dtype_of(spec)
        self.device = CPU


def _history_of(storage: Storage, spec: Spec) -> Edge | None:
    """Where the tensor of this storage and spec comes from by now; None where there is no such tensor any more."""
    for found in gc.get_referrers(storage):
        for t in (found,) if isinstance(found, Tensor) else gc.get_referrers(found) if isinstance(found, dict) else ():
            if isinstance(t, Tensor) and t._storage is storage and t._spec is spec and t._requires_grad:
                return edge_of(t)
    return None


Bridge.tensor = staticmethod(_tensor_with_history)
Bridge.value = staticmethod(value_of)
Bridge.accumulate = staticmethod(_accumulator)
Bridge.type_name = staticmethod(legacy_type)
Bridge.check_hook_result = staticmethod(_check_hook_result)
Bridge.metadata = staticmethod(_OutputMetadata)
Bridge.history = staticmethod(_history_of)


def _saved_attribute(node: Any, name: str) -> Any:
    from torchlike.autograd._saved import saved_attribute

    return saved_attribute(node, name)


Bridge.saved_attribute = staticmethod(_saved_attribute)
