"""SIGTERM and Ctrl-C, asked politely: the run stops at once, keeps what it has, and goes on when started again."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

ASKS = (signal.SIGTERM, signal.SIGINT)


class Stop(BaseException):
    """Asked to stop. No Exception, so that nothing on the way takes it for a fault and goes on."""


class Signals:
    """While entered, the first ask raises Stop in the main thread; further ones are ignored, since it ends already."""

    def __init__(self) -> None:
        self._held = False
        self._asked = False

    def __enter__(self) -> Signals:
        self._before = {number: signal.signal(number, self._ask) for number in ASKS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """A short stretch that is finished before a stop: the decision and its record belong together."""
        self._held = True
        try:
            yield
        finally:
            self._held = False

    def obey(self) -> None:
        """Raise Stop if one was asked for in a stretch that was held."""
        if self._asked:
            raise Stop

    def _ask(self, number: int, frame: FrameType | None) -> None:
        first, self._asked = not self._asked, True
        if first and not self._held:
            raise Stop(signal.Signals(number).name)
