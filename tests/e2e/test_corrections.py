"""What the real Label Studio keeps of annotators' work, and what is read out of it. No backend and no browser: the
annotations are sent as the editor sends them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from labeling.annotations import moment
from labeling.config import RECOMMENDED_CONFIG, caption_field
from labeling.corrections import Fresh, fresh, harvest
from labeling.pages import changed_after, newest_change, pages
from labeling.prediction import joined, prediction
from labeling.predictions import delete_predictions, older_of, push, rewrite, unlabelled
from labeling.session import LabelStudio, LabelStudioError
from tests.e2e.conftest import Studio
from tests.labeling.configs import REPEATER

FIELD = caption_field(RECOMMENDED_CONFIG)
LIST = '<View><TextArea name="caption" toName="image" perItem="true"/><Image name="image" valueList="$photos"/></View>'
VERSION = "sat-1"


class Work:
    """A project of tasks with machine captions, and what annotators do there."""

    def __init__(self, api: LabelStudio, tasks: int, label_config: str = RECOMMENDED_CONFIG, data: Any = None) -> None:
        self.api = api
        self.project = int(api.post("/api/projects/", {"title": "Work", "label_config": label_config})["id"])
        rows = [{"data": data or {"captioning": f"s3://photos/{number}.jpg"}} for number in range(tasks)]
        api.post(f"/api/projects/{self.project}/import", rows)
        self.tasks = [int(row["id"]) for page in unlabelled(api, self.project) for row in page]
        self.drafted: dict[int, int] = {}

    def draft(self) -> None:
        """A machine's caption for each task."""
        rows = [{"task": task} | prediction(FIELD, f"machine {task}", 0.5, VERSION) for task in self.tasks]
        assert push(self.api, self.project, rows) == len(rows)
        for page in unlabelled(self.api, self.project):
            self.drafted |= {row["id"]: row["predictions"][0]["id"] for row in page}

    def submit(self, task: int, *texts: str, origin: str | None = "prediction-changed", **more: Any) -> int:
        """Press Submit; the id of the annotation."""
        told = {} if origin is None else {"origin": origin}
        region = {"id": "89c54a80ff", "from_name": "caption", "to_name": "image", "type": "textarea"} | told
        body = {"result": [region | {"value": {"text": list(texts)}}], "lead_time": 7.1, "draft_id": 0} | more
        if origin != "manual":
            body = {"parent_prediction": self.drafted.get(task)} | body
        return int(self.api.post(f"/api/tasks/{task}/annotations/", body)["id"])

    def bulk(self, action: str, *tasks: int) -> None:
        """An action of the Data Manager on selected tasks."""
        selected = {"selectedItems": {"all": False, "included": list(tasks)}}
        self.api.post("/api/dm/actions", selected, {"id": action, "project": self.project})

    def learnt(self) -> dict[int, list[tuple[str, ...]]]:
        found: dict[int, list[tuple[str, ...]]] = {}
        for said in harvest(self.api, self.project).corrections:
            found.setdefault(said.task, []).append(said.captions)
        return found

    def predictions(self, task: int) -> list[dict[str, Any]]:
        return list(self.api.get(f"/api/tasks/{task}/", {"resolve_uri": "false"})["predictions"])


@pytest.fixture
def api(studio: Studio) -> LabelStudio:
    return studio.session


@pytest.fixture
def colleague(api: LabelStudio) -> Iterator[int]:
    """Another account, for the time of a test."""
    name = uuid.uuid4().hex[:8]
    number = int(api.post("/api/users/", {"email": f"{name}@example.com", "username": name})["id"])
    yield number
    api.delete(f"/api/users/{number}/")


@pytest.fixture
def work(api: LabelStudio) -> Work:
    work = Work(api, 4)
    work.draft()
    return work


