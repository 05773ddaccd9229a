"""Versions on disk, and which of them serves.

    MODEL_DIR/versions/<id>/     published checkpoints, never changed again
    MODEL_DIR/refs/<name>.json   the champion of a project, or of `default`: {epoch, version, previous, fence, at, by}
    MODEL_DIR/history.jsonl      every promotion, appended

A version is published by staging it on the same disk and renaming it into place; a promotion is a compare-and-swap on
the pointer's epoch under a file lock. A reader sees the old champion or the new one, whole, at any moment.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model.checkpoint import FILES, CheckpointError, check_files, read_json, sync

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class StoreError(RuntimeError):
    """The store refuses: says what was asked, what it holds, and what would be accepted."""


@dataclass(frozen=True)
class Champion:
    """Who serves. `epoch` counts the pointer's moves; `fence` is the highest token that moved it."""

    version: str
    epoch: int
    previous: str | None
    fence: int
    at: str
    by: str


class Store:
    def __init__(self, model_dir: Path) -> None:
        self.root = model_dir

    def folder(self, version: str) -> Path:
        """The folder of a published version. Raises StoreError when there is none."""
        folder = self.root / "versions" / checked(version)
        if not folder.is_dir():
            held = ", ".join(self.versions()) or "none"
            raise StoreError(f"no version {version!r} in {self.root}; it holds: {held}")
        return folder

    def versions(self) -> list[str]:
        """Published versions, oldest first."""
        folder = self.root / "versions"
        found = [path for path in folder.iterdir() if NAME.fullmatch(path.name)] if folder.is_dir() else []
        return [path.name for path in sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))]

    def publish(self, checkpoint: Path) -> str:
        """Copy a checkpoint folder in, verified, and return its version. Publishing it twice is harmless.

        Raises CheckpointError when the folder is not a whole checkpoint.
        """
        manifest = read_json(checkpoint / "manifest.json")
        check_files(checkpoint, manifest)
        version = checked(f"recaption-{manifest.get('id')}")
        final = self.root / "versions" / version
        if final.is_dir():
            return version
        stage = final.with_name(f".{version}.{os.getpid()}.stage")
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir(parents=True)
        for name in (*FILES, "manifest.json"):
            shutil.copyfile(checkpoint / name, stage / name)
            sync(stage / name)
        sync(stage)
        self.settle(stage, final)
        return version

    def settle(self, stage: Path, final: Path) -> None:
        try:
            stage.rename(final)
        except OSError:
            # Another process published the same content first: a version is its content, so theirs is ours.
            if not final.is_dir():
                raise
            shutil.rmtree(stage)
        sync(final.parent)

    def champion(self, project: str = "default") -> Champion | None:
        """The champion of a project, of `default` where it has none of its own, None in an empty store."""
        for name in dict.fromkeys((checked(project), "default")):
            path = self.root / "refs" / f"{name}.json"
            if path.exists():
                try:
                    return Champion(**read_json(path))
                except (TypeError, CheckpointError) as error:
                    raise StoreError(f"{path} is not a champion pointer ({error}); promote a version anew") from error
        return None

    def promote(
        self,
        version: str,
        project: str = "default",
        *,
        expect_epoch: int | None,
        by: str,
        reason: str,
        fence: int = 0,
        figures: dict[str, Any] | None = None,
    ) -> Champion:
        """Point `project` at `version` if its pointer is still at `expect_epoch` (None: it has no pointer yet).

        Raises StoreError when the version is not published, when somebody else moved the pointer first, or when a
        higher fencing token has been seen.
        """
        self.folder(version)
        with self.lock():
            own = self.own_champion(project)
            epoch = own.epoch if own else None
            if epoch != expect_epoch:
                raise StoreError(f"champion of {project!r} is at epoch {epoch}, not {expect_epoch}: it moved meanwhile")
            if own and fence < own.fence:
                raise StoreError(f"fencing token {fence} is older than {own.fence}, which moved {project!r} before")
            now = datetime.now(UTC).isoformat(timespec="seconds")
            previous = own.version if own else None
            champion = Champion(version, (epoch or 0) + 1, previous, max(fence, own.fence if own else 0), now, by)
            line = {"event": "promotion", "project": project, "reason": reason}
            self.append(line | asdict(champion) | (figures or {}))
            self.write_pointer(project, champion)
        return champion

    def own_champion(self, project: str) -> Champion | None:
        path = self.root / "refs" / f"{checked(project)}.json"
        return self.champion(project) if path.exists() else None

    def write_pointer(self, project: str, champion: Champion) -> None:
        path = self.root / "refs" / f"{project}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        stage = path.with_suffix(f".{os.getpid()}.stage")
        stage.write_text(json.dumps(asdict(champion)) + "\n", encoding="utf-8")
        sync(stage)
        os.replace(stage, path)
        sync(path.parent)

    def append(self, line: dict[str, Any]) -> None:
        with (self.root / "history.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One writer at a time, on one machine; the kernel lets go of the lock of a process that dies."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def checked(name: str) -> str:
    """Versions and projects become file names: nothing else may."""
    if not NAME.fullmatch(name):
        raise StoreError(f"{name!r} is no name for a version or project: letters, digits, '.', '_' and '-', 64 at most")
    return name
