"""How far a run is: a bar on the terminal, `progress.json` for other processes, `metrics.jsonl` to keep.

    {"run": "20260102T030405Z-1f2e", "stage": "finetune", "step": 40, "steps": 93, "loss": 2.41, "bleu4": 22.2,
     "eta_s": 31.0, "at": "2026-01-02T03:05:00+00:00"}

What is not known is null. `bleu4` is the last BLEU-4 that this run measured.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model.progress import Progress
from model.store import now
from trainer.learning.files import append_row, read_json, write_json

EVERY_S = 1.0


class Reporter:
    """Told by the stages, from the main thread."""

    def __init__(self, progress: Path, folder: Path) -> None:
        """`progress` is the file that is replaced, `folder` the run's own."""
        self._progress, self._folder = progress, folder
        self._stage, self._stage_began, self._told = "", 0.0, 0.0
        self._bleu4: float | None = None
        self.seconds: dict[str, float] = (read_json(folder / "seconds.json") or {}) if folder.is_dir() else {}

    @property
    def at(self) -> str:
        """The stage it is in, or was in last."""
        return self._stage or "the beginning"

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What happens inside is the stage `name`; its seconds add up over the processes that worked on it."""
        began = self._stage_began = time.monotonic()
        self._stage = name
        append_row(self._folder / "metrics.jsonl", {"event": "stage", "stage": name, "at": now()})
        self._tell({})
        try:
            yield
        finally:
            spent = time.monotonic() - began
            self.seconds[name] = round(self.seconds.get(name, 0.0) + spent, 2)
            write_json(self._folder / "seconds.json", self.seconds)

    @contextmanager
    def track(self, title: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
        """A bar of `total`; gives the function that moves it on."""
        with Progress(title, total, done) as bar:

            def advance(count: int = 1) -> None:
                bar.advance(count)
                self.say(step=bar.done, steps=total)

            yield advance

    def say(self, **figures: Any) -> None:
        """Some of step, steps, loss, bleu4, eta_s; written once a second at most."""
        self._bleu4 = figures.get("bleu4", self._bleu4)
        if time.monotonic() - self._told >= EVERY_S:
            self._tell(figures)
            append_row(self._folder / "metrics.jsonl", {"event": "step", "stage": self._stage, "at": now()} | figures)

    def ended(self, event: str) -> None:
        """The run is over: `event` is how."""
        self._stage = "failed" if event == "failure" else "done"
        append_row(self._folder / "metrics.jsonl", {"event": event, "at": now()})
        self._tell({"event": event})

    def _tell(self, figures: dict[str, Any]) -> None:
        self._told = time.monotonic()
        figures = {name: None if is_no_number(value) else value for name, value in figures.items()}
        known = {"step": None, "steps": None, "loss": None, "eta_s": self._eta(figures)} | figures
        content = {"run": self._folder.name, "stage": self._stage} | known | {"bleu4": self._bleu4, "at": now()}
        write_json(self._progress, content)

    def _eta(self, figures: dict[str, Any]) -> float | None:
        step, steps = figures.get("step"), figures.get("steps")
        if not isinstance(step, int) or not isinstance(steps, int) or step == 0:
            return None
        return round((time.monotonic() - self._stage_began) / step * (steps - step), 1)


def is_no_number(value: Any) -> bool:
    """Whether JSON has no word for it: a loss that became infinite, say."""
    return isinstance(value, float) and not math.isfinite(value)
