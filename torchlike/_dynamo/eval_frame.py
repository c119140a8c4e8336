"""What ``torch.compile`` returns for modules."""

from __future__ import annotations

from typing import Any

from torchlike.nn.modules.module import Module


class OptimizedModule(Module):
    """A module that computes what the module ``_orig_mod`` computes; other attributes are that module's.

    As a module around another it puts ``_orig_mod.`` before the names in its state dict.
    """

    _opt_mod_attributes = frozenset({"_orig_mod", "forward"})

    def __init__(self, mod: Module):
        super().__init__()
        self._modules["_orig_mod"] = mod

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the original module returns, its hooks included."""
        return self._modules["_orig_mod"](*args, **kwargs)  # type: ignore[misc]

    @property
    def training(self) -> bool:
        """Whether the original module is in training mode."""
        return self._modules["_orig_mod"].training  # type: ignore[misc]

    @training.setter
    def training(self, value: bool) -> None:
        module = self.__dict__.get("_modules", {}).get("_orig_mod")
        if module is not None:
            module.training = value

    def __getattr__(self, name: str) -> Any:
        if name == "_orig_mod":
            return self._modules["_orig_mod"]
        return getattr(self._modules["_orig_mod"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__ or name in type(self).__dict__ or "_orig_mod" not in self.__dict__.get("_modules", {}):
            super().__setattr__(name, value)
        elif name == "_orig_mod":
            self._modules["_orig_mod"] = value
        else:
            setattr(self._modules["_orig_mod"], name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._modules["_orig_mod"], name)

    def __reduce__(self) -> Any:
        return OptimizedModule, (self._modules["_orig_mod"],)


OptimizedModule.__module__ = "torch._dynamo.eval_frame"


def compiled(model: Any) -> Any:
    """A module wrapped, any other callable as it is."""
    return OptimizedModule(model) if isinstance(model, Module) else model
