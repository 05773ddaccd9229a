"""Sixteen clients for ten minutes, then one at a time: does a request fail, does memory grow, does anything else wait?

    python -m proof soak

Every request is for one photo, no two of which have the same bytes. Memory is compared with what it was after the first
tenth of the time, when all caches are warm. Beside the clients, /health and /setup are timed as Label Studio asks them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import requests

from labeling.config import RECOMMENDED_CONFIG
from model.bench.memory import memory_mb
from model.starter import STARTER
from proof.service import Backend, cores, first, percentile, serving

CLIENTS, MINUTES = 16, 10.0
# One at a time for a tenth of the time that the sixteen have.
AFTERWARDS = 0.1
WARM = 0.1
LOOK_S = 0.25
FIRST_FAULTS = 5


@dataclass
class Crowd:
    """Clients that each ask for one caption after the other, until told to stop."""

    backend: Backend
    clients: int
    seconds: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._client, args=(number,)) for number in range(self.clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _client(self, number: int) -> None:
        with requests.Session() as session:
            while not self._stop.is_set():
                began = time.monotonic()
                if fault := asked(self.backend, session, number):
                    self.faults.append(fault)
                    self._stop.wait(LOOK_S)  # a backend that is down is not asked a million times
                self.seconds.append(time.monotonic() - began)
                number += 1


def asked(backend: Backend, session: requests.Session, number: int) -> str:
    """What was wrong with one answer; empty if it was a caption."""
    try:
        answer = backend.predict(session, number)
        answer.raise_for_status()
        [prediction] = answer.json()["results"]
        [text] = prediction["result"][0]["value"]["text"]
    except (requests.RequestException, ValueError, KeyError, TypeError, IndexError) as error:
        return f"{type(error).__name__}: {error}"[:200]
    return "" if text else "an empty caption"


@dataclass
class Watch:
    """What Label Studio asks before a prediction, timed, and the backend's memory, a few times a second."""

    backend: Backend
    seconds: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)

    def watch(self, for_s: float) -> None:
        ends = time.monotonic() + for_s
        with requests.Session() as session:
            while time.monotonic() < ends:
                for ask in (self._health, self._setup):
                    self.seconds.append(timed(ask, session))
                self.memory_mb.append(memory_mb(self.backend.process.pid))
                time.sleep(LOOK_S)

    def _health(self, session: requests.Session) -> requests.Response:
        return session.get(f"{self.backend.url}/health", timeout=10)

    def _setup(self, session: requests.Session) -> requests.Response:
        body = {"project": "1.1", "schema": RECOMMENDED_CONFIG}
        return session.post(f"{self.backend.url}/setup", json=body, timeout=10)


def timed(ask: Callable[[requests.Session], requests.Response], session: requests.Session) -> float:
    began = time.perf_counter()
    ask(session).raise_for_status()
    return time.perf_counter() - began


def soak(folder: Path, minutes: float = MINUTES) -> dict[str, Any]:
    """Errors, times and memory of both phases."""
    store, _ = first(folder / "models", STARTER)
    with serving(folder, store.root) as backend:
        crowd, many = phase(backend, CLIENTS, minutes * 60)
        single, after = phase(backend, 1, minutes * 60 * AFTERWARDS)
    return {
        "errors": len(crowd.faults) + len(single.faults),
        "memory_growth_percent": growth_percent(many.memory_mb, after.memory_mb),
        "faults": (crowd.faults + single.faults)[:FIRST_FAULTS],
        "minutes": minutes,
        "clients": CLIENTS,
        "crowd": times(crowd.seconds),
        "crowd_photos_per_s": len(crowd.seconds) / (minutes * 60),
        "one_at_a_time": times(single.seconds),
        "health_and_setup": times(many.seconds),
        "memory_mb": {"warm": warm(many.memory_mb), "most": max(many.memory_mb), "end": after.memory_mb[-1]},
        "cores": cores(),
    }


def phase(backend: Backend, clients: int, seconds: float) -> tuple[Crowd, Watch]:
    crowd, watch = Crowd(backend, clients), Watch(backend)
    with crowd.at_work():
        watch.watch(seconds)
    return crowd, watch


def warm(memory: Sequence[float]) -> float:
    """Memory after the first tenth of the time."""
    return memory[int(len(memory) * WARM)]


def growth_percent(crowd: Sequence[float], after: Sequence[float]) -> float:
    """How much more there was than when it was warm: at the end with many clients, or with one, whichever was more."""
    last = max(median(crowd[int(len(crowd) * (1 - WARM)) :]), median(after))
    return (last / warm(crowd) - 1) * 100


def times(seconds: Sequence[float]) -> dict[str, float]:
    if len(seconds) < 2:
        raise RuntimeError(f"{len(seconds)} requests ended in that time: too few to say how long they take")
    return {"count": len(seconds), **{f"p{p}_ms": percentile(seconds, p) * 1000 for p in (50, 95, 99)}}
