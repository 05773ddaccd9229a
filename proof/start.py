"""How long a start takes with everything converted on disk, and what the serving process holds in memory at work.

    python -m proof start

The first start reads all files from the disk; it is not counted. Memory is that of the process itself,
after a bulk and single requests side by side, so that every lane and cache has been used.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import requests

from labeling.config import RECOMMENDED_CONFIG
from model.bench.memory import memory_mb
from model.starter import STARTER
from model.store import Store
from proof.service import PICTURES, Backend, cores, first, serving, task
from proof.soak import CLIENTS, asked

STARTS, BULK = 5, 200


def start(folder: Path, starts: int = STARTS, bulk: int = BULK) -> dict[str, Any]:
    """Seconds of each start, from the process's birth to the line that says it is ready; memory after the last."""
    store, _ = first(folder / "models", STARTER)
    seconds = [started(folder, store) for _ in range(starts + 1)]
    with serving(folder, store.root) as backend:
        fresh = memory_mb(backend.process.pid)
        work(backend, bulk)
        resident, most = (memory_mb(backend.process.pid, of) for of in ("VmRSS", "VmHWM"))
        health = requests.get(f"{backend.url}/health", timeout=10).json()
    return {
        "start_to_ready_s": median(seconds[1:]),
        "first_start_s": seconds[0],
        "starts_s": seconds[1:],
        "rss_mb": resident,
        "fresh_rss_mb": fresh,
        "peak_rss_mb": most,
        "photos": bulk,
        "engine": health.get("engine"),
        "cores": cores(),
    }


def started(folder: Path, store: Store) -> float:
    """One start, with one caption to see that it is ready indeed."""
    with serving(folder, store.root) as backend, requests.Session() as session:
        if fault := asked(backend, session, 0):
            raise RuntimeError(f"the backend was ready, but its first caption failed: {fault}")
        return backend.ready_s


def work(backend: Backend, bulk: int) -> None:
    """A bulk, then single requests side by side. Raises RuntimeError where a caption is missing."""
    tasks = [task(number % PICTURES) for number in range(bulk)]
    body = {"tasks": tasks, "project": "1.1", "label_config": RECOMMENDED_CONFIG}
    results = requests.post(f"{backend.url}/predict", json=body, timeout=600).json()["results"]
    with ThreadPoolExecutor(CLIENTS) as clients, requests.Session() as session:
        faults = [fault for fault in clients.map(lambda n: asked(backend, session, n), range(2 * CLIENTS)) if fault]
    missing = sum(not result for result in results)
    if missing or faults:
        raise RuntimeError(f"{missing} of {bulk} tasks of the bulk have no caption; single ones failed: {faults[:3]}")
