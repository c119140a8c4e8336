"""A Jupyter kernel in which ``import torch`` means this package: IPython's kernel, started through the runner."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys

NAME = "torchlike"


def _user_data_folder() -> str:
    """Where Jupyter looks for a user's kernels, as its documentation lists the places."""
    chosen = os.environ.get("JUPYTER_DATA_DIR")
    if chosen:
        return chosen
    home = os.path.expanduser("~")
    if sys.platform == "darwin":
        return os.path.join(home, "Library", "Jupyter")
    if os.name == "nt":
        return os.path.join(os.environ.get("APPDATA") or home, "jupyter")
    return os.path.join(os.environ.get("XDG_DATA_HOME") or os.path.join(home, ".local", "share"), "jupyter")


def write_kernel(folder: str, display_name: str) -> str:
    """Write the kernel's description below a Jupyter data folder and return the path of the file."""
    target = os.path.join(folder, "kernels", NAME)
    os.makedirs(target, exist_ok=True)
    path = os.path.join(target, "kernel.json")
    description = {
        "argv": [sys.executable, "-m", "torchlike", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": display_name,
        "language": "python",
        "metadata": {"debugger": True},
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(description, file, indent=1)
        file.write("\n")
    return path


def main(arguments: list[str]) -> None:
    """The command ``python -m torchlike --install-kernel``."""
    parser = argparse.ArgumentParser(
        prog="python -m torchlike --install-kernel",
        description='Add a Jupyter kernel in which "import torch" means torchlike.',
    )
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--user", action="store_true", help="for this user (the default outside virtual environments)")
    place.add_argument("--prefix", help="below PREFIX/share/jupyter (the default is the virtual environment's)")
    parser.add_argument("--display-name", default="Python (torchlike)", help="the name that Jupyter shows")
    chosen = parser.parse_args(arguments)
    if chosen.prefix is None and not chosen.user and sys.prefix != sys.base_prefix:
        chosen.prefix = sys.prefix
    folder = os.path.join(chosen.prefix, "share", "jupyter") if chosen.prefix else _user_data_folder()
    print(f"wrote {write_kernel(folder, chosen.display_name)}")
    if importlib.util.find_spec("ipykernel") is None:
        print("the kernel needs ipykernel, which is not installed: pip install ipykernel", file=sys.stderr)
