"""The whole way, in the real Label Studio: corrections train, the gate promotes, the next draft is the better model's.

All parts are real: Label Studio, backend, worker, queue server, photos, the network. The champion is the starter with
noise on its decoder, so that two dozen photos are enough to learn from, and Flickr8k is a part of itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from backend.local.photos import Photo
from backend.local.ports import free_port
from backend.local.processes import Processes
from backend.local.serve import child_settings, start_backend, start_worker, wait_for_backend
from backend.running import find_backend
from model.store import Store
from settings import Settings
from tests.e2e import classroom
from tests.e2e.annotator import Annotator
from tests.e2e.classroom import Annotators
from tests.e2e.conftest import Backend, Project, Studio, connected_project
from tests.shared import needs_flickr8k
from tests.waiting import wait_until
from trainer.__main__ import app
from trainer.valkey import EmbeddedValkey

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800), needs_flickr8k]

EDITED = 14
DECIDES_S, FOLLOWS_S = 900.0, 300.0
patiently = partial(wait_until, every_s=0.5)  # each look is a request


@dataclass(frozen=True)
class School:
    backend: Backend
    store: Store
    project: Project
    annotators: Annotators

    @property
    def settings(self) -> Settings:
        return self.backend.settings

    @property
    def name(self) -> str:
        return str(self.project.number)

    def served(self) -> str:
        return self.backend.running.version(self.project.number, "")

    def lines(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.store.history(self.name) if line["event"] == event]

    def names(self) -> tuple[str, str]:
        """What Label Studio calls the model: the ML backend's title, and the project's version."""
        project = self.annotators.api.get(f"/api/projects/{self.project.number}/")
        (row,) = self.annotators.api.get("/api/ml/", {"project": self.project.number})
        return row["title"], project["model_version"]


@pytest.fixture(scope="module")
def school(
    tmp_path_factory: pytest.TempPathFactory, studio: Studio, settings: Settings, no_settings: None
) -> Iterator[School]:
    """Backend, worker and queue server of this module's own, and a project of two dozen real photos."""
    folder = tmp_path_factory.mktemp("school")
    store = Store(folder / "models")
    first = store.publish(classroom.stammering(folder / "stammering"))
    store.promote(first, expect_epoch=None, by="tests", reason="it has something to learn")
    port, valkey = free_port(), EmbeddedValkey(folder / "valkey")
    own = settings.model_copy(
        update={
            "model_dir": store.root,
            "data_dir": folder / "data",
            "redis_url": SecretStr(valkey.start()),
            "port": port,
            "backend_url": f"http://localhost:{port}",
            "base_dataset": classroom.base_dataset(folder / "base"),
            "start_training_each_n_updates": EDITED - 2,
            "finetune_learning_rate": 1e-3,
            "finetune_batch": 16,
            "finetune_epochs": 5,
            "replay_share": 0.9,
            "gate_images": classroom.JUDGED,
            "relabel_after_swap": True,
        }
    )
    with Processes(folder / "logs") as processes:
        start_backend(processes, own)
        start_worker(processes, own)
        wait_for_backend(processes, own)
        backend = Backend(own, find_backend(own))
        paths = [Photo(example.path).path for example in classroom.photos()[2]]
        project = connected_project(studio, backend, "School", paths)
        yield School(backend, store, project, Annotators(studio.session, project.number))
    valkey.stop()


def stored(school: School, task: int) -> dict[str, str]:
    """The captions that Label Studio keeps for a task, by version."""
    predictions = school.annotators.api.get(f"/api/tasks/{task}/", {"resolve_uri": "false"})["predictions"]
    return {one["model_version"]: one["result"][0]["value"]["text"][0] for one in predictions}


def all_stored(school: School, tasks: list[int], version: str) -> bool:
    return all(list(stored(school, task)) == [version] for task in tasks)


def test_corrections_make_the_next_draft_better_and_a_rollback_takes_it_back(
    school: School, annotator: Annotator
) -> None:
    before, tasks = school.served(), list(school.project.tasks.values())
    patiently(lambda: all_stored(school, tasks, before), "the first drafts are stored", FOLLOWS_S)
    untouched = tasks[EDITED + 6 :]
    old_drafts = {task: stored(school, task)[before] for task in untouched}

    annotate(school.annotators, tasks)

    (line,) = patiently(lambda: school.lines("promotion"), "a decision", DECIDES_S)
    assert line["gate"]["decides"] == "benchmark"
    found = line["gate"]["benchmark"]["comparison"]
    assert found["images"] == classroom.JUDGED and found["difference"] > 0 and found["p"] < school.settings.gate_level
    counts = line["corrections"]
    assert counts["learnt"] + counts["held_out"] == EDITED
    assert counts["accepted"] == 2
    assert counts["excluded"] == {"skipped": 1, "bulk_accepted": 2}

    after = line["version"]
    assert after != before
    patiently(lambda: school.served() == after, "the backend serves it", 20)
    patiently(lambda: school.names() == (after, after), "Label Studio knows it", FOLLOWS_S)
    patiently(lambda: all_stored(school, untouched, after), "older drafts are replaced", FOLLOWS_S)
    assert any(stored(school, task)[after] != old_drafts[task] for task in untouched)

    annotator.open_project(school.project.number)
    task = annotator.label_all()
    assert annotator.caption() == stored(school, task)[after]
    assert task == least_sure(school, untouched)

    arguments = ["rollback", "--project", school.name]
    result = CliRunner().invoke(app, arguments, env=child_settings(school.settings))
    assert result.exit_code == 0, result.output
    patiently(lambda: school.served() == before, "the old version serves again", 20)
    patiently(lambda: school.names() == (before, before), "Label Studio knows it, too", FOLLOWS_S)
    patiently(lambda: all_stored(school, untouched, before), "the old drafts are back", FOLLOWS_S)
    assert {task: stored(school, task)[before] for task in untouched} == old_drafts


def annotate(annotators: Annotators, tasks: list[int]) -> None:
    """Most are corrected, two accepted, one skipped, one deleted again, two accepted in bulk; the rest is untouched."""
    human = {example.name: example.captions[0] for example in classroom.photos()[2]}
    names = {task["id"]: task["data"]["photo"] for task in rows(annotators)}
    skipped, deleted, *rest = tasks[: EDITED + 6]
    annotators.skip(skipped)
    annotators.delete(annotators.edit(deleted, "this was a mistake"))
    annotators.accept_in_bulk(rest[:2])
    for task in rest[2:4]:
        annotators.accept(task)
    for task in rest[4:]:
        annotators.edit(task, human[names[task]])


def rows(annotators: Annotators) -> list[dict[str, Any]]:
    query = {"project": annotators.project, "fields": "all", "page_size": 100}
    found: list[dict[str, Any]] = annotators.api.get("/api/tasks", query)["tasks"]
    return found


def least_sure(school: School, tasks: list[int]) -> int:
    """The task whose stored score is the lowest: what uncertainty sampling offers first."""
    unlabelled = [row for row in rows(school.annotators) if not row["annotations"]]
    assert {row["id"] for row in unlabelled} >= set(tasks)
    lowest = min(unlabelled, key=lambda row: row["predictions"][0]["score"])
    return int(lowest["id"])
