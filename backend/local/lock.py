"""One running system for one data folder: two would write to the same databases."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.local.errors import LocalError


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock for as long as the block runs. The system takes it back however the process ends.

    Raises LocalError if another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "run.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalError(
                f"Recaption already runs with the data in {folder.resolve()}. Stop it with Ctrl-C where it was "
                "started, or use another folder and other ports: "
                "make run DATA_DIR=other PORT=9091 LABEL_STUDIO_PORT=8081"
            ) from None
        yield
