"""What a Label Studio event says about captions. Every event in its real shape, also without its payload.

ANNOTATION_CREATED, ANNOTATION_UPDATED   `annotation` (an object), `project`, `task`
ANNOTATIONS_CREATED                      `annotation` (a list), `project`, `task`: predictions accepted in bulk
ANNOTATIONS_DELETED                      `annotations` (a list of ids), `project`
START_TRAINING                           `project`
PROJECT_UPDATED, TASKS_CREATED, ...      nothing about captions: no mark
any of them with send_payload off        the `action` alone
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer.marks import START_TRAINING, UNKNOWN_PROJECT

CREATED = "ANNOTATION_CREATED"
ACCEPTED_IN_BULK = "ANNOTATIONS_CREATED"
CHANGED = ("ANNOTATION_UPDATED", "ANNOTATION_DELETED", "ANNOTATIONS_DELETED")
KNOWN = (CREATED, ACCEPTED_IN_BULK, *CHANGED, START_TRAINING)
# What a person wrote or changed; the editor leaves "prediction" on a draft that nobody touched.
BY_HAND = ("manual", "prediction-changed")


class WebhookError(ValueError):
    """A body that is no Label Studio event."""


@dataclass(frozen=True)
class Event:
    """`captions`: how many were created, changed or deleted. `marks`: whether the trainer should look."""

    action: str
    project: int
    captions: int

    @property
    def marks(self) -> bool:
        return self.captions > 0 or self.action == START_TRAINING


def event(body: Mapping[str, Any]) -> Event:
    """Read an event. Raises WebhookError if there is no action."""
    action = body.get("action")
    if not isinstance(action, str) or not action:
        raise WebhookError('"action" is missing, expected a name such as ANNOTATION_CREATED')
    return Event(action, _project(body), _captions(action, body))


def project_number(value: object) -> int | None:
    """A project's number from any of its forms: 7, "7", "7.1795417146" (number and time of creation), {"id": 7}."""
    if isinstance(value, Mapping):
        value = value.get("id")
    number = str(value).partition(".")[0] if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return int(number) if number.isascii() and number.isdigit() and len(number) < 19 else None


def _project(body: Mapping[str, Any]) -> int:
    places = [body, *_objects(body.get("annotation")), *_objects(body.get("task"))]
    return next((n for place in places if (n := project_number(place.get("project"))) is not None), UNKNOWN_PROJECT)


def _captions(action: str, body: Mapping[str, Any]) -> int:
    """How many captions the event is about. Without a payload: one, since something happened."""
    about = _objects(body.get("annotation")) or _objects(body.get("annotations"))
    if action == CREATED:
        return sum(map(_written, about)) if about else 1
    if action == ACCEPTED_IN_BULK:
        return sum(map(_written_by_hand, about)) if about else 1
    return max(len(about), 1) if action in CHANGED else 0


def _written(annotation: Mapping[str, Any]) -> bool:
    """Whether a new annotation holds a caption: a skipped task is an annotation too, without one."""
    return not annotation.get("was_cancelled") and annotation.get("result") != []


def _written_by_hand(annotation: Mapping[str, Any]) -> bool:
    """Whether a person had a hand in it: drafts turned into annotations by a click teach the model nothing."""
    return any(region.get("origin") in BY_HAND for region in _objects(annotation.get("result")))


def _objects(value: object) -> list[Mapping[str, Any]]:
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, Mapping)]
