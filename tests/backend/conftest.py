"""A store with a tiny but real checkpoint, and the real server in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from model.store import Store
from settings import Settings, load
from tests.backend.pictures import OFFICIAL_CONFIG
from tests.checkpoints import tiny_checkpoint

ROOT = Path(__file__).parents[2]
READY = "Recaption is ready on "


@dataclass
class Running:
    """A started server: where it is, what it serves, and what it said once it has ended."""

    url: str
    version: str
    ready_line: str
    ready_after_s: float
    process: subprocess.Popen[str]
    log: Path

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=30, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> requests.Response:
        return requests.post(self.url + path, json=json, timeout=120, **options)

    def predict(self, tasks: list[dict[str, Any]], **more: Any) -> list[Any]:
        body = {"tasks": tasks, "project": "1.1795417146", "label_config": OFFICIAL_CONFIG, **more}
        answer = self.post("/predict", body)
        assert answer.status_code == 200, answer.text
        results = answer.json()["results"]
        assert isinstance(results, list)
        return results


@contextmanager
def serving(folder: Path, model_dir: Path, **settings: str) -> Iterator[Running]:
    """`python -m backend serve` on a free port, stopped with SIGTERM at the end."""
    given = {name.upper(): value for name, value in settings.items()}
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "THREADS": "1",
        "ENGINE": "torch",
        "PORT": "0",
        "DATA_DIR": str(folder / "data"),
        "MODEL_DIR": str(model_dir),
        **given,
    }
    log = folder / "serve.log"
    started = time.monotonic()
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend", "serve"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
            cwd=folder,
        )
    with process:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        assert line.startswith(READY), f"not ready: {line!r}\n{log.read_text()}"
        url, version = line.removeprefix(READY).split(", serving ")
        try:
            yield Running(url, version.split()[0], line, time.monotonic() - started, process, log)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=40)


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose champion is a tiny checkpoint."""
    folder = tmp_path_factory.mktemp("store")
    store = Store(folder / "models")
    version = store.publish(tiny_checkpoint(folder / "checkpoint"))
    store.promote(version, expect_epoch=None, by="tests", reason="the first one")
    return folder / "models"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[Running]:
    """One server for all tests that only ask it."""
    with serving(tmp_path_factory.mktemp("server"), model_dir) as running:
        yield running


@pytest.fixture
def make_settings(tmp_path: Path, model_dir: Path) -> Callable[..., Settings]:
    """Settings of a test's own; by default with the tiny checkpoint's store and no server near."""

    def make(**values: Any) -> Settings:
        return load(**{"model_dir": model_dir, "data_dir": tmp_path / "data", "threads": 1, "port": 0, **values})

    return make
