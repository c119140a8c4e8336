"""The name ``torch``: the import hook, and programs run through ``python -m torchlike``."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from torchlike.version import __version__, api, release

PROBE = """
import sys
names = dict(globals())
for name in sorted(set(names) - {"sys"}):
    print(name, names[name])
print(__name__, sys.modules["__main__"].__dict__ is globals(), sys.argv, sys.path[0])
"""


@pytest.fixture
def programs(tmp_path):
    """A folder of small programs."""
    files = {
        "probe.py": PROBE,
        "folder/__main__.py": PROBE,
        "package/__init__.py": "",
        "package/__main__.py": PROBE,
        "package/inner.py": PROBE,
        "package/plain/__init__.py": "",
        "empty/readme.txt": "",
        "raises.py": "def f():\n    1 / 0\n\n\ntry:\n    [][0]\nexcept IndexError:\n    f()\n",
        "syntax.py": "def f(:\n    pass\n",
        "latin.py": "# -*- coding: latin-1 -*-\nprint('\u00e9')\n",
        "broken/__init__.py": "import no_such_thing\n",
        "broken/inner.py": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="latin-1" if name == "latin.py" else "utf-8")
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", PROBE)
    return tmp_path


def normalised(text: str) -> str:
    """Text without addresses, and without the frames that plain Python shows of its own runner."""
    text = re.sub(r'  File "<frozen (runpy|importlib|zipimport)[^"]*", .*\n', "", text)
    # What is left of the traceback of a syntax error is no frame.
    text = re.sub(r'Traceback \(most recent call last\):\n(?=  File "[^"]*", line \d+\n)', "", text)
    return re.sub(r"0x[0-9a-f]+", "0x", text)


# ------------------------------------------------------------------------------- programs, as plain Python runs them

FORMS = {
    "a script": ["probe.py", "a", "-b"],
    "a script elsewhere": ["package/inner.py"],
    "a folder": ["folder", "a"],
    "an archive": ["archive.zip"],
    "a module": ["-m", "probe", "a"],
    "a module, joined": ["-mprobe", "-c"],
    "a module in a package": ["-m", "package.inner"],
    "a package": ["-m", "package", "--flag"],
    "code": ["-c", PROBE, "a"],
    "standard input, named": ["-", "a"],
    "standard input": [],
    "latin-1": ["latin.py"],
    "a missing script": ["nowhere.py"],
    "a folder without a program": ["empty"],
    "a missing module": ["-m", "nowhere"],
    "a module in a missing package": ["-m", "nowhere.inner"],
    "a missing module in a package": ["-m", "package.nowhere"],
    "a package that is no program": ["-m", "package.plain"],
    "a package that fails": ["-m", "broken.inner"],
    "a relative module": ["-m", ".probe"],
    "a built-in module": ["-m", "sys"],
    "an error": ["raises.py", "x"],
    "an error in a module": ["-m", "raises"],
    "an error in code": ["-c", "import os; os.nowhere"],
    "a syntax error": ["syntax.py"],
    "a syntax error in a module": ["-m", "syntax"],
    "an exit status": ["-c", "raise SystemExit(3)"],
    "an exit with a message": ["-c", "import sys; sys.exit('bye')"],
    "no exit status": ["-c", "raise SystemExit"],
    "an interrupt": ["-c", "raise KeyboardInterrupt"],
    "an exception hook": ["-c", "import sys; sys.excepthook = lambda *a: print(a[0], a[2].tb_lineno); 1 / 0"],
    "an exit handler": ["-c", "import atexit; atexit.register(print, 'at exit'); 1 / 0"],
}


@pytest.mark.parametrize("form", FORMS)
def test_runs_as_plain_python_runs_it(form, programs, run_python):
    plain = run_python(*FORMS[form], cwd=programs, text=PROBE)
    ours = run_python("-m", "torchlike", *FORMS[form], cwd=programs, text=PROBE)
    assert normalised(ours.stderr) == normalised(plain.stderr)
    assert normalised(ours.stdout) == normalised(plain.stdout)
    assert ours.returncode == plain.returncode
    assert "torchlike" not in ours.stderr


def test_exit_statuses(run_python):
    assert run_python("-m", "torchlike", "-c", "1/0").returncode == 1
    assert run_python("-m", "torchlike", "-c", "raise KeyboardInterrupt").returncode == -signal.SIGINT


def test_safe_path_keeps_the_folder_off_the_path(programs, run_python):
    arguments = ["-P", "-m", "torchlike", "probe.py"]
    assert (
        run_python(*arguments, cwd=programs).stdout.splitlines()[-1]
        == (run_python("-P", "probe.py", cwd=programs).stdout.splitlines()[-1])
    )


def test_nothing_heavy_before_the_program_asks(run_python):
    ours = run_python("-m", "torchlike", "-c", "import sys; print([n for n in sys.modules if n in ('jax', 'numpy')])")
    assert ours.stdout == "[]\n"


def test_installed_command(run_python):
    command = Path(sys.executable).with_name("torchlike")
    if not command.exists():
        pytest.skip("the package is not installed")
    program = "import sys; print('jax' in sys.modules); import torch; print(torch.__version__, sys.argv)"
    ours = subprocess.run([command, "-c", program, "a"], capture_output=True, text=True, check=True)
    assert ours.stdout.split() == ["False", __version__, "['-c',", "'a']"]


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help(option, run_python):
    ours = run_python("-m", "torchlike", option)
    assert ours.returncode == 0
    assert ours.stdout.startswith("usage: python -m torchlike")


def test_version_option(run_python):
    assert run_python("-m", "torchlike", "--version").stdout == f"torchlike {release} (PyTorch {api})\n"


@pytest.mark.parametrize("arguments", [["--nonsense"], ["-x", "script.py"], ["-c"], ["-m"]])
def test_bad_command_lines(arguments, run_python):
    ours = run_python("-m", "torchlike", *arguments)
    assert ours.returncode == 2
    assert "usage: python -m torchlike" in ours.stderr


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_interactive_session(python_environment, programs):
    import pty

    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "torchlike"],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=programs,
        env={**python_environment, "PYTHONSTARTUP": ""},
    )
    os.write(controller, b"import __main__\nx = 41\n__main__.x + 1\nundefined\n__name__\nraise SystemExit(5)\n")
    output = process.communicate(timeout=60)[0].decode()
    os.close(terminal)
    os.close(controller)
    assert process.returncode == 5
    assert "42" in output and "'__main__'" in output
    assert "NameError: name 'undefined' is not defined" in output


# ------------------------------------------------------------------------------------------- one module, two names


def check(run_python, program: str, *options: object, **settings) -> str:
    """Run a program that asserts; its output."""
    result = run_python(*options, "-c", textwrap.dedent(program), **settings)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_module_has_both_names(run_python):
    program = """
        import importlib, importlib.util, sys
        assert importlib.util.find_spec("torch") is not None and "torch" not in sys.modules
        import torch, torch.nn as nn, torch.nn.functional as F
        from torch.utils.data import DataLoader
        import torchlike, torchlike.nn.functional
        assert torch is torchlike is sys.modules["torch"] is sys.modules["torchlike"]
        assert nn is torchlike.nn and F is torchlike.nn.functional
        assert importlib.import_module("torch.nn.modules.linear").Linear is torchlike.nn.Linear
        assert sys.modules["torch.utils.data"].DataLoader is DataLoader is torchlike.utils.data.DataLoader
        ours = {name for name in sys.modules if name.startswith("torchlike.")}
        for name in ours:
            alias = sys.modules.get("torch" + name.removeprefix("torchlike"))
            assert alias is None or alias is sys.modules[name], name
        assert len([name for name in sys.modules if name.startswith("torch.")]) > 0.9 * len(ours)
        assert torch.nn.__spec__.name == torch.nn.__name__ == "torchlike.nn"
        """
    check(run_python, program, "-m", "torchlike")


def test_a_function_that_hides_its_module_stays(run_python):
    # The parent binds the function after the submodule is loaded; a later import of the submodule must not undo that.
    program = """
        import torchlike.nn.utils
        import torch.nn.utils.weight_norm
        import torch
        assert callable(torch.nn.utils.weight_norm), torch.nn.utils.weight_norm
        """
    check(run_python, program, "-m", "torchlike")


def test_what_is_missing_is_reported_under_the_name_that_was_asked_for(run_python):
    program = """
        import importlib, importlib.util
        for name in "torch.nowhere", "torch.nn.nowhere", "torch.nowhere.inner":
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                print(error, error.name)
        assert importlib.util.find_spec("torch.nowhere") is None
        try:
            from torch import nowhere
        except ImportError as error:
            print(type(error).__name__)
        """
    assert check(run_python, program, "-m", "torchlike").splitlines() == [
        "No module named 'torch.nowhere' torch.nowhere",
        "No module named 'torch.nn.nowhere' torch.nn.nowhere",
        "No module named 'torch.nowhere' torch.nowhere",
        "ImportError",
    ]


def test_distribution(run_python):
    program = """
        from importlib import metadata
        print(metadata.version("torch"), metadata.distribution("torch").metadata["Name"])
        import torch
        assert str(torch.__version__) == metadata.version("torch")
        torch.uninstall()
        print(sum(d.metadata["Name"] == "torch" and "torchlike" in d.version for d in metadata.distributions()))
        """
    assert check(run_python, program, "-m", "torchlike").splitlines() == [f"{__version__} torch", "0"]


def test_reload(run_python):
    program = """
        import importlib, sys
        import torch, torch.nn.utils
        utils = torch.nn.utils
        utils.marker = 1
        assert importlib.reload(torch.nn.utils) is utils and utils.marker == 1
        assert sys.modules["torch.nn.utils"] is sys.modules["torchlike.nn.utils"] is utils
        """
    check(run_python, program, "-m", "torchlike")


def test_assignments_reach_both_names(run_python):
    program = """
        import torch, torchlike
        torch.randn = "mine"
        assert torchlike.randn == "mine"
        """
    check(run_python, program, "-m", "torchlike")


@pytest.fixture
def other_torch(tmp_path):
    """A folder with a package that stands for native PyTorch."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("native = True\nfrom torch import inner\n")
    (tmp_path / "torch" / "inner.py").write_text("")
    return tmp_path


