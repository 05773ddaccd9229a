"""Who answers for whom: a project's own version, where it has one, else that of `default`.

One table, replaced as a whole: a request reads it once, without a lock, and finds the old table or the new one. A
version is one Serving, however many projects share it, and is forgotten with the last table that names it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from backend.serving import Serving

if TYPE_CHECKING:
    from model.engines.engine import Engine

# A project's number; None is everybody who has no version of their own.
Seat = int | None
DEFAULT: Seat = None


class Fleet:
    """The versions in memory. Rebound by one thread, read by all."""

    def __init__(self, table: Mapping[Seat, Serving] | None = None) -> None:
        self._table: Mapping[Seat, Serving] = {}
        self._since: Mapping[Seat, float] = {}
        if table:
            self.rebind(table)

    def of(self, project: int | None) -> Serving:
        """Who answers for a project now."""
        table = self._table
        return table.get(project) or table[DEFAULT]

    def since(self, project: int | None) -> float:
        """Since when it does, in seconds since 1970."""
        since = self._since
        return since.get(project) or since[DEFAULT]

    @property
    def table(self) -> Mapping[Seat, Serving]:
        """Every seat that is taken."""
        return self._table

    def rebind(self, table: Mapping[Seat, Serving]) -> None:
        """From now on these answer. Requests that began before end with the version they began with."""
        now = time.time()
        kept = {seat for seat, serving in table.items() if self._table.get(seat) is serving}
        self._since = {seat: self._since[seat] if seat in kept else now for seat in table}
        self._table = dict(table)

    def loaded(self, version: str) -> Serving | None:
        """This version, if anybody is served by it."""
        return next((serving for serving in self._table.values() if serving.version == version), None)

    def engine(self, sha256: str) -> Engine | None:
        """A loaded engine whose encoder's weights file has this sha256: another version may share that encoder."""
        for serving in self._table.values():
            manifest = serving.captioner.about.manifest
            if manifest.get("files", {}).get("encoder.safetensors", {}).get("sha256") == sha256:
                return serving.captioner.engine
        return None
