"""Retrieve Predictions over 1,000 uploaded photos, and the opening of a task, in a real Label Studio on two cores.

    python -m proof bulk --dataset flickr8k:FOLDER

Label Studio posts all tasks in one request and gives up after 100 s. The backend answers within its budget; what it had
no time for is left for its background, which pushes it. The clock runs around Label Studio's own action, so fetching
every photo from Label Studio and storing every prediction there is in it. The background does not begin by itself here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import SecretStr

from backend.connect import connect
from backend.local.ports import free_port
from backend.local.serve import child_settings
from backend.running import NotRunning, RunningBackend
from labeling.config import RECOMMENDED_CONFIG
from labeling.predictions import unlabelled
from model.bench.memory import memory_mb
from model.datasets import load_dataset
from model.store_open import open_store
from proof.kept import Kept
from proof.service import convert, cores
from proof.studio import Desk, Studio, started
from settings import Settings, environment, load

PHOTOS, OPENED, CORES = 1000, 20, 2
READY_S, BACKGROUND_S, LOOK_S = 180.0, 600.0, 1.0
# Longer than Label Studio's own time-out, so that it is seen.
ACTION_TIMEOUT_S = 150.0


@dataclass(frozen=True)
class Scene:
    desk: Desk
    version: str
    backend: Kept

    def captioned(self) -> int:
        """Tasks that have a prediction of the serving version, in Label Studio."""
        pages = unlabelled(self.desk.api, self.desk.project, page_size=500)
        rows = (row for page in pages for row in page)
        return sum(any(one["model_version"] == self.version for one in row["predictions"]) for row in rows)


def bulk(dataset: str, folder: Path, photos: int = PHOTOS, opened: int = OPENED) -> dict[str, Any]:
    """Seconds of the action over `photos` tasks, and of opening `opened` others before."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])  # whatever is started inherits it
    examples = load_dataset(dataset, "dev").examples[:photos]
    others = load_dataset(dataset, "train").examples[:opened]
    with scene(folder.resolve(), [one.path for one in (*examples, *others)]) as at:
        seconds = [open_task(at, at.desk.tasks[one.path.name]) for one in others]
        taken = retrieve(at)
        at_once = at.captioned()
        later = background(at, len(at.desk.tasks)) if at_once < len(at.desk.tasks) else 0.0
        memory = memory_mb(at.backend.pid)
    return {
        "photos": len(examples),
        "action_s": taken,
        "captioned_at_once": at_once - len(others),
        "background_s": later,
        "open_task_ms": {"median": median(seconds) * 1000, "max": max(seconds) * 1000},
        "rss_mb": memory,
        "cores": cores(),
    }


def retrieve(at: Scene) -> float:
    """Seconds of the action on all tasks. Raises LabelStudioError where it fails, as when it is cut off."""
    body = {"selectedItems": {"all": True, "excluded": []}}
    params = {"id": "retrieve_tasks_predictions", "project": at.desk.project}
    began = time.monotonic()
    at.desk.api.request("POST", "/api/dm/actions", params=params, json=body, timeout=ACTION_TIMEOUT_S)
    return time.monotonic() - began


def open_task(at: Scene, number: int) -> float:
    """Seconds until Label Studio has answered with the task and its caption."""
    began = time.monotonic()
    task = at.desk.api.get(f"/api/tasks/{number}/", {"project": at.desk.project})
    seconds = time.monotonic() - began
    if not task["predictions"]:
        raise RuntimeError(f"task {number} was opened, and has no prediction: see {at.backend.log}")
    return seconds


def background(at: Scene, wanted: int) -> float:
    """Seconds until the background has captioned the rest."""
    began = time.monotonic()
    while at.captioned() < wanted:
        if time.monotonic() - began > BACKGROUND_S:
            raise TimeoutError(f"{wanted - at.captioned()} tasks are left after {BACKGROUND_S:.0f} s")
        time.sleep(LOOK_S)
    return time.monotonic() - began


@contextmanager
def scene(folder: Path, photos: list[Path]) -> Iterator[Scene]:
    """A Label Studio with a project of these photos, and a backend that is connected to it; both end with the block."""
    work = folder / "bulk"
    with started(folder) as studio:
        desk = Desk.new(studio, "Bulk", photos)
        settings = chosen(studio, work)
        store = open_store(settings.model_dir, by="proof")
        champion = store.champion()
        assert champion is not None  # open_store promotes the starter or raises
        convert(store, champion.version)
        backend = Kept(["backend", "serve"], environment(child_settings(settings)), work / "logs" / "backend.log")
        try:
            backend.start()
            version = ready(settings, desk.project, backend)
            connect(studio.api, desk.project, backend_url=settings.backend_url, version=version)
            yield Scene(desk, version, backend)
        finally:
            backend.stop()


def chosen(studio: Studio, work: Path) -> Settings:
    port = free_port()
    return load(
        label_studio_url=studio.api.url,
        label_studio_api_key=SecretStr(studio.token),
        data_dir=work / "data",
        model_dir=work / "models",
        port=port,
        backend_url=f"http://localhost:{port}",
        device="cpu",
        threads=CORES,
        relabel_after_swap=False,
    )


def ready(settings: Settings, project: int, backend: Kept) -> str:
    """The version that serves, once the backend answers."""
    deadline = time.monotonic() + READY_S
    while True:
        try:
            return RunningBackend(settings.backend_url).version(project, RECOMMENDED_CONFIG)
        except NotRunning:
            if time.monotonic() > deadline or not backend.runs:
                raise TimeoutError(f"the backend does not answer: see {backend.log}") from None
            time.sleep(0.2)
