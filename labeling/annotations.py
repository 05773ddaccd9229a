"""What people wrote about the pictures of one task, read out of its annotations.

The bulk action "Create annotations from predictions" makes annotations without a lead_time, since nobody looked: they
hold the machine's own captions. A task that is skipped keeps the machine's caption too, so `was_cancelled` comes first.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from labeling.config import CaptionField
from labeling.regions import Origin, by_picture, written
from labeling.task import TaskError, image_uris


@dataclass(frozen=True)
class Correction:
    """What one annotator wrote about one picture.

    `uri` is the picture's address as stored; `item` its place among the pictures of a task that has many. `captions`
    are stripped and never blank. `annotator` is 0 for an account that was deleted. `updated_at` is ISO 8601 in UTC.
    """

    task: int
    annotator: int
    annotation: int
    updated_at: str
    origin: Origin
    uri: str
    item: int | None
    captions: tuple[str, ...]


@dataclass(frozen=True)
class Reading:
    """`accepted`: captions of the machine that an annotator looked at and left as they were. `excluded`: how often
    something was not learnable, by reason; a text of one picture counts once, a skipped annotation counts once."""

    corrections: tuple[Correction, ...]
    accepted: tuple[Correction, ...]
    excluded: Counter[str]


def read(task: Mapping[str, Any], field: CaptionField) -> Reading:
    """What there is to learn from a task with its annotations: of each annotator, the latest about each picture.

    A skip and a bulk action say nothing about the text, so they replace no earlier correction; a blank text and an
    accepted caption do.
    """
    excluded: Counter[str] = Counter()
    latest: dict[tuple[int, int | None], Correction] = {}
    for said in sorted(_all_said(task, field, excluded), key=lambda said: (moment(said.updated_at), said.annotation)):
        # Nobody knows which annotations of deleted accounts are by the same person: none replaces another.
        place = (said.annotator or -said.annotation, said.item)
        excluded["superseded"] += place in latest
        latest[place] = said
    told = [said for said in latest.values() if said.captions]
    accepted = tuple(said for said in told if said.origin == "prediction")
    excluded["blank"] += len(latest) - len(told)
    excluded["accepted"] += len(accepted)
    return Reading(tuple(said for said in told if said.origin != "prediction"), accepted, +excluded)


def moment(text: str) -> datetime:
    """The time that Label Studio wrote. It leaves out a fraction of zero, so the texts themselves do not compare."""
    found = datetime.fromisoformat(text)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _all_said(task: Mapping[str, Any], field: CaptionField, excluded: Counter[str]) -> Iterator[Correction]:
    try:
        uris = image_uris(task, field)
    except TaskError:
        uris = []
    for annotation in task["annotations"]:
        if annotation["was_cancelled"]:
            excluded["skipped"] += 1
        elif not uris:
            excluded["no_picture"] += 1
        else:
            yield from _said(task, annotation, field, uris, excluded)


def _said(
    task: Mapping[str, Any],
    annotation: Mapping[str, Any],
    field: CaptionField,
    uris: Sequence[str],
    excluded: Counter[str],
) -> Iterator[Correction]:
    """One annotation's word on each picture; without captions where the text is blank."""
    for item, regions in by_picture(annotation, field, len(uris), excluded).items():
        origin, captions = written(regions, annotation)
        if annotation.get("bulk_created") or (origin == "prediction" and annotation["lead_time"] is None):
            excluded["bulk_accepted"] += 1
            continue
        yield Correction(
            task=int(task["id"]),
            annotator=_annotator(annotation["completed_by"]),
            annotation=int(annotation["id"]),
            updated_at=moment(annotation["updated_at"]).isoformat(timespec="microseconds"),
            origin=origin,
            uri=uris[item],
            item=item if field.many else None,
            captions=captions,
        )


def _annotator(completed_by: Any) -> int:
    """Label Studio names the account by its number, or whole, or not at all once it is deleted."""
    return int((completed_by["id"] if isinstance(completed_by, Mapping) else completed_by) or 0)
