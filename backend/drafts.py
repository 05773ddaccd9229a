"""Tasks to predictions: one answer for each task, in order, and `[]` for a task that failed.

Label Studio asks again for a task whose answer is `[]`. An empty result with a version would be stored, and never
asked for again; a missing element would drop the answers of all the others.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from backend.batches import OutOfTime
from backend.photos import Found, Photos
from backend.predictor import Predictor
from backend.serving import Serving
from labeling.config import CaptionField
from labeling.images import ImageFetchError
from labeling.prediction import joined, prediction
from labeling.task import TaskError, image_uris
from model.preprocess import ImageError

if TYPE_CHECKING:
    from model.captioner import Caption

log = logging.getLogger(__name__)

Task = Mapping[str, Any]
Answer = dict[str, Any] | list[Any]
# Pictures fetched ahead of the model: enough to keep it busy, few enough that another request's are not far behind.
AHEAD = 16
# A request this small is an annotator opening a task, not a bulk.
FEW = 2
# One line for each failure up to here, then the count alone.
NAMED_FAILURES = 5
LATE = "no time was left in PREDICT_BUDGET_S"


@dataclass(frozen=True)
class Order:
    """What a request asks for. `deadline` is on the clock of time.monotonic; `urgent`: whether it goes before bulks,
    by default if it is small."""

    tasks: Sequence[Task]
    field: CaptionField
    serving: Serving
    beam: int | None
    deadline: float
    urgent: bool | None = None


@dataclass
class _Picture:
    """One picture of one task: `item` is its place among several, None when it is the only one."""

    task: int
    task_id: int | None
    item: int | None
    uri: str
    caption: Future[Caption] | None = None


@dataclass
class _Progress:
    """What became of each task so far; `failures` maps a task's place to the reason, in words."""

    pictures: list[_Picture] = field(default_factory=list)
    failures: dict[int, str] = field(default_factory=dict)
    ahead: deque[tuple[_Picture, Future[Any]]] = field(default_factory=deque)


class Drafts:
    """Captions for tasks, from their pictures. `observe(outcome)` is told of each task: captioned, failed or late."""

    def __init__(
        self, photos: Photos, predictor: Predictor, observe: Callable[[str, str], None] = lambda version, outcome: None
    ) -> None:
        self._photos = photos
        self._predictor = predictor
        self._observe = observe

    def write(
        self,
        order: Order,
        seen: Callable[[int, Caption], None] = lambda place, caption: None,
        late: Callable[[list[int]], None] = lambda places: None,
    ) -> list[Answer]:
        """One answer a task: a prediction, or `[]`. Returns soon after the deadline at the latest; never raises
        for a task's own fault. `seen(place, caption)` is shown every caption, `place` being its task's place; `late` is
        told at the end which places there was no time for."""
        progress = _Progress()
        self._find(order, progress)
        urgent = is_urgent(order.tasks) if order.urgent is None else order.urgent
        known = partial(self._predictor.known, order.serving, order.beam)
        for picture in progress.pictures:
            photo = self._photos.read(picture.uri, task_id=picture.task_id, urgent=urgent, known=known)
            progress.ahead.append((picture, photo))
            if len(progress.ahead) >= AHEAD:
                self._hand_over(order, progress, urgent)
        while progress.ahead:
            self._hand_over(order, progress, urgent)
        answers = self._gather(order, progress, seen)
        _tell(progress.failures, order)
        late(sorted(place for place, reason in progress.failures.items() if reason == LATE))
        return answers

    def _find(self, order: Order, progress: _Progress) -> None:
        for place, task in enumerate(order.tasks):
            try:
                uris = image_uris(task, order.field)
            except TaskError as error:
                progress.failures[place] = str(error)
                continue
            number = task.get("id")
            task_id = number if isinstance(number, int) else None
            many = order.field.many
            progress.pictures += [
                _Picture(place, task_id, item if many else None, uri) for item, uri in enumerate(uris)
            ]

    def _hand_over(self, order: Order, progress: _Progress, urgent: bool) -> None:
        """Wait for the oldest picture being fetched and give it to the model."""
        picture, photo = progress.ahead.popleft()
        if picture.task in progress.failures:
            photo.cancel()
            return
        try:
            picture.caption = self._captioned(order, photo.result(timeout=_left(order)), urgent)
        except (TimeoutError, OutOfTime, CancelledError):
            photo.cancel()
            progress.failures[picture.task] = LATE
        except (ImageFetchError, ImageError) as error:
            progress.failures[picture.task] = str(error)
        except Exception as error:  # a picture that trips the decoder itself must not take the others with it
            log.exception("a picture could not be read")
            progress.failures[picture.task] = f"its picture could not be read: {type(error).__name__}"

    def _captioned(self, order: Order, found: Found, urgent: bool) -> Future[Caption]:
        if found.pixels is None:
            assert found.caption is not None
            known: Future[Caption] = Future()
            known.set_result(found.caption)
            return known
        return self._predictor.submit(
            order.serving,
            found.pixels,
            beam=order.beam,
            urgent=urgent,
            deadline=order.deadline,
            digest=found.digest,
        )

    def _gather(self, order: Order, progress: _Progress, seen: Callable[[int, Caption], None]) -> list[Answer]:
        parts: dict[int, list[dict[str, Any]]] = {place: [] for place in range(len(order.tasks))}
        for picture in progress.pictures:
            if picture.caption is None or picture.task in progress.failures:
                continue
            try:
                caption = picture.caption.result(timeout=_left(order))
            except (TimeoutError, OutOfTime, CancelledError):
                progress.failures[picture.task] = LATE
                continue
            except Exception as error:  # whatever the model raised; the predictor has logged it
                progress.failures[picture.task] = f"the model failed: {type(error).__name__}"
                continue
            seen(picture.task, caption)
            parts[picture.task].append(
                prediction(order.field, caption.text, caption.score, order.serving.version, item_index=picture.item)
            )
        _give_up_on_rest(progress)
        return [self._answer(order, progress, place, parts[place]) for place in parts]

    def _answer(self, order: Order, progress: _Progress, place: int, parts: list[dict[str, Any]]) -> Answer:
        reason = progress.failures.get(place)
        outcome = "captioned" if reason is None else "late" if reason == LATE else "failed"
        self._observe(order.serving.version, outcome)
        return joined(parts) if reason is None else []


def is_urgent(tasks: Sequence[Task]) -> bool:
    """Whether somebody waits in front of an open task for these few."""
    return len(tasks) <= FEW


def _left(order: Order) -> float:
    return max(order.deadline - time.monotonic(), 0.0)


def _give_up_on_rest(progress: _Progress) -> None:
    """Spare the model the pictures whose task has failed already."""
    for picture in progress.pictures:
        if picture.caption is not None and picture.task in progress.failures:
            picture.caption.cancel()


def _tell(failures: Mapping[int, str], order: Order) -> None:
    for place in sorted(failures)[:NAMED_FAILURES]:
        log.warning("task %s has no caption: %s", order.tasks[place].get("id"), failures[place])
    if len(failures) > NAMED_FAILURES:
        log.warning("%d of %d tasks have no caption", len(failures), len(order.tasks))
