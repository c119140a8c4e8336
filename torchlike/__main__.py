"""Run a program written for PyTorch with this package under the name ``torch``.

``python -m torchlike script.py arguments`` does what ``python script.py arguments`` does, and likewise for ``-m``,
``-c``, ``-``, a folder or archive with a ``__main__.py``, and no program at all: the same ``sys.argv``, ``sys.path``
and ``__main__`` module, the same exit status, and tracebacks that begin in the program. The only difference is what
``import torch`` finds.
"""

from __future__ import annotations

import builtins
import importlib.util
import io
import os
import sys
from collections.abc import Callable
from importlib.machinery import BuiltinImporter, ModuleSpec, SourceFileLoader, SourcelessFileLoader
from types import CodeType, ModuleType, TracebackType
from typing import Any, NoReturn

from torchlike import _install

USAGE = """\
usage: python -m torchlike [script.py | folder | -m module | -c code | -] [argument ...]
       python -m torchlike torchrun [argument ...]
       python -m torchlike --install-kernel [argument ...]

Run a program that says "import torch", with torchlike under that name. Without a program: an interactive session,
or the program on standard input.

  script.py, folder   run a file, or the __main__.py of a folder or of a zip archive
  -m module           run a module as a program
  -c code             run the code given as a string
  -                   run the program on standard input
  torchrun            start several processes of one program (torch.distributed.run)
  --install-kernel    add a Jupyter kernel in which "import torch" means torchlike (--help tells where)
  --version           show the versions of torchlike and of the PyTorch that it speaks
  -h, --help          show this text"""
LAUNCHER = "torch.distributed.run"


class _Program:
    """A program about to run: its ``__main__`` module, ``sys.argv[0]``, the first entry of ``sys.path``, its code."""

    def __init__(self, argv0: str, folder: str | None, code: Callable[[], CodeType]):
        self.argv0 = argv0
        self.folder = folder
        self.code = code
        self.main = ModuleType("__main__")
        self.main.__dict__.update(__builtins__=builtins, __loader__=BuiltinImporter)
        if sys.version_info < (3, 14):
            self.main.__annotations__ = {}


def _refuse(message: str, status: int = 1) -> NoReturn:
    print(f"{sys.executable}: {message}", file=sys.stderr)
    raise SystemExit(status)


# ---------------------------------------------------------------------------------------- kinds of program


def _from_text(text: str | bytes, argv0: str, filename: str) -> _Program:
    return _Program(argv0, "", lambda: compile(text, filename, "exec", dont_inherit=True))


def _from_standard_input(argv0: str) -> _Program:
    program = _from_text(sys.stdin.buffer.read(), argv0, "<stdin>")
    program.main.__dict__.update(__file__="<stdin>", __cached__=None)
    return program


def _from_path(argv0: str) -> _Program:
    import pkgutil

    path = os.path.abspath(argv0)
    importer: Any = pkgutil.get_importer(path)
    if importer is not None:
        spec = importer.find_spec("__main__")
        if spec is None:
            _refuse(f"can't find '__main__' module in {path!r}")
        return _from_spec(spec, argv0, path)

    def code() -> CodeType:
        if path.endswith(".pyc"):
            compiled = SourcelessFileLoader("__main__", path).get_code("__main__")
            assert compiled is not None
            return compiled
        return compile(source, path, "exec", dont_inherit=True)

    try:
        with io.open_code(path) as file:
            source = file.read()
    except OSError as error:
        _refuse(f"can't open file {path!r}: [Errno {error.errno}] {error.strerror}", 2)
    program = _Program(argv0, os.path.dirname(os.path.realpath(path)), code)
    loader = SourceFileLoader("__main__", path)
    program.main.__dict__.update(__file__=path, __cached__=None, __loader__=loader)
    return program


def _from_spec(spec: ModuleSpec, argv0: str, folder: str) -> _Program:
    loader: Any = spec.loader

    def code() -> CodeType:
        compiled = loader.get_code(spec.name)
        return compiled if compiled is not None else _refuse(f"No code object available for {spec.name}")

    program = _Program(argv0, folder, code)
    program.main.__dict__.update(
        __file__=spec.origin, __cached__=spec.cached, __loader__=loader, __package__=spec.parent, __spec__=spec
    )
    return program


class _NoSuchModule(Exception):
    pass


def _find_module(name: str) -> ModuleSpec:
    """The spec of the module to run for ``-m name``: for a package, that of its ``__main__``."""
    parent = name.rpartition(".")[0]
    failure = f"Error while finding module specification for {name!r}"
    if parent:
        try:
            __import__(parent)
        except ImportError as error:
            # Only what is missing on the way to the module is the command line's fault.
            if error.name is None or not f"{parent}.".startswith(f"{error.name}."):
                raise
            raise _NoSuchModule(f"{failure} ({type(error).__name__}: {error})") from None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise _NoSuchModule(f"{failure} ({type(error).__name__}: {error})") from error
    if spec is None:
        raise _NoSuchModule(f"No module named {name}")
    if spec.submodule_search_locations is not None:
        if name == "__main__" or name.endswith(".__main__"):
            raise _NoSuchModule("Cannot use package as __main__ module")
        try:
            return _find_module(f"{name}.__main__")
        except _NoSuchModule as error:
            raise _NoSuchModule(f"{error}; {name!r} is a package and cannot be directly executed") from None
    if spec.loader is None:
        raise _NoSuchModule(f"{name!r} is a namespace package and cannot be executed")
    return spec


