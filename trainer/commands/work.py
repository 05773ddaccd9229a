"""`python -m trainer work`: train what is due, until Ctrl-C or SIGTERM."""

import subprocess
import sys
from typing import Annotated

import typer

from settings import Settings, load
from trainer import logs
from trainer.commands.errors import user_errors
from trainer.job import refuse_torch
from trainer.queue import QUEUE
from trainer.server import QueueServer, connect
from trainer.studio import label_studio
from trainer.supervise import Companion, bind_forks
from trainer.worker import RecaptionWorker, keep_working, worker_on

RECONCILING = (sys.executable, "-m", "trainer.reconciling")


def work(
    burst: Annotated[
        bool, typer.Option("--burst", help="Train what is due now, one after the other, and end.")
    ] = False,
) -> None:
    """Train the projects whose corrections have gathered, one at a time, until Ctrl-C or SIGTERM.

    A training that is stopped leaves a checkpoint, and the next worker goes on with it. Several workers, on several
    machines, share the work; each needs the same REDIS_URL and the same MODEL_DIR.
    """
    with user_errors():
        settings = load()
        label_studio(settings)
        logs.configure(settings.log_level, settings.secrets())
        refuse_torch()
        bind_forks()
        with QueueServer(settings) as server:
            _work(settings, server, burst)


def _work(settings: Settings, server: QueueServer, burst: bool) -> None:
    if burst:
        looked = subprocess.run([*RECONCILING, "--once"], check=False)
        keep_working(lambda: worker_on(connect(server.url)), burst=True)
        raise typer.Exit(looked.returncode)
    companion = Companion(RECONCILING)
    told = _Once(
        f"Recaption's worker is ready: queue {QUEUE} on {logs.shown(server.url)}, store {settings.model_dir}, "
        f"device {settings.device}. Stop with Ctrl-C."
    )

    def new_worker() -> RecaptionWorker:
        worker = worker_on(connect(server.url))
        worker.companion, worker.ready = companion, told
        return worker

    try:
        keep_working(new_worker, revive=server.revive)
    finally:
        companion.stop()


class _Once:
    """Says a line the first time it is called."""

    def __init__(self, line: str) -> None:
        self._line: str | None = line

    def __call__(self) -> None:
        if self._line is not None:
            typer.echo(self._line)
        self._line = None
