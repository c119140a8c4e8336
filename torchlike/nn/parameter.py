"""Tensors that a module owns: parameters, which train, and buffers, which are saved but do not train."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torchlike as torch
from torchlike._tensor.tensor import Tensor, detached

__all__ = [
    "Buffer",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
    "UninitializedTensorMixin",
    "is_lazy",
]

INTEGER_PARAMETER = "Only Tensors of floating point and complex dtype can require gradients"
UNINITIALIZED_USE = (
    "Attempted to use an uninitialized parameter. "
    "This error happens when you are using a `LazyModule` or "
    "explicitly manipulating `torch.nn.parameter.{}` "
    "objects. When using LazyModules Call `forward` with a dummy batch "
    "to initialize the parameters before calling torch functions"
)
UNINITIALIZED_SHAPE = (
    "Can't access the shape of an uninitialized parameter or buffer. "
    "This error usually happens in `load_state_dict` when trying to load "
    "an uninitialized parameter into an initialized one. "
    "Call `forward` to initialize the parameters before accessing their attributes."
)
UNINITIALIZED_SHARE = (
    "Can't share memory on an uninitialized parameter or buffer. "
    "Call `forward` to initialize the parameters before calling "
    "`module.share_memory()`."
)


def alias_as(cls: type, data: Tensor, requires_grad: bool) -> Any:
    """A leaf of class ``cls`` that shares ``data``'s storage.

    Raises:
        RuntimeError: the gradient of integers is asked for.
    """
    alias = detached(data)
    alias.__class__ = cls
    if requires_grad:
        if not (alias.is_floating_point() or alias.is_complex()):
            raise RuntimeError(INTEGER_PARAMETER)
        alias._requires_grad = True
    return alias


class _ParameterMeta(type(Tensor)):
    # A parameter made from a tensor subclass keeps that subclass and carries a mark instead.
    def __instancecheck__(cls, instance: Any) -> bool:
        if type.__instancecheck__(cls, instance):
            return True
        return cls is Parameter and isinstance(instance, Tensor) and getattr(instance, "_is_param", False)


class Parameter(Tensor, metaclass=_ParameterMeta):
    """A tensor that a `Module` registers as trainable when it is assigned as an attribute.

    Args:
        data: the tensor whose storage the parameter shares; an empty tensor by default.
        requires_grad: whether gradients flow to it (``torch.no_grad`` has no say in this).

    >>> import torchlike as torch
    >>> torch.nn.Parameter(torch.ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    def __new__(cls, data: Any = None, requires_grad: bool = True):
        if data is None:
            data = torch.empty(0)
        if type(data) is Tensor or type(data) is Parameter:
            return alias_as(cls, data, requires_grad)
        marked = data.detach().requires_grad_(requires_grad)
        if type(marked) is not type(data):
            raise RuntimeError(
                f"Creating a Parameter from an instance of type {type(data).__name__} "
                "requires that detach() returns an instance of the same type, but return "
                f"type {type(marked).__name__} was found instead. To use the type as a "
                "Parameter, please correct the detach() semantics defined by "
                "its __torch_dispatch__() implementation."
            )
        marked._is_param = True
        return marked

    def __deepcopy__(self, memo: dict[int, Any]):
        if id(self) not in memo:
            copied = self.data.clone(memory_format=torch.preserve_format)
            memo[id(self)] = type(self)(copied, self.requires_grad)
        return memo[id(self)]

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return "Parameter containing:\n" + super().__repr__(tensor_contents=tensor_contents)

    def __reduce_ex__(self, proto: Any):
        from torchlike import _utils

        state = _utils._get_obj_state(self)
        hooks = OrderedDict()  # Hooks stay behind; the slot is part of the file format.
        if not state:
            return _utils._rebuild_parameter, (self.data, self.requires_grad, hooks)
        return _utils._rebuild_parameter_with_state, (self.data, self.requires_grad, hooks, state)


class UninitializedTensorMixin:
    """What `UninitializedParameter` and `UninitializedBuffer` share: everything waits for `materialize`.

    Until then a tensor of no elements keeps the device and the type; the tensor has no contents of its own, so that
    any operation on it raises.
    """

    cls_to_become: type
    _placeholder: Tensor

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Turn into an ordinary parameter or buffer of the given shape, its values undefined.

        Args:
            shape: size of the tensor.
            device: device, by default the one given at construction.
            dtype: element type, by default the one given at construction.
        """
        placeholder = self.__dict__.pop("_placeholder")
        made = torch.empty(
            shape,
            device=placeholder.device if device is None else device,
            dtype=placeholder.dtype if dtype is None else dtype,
        )
        self.__class__ = self.cls_to_become
        self.__dict__.update(_storage=made._storage, _spec=made._spec, _view=made._view)

    @property
    def data(self) -> Tensor:
        """The tensor of no elements that keeps device and type."""
        return self._placeholder

    @data.setter
    def data(self, value: Tensor) -> None:
        self._placeholder = value

    @property
    def _spec(self) -> Any:
        raise ValueError(UNINITIALIZED_USE.format(type(self).__name__))

    _storage = _view = _spec

    @property
    def shape(self) -> Any:
        """Not known before `materialize`."""
        raise RuntimeError(UNINITIALIZED_SHAPE)

    @property
    def device(self) -> Any:
        """The device of the tensor to be."""
        return self._placeholder.device

    @property
    def dtype(self) -> Any:
        """The element type of the tensor to be."""
        return self._placeholder.dtype

    is_meta = property(lambda self: self._placeholder.is_meta)
    is_cuda = property(lambda self: self._placeholder.is_cuda)
    is_cpu = property(lambda self: self._placeholder.is_cpu)

    def size(self, *args: Any) -> Any:
        """Size of the placeholder."""
        return self._placeholder.size(*args)

    def get_device(self) -> int:
        """Number of the device."""
        return self._placeholder.get_device()

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Set whether gradients flow to the tensor to be."""
        self._requires_grad = bool(requires_grad)
        return self

    def copy_(self, src: Any, non_blocking: bool = False) -> Any:
        """There is nothing to copy into; what is loaded must give the shape first."""
        return self

    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        """A placeholder of another device or type, to be assigned to ``data``."""
        return self._placeholder.to(*args, **kwargs)

    def share_memory_(self) -> Any:
        """Not possible before `materialize`."""
        raise RuntimeError(UNINITIALIZED_SHARE)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self._requires_grad, self.device, self.dtype)
        return memo[id(self)]

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self, proto: Any) -> Any:
        from torchlike.nn.modules import _registration

        cls = type(self)
        if proto > 2 and not _registration.is_importable(cls):  # See Module.__reduce_ex__.
            return _registration.call_by_name, (*_registration.own_name(cls), self._requires_grad)
        return cls, (self._requires_grad,)


