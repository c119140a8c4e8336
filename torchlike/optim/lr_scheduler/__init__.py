"""Learning rate schedules: ``torch.optim.lr_scheduler``."""

from ._base import EPOCH_DEPRECATION_WARNING as EPOCH_DEPRECATION_WARNING
from ._base import LRScheduler
from ._base import _enable_get_lr_call as _enable_get_lr_call
from ._base import _format_param as _format_param
from ._base import _initial_mode as _initial_mode
from ._base import _LRScheduler as _LRScheduler
from ._base import _param_groups_val_list as _param_groups_val_list
from ._base import _update_param_group_val as _update_param_group_val
from ._base import _warn_get_lr_called_within_step as _warn_get_lr_called_within_step
from ._combined import ChainedScheduler, SequentialLR
from ._cycles import CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR
from ._decays import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LinearLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from ._lambdas import LambdaLR, MultiplicativeLR
from ._plateau import ReduceLROnPlateau

__all__ = [
    "LambdaLR",
    "MultiplicativeLR",
    "StepLR",
    "MultiStepLR",
    "ConstantLR",
    "LinearLR",
    "ExponentialLR",
    "SequentialLR",
    "CosineAnnealingLR",
    "ChainedScheduler",
    "ReduceLROnPlateau",
    "CyclicLR",
    "CosineAnnealingWarmRestarts",
    "OneCycleLR",
    "PolynomialLR",
    "LRScheduler",
]

for _name in (*__all__, "_LRScheduler"):
    globals()[_name].__module__ = "torch.optim.lr_scheduler"
