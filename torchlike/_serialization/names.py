"""The names that objects go by in files: always torch's, whatever the program calls this package.

A pickle refers to classes and functions by module and name. ``global_name`` gives torch's name of one of our objects
and ``resolve`` finds the object of such a name, both without the module ``torch`` being there.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from torchlike._install import ALIAS, PACKAGE

_STORAGES = (
    "DoubleStorage", "FloatStorage", "HalfStorage", "LongStorage", "IntStorage", "ShortStorage", "CharStorage",
    "ByteStorage", "BoolStorage", "BFloat16Storage", "ComplexDoubleStorage", "ComplexFloatStorage",
)  # fmt: skip

#: Objects whose name in files is not where this package keeps them: (torch's name) -> (our module, our name).
_HOMES: dict[tuple[str, str], tuple[str, str]] = {
    **{("torch", name): (f"{PACKAGE}.storage", name) for name in (*_STORAGES, "UntypedStorage", "TypedStorage")},
    ("torch._tensor", "_rebuild_from_type"): (f"{PACKAGE}._utils", "_rebuild_from_type"),
    ("torch._tensor", "_rebuild_from_type_v2"): (f"{PACKAGE}._utils", "_rebuild_from_type_v2"),
    ("torch._tensor", "Tensor"): (PACKAGE, "Tensor"),
    # Native classes that hold torch's functions as attributes.
    ("torch._C", "TensorBase"): (PACKAGE, "Tensor"),
    ("torch._C", "_TensorBase"): (PACKAGE, "Tensor"),
    ("torch._C", "Generator"): (PACKAGE, "Generator"),
}
_NAMES = {home: name for name, home in _HOMES.items() if name[0] != "torch._C" and name[1] != "Tensor"}

#: Modules of native functions: torch's module -> (ours, prefix of the native functions' names).
_NATIVE_MODULES = {
    "torch._C._nn": ("nn.functional", ""),
    "torch._C._linalg": ("linalg", "linalg_"),
    "torch._C._fft": ("fft", "fft_"),
    "torch._C._special": ("special", "special_"),
    "torch._C._sparse": ("sparse", "sparse_"),
    "torch.tensor": ("_tensor", ""),
}

#: Where a function that one of the private modules defines is shown, in the order to look.
_SHOWN_IN = (
    "torch",
    "torch.nn.functional",
    "torch.special",
    "torch.linalg",
    "torch.fft",
    "torch.sparse",
    "torch.autograd",
)


def is_ours(module: str | None) -> bool:
    """Whether ``module`` is a module of torch, under its own name or as this package's."""
    return module is not None and module.partition(".")[0] in (ALIAS, PACKAGE)


def torch_module(module: str) -> str:
    """The name by which files call the module ``module``."""
    return ALIAS + module[len(PACKAGE) :] if module.partition(".")[0] == PACKAGE else module


def _import(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        if missing.partition(".")[0] == PACKAGE:
            raise ModuleNotFoundError(
                f"No module named '{torch_module(missing)}'", name=torch_module(missing)
            ) from None
        raise


def resolve(module: str, name: str) -> Any:
    """The object that files call ``name`` of ``module``, a module under ``torch``.

    Raises:
        ModuleNotFoundError: there is no such module.
        AttributeError: the module has nothing of this name.
    """
    module = torch_module(module)
    if (module, name) == ("torch._C", "_VariableFunctionsClass"):
        return _import(PACKAGE)
    home = _HOMES.get((module, name))
    if home is None:
        own, prefix = _NATIVE_MODULES.get(module, (None, ""))
        own = PACKAGE + module[len(ALIAS) :] if own is None else f"{PACKAGE}.{own}"
        home = own, name.removeprefix(prefix)
    found: Any = _import(home[0])
    for part in home[1].split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise AttributeError(f"Can't get attribute '{name}' on <module '{module}'>") from None
    return found


def global_name(obj: Any, name: str | None = None) -> tuple[str, str] | None:
    """Torch's (module, name) of one of our classes or functions; None for other people's objects.

    Args:
        obj: what is to be referred to.
        name: its name in its module, by default the name it was defined under.
    """
    module = getattr(obj, "__module__", None)
    if not isinstance(module, str) or not is_ours(module):
        return None
    name = str(name or getattr(obj, "__qualname__", None) or obj.__name__)
    known = _NAMES.get((module, name))
    if known is not None:
        return known
    for place in (torch_module(module), *_SHOWN_IN):
        try:
            if resolve(place, name) is obj:
                return place, name
        except (ImportError, AttributeError):
            continue
    return None
