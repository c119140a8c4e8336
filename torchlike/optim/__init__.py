"""Optimizers, learning rate schedules and weight averaging: ``torch.optim``.

Each name is imported when a program first asks for it: most programs use one optimizer.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torchlike.optim import lr_scheduler, swa_utils
    from torchlike.optim._adafactor import Adafactor
    from torchlike.optim._muon import Muon
    from torchlike.optim._stateless import swap_in_optimizer_params_and_state
    from torchlike.optim.adadelta import Adadelta
    from torchlike.optim.adagrad import Adagrad
    from torchlike.optim.adam import Adam
    from torchlike.optim.adamax import Adamax
    from torchlike.optim.adamw import AdamW
    from torchlike.optim.asgd import ASGD
    from torchlike.optim.lbfgs import LBFGS
    from torchlike.optim.nadam import NAdam
    from torchlike.optim.optimizer import Optimizer
    from torchlike.optim.radam import RAdam
    from torchlike.optim.rmsprop import RMSprop
    from torchlike.optim.rprop import Rprop
    from torchlike.optim.sgd import SGD
    from torchlike.optim.sparse_adam import SparseAdam

__all__ = [
    "Adafactor",
    "Adadelta",
    "Adagrad",
    "Adam",
    "Adamax",
    "AdamW",
    "ASGD",
    "LBFGS",
    "lr_scheduler",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGD",
    "SparseAdam",
    "swap_in_optimizer_params_and_state",
    "swa_utils",
]

# The modules of those names whose module is not their name in lower case.
_HOMES = {
    "Adafactor": "_adafactor",
    "Muon": "_muon",
    "SparseAdam": "sparse_adam",
    "swap_in_optimizer_params_and_state": "_stateless",
}


def __getattr__(name: str) -> Any:
    if name in __all__:
        home = _HOMES.get(name, name.lower())
        module = importlib.import_module(f"{__name__}.{home}")
        value = module if home == name else getattr(module, name)
    elif name == "_functional" or name in _submodules():
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module 'torch.optim' has no attribute {name!r}")
    globals()[name] = value
    return value


def _submodules() -> set[str]:
    """The modules that hold an optimizer each."""
    return {_HOMES.get(name, name.lower()) for name in __all__}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
