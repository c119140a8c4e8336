"""Imports go one way: each layer uses those below it and none above."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "torchlike"

#: Layer -> the layers that its modules may import when they are imported themselves.
ALLOWED = {
    "_engine": {"_engine"},
    "_tape": {"_tape", "_engine"},
    "_tensor": {"_tensor", "_tape", "_engine"},
    "_ops": {"_ops", "_tensor", "_tape", "_engine", "return_types"},
}


def imported_at_load(path: Path) -> set[str]:
    """The parts of the package that a module imports at its top level."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf8")).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("torchlike"):
            parts = node.module.split(".")
            found.update([parts[1]] if len(parts) > 1 else [alias.name for alias in node.names])
        elif isinstance(node, ast.Import):
            found.update(a.name.split(".")[1] for a in node.names if a.name.startswith("torchlike."))
    return found


@pytest.mark.parametrize("layer", ALLOWED)
def test_a_layer_imports_only_what_is_below_it(layer):
    files = sorted((PACKAGE / layer).rglob("*.py"))
    assert files
    above = {
        str(path.relative_to(PACKAGE)): extra for path in files if (extra := imported_at_load(path) - ALLOWED[layer])
    }
    assert not above


def test_the_package_never_imports_native_torch():
    roots = ("torch", "torchvision", "torchaudio")
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not [n for n in names if n.split(".")[0] in roots], path


def test_no_file_is_too_long_to_read():
    lengths = {str(p.relative_to(PACKAGE)): len(p.read_text().splitlines()) for p in PACKAGE.rglob("*.py")}
    assert not {name: n for name, n in lengths.items() if n > 900}
