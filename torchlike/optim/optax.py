"""Any optax transformation as an optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

import torchlike as torch
from torchlike._engine.instance import Kernel
from torchlike._engine.trace import record
from torchlike._engine.value import concrete, materialize
from torchlike._tensor.tensor import Tensor, assign, from_array, host_array, value_of
from torchlike.optim.optimizer import Optimizer, ParamsT

if TYPE_CHECKING:
    import optax

__all__ = ["OptaxOptimizer"]


class OptaxOptimizer(Optimizer):
    r"""An optimizer whose steps are an optax gradient transformation's.

    .. math::
        u, s \leftarrow \mathrm{update}(g, s, \theta), \qquad \theta \leftarrow \theta + u

    Each parameter group is one pytree, the list of its parameters; a missing gradient counts as zero. The
    transformation's state is kept, as a list of tensors under ``"leaves"``, with the group's first parameter.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that describe parameter groups.
        transformation: an ``optax.GradientTransformation``, or a function that makes one from the options.
        **options: numbers for that function. Groups may have their own, and they may be changed between steps, so that
            a learning rate called ``lr`` can be scheduled; that does not recompile.

    >>> import optax
    >>> import torchlike as torch
    >>> from torchlike.optim.optax import OptaxOptimizer
    >>> w = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    >>> optimizer = OptaxOptimizer([w], lambda lr: optax.chain(optax.clip(1.0), optax.sgd(lr)), lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data
    tensor([0.9000, 1.9000])
    """

    def __init__(
        self,
        params: ParamsT,
        transformation: optax.GradientTransformation | Callable[..., optax.GradientTransformation],
        **options: float,
    ) -> None:
        # A transformation is a tuple of functions; all else is a function that makes one.
        self._make: Any = (lambda: transformation) if isinstance(transformation, tuple) else transformation
        self._names = tuple(options)
        self._kernel = Kernel("optax_step", self._bind)
        super().__init__(params, dict(options))

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_make": self._make, "_names": self._names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._kernel = Kernel("optax_step", self._bind)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters once.

        Args:
            closure: evaluates the model again, computes the gradients and returns the loss.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._update(group)
        return loss

    def _update(self, group: dict[str, Any]) -> None:
        params: list[Tensor] = group["params"]
        grads = [p.grad for p in params]
        if not any(grad is not None for grad in grads):
            return
        values = [value_of(p) for p in params]
        values += [
            concrete(np.zeros(v.spec.shape, v.spec.dtype)) if grad is None else value_of(grad)
            for grad, v in zip(grads, values, strict=True)
        ]
        options = [float(group[name]) for name in self._names]
        leaves = self._leaves(params, options)
        values += [value_of(leaf) for leaf in leaves]
        values.append(concrete(np.array(options, np.float64)))
        results = record(self._kernel, len(params), values)[0]
        for tensor, value in zip([*params, *leaves], results, strict=True):
            assign(tensor, value)

    def _leaves(self, params: list[Tensor], options: list[float]) -> list[Tensor]:
        """The transformation's state as tensors, made at the first step."""
        memory = self.state[params[0]]
        if "leaves" not in memory:
            state = self._transformation(options).init([materialize(value_of(p)) for p in params])
            memory["leaves"] = [
                from_array(np.asarray(leaf), params[0].device) for leaf in jax.tree_util.tree_leaves(state)
            ]
            memory["dtypes"] = tuple(leaf._spec.dtype.name for leaf in memory["leaves"])
        # A loaded state has taken the parameters' dtype, counts and all.
        for i, name in enumerate(memory["dtypes"]):
            leaf = memory["leaves"][i]
            if leaf._spec.dtype.name != name:
                memory["leaves"][i] = from_array(host_array(leaf).astype(name), leaf.device)
        return memory["leaves"]

    def _transformation(self, options: Any) -> optax.GradientTransformation:
        return self._make(**dict(zip(self._names, options, strict=True)))

    def _bind(self, count: int, inputs: Any) -> Callable[..., list]:
        def run(*arrays: Any) -> list:
            import optax

            params, grads, leaves = list(arrays[:count]), list(arrays[count : 2 * count]), arrays[2 * count : -1]
            dtype = params[0].dtype if params[0].dtype.kind == "f" else np.dtype(np.float32)
            numbers = arrays[-1].astype(dtype)
            transformation = self._transformation([numbers[i] for i in range(len(self._names))])
            tree = jax.tree_util.tree_structure(jax.eval_shape(transformation.init, params))
            updates, state = transformation.update(grads, jax.tree_util.tree_unflatten(tree, leaves), params)
            new: Any = optax.apply_updates(params, updates)
            return [*new, *jax.tree_util.tree_leaves(state)]

        return run
