"""NAdam."""

from __future__ import annotations

from typing import Any

from torchlike.optim import _transforms
from torchlike.optim._group import GroupOptimizer, counter, run_functional, zeros_like
from torchlike.optim.optimizer import ParamsT, _check, _check_betas, _check_lr

__all__ = ["NAdam", "nadam"]


class NAdam(GroupOptimizer):
    r"""NAdam: Adam with Nesterov momentum, whose factor :math:`\mu_t` rises towards :math:`\beta_1`.

    .. math::
        g &\leftarrow \nabla f(\theta) + \lambda\,\theta \\
        \mu_t &= \beta_1 \big(1 - \tfrac{1}{2}\,0.96^{t\psi}\big), \qquad M_t = \textstyle\prod_{i \le t} \mu_i \\
        m &\leftarrow \beta_1 m + (1 - \beta_1)\,g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\,g^2 \\
        \theta &\leftarrow \theta - \gamma\,\frac{\mu_{t+1}\,m / (1 - M_{t+1}) + (1 - \mu_t)\,g / (1 - M_t)}
            {\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    with the momentum decay :math:`\psi`.

    "Incorporating Nesterov Momentum into Adam" (Dozat, 2016).

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that describe parameter groups.
        lr: learning rate, a number or a tensor of one element. Default: 2e-3.
        betas: decay rates of the two running means. Default: (0.9, 0.999).
        eps: added to the denominator. Default: 1e-8.
        weight_decay: L2 penalty. Default: 0.
        momentum_decay: momentum decay. Default: 4e-3.
        decoupled_weight_decay: decay the parameters apart from the gradient, as `AdamW`. Default: ``False``.
        foreach: accepted; there is one implementation.
        maximize: go up rather than down. Default: ``False``.
        capturable: keep the counters beside the parameters; for accelerators only. Default: ``False``.
        differentiable: let autograd see the step itself. Default: ``False``.
    """

    __module__ = "torch.optim.nadam"

    _rule = staticmethod(_transforms.nadam)
    _counters = ("step", "mu_product")
    _captured = "params, mu_products and state_steps"
    _late_options = {**GroupOptimizer._late_options, "capturable": False, "decoupled_weight_decay": False}

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
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
        _check(momentum_decay >= 0.0, "Invalid momentum_decay value: {}", momentum_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _begin(self, group, p, memory):
        memory["step"] = counter(group, p, 0.0)
        memory["mu_product"] = counter(group, p, 1.0)
        memory["exp_avg"] = zeros_like(p)
        memory["exp_avg_sq"] = zeros_like(p)

    def _buffers(self, group, kind):
        return ("exp_avg", "exp_avg_sq"), ("exp_avg", "exp_avg_sq")

    def _plan(self, group, number, step, mu_product):
        lr, weight_decay, decoupled = number(group["lr"]), group["weight_decay"], group["decoupled_weight_decay"]
        (beta1, beta2), psi = group["betas"], group["momentum_decay"]
        step = step + 1
        t = float(step)
        mu = beta1 * (1.0 - 0.5 * 0.96 ** (t * psi))
        mu_next = beta1 * (1.0 - 0.5 * 0.96 ** ((t + 1) * psi))
        mu_product = mu_product * mu_product.dtype.type(mu)
        product = float(mu_product)
        decays = weight_decay != 0
        numbers = (
            -lr * (1.0 - mu) / (1.0 - product), -lr * mu_next / (1.0 - product * mu_next), beta2, 1 - beta1, 1 - beta2,
            1 - beta2**t, group["eps"], 1 - lr * weight_decay if decoupled else weight_decay,
        )  # fmt: skip
        options = (group["maximize"], decays and not decoupled, decays and decoupled, 1 - beta1 < 0.5)
        return numbers, options, (step, mu_product)

    def step(self, closure=None):
        """Update the parameters once.

        Args:
            closure: evaluates the model again, computes the gradients and returns the loss.
        """
        return self._run(closure)


def nadam(
    params: list,
    grads: list,
    exp_avgs: list,
    exp_avg_sqs: list,
    mu_products: list,
    state_steps: list,
    decoupled_weight_decay: bool = False,
    foreach: bool | None = None,
    capturable: bool = False,
    differentiable: bool = False,
    has_complex: bool = False,
    maximize: bool = False,
    *,
    beta1: float,
    beta2: float,
    lr: float,
    weight_decay: float,
    momentum_decay: float,
    eps: float,
) -> None:
    """One step of `NAdam` on lists of parameters, gradients and state, in place."""
    run_functional(
        NAdam, params, grads, {"step": state_steps, "mu_product": mu_products},
        {"exp_avg": exp_avgs, "exp_avg_sq": exp_avg_sqs}, decoupled_weight_decay=decoupled_weight_decay,
        differentiable=differentiable, maximize=maximize, betas=(beta1, beta2), lr=lr, weight_decay=weight_decay,
        momentum_decay=momentum_decay, eps=eps,
    )  # fmt: skip
