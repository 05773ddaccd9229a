"""The unlabelled tasks of a real project: captioned by themselves, again after a promotion, and by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from typer.testing import CliRunner

from backend.__main__ import app
from backend.local.photos import Photo, import_photos
from labeling.session import LabelStudio
from model.store import Store
from tests.backend.versions import promote, retrained
from tests.checkpoints import tiny_checkpoint
from tests.e2e.chain.conftest import NewProject, StartBackend
from tests.e2e.chain.holdings import as_environment, connected
from tests.e2e.chain.test_relink import names, patiently
from tests.e2e.conftest import Backend

Row = dict[str, Any]


@dataclass
class Album:
    """A project of all sample photos, the backend that it is connected to, and the two versions of its store."""

    api: LabelStudio
    backend: Backend
    project: int
    store: Store
    first: str
    second: str

    def tasks(self) -> list[Row]:
        found: list[Row] = self.api.get("/api/tasks", {"project": self.project, "fields": "all"})["tasks"]
        return sorted(found, key=lambda task: int(task["id"]))

    def versions(self) -> list[list[str]]:
        return [[one["model_version"] for one in task["predictions"]] for task in self.tasks()]

    def asked_for_captions(self) -> float:
        """How many requests to /predict the backend has answered."""
        text = requests.get(f"{self.backend.running.url}/metrics", timeout=10).text
        found = re.findall(r'recaption_requests_total\{path="/predict",status="200"\} (\S+)', text)
        return float(found[0]) if found else 0.0

    def submit(self, task: Row, prediction: int) -> Row:
        region = {**task["predictions"][0]["result"][0], "origin": "prediction-changed", "value": {"text": ["a dog"]}}
        body = {"result": [region], "lead_time": 9.5, "parent_prediction": prediction}
        stored: Row = self.api.post(f"/api/tasks/{task['id']}/annotations/", body)
        return stored


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("album")
    store = Store(folder / "models")
    first = store.publish(tiny_checkpoint(folder / "first"))
    promote(store, first)
    retrained(store, first, folder / "second", seed=1, by=1.0)
    return store


def caption(prediction: Row) -> str:
    return str(prediction["result"][0]["value"]["text"][0])


def filled(api: LabelStudio, new_project: NewProject, photos: dict[str, Path]) -> int:
    project = new_project(photo=False)
    import_photos(api, project, "captioning", [Photo(path) for path in photos.values()])
    return int(project)


@pytest.fixture
def album(
    api: LabelStudio, started: StartBackend, store: Store, new_project: NewProject, photos: dict[str, Path]
) -> Iterator[Album]:
    first, second = store.versions()
    backend = started(model_dir=store.root, redis_url=None, relabel_after_swap=True)
    yield Album(api, backend, filled(api, new_project, photos), store, first, second)


def test_tasks_are_captioned_by_themselves_and_again_after_each_promotion(album: Album) -> None:
    api, count = album.api, len(album.tasks())
    assert count >= 4
    connected(api, album.project, album.backend)
    patiently(lambda: album.versions() == [[album.first]] * count, "the first captions")
    before = album.asked_for_captions()
    begun, submitted, *rest = album.tasks()
    open_in_an_editor = begun["predictions"][0]["id"]
    album.submit(submitted, submitted["predictions"][0]["id"])

    promote(album.store, album.second, str(album.project))
    patiently(lambda: names(api, album.project) == (album.second, album.second), "the names follow")
    patiently(
        lambda: album.versions() == [[album.second], [album.first]] + [[album.second]] * len(rest),
        "the captions follow",
    )
    after = {task["id"]: task["predictions"][0] for task in album.tasks()}
    assert after[submitted["id"]] == submitted["predictions"][0], "what was annotated keeps what it was made from"
    assert any(caption(after[task["id"]]) != caption(task["predictions"][0]) for task in (begun, *rest))
    assert album.submit(begun, open_in_an_editor)["parent_prediction"] == open_in_an_editor

    lowest = min(rest, key=lambda task: float(after[task["id"]]["score"]))
    offered = api.get(f"/api/projects/{album.project}/next")
    assert offered["id"] == lowest["id"]
    assert [one["model_version"] for one in offered["predictions"]] == [album.second]
    assert album.asked_for_captions() == before, "nobody waited for a caption"

    album.store.rollback(str(album.project), by="tests", reason="worse in practice")
    patiently(lambda: names(api, album.project) == (album.first, album.first), "the names go back")
    patiently(lambda: album.versions()[2:] == [[album.first]] * len(rest), "the captions go back")
    again = {task["id"]: caption(task["predictions"][0]) for task in album.tasks()}
    assert all(again[task["id"]] == caption(task["predictions"][0]) for task in rest)


def test_the_command_captions_what_is_missing_and_says_how_much(
    album: Album, new_project: NewProject, photos: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = as_environment(album.backend, monkeypatch)
    monkeypatch.setenv("IMAGE_ALLOWED_HOSTS", "127.0.0.1")
    monkeypatch.setenv("THREADS", "1")
    other = Album(
        album.api, album.backend, filled(album.api, new_project, photos), album.store, album.first, album.second
    )
    count = len(other.tasks())
    arguments = ["prelabel", "--project", str(other.project)]
    first = CliRunner().invoke(app, arguments)
    assert first.exit_code == 0, first.output
    assert f"{count} captioned, 0 of them in place of an older caption; 0 skipped, 0 failed" in first.output
    assert "Note: project" in first.output and "connect --project" in first.output
    assert other.versions() == [[album.first]] * count
    second = CliRunner().invoke(app, arguments)
    assert f"0 captioned, 0 of them in place of an older caption; {count} skipped, 0 failed" in second.output
    assert [secret for secret in secrets if secret in first.output + second.output] == []
    unknown = CliRunner().invoke(app, ["prelabel", "--project", "999999"])
    assert unknown.exit_code == 2 and "404" in unknown.output
