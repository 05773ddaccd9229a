"""How far a training is, from the trainer's file to its job in the queue, where everyone can read it.

The trainer replaces MODEL_DIR/runs/<project>/progress.json: {stage, step, steps, loss, bleu4, eta_s, at, run}. The
queue server may be away meanwhile: the training goes on, and what was missed is in the next look.
"""

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

log = logging.getLogger(__name__)

EVERY_S = 1.0
# A queue server that is away makes each try wait a moment; the supervisor has other things to do.
AFTER_FAILURE_S = 10.0

Progress = dict[str, Any]


class Relay:
    """Passes a changed progress file on, at most once a second. `save` may raise redis.RedisError."""

    def __init__(self, file: Path, save: Callable[[Progress], None]) -> None:
        self._file = file
        self._save = save
        self._begun = self._last = self._read()
        self._next = 0.0

    def look(self) -> None:
        """Pass the progress on if it is time and there is something new. Never raises."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + EVERY_S
        progress = self._read()
        if progress is None or progress == self._last:
            return
        try:
            self._save(progress)
            self._last = progress
        except redis.RedisError:
            self._next = now + AFTER_FAILURE_S

    def moved(self) -> bool:
        """Whether the trainer came any further since this relay was made."""
        return _place(self._read()) != _place(self._begun)

    def _read(self) -> Progress | None:
        try:
            progress = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return None
        return progress if isinstance(progress, dict) else None


def _place(progress: Progress | None) -> tuple[object, ...] | None:
    return None if progress is None else tuple(progress.get(name) for name in ("run", "stage", "step"))
