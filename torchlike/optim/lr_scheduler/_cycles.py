"""Schedules that rise and fall, stepped after each batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypedDict

from torchlike.optim.optimizer import Optimizer

from ._base import (
    LRScheduler,
    Rates,
    _enable_get_lr_call,
    _format_param,
    _update_param_group_val,
    _warn_get_lr_called_within_step,
    attributes_of_callable,
    check_optimizer,
)

NO_MOMENTUM = "optimizer must support momentum or beta1 with `cycle_momentum` option enabled"


class _MomentumCycle(LRScheduler):
    """A schedule that moves momentum, or Adam's first beta, against the learning rate."""

    cycle_momentum: bool
    use_beta1: bool

    def _start_momentum(self, base: Any, largest: Any, last_epoch: int) -> tuple[list, list]:
        """Check that there is a momentum, set it to its largest value and note both bounds in each group."""
        optimizer = self.optimizer
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            raise ValueError(NO_MOMENTUM)
        self.use_beta1 = "betas" in optimizer.defaults
        least = _format_param("base_momentum", optimizer, base)
        most = _format_param("max_momentum", optimizer, largest)
        if last_epoch == -1:
            for group, low, high in zip(optimizer.param_groups, least, most, strict=True):
                self._set_momentum(group, high)
                group["max_momentum"] = high
                group["base_momentum"] = low
        return least, most

    def _set_momentum(self, group: dict[str, Any], momentum: Any) -> None:
        if self.use_beta1:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


class CyclicLR(_MomentumCycle):
    r"""Up and down between two rates along straight lines.

    .. math::
        \eta_t = \eta_{\text{base}} + (\eta_{\max} - \eta_{\text{base}})\,s\,a(x)

    where :math:`s` goes from 0 to 1 in ``step_size_up`` batches and back in ``step_size_down``, and the amplitude is
    ``"triangular"`` :math:`a = 1`, ``"triangular2"`` :math:`a = 2^{1 - x}` of the cycle :math:`x`, or ``"exp_range"``
    :math:`a = \gamma^x` of the batch :math:`x`.

    "Cyclical Learning Rates for Training Neural Networks" (Smith, 2017, arXiv:1506.01186).

    Args:
        optimizer: the optimizer.
        base_lr: the least rate, for all groups or a list.
        max_lr: the largest rate, for all groups or a list.
        step_size_up: batches of the rise. Default: 2000.
        step_size_down: batches of the fall. Default: as ``step_size_up``.
        mode: ``"triangular"``, ``"triangular2"`` or ``"exp_range"``. Default: ``"triangular"``.
        gamma: of ``"exp_range"``. Default: 1.0.
        scale_fn: an amplitude of one's own, instead of ``mode``. Default: None.
        scale_mode: whether ``scale_fn`` takes the number of the ``"cycle"`` or of ``"iterations"``.
            Default: ``"cycle"``.
        cycle_momentum: move momentum the other way. Default: ``True``.
        base_momentum: momentum at the largest rate. Default: 0.8.
        max_momentum: momentum at the least rate. Default: 0.9.
        last_epoch: index of the last batch. Default: -1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: Literal["cycle", "iterations"] = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        base_lrs = _format_param("base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, base_lrs, strict=True):
                _update_param_group_val(group, "lr", lr)
        self.max_lrs = _format_param("max_lr", optimizer, max_lr)
        up = float(step_size_up)
        down = up if step_size_down is None else float(step_size_down)
        self.total_size = up + down
        self.step_ratio = up / self.total_size
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError("mode is invalid and scale_fn is None")
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_ref: Callable[[float], float]
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode
        self._init_scale_fn()
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.base_momentums, self.max_momentums = self._start_momentum(base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def _init_scale_fn(self) -> None:
        if self._scale_fn_custom is not None:
            return
        functions = {
            "triangular": (self._triangular_scale_fn, "cycle"),
            "triangular2": (self._triangular2_scale_fn, "cycle"),
            "exp_range": (partial(self._exp_range_scale_fn, self.gamma), "iterations"),
        }
        if self.mode in functions:
            self._scale_fn_ref, self.scale_mode = functions[self.mode]  # type: ignore[assignment]

    def scale_fn(self, x: float) -> float:
        """The amplitude in cycle or batch ``x``."""
        return self._scale_fn_ref(x) if self._scale_fn_custom is None else self._scale_fn_custom(x)

    @staticmethod
    def _triangular_scale_fn(x: float) -> float:
        return 1.0

    @staticmethod
    def _triangular2_scale_fn(x: float) -> float:
        return 1 / (2.0 ** (x - 1))

    @staticmethod
    def _exp_range_scale_fn(gamma: float, x: float) -> float:
        return gamma**x

    def get_lr(self) -> Rates:
        """The rates after ``last_epoch`` batches; momentum is set on the way."""
        _warn_get_lr_called_within_step(self)
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        at = cycle if self.scale_mode == "cycle" else self.last_epoch
        rates = [
            low + (high - low) * height * self.scale_fn(at)
            for low, high in zip(self.base_lrs, self.max_lrs, strict=True)
        ]
        if self.cycle_momentum:
            bounds = zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True)
            for group, low, high in bounds:
                self._set_momentum(group, high - (high - low) * height * self.scale_fn(at))
        return rates

    def state_dict(self) -> dict[str, Any]:
        """The scheduler's attributes, for saving.

        The optimizer is left out. Of ``scale_fn`` only a callable object is saved, by its attributes.
        """
        state = super().state_dict()
        state.pop("_scale_fn_ref", None)
        custom = state.pop("_scale_fn_custom")
        state["_scale_fn_custom"] = None if custom is None else attributes_of_callable(custom)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned.

        Args:
            state_dict: a dict of attributes.
        """
        custom = state_dict.pop("_scale_fn_custom")
        super().load_state_dict(state_dict)
        if custom is not None:
            self._scale_fn_custom.__dict__.update(custom)
        self._init_scale_fn()


