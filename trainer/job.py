"""The job of the queue: it trains nothing itself, it watches over a trainer in a process of its own.

    0      decided: promoted, rejected, or nothing to learn       the job is done
    75     stopped when asked to, and resumable                   back to the queue
    71     out of memory; so is a trainer that was killed         again with half of the batch, at most 3 times
    other  it failed                                              RQ tries the job again, later

A trainer is asked to stop when the worker shuts down (the job goes back to the front of the queue) or when its time is
up (back to the end, if it came any further). Never torch in here: this code runs in a fork of the worker, and torch
does not survive a fork.
"""

import logging
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import redis
from rq import Retry, get_current_job

from settings import load
from trainer.board import Board
from trainer.relay import Progress, Relay
from trainer.supervise import Child

log = logging.getLogger(__name__)

DONE, OUT_OF_MEMORY, STOPPED = 0, os.EX_OSERR, os.EX_TEMPFAIL  # 0, 71, 75
HALVINGS = 3
# A job may go back to the queue as often as workers are stopped.
ANY_NUMBER = 1_000_000


class TrainingFailed(RuntimeError):
    """The trainer ended without a decision; RQ records this text and tries again."""


@dataclass(frozen=True)
class Plan:
    """How a job trains. Tests put another program here, and shorter times."""

    command: tuple[str, ...] = (sys.executable, "-m", "trainer", "train")
    # What a trainer may still do once it is asked to stop: finish a step and write its checkpoint.
    grace_s: float = 60.0
    poll_s: float = 0.2
    # How long the end of a job waits for a queue server that is away; after that the job runs again, to no effect.
    patience_s: float = 600.0


PLAN = Plan()


class Ending:
    """Whether this process was asked to end. The worker blocks SIGTERM in a fork until there is somebody to hear it."""

    asked = False

    def listen(self) -> None:
        signal.signal(signal.SIGTERM, self._ask)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


def train_project(project: int) -> Retry | None:
    """What the queue runs. Raises TrainingFailed; RuntimeError in a process that has torch."""
    refuse_torch()
    ending = Ending()
    ending.listen()
    settings, job = load(), get_current_job()
    assert job is not None
    folder = settings.model_dir / "runs" / str(project)
    take_mark(job.connection, project, folder)

    def save(progress: Progress) -> None:
        job.meta["progress"] = progress
        job.save_meta()  # type: ignore[no-untyped-call]

    training = Training(project, PLAN, ending, Relay(folder / "progress.json", save))
    try:
        return training.run(batch=settings.finetune_batch, timeout_s=settings.training_timeout_s)
    finally:
        wait_for(job.connection, PLAN.patience_s, ending)


class Training:
    """One training, from the first start of its trainer to its end."""

    def __init__(self, project: int, plan: Plan, ending: Ending, relay: Relay) -> None:
        self._project = project
        self._plan = plan
        self._ending = ending
        self._relay = relay

    def run(self, *, batch: int, timeout_s: float) -> Retry | None:
        """None: decided. Retry: RQ puts the job back. Raises TrainingFailed.

        `batch`: what the trainer uses when it is not told; halved each time when it was too much for the memory.
        """
        deadline = time.monotonic() + timeout_s
        log.info("project %d: training", self._project)
        code, killed = self._watch([], deadline)
        for _ in range(HALVINGS):
            if not (code == OUT_OF_MEMORY or (code == -signal.SIGKILL and not killed)) or batch == 1:
                break
            batch = max(1, batch // 2)
            log.warning("project %d: out of memory, again with batches of %d", self._project, batch)
            code, killed = self._watch(["--batch", str(batch)], deadline)
        return self._outcome(code, timed_out=time.monotonic() >= deadline, timeout_s=timeout_s)

    def _watch(self, options: list[str], deadline: float) -> tuple[int, bool]:
        """Run the trainer once. Its exit code, and whether it was killed here because it would not stop."""
        command = [*self._plan.command, "--project", str(self._project), "--job", *options]
        with Child(command, grace_s=self._plan.grace_s) as trainer:
            while (code := trainer.poll()) is None:
                if self._ending.asked or time.monotonic() >= deadline:
                    code = trainer.stop()
                    break
                self._relay.look()
                time.sleep(self._plan.poll_s)
            return code, trainer.killed

    def _outcome(self, code: int, *, timed_out: bool, timeout_s: float) -> Retry | None:
        if code == DONE:
            log.info("project %d: training decided", self._project)
            return None
        if self._ending.asked:
            log.info("project %d: training stopped, it goes on with the next worker", self._project)
            return Retry(max=ANY_NUMBER, enqueue_at_front=True)
        if timed_out and self._relay.moved():
            log.info("project %d: training stopped after %d s, it goes on in its turn", self._project, timeout_s)
            return Retry(max=ANY_NUMBER)
        if timed_out:
            raise TrainingFailed(f"project {self._project}: no progress within TRAINING_TIMEOUT_S={timeout_s:g}")
        raise TrainingFailed(f"project {self._project}: the trainer {_end(code)}; what it said is above")


def take_mark(connection: redis.Redis, project: int, folder: Path) -> None:
    """Take the project's mark, since all that was marked until now will be gathered.

    Not when a run goes on that was stopped before: it gathered then, and what was marked since is for the next one.
    Without the queue server the mark stays, which costs one look more.
    """
    if unfinished(folder):
        return
    try:
        mark = Board(connection).take(project)
    except redis.RedisError:
        return
    if mark is not None:
        log.info("project %d: %d captions were marked", project, mark.pending)


def unfinished(folder: Path) -> bool:
    """Whether a project's folder of runs has one without its last file, the report."""
    return any(run.is_dir() and not (run / "report.json").exists() for run in folder.glob("*"))


def wait_for(connection: redis.Redis, patience_s: float, ending: Ending) -> None:
    """Wait until the queue server answers, so that it hears how the job ended."""
    deadline = time.monotonic() + patience_s
    while not _answers(connection) and not ending.asked and time.monotonic() < deadline:
        time.sleep(1.0)


def refuse_torch() -> None:
    """Raises RuntimeError where torch was imported: what it does after a fork never returns."""
    if "torch" in sys.modules:
        raise RuntimeError("torch is imported in this process, which forks: the trainer must be a process of its own")


def _answers(connection: redis.Redis) -> bool:
    try:
        return bool(connection.ping())
    except redis.RedisError:
        return False


def _end(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
