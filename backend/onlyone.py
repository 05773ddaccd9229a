"""One process for one project: several serve, one of them speaks to Label Studio about what is served."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(data_dir: Path, project: int) -> Iterator[bool]:
    """Whether it is this process's turn, for as long as the block runs; another has it if not. Never waits.

    The system takes the lock back however the process ends. Raises OSError where DATA_DIR cannot be written.
    """
    folder = data_dir / "relink"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{project}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
