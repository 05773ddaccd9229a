"""The champion pointers of the store as a serving process sees them: whether one moved, and what they name.

A pointer is a small file that is replaced whole. Looking whether one moved costs a `stat` for each and reads none.
"""

from __future__ import annotations

import logging
import os
import re
import time
from typing import TYPE_CHECKING

from backend.fleet import DEFAULT, Seat

if TYPE_CHECKING:
    from model.store import Champion, Store

log = logging.getLogger(__name__)

# Nobody else can be asked for captions than a project of Label Studio, by its number.
FILE = re.compile(r"(default|[1-9]\d{0,17})\.json")

Shape = tuple[tuple[str, int, int, int], ...]


class Pointers:
    """`faults`: by seat, why a pointer could not be read; what it named before is then named still. `read_at`: when
    they were last read, in seconds since 1970."""

    def __init__(self, store: Store) -> None:
        self.faults: dict[Seat, str] = {}
        self.read_at = 0.0
        self._store = store
        self._folder = store.root / "refs"
        self._seen: Shape | None = None
        self._known: dict[Seat, Champion] = {}

    def moved(self) -> bool:
        """Whether anything changed since the last time this was asked. A move in between is seen the next time."""
        shape = self._shape()
        moved, self._seen = shape != self._seen, shape
        return moved

    def read(self) -> dict[Seat, Champion]:
        """What every pointer names, that of `default` first, then by number."""
        from model.store import StoreError

        pointers, faults = {}, {}
        self.read_at = time.time()
        for name, *_ in self._seen or ():
            seat = seat_of(name.removesuffix(".json"))
            try:
                found = self._store.own_champion(name.removesuffix(".json"))
            except StoreError as error:
                found, faults[seat] = self._known.get(seat), str(error)
                if faults[seat] != self.faults.get(seat):
                    log.error("the pointer of %s cannot be read; who served it goes on: %s", name_of(seat), error)
            if found is not None:
                pointers[seat] = found
        if DEFAULT not in pointers and DEFAULT in self._known:
            pointers[DEFAULT] = self._known[DEFAULT]
        self.faults = faults
        self._known = dict(sorted(pointers.items(), key=lambda pair: pair[0] or 0))
        return self._known

    def record(self, seat: Seat, version: str, reason: str) -> None:
        """Note in the store's history that a version is in quarantine; a store that is only readable is no obstacle."""
        from model.store import StoreError

        try:
            self._store.record("quarantine", name_of(seat), by="serve", reason=reason, figures={"version": version})
        except (StoreError, OSError) as error:
            log.warning("the history in %s does not tell of it: %s", self._store.root, error)

    def _shape(self) -> Shape:
        try:
            with os.scandir(self._folder) as entries:
                found = [(entry.name, entry.stat()) for entry in entries if FILE.fullmatch(entry.name)]
        except OSError:  # unmounted, or a pointer just removed: nothing is forgotten for that
            return self._seen or ()
        return tuple(sorted((name, at.st_ino, at.st_size, at.st_mtime_ns) for name, at in found))


def seat_of(name: str) -> Seat:
    """The seat that a pointer is for."""
    return DEFAULT if name == "default" else int(name)


def name_of(seat: Seat) -> str:
    """The pointer's name, as the store and its history have it."""
    return "default" if seat is None else str(seat)
