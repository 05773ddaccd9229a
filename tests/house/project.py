"""The repository as these tests see it: its root, and the files that are, or are about to be, committed."""

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("model", "labeling", "trainer", "backend", "proof")


@cache
def tracked() -> tuple[Path, ...]:
    """Files that git tracks or would add, relative to the root: what .gitignore names is left out."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    names = listed.stdout.decode().split("\0")
    return tuple(sorted(Path(name) for name in set(names) if name and (ROOT / name).is_file()))


def sources(*rooms: str) -> list[Path]:
    """The Python files of these rooms, relative to the root; every Python file when none is named."""
    return [path for path in tracked() if path.suffix == ".py" and (not rooms or path.parts[0] in rooms)]
