"""``autograd.Function``: operations whose gradient the program writes itself.

The context that ``forward`` and ``backward`` see is the node on the tape itself. Whatever the program sets on it is its
own; what the machinery keeps there has names with a leading underscore.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from torchlike._engine.trace import threads
from torchlike._ops.op import set_history
from torchlike._tape.graph import FREED, Node
from torchlike._tensor.tensor import Tensor, detached, edge_of
from torchlike.autograd import _saved, forward_ad

__all__ = [
    "FunctionCtx", "BackwardCFunction", "FunctionMeta", "Function", "once_differentiable", "InplaceFunction",
    "NestedIOFunction",
]  # fmt: skip

AUTOGRAD_FUNCTION_COUNTER = itertools.count()

_NOT_RETURNED = (
    "Some elements marked as dirty during the forward method were not returned as output. The inputs that are modified "
    "inplace must all be outputs of the Function."
)
_NOT_AN_INPUT = (
    "ctx.mark_dirty() received a tensor that was not an input. Only input Tensors that have been mutated should be passed "
    "to ctx.mark_dirty()."
)
_TAKEN = (
    "saved_tensors can only be accessed once when clear_saved_tensors_on_access=True is set on the autograd.Function. Either "
    "access saved_tensors only once, or set clear_saved_tensors_on_access=False."
)
_DIRTY_VIEW = (
    "If your Function modifies inplace an input that is a view of another Tensor, your Function cannot return more than one "
    "Tensor. This is not supported by the current autograd engine. You should either make sure the input is not a view "
    "(using .clone() for example) or make your Function only return one Tensor (potentially splitting it into two "
    "Functions: one doing the inplace that returns a single Tensor and a second one that does the other operations). You "
    "can ask on the forum https://discuss.pytorch.org/ if you need help to do this change."
)


class FunctionCtx:
    """What ``forward`` leaves for ``backward``."""

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors (or None) for ``backward``, which finds them in ``ctx.saved_tensors``."""
        self.to_save = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        """Keep tensors (or None) for ``jvp``, which finds them in ``ctx.saved_tensors``."""
        for tensor in tensors:
            if not (isinstance(tensor, Tensor) or tensor is None):
                raise AssertionError(
                    "save_for_forward expects all arguments to be tensors; you should save non-tensors as attributes on "
                    "ctx."
                )
        self.saved_for_forward = tensors

    def mark_dirty(self, *args: Any) -> None:
        """Say which inputs ``forward`` wrote to; they must be returned."""
        self.dirty_tensors = args

    def mark_shared_storage(self, *pairs: Any) -> None:
        """Does nothing any more: shared storages are always tracked."""
        warnings.warn(
            "`mark_shared_storage` is deprecated. Tensors with shared storages are automatically tracked. Note that calls "
            "to `set_()` are not tracked",
            FutureWarning,
            stacklevel=2,
        )

    def mark_non_differentiable(self, *args: Any) -> None:
        """Say which outputs have no gradient; ``backward`` gets zeros for them."""
        self.non_differentiable = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether gradients that did not arrive are zeros (the default) or None."""
        self._materialize = value


_ContextMethodMixin = FunctionCtx


class _HookMixin:
    @staticmethod
    def _register_hook(backward_hooks: Any, hook: Callable) -> Any:
        from torchlike.utils.hooks import RemovableHandle

        if backward_hooks is None:
            backward_hooks = OrderedDict()
        handle = RemovableHandle(backward_hooks)
        backward_hooks[handle.id] = hook
        return backward_hooks, handle


class BackwardCFunction(Node, FunctionCtx, _HookMixin):
    """The node of a custom function's call: the ``ctx`` of its ``forward`` and ``backward``, and its ``grad_fn``."""

    #: The Function subclass; each has a subclass of this class of its own.
    _forward_cls: Any
    to_save: Any = None
    dirty_tensors: Any = None
    non_differentiable: Any = None
    saved_for_forward: Any = None
    needs_input_grad: tuple[bool, ...] = ()
    _takes_none = True
    _materialize: bool = True
    _materialize_non_diff_grads: bool = True
    #: What ``save_for_backward`` kept, None once it was let go of.
    _kept: list[_saved.Saved] | None = []
    _taken = False
    #: For each argument of ``forward`` that is a tensor its position, spec, dtype and edge.
    _tensor_arguments: tuple = ()
    #: For each output its spec, dtype and device, None for one that is no tensor.
    _outputs: tuple = ()

    def __init__(self) -> None:
        super().__init__((), ())

    def __call__(self, *_: Any) -> Any:
        raise TypeError(f"'{type(self).__name__}' object is not callable")

    def name(self) -> str:
        """The node's name, such as ``ScaleBackward``."""
        return type(self).__name__

    def __repr__(self) -> str:
        return object.__repr__(self)

    @property
    def saved_tensors(self) -> tuple:
        """The tensors that ``save_for_backward`` kept, with their history."""
        if self._kept is None:
            raise RuntimeError(_TAKEN if self._taken else FREED)
        tensors = tuple(saved.unpack(self) for saved in self._kept)
        self.maybe_clear_saved_tensors()
        return tensors

    @property
    def saved_variables(self) -> tuple:
        """The old name of ``saved_tensors``."""
        warnings.warn("'saved_variables' is deprecated; use 'saved_tensors'", DeprecationWarning, stacklevel=2)
        return self.saved_tensors

    def maybe_clear_saved_tensors(self) -> None:
        """Let go of the saved tensors where the function asks for that after their first use."""
        if self._forward_cls.clear_saved_tensors_on_access:
            self._kept, self._taken = None, True

    @property
    def _raw_saved_tensors(self) -> tuple:
        if self._kept is None:
            raise RuntimeError(FREED)
        return tuple(_saved.SavedTensor(saved) for saved in self._kept)

    def _get_user_fn(self) -> Callable:
        backward, vjp = self._forward_cls.backward, self._forward_cls.vjp
        if backward is not Function.backward and vjp is not Function.vjp:
            raise RuntimeError(
                "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You should only implement "
                "one of them."
            )
        return vjp if vjp is not Function.vjp else backward

    def apply(self, *args: Any) -> Any:
        """Run the function's own ``backward`` on gradients of the outputs."""
        function = self._get_user_fn()
        return function(self, list(args)) if self._forward_cls.boxed_grads_call else function(self, *args)

    def apply_boxed(self, *args: Any) -> Any:
        """Run the function's own ``backward`` on a list of gradients that it may empty."""
        return self._get_user_fn()(self, *args)

    def apply_jvp(self, *args: Any) -> Any:
        """Run the function's own ``jvp``."""
        return self._forward_cls.jvp(self, *args)

    # What the backward walk calls.

    def apply_tensors(self, grads: list[Any]) -> list[Any]:
        """The gradients of the tensor arguments, from what the program's ``backward`` returns."""
        if self._materialize:
            grads = [
                _zeros(*described) if g is None and described is not None else g
                for g, described in zip(grads, self._outputs, strict=True)
            ]
        results = self.apply(*grads)
        results = results if isinstance(results, tuple) else (results,)
        expected = len(self.needs_input_grad)
        if len(results) > expected and all(r is None for r in results[expected:]):
            results = results[:expected]
        if len(results) != expected:
            raise RuntimeError(
                f"function {self.name()} returned an incorrect number of gradients (expected {expected}, got {len(results)})"
            )
        places = {position for position, *_ in self._tensor_arguments}
        for i, result in enumerate(results):
            if result is None:
                continue
            if i not in places:
                raise RuntimeError(
                    f"function {self.name()} returned a gradient different than None at position {i + 1}, but the "
                    "corresponding forward input was not a Variable"
                )
            if not isinstance(result, Tensor):
                raise RuntimeError(f"expected Variable or None (got {type(result).__name__})")
        return [
            None if edge is None or results[position] is None else self._fitting(i, results[position], spec, dtype)
            for i, (position, spec, dtype, edge) in enumerate(self._tensor_arguments)
        ]

    def _fitting(self, index: int, grad: Tensor, spec: Any, dtype: Any) -> Tensor:
        """A gradient in its input's shape and dtype."""
        if grad._spec is spec:
            return grad
        if grad._spec.shape != spec.shape:
            if not _expandable(spec.shape, grad._spec.shape):
                raise RuntimeError(
                    f"Function {self.name()} returned an invalid gradient at index {index} - got {list(grad._spec.shape)} "
                    f"but expected shape compatible with {list(spec.shape)}"
                )
            grad = _summed(grad, spec.shape)
        if grad.dtype.is_complex and not dtype.is_complex:
            raise RuntimeError(
                "Expected isFloatingType(grad.scalar_type()) || (input_is_complex == grad_is_complex) to be true, but got "
                "false.  (Could this error message be improved?  If so, please report an enhancement request to PyTorch.)"
            )
        return grad if grad.dtype is dtype else grad.to(dtype)

    def _release(self) -> None:
        if self._kept:
            self._kept = None


