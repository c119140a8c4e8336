"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

import torchlike as torch
from torchlike.optim import _transforms
from torchlike.optim._group import GroupOptimizer, run_functional
from torchlike.optim.optimizer import ParamsT, _check, _check_one_element, _fused_flags

__all__ = ["SGD", "sgd"]


class SGD(GroupOptimizer):
    r"""Stochastic gradient descent, optionally with momentum.

    .. math::
        g &\leftarrow \nabla f(\theta) + \lambda\,\theta \\
        b &\leftarrow \mu\,b + (1 - \tau)\,g \qquad \text{(at first } b \leftarrow g \text{)} \\
        \theta &\leftarrow \theta - \gamma\,b
            \qquad \text{(Nesterov: } \theta \leftarrow \theta - \gamma\,(g + \mu\,b) \text{)}

    with the learning rate :math:`\gamma`, momentum :math:`\mu`, dampening :math:`\tau`, weight decay :math:`\lambda`.
    The learning rate multiplies the momentum when it is used, not when it is gathered, so that a new rate acts at once.

    Nesterov's form: "On the importance of initialization and momentum in deep learning" (Sutskever et al., 2013).

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts that describe parameter groups.
        lr: learning rate, a number or a tensor of one element. Default: 1e-3.
        momentum: momentum factor. Default: 0.
        dampening: the part of the gradient that momentum leaves out, from the second step on. Default: 0.
        weight_decay: L2 penalty. Default: 0.
        nesterov: look ahead along the momentum. Default: ``False``.
        maximize: go up rather than down. Default: ``False``.
        foreach, fused: accepted; there is one implementation, which is fused.
        differentiable: let autograd see the step itself. Default: ``False``.

    >>> import torchlike as torch
    >>> w = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    >>> optimizer = torch.optim.SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data
    tensor([0.8000, 1.6000])
    """

    __module__ = "torch.optim.sgd"

    _rule = staticmethod(_transforms.sgd)
    _counters = ()
    _late_options = {**GroupOptimizer._late_options, "nesterov": False, "fused": False}

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: Any = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        _check_one_element(lr)
        _check(not lr < 0.0, "Invalid learning rate: {}", lr)
        _check(not momentum < 0.0, "Invalid momentum value: {}", momentum)
        _check(not weight_decay < 0.0, "Invalid weight_decay value: {}", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        _fused_flags(self, fused, foreach, differentiable)

    def _remembers(self, group):
        return group["momentum"] != 0

    def _kind(self, memory):
        return memory.get("momentum_buffer") is not None

    def _buffers(self, group, kind):
        buffers = ("momentum_buffer",) if group["momentum"] != 0 else ()
        return buffers if kind else (), buffers

    def _plan(self, group, number, *counters):
        momentum, weight_decay = group["momentum"], number(group["weight_decay"])
        numbers = (number(group["lr"]), momentum, 1 - group["dampening"], weight_decay)
        return numbers, (group["maximize"], bool(weight_decay != 0), momentum != 0, group["nesterov"]), ()

    def _on_sparse(self, group, p, grad):
        if group["weight_decay"] != 0:
            raise RuntimeError("add(sparse, dense) is not supported. Use add(dense, sparse) instead.")
        if group["momentum"] != 0:
            return grad.to_dense()
        # Only the rows that the gradient names move.
        with torch.no_grad():
            p.add_(-grad if group["maximize"] else grad, alpha=-float(group["lr"]))
        return None

    def step(self, closure=None):
        """Update the parameters once.

        Args:
            closure: evaluates the model again, computes the gradients and returns the loss.
        """
        return self._run(closure)


def sgd(
    params: list,
    d_p_list: list,
    momentum_buffer_list: list,
    has_sparse_grad: bool = False,
    foreach: bool | None = None,
    fused: bool | None = None,
    grad_scale: Any = None,
    found_inf: Any = None,
    *,
    weight_decay: float,
    momentum: float,
    lr: float,
    dampening: float,
    nesterov: bool,
    maximize: bool,
) -> None:
    """One step of `SGD` on lists of parameters, gradients and momentum buffers, in place."""
    run_functional(
        SGD, params, d_p_list, {}, {"momentum_buffer": momentum_buffer_list}, weight_decay=weight_decay,
        momentum=momentum, lr=lr, dampening=dampening, nesterov=nesterov, maximize=maximize,
    )  # fmt: skip
