import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from labeling.predictions import delete_predictions, older_of, push, rewrite, unlabelled
from labeling.session import LabelStudio, LabelStudioError
from tests.labeling.annotated import Row, annotation, region, task
from tests.labeling.servers import Asked, Reply, Server, as_json, serving
from tests.labeling.tasklists import TaskLists

BODY: Row = {"result": [region("a dog", origin="prediction")], "score": 0.5, "model_version": "v2"}


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(lambda asked: Reply(500)) as running:
        yield running


@pytest.fixture
def studio(server: Server) -> LabelStudio:
    return LabelStudio(server.url, "legacy-token")


def asked(server: Server) -> list[tuple[str, str]]:
    return [(each.method, each.path.partition("?")[0]) for each in server.asked]


def test_tasks_that_nobody_has_dealt_with_come_in_pages(studio: LabelStudio, server: Server) -> None:
    done = [task(2, annotation(9, region("a dog"))), task(3, annotation(10, was_cancelled=True))]
    server.answer = TaskLists(*done, *(task(number) for number in (1, 4, 5, 6, 7)))
    found = [[row["id"] for row in page] for page in unlabelled(studio, 7, page_size=2)]
    assert found == [[1, 4], [5, 6], [7]]
    assert [row["id"] for page in unlabelled(studio, 7, after_task=5) for row in page] == [6, 7]
    assert list(unlabelled(studio, 7, after_task=7)) == []


def test_a_row_has_what_captioning_it_takes(studio: LabelStudio, server: Server) -> None:
    server.answer = TaskLists(task(1) | {"predictions": [{"id": 4}], "draft_exists": True})
    ((row,),) = unlabelled(studio, 7)
    assert row["data"] == {"captioning": "/data/upload/1/1.jpg"}
    assert (row["predictions"], row["draft_exists"]) == ([{"id": 4}], True)


def test_predictions_are_stored_in_one_request(studio: LabelStudio, server: Server) -> None:
    server.answer = lambda asked: as_json({"created": 2}, 201)
    assert push(studio, 7, [{"task": 1} | BODY, {"task": 2} | BODY]) == 2
    assert asked(server) == [("POST", "/api/projects/7/import/predictions")]
    assert json.loads(server.asked[0].body) == [{"task": 1} | BODY, {"task": 2} | BODY]


def test_no_predictions_are_no_request(studio: LabelStudio, server: Server) -> None:
    assert push(studio, 7, []) == 0
    assert server.asked == []


def test_predictions_that_are_refused_are_an_error(studio: LabelStudio, server: Server) -> None:
    server.answer = lambda asked: as_json({"validation_errors": {"non_field_errors": ["task ID 9 not found"]}}, 400)
    with pytest.raises(LabelStudioError, match="HTTP 400: non_field_errors: task ID 9 not found"):
        push(studio, 7, [{"task": 9} | BODY])


def test_a_stored_prediction_is_rewritten_unless_it_is_gone(studio: LabelStudio, server: Server) -> None:
    server.answer = lambda asked: as_json({"id": 4})
    assert rewrite(studio, 4, {"task": 1} | BODY)
    assert asked(server) == [("PATCH", "/api/predictions/4/")]
    assert json.loads(server.asked[0].body) == BODY
    server.answer = lambda asked: as_json({"detail": "No Prediction matches the given query."}, 404)
    assert not rewrite(studio, 4, BODY)
    server.answer = lambda asked: as_json({}, 500)
    with pytest.raises(LabelStudioError, match="HTTP 500"):
        rewrite(studio, 4, BODY)


def test_older_predictions_of_ours_are_found() -> None:
    versions: list[Any] = ["v1", "v2", "theirs", "", None, "v0"]
    row = {"predictions": [{"id": number, "model_version": version} for number, version in enumerate(versions)]}
    assert older_of(row, "v2", lambda version: version.startswith("v")) == [0, 5]
    assert older_of({"predictions": []}, "v2", lambda version: True) == []


def stored(**changes: Any) -> Callable[[Asked], Reply]:
    """A Label Studio that holds prediction 4, of task 1, which has no annotation; `gone` answers 404 to that path."""
    row = {"id": 1, "annotations": [], "draft_exists": False} | changes

    def answer(asked: Asked) -> Reply:
        path = asked.path.partition("?")[0]
        if (asked.method, path) == changes.get("gone"):
            return as_json({"detail": "Not found."}, 404)
        return Reply(204) if asked.method == "DELETE" else as_json(row if "tasks" in path else {"id": 4, "task": 1})

    return answer


def test_a_prediction_is_deleted_after_a_look_at_its_task(studio: LabelStudio, server: Server) -> None:
    server.answer = stored()
    assert delete_predictions(studio, [4]) == 1
    assert asked(server) == [
        ("GET", "/api/predictions/4/"),
        ("GET", "/api/tasks/1/"),
        ("DELETE", "/api/predictions/4/"),
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"annotations": [annotation(9, region("a dog"))]},
        {"annotations": [annotation(9, was_cancelled=True)]},
        {"draft_exists": True},
    ],
)
def test_a_task_that_somebody_has_begun_keeps_its_predictions(
    studio: LabelStudio, server: Server, changes: Row
) -> None:
    server.answer = stored(**changes)
    assert delete_predictions(studio, [4]) == 0
    assert "DELETE" not in [each.method for each in server.asked]


@pytest.mark.parametrize(
    "gone", [("GET", "/api/predictions/4/"), ("GET", "/api/tasks/1/"), ("DELETE", "/api/predictions/4/")]
)
def test_what_is_gone_already_is_done(studio: LabelStudio, server: Server, gone: tuple[str, str]) -> None:
    server.answer = stored(gone=gone)
    assert delete_predictions(studio, [4]) == 1


def test_an_error_while_deleting_is_passed_on(studio: LabelStudio) -> None:
    with pytest.raises(LabelStudioError, match="HTTP 500"):
        delete_predictions(studio, [4])
