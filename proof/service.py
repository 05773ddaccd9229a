"""The real backend in a process of its own, and tasks to ask it for: what the proofs of serving share."""

from __future__ import annotations

import base64
import itertools
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import requests

from labeling.config import RECOMMENDED_CONFIG
from model.engines.engine import TORCH
from model.engines.preparing import convert_version
from model.store import Store
from settings import environment, load

ROOT = Path(__file__).resolve().parents[1]
READY = "Recaption is ready on "
PICTURES = 8
_counted = itertools.count(1)


@dataclass
class Backend:
    """`ready_s`: how long it took from its start until it was ready."""

    url: str
    process: subprocess.Popen[str]
    ready_s: float

    def predict(self, session: requests.Session, number: int) -> requests.Response:
        body = {"tasks": [task(number % PICTURES)], "project": "1.1", "label_config": RECOMMENDED_CONFIG}
        return session.post(f"{self.url}/predict", json=body, timeout=60)


@contextmanager
def serving(folder: Path, model_dir: Path) -> Iterator[Backend]:
    """`python -m backend serve` on a free port, its own settings kept away; ended with SIGTERM."""
    given = {"PORT": "0", "DATA_DIR": str(folder / "data"), "MODEL_DIR": str(model_dir), "PYTHONPATH": str(ROOT)}
    began = time.monotonic()
    with (folder / "serve.log").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend", "serve"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment(given),
            cwd=folder,
        )
    with process:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        if not line.startswith(READY):
            raise RuntimeError(f"the backend did not start, see {folder / 'serve.log'}")
        try:
            yield Backend(line.removeprefix(READY).split(",")[0], process, time.monotonic() - began)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def first(root: Path, checkpoint: Path) -> tuple[Store, str]:
    """A new store, and its champion's version: the checkpoint, converted."""
    store = Store(root)
    version = store.publish(checkpoint)
    store.promote(version, expect_epoch=None, by="proof", reason="the first")
    convert(store, version)
    return store, version


def convert(store: Store, version: str) -> None:
    """Convert what the backend would else convert behind its first answers, so as not to be measured with them."""
    if load().engine != TORCH:
        convert_version(store, version)


def task(number: int) -> dict[str, Any]:
    """A task with a picture inside, so that nothing but the backend is measured. No two have the same bytes, or the
    backend would remember the caption; what stands behind a picture's end is not decoded."""
    pixels = np.random.default_rng(number).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    encoded = cv2.imencode(".jpg", cv2.GaussianBlur(pixels, (9, 9), 3))[1].tobytes()
    return {
        "id": number,
        "data": {"captioning": "data:image/jpeg;base64," + base64.b64encode(encoded + unlike()).decode()},
    }


def unlike() -> bytes:
    """Bytes that no call has returned."""
    return next(_counted).to_bytes(8, "big")


def percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def cores() -> int:
    return len(os.sched_getaffinity(0))
