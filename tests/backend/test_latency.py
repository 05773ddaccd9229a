"""Label Studio waits 1 s for /health and /webhook: they answer at once, also while the model works at full load.

Beside ours a server that does nothing is timed, request by request: on a machine whose cores others use, a limit that
not even that one keeps says nothing, and stretches to thrice its time. On an idle machine the limit is as written.
"""

import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.backend import payloads
from tests.backend.conftest import Running, serving
from tests.backend.pictures import OFFICIAL_CONFIG, jpeg, task

SETUP = {"project": "1.1795417146", "schema": OFFICIAL_CONFIG, "access_token": "x", "extra_params": None}
IMAGES = 64
ROUNDS = 3
HEALTH_P95_S = 0.050
WEBHOOK_P99_S = 0.020
STRETCH = 3
DOES_NOTHING = """
import sys, uvicorn
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})
uvicorn.run(app, port=int(sys.argv[1]), log_level="critical", lifespan="off")
"""
# No two answers are alike, or the backend would remember the caption; behind a picture's end nothing is decoded.
SERVES_A_PHOTO = """
import itertools, sys, uvicorn
photo, counted = open(sys.argv[2], "rb").read(), itertools.count()
async def app(scope, receive, send):
    body = photo + next(counted).to_bytes(8, "big")
    headers = [(b"content-length", str(len(body)).encode()), (b"content-type", b"image/jpeg")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
uvicorn.run(app, port=int(sys.argv[1]), log_level="critical", lifespan="off")
"""

Ask = Callable[[requests.Session], requests.Response]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("latency"), model_dir, image_allowed_hosts="127.0.0.1") as running:
        yield running


@contextmanager
def started(url: str, *words: str) -> Iterator[str]:
    """A Python program that serves, in a process of its own: in ours it would slow the stopwatch down."""
    with subprocess.Popen([sys.executable, *words], stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 30
        while not answers(url):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield url
        process.terminate()


@pytest.fixture(scope="module")
def idle() -> Iterator[str]:
    """The address of a server that does nothing."""
    port = free_port()
    with started(f"http://127.0.0.1:{port}/", "-c", DOES_NOTHING, str(port)) as url:
        yield url


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a photo."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "photo.jpg").write_bytes(jpeg(1))
    port = free_port()
    words = ("-c", SERVES_A_PHOTO, str(port), str(folder / "photo.jpg"))
    with started(f"http://127.0.0.1:{port}/photo.jpg", *words) as url:
        yield url


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


class Stopwatch:
    """Times requests to ours, one of each kind in turn, and as many to the server that does nothing."""

    def __init__(self, idle: str, *asks: Ask) -> None:
        self.asks = asks
        self.idle = idle
        self.ours: list[float] = []
        self.yardstick: list[float] = []
        self.session = requests.Session()
        for ask in (*asks, self._ask_idle):
            ask(self.session)

    def lap(self) -> None:
        for ask in self.asks:
            self.ours.append(self._timed(ask))
            self.yardstick.append(self._timed(self._ask_idle))

    def excess(self, percent: int, limit: float) -> float:
        """The percentile over what is allowed; below 1 is good."""
        taken, nothing = (
            statistics.quantiles(times, n=100, method="inclusive") for times in (self.ours, self.yardstick)
        )
        ours, yardstick = taken[percent - 1], nothing[percent - 1]
        print(
            f"n={len(self.ours)} p50={taken[49] * 1e3:.1f} ms p{percent}={ours * 1e3:.1f} ms, "
            f"doing nothing {yardstick * 1e3:.1f} ms"
        )
        return ours / max(limit, STRETCH * yardstick)

    def _ask_idle(self, session: requests.Session) -> requests.Response:
        return session.get(self.idle, timeout=10)

    def _timed(self, ask: Ask) -> float:
        started = time.perf_counter()
        assert ask(self.session).status_code == 200
        return time.perf_counter() - started


def best(measure: Callable[[], float]) -> float:
    """The first round within the limit, else the best of a few."""
    excess = [measure()]
    while min(excess) >= 1 and len(excess) < ROUNDS:
        excess.append(measure())
    return min(excess)


def test_health_and_setup_answer_while_64_pictures_are_captioned(server: Running, photo: str, idle: str) -> None:
    def measure() -> float:
        results: list[object] = []
        tasks = [task(number, photo) for number in range(IMAGES)]
        bulk = threading.Thread(target=lambda: results.extend(server.predict(tasks)))
        watch = Stopwatch(
            idle,
            lambda session: session.get(f"{server.url}/health", timeout=10),
            lambda session: session.post(f"{server.url}/setup", json=SETUP, timeout=10),
        )
        bulk.start()
        while bulk.is_alive():
            watch.lap()
            time.sleep(0.005)
        bulk.join()
        assert len(results) == IMAGES
        assert all(results)
        return watch.excess(95, HEALTH_P95_S)

    assert best(measure) < 1


def test_the_webhook_answers_in_under_20_ms(server: Running, idle: str) -> None:
    def measure() -> float:
        watch = Stopwatch(
            idle, lambda session: session.post(f"{server.url}/webhook", json=payloads.CREATED, timeout=10)
        )
        for _ in range(200):
            watch.lap()
        return watch.excess(99, WEBHOOK_P99_S)

    assert best(measure) < 1


def test_a_single_task_overtakes_a_bulk(server: Running) -> None:
    """An annotator who opens a task does not wait for someone's "Retrieve predictions" to end."""
    tasks = [task(number) for number in range(300)]
    bulk = threading.Thread(target=lambda: server.predict(tasks))
    bulk.start()
    deadline = time.monotonic() + 20
    while server.get("/health").json()["queue"] < 8 and bulk.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    (answer,) = server.predict([task(1000)])
    assert answer
    assert bulk.is_alive(), "the single task waited for the bulk"
    bulk.join()
