"""``autograd.Function``: operations whose gradient the program writes itself."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torchlike._engine.trace import threads
from torchlike._tensor.tensor import Tensor, edge_of
from torchlike._tape.graph import FREED, Node, node_class


class FunctionCtx:
    """What ``forward`` leaves for ``backward``."""

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors for ``backward``, which finds them in ``ctx.saved_tensors``."""
        self.to_save = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        """Keep tensors for ``jvp``."""
        self.saved_for_forward = tensors

    def mark_dirty(self, *args: Any) -> None:
        """Say which inputs ``forward`` wrote to; they must be returned."""
        self.dirty_tensors = args

    def mark_non_differentiable(self, *args: Any) -> None:
        """Say which outputs have no gradient."""
        self.non_differentiable = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether gradients that did not arrive are zeros (the default) or None."""
        self.materialize_grads = value


class _FunctionNode(Node):
    """The node of a custom function's call; it is also the ``ctx`` that ``forward`` and ``backward`` see."""

    @property
    def saved_tensors(self) -> tuple:
        """The tensors that ``save_for_backward`` kept, with their history."""
        saved = self.__dict__.get("_saved", ())
        if saved is None:
            raise RuntimeError(FREED)
        for tensor, version in saved:
            if tensor is not None and tensor._version != version:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation: "
                    f"[{tensor.type()} {list(tensor.shape)}] is at version {tensor._version}; expected version {version} "
                    "instead. Hint: enable anomaly detection to find the operation that failed to compute its gradient, "
                    "with torch.autograd.set_detect_anomaly(True)."
                )
        return tuple(tensor for tensor, _ in saved)

    @property
    def needs_input_grad(self) -> tuple[bool, ...]:
        """For each argument of ``forward``, whether its gradient is wanted."""
        return self.__dict__["_needs"]

    save_for_backward = FunctionCtx.save_for_backward
    save_for_forward = FunctionCtx.save_for_forward
    mark_dirty = FunctionCtx.mark_dirty
    mark_non_differentiable = FunctionCtx.mark_non_differentiable
    set_materialize_grads = FunctionCtx.set_materialize_grads

    def apply_tensors(self, grads: list[Any]) -> list[Any]:
        function = self.__dict__["_function"]
        if self.__dict__.get("materialize_grads", True):
            import torchlike as torch

            devices = self.__dict__["_devices"]
            grads = [
                torch.zeros(spec.shape, dtype=devices[i][1], device=devices[i][0]) if g is None else g
                for i, (g, spec) in enumerate(zip(grads, self.out_specs, strict=True))
            ]
        results = function.backward(self, *grads)
        results = results if isinstance(results, tuple) else (results,)
        needs = self.needs_input_grad
        if len(results) > len(needs) and all(r is None for r in results[len(needs) :]):
            results = results[: len(needs)]
        if len(results) != len(needs):
            raise RuntimeError(
                f"function {self.name()} returned an incorrect number of gradients (expected {len(needs)}, got "
                f"{len(results)})"
            )
        return [self._fitting(i, results[i]) for i in self.__dict__["_positions"]]

    def _fitting(self, position: int, grad: Any) -> Any:
        """A gradient in its input's shape and dtype."""
        if grad is None:
            return None
        if not isinstance(grad, Tensor):
            raise RuntimeError(
                f"function {self.name()} returned a gradient different than None at position {position + 1}, but the "
                "corresponding forward input was not a Variable"
            )
        spec = self.__dict__["_inputs"][position]
        if grad._spec.shape != spec.shape:
            try:
                grad = grad.sum_to_size(spec.shape)
            except RuntimeError:
                raise RuntimeError(
                    f"Function {self.name()} returned an invalid gradient at index {position} - got "
                    f"{list(grad._spec.shape)} but expected shape compatible with {list(spec.shape)}"
                ) from None
        return grad if grad._spec.dtype == spec.dtype else grad.to(self.__dict__["_dtypes"][position])

    def release(self) -> None:
        if "_saved" in self.__dict__:
            self.__dict__["_saved"] = None


