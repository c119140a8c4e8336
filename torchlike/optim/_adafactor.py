"""Adafactor."""

from __future__ import annotations

from typing import Any

import torchlike as torch
from torchlike._tensor.tensor import Tensor
from torchlike.optim import _transforms
from torchlike.optim._group import GroupOptimizer, counter, run_functional, zeros_like
from torchlike.optim.optimizer import ParamsT, _check, _check_lr

__all__ = ["Adafactor", "adafactor"]


class Adafactor(GroupOptimizer):
    r"""Adafactor: the second moment of a matrix is kept as its row and column means.

    .. math::
        \beta_t &= 1 - t^\tau, \qquad \rho_t = \min(\gamma,\ 1/\sqrt t), \qquad
        \alpha_t = \max(\epsilon_2,\ \mathrm{RMS}(\theta))\,\rho_t \\
        \theta &\leftarrow (1 - \gamma\lambda)\,\theta \\
        R &\leftarrow \beta_t R + (1 - \beta_t)\,\mathrm{mean}_{-1}(g^2), \qquad
        C \leftarrow \beta_t C + (1 - \beta_t)\,\mathrm{mean}_{-2}(g^2) \\
        V &= \frac{R\,C}{\max(\mathrm{mean}(R),\ \epsilon_1)}
            \qquad \text{(of a vector: } V \leftarrow \beta_t V + (1 - \beta_t)\,g^2 \text{)} \\
        U &= \frac{g}{\max(\sqrt V,\ \epsilon_1)}, \qquad
        \theta \leftarrow \theta - \frac{\alpha_t}{\max(1,\ \mathrm{RMS}(U)/d)}\;U

    "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost" (Shazeer and Stern, 2018, arXiv:1804.04235). Here
    :math:`\epsilon_1` bounds the estimate rather than being added to the squared gradients.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that describe parameter groups.
        lr: bound of the relative step size, a number or a tensor of one element. Default: 1e-2.
        beta2_decay: the power :math:`\tau`. Default: -0.8.
        eps: :math:`\epsilon_1` (None for the dtype's machine epsilon) and :math:`\epsilon_2`. Default: (None, 1e-3).
        d: the largest root mean square of an update. Default: 1.0.
        weight_decay: weight decay, apart from the gradient. Default: 0.0.
        foreach: accepted; there is one implementation.
        maximize: go up rather than down. Default: ``False``.
    """

    __module__ = "torch.optim"

    _rule = staticmethod(_transforms.adafactor)
    _late_options = {"foreach": None}

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        _check_lr(lr, "Learning rate should be >= 0 but is: {}")
        _check(beta2_decay <= 0.0, "beta2_decay should be <= 0 but is: {}", beta2_decay)
        _check(eps[0] is None or eps[0] >= 0.0, "epsilon1 should be >= 0 but is: {}", eps[0])
        _check(eps[1] >= 0.0, "epsilon2 should be >= 0 but is: {}", eps[1])
        _check(d >= 1.0, "Clipping threshold d should be >= 1 but is: {}", d)
        _check(weight_decay >= 0.0, "weight_decay should be >= 0 but is: {}", weight_decay)
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _begin(self, group, p, memory):
        if p.is_complex():
            raise RuntimeError("Adafactor does not support complex parameters")
        grad = p.grad
        memory["step"] = counter(group, p, 0.0)
        if grad.dim() > 1:
            shape = list(grad.shape)
            memory["row_var"] = grad.new_zeros([*shape[:-1], 1])
            memory["col_var"] = grad.new_zeros([*shape[:-2], 1, shape[-1]])
        else:
            memory["variance"] = zeros_like(grad)

    def _kind(self, memory):
        return "variance" in memory

    def _buffers(self, group, kind):
        buffers = ("variance",) if kind else ("row_var", "col_var")
        return buffers, buffers

    def _plan(self, group, number, step):
        lr, weight_decay = number(group["lr"]), group["weight_decay"]
        (eps1, eps2), step = group["eps"], step + 1
        t = float(step)
        complement = t ** group["beta2_decay"]
        if eps1 is None:
            eps1 = torch.finfo(group["params"][0].dtype).eps
        numbers = (complement, min(lr, 1 / t**0.5), eps1, eps2, group["d"], 1 - lr * weight_decay)
        return numbers, (group["maximize"], weight_decay != 0, complement < 0.5), (step,)

    def step(self, closure=None):
        """Update the parameters once.

        Args:
            closure: evaluates the model again, computes the gradients and returns the loss.
        """
        return self._run(closure)


def adafactor(
    params: list,
    grads: list,
    row_vars: list,
    col_vars: list,
    variances: list,
    state_steps: list,
    foreach: bool | None = None,
    grad_scale: Any = None,
    found_inf: Any = None,
    has_complex: bool = False,
    *,
    d: float,
    lr: Any,
    beta2_decay: float,
    weight_decay: float,
    eps1: float,
    eps2: float,
    maximize: bool,
) -> None:
    """One step of `Adafactor` on lists of parameters, gradients and state, in place."""
    if not all(isinstance(t, Tensor) for t in state_steps):
        raise RuntimeError("`state_steps` argument must contain a list of singleton tensors")
    run_functional(
        Adafactor, params, grads, {"step": state_steps},
        {"row_var": row_vars, "col_var": col_vars, "variance": variances}, d=d, lr=lr, beta2_decay=beta2_decay,
        weight_decay=weight_decay, eps=(eps1, eps2), maximize=maximize,
    )  # fmt: skip
