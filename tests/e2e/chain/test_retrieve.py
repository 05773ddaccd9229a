"""Retrieve Predictions over many tasks of a real project: the backend hands its captions over by the import."""

from __future__ import annotations

from typing import Any

from backend.handover import FEWEST
from labeling.session import LabelStudio
from model.store import Store
from tests.backend.pictures import data_uri, png
from tests.backend.versions import promote
from tests.checkpoints import tiny_checkpoint
from tests.e2e.chain.conftest import NewProject, StartBackend
from tests.e2e.chain.holdings import connected

COUNT = FEWEST + 5
Row = dict[str, Any]


def test_every_caption_of_a_bulk_is_stored_once(
    api: LabelStudio, started: StartBackend, new_project: NewProject, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("retrieve")
    store = Store(folder / "models")
    version = store.publish(tiny_checkpoint(folder / "first"))
    promote(store, version)
    backend = started(model_dir=store.root, redis_url=None, relabel_after_swap=False)
    project = int(new_project(photo=False))
    pictures = [{"captioning": data_uri(png(number, 64, 64))} for number in range(COUNT)]
    api.post(f"/api/projects/{project}/import", [*pictures, {"captioning": "data:image/png;base64,broken"}])
    connected(api, project, backend)

    assert retrieved(api, project) == COUNT + 1
    first = stored(api, project)
    assert [[one["model_version"] for one in found] for found in first] == [[version]] * COUNT + [[]]
    assert all(one["result"][0]["value"]["text"][0] for found in first for one in found)
    assert {one["model"] for found in first for one in found} == {None}, "answers would be stored with their ML backend"
    retrieved(api, project)
    assert stored(api, project) == first, "what is there is neither asked for again nor stored twice"


def retrieved(api: LabelStudio, project: int) -> int:
    body = {"selectedItems": {"all": True, "excluded": []}}
    params = {"id": "retrieve_tasks_predictions", "project": project}
    return int(api.post("/api/dm/actions", body, params)["processed_items"])


def stored(api: LabelStudio, project: int) -> list[list[Row]]:
    """The predictions of each task, by the tasks' numbers."""
    rows = api.get("/api/tasks", {"project": project, "fields": "all", "page_size": 500})["tasks"]
    found = {int(row["id"]): row["predictions"] for row in rows}
    return [sorted(found[number], key=lambda one: int(one["id"])) for number in sorted(found)]
