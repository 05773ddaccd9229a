"""Starting and stopping: one clear line when ready, one clear sentence when not, nothing left behind."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from backend.service import Service
from backend.serving import ServingError, open_store
from model.store import Store
from settings import Settings
from tests.backend.conftest import ROOT, serving
from tests.backend.pictures import OFFICIAL_CONFIG, data_uri, png, task
from tests.checkpoints import tiny_checkpoint
from trainer.valkey import EmbeddedValkey


def serve(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Start the server where it must fail."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PORT": "0",
        "DATA_DIR": str(folder),
        **settings,
    }
    return subprocess.run(
        [sys.executable, "-m", "backend", "serve"],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


def refused(run: subprocess.CompletedProcess[str]) -> str:
    """The one sentence it says."""
    assert run.returncode == 2, run.stderr
    lines = [line for line in run.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, run.stderr
    assert "Traceback" not in run.stderr
    return lines[0]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_starts_with_one_line_and_stops_cleanly(tmp_path: Path, model_dir: Path, stop: signal.Signals) -> None:
    with serving(tmp_path, model_dir) as server:
        assert server.version in server.ready_line
        assert server.get("/health").status_code == 200
        server.process.send_signal(stop)
        assert server.process.wait(timeout=20) == 0
        assert server.process.stdout is not None
        assert server.process.stdout.read() == ""
    assert not EmbeddedValkey(tmp_path / "data" / "valkey").answers()
    assert "Traceback" not in server.log.read_text()


def test_a_stop_in_the_middle_of_a_bulk_is_orderly(tmp_path: Path, model_dir: Path) -> None:
    answers: list[requests.Response | Exception] = []
    picture = png(1, 64, 64)  # behind its end nothing is decoded, but no two have the same bytes: none is remembered

    def ask() -> None:
        try:
            tasks = [task(number, data_uri(picture + number.to_bytes(2, "big"))) for number in range(2000)]
            answers.append(server.post("/predict", {"tasks": tasks, "label_config": OFFICIAL_CONFIG, "project": "1"}))
        except requests.RequestException as error:
            answers.append(error)

    with serving(tmp_path, model_dir, predict_budget_s="3") as server:
        bulk = threading.Thread(target=ask)
        bulk.start()
        deadline = time.monotonic() + 30
        while server.get("/health").json()["queue"] < 8 and time.monotonic() < deadline:
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=40) == 0
        bulk.join()
    (answer,) = answers
    assert isinstance(answer, requests.Response), f"the request in hand was cut off: {answer}"
    results = answer.json()["results"]
    assert len(results) == 2000
    assert results[0]
    assert results[-1] == []
    assert not EmbeddedValkey(tmp_path / "data" / "valkey").answers()


def test_an_open_door_is_pointed_out(tmp_path: Path, model_dir: Path) -> None:
    with serving(tmp_path, model_dir, host="0.0.0.0") as server:
        pass
    assert "set BASIC_AUTH_USER and BASIC_AUTH_PASS" in server.log.read_text()


def test_a_busy_port_is_named_with_the_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        said = refused(serve(tmp_path, PORT=str(port)))
    assert f"PORT={port} is in use" in said
    assert f"PORT={port + 1}" in said


def test_an_address_of_another_machine_is_named(tmp_path: Path) -> None:
    assert "HOST must be an address of this machine" in refused(serve(tmp_path, HOST="192.0.2.1"))


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    assert "DEVICE is 'gpu', but must be auto, cpu" in refused(serve(tmp_path, DEVICE="gpu"))


def test_a_device_that_is_not_here_is_named(tmp_path: Path, model_dir: Path) -> None:
    assert "DEVICE=cuda:77" in refused(serve(tmp_path, DEVICE="cuda:77", MODEL_DIR=str(model_dir)))
    assert not EmbeddedValkey(tmp_path / "valkey").answers(), "a failed start left its Valkey behind"


def test_a_torn_checkpoint_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path / "models")
    version = store.publish(tiny_checkpoint(tmp_path / "checkpoint"))
    store.promote(version, expect_epoch=None, by="tests", reason="the first one")
    weights = store.folder(version) / "decoder.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    said = refused(serve(tmp_path, MODEL_DIR=str(store.root)))
    assert "decoder.safetensors is not the file that manifest.json states" in said


def test_a_model_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "MODEL_DIR=" in refused(serve(tmp_path, MODEL_DIR=str(tmp_path / "file")))


def test_an_empty_store_without_a_starter_says_how_to_get_a_checkpoint(
    tmp_path: Path, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.starter.STARTER", tmp_path / "absent")
    with pytest.raises(ServingError, match=r"python -m model train.*MODEL_DIR"):
        open_store(make_settings(model_dir=tmp_path / "empty"))


def test_an_empty_store_begins_with_the_starter_and_stays_with_it(
    tmp_path: Path, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.starter.STARTER", tiny_checkpoint(tmp_path / "starter"))
    settings = make_settings(model_dir=tmp_path / "empty")
    store = open_store(settings)
    first = store.champion()
    assert first is not None
    assert (first.epoch, first.by) == (1, "serve")
    assert open_store(settings).champion() == first
    service = Service(settings)
    assert service.serving.version == first.version
    service.close()