def _zeros(spec: Any, dtype: Any, device: Any) -> Tensor:
    import torchlike as torch

    return torch.zeros(spec.shape, dtype=dtype, device=device)


def _summed(t: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``t`` summed over the dimensions along which ``shape`` was expanded to it."""
    lead = t.ndim - len(shape)
    dims = [i for i, n in enumerate(t.shape) if i < lead or n != shape[i - lead]]
    return t.sum(dim=dims, keepdim=True).reshape(shape)


def _expandable(shape: tuple[int, ...], desired: tuple[int, ...]) -> bool:
    """Whether a tensor of ``shape`` could be expanded to ``desired``."""
    lead = len(desired) - len(shape)
    return lead >= 0 and all(n in (1, desired[lead + i]) for i, n in enumerate(shape))


class FunctionMeta(type):
    """Gives each Function subclass its own class of nodes."""

    _backward_cls: type[BackwardCFunction]

    def __init__(cls, name: str, bases: tuple[type, ...], attrs: dict[str, Any]):
        backward = type(f"{name}Backward", (BackwardCFunction,), {"_forward_cls": cls})
        backward.__module__ = "torch.autograd.function"
        backward._autograd_function_id = next(AUTOGRAD_FUNCTION_COUNTER)  # type: ignore[attr-defined]
        cls._backward_cls = backward
        super().__init__(name, bases, attrs)


class _SingleLevelFunction(FunctionCtx, _HookMixin, metaclass=FunctionMeta):
    #: Whether ``saved_tensors`` lets go of the tensors as it returns them.
    clear_saved_tensors_on_access = False
    #: Whether ``backward`` gets the gradients as one list, which it may empty as it goes.
    boxed_grads_call = False

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs: ``forward(ctx, *args)``, or ``forward(*args)`` with ``setup_context``."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Keep on ``ctx`` what ``backward`` needs, where ``forward`` does not take ``ctx``."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Compute the gradient of each argument, None for one that has none, from the gradients of the outputs."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with "
            "backward mode AD."
        )

    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """Compute the tangents of the outputs from those of the arguments."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD."
        )


