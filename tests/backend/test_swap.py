"""The real server while versions are promoted under it: nothing fails, nothing is mixed up, everybody follows."""

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

import pytest
import requests

from backend.checks.machine import check_backend
from model.store import Store
from settings import load
from tests.backend.conftest import Running, serving
from tests.backend.pictures import OFFICIAL_CONFIG, task
from tests.backend.versions import gone_mad, promote, retrained, torn
from tests.checkpoints import tiny_checkpoint
from tests.waiting import wait_until

SWAPS, CLIENTS, PICTURES = 30, 4, 4
FOLLOWS_S = 2.0
soon = partial(wait_until, timeout_s=20.0)  # on a machine whose cores others use


@dataclass
class Shop:
    """A store of its own with a first version that serves, and another one."""

    store: Store
    folder: Path
    first: str
    second: str


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    store = Store(tmp_path / "models")
    first = store.publish(tiny_checkpoint(tmp_path / "first"))
    second = retrained(store, first, tmp_path / "second", seed=1, by=1.0)
    promote(store, first)
    return Shop(store, tmp_path, first, second)


@pytest.fixture
def server(shop: Shop) -> Iterator[Running]:
    with serving(shop.folder, shop.store.root) as running:
        yield running


def version_for(server: Running, project: int) -> str:
    body = {"project": f"{project}.1", "schema": OFFICIAL_CONFIG}
    return str(server.post("/setup", body).json()["model_version"])


def serves(server: Running, version: str) -> bool:
    return bool(server.get("/health").json()["model_version"] == version)


@dataclass
class Asked:
    """What clients got who asked without a pause: `(version, picture, caption)`, and what went wrong."""

    answers: list[tuple[str, int, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def more_than(self, count: int) -> bool:
        return len(self.answers) > count

    def ask(self, server: Running, number: int) -> None:
        with requests.Session() as session:
            while not self.over.is_set():
                number = (number + 1) % PICTURES
                tasks = [task(number), task(number), task(number)]
                body = {"tasks": tasks, "project": "1.1", "label_config": OFFICIAL_CONFIG}
                try:
                    results = session.post(f"{server.url}/predict", json=body, timeout=60).json()["results"]
                    (said,) = {(one["model_version"], one["result"][0]["value"]["text"][0]) for one in results}
                    self.answers.append((said[0], number, said[1]))
                except (requests.RequestException, ValueError, TypeError, KeyError) as error:
                    self.faults.append(repr(error))


def test_thirty_swaps_under_load_fail_nothing_and_mix_nothing(shop: Shop, server: Running) -> None:
    """Three tasks a request: one answer is one version's, and each version's caption of a picture is its own."""
    asked, waits = Asked(), list[float]()
    with ThreadPoolExecutor(CLIENTS) as clients:
        for number in range(CLIENTS):
            clients.submit(asked.ask, server, number)
        try:
            for number in range(SWAPS):
                new = (shop.second, shop.first)[number % 2]
                promote(shop.store, new)
                moved = time.monotonic()
                soon(partial(serves, server, new))
                waits.append(time.monotonic() - moved)
                seen = len(asked.answers)
                soon(partial(asked.more_than, seen + CLIENTS))
        finally:
            asked.over.set()
    assert asked.faults == []
    assert {version for version, *_ in asked.answers} == {shop.first, shop.second}
    captions = {(version, picture): text for version, picture, text in asked.answers}
    assert len(set(asked.answers)) == len(captions) == 2 * PICTURES
    ours, theirs = ([captions[version, n] for n in range(PICTURES)] for version in (shop.first, shop.second))
    assert ours != theirs, "the two versions must differ for this to prove anything"
    assert median(waits) < FOLLOWS_S
    assert f'recaption_swaps_total{{outcome="swapped"}} {SWAPS:.1f}' in server.get("/metrics").text


def test_a_project_with_a_version_of_its_own_is_served_by_it(shop: Shop, server: Running) -> None:
    assert version_for(server, 7) == version_for(server, 8) == shop.first
    promote(shop.store, shop.second, "7")
    soon(lambda: version_for(server, 7) == shop.second)
    assert version_for(server, 8) == server.get("/health").json()["model_version"] == shop.first
    (of_seven,) = server.predict([task(1)], project="7.1")
    (of_eight,) = server.predict([task(1)], project="8.1")
    assert (of_seven["model_version"], of_eight["model_version"]) == (shop.second, shop.first)
    seven = server.get("/status").json()["projects"]["7"]
    assert (seven["aspired"], seven["serving"], seven["quarantine"]) == (shop.second, shop.second, None)
    assert seven["served"] and seven["since"] > server.get("/status").json()["serving_since"]


def test_a_rollback_is_a_swap_like_any_other(shop: Shop, server: Running) -> None:
    promote(shop.store, shop.second)
    soon(lambda: serves(server, shop.second))
    shop.store.rollback("default", by="tests", reason="worse in practice")
    soon(lambda: serves(server, shop.first))


def test_a_bad_version_is_shown_and_the_old_one_serves_on(shop: Shop, server: Running) -> None:
    bad = gone_mad(shop.store, shop.folder / "bad")
    promote(shop.store, bad)
    soon(lambda: server.get("/health").json()["quarantined"])
    health, status = server.get("/health").json(), server.get("/status").json()
    assert (health["aspired"], health["serving"], health["model_version"]) == (bad, shop.first, shop.first)
    assert health["last_error"] == health["quarantined"][bad] == status["last_error"]
    (answer,) = server.predict([task(1)])
    assert answer["model_version"] == shop.first
    assert server.log.read_text().count(f"{bad} is in quarantine") == 1
    assert "recaption_awaited_versions 1.0" in server.get("/metrics").text
    assert server.get("/versions").json()["versions"][-1] == bad
    verdict, _ = check_backend(load(port=int(server.url.rpartition(":")[2]), data_dir=shop.folder))
    assert verdict.status == "warning" and f"{bad} is in quarantine" in verdict.detail
    assert "python -m trainer rollback" in verdict.remedy


def test_a_file_torn_under_a_live_server_is_not_served(shop: Shop, server: Running) -> None:
    promote(shop.store, torn(shop.store, shop.second))
    soon(lambda: server.get("/health").json()["quarantined"])
    assert "is not the file that manifest.json states" in server.get("/health").json()["last_error"]
    assert server.predict([task(1)])[0]["model_version"] == shop.first


def test_every_serving_process_follows_and_one_killed_comes_back_with_the_new_version(shop: Shop) -> None:
    folders = [shop.folder / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    with serving(folders[0], shop.store.root) as one:
        with serving(folders[1], shop.store.root) as two:
            promote(shop.store, shop.second)
            both = (one, two)
            soon(lambda: {each.get("/health").json()["model_version"] for each in both} == {shop.second})
            two.process.send_signal(signal.SIGKILL)
            two.process.wait(timeout=10)
        with serving(folders[1], shop.store.root) as two:
            assert two.version == shop.second
        assert one.predict([task(1)])[0]["model_version"] == shop.second


def test_a_stop_in_the_middle_of_a_swap_is_orderly(shop: Shop, server: Running) -> None:
    promote(shop.store, shop.second)
    time.sleep(0.3)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=40) == 0
    log = server.log.read_text()
    assert "Traceback" not in log and "quarantine" not in log
