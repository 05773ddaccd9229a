"""`python -m trainer.reconciling`: the reconciler as a process of its own, which `trainer work` starts and stops.

A process, since the worker forks, and a thread of its that holds a lock at that moment would leave the fork waiting
for ever. `--once` looks at every project and ends.
"""

import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from threading import Event
from typing import NoReturn

import typer

from labeling.corrections import fresh
from labeling.session import LabelStudio
from model.history import read
from settings import Settings, load
from trainer import logs
from trainer.commands.errors import user_errors
from trainer.reconciler import Ask, Fresh, Learnt, Reconciler, Rules
from trainer.server import address, connect
from trainer.studio import label_studio


def asking(studio: LabelStudio, prefer: str | None) -> Ask:
    def ask(project: int, since: str, recent: Mapping[str, str]) -> Fresh:
        return fresh(studio, project, since=since, recent=recent, prefer=prefer)

    return ask


def remembering(model_dir: Path) -> Learnt:
    """From the store's history: its last line about a project that says up to when the corrections were known."""

    def learnt(project: int) -> tuple[str, Mapping[str, str]]:
        for line in reversed(read(model_dir / "history.jsonl", str(project))):
            if "watermark" in line:
                return line["watermark"] or "", line.get("recent") or {}
        return "", {}

    return learnt


def reconciler(settings: Settings) -> Reconciler:
    """One by the settings. Raises SettingsError, LabelStudioError."""
    rules = Rules(
        each_n=settings.start_training_each_n_updates,
        after_s=settings.start_training_after_s,
        every_s=settings.reconcile_every_s,
        timeout_s=settings.training_timeout_s,
    )
    studio = label_studio(settings)
    return Reconciler(
        connect(address(settings)),
        rules,
        ask=asking(studio, settings.caption_field),
        learnt=remembering(settings.model_dir),
    )


def main(arguments: list[str]) -> None:
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with user_errors():
        settings = load()
        logs.configure(settings.log_level, settings.secrets())
        if "--once" in arguments:
            reconciler(settings).once()
        else:
            reconciler(settings).run(Event())


def _end(number: int, frame: object) -> NoReturn:
    raise SystemExit(0)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except typer.Exit as end:
        sys.exit(end.exit_code)
