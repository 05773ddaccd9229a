"""`python -m proof.brisk_worker`: the real worker and its reconciler, with shorter waits between their looks.

What a worker leaves when it is killed is taken over within seconds instead of two minutes; nothing else is different.
`python -m proof.brisk_worker reconcile` is the reconciler, which the worker starts.
"""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from threading import Event
from typing import NoReturn

import typer

from settings import Settings, load
from trainer import logs
from trainer.commands.errors import user_errors
from trainer.job import refuse_torch
from trainer.reconciler import Reconciler, Rules
from trainer.reconciling import asking, remembering
from trainer.server import QueueServer, address, connect
from trainer.studio import label_studio
from trainer.supervise import Companion, bind_forks
from trainer.timings import Timings
from trainer.worker import RecaptionWorker, keep_working, worker_on

BRISK = Timings(heartbeat_every=1, lost_after=5, look_every=2, failure_ttl=2, retries=(1, 2, 5))
RECONCILING = (sys.executable, "-m", "proof.brisk_worker", "reconcile")


@dataclass(frozen=True)
class Workplace:
    """What a new worker is given; RQ's worker quits when the queue server is away, and the next one takes over."""

    server: QueueServer
    companion: Companion

    def new_worker(self) -> RecaptionWorker:
        worker = worker_on(connect(self.server.url), BRISK)
        worker.companion = self.companion
        return worker


def work(settings: Settings) -> None:
    refuse_torch()
    bind_forks()
    companion = Companion(RECONCILING, restart_s=2.0)
    with QueueServer(settings) as server:
        try:
            keep_working(Workplace(server, companion).new_worker, revive=server.revive)
        finally:
            companion.stop()


def reconcile(settings: Settings) -> None:
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    rules = Rules(
        each_n=settings.start_training_each_n_updates,
        after_s=settings.start_training_after_s,
        every_s=settings.reconcile_every_s,
        timeout_s=settings.training_timeout_s,
        quiet_s=1.0,
        longest_pause_s=4.0,
        stranded_s=10.0,
        timings=BRISK,
    )
    ask, learnt = asking(label_studio(settings), settings.caption_field), remembering(settings.model_dir)
    Reconciler(connect(address(settings)), rules, ask=ask, learnt=learnt).run(Event())


def _end(number: int, frame: object) -> NoReturn:
    raise SystemExit(0)


if __name__ == "__main__":
    try:
        with user_errors():
            chosen = load()
            logs.configure(chosen.log_level, chosen.secrets())
            (reconcile if sys.argv[1:] == ["reconcile"] else work)(chosen)
    except typer.Exit as end:
        sys.exit(end.exit_code)