class Function:
    """Base class of custom operations: subclass it, write ``forward`` and ``backward`` as static methods, call ``apply``.

    ``forward(ctx, *args)``, or ``forward(*args)`` with ``setup_context(ctx, inputs, output)``; ``backward(ctx, *grads)``
    returns a gradient, or None, for each argument.
    """

    generate_vmap_rule = False

    def __init__(self, *args: Any, **kwargs: Any):
        raise RuntimeError(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all static, so you should invoke "
            "them on the class itself. Instantiating an autograd function will raise an error in a future version of "
            "PyTorch."
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> Any:
        """Keep on ``ctx`` what ``backward`` needs, where ``forward`` does not take ``ctx``."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Compute the gradients of the inputs."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with "
            "backward mode AD."
        )

    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """Compute the tangents of the outputs."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run the operation, putting it on the tape where an input requires a gradient."""
        needs = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        tracked = threads.grad_enabled and any(needs)
        positions = [i for i, n in enumerate(needs) if n] if tracked else []
        ctx: Any = node_class(f"{cls.__name__}Backward", _FunctionNode)([edge_of(args[i]) for i in positions], ())
        ctx.__dict__.update(_function=cls, _needs=needs if tracked else (False,) * len(args), _positions=positions)
        separate = cls.setup_context is not Function.setup_context
        enabled, threads.grad_enabled = threads.grad_enabled, False
        try:
            output = cls.forward(*args, **kwargs) if separate else cls.forward(ctx, *args, **kwargs)
            if separate:
                cls.setup_context(ctx, args, output)
        finally:
            threads.grad_enabled = enabled
        outputs = output if isinstance(output, tuple) else (output,)
        if tracked:
            outputs = _attach(ctx, args, outputs)
        else:
            ctx.__dict__["_saved"] = [(t, None if t is None else t._version) for t in ctx.__dict__.get("to_save", ())]
        return outputs if isinstance(output, tuple) else outputs[0]


def _attach(ctx: Any, args: tuple, outputs: tuple) -> tuple:
    """Give the outputs their history, and the context what it keeps for the backward."""
    from torchlike._ops.op import set_history

    plain = {id(t) for t in ctx.__dict__.get("non_differentiable", ())}
    dirty = {id(t) for t in ctx.__dict__.get("dirty_tensors", ())}
    tensors = [o for o in outputs if isinstance(o, Tensor)]
    ctx.out_specs = tuple(o._spec for o in tensors)
    ctx.__dict__["_devices"] = [(o.device, o.dtype) for o in tensors]
    ctx.__dict__["_inputs"] = [a._spec if isinstance(a, Tensor) else None for a in args]
    ctx.__dict__["_dtypes"] = [a.dtype if isinstance(a, Tensor) else None for a in args]
    inputs = {id(a) for a in args if isinstance(a, Tensor)}
    results, index = [], 0
    for o in outputs:
        if not isinstance(o, Tensor):
            results.append(o)
            continue
        if id(o) in dirty:
            position = ctx.__dict__["_positions"].index(next(i for i, a in enumerate(args) if a is o)) if o.requires_grad else None
            set_history(o, ctx, position)
        else:
            if id(o) in inputs or o._edge is not None or o._base_tensor is not None:
                o = o.detach()
            if id(o) not in plain and (o.is_floating_point() or o.is_complex()):
                o._edge, o._requires_grad = (ctx, index), True
        results.append(o)
        index += 1
    kept = {id(a): b for a, b in zip(outputs, results, strict=True)}
    saved = [kept.get(id(t), t) if t is not None else None for t in ctx.__dict__.pop("to_save", ())]
    ctx.__dict__["_saved"] = [(t, None if t is None else t._version) for t in saved]
    return tuple(results)


def once_differentiable(fn: Callable) -> Callable:
    """Decorate a ``backward`` that must not be differentiated itself."""

    @functools.wraps(fn)
    def wrapper(ctx: Any, *args: Any) -> Any:
        from torchlike.autograd.grad_mode import no_grad

        with no_grad():
            outputs = fn(ctx, *args)
        if not threads.grad_enabled or not any(isinstance(a, Tensor) and a.requires_grad for a in args):
            return outputs
        many = outputs if isinstance(outputs, tuple) else (outputs,)
        failed = tuple(_Undifferentiable.apply(o) if isinstance(o, Tensor) else o for o in many)
        return failed if isinstance(outputs, tuple) else failed[0]

    return wrapper


class _Undifferentiable(Function):
    @staticmethod
    def forward(ctx, x):
        return x.detach().requires_grad_()

    @staticmethod
    def backward(ctx, *grads):
        raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")


class InplaceFunction(Function):
    """Old name for a function that may write to its inputs."""


class NestedIOFunction(Function):
    """Old name for a function of nested inputs."""


for _cls in (Function, FunctionCtx, InplaceFunction, NestedIOFunction):
    _cls.__module__ = "torch.autograd.function"
