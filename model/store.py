"""Versions on disk, and which of them serves.

    MODEL_DIR/versions/<id>/       published checkpoints, never changed again
    MODEL_DIR/refs/<name>.json     the champion of a project, or of `default`: {epoch, version, previous, fence, at, by}
    MODEL_DIR/fences/<project>     the newest fencing token that a training of this project took
    MODEL_DIR/history.jsonl        every promotion, rollback, rejection and failure, appended

A version is published by staging it on the same disk and renaming it into place; a promotion is a compare-and-swap on
the pointer's epoch under a file lock. A reader takes no lock, and sees the old champion or the new one, whole, at any
moment. The pointer moves first and the history follows: a crash between the two is mended by whoever locks next.

The lock is `flock`: it holds between the processes of one machine. On NFS it may not (see model/durable.py), so let
one machine do all the writing there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model import history
from model.durable import locked
from model.pointers import NAME, Champion, Moved, Pointers, StaleTrainer, StoreError, checked

__all__ = ["Champion", "Moved", "StaleTrainer", "Store", "StoreError"]


class Store:
    """The versions of MODEL_DIR and the pointers to them. Nothing is read or made before a method asks for it."""

    def __init__(self, model_dir: Path) -> None:
        self.root = model_dir
        self._pointers = Pointers(model_dir)
        self._history = model_dir / "history.jsonl"

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

        Files that another version has are linked, not copied. Raises CheckpointError when the folder is not a whole
        checkpoint, OSError when the disk is full or read-only.
        """
        # Torch takes seconds to import, and whoever only reads or moves pointers needs none of it.
        from model.checkpoint import read_json
        from model.publish import publish

        manifest = read_json(checkpoint / "manifest.json")
        version = checked(f"recaption-{manifest.get('id')}")
        publish(checkpoint, manifest, self.root / "versions" / version)
        return version

    def remove(self, version: str) -> None:
        """Take a version away for good. Raises StoreError when there is none, when a pointer names it or would go back
        to it, or when a pointer cannot be read; OSError when the disk is read-only.
        """
        from model.publish import remove

        folder = self.folder(version)
        with self._lock():
            for name, ref in self.refs().items():
                if version in (ref.version, ref.previous):
                    does = "serves" if version == ref.version else "is what a rollback would go back to in"
                    raise StoreError(f"{version} stays: it {does} {name!r}. Promote another version there first")
            remove(folder)

    def champion(self, project: str = "default") -> Champion | None:
        """The champion of a project, of `default` where it has none of its own, None in an empty store.

        Raises StoreError when the pointer cannot be read.
        """
        return self.own_champion(project) or self.own_champion("default")

    def own_champion(self, project: str) -> Champion | None:
        """The champion that this project has for itself. Raises StoreError when the pointer cannot be read."""
        return self._pointers.read(project)

    def refs(self) -> dict[str, Champion]:
        """Every pointer there is, by the name of its project. Raises StoreError when one cannot be read."""
        found = {name: self.own_champion(name) for name in self._pointers.names()}
        return {name: champion for name, champion in found.items() if champion is not None}

    def history(self, project: str | None = None) -> list[dict[str, Any]]:
        """What happened, oldest first, in one project or in all. A line torn by a power cut is left out.

        Raises OSError when the file cannot be read.
        """
        return history.read(self._history, project)

    def take_fence(self, project: str) -> int:
        """A token above every one before: from now on, only its holder or a person can move this project's pointer.

        Raises StoreError when the project's files cannot be read, OSError when the disk is full or read-only.
        """
        with self._lock():
            fence = self._pointers.newest_fence(project) + 1
            self._pointers.write_fence(project, fence)
        return fence

    def promote(
        self,
        version: str,
        project: str = "default",
        *,
        expect_epoch: int | None,
        by: str,
        reason: str,
        fence: int | None = None,
        figures: Mapping[str, Any] | None = None,
    ) -> Champion:
        """Point `project` at `version` if its own pointer is still at `expect_epoch` (None: it has no pointer yet).

        fence is the token that a training took when it began; without one, as when a person promotes, the newest is
        taken, and every training under way becomes stale. figures join the line of the history. If `by` has brought
        the pointer to this version already, nothing moves: a call may be repeated after a crash.

        Raises Moved when somebody else moved the pointer first, StaleTrainer when a higher token was taken, StoreError
        when the version is not published or a pointer cannot be read, ValueError or TypeError for figures that do not
        fit, OSError when the disk is full or read-only.
        """
        self.folder(version)
        with self._lock():
            own = self.own_champion(project)
            if own and (own.version, own.by) == (version, by):
                return own
            self._admit(project, own, expect_epoch, fence)
            return self._move("promotion", project, version, fence, by, reason, figures)

    def rollback(self, project: str, *, by: str, reason: str) -> Champion:
        """Point `project` at the version that served before. Twice goes forth again; trainings under way become stale.

        Raises StoreError when there is no version to go back to, OSError when the disk is full or read-only.
        """
        with self._lock():
            own = self.own_champion(project)
            if own is None:
                names = ", ".join(self._pointers.names()) or "none"
                raise StoreError(f"{project!r} has no champion of its own to roll back; with one: {names}")
            if own.previous is None:
                held = ", ".join(self.versions())
                raise StoreError(f"nothing served {project!r} before {own.version}; promote another version of: {held}")
            self.folder(own.previous)
            return self._move("rollback", project, own.previous, None, by, reason, None)

    def record(
        self, event: str, project: str, *, by: str, reason: str, figures: Mapping[str, Any] | None = None
    ) -> None:
        """Append what happened without moving a pointer: a rejection, a failure, nothing to learn, a quarantine.

        The line names the champion that serves; `version` among the figures names another one that it is about.
        Raises StoreError for the name of a move or a pointer that cannot be read, ValueError or TypeError for figures
        that do not fit, OSError when the disk is full or read-only.
        """
        if event in history.MOVES:
            raise StoreError(f"a {event} is recorded by the move itself; name another event, such as 'rejection'")
        with self._lock():
            champion = self.champion(project)
            state = asdict(champion) if champion else dict.fromkeys(field.name for field in fields(Champion))
            rest = dict(figures or {})
            state |= {"version": rest.pop("version", state["version"]), "at": now(), "by": by}
            history.append(self._history, history.compose(event, project, reason, state, rest))

    def _admit(self, project: str, own: Champion | None, expect_epoch: int | None, fence: int | None) -> None:
        newest = self._pointers.newest_fence(project)
        if fence is not None and fence < newest:
            raise StaleTrainer(
                f"fencing token {fence} is older than {newest}, the newest of {project!r}: another training began or a "
                "person stepped in. Train again from the champion that serves now"
            )
        epoch = own.epoch if own else None
        if epoch != expect_epoch:
            raise Moved(f"champion of {project!r} is at epoch {epoch}, not {expect_epoch}: it moved meanwhile")

    def _move(
        self,
        event: str,
        project: str,
        version: str,
        fence: int | None,
        by: str,
        reason: str,
        figures: Mapping[str, Any] | None,
    ) -> Champion:
        own, before = self.own_champion(project), self.champion(project)
        # Going back must lead to another version, so the same one promoted again leaves `previous` alone.
        previous = None if before is None else before.previous if before.version == version else before.version
        token = self._pointers.newest_fence(project) + 1 if fence is None else fence
        champion = Champion(version, own.epoch + 1 if own else 1, previous, token, now(), by)
        # Composed first: figures that do not fit must not be found out after the pointer moved.
        line = history.compose(event, project, reason, asdict(champion), figures)
        self._pointers.write(project, champion)
        history.append(self._history, line)
        return champion

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One writer at a time, who first writes the lines that a crash between a pointer and its line left out."""
        with locked(self.root / ".lock"):
            self._mend()
            yield

    def _mend(self) -> None:
        lines = self.history()
        for name in self._pointers.names():
            try:
                champion = self.own_champion(name)
            except StoreError:  # another project's damage; whoever needs this pointer is told
                continue
            if champion and not history.tells(lines, name, asdict(champion)):
                line = history.compose("promotion", name, history.MENDED, asdict(champion), None)
                history.append(self._history, line)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
