"""L-BFGS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torchlike as torch
from torchlike.optim.optimizer import Optimizer, ParamsT, _check_lr, _to_scalar

__all__ = ["LBFGS"]


class LBFGS(Optimizer):
    r"""L-BFGS: Newton's method with an inverse Hessian :math:`H` that is estimated from the last steps and gradients.

    .. math::
        d = -H\,g, \qquad \theta \leftarrow \theta + t\,d

    With :math:`y_i` and :math:`s_i` the changes of gradient and parameters in step :math:`i` and
    :math:`\rho_i = 1/(y_i \cdot s_i)`, the product :math:`H g` is found by the two-loop recursion of "Updating
    Quasi-Newton Matrices with Limited Storage" (Nocedal, 1980). The step length :math:`t` is ``lr``, or what a line
    search for the strong Wolfe conditions finds ("Numerical Optimization", Nocedal and Wright, chapter 3).

    All parameters are in one group, are real or complex, and are on one device. Memory: ``history_size + 1`` times that
    of the parameters.

    Args:
        params: tensors or ``(name, tensor)`` pairs.
        lr: step length, a number or a tensor of one element. Default: 1.
        max_iter: iterations in one ``step``. Default: 20.
        max_eval: function evaluations in one ``step``. Default: ``max_iter * 1.25``.
        tolerance_grad: stop when no element of the gradient is larger. Default: 1e-7.
        tolerance_change: stop when neither loss nor parameters change more. Default: 1e-9.
        history_size: steps remembered. Default: 100.
        line_search_fn: ``"strong_wolfe"`` or None. Default: None.
    """

    __module__ = "torch.optim.lbfgs"

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        _check_lr(lr)
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params = self.param_groups[0]["params"]
        self._numel_cache: int | None = None

    # All parameters as one vector

    def _numel(self) -> int:
        if self._numel_cache is None:
            self._numel_cache = sum(2 * p.numel() if p.is_complex() else p.numel() for p in self._params)
        return self._numel_cache

    def _gather_flat_grad(self) -> Any:
        return torch.cat([_flat_grad(p) for p in self._params], 0)

    def _add_grad(self, step_size: Any, update: Any) -> None:
        offset = 0
        for p in self._params:
            p = torch.view_as_real(p) if p.is_complex() else p
            n = p.numel()
            p.add_(update[offset : offset + n].view_as(p), alpha=step_size)
            offset += n

    def _clone_param(self) -> list:
        return [p.clone(memory_format=torch.contiguous_format) for p in self._params]

    def _set_param(self, params_data: Sequence[Any]) -> None:
        for p, data in zip(self._params, params_data, strict=True):
            p.copy_(data)

    def _directional_evaluate(self, closure: Callable, x: list, t: Any, d: Any) -> tuple[float, Any]:
        self._add_grad(t, d)
        loss = float(closure())
        flat_grad = self._gather_flat_grad()
        self._set_param(x)
        return loss, flat_grad

    def step(self, closure):  # type: ignore[override]
        """Run up to ``max_iter`` iterations.

        Args:
            closure: evaluates the model, computes the gradients and returns the loss.

        Returns the loss of the closure's first call.
        """
        if len(self.param_groups) != 1:
            raise AssertionError(f"Expected exactly one param_group, but got {len(self.param_groups)}")
        with torch.no_grad():
            return self._minimize(torch.enable_grad()(closure), self.param_groups[0])

    def _minimize(self, closure: Callable, group: dict[str, Any]) -> Any:
        tolerance_grad, tolerance_change = group["tolerance_grad"], group["tolerance_change"]
        lr, max_iter, max_eval = _to_scalar(group["lr"]), group["max_iter"], group["max_eval"]
        # There is one state for all parameters; it is kept under the first so that it is saved and loaded with it.
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = closure()
        loss = float(first_loss)
        evaluations = 1
        state["func_evals"] += 1
        flat_grad = self._gather_flat_grad()
        if flat_grad.abs().max() <= tolerance_grad:
            return first_loss
        memory = {
            name: state.get(name)
            for name in ("d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss")
        }
        iteration = 0
        while iteration < max_iter:
            iteration += 1
            state["n_iter"] += 1
            first = state["n_iter"] == 1
            if first:
                memory.update(d=flat_grad.neg(), old_dirs=[], old_stps=[], ro=[], H_diag=1)
            else:
                _remember(memory, flat_grad, group["history_size"])
                memory["d"] = _direction(memory, flat_grad, state.setdefault("al", [None] * group["history_size"]))
            if memory["prev_flat_grad"] is None:
                memory["prev_flat_grad"] = flat_grad.clone(memory_format=torch.contiguous_format)
            else:
                memory["prev_flat_grad"].copy_(flat_grad)
            memory["prev_loss"] = loss
            d, t = memory["d"], min(1.0, 1.0 / flat_grad.abs().sum()) * lr if first else lr
            memory["t"] = t
            slope = flat_grad.dot(d)
            if slope > -tolerance_change:
                break
            spent = 0
            if group["line_search_fn"] is not None:
                if group["line_search_fn"] != "strong_wolfe":
                    raise RuntimeError("only 'strong_wolfe' is supported")
                loss, flat_grad, t, spent = _strong_wolfe(
                    lambda x, t, d: self._directional_evaluate(closure, x, t, d),
                    self._clone_param(), t, d, loss, flat_grad, slope, max_ls=max_eval - evaluations,
                )  # fmt: skip
                memory["t"] = t
                self._add_grad(t, d)
            else:
                self._add_grad(t, d)
                if iteration != max_iter:
                    loss = float(closure())
                    flat_grad = self._gather_flat_grad()
                    spent = 1
            evaluations += spent
            state["func_evals"] += spent
            if iteration == max_iter or evaluations >= max_eval:
                break
            if flat_grad.abs().max() <= tolerance_grad or d.mul(t).abs().max() <= tolerance_change:
                break
            if abs(loss - memory["prev_loss"]) < tolerance_change:
                break
        state.update(memory)
        return first_loss


def _flat_grad(p: Any) -> Any:
    """The gradient of a parameter as a real vector; zeros where there is none."""
    if p.grad is None:
        flat = p.new(p.numel()).zero_()
    elif p.grad.is_sparse:
        flat = p.grad.to_dense().view(-1)
    else:
        flat = p.grad.view(-1)
    return torch.view_as_real(flat).view(-1) if flat.is_complex() else flat


def _remember(memory: dict[str, Any], flat_grad: Any, history_size: int) -> None:
    """Add the last step to the history if the loss curves upwards along it."""
    y = flat_grad.sub(memory["prev_flat_grad"])
    s = memory["d"].mul(memory["t"])
    curvature = y.dot(s)
    if curvature > 1e-10:
        histories = memory["old_dirs"], memory["old_stps"], memory["ro"]
        if len(histories[0]) == history_size:
            for history in histories:
                history.pop(0)
        for history, entry in zip(histories, (y, s, 1.0 / curvature), strict=True):
            history.append(entry)
        memory["H_diag"] = curvature / y.dot(y)


def _direction(memory: dict[str, Any], flat_grad: Any, al: list) -> Any:
    """Minus the inverse Hessian times the gradient, in two loops; ``al`` keeps the factors of the first."""
    ys, ss, rhos = memory["old_dirs"], memory["old_stps"], memory["ro"]
    d = flat_grad.neg()
    for i in reversed(range(len(ys))):
        al[i] = ss[i].dot(d) * rhos[i]
        d = d - al[i] * ys[i]
    d = d * memory["H_diag"]
    for i in range(len(ys)):
        d = d + (al[i] - ys[i].dot(d) * rhos[i]) * ss[i]
    return d


# Line search


class _Point(NamedTuple):
    """A point on the line: step length, loss, gradient and slope."""

    t: Any
    f: Any
    g: Any
    slope: Any


def _cubic_interpolate(
    x1: Any, f1: Any, g1: Any, x2: Any, f2: Any, g2: Any, bounds: tuple[Any, Any] | None = None
) -> Any:
    """Where the cubic through two points with given values and slopes has its minimum, kept within bounds.

    With :math:`d_1 = g_1 + g_2 - 3 (f_1 - f_2)/(x_1 - x_2)` and :math:`d_2 = \\sqrt{d_1^2 - g_1 g_2}`, for
    :math:`x_1 \\le x_2`: :math:`x_2 - (x_2 - x_1) (g_2 + d_2 - d_1) / (g_2 - g_1 + 2 d_2)`. The middle of the bounds
    where the root is not real.
    """
    if x1 > x2:
        (x1, f1, g1), (x2, f2, g2) = (x2, f2, g2), (x1, f1, g1)
    low, high = (x1, x2) if bounds is None else bounds
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1**2 - g1 * g2
    if not square >= 0:
        return (low + high) / 2.0
    d2 = square.sqrt()
    return min(max(x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2)), low), high)


def _strong_wolfe(
    obj_func: Callable, x: list, t: Any, d: Any, f: float, g: Any, gtd: Any, c1: float = 1e-4, c2: float = 0.9,
    tolerance_change: float = 1e-9, max_ls: int = 25,
) -> tuple[float, Any, Any, int]:  # fmt: skip
    """Find a step length that satisfies the strong Wolfe conditions.

    Args:
        obj_func: ``obj_func(x, t, d)``, the loss and its gradient at ``x + t * d``.
        x: the start.
        t: the first step length to try.
        d: the direction.
        f, g, gtd: loss, gradient and slope at the start.
        c1, c2: how much the loss must fall, and how much the slope must flatten.
        tolerance_change: the least width of the bracket.
        max_ls: iterations.

    Returns loss, gradient, step length and the number of evaluations.
    """

    def evaluate(t: Any) -> _Point:
        f_new, g_new = obj_func(x, t, d)
        return _Point(t, f_new, g_new, g_new.dot(d))

    def too_high(point: _Point) -> Any:
        return point.f > f + c1 * point.t * gtd

    previous = start = _Point(0, f, g, gtd)
    point = evaluate(t)
    bracket, iteration = [start, point], 0
    # Lengthen the step until a minimum must lie within the bracket.
    while iteration < max_ls:
        if too_high(point) or (iteration > 1 and point.f >= previous.f):
            bracket = [previous, point]
            break
        if abs(point.slope) <= -c2 * gtd:
            return point.f, point.g, point.t, iteration + 1
        if point.slope >= 0:
            bracket = [previous, point]
            break
        bounds = (point.t + 0.01 * (point.t - previous.t), point.t * 10)
        t = _cubic_interpolate(previous.t, previous.f, previous.slope, point.t, point.f, point.slope, bounds)
        previous, point = point, evaluate(t)
        iteration += 1
        bracket = [start, point]
    best, iterations = _zoom(
        bracket, evaluate, too_high, d.abs().max(), -c2 * gtd, tolerance_change, max_ls - iteration
    )
    return best.f, best.g, best.t, 1 + iteration + iterations


def _zoom(
    bracket: list[_Point], evaluate: Callable, too_high: Callable, d_norm: Any, flat: Any, tolerance_change: float,
    max_ls: int,
) -> tuple[_Point, int]:  # fmt: skip
    """Narrow the bracket until an end of it satisfies the conditions; the better end and the number of iterations."""
    stalled, iteration = False, 0
    low, high = (0, 1) if bracket[0].f <= bracket[1].f else (1, 0)
    while iteration < max_ls and not abs(bracket[1].t - bracket[0].t) * d_norm < tolerance_change:
        a, b = bracket
        t = _cubic_interpolate(a.t, a.f, a.slope, b.t, b.f, b.slope)
        t, stalled = _away_from_ends(t, a.t, b.t, stalled)
        point = evaluate(t)
        iteration += 1
        if too_high(point) or point.f >= bracket[low].f:
            bracket[high] = point
            low, high = (0, 1) if bracket[0].f <= bracket[1].f else (1, 0)
            continue
        done = abs(point.slope) <= flat
        if not done and point.slope * (bracket[high].t - bracket[low].t) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = point
        if done:
            break
    return bracket[low], iteration


def _away_from_ends(t: Any, a: Any, b: Any, stalled: bool) -> tuple[Any, bool]:
    """``t``, or a point a tenth of the way from an end of the bracket if ``t`` is near that end for the second time."""
    least, most = min(a, b), max(a, b)
    margin = 0.1 * (most - least)
    if not min(most - t, t - least) < margin:
        return t, False
    if not (stalled or t >= most or t <= least):
        return t, True
    return (most - margin if abs(t - most) < abs(t - least) else least + margin), False
