"""Rprop."""

from __future__ import annotations

from typing import Any

import torchlike as torch
from torchlike.optim import _transforms
from torchlike.optim._group import GroupOptimizer, counter, run_functional, zeros_like
from torchlike.optim.optimizer import ParamsT, _check_lr, _to_scalar

__all__ = ["Rprop", "rprop"]


class Rprop(GroupOptimizer):
    r"""Rprop: only the gradient's sign counts; each element has a step size of its own.

    .. math::
        \eta &\leftarrow \mathrm{clamp}\big(\eta \cdot
            \begin{cases} \eta_+ & g\,g' > 0 \\ \eta_- & g\,g' < 0 \\ 1 & \text{else} \end{cases},\
            \Gamma_{\min},\ \Gamma_{\max}\big) \\
        g &\leftarrow 0 \quad \text{where } g\,g' < 0 \\
        \theta &\leftarrow \theta - \eta\,\mathrm{sign}(g)

    with the gradient :math:`g'` of the step before. For full batches.

    "A Direct Adaptive Method for Faster Backpropagation Learning: The RPROP Algorithm" (Riedmiller and Braun, 1993).

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that describe parameter groups.
        lr: the first step size, a number or a tensor of one element. Default: 1e-2.
        etas: the factors by which a step size shrinks and grows. Default: (0.5, 1.2).
        step_sizes: the least and the largest step size. Default: (1e-6, 50).
        capturable: keep the step count beside the parameters; for accelerators only. Default: ``False``.
        foreach: accepted; there is one implementation.
        maximize: go up rather than down. Default: ``False``.
        differentiable: let autograd see the step itself. Default: ``False``.
    """

    __module__ = "torch.optim.rprop"

    _rule = staticmethod(_transforms.rprop)
    _late_options = {**GroupOptimizer._late_options, "capturable": False}

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        _check_lr(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _begin(self, group, p, memory):
        lr = group["lr"]
        memory["step"] = counter(group, p, 0.0)
        memory["prev"] = zeros_like(p)
        # Real and imaginary part are stepped as two numbers, each with its own size.
        memory["step_size"] = torch.full_like(p.grad, complex(lr, lr) if p.dtype.is_complex else float(_to_scalar(lr)))

    def _buffers(self, group, kind):
        return ("prev", "step_size"), ("prev", "step_size")

    def _plan(self, group, number, step):
        return (*group["etas"], *group["step_sizes"]), (group["maximize"],), (step + 1,)

    def step(self, closure=None):
        """Update the parameters once.

        Args:
            closure: evaluates the model again, computes the gradients and returns the loss.
        """
        return self._run(closure)


def rprop(
    params: list,
    grads: list,
    prevs: list,
    step_sizes: list,
    state_steps: list,
    foreach: bool | None = None,
    capturable: bool = False,
    maximize: bool = False,
    differentiable: bool = False,
    has_complex: bool = False,
    *,
    step_size_min: float,
    step_size_max: float,
    etaminus: float,
    etaplus: float,
) -> None:
    """One step of `Rprop` on lists of parameters, gradients and state, in place."""
    run_functional(
        Rprop, params, grads, {"step": state_steps}, {"prev": prevs, "step_size": step_sizes},
        differentiable=differentiable, maximize=maximize, etas=(etaminus, etaplus),
        step_sizes=(step_size_min, step_size_max),
    )  # fmt: skip
