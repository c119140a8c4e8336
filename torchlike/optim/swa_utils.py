"""Averages of weights over training: stochastic weight averaging and exponential moving averages."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Literal

import torchlike as torch
from torchlike._tensor.tensor import Tensor
from torchlike.nn.modules.module import Module
from torchlike.optim.lr_scheduler import LRScheduler, _format_param
from torchlike.optim.lr_scheduler._base import GET_LR_FROM_OUTSIDE

if TYPE_CHECKING:
    from torchlike.optim.optimizer import Optimizer

__all__ = [
    "AveragedModel",
    "update_bn",
    "SWALR",
    "get_ema_multi_avg_fn",
    "get_swa_multi_avg_fn",
    "get_ema_avg_fn",
    "get_swa_avg_fn",
]

PARAM_LIST = Sequence[Tensor]


def _check_decay(decay: float) -> None:
    if decay < 0.0 or decay > 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def _is_continuous(tensors: PARAM_LIST) -> bool:
    return tensors[0].is_floating_point() or tensors[0].is_complex()


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[[PARAM_LIST, PARAM_LIST, Any], None]:
    r"""The in-place update of exponential moving averages, :math:`\bar w \leftarrow d\,\bar w + (1 - d)\,w`.

    Args:
        decay: the decay rate :math:`d`, between 0 and 1. Default: 0.999.

    Returns a function of a list of averages, a list of parameters and the number of models averaged before.
    """
    _check_decay(decay)

    def ema_update(ema_param_list: PARAM_LIST, current_param_list: PARAM_LIST, _: Any) -> None:
        continuous = _is_continuous(ema_param_list)
        with torch.no_grad():
            for average, now in zip(ema_param_list, current_param_list, strict=True):
                if continuous:
                    average.lerp_(now, 1 - decay)
                else:
                    average.copy_(average * decay + now * (1 - decay))

    return ema_update


def get_swa_multi_avg_fn() -> Callable[[PARAM_LIST, PARAM_LIST, Any], None]:
    r"""The in-place update of equally weighted averages, :math:`\bar w \leftarrow \bar w + (w - \bar w)/(n + 1)`.

    Returns a function of a list of averages, a list of parameters and the number of models averaged before.
    """

    def swa_update(averaged_param_list: PARAM_LIST, current_param_list: PARAM_LIST, num_averaged: Any) -> None:
        continuous = _is_continuous(averaged_param_list)
        with torch.no_grad():
            for average, now in zip(averaged_param_list, current_param_list, strict=True):
                if continuous:
                    average.lerp_(now, 1 / (num_averaged + 1))
                elif isinstance(num_averaged, Tensor):
                    average.addcdiv_(now - average, num_averaged + 1)
                else:
                    average.add_(now - average, alpha=1.0 / (num_averaged + 1))

    return swa_update


def get_ema_avg_fn(decay: float = 0.999) -> Callable[[Tensor, Tensor, Any], Tensor]:
    r"""The update of one exponential moving average, :math:`d\,\bar w + (1 - d)\,w`.

    Args:
        decay: the decay rate :math:`d`, between 0 and 1. Default: 0.999.

    Returns a function of the average, the parameter and the number of models averaged before.
    """
    _check_decay(decay)

    def ema_update(ema_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        with torch.no_grad():
            return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn() -> Callable[[Tensor, Tensor, Any], Tensor]:
    r"""The update of one equally weighted average, :math:`\bar w + (w - \bar w)/(n + 1)`.

    Returns a function of the average, the parameter and the number of models averaged before.
    """

    def swa_update(averaged_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        with torch.no_grad():
            return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


class AveragedModel(Module):
    """A copy of a model whose parameters are averages of the model's over training.

    "Averaging Weights Leads to Wider Optima and Better Generalization" (Izmailov et al., 2018, arXiv:1803.05407).

    Args:
        model: the model, which is copied.
        device: where the copy goes. Default: where the model is.
        avg_fn: a function of average, parameter and number of models averaged before, which returns the new average.
            Default: equal weights.
        multi_avg_fn: a function of the same for lists, which updates the averages in place.
        use_buffers: average buffers too; else they follow the model's. Default: ``False``.
    """

    __module__ = "torch.optim.swa_utils"

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable[[Tensor, Tensor, Any], Tensor] | None = None,
        multi_avg_fn: Callable[[PARAM_LIST, PARAM_LIST, Any], None] | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", torch.tensor(0, dtype=torch.long, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the averaged model returns."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the model's present parameters into the averages; the first time, copy them.

        Args:
            model: the model in training.
        """
        pairs = [
            (average.detach(), now.detach().to(average.device))
            for average, now in zip(self._averaged(self), self._averaged(model), strict=False)
        ]
        if self.n_averaged == 0:
            for average, now in pairs:
                average.copy_(now)
        else:
            self._average(pairs)
        if not self.use_buffers:
            for mine, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
                mine.detach().copy_(theirs.detach().to(mine.device))
        self.n_averaged += 1

    def _averaged(self, model: Module) -> Iterable[Tensor]:
        """The tensors of a model, this one or the one in training, that are averaged."""
        if not self.use_buffers:
            return model.parameters()
        model = self.module if model is self else model
        return itertools.chain(model.parameters(), model.buffers())

    def _average(self, pairs: list[tuple[Tensor, Tensor]]) -> None:
        if self.multi_avg_fn is None:
            update = self.avg_fn or get_swa_avg_fn()
            for average, now in pairs:
                average.copy_(update(average, now, self.n_averaged.to(average.device)))
            return
        groups: dict[Any, list[tuple[Tensor, Tensor]]] = {}
        for average, now in pairs:
            groups.setdefault((average.device, average.dtype), []).append((average, now))
        for (device, _), group in groups.items():
            averages, nows = (list(tensors) for tensors in zip(*group, strict=True))
            self.multi_avg_fn(averages, nows, self.n_averaged.to(device))


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the running statistics of a model's batch normalization anew, in one pass over data.

    Args:
        loader: batches: tensors, or tuples or lists of which the first element is passed to the model.
        model: the model.
        device: where the batches are moved to. Default: left where they are.
    """
    from torchlike.nn.modules.batchnorm import _BatchNorm

    momenta = {}
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
            momenta[module] = module.momentum
    if not momenta:
        return
    was_training = model.training
    model.train()
    for module in momenta:
        module.momentum = None  # an average over all batches, each with the same weight
    with torch.no_grad():
        for batch in loader:
            if isinstance(batch, (list, tuple)):
                batch = batch[0]
            model(batch if device is None else batch.to(device))
    for module, momentum in momenta.items():
        module.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """From the present learning rate to ``swa_lr``, which then stays.

    Args:
        optimizer: the optimizer.
        swa_lr: the last rate, for all groups or a list.
        anneal_epochs: epochs on the way. Default: 10.
        anneal_strategy: ``"cos"`` or ``"linear"``. Default: ``"cos"``.
        last_epoch: index of the last epoch. Default: -1.
    """

    __module__ = "torch.optim.swa_utils"

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float,
        anneal_epochs: int = 10,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        last_epoch: int = -1,
    ) -> None:
        for lr, group in zip(_format_param("swa_lr", optimizer, swa_lr), optimizer.param_groups, strict=True):
            group["swa_lr"] = lr
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self._set_anneal_func(anneal_strategy)
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    @staticmethod
    def _linear_anneal(t: float) -> float:
        return t

    @staticmethod
    def _cosine_anneal(t: float) -> float:
        return (1 - math.cos(math.pi * t)) / 2

    @staticmethod
    def _get_initial_lr(lr: Any, swa_lr: Any, alpha: float) -> Any:
        """The rate from which ``lr`` is a part ``alpha`` of the way to ``swa_lr``."""
        return swa_lr if alpha == 1 else (lr - alpha * swa_lr) / (1 - alpha)

    def get_lr(self) -> list[Any]:
        """Each group's rate one epoch further on the way to its ``"swa_lr"``."""
        if not self._get_lr_called_within_step:
            warnings.warn(GET_LR_FROM_OUTSIDE, UserWarning, stacklevel=2)
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        length = max(1, self.anneal_epochs)
        before, now = (self.anneal_func(max(0, min(1, t / length))) for t in (step - 1, step))
        rates = []
        for group in self.optimizer.param_groups:
            start = self._get_initial_lr(group["lr"], group["swa_lr"], before)
            rates.append(group["swa_lr"] * now + start * (1 - now))
        return rates

    def _set_anneal_func(self, anneal_strategy: str) -> None:
        self._anneal_strategy = anneal_strategy
        self.anneal_func = self._cosine_anneal if anneal_strategy == "cos" else self._linear_anneal

    def state_dict(self) -> dict[str, Any]:
        """The scheduler's attributes, for saving; all but the optimizer and the annealing function."""
        return {key: value for key, value in self.__dict__.items() if key not in ("optimizer", "anneal_func")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned.

        Args:
            state_dict: a dict of attributes.
        """
        self.__dict__.update(state_dict)
        self._set_anneal_func(self._anneal_strategy)
