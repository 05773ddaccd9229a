"""The tasks of a project, page by page, as the Data Manager filters them.

Each page is asked for by the last task's id, not by its number, so that tasks added or deleted meanwhile shift nothing
out of sight. Label Studio 1.23.2 sets no limit to a page; 200 tasks take it a third of a second.

The filters here look at the annotations themselves. A task's own counters (`total_annotations`) can be behind: every
import of predictions recounts all tasks of the project and may write over an annotation that came in meanwhile.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests

from labeling.session import LabelStudio, LabelStudioError

# A busy Label Studio takes its time, and to ask again makes it no less busy.
PAGE_TIMEOUT_S = 60.0

Filter = Mapping[str, Any]
ANNOTATED: Filter = {"filter": "filter:tasks:annotations_ids", "operator": "greater", "type": "Number", "value": 0}
UNANNOTATED: Filter = {"filter": "filter:tasks:annotations_ids", "operator": "empty", "type": "String", "value": "true"}


@dataclass(frozen=True)
class Page:
    """Some tasks by ascending id. `left`: how many are on this page and on those that follow."""

    tasks: list[dict[str, Any]]
    left: int


def pages(
    studio: LabelStudio,
    project: int,
    filters: Sequence[Filter],
    *,
    fields: Sequence[str],
    page_size: int,
    after: int = 0,
) -> Iterator[Page]:
    """The tasks with an id above `after` that pass all filters; no page is empty.

    `fields` names what is wanted of a task, and of its annotations too: Label Studio applies one list to both.
    Addresses of pictures come as stored. Raises LabelStudioError.
    """
    left = True
    while left:
        beyond = {"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": after}
        query = {"filters": {"conjunction": "and", "items": [beyond, *filters]}}
        page = _page(studio, project, query, fields, page_size)
        if page.tasks:
            yield page
            after = max(int(task["id"]) for task in page.tasks)
        left = bool(page.tasks) and len(page.tasks) < page.left


def changed_after(edge: datetime) -> Filter:
    """Tasks touched after `edge`. In 1.23.2 to submit, update, delete or skip an annotation touches its task, and so
    does a bulk action; so does a change to one prediction, but no import of predictions."""
    value = edge.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"filter": "filter:tasks:updated_at", "operator": "greater", "type": "Datetime", "value": value}


def newest_change(studio: LabelStudio, project: int) -> str:
    """When a task of the project was last touched, by Label Studio's clock; "" when there is none."""
    page = _page(studio, project, {"ordering": ["-tasks:updated_at"]}, ("id", "updated_at"), 1)
    return str(page.tasks[0]["updated_at"]) if page.tasks else ""


def answered(answer: requests.Response) -> Any:
    """The JSON of an answer. Raises LabelStudioError for anything else."""
    try:
        return answer.json()
    except ValueError:
        raise LabelStudioError(
            f"{answer.request.method} {answer.request.path_url.partition('?')[0]}: answered something other than JSON. "
            "Is LABEL_STUDIO_URL a Label Studio?",
            answer.status_code,
        ) from None


def _page(studio: LabelStudio, project: int, query: Mapping[str, Any], fields: Sequence[str], page_size: int) -> Page:
    params = {
        "project": project,
        "page_size": page_size,
        "fields": "all",
        "include": ",".join(fields),
        "resolve_uri": "false",
        "query": json.dumps(query),
    }
    found = answered(studio.request("GET", "/api/tasks", params=params, timeout=PAGE_TIMEOUT_S))
    return Page(found["tasks"], int(found["total"]))
