"""The reconciler: compares what Label Studio holds with what was learnt, and queues the trainings that are due.

It looks at levels, not at events: a webhook that was lost costs a minute, not a correction. Marks only say where to
look first. Every turn, about once a second, it reads the marks; a project whose burst of marks is over is asked about
in Label Studio. Every RECONCILE_EVERY_S all known projects are, marks or not.

A mark stays until a training takes it, or a look finds nothing new, so that what is not due yet can be seen. Several
reconcilers do no harm, the queue refuses a second job; a lock keeps all but one from asking Label Studio.
"""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from typing import Protocol

import redis

from labeling.session import LabelStudioError
from trainer.board import Board, Mark
from trainer.due import QUIET_S, STREAM_S, due
from trainer.leader import Leader
from trainer.queue import drop_job, enqueue_training, has_job, is_stranded
from trainer.spool import UNKNOWN_PROJECT
from trainer.timings import TIMINGS, Timings
from trainer.watch import Watch

log = logging.getLogger(__name__)

LOCK = "recaption:reconciler"
NOT_FOUND = 404


class Fresh(Protocol):
    """What labeling.corrections.fresh answers: how many captions no training has seen, and when the oldest was made."""

    @property
    def count(self) -> int: ...

    @property
    def oldest(self) -> str | None: ...


# project, since, recent: what Label Studio has beyond that.
Ask = Callable[[int, str, Mapping[str, str]], Fresh]
# project: the watermark of its last training and the annotations just before it.
Learnt = Callable[[int], tuple[str, Mapping[str, str]]]


@dataclass(frozen=True)
class Rules:
    """When a training is due, how long one may take, and the pace of the looks, in seconds."""

    each_n: int
    after_s: float
    every_s: float
    timeout_s: int
    turn_s: float = 1.0
    quiet_s: float = QUIET_S
    stream_s: float = STREAM_S
    longest_pause_s: float = 60.0
    stranded_s: float = 120.0
    timings: Timings = TIMINGS


