"""More backends than the session's one, and bare projects for `connect` and `doctor` to work on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from backend.local.photos import Photo, import_photos
from backend.local.ports import free_port
from backend.local.processes import Processes
from backend.local.serve import start_backend, wait_for_backend
from backend.running import find_backend
from labeling.config import RECOMMENDED_CONFIG
from labeling.session import LabelStudio
from model.store import Store
from settings import Settings
from tests.checkpoints import tiny_checkpoint
from tests.e2e.conftest import Backend, Studio

NewProject = Callable[..., int]
StartBackend = Callable[..., Backend]


@pytest.fixture(scope="session")
def api(studio: Studio) -> LabelStudio:
    return studio.session


def make_project(
    api: LabelStudio, photos: dict[str, Path], *, label_config: str = RECOMMENDED_CONFIG, photo: bool = True
) -> int:
    """A project that no backend is connected to, with one photo, uploaded; its id."""
    number = int(api.post("/api/projects/", {"title": "Photos", "label_config": label_config})["id"])
    if photo:
        import_photos(api, number, "captioning", [Photo(next(iter(photos.values())))])
    return number


@pytest.fixture
def new_project(api: LabelStudio, photos: dict[str, Path]) -> NewProject:
    return partial(make_project, api, photos)


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> Iterator[StartBackend]:
    """Starts backends like the session's, with these settings changed."""
    with Processes(tmp_path_factory.mktemp("more-logs")) as processes:

        def start(**changes: Any) -> Backend:
            port = free_port()
            own = settings.model_copy(
                update={
                    "port": port,
                    "backend_url": f"http://localhost:{port}",
                    "data_dir": tmp_path_factory.mktemp("d"),
                }
                | changes
            )
            start_backend(processes, own)
            wait_for_backend(processes, own)
            return Backend(own, find_backend(own))

        yield start


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory, started: StartBackend) -> Backend:
    """A backend that asks for a login, and serves another version than the session's."""
    store = Store(tmp_path_factory.mktemp("other-models"))
    version = store.publish(tiny_checkpoint(tmp_path_factory.mktemp("other") / "tiny", seed=7))
    store.promote(version, expect_epoch=None, by="tests", reason="another version")
    return started(
        model_dir=store.root,
        redis_url=None,
        basic_auth_user="captioner",
        basic_auth_pass=SecretStr("open sesame"),
    )
