"""Tasks that a request had no time for, on disk: whoever looks after their project captions them soon.

DATA_DIR/prelabel/<project>.left/<task>     an empty file, named by the first task of a request that was left out

Any process may leave one at any time; the one that has the project's turn takes them up. A file that is left again
while it is taken up may go with the others: its task is behind the new bookmark by then.
"""

from __future__ import annotations

from pathlib import Path


def leave(data_dir: Path, project: int, first_task: int) -> None:
    """Note that this task, and some behind it, want a caption. Raises OSError."""
    folder = _place(data_dir, project)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / str(first_task)).touch()


def waiting(data_dir: Path, project: int) -> list[int]:
    """The tasks that were left, by ascending id."""
    try:
        return sorted(int(path.name) for path in _place(data_dir, project).iterdir() if path.name.isdigit())
    except FileNotFoundError:
        return []


def taken_up(data_dir: Path, project: int, tasks: list[int]) -> None:
    """Forget these, once a bookmark stands before the first of them. Raises OSError."""
    for task in tasks:
        (_place(data_dir, project) / str(task)).unlink(missing_ok=True)


def _place(data_dir: Path, project: int) -> Path:
    return data_dir / "prelabel" / f"{project}.left"
