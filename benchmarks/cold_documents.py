"""How long tutorials take from a cold start: a fresh process, no compiled programs, imports included.

    python benchmarks/cold_documents.py [--documents FOLDER] [--rounds 3] [--cores 1]

FOLDER holds ``check.py``, which runs every block of the documents that it is given by name, and lists their names.
"""

from __future__ import annotations

import re
from pathlib import Path

import harness

FOLDER = harness.HERE.parent.parent / "shared" / "documents"


def documents(folder: Path) -> list[str]:
    """The names of the documents in a folder; none where there is no such folder."""
    if not (folder / "check.py").is_file():
        return []
    return sorted(path.stem for pattern in ("*.ipynb", "*.md") for path in folder.glob(pattern))


def compare(folder: Path, rounds: int, cores: int) -> harness.Comparison:
    """Run each document by turns on both sides, each time as the first program of its life."""
    comparison = harness.Comparison()
    for name in documents(folder):
        for _ in range(rounds):
            for which in harness.SIDES:
                # The status is 1 if a block prints something else than it should, which is said below.
                program = [str(folder / "check.py"), name]
                seconds, output = harness.run_once(which, program, cores, statuses=(0, 1))
                passed = re.search(r"(\d+) of +(\d+) blocks", output)
                comparison.add(which, {f"{name}, cold": (seconds, "s")})
                if passed is None:
                    raise RuntimeError(f"{name} did not run under {which}")
                if passed[1] != passed[2]:
                    print(f"{name} under {which}: {passed[1]} of {passed[2]} blocks print what they should")
    return comparison


def main() -> None:
    options = harness.parser(__doc__, rounds=3)
    options.add_argument("--documents", type=Path, default=FOLDER, metavar="FOLDER")
    chosen = options.parse_args()
    if not documents(chosen.documents):
        print(f"no documents in {chosen.documents}")
        return
    print(compare(chosen.documents, chosen.rounds, chosen.cores).table())
    print(f"\n{harness.about(chosen.rounds, chosen.cores)}")


if __name__ == "__main__":
    main()
