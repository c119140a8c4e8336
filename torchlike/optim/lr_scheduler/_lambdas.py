"""Schedules given by functions of the epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torchlike.optim.optimizer import Optimizer

from ._base import LRScheduler, Rates, _warn_get_lr_called_within_step, attributes_of_callable, one_each


class _WithLambdas(LRScheduler):
    """A scheduler with a function for each group; of these only callable objects are saved, by their attributes."""

    lr_lambdas: list[Callable[[int], float]]

    def state_dict(self) -> dict[str, Any]:
        """The scheduler's attributes, for saving.

        The optimizer is left out. Functions are None in ``"lr_lambdas"``, callable objects are a dict of their
        attributes.
        """
        state = {key: value for key, value in self.__dict__.items() if key not in ("optimizer", "lr_lambdas")}
        state["lr_lambdas"] = [attributes_of_callable(function) for function in self.lr_lambdas]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned.

        Args:
            state_dict: a dict of attributes.
        """
        saved = state_dict["lr_lambdas"]
        self.__dict__.update({key: value for key, value in state_dict.items() if key != "lr_lambdas"})
        for i, attributes in enumerate(saved):
            if attributes is not None:
                self.lr_lambdas[i].__dict__.update(attributes)


class LambdaLR(_WithLambdas):
    """The initial learning rate times a function of the epoch.

    Args:
        optimizer: the optimizer.
        lr_lambda: takes the epoch to a factor; or a list of such functions, one for each group.
        last_epoch: index of the last epoch. Default: -1.

    >>> import torchlike as torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    >>> scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)
    >>> rates = []
    >>> for _ in range(3):
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step()
    ...     scheduler.step()
    >>> rates
    [1.0, 0.5, 0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = optimizer
        self.lr_lambdas = one_each(lr_lambda, optimizer)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Rates:
        """Each group's initial rate times its function of ``last_epoch``."""
        _warn_get_lr_called_within_step(self)
        return [lr * function(self.last_epoch) for function, lr in zip(self.lr_lambdas, self.base_lrs, strict=True)]


class MultiplicativeLR(_WithLambdas):
    """The present learning rate times a function of the epoch.

    Args:
        optimizer: the optimizer.
        lr_lambda: takes the epoch to a factor; or a list of such functions, one for each group.
        last_epoch: index of the last epoch. Default: -1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = optimizer
        self.lr_lambdas = one_each(lr_lambda, optimizer)
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"lr_lambda should be a function, but got {type(function).__name__}")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Rates:
        """Each group's present rate times its function of ``last_epoch``."""
        _warn_get_lr_called_within_step(self)
        if self._is_initial:
            return self._unchanged()
        groups = self.optimizer.param_groups
        return [g["lr"] * function(self.last_epoch) for function, g in zip(self.lr_lambdas, groups, strict=True)]