def _from_module(name: str) -> _Program:
    _enter_folder(os.getcwd())
    if name.startswith("."):
        _refuse("Relative module names not supported")
    try:
        spec = _find_module(_install.real_name(name))
    except _NoSuchModule as error:
        _refuse(str(error))
    return _from_spec(spec, spec.origin or name, os.getcwd())


def _parse(arguments: list[str]) -> tuple[Callable[[], _Program], list[str]]:
    """What the command line says to run, and the arguments that are the program's own."""
    first, rest = arguments[0], arguments[1:]
    if first == "torchrun":
        return lambda: _from_module(LAUNCHER), rest
    if first == "-":
        return lambda: _from_standard_input("-"), rest
    kind, text = first[:2], first[2:]
    if kind in ("-m", "-c"):
        if not text:
            if not rest:
                _refuse(f"Argument expected for the {kind} option\n{USAGE}", 2)
            text, rest = rest[0], rest[1:]
        if kind == "-m":
            return lambda: _from_module(text), rest
        return lambda: _from_text(text, "-c", "<string>"), rest
    if first.startswith("-"):
        _refuse(f"unknown option {first}\n{USAGE}", 2)
    return lambda: _from_path(first), rest


# ---------------------------------------------------------------------------------------- running


def _enter_folder(folder: str | None) -> None:
    """Put the program's folder where Python put the runner's own, unless Python was told to keep it off the path."""
    if folder is not None and not sys.flags.safe_path:
        sys.path[:1] = [folder]


def _run(start: Callable[[], _Program], arguments: list[str]) -> None:
    sys.modules.setdefault(f"{__package__}.__main__", sys.modules["__main__"])
    try:
        program = start()
        sys.argv[:] = [program.argv0, *arguments]
        _enter_folder(program.folder)
        sys.modules["__main__"] = program.main
        exec(program.code(), program.main.__dict__)
    except SystemExit:
        raise
    except BaseException:
        sys.excepthook = _without_runner(sys.excepthook)
        raise


def _without_runner(hook: Callable[..., Any]) -> Callable[..., Any]:
    """``hook``, shown the traceback from the program's first frame on."""

    def excepthook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        seen = traceback
        while seen is not None:
            code, seen = seen.tb_frame.f_code, seen.tb_next
            if code is _run.__code__:
                traceback = seen
        while traceback is not None and _is_machinery(traceback.tb_frame.f_code.co_filename):
            traceback = traceback.tb_next
        error.__traceback__ = traceback
        hook(kind, error, traceback)

    return excepthook


def _is_machinery(filename: str) -> bool:
    return filename == __file__ or filename.startswith(("<frozen importlib", "<frozen zipimport"))


def _interact() -> None:
    """An interactive session with ``torch`` at hand, as Python's own."""
    import code

    main = _Program("", "", lambda: compile("", "<stdin>", "exec")).main
    sys.modules["__main__"] = main
    sys.argv[:] = [""]
    _enter_folder("")
    prepare = getattr(sys, "__interactivehook__", None)
    if prepare is not None:
        prepare()
    startup = None if sys.flags.ignore_environment else os.environ.get("PYTHONSTARTUP")
    console = code.InteractiveConsole(main.__dict__)
    if startup and os.path.isfile(startup):
        with io.open_code(startup) as file:
            console.runcode(compile(file.read(), startup, "exec", dont_inherit=True))
    if not sys.flags.quiet:
        about = 'Type "help", "copyright", "credits" or "license" for more information.'
        banner = f'Python {sys.version} on {sys.platform}\n{about}\n"import torch" means torchlike here.'
    else:
        banner = ""
    console.interact(banner, exitmsg="")


def _show_version() -> None:
    from torchlike.version import api, release

    print(f"torchlike {release} (PyTorch {api})")


def main() -> None:
    """The command ``python -m torchlike`` and the command ``torchlike``."""
    arguments = sys.argv[1:]
    first = arguments[0] if arguments else ""
    if first in ("-h", "--help"):
        print(USAGE)
    elif first in ("-V", "--version"):
        _show_version()
    elif first == "--install-kernel":
        from torchlike._kernel import main as install_kernel

        install_kernel(arguments[1:])
    else:
        _install.install()
        _install.end_launch()
        if arguments:
            _run(*_parse(arguments))
        elif sys.stdin.isatty():
            _interact()
        else:
            _run(lambda: _from_standard_input(""), [])


if __name__ == "__main__":
    main()
