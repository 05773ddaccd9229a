"""Every event in the shape that Label Studio really posts, and the mark that it leaves in a real queue server."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from backend.webhook import Event, WebhookError, event, project_number
from tests.backend import payloads
from tests.backend.conftest import Running, serving
from trainer.marks import UNKNOWN_PROJECT, Mark, Marks
from trainer.valkey import EmbeddedValkey

EVENTS = [
    (payloads.CREATED, Event("ANNOTATION_CREATED", 7, 1)),
    (payloads.UPDATED, Event("ANNOTATION_UPDATED", 7, 1)),
    (payloads.SKIPPED, Event("ANNOTATION_CREATED", 7, 0)),
    (payloads.ACCEPTED_IN_BULK, Event("ANNOTATIONS_CREATED", 7, 0)),
    (payloads.WRITTEN_IN_BULK, Event("ANNOTATIONS_CREATED", 7, 2)),
    (payloads.DELETED, Event("ANNOTATIONS_DELETED", 7, 3)),
    (payloads.START_TRAINING, Event("START_TRAINING", 7, 0)),
    (payloads.PROJECT_UPDATED, Event("PROJECT_UPDATED", 7, 0)),
    (payloads.TASKS_CREATED, Event("TASKS_CREATED", 7, 0)),
    (payloads.TASKS_DELETED, Event("TASKS_DELETED", 7, 0)),
    (payloads.WITHOUT_PAYLOAD, Event("ANNOTATION_CREATED", UNKNOWN_PROJECT, 1)),
    (payloads.WITHOUT_PROJECT, Event("ANNOTATION_CREATED", 7, 1)),
    ({"action": "ANNOTATION_DELETED", "project": 7}, Event("ANNOTATION_DELETED", 7, 1)),
    ({"action": "ANNOTATION_CREATED", "annotation": None, "project": None}, Event("ANNOTATION_CREATED", 0, 1)),
    ({"action": "REVIEW_CREATED", "project": payloads.PROJECT}, Event("REVIEW_CREATED", 7, 0)),
]


@pytest.mark.parametrize(("body", "expected"), EVENTS, ids=lambda value: getattr(value, "action", ""))
def test_reads_every_event(body: dict[str, Any], expected: Event) -> None:
    assert event(body) == expected


@pytest.mark.parametrize(
    "action", ["PROJECT_UPDATED", "TASKS_CREATED", "TASKS_DELETED", "ANNOTATIONS_CREATED of machine captions"]
)
def test_what_teaches_nothing_leaves_no_mark(action: str) -> None:
    assert not Event(action, 7, 0).marks


@pytest.mark.parametrize("body", [{}, {"action": None}, {"action": ""}, {"action": ["x"]}, {"project": {"id": 1}}])
def test_refuses_what_is_no_event(body: dict[str, Any]) -> None:
    with pytest.raises(WebhookError, match='"action" is missing'):
        event(body)


@pytest.mark.parametrize(
    ("written", "number"),
    [(7, 7), ("7", 7), ("7.1795417146", 7), ({"id": 7}, 7), (None, None), ("", None), ("x.1", None), (True, None)],
)
def test_reads_a_project_number_in_each_of_its_forms(written: object, number: int | None) -> None:
    assert project_number(written) == number


def marks_of(data_dir: Path) -> list[Mark]:
    """What the server's own Valkey holds, after its courier had time to deliver."""
    marks = Marks(EmbeddedValkey(data_dir / "valkey").url, data_dir / "marks")
    try:
        assert marks.flush(5)
        return marks.pending()
    finally:
        marks.close()


def test_events_leave_their_marks(tmp_path: Path, model_dir: Path) -> None:
    with serving(tmp_path, model_dir) as server:
        for body, expected in EVENTS:
            answer = server.post("/webhook", body)
            assert (answer.status_code, answer.json()["status"]) == (200, "marked" if expected.marks else "ignored")
        by_project = {mark.project: mark for mark in marks_of(tmp_path / "data")}
        assert by_project[7].pending == sum(seen.captions for _, seen in EVENTS if seen.project == 7)
        assert by_project[7].asked is not None
        assert by_project[UNKNOWN_PROJECT].pending == 2
        shown = server.get("/status").json()["marks"]
        assert shown["queue_server"] == "up"
        assert {mark["project"] for mark in shown["pending"]} == {0, 7}
    assert not EmbeddedValkey(tmp_path / "data" / "valkey").answers(), "the server left its Valkey behind"


def test_a_dead_queue_server_fails_nothing_and_gets_its_marks_later(tmp_path: Path, model_dir: Path) -> None:
    valkey = EmbeddedValkey(tmp_path / "elsewhere")
    with serving(tmp_path, model_dir, redis_url=valkey.url) as server:
        for _ in range(5):
            started = time.perf_counter()
            answer = server.post("/webhook", payloads.CREATED)
            assert answer.status_code == 200
            assert time.perf_counter() - started < 0.5
        assert server.get("/status").json()["marks"] == {"queue_server": "out of reach", "waiting": 5}
        url = valkey.start()
        assert server.post("/webhook", payloads.CREATED).status_code == 200
        marks = Marks(url, tmp_path / "unused")
        deadline = time.monotonic() + 20
        while not marks.pending() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert [mark.pending for mark in marks.pending()] == [6]
        marks.close()
    valkey.stop()


def test_an_embedded_queue_server_that_is_killed_comes_back(tmp_path: Path, model_dir: Path) -> None:
    with serving(tmp_path, model_dir) as server:
        folder = tmp_path / "data" / "valkey"
        killed = int((folder / "valkey.pid").read_text())
        os.kill(killed, signal.SIGKILL)
        assert server.post("/webhook", payloads.CREATED).status_code == 200
        assert [mark.pending for mark in marks_of(tmp_path / "data")] == [1]
        assert int((folder / "valkey.pid").read_text()) != killed


def test_setup_makes_a_project_known_to_the_trainer(tmp_path: Path, model_dir: Path) -> None:
    with serving(tmp_path, model_dir) as server:
        for _ in range(3):
            server.post("/setup", {"project": "55.1795417146", "schema": "<View/>"})
        assert marks_of(tmp_path / "data") == [], "it is no hint that something is new"
        marks = Marks(EmbeddedValkey(tmp_path / "data" / "valkey").url, tmp_path / "unused")
        deadline = time.monotonic() + 10
        while not marks.projects() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert marks.projects() == [55]
        marks.close()


def test_start_training_is_answered_at_once_and_names_no_job(server: Running) -> None:
    answer = server.post("/webhook", payloads.START_TRAINING)
    assert answer.json() == {"status": "marked", "project": 7, "captions": 0}
    old = server.post("/train", {"annotations": [], "project": "7.1795417146", "label_config": "<View/>"})
    assert (old.status_code, old.json()["status"]) == (201, "marked")
    assert "job" not in old.json()
