"""RMSprop."""

from __future__ import annotations

from typing import Any

from torchlike.optim import _transforms
from torchlike.optim._group import GroupOptimizer, counter, run_functional, zeros_like
from torchlike.optim.optimizer import ParamsT, _check, _check_lr

__all__ = ["RMSprop", "rmsprop"]


class RMSprop(GroupOptimizer):
    r"""RMSprop: the gradient over its running root mean square.

    .. math::
        g &\leftarrow \nabla f(\theta) + \lambda\,\theta \\
        v &\leftarrow \alpha\,v + (1 - \alpha)\,g^2 \\
        d &\leftarrow \frac{g}{\sqrt{v} + \epsilon}
            \qquad \text{(centered: } \sqrt{v - m^2},\ m \leftarrow \alpha\,m + (1 - \alpha)\,g\text{)} \\
        \theta &\leftarrow \theta - \gamma\,d
            \qquad \text{(momentum: } \theta \leftarrow \theta - \gamma\,b,\ b \leftarrow \mu\,b + d\text{)}

    The root is taken before :math:`\epsilon` is added.

    Hinton's lecture 6e of "Neural Networks for Machine Learning" (2012); centered: "Generating Sequences With Recurrent
    Neural Networks" (Graves, 2013, arXiv:1308.0850).

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that describe parameter groups.
        lr: learning rate, a number or a tensor of one element. Default: 1e-2.
        alpha: decay rate of the running mean. Default: 0.99.
        eps: added to the denominator. Default: 1e-8.
        weight_decay: L2 penalty. Default: 0.
        momentum: momentum factor. Default: 0.
        centered: divide by the standard deviation rather than by the root mean square. Default: ``False``.
        capturable: keep the step count beside the parameters; for accelerators only. Default: ``False``.
        foreach: accepted; there is one implementation.
        maximize: go up rather than down. Default: ``False``.
        differentiable: let autograd see the step itself. Default: ``False``.
    """

    __module__ = "torch.optim.rmsprop"

    _rule = staticmethod(_transforms.rmsprop)
    _late_options = {"momentum": 0, "centered": False, **GroupOptimizer._late_options, "capturable": False}

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        _check_lr(lr)
        _check(eps >= 0.0, "Invalid epsilon value: {}", eps)
        _check(momentum >= 0.0, "Invalid momentum value: {}", momentum)
        _check(weight_decay >= 0.0, "Invalid weight_decay value: {}", weight_decay)
        _check(alpha >= 0.0, "Invalid alpha value: {}", alpha)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _begin(self, group, p, memory):
        memory["step"] = counter(group, p, 0.0)
        for name in self._buffers(group, None)[0]:
            memory[name] = zeros_like(p)

    def _buffers(self, group, kind):
        buffers = ["square_avg"]
        if group["momentum"] > 0:
            buffers.append("momentum_buffer")
        if group["centered"]:
            buffers.append("grad_avg")
        return tuple(buffers), tuple(buffers)

    def _plan(self, group, number, step):
        alpha, momentum, weight_decay = group["alpha"], group["momentum"], group["weight_decay"]
        numbers = (number(group["lr"]), alpha, 1 - alpha, group["eps"], momentum, weight_decay)
        options = (group["maximize"], weight_decay != 0, momentum > 0, group["centered"], 1 - alpha < 0.5)
        return numbers, options, (step + 1,)

    def step(self, closure=None):
        """Update the parameters once.

        Args:
            closure: evaluates the model again, computes the gradients and returns the loss.
        """
        return self._run(closure)


def rmsprop(
    params: list,
    grads: list,
    square_avgs: list,
    grad_avgs: list,
    momentum_buffer_list: list,
    state_steps: list,
    foreach: bool | None = None,
    maximize: bool = False,
    differentiable: bool = False,
    capturable: bool = False,
    has_complex: bool = False,
    *,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
    centered: bool,
) -> None:
    """One step of `RMSprop` on lists of parameters, gradients and state, in place."""
    run_functional(
        RMSprop, params, grads, {"step": state_steps},
        {"square_avg": square_avgs, "grad_avg": grad_avgs, "momentum_buffer": momentum_buffer_list},
        differentiable=differentiable, maximize=maximize, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay,
        momentum=momentum, centered=centered,
    )  # fmt: skip
