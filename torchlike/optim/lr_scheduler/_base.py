"""The base of all schedulers, and what they share."""

from __future__ import annotations

import functools
import types
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import ref

from torchlike._tensor.tensor import Tensor
from torchlike.optim.optimizer import Optimizer, _to_scalar

EPOCH_DEPRECATION_WARNING = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being "
    "deprecated where possible. Please use `scheduler.step()` to step the "
    "scheduler. During the deprecation, if epoch is different from None, the "
    "closed form is used instead of the new chainable form, where available. "
    "Please open an issue if you are unable to replicate your use case: "
    "https://github.com/pytorch/pytorch/issues/new/choose."
)
STEP_OVERRIDDEN = (
    "Seems like `optimizer.step()` has been overridden after learning rate scheduler "
    "initialization. Please, make sure to call `optimizer.step()` before "
    "`lr_scheduler.step()`. See more details at "
    "https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate"
)
WRONG_ORDER = (
    "Detected call of `lr_scheduler.step()` before `optimizer.step()`. "
    "In PyTorch 1.1.0 and later, you should call them in the opposite order: "
    "`optimizer.step()` before `lr_scheduler.step()`.  Failure to do this "
    "will result in PyTorch skipping the first value of the learning rate schedule. "
    "See more details at "
    "https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate"
)
NO_INITIAL_LR = (
    "param 'initial_lr' is not specified in param_groups[{}] when resuming scheduler with last_epoch >= 0.\n"
    "This typically happens when:\n"
    "1. You're trying to resume training from a checkpoint but haven't properly loaded the optimizer state\n"
    "2. You're using last_epoch >= 0 for a fresh training run (not recommended)"
)
GET_LR_FROM_OUTSIDE = "To get the last learning rate computed by the scheduler, please use `get_last_lr()`."

Rates = list[Any]
"""A learning rate, a number or a tensor, for each parameter group."""


# Values in parameter groups: those that are tensors are copied out and written in place, so that nothing aliases them.


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _format_param(name: str, optimizer: Optimizer, param: Any) -> list:
    """``param`` as a list with one entry for each parameter group."""
    n = len(optimizer.param_groups)
    if not isinstance(param, (list, tuple)):
        param = [param] * n
    elif len(param) != n:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. "
            f"{name} has {len(param)} values, param_groups has {n}."
        )
    return [_copy(p) for p in param]


def _param_groups_val_list(optimizer: Optimizer, key: str) -> list:
    """``group[key]`` of each parameter group."""
    return [_copy(group[key]) for group in optimizer.param_groups]


def _update_param_group_val(param_group: dict[str, Any], key: str, val: Any) -> None:
    """Set ``param_group[key]``, in place if it is a tensor."""
    if isinstance(param_group[key], Tensor):
        param_group[key].fill_(_to_scalar(val))
    else:
        param_group[key] = val


