"""Which marks call for a look at Label Studio now: those whose burst is over, each once.

Ages are counted from when this process saw a mark change, too, so that a webhook from a machine whose clock is ahead
is not looked at late.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from trainer.board import Mark
from trainer.due import QUIET_S, STREAM_S, settled


@dataclass
class _Sighting:
    """Monotonic times. `last` is the mark's own time of its last hint, `looked` the one at the last look."""

    last: float
    changed: float
    begun: float
    looked: float | None = None


class Watch:
    """Remembers, for every marked project, since when its mark has not changed, and whether it was looked at."""

    def __init__(self, *, quiet_s: float = QUIET_S, stream_s: float = STREAM_S) -> None:
        self._quiet_s = quiet_s
        self._stream_s = stream_s
        self._seen: dict[int, _Sighting] = {}

    def see(self, marks: Iterable[Mark]) -> None:
        """Take note of all present marks; what is not among them is gone."""
        now, before = time.monotonic(), self._seen
        self._seen = {}
        for mark in marks:
            sighting = before.get(mark.project) or _Sighting(mark.last, now, now)
            if sighting.last != mark.last:
                sighting.last, sighting.changed = mark.last, now
            self._seen[mark.project] = sighting

    def settled(self, mark: Mark) -> bool:
        """Whether the mark's burst is over, or has gone on for so long that it should be looked at all the same."""
        sighting, now, today = self._seen[mark.project], time.monotonic(), time.time()
        last_age = max(now - sighting.changed, today - mark.last)
        first_age = now - sighting.begun
        if sighting.looked is None:
            first_age = max(first_age, today - mark.first)
        return settled(last_age, first_age, quiet_s=self._quiet_s, stream_s=self._stream_s)

    def calls(self, mark: Mark) -> bool:
        """Whether it is time to look, and nobody has since the mark last changed."""
        return self._seen[mark.project].looked != mark.last and self.settled(mark)

    def looked(self, mark: Mark) -> None:
        """Label Studio was asked about all that this mark tells of."""
        sighting = self._seen[mark.project]
        sighting.looked, sighting.begun = mark.last, time.monotonic()
