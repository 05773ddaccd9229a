"""The stored predictions of a project: which tasks want one, writing them, and clearing up older ones.

Label Studio pre-fills an editor with a stored prediction, and an annotation that is submitted names the prediction it
began from. To delete one has two costs in 1.23.2: annotations lose that name, and an editor that is open with it can
no longer submit (HTTP 400, `parent_prediction: Invalid pk`). To rewrite it in place has neither.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from labeling.pages import UNANNOTATED, answered, pages
from labeling.session import LabelStudio, LabelStudioError

# One import recounts every task of the project: 8 s for 10,000 tasks, however few the predictions.
PUSH_TIMEOUT_S = 300.0
FIELDS = ("id", "project", "data", "meta", "predictions", "draft_exists")


def unlabelled(
    studio: LabelStudio, project: int, *, after_task: int = 0, page_size: int = 100
) -> Iterator[list[dict[str, Any]]]:
    """The tasks that nobody has submitted or skipped, by ascending id from above `after_task`, in pages.

    Each row has `id`, `project`, `data`, `meta`, `predictions`, and `draft_exists`, which says that somebody has begun.
    """
    for page in pages(studio, project, [UNANNOTATED], fields=FIELDS, page_size=page_size, after=after_task):
        yield page.tasks


def push(studio: LabelStudio, project: int, predictions: Sequence[Mapping[str, Any]]) -> int:
    """Store predictions, each `{"task", "result", "score", "model_version"}`, in one request; how many were stored.

    Fewer than given when Label Studio finds some that do not fit the label config, which it drops without a word (in
    1.23.2 all those of a Repeater). One task that is gone fails the whole request. Raises LabelStudioError.
    """
    if not predictions:
        return 0
    path = f"/api/projects/{project}/import/predictions"
    body = [dict(prediction) for prediction in predictions]
    return int(answered(studio.request("POST", path, json=body, timeout=PUSH_TIMEOUT_S))["created"])


def rewrite(studio: LabelStudio, number: int, prediction: Mapping[str, Any]) -> bool:
    """Put another `result`, `score` and `model_version` into a stored prediction; False if it is gone."""
    body = {key: prediction[key] for key in ("result", "score", "model_version")}
    try:
        studio.patch(f"/api/predictions/{number}/", body)
    except LabelStudioError as error:
        _raise_unless_gone(error)
        return False
    return True


def older_of(task_row: Mapping[str, Any], version: str, ours: Callable[[str], bool]) -> list[int]:
    """The ids of this task's predictions by another version than `version`, where `ours` knows that version."""
    return [
        int(row["id"])
        for row in task_row["predictions"]
        if row["model_version"] and row["model_version"] != version and ours(row["model_version"])
    ]


def delete_predictions(studio: LabelStudio, ids: Iterable[int]) -> int:
    """Delete predictions, except of a task that has an annotation or a draft by now; how many are gone.

    A task that is merely open in an editor looks like any other: see above what that costs.
    """
    return sum(_delete(studio, number) for number in ids)


def _delete(studio: LabelStudio, number: int) -> bool:
    try:
        task = studio.get(f"/api/predictions/{number}/")["task"]
        row = studio.get(f"/api/tasks/{task}/", {"resolve_uri": "false"})
        if row["annotations"] or row["draft_exists"]:
            return False
        studio.delete(f"/api/predictions/{number}/")
    except LabelStudioError as error:
        _raise_unless_gone(error)
    return True


def _raise_unless_gone(error: LabelStudioError) -> None:
    if error.status != 404:
        raise error
