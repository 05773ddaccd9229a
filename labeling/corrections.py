"""The corrections of a project, as Label Studio holds them at this moment. Webhooks say when to look, never what.

    harvest(studio, 7)                                   all there is to learn, and what is not, by reason
    fresh(studio, 7, since=watermark, recent=recent)     how many corrections came after that; cheap, to ask often

Times are Label Studio's. What it writes becomes visible a moment after the time written into it, so `fresh` looks back
a little further than the last harvest saw, and passes over what that harvest had: `recent`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from labeling.annotations import Correction, Reading, moment, read
from labeling.config import CaptionField, caption_field
from labeling.pages import ANNOTATED, changed_after, newest_change, pages
from labeling.session import LabelStudio

__all__ = ["OVERLAP", "Correction", "Fresh", "Harvest", "fresh", "harvest"]

# Far longer than an annotator's request takes from the time it writes down to the answer.
OVERLAP = timedelta(seconds=120)
# Of a task, and of its annotations: all that `read` looks at, and none of the predictions.
FIELDS = (
    *("id", "data", "annotations", "updated_at"),
    *("result", "was_cancelled", "completed_by", "lead_time", "parent_prediction", "bulk_created"),
)
PAGE_SIZE = 200


@dataclass(frozen=True)
class Harvest:
    """`corrections` to learn from; `accepted`, drafts that an annotator left as they were.

    `excluded`: how many were not taken, by reason: skipped, blank, accepted, bulk_accepted, superseded (by a later one
    of the same annotator), no_picture, other_field (regions of another control than the caption's). `watermark` and
    `recent` are for `fresh`: the time up to which all is known, and the corrections about that time and after.
    """

    corrections: tuple[Correction, ...]
    excluded: dict[str, int]
    accepted: tuple[Correction, ...]
    watermark: str
    recent: dict[str, str]


@dataclass(frozen=True)
class Fresh:
    """How many corrections are new, and when the oldest of them was made."""

    count: int
    oldest: str | None


def harvest(
    studio: LabelStudio,
    project: int,
    *,
    prefer: str | None = None,
    page_size: int = PAGE_SIZE,
    progress: Callable[[int, int], None] | None = None,
) -> Harvest:
    """Everything that people have written in the project until now; `prefer` names the TextArea, as in `caption_field`.

    `progress` is told how many annotated tasks are read, and of how many. Raises LabelStudioError, and
    LabelConfigError for a project that asks for no captions.
    """
    field = _field(studio, project, prefer)
    # What is written while the pages are read may be missed: all is known only up to the time before the first.
    begun = newest_change(studio, project)
    readings: list[Reading] = []
    times: list[datetime] = []
    for page in pages(studio, project, [ANNOTATED], fields=FIELDS, page_size=page_size):
        readings += [read(task, field) for task in page.tasks]
        times += [moment(annotation["updated_at"]) for task in page.tasks for annotation in task["annotations"]]
        if progress is not None:
            progress(len(readings), len(readings) + page.left - len(page.tasks))
    return _gathered(readings, min(max(times), moment(begun)) if times and begun else None)


def fresh(
    studio: LabelStudio, project: int, *, since: str, recent: Mapping[str, str], prefer: str | None = None
) -> Fresh:
    """What `harvest` would find to learn beyond the harvest that returned `since` (its watermark) and `recent`.

    One small request when nothing has changed. Raises LabelStudioError, and LabelConfigError as `harvest` does.
    """
    edge = moment(since) - OVERLAP if since else None
    filters = [ANNOTATED, changed_after(edge)] if edge else [ANNOTATED]
    field: CaptionField | None = None
    found: list[Correction] = []
    for page in pages(studio, project, filters, fields=FIELDS, page_size=PAGE_SIZE):
        field = field or _field(studio, project, prefer)
        for task in page.tasks:
            found += [said for said in read(task, field).corrections if _is_new(said, edge, recent)]
    oldest = min(found, key=lambda said: moment(said.updated_at), default=None)
    return Fresh(len(found), oldest.updated_at if oldest else None)


def _field(studio: LabelStudio, project: int, prefer: str | None) -> CaptionField:
    return caption_field(studio.get(f"/api/projects/{project}/")["label_config"], prefer=prefer)


def _gathered(readings: Sequence[Reading], watermark: datetime | None) -> Harvest:
    corrections = tuple(said for reading in readings for said in reading.corrections)
    accepted = tuple(said for reading in readings for said in reading.accepted)
    excluded = sum((reading.excluded for reading in readings), Counter[str]())
    if watermark is None:
        return Harvest(corrections, dict(excluded), accepted, "", {})
    edge = watermark - OVERLAP
    recent = {str(said.annotation): said.updated_at for said in corrections if moment(said.updated_at) > edge}
    return Harvest(corrections, dict(excluded), accepted, watermark.isoformat(timespec="microseconds"), recent)


def _is_new(said: Correction, edge: datetime | None, recent: Mapping[str, str]) -> bool:
    at = moment(said.updated_at)
    known = recent.get(str(said.annotation))
    return (edge is None or at > edge) and (known is None or moment(known) != at)