class Function(_SingleLevelFunction):
    """Base class of custom operations: subclass it, write ``forward`` and ``backward`` as static methods, call ``apply``.

    ``forward(ctx, *args)`` computes the outputs, or ``forward(*args)`` with ``setup_context(ctx, inputs, output)``;
    ``backward(ctx, *grads)`` returns a gradient, or None, for each argument of ``apply``.

    >>> import torchlike as torch
    >>> class Cube(torch.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x**3
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved_tensors
    ...         return 3 * x**2 * grad
    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad
    tensor(12.)
    """

    #: Whether ``torch.vmap`` may run forward and backward on batched tensors as they are.
    generate_vmap_rule = False

    def __init__(self, *args: Any, **kwargs: Any):
        warnings.warn(
            f"{self.__class__} should not be instantiated. Methods on autograd functions are all static, so you should "
            "invoke them on the class itself. Instantiating an autograd function will raise an error in a future version "
            "of PyTorch.",
            DeprecationWarning,
            stacklevel=2,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use new-style autograd function "
            "with static forward method. (Example: https://pytorch.org/docs/stable/autograd.html#torch.autograd.Function)"
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *args: Any) -> Any:
        """Compute ``(output, out_dims)`` for batched arguments, ``in_dims`` saying which dimension of each is batched."""
        raise NotImplementedError(
            "To use autograd.Function with vmap, you must either override the vmap staticmethod or set "
            "generate_vmap_rule=True."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run the operation, putting it on the tape where an argument requires a gradient."""
        separate = _is_setup_context_defined(cls.setup_context)
        if separate:
            bound = inspect.signature(cls.forward).bind(*args, **kwargs)
            bound.apply_defaults()
            args, kwargs = bound.args, bound.kwargs
        ctx = cls._backward_cls()
        ctx.needs_input_grad = tuple([isinstance(a, Tensor) and a.requires_grad for a in args])
        tracked = threads.grad_enabled and any(ctx.needs_input_grad)
        enabled, threads.grad_enabled = threads.grad_enabled, False
        try:
            if separate:
                output = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, output)
            else:
                output = cls.forward(ctx, *args, **kwargs)
        finally:
            threads.grad_enabled = enabled
        outputs = output if isinstance(output, tuple) else (output,)
        tangents = forward_ad.tangents_of(args)
        outputs = tuple(_wrap_outputs(ctx, args, outputs, tracked))
        if tangents is not None:
            outputs = _with_tangents(ctx, outputs, tangents)
        if tracked:
            _keep(ctx, outputs)
        ctx.to_save = ctx.dirty_tensors = ctx.non_differentiable = None
        return outputs if isinstance(output, tuple) else outputs[0]


def _is_setup_context_defined(function: Callable) -> bool:
    return function is not _SingleLevelFunction.setup_context


def _wrap_outputs(ctx: BackwardCFunction, args: tuple, outputs: tuple, tracked: bool) -> list[Any]:
    """The outputs with their history, where ``tracked``; inputs that are returned unchanged become views of themselves."""
    plain = {id(t) for t in ctx.non_differentiable or ()}
    dirty = {id(t) for t in ctx.dirty_tensors or ()}
    inputs = {id(a) for a in args if isinstance(a, Tensor)}
    if not dirty <= {id(o) for o in outputs}:
        raise RuntimeError(_NOT_RETURNED)
    if tracked:
        arguments = [(i, a._spec, a.dtype, edge_of(a)) for i, a in enumerate(args) if isinstance(a, Tensor)]
        ctx._tensor_arguments = tuple(arguments)
        ctx._edges = [edge for *_, edge in arguments]
        ctx._outputs = tuple((o._spec, o.dtype, o.device) if isinstance(o, Tensor) else None for o in outputs)
        ctx._out_specs = tuple(None if o is None else o[0] for o in ctx._outputs)  # type: ignore[assignment]
    results = []
    for index, o in enumerate(outputs):
        if not isinstance(o, Tensor):
            results.append(o)
            continue
        differentiable = tracked and id(o) not in plain and (o.is_floating_point() or o.is_complex())
        if id(o) in dirty:
            o = _written(ctx, args, o, index, len(outputs), id(o) in inputs, differentiable)
        elif id(o) in inputs:
            o = _view_of_itself(o) if differentiable or not o.requires_grad else detached(o)
            if differentiable:
                _set_edge(o, ctx, index)
        elif differentiable:
            _set_edge(o, ctx, index)
        elif o.requires_grad:
            o = detached(o)
        results.append(o)
    return results


def _view_of_itself(t: Tensor) -> Tensor:
    out = detached(t)
    out._base_tensor = t if t._base_tensor is None else t._base_tensor
    out._seen_version = t._storage.version
    out._write_forbidden = "no_grad"
    return out


def _set_edge(o: Tensor, ctx: BackwardCFunction, index: int) -> None:
    o._edge, o._requires_grad = (ctx, index), True
    if o._base_tensor is not None:
        o._seen_version = o._storage.version
        o._write_forbidden = "custom function"


def _written(
    ctx: BackwardCFunction, args: tuple, o: Tensor, index: int, n_outputs: int, is_input: bool, differentiable: bool
) -> Tensor:
    """An output that ``forward`` wrote to in place."""
    if not is_input:
        warnings.warn(_NOT_AN_INPUT, stacklevel=4)
    if not differentiable:
        return o
    if o.is_leaf and o.requires_grad:
        raise RuntimeError("a leaf Variable that requires grad has been used in an in-place operation.")
    if o._is_view() and n_outputs > 1:
        raise RuntimeError(_DIRTY_VIEW)
    o._storage.version += 1
    if is_input and o._is_view():
        at = next(k for k, (i, *_) in enumerate(ctx._tensor_arguments) if args[i] is o)
        set_history(o, ctx, at if o.requires_grad else None)
    else:
        o._edge, o._requires_grad = (ctx, index), True
    return o


def _keep(ctx: BackwardCFunction, outputs: tuple) -> None:
    """Put what ``save_for_backward`` was given into the form in which the node keeps it."""
    saved = ctx.to_save
    if saved is None:
        return
    if not isinstance(saved, tuple):
        raise RuntimeError("autograd internal error: to_save attribute is expected to be a tuple but is ")
    places = {id(o): i for i, o in enumerate(outputs) if isinstance(o, Tensor)}
    kept = []
    for i, tensor in enumerate(saved):
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"save_for_backward can only save variables, but argument {i} is of type {type(tensor).__name__}"
            )
        own = None
        if tensor is not None and tensor._edge is not None and tensor._edge[0] is ctx:
            own = tensor._edge[1]
        elif id(tensor) in places and tensor is not None and tensor.grad_fn is ctx:
            own = places[id(tensor)]
        kept.append(_saved.Saved(tensor, own))
    ctx._kept = kept


def _with_tangents(ctx: BackwardCFunction, outputs: tuple, tangents: list[Any]) -> tuple:
    """The outputs with the tangents that the program's ``jvp`` computes."""
    ctx._kept = [_saved.Saved(t, None) for t in ctx.saved_for_forward or ()]
    results = ctx.apply_jvp(*tangents)
    results = results if isinstance(results, tuple) else (results,)
    return tuple(
        o if t is None else forward_ad.make_dual(detached(o), t) for o, t in zip(outputs, results, strict=True)
    )


def once_differentiable(fn: Callable) -> Callable:
    """Decorate a ``backward`` that must not be differentiated itself."""

    @functools.wraps(fn)
    def wrapper(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        enabled, threads.grad_enabled = threads.grad_enabled, False
        try:
            outputs = fn(ctx, *args, **kwargs)
        finally:
            threads.grad_enabled = enabled
        if not enabled or not any(isinstance(a, Tensor) and a.requires_grad for a in args):
            return outputs
        many = outputs if isinstance(outputs, tuple) else (outputs,)
        starts = [None if o is None else detached(o).requires_grad_() for o in many]
        node = Error([edge_of(t) for t in starts if t is not None], tuple(t._spec for t in starts if t is not None))
        failing: list[Any] = []
        for t in starts:
            if t is not None:
                t = detached(t)
                t._edge, t._requires_grad = (node, sum(f is not None for f in failing)), True
            failing.append(t)
        return tuple(failing) if isinstance(outputs, tuple) else failing[0]

    return wrapper


class Error(Node):
    """The node of gradients that must not be differentiated."""

    def name(self) -> str:
        return "torch::autograd::Error"

    def apply_tensors(self, grads: list[Any]) -> Any:
        raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")


Error.__module__ = "builtins"


class InplaceFunction(Function):
    """Old base class of functions that may write to their input, which ``inplace`` says."""

    def __init__(self, inplace: bool = False):
        super().__init__()
        self.inplace = inplace


class NestedIOFunction(Function):
    """Old base class of functions of nested tuples and lists, which can no longer be called."""

    def forward_extended(self, *input: Any) -> None:
        """Compute the nested outputs."""
        raise NotImplementedError

    def backward_extended(self, *grad_output: Any) -> None:
        """Compute the nested gradients."""
        raise NotImplementedError


for _cls in (
    Function,
    FunctionCtx,
    BackwardCFunction,
    FunctionMeta,
    InplaceFunction,
    NestedIOFunction,
    once_differentiable,
):
    _cls.__module__ = "torch.autograd.function"