def test_everything_annotators_do_is_told_apart(api: LabelStudio, colleague: int) -> None:
    work = Work(api, 9)
    work.draft()
    edited, typed, accepted, skipped, blank, bulk, gone, twice, untouched = work.tasks
    work.submit(edited, "a dog")
    work.submit(edited, "a brown dog", completed_by=colleague)
    work.submit(typed, " two\nlines ", "another", origin="manual")
    work.submit(accepted, f"machine {accepted}", origin="prediction")
    work.submit(skipped, f"machine {skipped}", origin="prediction", was_cancelled=True)
    work.submit(blank, "")
    work.bulk("predictions_to_annotations", bulk)
    api.delete(f"/api/annotations/{work.submit(gone, 'deleted')}/")
    work.submit(twice, "at first")
    work.submit(twice, "machine", "after all")

    found = harvest(api, work.project, page_size=4)

    assert {(said.task, said.captions, said.origin) for said in found.corrections} == {
        (edited, ("a dog",), "prediction-changed"),
        (edited, ("a brown dog",), "prediction-changed"),
        (typed, ("two lines", "another"), "manual"),
        (twice, ("after all",), "prediction-changed"),
    }
    assert {said.uri for said in found.corrections if said.task == edited} == {"s3://photos/0.jpg"}
    assert len({said.annotator for said in found.corrections if said.task == edited}) == 2
    assert [(said.task, said.captions) for said in found.accepted] == [(accepted, (f"machine {accepted}",))]
    assert found.excluded == {"accepted": 1, "skipped": 1, "blank": 1, "bulk_accepted": 1, "superseded": 1}
    assert set(found.recent) == {str(said.annotation) for said in found.corrections}
    assert fresh(api, work.project, since=found.watermark, recent=found.recent) == Fresh(0, None)
    assert fresh(api, work.project, since="", recent={}).count == 4
    assert [row["id"] for page in unlabelled(api, work.project) for row in page] == [gone, untouched]


def test_fresh_follows_what_annotators_do(work: Work) -> None:
    api, project = work.api, work.project
    known = work.submit(work.tasks[0], "known before")
    found = harvest(api, project)

    def count() -> int:
        return fresh(api, project, since=found.watermark, recent=found.recent).count

    assert count() == 0
    first = work.submit(work.tasks[1], "new")
    assert fresh(api, project, since=found.watermark, recent=found.recent) == Fresh(
        1, moment(api.get(f"/api/annotations/{first}/")["updated_at"]).isoformat(timespec="microseconds")
    )
    (region,) = api.get(f"/api/annotations/{known}/")["result"]
    api.patch(f"/api/annotations/{known}/", {"result": [region | {"value": {"text": ["changed since"]}}]})
    assert count() == 2
    work.submit(work.tasks[2], "machine", origin="prediction", was_cancelled=True)
    work.submit(work.tasks[3], f"machine {work.tasks[3]}", origin="prediction")
    assert count() == 2
    api.delete(f"/api/annotations/{first}/")
    assert count() == 1
    work.bulk("delete_tasks_annotations", *work.tasks)
    assert count() == 0


def test_all_that_annotators_do_touches_the_task(work: Work) -> None:
    """What `fresh` rests on."""

    def touched(act: Callable[[], Any]) -> list[int]:
        edge = moment(newest_change(work.api, work.project))
        act()
        listed = pages(work.api, work.project, [changed_after(edge)], fields=("id",), page_size=100)
        return [int(row["id"]) for page in listed for row in page.tasks]

    first, second, third, fourth = work.tasks
    made: list[int] = []
    assert touched(lambda: made.append(work.submit(first, "a dog"))) == [first]
    assert touched(lambda: work.api.patch(f"/api/annotations/{made[0]}/", {"lead_time": 9.0})) == [first]
    assert touched(lambda: work.submit(second, "x", was_cancelled=True)) == [second]
    assert touched(lambda: work.api.delete(f"/api/annotations/{made[0]}/")) == [first]
    assert touched(lambda: work.bulk("predictions_to_annotations", third, fourth)) == [third, fourth]
    assert touched(lambda: work.bulk("delete_tasks_annotations", third)) == [third]
    assert touched(work.draft) == []


def test_imported_annotations_are_written_by_people(api: LabelStudio) -> None:
    work = Work(api, 1)
    region = {"from_name": "caption", "to_name": "image", "type": "textarea", "value": {"text": ["imported"]}}
    row = {"data": {"captioning": "/data/upload/1/a%20b.jpg"}, "annotations": [{"result": [region]}]}
    api.post(f"/api/projects/{work.project}/import", [row])
    (said,) = harvest(api, work.project).corrections
    assert (said.captions, said.origin, said.uri) == (("imported",), "manual", "/data/upload/1/a%20b.jpg")


