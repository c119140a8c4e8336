"""Adagrad."""

from __future__ import annotations

from typing import Any

import torchlike as torch
from torchlike.optim import _transforms
from torchlike.optim._group import GroupOptimizer, counter, run_functional
from torchlike.optim.optimizer import ParamsT, _check, _check_lr, _fused_flags

__all__ = ["Adagrad", "adagrad"]

DECAY_OF_SPARSE = "weight_decay option is not compatible with sparse gradients"


class Adagrad(GroupOptimizer):
    r"""Adagrad: each element's learning rate falls with the sum of its squared gradients.

    .. math::
        g &\leftarrow \nabla f(\theta) + \lambda\,\theta \\
        s &\leftarrow s + g^2 \\
        \theta &\leftarrow \theta - \frac{\gamma}{1 + (t - 1)\,\eta}\;\frac{g}{\sqrt{s} + \epsilon}

    with the learning rate decay :math:`\eta`.

    "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization" (Duchi et al., 2011).

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that describe parameter groups.
        lr: learning rate, a number or a tensor of one element. Default: 1e-2.
        lr_decay: learning rate decay. Default: 0.
        weight_decay: L2 penalty. Default: 0.
        initial_accumulator_value: where the sum of squares starts. Default: 0.
        eps: added to the denominator. Default: 1e-10.
        foreach, fused: accepted; there is one implementation, which is fused.
        maximize: go up rather than down. Default: ``False``.
        differentiable: let autograd see the step itself. Default: ``False``.
    """

    __module__ = "torch.optim.adagrad"

    _rule = staticmethod(_transforms.adagrad)
    _late_options = {**GroupOptimizer._late_options, "fused": None}

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        _check_lr(lr)
        _check(lr_decay >= 0.0, "Invalid lr_decay value: {}", lr_decay)
        _check(weight_decay >= 0.0, "Invalid weight_decay value: {}", weight_decay)
        _check(
            initial_accumulator_value >= 0.0, "Invalid initial_accumulator_value value: {}", initial_accumulator_value
        )
        _check(eps >= 0.0, "Invalid epsilon value: {}", eps)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        _fused_flags(self, fused, foreach, differentiable)
        for group in self.param_groups:
            for p in group["params"]:
                self._begin(group, p, self.state[p], initial_accumulator_value)

    def _begin(self, group, p, memory, start=None):
        if start is None:
            start = self.defaults["initial_accumulator_value"]
        memory["step"] = counter(group, p, 0.0)
        start = complex(start, start) if p.is_complex() else start
        memory["sum"] = torch.full_like(p, start, memory_format=torch.preserve_format)

    def share_memory(self) -> None:
        """Move the sums of squares to memory that other processes share."""
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["sum"].share_memory_()

    def _buffers(self, group, kind):
        return ("sum",), ("sum",)

    def _plan(self, group, number, step):
        step = step + 1
        weight_decay = group["weight_decay"]
        rate = number(group["lr"]) / (1 + (float(step) - 1) * group["lr_decay"])
        return (rate, group["eps"], weight_decay), (group["maximize"], weight_decay != 0), (step,)

    def _on_sparse(self, group, p, grad):
        memory = self.state[p]
        if not memory:
            self._begin(group, p, memory)
        if group["weight_decay"] != 0:
            raise RuntimeError(DECAY_OF_SPARSE)
        with torch.no_grad():
            memory["step"] += 1
            rate = float(group["lr"]) / (1 + (memory["step"].item() - 1) * group["lr_decay"])
            grad = (-grad if group["maximize"] else grad).coalesce()
            # Only the elements that the gradient names change, each once.
            where, values = tuple(grad._indices()), grad._values()
            total = memory["sum"][where] + values.pow(2)
            memory["sum"][where] = total
            p[where] += values / total.sqrt().add_(group["eps"]) * -rate

    def step(self, closure=None):
        """Update the parameters once.

        Args:
            closure: evaluates the model again, computes the gradients and returns the loss.
        """
        return self._run(closure)


def adagrad(
    params: list,
    grads: list,
    state_sums: list,
    state_steps: list,
    fused: bool | None = None,
    grad_scale: Any = None,
    found_inf: Any = None,
    has_sparse_grad: bool = False,
    foreach: bool | None = None,
    differentiable: bool = False,
    has_complex: bool = False,
    *,
    lr: float,
    weight_decay: float,
    lr_decay: float,
    eps: float,
    maximize: bool,
) -> None:
    """One step of `Adagrad` on lists of parameters, gradients and state, in place."""
    run_functional(
        Adagrad, params, grads, {"step": state_steps}, {"sum": state_sums}, differentiable=differentiable, lr=lr,
        weight_decay=weight_decay, lr_decay=lr_decay, eps=eps, maximize=maximize,
    )  # fmt: skip
