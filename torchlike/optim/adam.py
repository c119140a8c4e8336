"""Adam."""

from __future__ import annotations

from typing import Any

from torchlike._tensor.tensor import Tensor
from torchlike.optim import _transforms
from torchlike.optim._group import GroupOptimizer, counter, run_functional, zeros_like
from torchlike.optim.optimizer import ParamsT, _check, _check_betas, _check_one_element, _fused_flags, _to_scalar

__all__ = ["Adam", "adam"]

TENSOR_WITH_FOREACH = "{} as a Tensor is not supported for capturable=False and foreach=True"


class Adam(GroupOptimizer):
    r"""Adam: steps in the ratio of the gradient's running mean to its running root mean square.

    .. math::
        g &\leftarrow \nabla f(\theta) + \lambda\,\theta \\
        m &\leftarrow \beta_1 m + (1 - \beta_1)\,g \\
        v &\leftarrow \beta_2 v + (1 - \beta_2)\,g^2 \\
        \theta &\leftarrow \theta - \frac{\gamma}{1 - \beta_1^t}\;
            \frac{m}{\sqrt{v} \,/ \sqrt{1 - \beta_2^t} + \epsilon}

    With ``amsgrad`` the largest :math:`v` so far takes the place of :math:`v` in the last line. With
    ``decoupled_weight_decay`` (AdamW) the penalty leaves the gradient alone: first
    :math:`\theta \leftarrow (1 - \gamma\lambda)\,\theta`.

    "Adam: A Method for Stochastic Optimization" (Kingma and Ba, 2015, arXiv:1412.6980); amsgrad: "On the Convergence of
    Adam and Beyond" (Reddi et al., 2018).

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that describe parameter groups.
        lr: learning rate, a number or a tensor of one element. Default: 1e-3.
        betas: decay rates of the two running means, both numbers or both tensors of one element.
            Default: (0.9, 0.999).
        eps: added to the denominator. Default: 1e-8.
        weight_decay: L2 penalty. Default: 0.
        amsgrad: use the largest second moment so far. Default: ``False``.
        foreach, fused: accepted; there is one implementation, which is fused.
        maximize: go up rather than down. Default: ``False``.
        capturable: keep the step count beside the parameters; for accelerators only. Default: ``False``.
        differentiable: let autograd see the step itself. Default: ``False``.
        decoupled_weight_decay: decay the parameters apart from the gradient. Default: ``False``.

    >>> import torchlike as torch
    >>> w = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    >>> optimizer = torch.optim.Adam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data
    tensor([0.9000, 1.9000])
    """

    __module__ = "torch.optim.adam"

    _rule = staticmethod(_transforms.adam)
    _late_options = {
        "amsgrad": False,
        **GroupOptimizer._late_options,
        "capturable": False,
        "decoupled_weight_decay": False,
        "fused": None,
    }

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-3,
        betas: tuple[Any, Any] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        if isinstance(lr, Tensor) and foreach and not capturable:
            raise ValueError(TENSOR_WITH_FOREACH.format("lr"))
        _check_one_element(lr)
        _check(lr >= 0.0, "Invalid learning rate: {}", lr)
        _check(eps >= 0.0, "Invalid epsilon value: {}", eps)
        _check_betas(betas)
        _check(weight_decay >= 0.0, "Invalid weight_decay value: {}", weight_decay)
        if not any(all(isinstance(beta, kind) for beta in betas[:2]) for kind in (float, Tensor)):
            raise ValueError("betas must be either both floats or both Tensors")
        for i, beta in enumerate(betas[:2]):
            if isinstance(beta, Tensor) and foreach and not capturable:
                raise ValueError(TENSOR_WITH_FOREACH.format(f"betas[{i}]"))
            _check_one_element(beta, f"betas[{i}]")
        defaults = {
            "lr": lr,
            "betas": tuple(map(_to_scalar, betas)),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)
        _fused_flags(self, fused, foreach, differentiable)

    def _begin(self, group, p, memory):
        memory["step"] = counter(group, p, 0.0)
        memory["exp_avg"] = zeros_like(p)
        memory["exp_avg_sq"] = zeros_like(p)
        if group["amsgrad"]:
            memory["max_exp_avg_sq"] = zeros_like(p)

    def _buffers(self, group, kind):
        buffers = ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if group["amsgrad"] else ()))
        return buffers, buffers

    def _plan(self, group, number, step):
        lr, weight_decay, decoupled = number(group["lr"]), group["weight_decay"], group["decoupled_weight_decay"]
        if group.get("foreach") and isinstance(group["lr"], Tensor) and not group["capturable"]:
            raise RuntimeError(TENSOR_WITH_FOREACH.format("lr"))
        beta1, beta2 = map(number, group["betas"])
        step = step + 1
        t = float(step)
        decays = bool(weight_decay != 0)
        numbers = (
            lr / (1 - beta1**t), beta2, 1 - beta1, 1 - beta2, (1 - beta2**t) ** 0.5, group["eps"],
            1 - lr * weight_decay if decoupled else weight_decay,
        )  # fmt: skip
        options = (group["maximize"], decays and not decoupled, decays and decoupled, bool(1 - beta1 < 0.5))
        return numbers, options, (step,)

    def _on_sparse(self, group, p, grad):
        raise RuntimeError("Adam does not support sparse gradients, please consider SparseAdam instead")

    def step(self, closure=None):
        """Update the parameters once.

        Args:
            closure: evaluates the model again, computes the gradients and returns the loss.
        """
        return self._run(closure)


def adam(
    params: list,
    grads: list,
    exp_avgs: list,
    exp_avg_sqs: list,
    max_exp_avg_sqs: list,
    state_steps: list,
    foreach: bool | None = None,
    capturable: bool = False,
    differentiable: bool = False,
    fused: bool | None = None,
    grad_scale: Any = None,
    found_inf: Any = None,
    has_complex: bool = False,
    decoupled_weight_decay: bool = False,
    *,
    amsgrad: bool,
    beta1: Any,
    beta2: Any,
    lr: Any,
    weight_decay: float,
    eps: float,
    maximize: bool,
) -> None:
    """One step of `Adam` on lists of parameters, gradients and state, in place."""
    run_functional(
        Adam, params, grads, {"step": state_steps},
        {"exp_avg": exp_avgs, "exp_avg_sq": exp_avg_sqs, "max_exp_avg_sq": max_exp_avg_sqs},
        differentiable=differentiable, amsgrad=amsgrad, betas=(beta1, beta2), lr=lr, weight_decay=weight_decay,
        eps=eps, maximize=maximize, decoupled_weight_decay=decoupled_weight_decay,
    )  # fmt: skip
