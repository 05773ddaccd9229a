"""The engine that serves: loaded in int8 where that can be, named, and replaced by torch where it cannot."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from backend.fleet import Fleet
from backend.loading import Loader
from backend.predictor import Predictor
from model import checkpoint as checkpoints
from model.engines.converting import convert
from model.engines.engine import INT8
from model.engines.entries import FOLDER
from model.engines.int8 import preferred
from model.engines.opening import PENDING
from model.store import Store
from settings import load
from tests.backend.conftest import Running, serving
from tests.backend.pictures import task
from tests.backend.versions import promote
from tests.house.project import ROOT
from tests.model.engines.certain import certain_checkpoint
from tests.trainer.rig import alive
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store whose champion is converted."""
    folder = tmp_path_factory.mktemp("int8")
    store = Store(folder / "models")
    version = store.publish(certain_checkpoint(folder / "checkpoint"))
    promote(store, version)
    for runtime in INT8:
        convert(store.folder(version), store.root / FOLDER, runtime)
    return store


@pytest.fixture
def predictor() -> Iterator[Predictor]:
    made = Predictor()
    yield made
    made.close()


def settled(running: Running) -> dict[str, Any]:
    """What /health says once no conversion is awaited."""
    wait_until(lambda: running.get("/health").json()["engine_fallback"] != PENDING, "no conversion is awaited", 90.0)
    body: dict[str, Any] = running.get("/health").json()
    return body


def champion(store: Store) -> str:
    found = store.champion()
    assert found is not None
    return found.version


@pytest.mark.parametrize("engine", [*INT8, "auto"])
def test_the_engine_is_named_and_captions(store: Store, tmp_path: Path, engine: str) -> None:
    with serving(tmp_path, store.root, engine=engine) as running:
        for path in ("/health", "/status"):
            body = running.get(path).json()
            expected = preferred()[0] if engine == "auto" else engine
            assert (body["engine"], body["engine_fallback"], body["device"]) == (expected, None, "cpu")
        (prediction,) = running.predict([task(1)])
        assert prediction["model_version"] == champion(store) and prediction["result"][0]["value"]["text"][0]


def test_where_nothing_can_be_kept_torch_serves_and_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path / "models")
    promote(store, store.publish(certain_checkpoint(tmp_path / "checkpoint")))
    (store.root / FOLDER).write_text("in the way")
    with serving(tmp_path, store.root, engine="auto") as running:
        body = settled(running)
        assert body["engine"] == "torch" and "could not be converted to int8" in body["engine_fallback"]
        (prediction,) = running.predict([task(1)])
        assert prediction["result"][0]["value"]["text"][0]
        assert running.log.read_text().count("is computed by torch") == 1


def test_torch_serves_until_a_version_is_converted(tmp_path: Path) -> None:
    """Nobody waits for a conversion: not at the start, and not afterwards."""
    store = Store(tmp_path / "models")
    promote(store, store.publish(certain_checkpoint(tmp_path / "checkpoint")))
    with serving(tmp_path, store.root, engine="auto") as running:
        body = running.get("/health").json()
        assert (body["engine"], body["engine_fallback"]) == ("torch", PENDING)
        (before,) = running.predict([task(1)])
        assert before["model_version"] == champion(store)
        body = settled(running)
        assert (body["engine"], body["engine_fallback"]) == (preferred()[0], None)
        (after,) = running.predict([task(2)])
        assert after["model_version"] == champion(store) and after["result"][0]["value"]["text"][0]
        assert f"is computed by {preferred()[0]} from now on" in running.log.read_text()


def test_a_conversion_ends_with_who_waits_for_it(tmp_path: Path) -> None:
    """It looks once a second whether its parent is there, and does nothing else here."""
    waiting = "import sys; from model.engines.converting import end_with; end_with(int(sys.argv[1]))"
    parent = (
        "import os, subprocess, sys\n"
        f"child = [sys.executable, '-c', {waiting!r}, str(os.getpid())]\n"
        "print(subprocess.Popen(child, stdout=subprocess.DEVNULL).pid, flush=True); input()"
    )
    started = subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    with started:
        assert started.stdout is not None
        child = int(started.stdout.readline())
        time.sleep(1.5)
        assert alive(child)
        started.kill()
    wait_until(lambda: not alive(child), "the conversion ended")


def test_another_decoder_shares_the_encoder_in_memory(store: Store, predictor: Predictor, tmp_path: Path) -> None:
    loader = Loader(store, load(model_dir=store.root, threads=1, engine=INT8[0]), predictor)
    fleet = Fleet({None: loader.load(champion(store), Fleet())})
    made = checkpoints.load(store.folder(champion(store)))
    with torch.no_grad():
        made.decoder.bias.add_(0.01)  # other weights, the same captions
    second = store.publish(checkpoints.save(made, tmp_path / "second", {}))
    engine = loader.load(second, fleet).captioner.engine
    assert engine.name == INT8[0] and engine.encoder is fleet.of(None).captioner.engine.encoder


def test_what_is_loaded_at_the_start_leaves_the_main_threads_priority_alone(store: Store, predictor: Predictor) -> None:
    """Threads of an engine take the priority of the thread that loads it, which must not be the main one."""
    seen: list[str] = []
    loader = Loader(store, load(model_dir=store.root, threads=1, engine="torch"), predictor)
    inner = loader._load

    def noted(folder: Path, version: str, fleet: Fleet, wait: bool) -> object:
        seen.append(threading.current_thread().name)
        return inner(folder, version, fleet, wait)

    loader._load = noted  # type: ignore[method-assign, assignment]  # who loads is what is asked
    loader.load(champion(store), Fleet())
    watcher = threading.Thread(target=loader.load, args=(champion(store), Fleet()), name="watcher")
    watcher.start()
    watcher.join()
    assert [name.split("_")[0] for name in seen] == ["loader", "watcher"]
