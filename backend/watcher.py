"""Serving follows the pointers of the store: a thread looks whether one moved, loads what it names, and then rebinds.

Nothing waits for it. What serves goes on until the new version is loaded, checked and warm; if it is not fit to serve,
it is put into quarantine, the old one stays, and /health, /status, the log and the history say so. A pointer that moves
again is followed again; files that were missing or could not be read are tried again after a minute, since shared
storage may show a pointer before the files that it names.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend.fleet import DEFAULT, Fleet, Seat
from backend.loading import BadVersion, Loader
from backend.metrics import Metrics
from backend.niceness import be_nice
from backend.pointers import Pointers, name_of
from backend.serving import Serving, ServingError

if TYPE_CHECKING:
    from model.store import Champion, Store

log = logging.getLogger(__name__)

EVERY_S = 0.25
RETRY_S = 60.0


@dataclass(frozen=True)
class Quarantined:
    """A version that is not served though a pointer names it. `at`: when it was last tried, in seconds since 1970."""

    error: str
    at: float
    passing: bool


class Watcher:
    """Owns what the fleet is bound to. `moved()` is called, on its thread, after the fleet was rebound."""

    def __init__(
        self, store: Store, loader: Loader, fleet: Fleet, metrics: Metrics, moved: Callable[[], None] = lambda: None
    ) -> None:
        self._store = store
        self._pointers = Pointers(store)
        self._loader = loader
        self._fleet = fleet
        self._metrics = metrics
        self._moved = moved
        self._followed: dict[Seat, Champion] = {}
        self._quarantined: dict[str, Quarantined] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def begin(self) -> None:
        """Load what the pointers name, then watch them. Raises ServingError if nothing can serve `default`."""
        self.look()
        if DEFAULT not in self._fleet.table:
            raise ServingError(f"the champion of MODEL_DIR={self._store.root} cannot be loaded: {self.fault(DEFAULT)}")
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30.0)

    def aspired(self, project: int | None) -> str:
        """The version that should answer for a project, by its own pointer or by that of `default`."""
        followed = self._followed
        champion = followed.get(project) or followed.get(DEFAULT)
        return champion.version if champion else ""

    def fault(self, project: int | None) -> str | None:
        """Why another version answers than should; None if the right one does."""
        known = self._quarantined.get(self.aspired(project))
        return known.error if known else self._pointers.faults.get(project) or self._pointers.faults.get(DEFAULT)

    def quarantined(self) -> dict[str, str]:
        """The versions that pointers name and that are not fit to serve, each with the reason."""
        return {version: known.error for version, known in self._quarantined.copy().items()}

    def look(self) -> None:
        """Follow the pointers if one of them has moved, or if it is time to try again."""
        started = time.monotonic()
        moved = self._pointers.moved()
        if not moved and not self._retry_due():
            return
        pointers = self._pointers.read()
        self._forget(pointers)
        self._followed = pointers
        for seat, champion in pointers.items():
            self._follow(seat, champion, started)
        gone = self._fleet.table.keys() - pointers.keys() - {DEFAULT}
        if gone:
            self._rebind({seat: serving for seat, serving in self._fleet.table.items() if seat not in gone})
        self._metrics.awaited(sum(self._serves(seat) != champion.version for seat, champion in pointers.items()))

    def _run(self) -> None:
        be_nice()  # as the model thread: threads of an encoder that is loaded here stay so
        while not self._stop.wait(EVERY_S):
            try:
                self.look()
                self._speed_up()
            except CancelledError:  # the service is closing
                return
            except Exception:  # whatever it is, the next move of a pointer must be seen
                log.exception("the pointers in %s could not be followed", self._store.root)

    def _speed_up(self) -> None:
        """Let a faster engine take over a version that torch serves only until it is converted."""
        for serving in {one for one in self._fleet.table.values() if one.captioner.pending}:
            faster = self._loader.faster(serving, self._fleet)
            if faster is not None:
                self._rebind({seat: faster if one is serving else one for seat, one in self._fleet.table.items()})
                log.info("%s is computed by %s from now on", faster.version, faster.captioner.engine.name)

    def _retry_due(self) -> bool:
        unread = bool(self._pointers.faults) and time.time() - self._pointers.read_at > RETRY_S
        return unread or any(known.passing and time.time() - known.at > RETRY_S for known in self._quarantined.values())

    def _forget(self, pointers: dict[Seat, Champion]) -> None:
        """Release versions that no pointer names any more, and those that a pointer has come to name anew."""
        before = {(seat, champion.epoch) for seat, champion in self._followed.items()}
        anew = {one.version for seat, one in pointers.items() if (seat, one.epoch) not in before}
        named = {champion.version for champion in pointers.values()}
        self._quarantined = {v: known for v, known in self._quarantined.items() if v in named - anew}

    def _follow(self, seat: Seat, champion: Champion, started: float) -> None:
        """Seat the version that a pointer names; where that fails, who sits there stays, or the one before comes."""
        now = self._fleet.table.get(seat)
        if now is not None and now.version == champion.version:
            return
        serving = self._fetched(champion.version, seat)
        if serving is None and now is None and champion.previous:
            serving = self._fetched(champion.previous, seat)
        if serving is not None and serving is not now:
            self._rebind({**self._fleet.table, seat: serving})
            self._told(seat, now, serving, time.monotonic() - started)

    def _fetched(self, version: str, seat: Seat) -> Serving | None:
        loaded = self._fleet.loaded(version)
        known = self._quarantined.get(version)
        if loaded is not None or (known and not (known.passing and time.time() - known.at > RETRY_S)):
            return loaded
        try:
            found = self._loader.load(version, self._fleet)
        except BadVersion as error:
            self._quarantine(version, seat, error)
            return None
        self._quarantined = {v: known for v, known in self._quarantined.items() if v != version}
        return found

    def _quarantine(self, version: str, seat: Seat, error: BadVersion) -> None:
        known = self._quarantined.get(version)
        self._quarantined = {**self._quarantined, version: Quarantined(str(error), time.time(), error.passing)}
        if known and known.error == str(error):
            return
        self._metrics.swapped("quarantined")
        log.error("%s is in quarantine, and what serves %s goes on: %s", version, name_of(seat), error)
        self._pointers.record(seat, version, str(error))

    def _serves(self, seat: Seat) -> str:
        serving = self._fleet.table.get(seat) or self._fleet.table.get(DEFAULT)
        return serving.version if serving else ""

    def _rebind(self, table: dict[Seat, Serving]) -> None:
        self._fleet.rebind(table)
        self._moved()

    def _told(self, seat: Seat, before: Serving | None, now: Serving, seconds: float) -> None:
        if before is None and seat is DEFAULT:
            return
        self._metrics.swapped("swapped", seconds)
        instead = f" instead of {before.version}" if before else ""
        log.info("%s: %s serves%s, %.2f s after its pointer moved", name_of(seat), now.version, instead, seconds)
