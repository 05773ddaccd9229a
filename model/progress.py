"""How far a long piece of work is: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

EVERY_S = 10.0


class Progress:
    """`with Progress("features", 6000) as progress: progress.advance(32, "loss 2.31")`."""

    def __init__(self, title: str, total: int, done: int = 0, *, silent: bool = False) -> None:
        self.silent = silent
        self.title, self.total, self.done, self.start_done = title, total, done, done
        self.note = ""
        self.started = self.said = time.monotonic()
        console = Console(stderr=True)
        self.bar: Bar | None = None
        if console.is_terminal and not silent:
            columns = (
                "{task.description}",
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
            )
            self.bar = Bar(*columns, TextColumn("{task.fields[note]}"), console=console)
            self.task = self.bar.add_task(title, total=total, completed=done, note="")

    def __enter__(self) -> Progress:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar:
            self.bar.stop()
        elif kind is None and self.done > self.start_done:
            self.say()

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done += count
        self.note = note or self.note
        if self.bar:
            self.bar.update(self.task, completed=self.done, note=self.note)
        elif time.monotonic() - self.said >= EVERY_S:
            self.say()

    def say(self) -> None:
        if self.silent:
            return
        self.said = time.monotonic()
        rate = (self.done - self.start_done) / max(self.said - self.started, 1e-9)
        left = f", {(self.total - self.done) / rate:.0f} s left" if rate and self.done < self.total else ""
        print(f"{self.title}: {self.done}/{self.total}{left} {self.note}".rstrip(), file=sys.stderr, flush=True)
