"""Muon."""

from __future__ import annotations

from torchlike.optim import _transforms
from torchlike.optim._group import GroupOptimizer, run_functional, zeros_like
from torchlike.optim.optimizer import ParamsT, _check, _check_lr

__all__ = ["Muon"]

EPS = 1e-7
DEFAULT_A = 3.4445
DEFAULT_B = -4.7750
DEFAULT_C = 2.0315
DEFAULT_NS_STEPS = 5

_ADJUSTMENTS = ["original", "match_rms_adamw"]


class Muon(GroupOptimizer):
    r"""Muon: momentum, orthogonalized, for the matrices of hidden layers.

    .. math::
        b &\leftarrow \mu\,b + (1 - \mu)\,g, \qquad
        u \leftarrow b \quad \text{(Nesterov: } u \leftarrow (1 - \mu)\,g + \mu\,b \text{)} \\
        \theta &\leftarrow (1 - \gamma\lambda)\,\theta - c\,\gamma\,O(u)

    where :math:`O(u)` is near :math:`U V^T` of the singular value decomposition :math:`u = U S V^T`, found by
    ``ns_steps`` steps of :math:`X \leftarrow a X + b\,(X X^T) X + c\,(X X^T)^2 X`, and the factor :math:`c` follows the
    shape :math:`A \times B`: :math:`\sqrt{\max(1, A/B)}`, or :math:`0.2\sqrt{\max(A, B)}` with ``"match_rms_adamw"``.
    Biases, embeddings and the last layer belong to another optimizer, such as `AdamW`.

    "Muon: An optimizer for hidden layers in neural networks" (Jordan, 2024, https://kellerjordan.github.io/posts/muon/);
    "Muon is Scalable for LLM Training" (Liu et al., 2025, arXiv:2502.16982).

    Args:
        params: matrices, ``(name, matrix)`` pairs, or dicts that describe parameter groups.
        lr: learning rate. Default: 1e-3.
        weight_decay: weight decay, apart from the gradient. Default: 0.1.
        momentum: momentum factor. Default: 0.95.
        nesterov: look ahead along the momentum. Default: ``True``.
        ns_coefficients: a, b, c of the iteration. Default: (3.4445, -4.775, 2.0315).
        eps: the least norm to divide by. Default: 1e-7.
        ns_steps: iterations. Default: 5.
        adjust_lr_fn: ``"original"`` (as None) or ``"match_rms_adamw"``. Default: None.
    """

    __module__ = "torch.optim"

    _rule = staticmethod(_transforms.muon)
    _counters = ()
    _late_options = {}

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (DEFAULT_A, DEFAULT_B, DEFAULT_C),
        eps: float = EPS,
        ns_steps: int = DEFAULT_NS_STEPS,
        adjust_lr_fn: str | None = None,
    ) -> None:
        _check_lr(lr, "Learning rate should be >= 0 but is: {}")
        _check(momentum >= 0.0, "momentum should be >= 0 but is: {}", momentum)
        _check(weight_decay >= 0.0, "weight decay should be >= 0 but is: {}", weight_decay)
        _check(
            adjust_lr_fn is None or adjust_lr_fn in _ADJUSTMENTS,
            "Adjust learning rate function {} is not supported", adjust_lr_fn,
        )  # fmt: skip
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ValueError(
                        f"Muon only supports 2D parameters whereas we found a parameter with size: {p.size()}"
                    )

    def _begin(self, group, p, memory):
        if p.is_complex():
            raise RuntimeError("Muon does not support complex parameters")
        memory["momentum_buffer"] = zeros_like(p.grad)

    def _buffers(self, group, kind):
        return ("momentum_buffer",), ("momentum_buffer",)

    def _plan(self, group, number, *counters):
        lr, momentum = number(group["lr"]), group["momentum"]
        coefficients, iterations = tuple(group["ns_coefficients"]), group["ns_steps"]
        if iterations >= 100:
            raise ValueError("Number of steps must be less than 100 for computational efficiency")
        if len(coefficients) != 3:
            raise ValueError("Coefficients must be a tuple of exactly 3 values")
        numbers = (lr, momentum, 1 - momentum, 1 - lr * group["weight_decay"])
        options = (
            group["nesterov"], 1 - momentum < 0.5, momentum < 0.5, coefficients, group["eps"], iterations,
            group["adjust_lr_fn"],
        )  # fmt: skip
        return numbers, options, ()

    def step(self, closure=None):
        """Update the parameters once.

        Args:
            closure: evaluates the model again, computes the gradients and returns the loss.
        """
        return self._run(closure)


def muon(
    params: list,
    grads: list,
    muon_momentum_bufs: list,
    *,
    foreach: bool | None = None,
    lr: float,
    weight_decay: float,
    momentum: float,
    nesterov: bool,
    ns_coefficients: tuple[float, float, float],
    ns_steps: int,
    eps: float,
    adjust_lr_fn: str | None,
    has_complex: bool,
) -> None:
    """One step of `Muon` on lists of parameters, gradients and momentum buffers, in place."""
    if foreach:
        raise RuntimeError("Foreach is not supported for Muon yet")
    if has_complex:
        raise ValueError("Complex parameters are not supported")
    if any(grad.ndim != 2 for grad in grads):
        raise ValueError("Param gradient must be a 2D matrix")
    run_functional(
        Muon, params, grads, {}, {"momentum_buffer": muon_momentum_bufs}, lr=lr, weight_decay=weight_decay,
        momentum=momentum, nesterov=nesterov, ns_coefficients=ns_coefficients, ns_steps=ns_steps, eps=eps,
        adjust_lr_fn=adjust_lr_fn,
    )  # fmt: skip
