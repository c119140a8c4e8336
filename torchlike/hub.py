"""``torch.hub``: files of weights from the network, and models that a folder's ``hubconf.py`` makes."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable
from typing import Any
from urllib.parse import urlparse

__all__ = ["download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url", "set_dir"]

_HASH = re.compile(r"-([a-f0-9]*)\.")
_CHUNK = 128 * 1024
_folder: str | None = None


def get_dir() -> str:
    """The folder for what is downloaded: ``$TORCH_HOME/hub``, by default under the user's cache."""
    if _folder is not None:
        return _folder
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    return os.path.join(os.path.expanduser(home), "hub")


def set_dir(d: str | os.PathLike) -> None:
    """Set the folder for what is downloaded."""
    global _folder
    _folder = os.path.expanduser(d)


def download_url_to_file(url: str, dst: str, hash_prefix: str | None = None, progress: bool = True) -> None:
    """Download a file.

    Args:
        url: where it is.
        dst: where to put it; it appears there when it is complete.
        hash_prefix: how its SHA-256 has to begin.
        progress: whether to say on standard error how far the download is.

    Raises:
        RuntimeError: the file's hash is another.
    """
    from urllib.request import Request, urlopen

    dst = os.path.expanduser(dst)
    digest = hashlib.sha256()
    with urlopen(Request(url, headers={"User-Agent": "torch.hub"})) as response:
        size = response.headers.get("Content-Length")
        handle, partial = tempfile.mkstemp(suffix=".partial", dir=os.path.dirname(dst) or ".")
        try:
            with os.fdopen(handle, "wb") as file:
                done = 0
                while chunk := response.read(_CHUNK):
                    file.write(chunk)
                    digest.update(chunk)
                    done += len(chunk)
                    if progress and size:
                        print(f"\r{done / int(size):4.0%} of {int(size) / 2**20:.1f} MB", end="", file=sys.stderr)
                if progress and size:
                    print(file=sys.stderr)
            found = digest.hexdigest()
            if hash_prefix is not None and not found.startswith(hash_prefix):
                raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "{found}")')
            shutil.move(partial, dst)
        finally:
            if os.path.exists(partial):
                os.remove(partial)


def _is_legacy_zip(filename: str) -> bool:
    """Whether a file is a zip of one file that torch's own format does not use."""
    if not zipfile.is_zipfile(filename):
        return False
    with zipfile.ZipFile(filename) as archive:
        infos = archive.infolist()
        return len(infos) == 1 and not infos[0].is_dir()


def load_state_dict_from_url(
    url: str, model_dir: str | None = None, map_location: Any = None, progress: bool = True, check_hash: bool = False,
    file_name: str | None = None, weights_only: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """What ``torch.load`` reads from a file on the network, which is downloaded once.

    Args:
        url: where the file is.
        model_dir: the folder to keep it in, ``checkpoints`` under :func:`get_dir` unless given.
        map_location: see ``torch.load``.
        progress: whether to say how far the download is.
        check_hash: whether the file's name ends in the first digits of its SHA-256, which are then checked.
        file_name: the name to keep it under, the one in ``url`` unless given.
        weights_only: see ``torch.load``.
    """
    import torchlike as torch

    folder = os.path.join(get_dir(), "checkpoints") if model_dir is None else model_dir
    os.makedirs(folder, exist_ok=True)
    name = file_name or os.path.basename(urlparse(url).path)
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        print(f'Downloading: "{url}" to {path}\n', file=sys.stderr)
        match = _HASH.search(name) if check_hash else None
        download_url_to_file(url, path, match.group(1) if match else None, progress)
    if _is_legacy_zip(path):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
            path = os.path.join(folder, archive.infolist()[0].filename)
    return torch.load(path, map_location=map_location, weights_only=weights_only)


# Models of a folder.


def _check_source(source: str, repo: str) -> None:
    source = source.lower()
    if source not in ("github", "local"):
        raise ValueError(f'Unknown source: "{source}". Allowed values: "github" | "local".')
    if source == "github":
        raise NotImplementedError(
            f"torch.hub from GitHub: code from the network is not fetched and run here. Clone https://github.com/"
            f"{repo.partition(':')[0]} and give its folder with source='local'"
        )


def _hubconf(folder: str) -> Any:
    """The module ``hubconf.py`` of a folder."""
    folder = os.path.expanduser(folder)
    path = os.path.join(folder, "hubconf.py")
    sys.path.insert(0, folder)
    try:
        spec = importlib.util.spec_from_file_location("hubconf", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(folder)
    missing = [name for name in getattr(module, "dependencies", ()) if importlib.util.find_spec(name) is None]
    if missing:
        raise RuntimeError(f"Missing dependencies: {', '.join(missing)}")
    return module


def _entry(module: Any, name: Any) -> Callable:
    if not isinstance(name, str):
        raise ValueError("Invalid input: model should be a string of function name")
    function = getattr(module, name, None)
    if function is None or not callable(function):
        raise RuntimeError(f"Cannot find callable {name} in hubconf")
    return function


def list(github, force_reload=False, skip_validation=False, trust_repo="check", verbose=True):
    """The names of the models of a folder."""
    _check_source("local" if os.path.isdir(github) else "github", github)
    module = _hubconf(github)
    return [name for name in dir(module) if callable(getattr(module, name)) and not name.startswith("_")]


def help(github, model, force_reload=False, skip_validation=False, trust_repo="check"):
    """The docstring of a model of a folder."""
    _check_source("local" if os.path.isdir(github) else "github", github)
    return _entry(_hubconf(github), model).__doc__


def load(
    repo_or_dir, model, *args, source="github", trust_repo="check", force_reload=False, verbose=True, skip_validation=False,
    **kwargs,
):  # fmt: skip
    """What the function ``model`` of a folder's ``hubconf.py`` returns for the other arguments; ``source="local"``.

    Raises:
        NotImplementedError: ``source`` is "github".
        RuntimeError: there is no such function, or a package that it needs is missing.
    """
    _check_source(source, repo_or_dir)
    return _entry(_hubconf(repo_or_dir), model)(*args, **kwargs)
