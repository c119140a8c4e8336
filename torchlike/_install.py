"""``torch`` as a second name of this package: the import hook behind ``install()`` and ``python -m torchlike``.

One module, two names: after ``install()`` every ``torch.x`` in ``sys.modules`` is the module object ``torchlike.x``, so
a class has one identity whichever name it was reached by. Nothing here imports the package's contents: they are loaded
by the program's own first ``import torch``.

The hook is one finder at the front of ``sys.meta_path``.

* Asked for ``torch.x``, it answers with a loader that imports ``torchlike.x`` and files it under both names.
* Asked for ``torchlike.x``, it lets the ordinary path finder answer, and files the module under its torch name as soon
  as it is loaded. Waiting for somebody to import ``torch.x`` would be too late: that import would bind the submodule
  over whatever the parent package has chosen to call ``x`` meanwhile (``torch.nn.utils.weight_norm`` is a function).
* Asked for the distribution ``torch``, it describes this package.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from types import ModuleType
from typing import Any

__all__ = ["install", "uninstall"]

PACKAGE = "torchlike"
ALIAS = "torch"
_FOLDER = os.path.dirname(os.path.abspath(__file__))
_NATIVE_IS_LOADED = (
    "native PyTorch is already imported as 'torch' (from {origin}); call torchlike.install() before the program's "
    "first 'import torch', or take the name over with torchlike.install(force=True)"
)


def _is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def real_name(name: str) -> str:
    """The package's own name for a module that a program calls ``torch`` or ``torch.x``; other names as they are."""
    return PACKAGE + name[len(ALIAS) :] if _is_within(name, ALIAS) else name


def _alias(name: str) -> str:
    return ALIAS + name[len(PACKAGE) :]


# ---------------------------------------------------------------------------------------- the program's launch


def _is_launching() -> bool:
    """Whether Python imports the package only on its way to ``torchlike.__main__``."""
    command = sys.argv[0] if sys.argv else ""
    if command == "-m":
        # While ``python -m`` locates its module, the arguments are all that sys.argv has, and the module's name stands
        # before them on the command line as it was typed.
        module = sys.orig_argv[-len(sys.argv)].removeprefix("-m")
        return _is_within(module, PACKAGE)
    # The command that was installed beside the interpreter.
    folder, name = os.path.split(os.path.abspath(command))
    return name in (PACKAGE, f"{PACKAGE}.exe") and folder == os.path.dirname(os.path.abspath(sys.executable))


_waiting = False
_launch_is_over = False


def is_waiting() -> bool:
    """Whether the package's contents are to wait until the program that is being launched asks for them.

    A program that is run through the package may set up its environment before it imports ``torch``, or may never
    import it. ``torchlike/__init__.py`` therefore asks this first.
    """
    global _waiting
    _waiting = not _launch_is_over and _is_launching()
    return _waiting


def end_launch() -> None:
    """Let the next ``import torch`` or ``import torchlike`` load the package's contents."""
    global _waiting, _launch_is_over
    _launch_is_over = True
    if _waiting:
        _waiting = False
        sys.modules.pop(PACKAGE, None)


# ---------------------------------------------------------------------------------------- finder and loaders


class _AliasLoader:
    """Loads ``torch.x`` by importing ``torchlike.x``."""

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        # The import system takes what it finds under the name afterwards, so the module's own spec stays as it was.
        name = module.__name__
        sys.modules[name] = importlib.import_module(real_name(name))


class _WatchedLoader(SourceFileLoader):
    """Loads a source file as usual and then calls ``loaded`` with the module's name."""

    def __init__(self, name: str, path: str, loaded: Callable[[str], None]):
        super().__init__(name, path)
        self._loaded = loaded

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        self._loaded(module.__name__)


def _add_alias(name: str) -> None:
    if _finder in sys.meta_path:
        sys.modules[_alias(name)] = sys.modules[name]


def _watched(spec: ModuleSpec | None, loaded: Callable[[str], None]) -> ModuleSpec | None:
    if spec is not None and type(spec.loader) is SourceFileLoader:
        spec.loader = _WatchedLoader(spec.loader.name, spec.loader.path, loaded)
    return spec


def _package_spec() -> ModuleSpec | None:
    """The spec of the package itself, which need not be on ``sys.path`` (a program may replace its first entry)."""
    return spec_from_file_location(PACKAGE, os.path.join(_FOLDER, "__init__.py"), submodule_search_locations=[_FOLDER])


