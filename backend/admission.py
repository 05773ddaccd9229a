"""How many requests for captions are answered at once; the next one is told when to come back.

An annotator's request and a bulk are counted apart, so that neither can take the other's places. Many annotators may
wait at once, since each waits for a caption or two. Of bulks there are few: they share one model and each has the same
budget, so that one more would only leave more tasks of all of them without a caption.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

URGENT, BULK = 32, 4
# With every place taken, the next is free in about the time of one batch.
URGENT_AGAIN_S = 1


class Full(Exception):
    """No place is free: one sentence that says of what kind, and after how many whole seconds to ask again."""

    def __init__(self, reason: str, again_s: int) -> None:
        super().__init__(f"{reason}; try again in {again_s} s")
        self.again_s = again_s


class Admission:
    """`budget_s`: how long a request may take at most. Used by the event loop's thread alone."""

    def __init__(self, budget_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._budget_s = budget_s
        self._clock = clock
        self._urgent = 0
        self._bulks: list[float] = []  # when each began, the oldest first

    @contextmanager
    def place(self, *, urgent: bool) -> Iterator[None]:
        """A place for as long as the block runs. Raises Full."""
        return self._urgent_place() if urgent else self._bulk_place()

    def _urgent_place(self) -> Iterator[None]:
        if self._urgent >= URGENT:
            raise Full(f"{URGENT} requests for a caption are being answered", URGENT_AGAIN_S)
        self._urgent += 1
        try:
            yield
        finally:
            self._urgent -= 1

    def _bulk_place(self) -> Iterator[None]:
        began = self._clock()
        if len(self._bulks) >= BULK:
            left = self._bulks[0] + self._budget_s - began
            raise Full(f"{BULK} requests for many captions are being answered", max(1, math.ceil(left)))
        self._bulks.append(began)
        try:
            yield
        finally:
            self._bulks.remove(began)
