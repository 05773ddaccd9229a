"""One thread owns the model; everyone else hands it pictures and waits.

It encodes the pictures of a batch; the engine may search for their captions while it encodes those of the next.

Pictures of different requests share a batch, if the version and the search are the same. A request of a few tasks is
an annotator waiting before an empty field: its pictures go before those of a bulk request, and never wait for company.
Both lanes are bounded, so memory is too. Other work that needs the model, such as trying a new version, is done between
two batches. What has been captioned before is not captioned again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from backend.batches import Job, OutOfTime, caption_alone, deliver, key_of, one_each, take, timely
from backend.niceness import be_nice
from backend.remembered import Remembered
from backend.serving import Serving
from model.preprocess import to_float

if TYPE_CHECKING:
    from model.captioner import Caption
    from model.preprocess import Pixels

T = TypeVar("T")
Work = Callable[[], None]

BATCH = 8
ROOM = 48
# So many pictures of a bulk go along with urgent ones: a bulk must not starve, nor an annotator wait for a whole batch.
ALONG = 1
# How long a bulk's pictures that find the model idle wait for others, which are being decoded.
WINDOW_S = 0.005


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
        self._answered: Future[None] | None = None  # of the search that runs beside this thread
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    def known(self, serving: Serving, beam: int | None, digest: bytes) -> Caption | None:
        """The caption that a picture with this digest has already."""
        return self._remembered.get(key_of(serving, beam, digest))

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
        key = None if digest is None else key_of(serving, beam, digest)
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
        """Let the batches in hand finish; cancel the rest."""
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
        self._wait_for_search()

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
            wanted = timely(claimed)
            if errand is not None or wanted:
                return errand, wanted

    def _ripe(self) -> bool:
        """Whether there is no point in waiting for company: somebody waits, or the batch is full, or others came while
        the model worked."""
        if self._closed or self._errands or self._urgent or len(self._bulk) >= BATCH:
            return True
        return not self._bulk or time.monotonic() - self._bulk[0].queued >= WINDOW_S

    def _batch(self) -> list[Job]:
        if not self._urgent:
            return take(self._bulk, [], BATCH)
        along = min(ALONG, len(self._bulk))
        batch = take(self._urgent, [], BATCH - along)
        return take(self._bulk, batch, len(batch) + along)

    def _caption(self, batch: list[Job]) -> None:
        """Caption a batch: of equal pictures one, of known ones none. Returns when the next may be encoded."""
        waiting = self._recall(batch)
        if not waiting:
            return
        started = time.perf_counter()
        asked = one_each(waiting)
        first = asked[0]
        try:
            found = first.serving.captioner.begin([to_float(job.pixels) for job in asked], beam=first.beam)
        except Exception as error:
            found = Future()
            found.set_exception(error)
        self._wait_for_search()  # no more than one may wait for another, or batches would pile up
        self._answered = Future()
        found.add_done_callback(partial(self._answer, waiting, started, self._answered))

    def _wait_for_search(self) -> None:
        if self._answered is not None:
            self._answered.result()

    def _answer(self, waiting: list[Job], started: float, answered: Future[None], found: Future[list[Caption]]) -> None:
        """Hand out what was found, in the thread that found it."""
        try:
            self._hand_out(waiting, found)
            self._observe(len(waiting), time.perf_counter() - started)
        finally:
            answered.set_result(None)

    def _hand_out(self, waiting: list[Job], found: Future[list[Caption]]) -> None:
        deliver(one_each(waiting), found)
        for job in waiting:
            if job.key is not None and job.caption.done() and not job.caption.exception():
                self._remembered.put(job.key, job.caption.result())
        for job in self._recall([job for job in waiting if not job.caption.done()]):
            caption_alone(job)  # its equal failed: it fails by itself

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
