"""Adamax."""

from __future__ import annotations

from typing import Any

from torchlike.optim import _transforms
from torchlike.optim._group import GroupOptimizer, counter, run_functional, zeros_like
from torchlike.optim.optimizer import ParamsT, _check, _check_betas, _check_lr

__all__ = ["Adamax", "adamax"]


class Adamax(GroupOptimizer):
    r"""Adamax: Adam with the infinity norm in place of the second moment.

    .. math::
        g &\leftarrow \nabla f(\theta) + \lambda\,\theta \\
        m &\leftarrow \beta_1 m + (1 - \beta_1)\,g \\
        u &\leftarrow \max(\beta_2 u,\ |g| + \epsilon) \\
        \theta &\leftarrow \theta - \frac{\gamma}{1 - \beta_1^t}\;\frac{m}{u}

    "Adam: A Method for Stochastic Optimization" (Kingma and Ba, 2015, arXiv:1412.6980), section 7.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that describe parameter groups.
        lr: learning rate, a number or a tensor of one element. Default: 2e-3.
        betas: decay rates of the running mean and of the norm. Default: (0.9, 0.999).
        eps: added to the gradient's size. Default: 1e-8.
        weight_decay: L2 penalty. Default: 0.
        foreach: accepted; there is one implementation.
        maximize: go up rather than down. Default: ``False``.
        differentiable: let autograd see the step itself. Default: ``False``.
        capturable: keep the step count beside the parameters; for accelerators only. Default: ``False``.
    """

    __module__ = "torch.optim.adamax"

    _rule = staticmethod(_transforms.adamax)
    _late_options = {**GroupOptimizer._late_options, "capturable": False}

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        _check_lr(lr)
        _check(eps >= 0.0, "Invalid epsilon value: {}", eps)
        _check_betas(betas)
        _check(weight_decay >= 0.0, "Invalid weight_decay value: {}", weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _begin(self, group, p, memory):
        memory["step"] = counter(group, p, 0.0)
        memory["exp_avg"] = zeros_like(p)
        memory["exp_inf"] = zeros_like(p)

    def _buffers(self, group, kind):
        return ("exp_avg", "exp_inf"), ("exp_avg", "exp_inf")

    def _plan(self, group, number, step):
        beta1, beta2 = group["betas"]
        weight_decay = group["weight_decay"]
        step = step + 1
        step_size = number(group["lr"]) / (1 - beta1 ** float(step))
        numbers = (step_size, beta2, 1 - beta1, group["eps"], weight_decay)
        return numbers, (group["maximize"], weight_decay != 0, 1 - beta1 < 0.5), (step,)

    def step(self, closure=None):
        """Update the parameters once.

        Args:
            closure: evaluates the model again, computes the gradients and returns the loss.
        """
        return self._run(closure)


def adamax(
    params: list,
    grads: list,
    exp_avgs: list,
    exp_infs: list,
    state_steps: list,
    foreach: bool | None = None,
    maximize: bool = False,
    differentiable: bool = False,
    capturable: bool = False,
    has_complex: bool = False,
    *,
    eps: float,
    beta1: float,
    beta2: float,
    lr: float,
    weight_decay: float,
) -> None:
    """One step of `Adamax` on lists of parameters, gradients and state, in place."""
    run_functional(
        Adamax, params, grads, {"step": state_steps}, {"exp_avg": exp_avgs, "exp_inf": exp_infs},
        differentiable=differentiable, maximize=maximize, eps=eps, betas=(beta1, beta2), lr=lr,
        weight_decay=weight_decay,
    )  # fmt: skip