def test_a_changed_label_config_leaves_other_fields_behind(work: Work) -> None:
    work.submit(work.tasks[0], "a dog")
    config = '<View><TextArea name="words" toName="image"/><Image name="image" value="$captioning"/></View>'
    work.api.patch(f"/api/projects/{work.project}/", {"label_config": config})
    found = harvest(work.api, work.project)
    assert (found.corrections, found.excluded) == ((), {"other_field": 1})


@pytest.mark.parametrize(
    ("label_config", "data"),
    [
        (LIST, {"photos": ["s3://photos/0.jpg", "s3://photos/1.jpg"]}),
        (REPEATER, {"images": [{"url": "s3://photos/0.jpg"}, {"url": "s3://photos/1.jpg"}]}),
    ],
)
def test_each_picture_of_a_task_has_its_correction(api: LabelStudio, label_config: str, data: Any) -> None:
    work = Work(api, 1, label_config, data)
    field = caption_field(label_config)
    body = joined([prediction(field, f"photo {item}", 0.5, VERSION, item_index=item) for item in range(2)])
    result = [region | {"origin": "manual"} for region in body["result"]]
    api.post(f"/api/tasks/{work.tasks[0]}/annotations/", {"result": result, "lead_time": 3.0})
    found = harvest(api, work.project).corrections
    assert [(said.item, said.uri, said.captions) for said in found] == [
        (0, "s3://photos/0.jpg", ("photo 0",)),
        (1, "s3://photos/1.jpg", ("photo 1",)),
    ]


def test_tasks_are_captioned_again_page_by_page(work: Work) -> None:
    api, project = work.api, work.project
    work.submit(work.tasks[1], "a dog")
    rows = [row for page in unlabelled(api, project, after_task=work.tasks[0], page_size=1) for row in page]
    assert [row["id"] for row in rows] == work.tasks[2:]
    assert rows[0]["data"] == {"captioning": "s3://photos/2.jpg"}
    assert push(api, project, [{"task": row["id"]} | prediction(FIELD, "newer", 0.6, "sat-2") for row in rows]) == 2
    stale = [number for row in rows for number in older_of(row, "sat-2", lambda version: version.startswith("sat-"))]
    work.submit(work.tasks[2], "in between")
    api.post(f"/api/tasks/{work.tasks[0]}/drafts", {"result": [], "lead_time": 1.0})
    assert delete_predictions(api, [*stale, work.drafted[work.tasks[0]], 10**9]) == 2
    versions = [[row["model_version"] for row in work.predictions(task)] for task in work.tasks]
    assert [sorted(each) for each in versions] == [["sat-1"], ["sat-1"], ["sat-1", "sat-2"], ["sat-2"]]


def test_predictions_that_do_not_fit_or_have_no_task_are_not_stored(work: Work) -> None:
    other = caption_field('<View><TextArea name="words" toName="image"/><Image name="image" value="$x"/></View>')
    fitting, unfitting = (prediction(each, "a dog", 0.5, "sat-2") for each in (FIELD, other))
    rows = [{"task": work.tasks[0]} | fitting, {"task": work.tasks[1]} | unfitting]
    assert push(work.api, work.project, rows) == 1
    with pytest.raises(LabelStudioError, match="HTTP 400"):
        push(work.api, work.project, [{"task": work.tasks[0]} | fitting, {"task": 10**9} | fitting])
    assert len(work.predictions(work.tasks[0])) == 2


def test_an_open_editor_can_submit_after_a_rewrite_but_not_after_a_deletion(work: Work) -> None:
    """Each editor was opened before, so that its annotation names the prediction that it began from."""
    rewritten, deleted = work.tasks[:2]
    assert rewrite(work.api, work.drafted[rewritten], prediction(FIELD, "newer", 0.75, "sat-2"))
    assert delete_predictions(work.api, [work.drafted[deleted]]) == 1
    work.submit(rewritten, "a dog")
    with pytest.raises(LabelStudioError, match="HTTP 400: parent_prediction: Invalid pk"):
        work.submit(deleted, "a dog")
    (row,) = work.predictions(rewritten)
    assert (row["model_version"], row["score"]) == ("sat-2", 0.75)
    assert row["result"][0]["value"] == {"text": ["newer"]}
    assert work.learnt() == {rewritten: [("a dog",)]}
    assert not rewrite(work.api, work.drafted[deleted], prediction(FIELD, "newer", 0.75, "sat-2"))