class AliasFinder:
    """Answers imports of ``torch`` and of its submodules with this package's modules."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if _is_within(name, ALIAS):
            return self._alias_spec(name, path)
        if name == PACKAGE:
            return _watched(_package_spec(), _add_alias)
        if _is_within(name, PACKAGE):
            return _watched(PathFinder.find_spec(name, path, target), _add_alias)
        if name == _SPAWN:
            return _watched(PathFinder.find_spec(name, path, target), _hand_down)
        return None

    @staticmethod
    def _alias_spec(name: str, path: Any) -> ModuleSpec | None:
        real = real_name(name)
        module = sys.modules.get(real)
        if module is not None:
            found = getattr(module, "__spec__", None)
            is_package = hasattr(module, "__path__")
        else:
            found = _package_spec() if real == PACKAGE else PathFinder.find_spec(real, path)
            if found is None:
                return None
            is_package = found.submodule_search_locations is not None
        loader: Any = _AliasLoader()
        spec = ModuleSpec(name, loader, origin=getattr(found, "origin", None), is_package=is_package)
        if is_package:
            spec.submodule_search_locations = list(getattr(found, "submodule_search_locations", None) or [])
        return spec

    @staticmethod
    def find_distributions(context: Any = None) -> Iterator[Any]:
        """The distribution ``torch`` as ``importlib.metadata`` sees it: this package, at its API level."""
        wanted = getattr(context, "name", None)
        if wanted is None or wanted.lower() == ALIAS:
            yield _distribution()


_finder = AliasFinder()


def _distribution() -> Any:
    from importlib.metadata import Distribution

    from torchlike.version import __version__

    class TorchDistribution(Distribution):
        """Stands in for the distribution of native PyTorch."""

        def read_text(self, filename: str) -> str | None:
            texts = {
                "METADATA": f"Metadata-Version: 2.1\nName: {ALIAS}\nVersion: {__version__}\n",
                "top_level.txt": f"{ALIAS}\n",
            }
            return texts.get(filename)

        def locate_file(self, path: Any) -> Any:
            return os.path.join(os.path.dirname(_FOLDER), path)

    return TorchDistribution()


# ---------------------------------------------------------------------------------------- child processes

_SPAWN = "multiprocessing.spawn"
# Run by a spawned process before it reads anything else; the package need not be on that process's path yet.
_IN_CHILD = f"""
import sys
sys.path.append({os.path.dirname(_FOLDER)!r})
from {PACKAGE}._install import install
sys.path.pop()
install()
"""


class _InstallFirst:
    """Pickles as a call, so that the process that reads it has the name ``torch`` before it imports its main module."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (_IN_CHILD, {})


def _hand_down(name: str = _SPAWN) -> None:
    """Make processes that ``multiprocessing`` spawns know the name ``torch`` too (forked ones do anyway)."""
    spawn: Any = sys.modules.get(name)
    if spawn is None or hasattr(spawn.get_preparation_data, "without_alias"):
        return
    original = spawn.get_preparation_data

    def get_preparation_data(name: str) -> dict[str, Any]:
        # Unpickled in order, hence first.
        data = {PACKAGE: _InstallFirst(), **original(name)}
        if name == "ignore":
            # The fork server asks under this name for what it may import itself, before any child reads this. It
            # cannot import a program that imports torch; its children do.
            for key in (PACKAGE, "init_main_from_path", "init_main_from_name", "main_path"):
                data.pop(key, None)
        return data

    get_preparation_data.without_alias = original  # type: ignore[attr-defined]
    spawn.get_preparation_data = get_preparation_data


def _stop_handing_down() -> None:
    spawn: Any = sys.modules.get(_SPAWN)
    if spawn is not None:
        original = getattr(spawn.get_preparation_data, "without_alias", None)
        spawn.get_preparation_data = original or spawn.get_preparation_data


# ---------------------------------------------------------------------------------------- the switch

_displaced: dict[str, ModuleType] = {}


def _names_under(package: str) -> list[str]:
    return [name for name in sys.modules if _is_within(name, package)]


def install(force: bool = False) -> None:
    """Make ``import torch`` in this process, and in processes that it forks or spawns, mean this package.

    Programs written for PyTorch then run as they are. Nothing is imported by the call itself. Calling it again changes
    nothing.

    Args:
        force: take the name over even if native PyTorch is already imported as ``torch``; references that the program
            already holds stay native. Default False.

    Raises:
        ImportError: native PyTorch is already imported and ``force`` is false.

    Example:
        >>> import torchlike
        >>> torchlike.install()
        >>> import torch
        >>> torch is torchlike
        True
        >>> torchlike.uninstall()
    """
    if _finder in sys.meta_path:
        return
    native = sys.modules.get(ALIAS)
    if native is not None and not force:
        raise ImportError(_NATIVE_IS_LOADED.format(origin=getattr(native, "__file__", "?")), name=ALIAS)
    for name in _names_under(ALIAS):
        _displaced[name] = sys.modules.pop(name)
    sys.meta_path.insert(0, _finder)
    if not _waiting:
        for name in _names_under(PACKAGE):
            _add_alias(name)
    _hand_down()


def uninstall() -> None:
    """Undo ``install()``: ``import torch`` means native PyTorch again, or nothing where that is not installed.

    Modules that the program already holds stay as they are.
    """
    if _finder not in sys.meta_path:
        return
    sys.meta_path.remove(_finder)
    _stop_handing_down()
    for name in _names_under(ALIAS):
        if sys.modules[name] is sys.modules.get(real_name(name)):
            del sys.modules[name]
    sys.modules.update(_displaced)
    _displaced.clear()
