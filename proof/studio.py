"""A real Label Studio for a proof, and people at work in one of its projects, by the calls that its editor makes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backend.local.account import DEMO, access_token
from backend.local.label_studio import LocalLabelStudio
from backend.local.photos import NAME_KEY, Photo, import_photos
from backend.local.ports import free_port
from backend.local.processes import Processes
from labeling.config import RECOMMENDED_CONFIG
from labeling.pages import pages
from labeling.session import LabelStudio

# With every core at work, an answer may take long.
PATIENCE_S = 60.0
LOOKED_S = 9.5
PAGE = 500


@dataclass(frozen=True)
class Studio:
    api: LabelStudio
    token: str = field(repr=False)


@contextmanager
def started(folder: Path) -> Iterator[Studio]:
    """A Label Studio on a free port of this machine, its data in `folder`; the first start there takes a minute."""
    with Processes(folder / "logs") as processes:
        local = LocalLabelStudio(folder / "label-studio", port=free_port(), account=DEMO)
        local.start(processes)
        local.wait(processes)
        token = access_token(local.url, DEMO, local.token_file)
        yield Studio(LabelStudio(local.url, token, timeout=PATIENCE_S), token)


@dataclass(frozen=True)
class Desk:
    """A project and its tasks, by the names of their photos."""

    api: LabelStudio
    project: int
    tasks: dict[str, int]

    @classmethod
    def new(cls, studio: Studio, title: str, photos: Sequence[Path]) -> Desk:
        """A new project with one uploaded photo a task."""
        body = {"title": title, "label_config": RECOMMENDED_CONFIG}
        project = int(studio.api.post("/api/projects/", body)["id"])
        import_photos(studio.api, project, "captioning", [Photo(path) for path in photos])
        return cls(studio.api, project, {row["data"][NAME_KEY]: row["id"] for row in rows(studio.api, project)})

    def submit(self, photo: str, text: str) -> int:
        """A caption for a photo, as if a draft of it had been edited; the annotation's number."""
        path = f"/api/tasks/{self.tasks[photo]}/annotations/"
        return int(self.api.post(path, {"result": [region(text)], "lead_time": LOOKED_S})["id"])

    def change(self, annotation: int, text: str) -> None:
        """Another caption instead, later."""
        self.api.patch(f"/api/annotations/{annotation}/", {"result": [region(text)], "lead_time": LOOKED_S})


def region(text: str) -> dict[str, Any]:
    value = {"text": [text]}
    names = {"from_name": "caption", "to_name": "image", "type": "textarea"}
    return {"id": uuid.uuid4().hex[:10], **names, "origin": "prediction-changed", "value": value}


def rows(api: LabelStudio, project: int) -> Iterator[dict[str, Any]]:
    for page in pages(api, project, [], fields=("id", "data"), page_size=PAGE):
        yield from page.tasks
