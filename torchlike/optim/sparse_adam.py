"""Adam for sparse gradients."""

from __future__ import annotations

import math
from typing import Any

import torchlike as torch
from torchlike.optim.optimizer import Optimizer, ParamsT, _check, _check_betas, _check_one_element, _get_value

__all__ = ["SparseAdam"]


class SparseAdam(Optimizer):
    r"""Adam that only moves, and only remembers, the elements that a sparse gradient names.

    For these elements, and the others as if their gradient did not exist rather than zero:

    .. math::
        m \leftarrow m + (1 - \beta_1)(g - m), \qquad v \leftarrow v + (1 - \beta_2)(g^2 - v), \qquad
        \theta \leftarrow \theta - \gamma\,\frac{\sqrt{1 - \beta_2^t}}{1 - \beta_1^t}\;\frac{m}{\sqrt v + \epsilon}

    The parameters themselves are dense.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that describe parameter groups.
        lr: learning rate, a number or a tensor of one element. Default: 1e-3.
        betas: decay rates of the two running means. Default: (0.9, 0.999).
        eps: added to the denominator. Default: 1e-8.
        maximize: go up rather than down. Default: ``False``.
    """

    __module__ = "torch.optim.sparse_adam"

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        _check_one_element(lr)
        _check(lr > 0.0, "Invalid learning rate: {}", lr)
        _check(eps > 0.0, "Invalid epsilon value: {}", eps)
        _check_betas(betas)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})
        places = [(i, j, p) for i, group in enumerate(self.param_groups) for j, p in enumerate(group["params"])]
        sparse = [[i, j] for i, j, p in places if p.is_sparse]
        if sparse:
            raise ValueError(f"Sparse params at indices {sparse}: SparseAdam requires dense parameter tensors")
        complex_params = [[i, j] for i, j, p in places if p.is_complex()]
        if complex_params:
            raise ValueError(
                f"Complex params at indices {complex_params}: SparseAdam does not support complex parameters"
            )

    def step(self, closure=None):
        """Update the parameters once.

        Args:
            closure: evaluates the model again, computes the gradients and returns the loss.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        self._step_one(group, p, p.grad)
        return loss

    def _step_one(self, group: dict[str, Any], p: Any, grad: Any) -> None:
        if not grad.is_sparse:
            raise RuntimeError("SparseAdam does not support dense gradients, please consider Adam instead")
        memory = self.state[p]
        if not memory:
            memory["step"] = 0
            for name in ("exp_avg", "exp_avg_sq"):
                memory[name] = torch.zeros_like(p, memory_format=torch.preserve_format)
        memory["step"] += 1
        beta1, beta2 = group["betas"]
        sparse_adam(
            [p], [grad], [memory["exp_avg"]], [memory["exp_avg_sq"]], [memory["step"]], eps=group["eps"], beta1=beta1,
            beta2=beta2, lr=group["lr"], maximize=group.get("maximize", False),
        )  # fmt: skip


def sparse_adam(
    params: list,
    grads: list,
    exp_avgs: list,
    exp_avg_sqs: list,
    state_steps: list[int],
    *,
    eps: float,
    beta1: float,
    beta2: float,
    lr: Any,
    maximize: bool,
) -> None:
    """One step of `SparseAdam` on lists of parameters, gradients and state, in place."""
    for param, grad, exp_avg, exp_avg_sq, t in zip(params, grads, exp_avgs, exp_avg_sqs, state_steps, strict=True):
        grad = (-grad if maximize else grad).coalesce()  # each element once: the step is not linear in the gradient
        where, values = tuple(grad._indices()), grad._values()
        if values.numel() == 0:
            continue
        mean, square = exp_avg[where], exp_avg_sq[where]
        mean = mean + (values - mean) * (1 - beta1)
        square = square + (values.pow(2) - square) * (1 - beta2)
        exp_avg[where] = mean
        exp_avg_sq[where] = square
        step_size = _get_value(lr) * math.sqrt(1 - beta2**t) / (1 - beta1**t)
        param[where] += -step_size * (mean / square.sqrt().add_(eps))
