"""One thread owns the model; everyone else hands it pictures and waits.

Pictures of different requests share a batch. A request of a few tasks is an annotator waiting before an empty field,
so its pictures go before those of a bulk request; both lanes are bounded, so memory is too. Other work that needs the
model, such as trying a new version, is done between two batches.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from backend.niceness import be_nice
from backend.serving import Serving

if TYPE_CHECKING:
    from model.captioner import Caption
    from model.preprocess import Photo

log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[], None]

BATCH = 8
ROOM = 48


class OutOfTime(RuntimeError):
    """The time for this request was over before this picture's turn."""


class Job(NamedTuple):
    """One picture on its way: float32 (224, 224, 3), who captions it, and where the caption goes."""

    serving: Serving
    beam: int | None
    photo: Photo
    caption: Future[Caption]


class Predictor:
    """The model thread and its two lanes. `observe(batch_size, seconds)` is told of every batch."""

    def __init__(self, observe: Callable[[int, float], None] = lambda size, seconds: None) -> None:
        self._observe = observe
        self._urgent: deque[Job] = deque()
        self._bulk: deque[Job] = deque()
        self._errands: deque[tuple[Work, Future[Any]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    def submit(
        self, serving: Serving, photo: Photo, *, beam: int | None = None, urgent: bool = False, deadline: float
    ) -> Future[Caption]:
        """Queue one picture; waits for room until `deadline` (time.monotonic). Raises OutOfTime."""
        lane = self._urgent if urgent else self._bulk
        job = Job(serving, beam, photo, Future())
        with self._changed:
            left = deadline - time.monotonic()
            if not self._changed.wait_for(lambda: self._closed or len(lane) < ROOM, timeout=left) or self._closed:
                raise OutOfTime("the time for this request is over")
            lane.append(job)
            self._changed.notify_all()
        return job.caption

    def do(self, work: Callable[[], T]) -> Future[T]:
        """Run `work` on the model thread, before the next batch; cancelled when the thread is being closed."""
        done: Future[T] = Future()
        with self._changed:
            if self._closed:
                done.cancel()
            else:
                self._errands.append((partial(_run, work, done), done))
                self._changed.notify_all()
        return done

    def depth(self) -> int:
        """Pictures that wait for the model now."""
        return len(self._urgent) + len(self._bulk)

    def close(self) -> None:
        """Let the batch in hand finish; cancel the rest."""
        with self._changed:
            self._closed = True
            for job in (*self._urgent, *self._bulk):
                job.caption.cancel()
            for _, done in self._errands:
                done.cancel()
            self._urgent.clear()
            self._bulk.clear()
            self._errands.clear()
            self._changed.notify_all()
        self._thread.join(timeout=30.0)

    def _work(self) -> None:
        be_nice()
        while (turn := self._next()) is not None:
            errand, batch = turn
            if errand is not None:
                errand()
            if batch:
                self._caption(batch)

    def _next(self) -> tuple[Work | None, list[Job]] | None:
        """An errand, if there is one, and the oldest pictures that may share a batch: same version, same beam. None
        when closed.

        The batch is taken before the errand is run: pictures that arrive meanwhile would join it, and those that have
        waited would wait for them too.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._errands or self._urgent or self._bulk)
                if self._closed:
                    return None
                errand = self._errands.popleft()[0] if self._errands else None
                batch = _take(self._bulk, _take(self._urgent, []))
                self._changed.notify_all()
            # A cancelled job belongs to a request that gave up; claiming the others keeps them from being cancelled.
            claimed = [job for job in batch if job.caption.set_running_or_notify_cancel()]
            if errand is not None or claimed:
                return errand, claimed

    def _caption(self, batch: list[Job]) -> None:
        started = time.perf_counter()
        _caption(batch)
        self._observe(len(batch), time.perf_counter() - started)


def _run(work: Callable[[], T], done: Future[T]) -> None:
    if not done.set_running_or_notify_cancel():
        return
    try:
        done.set_result(work())
    except Exception as error:
        done.set_exception(error)


def _take(lane: deque[Job], batch: list[Job]) -> list[Job]:
    while lane and len(batch) < BATCH and (not batch or _alike(lane[0], batch[0])):
        batch.append(lane.popleft())
    return batch


def _alike(one: Job, other: Job) -> bool:
    return one.serving is other.serving and one.beam == other.beam


def _caption(batch: Sequence[Job]) -> None:
    """Caption a batch. When it fails, each picture is tried alone, so that one cannot take the others with it."""
    first = batch[0]
    try:
        captions = first.serving.captioner.caption([job.photo for job in batch], beam=first.beam)
    except Exception as error:
        if len(batch) == 1:
            log.exception("a picture could not be captioned")
            first.caption.set_exception(error)
            return
        for job in batch:
            _caption([job])
        return
    for job, caption in zip(batch, captions, strict=True):
        job.caption.set_result(caption)