def check_optimizer(optimizer: Any) -> None:
    """Raise TypeError for anything but an optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


def one_each(functions: Any, optimizer: Optimizer) -> list[Callable[[int], float]]:
    """One ``lr_lambda`` for each parameter group, from one for all or a list."""
    n = len(optimizer.param_groups)
    if not isinstance(functions, (list, tuple)):
        return [functions] * n
    if len(functions) != n:
        raise ValueError(f"Expected {n} lr_lambdas, but got {len(functions)}")
    return list(functions)


def _warn_get_lr_called_within_step(lr_scheduler: LRScheduler) -> None:
    """Warn where ``get_lr``, which may have side effects, is called by anybody but ``step``."""
    if not lr_scheduler._get_lr_called_within_step:
        warnings.warn(GET_LR_FROM_OUTSIDE, UserWarning, stacklevel=2)


@contextmanager
def _flag(scheduler: LRScheduler, name: str) -> Any:
    setattr(scheduler, name, True)
    try:
        yield scheduler
    finally:
        setattr(scheduler, name, False)


def _enable_get_lr_call(o: LRScheduler) -> Any:
    """While the context lasts, ``get_lr`` is called from within."""
    return _flag(o, "_get_lr_called_within_step")


def _initial_mode(o: LRScheduler) -> Any:
    """While the context lasts, the scheduler takes the step of its constructor."""
    return _flag(o, "_is_initial")


class LRScheduler:
    r"""Base class of learning rate schedulers.

    A subclass defines ``get_lr`` and, where there is a formula for the rate at any epoch, ``_get_closed_form_lr``.

    Args:
        optimizer: the optimizer whose groups' ``"lr"`` is scheduled. The constructor sets it to its first value; so a
            scheduler is made before the optimizer's state is loaded.
        last_epoch: index of the last epoch, when a run is resumed. Default: -1, from the start.
    """

    _get_lr_called_within_step: bool = False
    _is_initial: bool = False

    optimizer: Optimizer
    base_lrs: Rates
    last_epoch: int
    _last_lr: Rates
    _step_count: int

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", _copy(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(NO_INITIAL_LR.format(i))
        self.base_lrs = _param_groups_val_list(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        _watch_steps(optimizer)
        self._initial_step()

    def _initial_step(self) -> None:
        """Set the first learning rate."""
        self._step_count = 0
        with _initial_mode(self):
            self.step()

    def state_dict(self) -> dict[str, Any]:
        """The scheduler's attributes, for saving; all but the optimizer."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned.

        Args:
            state_dict: a dict of attributes.
        """
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> Rates:
        """The learning rate of each parameter group, as it was last set here; tensors are copies."""
        return self._last_lr

    def get_lr(self) -> Rates:
        """The learning rate of each parameter group in epoch ``last_epoch``. For ``step``; see ``get_last_lr``."""
        raise NotImplementedError

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next epoch, after the optimizer's ``step``.

        Args:
            epoch: deprecated: the epoch to go to, by the closed form where there is one.
        """
        if self._step_count == 1:
            if not hasattr(self.optimizer.step, "_wrapped_by_lr_sched"):
                warnings.warn(STEP_OVERRIDDEN, UserWarning, stacklevel=2)
            elif not getattr(self.optimizer, "_opt_called", False):
                warnings.warn(WRONG_ORDER, UserWarning, stacklevel=2)
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_DEPRECATION_WARNING, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        with _enable_get_lr_call(self):
            self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
            closed_form = getattr(self, "_get_closed_form_lr", None)
            rates = self.get_lr() if epoch is None or closed_form is None else closed_form()
        self._set_rates(rates)

    def _set_rates(self, rates: Sequence[Any]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            _update_param_group_val(group, "lr", lr)
        self._last_lr = _param_groups_val_list(self.optimizer, "lr")

    def _scaled(self, factor: float) -> Rates:
        """Each group's present rate times ``factor``."""
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def _unchanged(self) -> Rates:
        """Each group's present rate."""
        return _param_groups_val_list(self.optimizer, "lr")


class _LRScheduler(LRScheduler):
    """The name of `LRScheduler` in older versions."""


def _watch_steps(optimizer: Optimizer) -> None:
    """Let the optimizer note, in ``_opt_called``, that its ``step`` was called."""
    if hasattr(optimizer.step, "_wrapped_by_lr_sched"):
        return
    # The instance must not hold itself through its own attribute: it would only die with the garbage collector.
    owner = ref(optimizer)
    func = optimizer.step.__func__  # type: ignore[attr-defined]

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        opt = owner()
        opt._opt_called = True  # type: ignore[union-attr]
        return func.__get__(opt, opt.__class__)(*args, **kwargs)

    wrapper._wrapped_by_lr_sched = True  # type: ignore[attr-defined]
    optimizer.step = wrapper  # type: ignore[method-assign]


def attributes_of_callable(function: Any) -> dict[str, Any] | None:
    """What of a callable can be saved: a callable object's attributes, nothing of a plain function."""
    return None if isinstance(function, types.FunctionType) else function.__dict__.copy()
