"""CaptioningBackend as each server of label-studio-ml constructs and calls it, and under that of release 1 for real."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from label_studio_ml.model import LabelStudioMLBase

from backend import service
from backend.captioning import CaptioningBackend
from backend.service import Service
from settings import Settings
from tests.backend import payloads
from tests.backend.conftest import ROOT
from tests.backend.pictures import OFFICIAL_CONFIG, data_uri, task
from trainer.marks import Marks
from trainer.valkey import EmbeddedValkey

RELEASE_1_SERVER = """
import signal
import sys
from label_studio_ml.api import init_app
from backend.captioning import CaptioningBackend
app = init_app(model_class=CaptioningBackend, model_dir=sys.argv[2])
if __name__ == "__main__":
    # werkzeug ends in order on Ctrl-C alone, which processes started in the background may be deaf to.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    app.run(host="127.0.0.1", port=int(sys.argv[1]), debug=False)
"""


@pytest.fixture
def running(make_settings: Callable[..., Settings]) -> Iterator[Service]:
    opened = Service(make_settings())
    service.install(opened)
    yield opened
    service.install(None)
    opened.close()


def test_is_what_label_studio_ml_expects() -> None:
    assert issubclass(CaptioningBackend, LabelStudioMLBase)


def test_release_1_constructs_and_calls_it(running: Service) -> None:
    backend = CaptioningBackend(
        label_config=OFFICIAL_CONFIG, train_output={}, hostname="http://localhost:8080", access_token="x"
    )
    captioned, failed = backend.predict([task(1), task(2, data_uri(b"torn"))], login=None, password=None, context=None)
    assert isinstance(captioned, dict)
    assert captioned["result"][0]["value"]["text"]
    assert "model_version" not in captioned, "its server names the version, which only /setup hears of"
    assert failed == []
    result = backend.fit((), event="ANNOTATION_CREATED", data=without_action(payloads.CREATED), job_id="1", workdir="x")
    assert result == {"status": "marked"}
    assert running.marks.flush(5)
    assert [(mark.project, mark.pending) for mark in running.marks.pending()] == [(7, 1)]


@pytest.mark.parametrize("project_id", ["7", "7.1795417146", 7])
def test_release_2_constructs_and_calls_it(running: Service, project_id: str | int) -> None:
    by_name = CaptioningBackend(project_id=project_id, label_config=OFFICIAL_CONFIG)
    by_place = CaptioningBackend(project_id, OFFICIAL_CONFIG)
    (prediction,) = by_name.predict([task(1)], context=None)
    assert isinstance(prediction, dict)
    assert prediction["model_version"] == running.serving.version
    assert by_place.predict([task(1)], None) == [prediction]
    assert by_place.predict([task(1)], context={}, login=None, password=None) == [prediction]
    assert by_name.fit("ANNOTATIONS_DELETED", without_action(payloads.DELETED)) == {"status": "marked"}
    assert CaptioningBackend(project_id).fit("START_TRAINING", {}) == {"status": "marked"}
    assert by_name.fit("PROJECT_UPDATED", {"project": payloads.PROJECT}) == {"status": "ignored"}
    assert running.marks.flush(5)
    (mark,) = running.marks.pending()
    assert (mark.project, mark.pending, mark.action) == (7, 3, "START_TRAINING")
    assert mark.asked is not None


def test_the_base_of_release_2_is_told_the_served_version(running: Service) -> None:
    told: dict[str, str] = {}

    class OnRelease2(CaptioningBackend):
        def set(self, key: str, value: str) -> None:
            told[key] = value

    OnRelease2("7", OFFICIAL_CONFIG).setup()
    assert told == {"model_version": running.serving.version}


@pytest.mark.parametrize("label_config", [None, "", "<View", "<View/>"])
def test_a_label_config_that_cannot_be_served_leaves_tasks_unanswered(
    running: Service, label_config: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING", "backend"):
        assert CaptioningBackend("7", label_config).predict([task(1), task(2)]) == [[], []]
    assert "no captions for project 7" in caplog.text


def test_constructing_it_is_cheap(running: Service) -> None:
    started = time.perf_counter()
    for _ in range(100):
        CaptioningBackend("7", OFFICIAL_CONFIG)
    assert time.perf_counter() - started < 0.1


def test_an_event_without_a_name_is_ignored(running: Service) -> None:
    assert CaptioningBackend("7").fit((), data={}) == {"status": "ignored"}


def without_action(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != "action"}


@pytest.fixture(scope="module")
def release_1(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[tuple[str, Path]]:
    """Its own server, Flask and all, on a free port; and the data folder it works with."""
    folder = tmp_path_factory.mktemp("release1")
    script = folder / "server.py"
    script.write_text(RELEASE_1_SERVER)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "THREADS": "1",
        "DATA_DIR": str(folder / "data"),
        "MODEL_DIR": str(model_dir),
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(script), str(port), str(folder / "jobs")],
            env=environment,
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", folder / "log")
        yield f"http://127.0.0.1:{port}", folder / "data"
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_for(url: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if requests.get(url, timeout=5).status_code == 200:
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    pytest.fail(f"no answer from {url}:\n{log.read_text()}")


def test_under_the_server_of_release_1(release_1: tuple[str, Path]) -> None:
    url, data_dir = release_1
    assert requests.get(f"{url}/health", timeout=10).json()["status"] == "UP"

    setup = {"project": "7.1795417146", "schema": OFFICIAL_CONFIG, "hostname": "http://x", "access_token": "x"}
    started = time.monotonic()
    version = requests.post(f"{url}/setup", json=setup, timeout=10).json()["model_version"]
    assert time.monotonic() - started < 3, "Label Studio waits no longer for /setup"

    body = {
        "tasks": [task(1), task(2, data_uri(b"torn"))],
        "project": "7.1795417146",
        "label_config": OFFICIAL_CONFIG,
        "params": {"login": None, "password": None, "context": None},
    }
    answer = requests.post(f"{url}/predict", json=body, timeout=100).json()
    captioned, failed = answer["results"]
    assert answer["model_version"] == version
    assert captioned["result"][0]["value"]["text"]
    assert "model_version" not in captioned
    assert failed == []

    assert requests.post(f"{url}/webhook", json=payloads.CREATED, timeout=10).status_code == 201
    assert requests.post(f"{url}/webhook", json=payloads.PROJECT_UPDATED, timeout=10).status_code == 201
    marks = Marks(EmbeddedValkey(data_dir / "valkey").url, data_dir / "unused")
    deadline = time.monotonic() + 60
    while not marks.pending() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [(mark.project, mark.pending, mark.action) for mark in marks.pending()] == [(7, 1, "ANNOTATION_CREATED")]
    marks.close()


def test_our_own_server_imports_neither_flask_nor_werkzeug() -> None:
    code = (
        "import sys, backend.app, backend.commands.serve, backend.commands.config, uvicorn;"
        "print([name for name in ('flask', 'werkzeug') if name in sys.modules], 'fastapi' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True"


def test_our_own_server_at_work_has_neither_flask_nor_werkzeug_loaded(tmp_path: Path, model_dir: Path) -> None:
    code = """
import sys
from pathlib import Path
from starlette.testclient import TestClient
from backend.app import create_app
from settings import load
from tests.backend.pictures import OFFICIAL_CONFIG, task
settings = load(model_dir=Path(sys.argv[1]), data_dir=Path(sys.argv[2]), threads=1)
with TestClient(create_app(settings)) as client:
    body = {"tasks": [task(1)], "label_config": OFFICIAL_CONFIG, "project": "1.1"}
    assert client.post("/predict", json=body).json()["results"][0]["result"]
    assert client.post("/webhook", json={"action": "START_TRAINING"}).status_code == 200
print([name for name in sys.modules if name.split(".")[0] in ("flask", "werkzeug")])
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(model_dir), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