def _placeholder_method(name: str) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Tensor:
        return getattr(self._placeholder, name)(*args, **kwargs)

    method.__name__ = name
    method.__doc__ = f"``{name}`` of the placeholder, to be assigned to ``data``."
    return method


for _name in ("half", "float", "double", "bfloat16", "char", "short", "int", "long", "type", "cuda", "cpu"):
    setattr(UninitializedTensorMixin, _name, _placeholder_method(_name))


def is_lazy(param: Any) -> bool:
    """Whether ``param`` is a parameter or buffer that has no shape yet."""
    return isinstance(param, UninitializedTensorMixin)


def _uninitialized(cls: type, requires_grad: bool, device: Any, dtype: Any) -> Any:
    tensor: Any = object.__new__(cls)
    tensor._placeholder = torch.empty(0, device=device, dtype=dtype)
    tensor._requires_grad = bool(requires_grad)
    return tensor


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A parameter whose shape is not known until the first batch arrives.

    Args:
        requires_grad: whether gradients flow to it. Default: ``True``.
        device: device of the tensor to be.
        dtype: element type of the tensor to be.
    """

    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None):
        return _uninitialized(cls, requires_grad, device, dtype)


class _BufferMeta(type(Tensor)):
    # A buffer is any tensor that carries the mark; the class itself has no instances of its own.
    def __instancecheck__(cls, instance: Any) -> bool:
        if type.__instancecheck__(cls, instance):
            return True
        return cls is Buffer and isinstance(instance, Tensor) and getattr(instance, "_is_buffer", False)


class Buffer(Tensor, metaclass=_BufferMeta):
    """A tensor that a `Module` registers as a buffer when it is assigned as an attribute.

    Args:
        data: the tensor whose storage the buffer shares; an empty tensor by default.
        persistent: whether the buffer is part of the module's ``state_dict``.

    Returns a tensor of the same type as ``data``, marked as a buffer.
    """

    def __new__(cls, data: Any = None, *, persistent: bool = True):
        if data is None:
            data = torch.empty(0)
        marked = data.detach().requires_grad_(data.requires_grad)
        marked.persistent = persistent
        marked._is_buffer = True
        return marked


class UninitializedBuffer(UninitializedTensorMixin, Tensor):
    """A buffer whose shape is not known until the first batch arrives.

    Args:
        requires_grad: whether gradients flow to it. Default: ``False``.
        device: device of the tensor to be.
        dtype: element type of the tensor to be.
        persistent: whether the buffer is part of the module's ``state_dict``.
    """

    cls_to_become = Tensor

    def __new__(cls, requires_grad: bool = False, device: Any = None, dtype: Any = None, persistent: bool = True):
        buffer = _uninitialized(cls, requires_grad, device, dtype)
        buffer.persistent = persistent
        buffer._is_buffer = True
        return buffer