class CosineAnnealingWarmRestarts(LRScheduler):
    r"""Down half a cosine wave to ``eta_min``, then up at once, again and again.

    .. math::
        \eta_t = \eta_{\min} + (\eta_0 - \eta_{\min})\,\frac{1 + \cos(\pi\,T_{\text{cur}} / T_i)}{2}

    with :math:`T_{\text{cur}}` epochs since the last restart, and :math:`T_i` from that one to the next.

    "SGDR: Stochastic Gradient Descent with Warm Restarts" (Loshchilov and Hutter, 2017, arXiv:1608.03983).

    Args:
        optimizer: the optimizer.
        T_0: epochs until the first restart.
        T_mult: by how much each cycle is longer than the one before. Default: 1.
        eta_min: the least rate. Default: 0.0.
        last_epoch: index of the last epoch. Default: -1.
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        if T_0 <= 0 or not isinstance(T_0, int):
            raise ValueError(f"Expected positive integer T_0, but got {T_0}")
        if T_mult < 1 or not isinstance(T_mult, int):
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        if not isinstance(eta_min, (float, int)):
            raise ValueError(f"Expected float or int eta_min, but got {eta_min} of type {type(eta_min)}")
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Rates:
        """The rates ``T_cur`` epochs after a restart."""
        _warn_get_lr_called_within_step(self)
        height = 1 + math.cos(math.pi * self.T_cur / self.T_i)
        return [self.eta_min + (base_lr - self.eta_min) * height / 2 for base_lr in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Go on to the next epoch, or to any.

        Args:
            epoch: the epoch to go to; a fraction within an epoch, as ``epoch + i / len(batches)``.
        """
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur = self.T_cur + 1
            if self.T_cur >= self.T_i:
                self.T_cur = self.T_cur % self.T_i
                self.T_i = self.T_i * self.T_mult
        elif epoch < 0:
            raise ValueError(f"Expected non-negative epoch, but got {epoch}")
        else:
            self._go_to(epoch)
        self.last_epoch = math.floor(epoch)
        with _enable_get_lr_call(self):
            rates = self.get_lr()
        self._set_rates(rates)

    def _go_to(self, epoch: float) -> None:
        """Find the cycle that holds ``epoch``, and the place in it."""
        if epoch < self.T_0:
            self.T_i = self.T_0
            self.T_cur = epoch  # type: ignore[assignment]
        elif self.T_mult == 1:
            self.T_cur = epoch % self.T_0  # type: ignore[assignment]
        else:
            cycles = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_cur = epoch - self.T_0 * (self.T_mult**cycles - 1) / (self.T_mult - 1)  # type: ignore[assignment]
            self.T_i = self.T_0 * self.T_mult**cycles


class _SchedulePhase(TypedDict):
    end_step: float
    start_lr: str
    end_lr: str
    start_momentum: str
    end_momentum: str


def _phase(end_step: float, lrs: tuple[str, str], momentums: tuple[str, str]) -> _SchedulePhase:
    """A phase of `OneCycleLR`; the bounds are names of options of the group."""
    return {
        "end_step": end_step,
        "start_lr": lrs[0],
        "end_lr": lrs[1],
        "start_momentum": momentums[0],
        "end_momentum": momentums[1],
    }


