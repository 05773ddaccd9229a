"""A stand-in for the part of Label Studio that is told what serves: one project, number 7, its tasks, their predictions
and its ML backend. tests/e2e/chain tries the same with the real one; here its moods can be chosen."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from labeling.session import LabelStudio
from tests.backend.pictures import OFFICIAL_CONFIG, data_uri, png
from tests.labeling.annotated import annotation, region, task
from tests.labeling.servers import Asked, Reply, as_json, serving
from tests.labeling.tasklists import TaskLists

PROJECT = 7
TOKEN = "legacy-token"
Row = dict[str, Any]


class Desk(TaskLists):
    """`backend`: the project's ML backend, None where it has none; `settings`: the project's. `away`: nothing answers
    but errors. `forgets`: as often, a change of the title is undone at once by a stale copy of the row."""

    def __init__(self, count: int, *, label_config: str = OFFICIAL_CONFIG) -> None:
        super().__init__(*(picture(number) for number in range(1, count + 1)), label_config=label_config)
        self.url = ""
        self.backend: Row | None = None
        self.settings: Row = {"sampling": "Uncertainty sampling", "show_collab_predictions": True}
        self.away = False
        self.forgets = 0
        self.writes: list[tuple[str, str, Row]] = []
        self._last = 100

    def connect(self, backend_url: str, version: str) -> None:
        self.backend = {"id": 3, "url": backend_url, "title": version, "extra_params": None, "state": "CO"}
        self.settings["model_version"] = version

    @property
    def names(self) -> tuple[str, str]:
        """The ML backend's title and the project's model_version."""
        assert self.backend is not None
        return self.backend["title"], self.settings["model_version"]

    def predict(self, number: int, version: str, text: str = "an older caption") -> int:
        """Store a prediction; its id."""
        self._last += 1
        row = {"id": self._last, "model_version": version, "score": 0.5, "result": [region(text, origin="prediction")]}
        self._task(number)["predictions"].append(row)
        return self._last

    def predictions(self, number: int) -> list[Row]:
        return list(self._task(number)["predictions"])

    def versions(self) -> list[list[str]]:
        """The versions of each task's predictions."""
        return [[one["model_version"] for one in row["predictions"]] for row in self.tasks]

    def annotate(self, number: int) -> None:
        self._task(number)["annotations"].append(annotation(900 + number, region("a dog")))

    def __call__(self, asked: Asked) -> Reply:
        if self.away:
            return as_json({"detail": "in maintenance"}, 503)
        path = urlsplit(asked.path).path
        body = json.loads(asked.body) if asked.body else {}
        if asked.method != "GET":
            self.writes.append((asked.method, path, body))
        return self._answer(asked, path, body)

    def _answer(self, asked: Asked, path: str, body: Any) -> Reply:
        if path.endswith("/import/predictions"):
            return self._import(body)
        if path.startswith("/api/predictions/"):
            return self._prediction(asked.method, int(path.split("/")[3]), body)
        if path.startswith("/api/tasks/"):
            return as_json(self._task(int(path.split("/")[3])) | {"draft_exists": False})
        if path.startswith("/api/ml/"):
            return self._ml(asked.method, body)
        if path == f"/api/projects/{PROJECT}/":
            self.settings |= body
            counts = {"task_number": len(self.tasks), "num_tasks_with_annotations": self._annotated()}
            return as_json({"id": PROJECT, "label_config": self.label_config, **self.settings, **counts})
        return super().__call__(asked) if path == "/api/tasks" else as_json({"detail": "Not found."}, 404)

    def _ml(self, method: str, body: Row) -> Reply:
        if self.backend is None or method == "GET":
            return as_json([] if self.backend is None else [self.backend])
        assert body["url"] and body["project"] == PROJECT, "Label Studio answers such a PATCH with a 500"
        before = self.backend["title"]
        self.backend |= body
        if self.settings.get("model_version") == before:
            self.settings["model_version"] = self.backend["title"]
        if self.forgets:
            self.forgets -= 1
            self.backend["title"] = before
        return as_json(self.backend)

    def _import(self, rows: Sequence[Row]) -> Reply:
        numbers = {row["id"] for row in self.tasks}
        if any(row["task"] not in numbers for row in rows):
            return as_json({"detail": "invalid task ID"}, 400)
        for row in rows:
            self._last += 1
            self._task(row["task"])["predictions"].append({**row, "id": self._last})
        return as_json({"created": len(rows)}, 201)

    def _prediction(self, method: str, number: int, body: Row) -> Reply:
        for row in self.tasks:
            for place, one in enumerate(row["predictions"]):
                if one["id"] == number:
                    if method == "DELETE":
                        del row["predictions"][place]
                        return Reply(204)
                    one |= body
                    return as_json({"id": number, "task": row["id"]})
        return as_json({"detail": "Not found."}, 404)

    def _task(self, number: int) -> Row:
        return next(row for row in self.tasks if row["id"] == number)

    def _annotated(self) -> int:
        return sum(bool(row["annotations"]) for row in self.tasks)


def picture(number: int) -> Row:
    """An unlabelled task with a picture in it."""
    return task(number, data={"captioning": data_uri(png(number, 64, 64))}) | {
        "draft_exists": False,
        "project": PROJECT,
    }


@contextmanager
def opened(desk: Desk) -> Iterator[LabelStudio]:
    """The desk at an address, and a session with it."""
    with serving(desk) as server:
        desk.url = server.url
        yield LabelStudio(server.url, TOKEN)
