"""One thread owns the model; everyone else hands it pictures and waits.

Pictures of different requests share a batch, if the version and the search are the same. A request of a few tasks is
an annotator waiting before an empty field: its pictures go before those of a bulk request, and never wait for company.
Both lanes are bounded, so memory is too. Other work that needs the model, such as trying a new version, is done between
two batches. What has been captioned before is not captioned again.
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
from backend.remembered import Key, Remembered
from backend.serving import Serving
from model.preprocess import to_float

if TYPE_CHECKING:
    from model.captioner import Caption
    from model.preprocess import Pixels

log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[], None]

BATCH = 8
ROOM = 48
# So many pictures of a bulk go along with urgent ones: a bulk must not starve, nor an annotator wait for a whole batch.
ALONG = 1
# How long a bulk's pictures that find the model idle wait for others, which are being decoded.
WINDOW_S = 0.005


class OutOfTime(RuntimeError):
    """The time for this request was over before this picture's turn."""


class Job(NamedTuple):
    """One picture on its way: uint8 (224, 224, 3), a quarter of its size in floats; who captions it, and where the
    caption goes. `key` is None for a picture that is not to be remembered; the times are on the clock of
    time.monotonic.
    """

    serving: Serving
    beam: int | None
    pixels: Pixels
    caption: Future[Caption]
    deadline: float
    queued: float
    key: Key | None = None


class Predictor:
    """The model thread and its two lanes. `observe(batch_size, seconds)` is told of every batch."""

    def __init__(self, observe: Callable[[int, float], None] = lambda size, seconds: None) -> None:
        self._observe = observe
        self._remembered = Remembered()
        self._urgent: deque[Job] = deque()
        self._bulk: deque[Job] = deque()
        self._errands: deque[tuple[Work, Future[Any]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    def known(self, serving: Serving, beam: int | None, digest: bytes) -> Caption | None:
        """The caption that a picture with this digest has already."""
        return self._remembered.get(_key(serving, beam, digest))

    def submit(
        self,
        serving: Serving,
        pixels: Pixels,
        *,
        beam: int | None = None,
        urgent: bool = False,
        deadline: float,
        digest: bytes | None = None,
    ) -> Future[Caption]:
        """Queue one picture; waits for room until `deadline` (time.monotonic), and raises OutOfTime, as the future does
        for a picture whose turn comes later. `digest` tells whether it is one that has been captioned."""
        lane = self._urgent if urgent else self._bulk
        key = None if digest is None else _key(serving, beam, digest)
        with self._changed:
            left = deadline - time.monotonic()
            if not self._changed.wait_for(lambda: self._closed or len(lane) < ROOM, timeout=left) or self._closed:
                raise OutOfTime("the time for this request is over")
            job = Job(serving, beam, pixels, Future(), deadline, time.monotonic(), key)
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
                self._changed.wait_for(self._ripe, timeout=WINDOW_S)
                if self._closed:
                    return None
                errand = self._errands.popleft()[0] if self._errands else None
                batch = self._batch()
                self._changed.notify_all()
            # A cancelled job belongs to a request that gave up; claiming the others keeps them from being cancelled.
            claimed = [job for job in batch if job.caption.set_running_or_notify_cancel()]
            timely = _timely(claimed)
            if errand is not None or timely:
                return errand, timely

    def _ripe(self) -> bool:
        """Whether there is no point in waiting for company: somebody waits, or the batch is full, or others came while
        the model worked."""
        if self._closed or self._errands or self._urgent or len(self._bulk) >= BATCH:
            return True
        return not self._bulk or time.monotonic() - self._bulk[0].queued >= WINDOW_S

    def _batch(self) -> list[Job]:
        if not self._urgent:
            return _take(self._bulk, [], BATCH)
        along = min(ALONG, len(self._bulk))
        batch = _take(self._urgent, [], BATCH - along)
        return _take(self._bulk, batch, len(batch) + along)

    def _caption(self, batch: list[Job]) -> None:
        """Caption a batch: of equal pictures one, of known ones none."""
        waiting = self._recall(batch)
        if not waiting:
            return
        started = time.perf_counter()
        _caption(_one_each(waiting))
        self._observe(len(waiting), time.perf_counter() - started)
        for job in waiting:
            if job.key is not None and job.caption.done() and not job.caption.exception():
                self._remembered.put(job.key, job.caption.result())
        for job in self._recall([job for job in waiting if not job.caption.done()]):
            _caption([job])  # its equal failed: it fails by itself

    def _recall(self, batch: Sequence[Job]) -> list[Job]:
        """Answer what is known; the rest."""
        unknown = []
        for job in batch:
            caption = self._remembered.get(job.key) if job.key else None
            if caption is None:
                unknown.append(job)
            else:
                job.caption.set_result(caption)
        return unknown


def _run(work: Callable[[], T], done: Future[T]) -> None:
    if not done.set_running_or_notify_cancel():
        return
    try:
        done.set_result(work())
    except Exception as error:
        done.set_exception(error)


def _key(serving: Serving, beam: int | None, digest: bytes) -> Key:
    return Key(digest, serving.version, beam or serving.captioner.beam)


def _take(lane: deque[Job], batch: list[Job], most: int) -> list[Job]:
    while lane and len(batch) < most and (not batch or _alike(lane[0], batch[0])):
        batch.append(lane.popleft())
    return batch


def _timely(batch: Sequence[Job]) -> list[Job]:
    """Those that somebody waits for still; the others are told that their time is over."""
    now = time.monotonic()
    for job in batch:
        if job.deadline < now:
            job.caption.set_exception(OutOfTime("the time for this request is over"))
    return [job for job in batch if job.deadline >= now]


def _one_each(batch: Sequence[Job]) -> list[Job]:
    """The first of those that have the same key."""
    first: dict[Key | Future[Caption], Job] = {}
    for job in batch:
        first.setdefault(job.key or job.caption, job)
    return list(first.values())


def _alike(one: Job, other: Job) -> bool:
    return one.serving is other.serving and one.beam == other.beam


def _caption(batch: Sequence[Job]) -> None:
    """Caption a batch. When it fails, each picture is tried alone, so that one cannot take the others with it."""
    first = batch[0]
    try:
        captions = first.serving.captioner.caption([to_float(job.pixels) for job in batch], beam=first.beam)
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
