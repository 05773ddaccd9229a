"""What the model captions at once: pictures on their way, which of them may share a batch, and what becomes of them."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple

from backend.remembered import Key
from backend.serving import Serving
from model.preprocess import to_float

if TYPE_CHECKING:
    from model.captioner import Caption
    from model.preprocess import Pixels

log = logging.getLogger(__name__)


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


def key_of(serving: Serving, beam: int | None, digest: bytes) -> Key:
    return Key(digest, serving.version, beam or serving.captioner.beam)


def take(lane: deque[Job], batch: list[Job], most: int) -> list[Job]:
    while lane and len(batch) < most and (not batch or alike(lane[0], batch[0])):
        batch.append(lane.popleft())
    return batch


def timely(batch: Sequence[Job]) -> list[Job]:
    """Those that somebody waits for still; the others are told that their time is over."""
    now = time.monotonic()
    for job in batch:
        if job.deadline < now:
            job.caption.set_exception(OutOfTime("the time for this request is over"))
    return [job for job in batch if job.deadline >= now]


def one_each(batch: Sequence[Job]) -> list[Job]:
    """The first of those that have the same key."""
    first: dict[Key | Future[Caption], Job] = {}
    for job in batch:
        first.setdefault(job.key or job.caption, job)
    return list(first.values())


def alike(one: Job, other: Job) -> bool:
    return one.serving is other.serving and one.beam == other.beam


def deliver(batch: Sequence[Job], found: Future[list[Caption]]) -> None:
    """Give each picture its caption. When there are none, each is tried alone: one must not take the others with it."""
    if (error := found.exception()) is not None:
        if len(batch) == 1:
            log.error("a picture could not be captioned", exc_info=error)
            batch[0].caption.set_exception(error)
            return
        for job in batch:
            caption_alone(job)
        return
    for job, caption in zip(batch, found.result(), strict=True):
        job.caption.set_result(caption)


def caption_alone(job: Job) -> None:
    try:
        [caption] = job.serving.captioner.caption([to_float(job.pixels)], beam=job.beam)
    except Exception as error:
        log.exception("a picture could not be captioned")
        job.caption.set_exception(error)
    else:
        job.caption.set_result(caption)