class Reconciler:
    """`run` it in a process or a thread of its own. One caller at a time."""

    def __init__(self, client: redis.Redis, rules: Rules, *, ask: Ask, learnt: Learnt) -> None:
        self._client = client
        self._rules = rules
        self._ask = ask
        self._learnt = learnt
        self._board = Board(client)
        self._leader = Leader(client, LOCK, ttl_s=max(15.0, 3 * rules.turn_s))
        self._watch = Watch(quiet_s=rules.quiet_s, stream_s=rules.stream_s)
        self._next_sweep = 0.0
        self._asked_somewhere = False
        self._stranded: dict[int, float] = {}
        self._troubles: dict[object, str] = {}

    def run(self, stop: Event) -> None:
        """Look until `stop` is set or the parent process is gone. Outlives everything that may be down."""
        parent, pause = os.getppid(), self._rules.turn_s
        try:
            while not stop.wait(pause) and os.getppid() == parent:
                pause = self._rules.turn_s if self._turned() else min(pause * 2, self._rules.longest_pause_s)
        finally:
            # Without the queue server it expires by itself.
            with contextlib.suppress(redis.RedisError):
                self._leader.release()

    def once(self) -> None:
        """Look at every project now, whoever else does. Raises redis.RedisError or LabelStudioError."""
        marks = self._marks()
        for project in sorted({*self._board.projects(), *marks}):
            self._look(project, marks.get(project))

    def _turned(self) -> bool:
        """One turn; False if it could not be finished, said once."""
        try:
            self._turn()
        except redis.RedisError as error:
            self._trouble("turn", f"the queue server is out of reach ({type(error).__name__})")
        except LabelStudioError as error:
            self._trouble("turn", str(error))
        except Exception:
            log.exception("a look for due trainings failed; the next one may not")
        else:
            self._well("turn", "looking for due trainings again")
            return True
        return False

    def _turn(self) -> None:
        if not self._leader.hold():
            return
        marks = self._marks()
        now = time.monotonic()
        if now >= self._next_sweep:
            self._sweep(marks)
            self._next_sweep = now + self._rules.every_s
            return
        for project, mark in marks.items():
            if self._watch.calls(mark):
                self._look(project, mark)

    def _sweep(self, marks: dict[int, Mark]) -> None:
        """All known projects; not those where somebody is just now at work, whose turn comes in seconds."""
        for project in sorted({*self._board.projects(), *marks}):
            mark = marks.get(project)
            if mark is None or self._watch.settled(mark):
                self._look(project, mark)
        self._asked_somewhere = False

    def _marks(self) -> dict[int, Mark]:
        """The marks of projects. One that does not say whose it is brings the next sweep forward, and is dropped."""
        marks = {mark.project: mark for mark in self._board.pending()}
        self._watch.see(marks.values())
        nobodys = marks.pop(UNKNOWN_PROJECT, None)
        if nobodys is not None and self._watch.settled(nobodys):
            self._next_sweep = 0.0
            self._asked_somewhere |= nobodys.asked is not None
            self._board.take(UNKNOWN_PROJECT)
        return marks

    def _look(self, project: int, mark: Mark | None) -> None:
        """Ask about one project, queue its training if it is due. Raises when nobody can be asked at all."""
        if self._busy(project):
            return
        try:
            since, recent = self._learnt(project)
            fresh = self._ask(project, since, recent)
        except (LabelStudioError, OSError, ValueError) as error:
            self._unanswered(project, error)
        else:
            self._well(project, f"project {project} can be asked about again")
            self._decide(project, mark, fresh)
        if mark is not None:
            self._watch.looked(mark)

    def _decide(self, project: int, mark: Mark | None, fresh: Fresh) -> None:
        reason = due(
            fresh.count,
            _age(fresh.oldest),
            self._was_asked(mark) or (self._asked_somewhere and fresh.count > 0),
            each_n=self._rules.each_n,
            after_s=self._rules.after_s,
        )
        if reason is None:
            if mark is not None and fresh.count == 0:
                # Accepted drafts, or captions that a training gathered before their mark came.
                self._board.drop(mark)
            return
        if enqueue_training(self._client, project, timeout_s=self._rules.timeout_s, timings=self._rules.timings):
            log.info("project %d: training queued with %d new captions: %s", project, fresh.count, reason)

    @staticmethod
    def _was_asked(mark: Mark | None) -> bool:
        return mark is not None and mark.asked is not None

    def _unanswered(self, project: int, error: Exception) -> None:
        """One project's own trouble is said once; a Label Studio that does not answer ends the turn."""
        if isinstance(error, LabelStudioError) and error.status is None:
            raise error
        if isinstance(error, LabelStudioError) and error.status == NOT_FOUND:
            self._board.forget(project)
            log.info("project %d is not in Label Studio any more: forgotten", project)
            return
        self._trouble(project, f"project {project}: {error}")

    def _busy(self, project: int) -> bool:
        """Whether the project has a job, or had one a moment ago. One that got lost on its way is dropped."""
        if not has_job(self._client, project):
            self._stranded.pop(project, None)
            return False
        if not is_stranded(self._client, project):
            self._stranded.pop(project, None)
            return True
        since = self._stranded.setdefault(project, time.monotonic())
        if time.monotonic() - since < self._rules.stranded_s:
            return True
        log.warning("project %d: its job got lost in an outage of the queue server; dropped", project)
        drop_job(self._client, project)
        del self._stranded[project]
        return False

    def _trouble(self, what: object, text: str) -> None:
        if self._troubles.get(what) != text:
            log.warning("%s; trying again", text.rstrip("."))
        self._troubles[what] = text

    def _well(self, what: object, text: str) -> None:
        if self._troubles.pop(what, None) is not None:
            log.info("%s", text)


def _age(moment: str | None) -> float | None:
    """Seconds since a moment in ISO 8601; without a zone it is UTC."""
    if moment is None:
        return None
    at = datetime.fromisoformat(moment)
    return (datetime.now(UTC) - (at if at.tzinfo else at.replace(tzinfo=UTC))).total_seconds()
