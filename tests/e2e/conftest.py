"""The real system, once a session: Label Studio, the queue server, the backend, a browser."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from pydantic import SecretStr

from backend.connect import connect
from backend.local.account import DEMO, access_token
from backend.local.label_studio import LocalLabelStudio
from backend.local.photos import Photo, import_photos, sample_photos
from backend.local.ports import free_port
from backend.local.processes import Processes
from backend.local.serve import start_backend, wait_for_backend
from backend.running import RunningBackend, find_backend, login
from labeling.config import RECOMMENDED_CONFIG
from labeling.session import LabelStudio
from model.starter import STARTER
from model.store import Store
from settings import Settings, load
from tests.checkpoints import tiny_checkpoint
from tests.conftest import SETTING_NAMES, SETTING_PREFIXES
from tests.e2e.annotator import Annotator
from trainer.valkey import EmbeddedValkey

LOOPBACK = ("127.0.0.1",)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshot", type=Path, help="save the picture for the documents to this file")
    parser.addoption("--checkpoint", type=Path, help="serve this checkpoint folder instead of the starter")


@dataclass(frozen=True)
class Studio:
    """The running Label Studio. served: the folder of its local files; fresh: data to start another one from."""

    local: LocalLabelStudio
    session: LabelStudio
    token: str
    served: Path
    fresh: Path


@dataclass(frozen=True)
class Backend:
    """A running backend and the settings it was started with."""

    settings: Settings
    running: RunningBackend


@dataclass(frozen=True)
class Project:
    """A project that is connected; `tasks` by the photo's file name."""

    number: int
    tasks: dict[str, int]


@pytest.fixture(scope="session", autouse=True)
def no_settings() -> Iterator[None]:
    """Hide the settings of the person who runs the tests from what is started once a session, too."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name in SETTING_NAMES or name.startswith(SETTING_PREFIXES):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def photos() -> dict[str, Path]:
    """The free sample photos by name."""
    return {photo.path.name: photo.path for photo in sample_photos()}


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with Processes(tmp_path_factory.mktemp("logs")) as processes:
        yield processes


@pytest.fixture(scope="session")
def fresh(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory, no_settings: None) -> Path:
    """Label Studio's data before there is a project: an empty database with the demo account.

    Label Studio needs most of a minute to make it, so one is kept for each release in pytest's cache.
    """
    release = sha256(Path("requirements-label-studio.txt").read_bytes()).hexdigest()[:12]
    kept = pytestconfig.cache.mkdir("label-studio") / release
    if not kept.exists():
        folder = tmp_path_factory.mktemp("first-start")
        with Processes(tmp_path_factory.mktemp("first-logs")) as processes:
            local = LocalLabelStudio(folder, port=free_port(), account=DEMO)
            local.start(processes)
            local.wait(processes)
        _keep(folder, kept)
    return kept


def _keep(folder: Path, kept: Path) -> None:
    """Copy in one step: another test run may be making the same copy."""
    copy = Path(tempfile.mkdtemp(dir=kept.parent))
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    try:
        copy.rename(kept)
    except OSError:
        shutil.rmtree(copy)


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory, processes: Processes, fresh: Path) -> Studio:
    """Label Studio on a free port."""
    folder, served = (tmp_path_factory.mktemp(name) for name in ("label-studio", "served"))
    shutil.copytree(fresh, folder, dirs_exist_ok=True)
    local = LocalLabelStudio(folder, port=free_port(), account=DEMO)
    local.start(processes, files_root=served)
    local.wait(processes)
    token = access_token(local.url, DEMO, local.token_file)
    return Studio(local, LabelStudio(local.url, token), token, served, fresh)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = EmbeddedValkey(tmp_path_factory.mktemp("valkey"))
    yield server.start()
    server.stop()


@pytest.fixture(scope="session")
def model_dir(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store: empty, for the backend to fill with the starter; with a tiny model where there is no starter yet."""
    folder = tmp_path_factory.mktemp("models")
    chosen: Path | None = pytestconfig.getoption("--checkpoint", None)
    if chosen is None and not (STARTER / "manifest.json").exists():
        chosen = tiny_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny")
    if chosen is not None:
        store = Store(folder)
        store.promote(store.publish(chosen), expect_epoch=None, by="tests", reason="not the starter checkpoint")
    return folder


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory, studio: Studio, redis_url: str, model_dir: Path) -> Settings:
    """The settings of the session's backend. It captions when it is asked, so that a test knows who stored what."""
    port = free_port()
    return load(
        label_studio_url=studio.session.url,
        label_studio_api_key=SecretStr(studio.token),
        redis_url=SecretStr(redis_url),
        data_dir=tmp_path_factory.mktemp("data"),
        model_dir=model_dir,
        port=port,
        backend_url=f"http://localhost:{port}",
        threads=1,
        image_allowed_hosts=LOOPBACK,
        relabel_after_swap=False,
    )


@pytest.fixture(scope="session")
def backend(processes: Processes, settings: Settings) -> Backend:
    start_backend(processes, settings)
    wait_for_backend(processes, settings)
    return Backend(settings, find_backend(settings))


@pytest.fixture
def annotator(browser: Browser, studio: Studio) -> Iterator[Annotator]:
    """An annotator who has just logged in; afterwards, nobody outside may have been asked for anything."""
    context = browser.new_context(viewport={"width": 1500, "height": 900})
    annotator = Annotator(context, studio.session.url)
    annotator.log_in(DEMO)
    yield annotator
    context.close()
    assert annotator.strangers == []


def connected_project(
    studio: Studio, backend: Backend, title: str, photos: list[Path], label_config: str = RECOMMENDED_CONFIG
) -> Project:
    """A new project with one task per photo, connected to the backend."""
    body = {"title": title, "label_config": label_config}
    number = int(studio.session.post("/api/projects/", body)["id"])
    import_photos(studio.session, number, "captioning", [Photo(path) for path in photos])
    join(studio, backend, number, label_config)
    listed = studio.session.get("/api/tasks", {"project": number, "fields": "all"})["tasks"]
    return Project(number, {task["data"]["photo"]: task["id"] for task in listed})


def join(studio: Studio, backend: Backend, project: int, label_config: str) -> None:
    """What `python -m backend connect` does."""
    connect(
        studio.session,
        project,
        backend_url=backend.settings.backend_url,
        version=backend.running.version(project, label_config),
        basic_auth=login(backend.settings),
    )
