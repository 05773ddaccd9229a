"""A small world to train in: drawn squares, an untrained captioner, and a stand-in for Label Studio.

The stand-in answers over real HTTP what a training asks: the project, its annotated tasks page by page, and uploads.
The real Label Studio is trained from in tests/e2e.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from model.store import Store
from settings import Settings, load
from tests.labeling.configs import CAPTION, IMAGE, view
from tests.labeling.servers import Asked, Reply, Server, as_json
from tests.photos import COLOURS, captions_of, drawn, encoded

PROJECT = 7
KINDS = [(colour, side) for colour in COLOURS for side in ("left", "right")]
DAY = "2026-01-02T03:04:"


class StandIn:
    """Label Studio's answers. `tasks` are whole task rows; `uploads` are the bytes behind their addresses."""

    def __init__(self) -> None:
        self.tasks: list[dict[str, Any]] = []
        self.uploads: dict[str, bytes] = {}
        self.fetched: list[str] = []

    def correct(self, count: int, *, first: int = 1, origin: str = "prediction-changed") -> None:
        """Tasks, each with a square of its own and an annotator's word on it."""
        for number in range(first, first + count):
            colour, side = KINDS[number % len(KINDS)]
            self.add(number, encoded(drawn(colour, side, seed=1000 + number)), captions_of(colour, side)[:1], origin)

    def add(
        self, number: int, picture: bytes, captions: list[str], origin: str = "prediction-changed", **annotation: Any
    ) -> None:
        path = f"/data/upload/{PROJECT}/{number}.png"
        self.uploads[path] = picture
        value = {"text": captions}
        region = {"id": "r", "from_name": "caption", "to_name": "image", "type": "textarea", "value": value}
        facts = {"id": 100 + number, "completed_by": 1, "was_cancelled": False, "lead_time": 4.0, "result": [region]}
        region["origin"] = origin
        at = f"{DAY}{number % 60:02d}.000000Z"
        row = {"id": number, "data": {"photo": path}, "updated_at": at}
        self.tasks.append(row | {"annotations": [facts | {"updated_at": at} | annotation]})

    def answer(self, asked: Asked) -> Reply:
        parts = urlsplit(asked.path)
        if parts.path == f"/api/projects/{PROJECT}/":
            return as_json({"id": PROJECT, "label_config": view(IMAGE, CAPTION)})
        if parts.path.rstrip("/") == "/api/tasks":
            return as_json(self.page(parse_qs(parts.query)))
        if parts.path in self.uploads:
            self.fetched.append(parts.path)
            return Reply(body=self.uploads[parts.path], headers={"Content-Type": "image/png"})
        return as_json({"detail": "not here"}, 404)

    def page(self, query: dict[str, list[str]]) -> dict[str, Any]:
        asked = json.loads(query["query"][0])
        if "ordering" in asked:
            found = sorted(self.tasks, key=lambda task: str(task["updated_at"]), reverse=True)
        else:
            after = asked["filters"]["items"][0]["value"]
            found = [task for task in self.tasks if task["id"] > after]
        return {"tasks": found[: int(query["page_size"][0])], "total": len(found)}


class World:
    """Settings, a store whose champion is the untrained captioner, and the server of the stand-in."""

    def __init__(self, folder: Path, champion: Path, server: Server, studio: StandIn, data: Path | None) -> None:
        self.folder, self.studio, self.server = folder, studio, server
        self.store = Store(folder / "models")
        self.champion = self.store.publish(champion)
        self.store.promote(self.champion, expect_epoch=None, by="test", reason="the first")
        self.values: dict[str, Any] = {
            "label_studio_url": server.url,
            "label_studio_api_key": "legacy-token",
            "model_dir": folder / "models",
            "data_dir": folder / "data",
            "base_dataset": f"flickr8k:{data}" if data else None,
            "threads": 1,
            "finetune_epochs": 10,
            "finetune_batch": 4,
            "finetune_learning_rate": 0.02,
            "gate_images": 8,
            "holdout_share": 0.3,
        }

    def settings(self, **changes: Any) -> Settings:
        return load(**{name: value for name, value in (self.values | changes).items() if value is not None})

    def environment(self, **changes: Any) -> dict[str, str]:
        """The same settings for a process."""
        values = {name: value for name, value in (self.values | changes).items() if value is not None}
        return {name.upper(): str(value) for name, value in values.items()}

    @property
    def runs(self) -> Path:
        return self.folder / "models" / "runs" / str(PROJECT)

    def events(self) -> list[str]:
        return [line["event"] for line in self.store.history(str(PROJECT))]
