"""Averaged stochastic gradient descent."""

from __future__ import annotations

from typing import Any

import torchlike as torch
from torchlike.optim import _transforms
from torchlike.optim._group import GroupOptimizer, run_functional, zeros_like
from torchlike.optim.optimizer import ParamsT, _check, _check_lr, _get_scalar_dtype, _get_value

__all__ = ["ASGD", "asgd"]


class ASGD(GroupOptimizer):
    r"""Gradient descent that also averages the points it went through, in ``state[p]["ax"]``.

    .. math::
        g &\leftarrow \nabla f(\theta) + \lambda'\,\theta \\
        \theta &\leftarrow (1 - \lambda\,\eta_t)\,\theta - \eta_t\,g,
            \qquad \eta_t = \frac{\gamma}{(1 + \lambda\gamma t)^\alpha} \\
        \bar\theta &\leftarrow \bar\theta + \mu_t\,(\theta - \bar\theta),
            \qquad \mu_t = \frac{1}{\max(1,\ t - t_0)}

    "Acceleration of Stochastic Approximation by Averaging" (Polyak and Juditsky, 1992).

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that describe parameter groups.
        lr: learning rate, a number or a tensor of one element. Default: 1e-2.
        lambd: decay :math:`\lambda`. Default: 1e-4.
        alpha: power of the learning rate's decay. Default: 0.75.
        t0: the step at which averaging starts. Default: 1e6.
        weight_decay: L2 penalty :math:`\lambda'`. Default: 0.
        foreach: accepted; there is one implementation.
        maximize: go up rather than down. Default: ``False``.
        differentiable: let autograd see the step itself. Default: ``False``.
        capturable: for accelerators only. Default: ``False``.
    """

    __module__ = "torch.optim.asgd"

    _rule = staticmethod(_transforms.asgd)
    _counters = ("step", "eta", "mu")
    _captured = "params, mus, etas, and state_steps"
    _late_options = {**GroupOptimizer._late_options, "capturable": False}

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        _check_lr(lr)
        _check(weight_decay >= 0.0, "Invalid weight_decay value: {}", weight_decay)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _begin(self, group, p, memory):
        for name, start in (("step", 0.0), ("eta", float(_get_value(group["lr"]))), ("mu", 1.0)):
            memory[name] = torch.tensor(start, dtype=_get_scalar_dtype(), device=p.device)
        memory["ax"] = zeros_like(p)

    def _buffers(self, group, kind):
        return ("ax",), ("ax",)

    def _plan(self, group, number, step, eta, mu):
        lr, lambd, weight_decay = number(group["lr"]), group["lambd"], group["weight_decay"]
        step = step + 1
        t, rate = float(step), float(eta)
        numbers = (rate, 1 - lambd * rate, float(mu), weight_decay)
        next_eta = _get_value(lr / (1 + lambd * lr * t) ** group["alpha"])
        next_mu = 1 / max(1, t - group["t0"])
        return numbers, (group["maximize"], weight_decay != 0, bool(mu != 1)), (step, next_eta, next_mu)

    def step(self, closure=None):
        """Update the parameters once.

        Args:
            closure: evaluates the model again, computes the gradients and returns the loss.
        """
        return self._run(closure)


def asgd(
    params: list,
    grads: list,
    axs: list,
    mus: list,
    etas: list,
    state_steps: list,
    foreach: bool | None = None,
    maximize: bool = False,
    differentiable: bool = False,
    capturable: bool = False,
    has_complex: bool = False,
    *,
    lambd: float,
    lr: float,
    t0: float,
    alpha: float,
    weight_decay: float,
) -> None:
    """One step of `ASGD` on lists of parameters, gradients and state, in place."""
    run_functional(
        ASGD, params, grads, {"step": state_steps, "eta": etas, "mu": mus}, {"ax": axs}, maximize=maximize,
        differentiable=differentiable, lambd=lambd, lr=lr, t0=t0, alpha=alpha, weight_decay=weight_decay,
    )  # fmt: skip