def test_the_name_is_left_alone_unless_asked_for(run_python, other_torch):
    program = """
        import sys
        import torchlike
        assert not [name for name in sys.modules if name.partition(".")[0] == "torch"]
        import torch
        assert torch.native and torch is not torchlike
        """
    check(run_python, program, cwd=other_torch)


def test_install_and_uninstall(run_python, other_torch):
    program = """
        import sys
        import torchlike
        torchlike.uninstall()
        torchlike.install()
        torchlike.install()
        import torch, torch.nn
        assert torch is torchlike
        torchlike.uninstall()
        assert not [name for name in sys.modules if name.partition(".")[0] == "torch"]
        import torch
        assert torch.native
        try:
            torchlike.install()
        except ImportError as error:
            print(error)
        assert sys.modules["torch"] is torch
        torchlike.install(force=True)
        import torch as taken
        assert taken is torchlike and "torch.inner" not in sys.modules
        torchlike.uninstall()
        assert sys.modules["torch"] is torch and "torch.inner" in sys.modules
        """
    message = check(run_python, program, cwd=other_torch)
    assert message.startswith("native PyTorch is already imported as 'torch' (from ")
    assert "force=True" in message


def test_beside_native(run_python, has_native):
    if not has_native:
        pytest.skip("native PyTorch is not installed")
    program = """
        import torch
        import torchlike
        assert torch is not torchlike and torch.nn.Linear is not torchlike.nn.Linear
        native, ours = torch.arange(3.0).sum().item(), torchlike.arange(3.0).sum().item()
        assert native == ours == 3.0
        """
    check(run_python, program)


