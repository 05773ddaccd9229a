"""How a run begins, or goes on: one at a time a project, against one champion, by one recipe."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from model.store import Champion
from trainer.learning.apprentice import apprentice
from trainer.learning.files import read_json, write_json
from trainer.learning.recipe import Recipe

POLL_S = 0.2


class Busy(RuntimeError):
    """Another training of the same project is at work."""


@dataclass(frozen=True)
class Start:
    """`run.json`. `epoch` is that of the project's own pointer, None where it has none; `champion` serves it.

    `apprentice` is the earlier run whose challenger this one goes on from, None to begin at the champion.
    """

    run: str
    project: str
    champion: str
    epoch: int | None
    seed: int
    began: str
    recipe: Recipe
    apprentice: str | None = None

    @property
    def by(self) -> str:
        """How the store's history names this run."""
        return f"run {self.run}"


@contextmanager
def alone(folder: Path, project: int, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the project's training lock. Raises Busy if another process still holds it after `wait_s` seconds.

    The kernel lets go of the lock of a process that dies, however it dies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as lock:
        deadline = time.monotonic() + wait_s
        while not _taken(lock.fileno()):
            if time.monotonic() >= deadline:
                lock.seek(0)
                holder = lock.read().strip() or "unknown"
                raise Busy(f"a training of project {project} is at work already (process {holder}); wait for its end")
            time.sleep(POLL_S)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def begin(
    folder: Path, project: int, champion: Champion, epoch: int | None, recipe: Recipe, *, batch: int | None = None
) -> Start:
    """Go on with the project's unfinished run, or begin a new one. Call it under the project's lock.

    An unfinished run against another champion, or by another recipe, is closed as superseded: what it found out would
    be about the past. `batch` is another batch to go on with, after one that did not fit into memory.
    """
    going_on: Start | None = None
    for path in unfinished(folder):
        start = read_start(path)
        if start is None:  # killed before its first file was there
            shutil.rmtree(path)
        elif reason := f"{going_on.run} goes on" if going_on else outdated(start, champion, epoch, recipe):
            supersede(path, reason)
        else:
            going_on = start
    if going_on is None:
        return _new(folder, project, champion, epoch, recipe)
    return _with_batch(folder, going_on, batch or going_on.recipe.batch)


def unfinished(folder: Path) -> list[Path]:
    """Runs that did not come to a decision, the latest first."""
    return sorted((p for p in folder.iterdir() if p.is_dir() and not (p / "report.json").exists()), reverse=True)


def outdated(start: Start, champion: Champion, epoch: int | None, recipe: Recipe) -> str | None:
    """Why an unfinished run is not worth going on with; None if it is."""
    if champion.by == start.by:
        return None  # it was promoted, and was killed before it could say so
    if (champion.version, epoch) != (start.champion, start.epoch):
        return f"the champion is {champion.version} now, and was {start.champion} when this run began"
    changed = recipe.changed(asdict(start.recipe))
    return f"settings have changed since this run began: {', '.join(changed)}" if changed else None


def supersede(folder: Path, reason: str) -> None:
    """Close a run without a decision; what of it takes room is of no more use."""
    for name in ("finetune", "challenger"):
        shutil.rmtree(folder / name, ignore_errors=True)
    write_json(folder / "report.json", {"run": folder.name, "event": "superseded", "reason": reason})


def read_start(folder: Path) -> Start | None:
    facts = read_json(folder / "run.json")
    return Start(**(facts | {"recipe": Recipe(**facts["recipe"])})) if facts else None


def _with_batch(folder: Path, start: Start, batch: int) -> Start:
    if batch != start.recipe.batch:
        start = replace(start, recipe=replace(start.recipe, batch=batch))
        write_json(folder / start.run / "run.json", asdict(start))
    return start


def _new(folder: Path, project: int, champion: Champion, epoch: int | None, recipe: Recipe) -> Start:
    now = datetime.now(UTC)
    run = f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
    # Each run draws other photos to replay; a resumed one draws the same.
    seed = int.from_bytes(hashlib.sha256(run.encode()).digest()[:4], "big") >> 1
    began = now.isoformat(timespec="seconds")
    start = Start(run, str(project), champion.version, epoch, seed, began, recipe, apprentice(folder, champion))
    write_json(folder / run / "run.json", asdict(start))
    return start


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