class OneCycleLR(_MomentumCycle):
    """Up to ``max_lr`` and down to next to nothing, once, with momentum the other way.

    The rate starts at ``max_lr / div_factor``, and ends a factor of ``final_div_factor`` below that.

    "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates" (Smith and Topin, 2018,
    arXiv:1708.07120), there with three phases.

    Args:
        optimizer: the optimizer.
        max_lr: the largest rate, for all groups or a list.
        total_steps: batches of the cycle. Default: ``epochs * steps_per_epoch``.
        epochs: epochs of the cycle.
        steps_per_epoch: batches in an epoch.
        pct_start: the part of the cycle in which the rate rises, a float. Default: 0.3.
        anneal_strategy: ``"cos"`` or ``"linear"``. Default: ``"cos"``.
        cycle_momentum: move momentum the other way. Default: ``True``.
        base_momentum: momentum at the largest rate, for all groups or a list. Default: 0.85.
        max_momentum: momentum at the least rate, for all groups or a list. Default: 0.95.
        div_factor: see above. Default: 25.0.
        final_div_factor: see above. Default: 1e4.
        three_phase: fall as long as rise, then go down to the end. Default: ``False``, two phases.
        last_epoch: index of the last batch. Default: -1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        self.total_steps = _total_steps(total_steps, epochs, steps_per_epoch)
        rise_end, last = float(pct_start * self.total_steps) - 1, self.total_steps - 1
        up, down = ("initial_lr", "max_lr"), ("max_lr", "min_lr")
        falling, rising = ("max_momentum", "base_momentum"), ("base_momentum", "max_momentum")
        self._schedule_phases = [_phase(rise_end, up, falling), _phase(last, down, rising)]
        if three_phase:
            fall_end = float(2 * pct_start * self.total_steps) - 2
            self._schedule_phases[1:] = [
                _phase(fall_end, ("max_lr", "initial_lr"), rising),
                _phase(last, ("initial_lr", "min_lr"), ("max_momentum", "max_momentum")),
            ]
        if pct_start < 0 or pct_start > 1 or not isinstance(pct_start, float):
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self._anneal_func_type = anneal_strategy
        max_lrs = _format_param("max_lr", self.optimizer, max_lr)
        if last_epoch == -1:
            for group, largest in zip(self.optimizer.param_groups, max_lrs, strict=True):
                group["initial_lr"] = largest / div_factor
                group["max_lr"] = largest
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if self.cycle_momentum:
            self._start_momentum(base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def _anneal_func(self, start: Any, end: Any, pct: float) -> Any:
        """The value a part ``pct`` of the way from ``start`` to ``end``."""
        if self._anneal_func_type == "cos":
            return self._annealing_cos(start, end, pct)
        if self._anneal_func_type == "linear":
            return self._annealing_linear(start, end, pct)
        raise ValueError(f"Unknown _anneal_func_type: {self._anneal_func_type}")

    @staticmethod
    def _annealing_cos(start: Any, end: Any, pct: float) -> Any:
        return end + (start - end) / 2.0 * (math.cos(math.pi * pct) + 1)

    @staticmethod
    def _annealing_linear(start: Any, end: Any, pct: float) -> Any:
        return (end - start) * pct + start

    def get_lr(self) -> Rates:
        """The rates after ``last_epoch`` batches; momentum is set on the way."""
        _warn_get_lr_called_within_step(self)
        at = self.last_epoch
        if at > self.total_steps:
            raise ValueError(f"Tried to step {at} times. The specified number of total steps is {self.total_steps}")
        begin, phase = 0.0, self._schedule_phases[0]
        for following in self._schedule_phases[1:]:
            if at <= phase["end_step"]:
                break
            begin, phase = phase["end_step"], following
        rates = []
        for group in self.optimizer.param_groups:
            pct = (at - begin) / (phase["end_step"] - begin)
            rates.append(self._anneal_func(group[phase["start_lr"]], group[phase["end_lr"]], pct))
            if self.cycle_momentum:
                start, end = group[phase["start_momentum"]], group[phase["end_momentum"]]
                self._set_momentum(group, self._anneal_func(start, end, pct))
        return rates


def _total_steps(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    """The number of batches of a cycle, given in one way or the other."""
    if total_steps is not None:
        _check_positive("total_steps", total_steps)
        return total_steps
    if epochs is None or steps_per_epoch is None:
        raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
    _check_positive("epochs", epochs)
    _check_positive("steps_per_epoch", steps_per_epoch)
    return epochs * steps_per_epoch


def _check_positive(name: str, value: Any) -> None:
    if value <= 0 or not isinstance(value, int):
        raise ValueError(f"Expected positive integer {name}, but got {value}")