def test_types_print_as_torchs(run_python):
    program = """
        import torch
        print(torch.Tensor, type(torch.tensor(1)), torch.nn.Linear, torch.optim.SGD, torch.utils.data.DataLoader)
        """
    assert check(run_python, program, "-m", "torchlike").strip() == (
        "<class 'torch.Tensor'> <class 'torch.Tensor'> <class 'torch.nn.modules.linear.Linear'> "
        "<class 'torch.optim.sgd.SGD'> <class 'torch.utils.data.dataloader.DataLoader'>"
    )


# --------------------------------------------------------------------------------------------------- child processes

CHILDREN = """
import multiprocessing, pickle, sys
import torch

class Mine:
    value = 7

def work(mine, queue):
    queue.put((torch.__name__, sys.modules["torch"] is sys.modules["torchlike"], mine.value, __name__))

if __name__ == "__main__":
    assert pickle.loads(pickle.dumps(Mine())).value == 7
    context = multiprocessing.get_context(sys.argv[1])
    queue = context.Queue()
    process = context.Process(target=work, args=(Mine(), queue))
    process.start()
    print(queue.get(timeout=100))
    process.join()
    sys.exit(process.exitcode)
"""


@pytest.mark.parametrize("how", ["script", "module"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_child_processes_have_the_name_too(method, how, run_python, tmp_path):
    (tmp_path / "children.py").write_text(CHILDREN)
    program = ["children.py"] if how == "script" else ["-m", "children"]
    # Python warns of a fork in a process with threads, which JAX has.
    ours = run_python("-W", "ignore", "-m", "torchlike", *program, method, cwd=tmp_path)
    assert ours.returncode == 0, ours.stderr
    main = "__main__" if method == "fork" else "__mp_main__"
    assert ours.stdout.strip() == str(("torchlike", True, 7, main))


def test_uninstall_leaves_multiprocessing_as_it_was(run_python):
    program = """
        from multiprocessing import spawn
        before = spawn.get_preparation_data
        import torchlike
        torchlike.install()
        assert spawn.get_preparation_data is not before
        torchlike.uninstall()
        assert spawn.get_preparation_data is before
        """
    check(run_python, program)


# ------------------------------------------------------------------------------------------------------------ kernel


def test_kernel(run_python, tmp_path):
    ours = run_python("-m", "torchlike", "--install-kernel", "--prefix", tmp_path, "--display-name", "Mine")
    assert ours.returncode == 0, ours.stderr
    path = tmp_path / "share" / "jupyter" / "kernels" / "torchlike" / "kernel.json"
    assert ours.stdout == f"wrote {path}\n"
    description = json.loads(path.read_text())
    assert description["argv"][1:] == ["-m", "torchlike", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    assert (description["display_name"], description["language"]) == ("Mine", "python")


def test_kernel_for_the_user(run_python, tmp_path):
    ours = run_python("-m", "torchlike", "--install-kernel", "--user", env={"JUPYTER_DATA_DIR": str(tmp_path)})
    assert ours.returncode == 0, ours.stderr
    assert (tmp_path / "kernels" / "torchlike" / "kernel.json").is_file()
