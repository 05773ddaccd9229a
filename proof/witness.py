"""What the outside saw while things were killed: which versions the backend named, and where the pointer stood."""

from __future__ import annotations

import threading
from collections import Counter
from types import TracebackType
from typing import Self

from model.checkpoint import CheckpointError, check_files, content_id, read_json
from model.store import StoreError
from proof.site import Site

LOOK_S = 0.2


class Witness:
    """Asks the backend's /setup five times a second, as Label Studio does before a prediction.

    Each time that it names another version than before, that version's files are checked at once; `check` does it
    again for all. `broken` has what was found, `pointers` the versions that the project's pointer named at each epoch.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="witness", daemon=True)
        self.answers: Counter[str] = Counter()
        self.versions: list[str] = []
        self.broken: dict[str, str] = {}
        self.pointers: dict[int, set[str]] = {}
        self.faults: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(30.0)

    def check(self) -> None:
        """Every version that was ever named: is it whole?"""
        for version in dict.fromkeys(self.versions):
            self._check(version)

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_S):
            try:
                self._look()
            except Exception as error:  # a witness that has gone is no witness: the proof fails over this
                self.faults.append(repr(error))

    def _look(self) -> None:
        version = self._site.served()
        self.answers["answered" if version else "away"] += 1
        if version and self.versions[-1:] != [version]:
            self.versions.append(version)
            self._check(version)
        own = self._site.store.own_champion(self._site.name)
        if own is not None:
            self.pointers.setdefault(own.epoch, set()).add(own.version)

    def _check(self, version: str) -> None:
        try:
            folder = self._site.store.folder(version)
            manifest = read_json(folder / "manifest.json")
            check_files(folder, manifest)
            if version != f"recaption-{content_id(manifest['files'])}":
                self.broken[version] = "its name is not that of its content"
        except (CheckpointError, StoreError, OSError) as error:
            self.broken[version] = str(error)
