"""A thousand webhooks in a burst: how long does each answer take, and does every mark arrive?

python -m proof webhook
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests

from model.starter import STARTER
from proof.service import cores, first, percentile, serving

BURST, CLIENTS, PROJECTS = 1000, 2, 5
DELIVERED_S = 30.0


def burst(folder: Path) -> dict[str, Any]:
    """Events of five projects, from two clients without a pause, as Label Studio's own threads post them."""
    store, _ = first(folder / "models", STARTER)
    with serving(folder, store.root) as backend:
        with ThreadPoolExecutor(CLIENTS) as clients:
            shares = [range(client, BURST, CLIENTS) for client in range(CLIENTS)]
            taken = [times for times in clients.map(lambda share: post(backend.url, share), shares)]
        marks = delivered(backend.url)
    seconds = [one for times in taken for one in times]
    return {
        "webhooks": len(seconds),
        "clients": CLIENTS,
        "p50_ms": percentile(seconds, 50) * 1000,
        "p99_ms": percentile(seconds, 99) * 1000,
        "max_ms": max(seconds) * 1000,
        "marks_lost": BURST - marks,
        "cores": cores(),
    }


def post(url: str, numbers: range) -> list[float]:
    seconds = []
    with requests.Session() as session:
        session.get(f"{url}/health", timeout=10)
        for number in numbers:
            annotation = {"id": number, "project": number % PROJECTS + 1, "result": [{"origin": "manual"}]}
            body = {"action": "ANNOTATION_CREATED", "annotation": annotation}
            began = time.perf_counter()
            session.post(f"{url}/webhook", json=body, timeout=10).raise_for_status()
            seconds.append(time.perf_counter() - began)
    return seconds


def delivered(url: str) -> int:
    """How many captions the queue server counts, once all marks are delivered."""
    deadline = time.monotonic() + DELIVERED_S
    while True:
        marks = requests.get(f"{url}/status", timeout=10).json()["marks"]
        if not marks["waiting"] or time.monotonic() > deadline:
            return sum(mark["pending"] for mark in marks.get("pending", ()))
        time.sleep(0.1)
