"""RAdam."""

from __future__ import annotations

from typing import Any

from torchlike.optim import _transforms
from torchlike.optim._group import GroupOptimizer, counter, run_functional, zeros_like
from torchlike.optim.optimizer import ParamsT, _check, _check_betas, _check_lr

__all__ = ["RAdam", "radam"]


class RAdam(GroupOptimizer):
    r"""RAdam: Adam that waits with its denominator until the second moment's variance is known, and rectifies it.

    .. math::
        g &\leftarrow \nabla f(\theta) + \lambda\,\theta \\
        m &\leftarrow \beta_1 m + (1 - \beta_1)\,g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\,g^2 \\
        \rho_\infty &= \frac{2}{1 - \beta_2} - 1, \qquad
        \rho_t = \rho_\infty - \frac{2 t \beta_2^t}{1 - \beta_2^t} \\
        \theta &\leftarrow \theta - \gamma\,\frac{m}{1 - \beta_1^t}
            \begin{cases}
                \sqrt{\frac{(\rho_t - 4)(\rho_t - 2)\rho_\infty}{(\rho_\infty - 4)(\rho_\infty - 2)\rho_t}}\;
                \frac{\sqrt{1 - \beta_2^t}}{\sqrt{v} + \epsilon} & \rho_t > 5 \\
                1 & \text{else}
            \end{cases}

    "On the Variance of the Adaptive Learning Rate and Beyond" (Liu et al., 2020, arXiv:1908.03265).

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that describe parameter groups.
        lr: learning rate, a number or a tensor of one element. Default: 1e-3.
        betas: decay rates of the two running means. Default: (0.9, 0.999).
        eps: added to the denominator. Default: 1e-8.
        weight_decay: L2 penalty. Default: 0.
        decoupled_weight_decay: decay the parameters apart from the gradient, as `AdamW`. Default: ``False``.
        foreach: accepted; there is one implementation.
        maximize: go up rather than down. Default: ``False``.
        capturable: keep the step count beside the parameters; for accelerators only. Default: ``False``.
        differentiable: let autograd see the step itself. Default: ``False``.
    """

    __module__ = "torch.optim.radam"

    _rule = staticmethod(_transforms.radam)
    _late_options = {**GroupOptimizer._late_options, "decoupled_weight_decay": False, "capturable": False}

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
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
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _begin(self, group, p, memory):
        memory["step"] = counter(group, p, 0.0)
        memory["exp_avg"] = zeros_like(p)
        memory["exp_avg_sq"] = zeros_like(p)

    def _buffers(self, group, kind):
        return ("exp_avg", "exp_avg_sq"), ("exp_avg", "exp_avg_sq")

    def _plan(self, group, number, step):
        lr, weight_decay, decoupled = number(group["lr"]), group["weight_decay"], group["decoupled_weight_decay"]
        beta1, beta2 = group["betas"]
        step = step + 1
        t = float(step)
        correction1, correction2 = 1 - beta1**t, 1 - beta2**t
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * t * beta2**t / correction2
        tractable, rectification = length > 5.0, 1.0
        if tractable:
            ratio = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
            rectification = ratio**0.5
        decays = weight_decay != 0
        numbers = (
            lr, rectification, beta2, 1 - beta1, 1 - beta2, correction1, correction2**0.5, group["eps"],
            1 - lr * weight_decay if decoupled else weight_decay,
        )  # fmt: skip
        options = (group["maximize"], decays and not decoupled, decays and decoupled, 1 - beta1 < 0.5, tractable)
        return numbers, options, (step,)

    def step(self, closure=None):
        """Update the parameters once.

        Args:
            closure: evaluates the model again, computes the gradients and returns the loss.
        """
        return self._run(closure)


def radam(
    params: list,
    grads: list,
    exp_avgs: list,
    exp_avg_sqs: list,
    state_steps: list,
    decoupled_weight_decay: bool = False,
    foreach: bool | None = None,
    differentiable: bool = False,
    capturable: bool = False,
    has_complex: bool = False,
    maximize: bool = False,
    *,
    beta1: float,
    beta2: float,
    lr: float,
    weight_decay: float,
    eps: float,
) -> None:
    """One step of `RAdam` on lists of parameters, gradients and state, in place."""
    run_functional(
        RAdam, params, grads, {"step": state_steps}, {"exp_avg": exp_avgs, "exp_avg_sq": exp_avg_sqs},
        decoupled_weight_decay=decoupled_weight_decay, differentiable=differentiable, maximize=maximize,
        betas=(beta1, beta2), lr=lr, weight_decay=weight_decay, eps=eps,
    )  # fmt: skip
