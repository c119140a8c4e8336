"""Adadelta."""

from __future__ import annotations

from typing import Any

from torchlike.optim import _transforms
from torchlike.optim._group import GroupOptimizer, counter, run_functional, zeros_like
from torchlike.optim.optimizer import ParamsT, _check, _check_lr

__all__ = ["Adadelta", "adadelta"]


class Adadelta(GroupOptimizer):
    r"""Adadelta: steps in the ratio of the running size of past steps to that of past gradients.

    .. math::
        g &\leftarrow \nabla f(\theta) + \lambda\,\theta \\
        v &\leftarrow \rho\,v + (1 - \rho)\,g^2 \\
        \Delta &\leftarrow \frac{\sqrt{u + \epsilon}}{\sqrt{v + \epsilon}}\;g \\
        u &\leftarrow \rho\,u + (1 - \rho)\,\Delta^2 \\
        \theta &\leftarrow \theta - \gamma\,\Delta

    "ADADELTA: An Adaptive Learning Rate Method" (Zeiler, 2012, arXiv:1212.5701).

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that describe parameter groups.
        lr: factor of each step, a number or a tensor of one element. Default: 1.0.
        rho: decay rate of the running means. Default: 0.9.
        eps: added under both roots. Default: 1e-6.
        weight_decay: L2 penalty. Default: 0.
        foreach: accepted; there is one implementation.
        capturable: keep the step count beside the parameters; for accelerators only. Default: ``False``.
        maximize: go up rather than down. Default: ``False``.
        differentiable: let autograd see the step itself. Default: ``False``.
    """

    __module__ = "torch.optim.adadelta"

    _rule = staticmethod(_transforms.adadelta)
    _captured_on_xla = False
    _late_options = {**GroupOptimizer._late_options, "capturable": False}

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        _check_lr(lr)
        _check(0.0 <= rho <= 1.0, "Invalid rho value: {}", rho)
        _check(eps >= 0.0, "Invalid epsilon value: {}", eps)
        _check(weight_decay >= 0.0, "Invalid weight_decay value: {}", weight_decay)
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _begin(self, group, p, memory):
        memory["step"] = counter(group, p, 0.0)
        memory["square_avg"] = zeros_like(p)
        memory["acc_delta"] = zeros_like(p)

    def _buffers(self, group, kind):
        return ("square_avg", "acc_delta"), ("square_avg", "acc_delta")

    def _plan(self, group, number, step):
        rho, weight_decay = group["rho"], group["weight_decay"]
        numbers = (number(group["lr"]), rho, 1 - rho, group["eps"], weight_decay)
        return numbers, (group["maximize"], weight_decay != 0), (step + 1,)

    def step(self, closure=None):
        """Update the parameters once.

        Args:
            closure: evaluates the model again, computes the gradients and returns the loss.
        """
        return self._run(closure)


def adadelta(
    params: list,
    grads: list,
    square_avgs: list,
    acc_deltas: list,
    state_steps: list,
    capturable: bool = False,
    foreach: bool | None = None,
    differentiable: bool = False,
    has_complex: bool = False,
    *,
    lr: float,
    rho: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
) -> None:
    """One step of `Adadelta` on lists of parameters, gradients and state, in place."""
    run_functional(
        Adadelta, params, grads, {"step": state_steps}, {"square_avg": square_avgs, "acc_delta": acc_deltas},
        differentiable=differentiable, lr=lr, rho=rho, eps=eps, weight_decay=weight_decay, maximize=maximize,
    )  # fmt: skip
