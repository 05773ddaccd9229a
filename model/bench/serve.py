"""The real backend, in a process of its own, under a bulk: photos a second with everything that a request costs.

`python -m backend serve` has no Label Studio; every photo travels inside its task, and is sent
but once, or the backend would remember its caption.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from model.bench.blip import BenchError
from model.bench.memory import memory_mb
from model.bench.pictures import jpegs
from model.bench.process import pinned

ROOT = Path(__file__).resolve().parents[2]
READY = "Recaption is ready on "
LONGEST_S = 3600
CONFIG = '<View><Image name="image" value="$captioning"/><TextArea name="caption" toName="image"/></View>'
# Settings of the person who measures, which must not reach the backend; empty ones count as not set.
HIDDEN = (
    *("LABEL_STUDIO_URL", "LABEL_STUDIO_HOST", "LABEL_STUDIO_API_KEY", "LABEL_STUDIO_ACCESS_TOKEN", "REDIS_URL"),
    *("BASIC_AUTH_USER", "BASIC_AUTH_PASS", "HOST", "CAPTION_FIELD", "BASE_DATASET", "LOCAL_FILES_DOCUMENT_ROOT"),
)


@dataclass
class Server:
    """A running backend. `runs` counts the bulks that were sent."""

    url: str
    pid: int
    runs: int = field(default=0)

    def bulk(self, count: int) -> float:
        """Seconds for one request of so many tasks. Raises BenchError if one of them has no caption."""
        self.runs += 1
        body = json.dumps({"tasks": tasks(count, self.runs), "project": "1.1", "label_config": CONFIG}).encode()
        asked = urllib.request.Request(f"{self.url}/predict", body, {"Content-Type": "application/json"})
        began = time.perf_counter()
        with urllib.request.urlopen(asked, timeout=LONGEST_S) as answer:
            results = json.load(answer)["results"]
        seconds = time.perf_counter() - began
        missing = sum(not result for result in results)
        if missing:
            raise BenchError(f"{missing} of {count} photos came back from the backend without a caption")
        return seconds

    @property
    def rss_mb(self) -> float:
        return memory_mb(self.pid)


def tasks(count: int, seed: int) -> list[dict[str, object]]:
    """Tasks with a photo inside."""
    texts = (base64.b64encode(one).decode() for one in jpegs(count, seed))
    return [
        {"id": number, "data": {"captioning": f"data:image/jpeg;base64,{text}"}} for number, text in enumerate(texts, 1)
    ]


@contextmanager
def serving(models: Path, engine: str, cores: Sequence[int], beam: int) -> Iterator[Server]:
    """A backend on these cores alone, with this store. Raises BenchError if it does not start."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        process = _start(folder, models, engine, cores, beam)
        try:
            assert process.stdout is not None
            line = process.stdout.readline().strip()
            if not line.startswith(READY):
                words = (folder / "serve.log").read_text().strip().splitlines() or ["it said nothing"]
                raise BenchError(f"the backend did not start: {words[-1]}")
            yield Server(line.removeprefix(READY).split(",")[0], process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)


def _start(folder: Path, models: Path, engine: str, cores: Sequence[int], beam: int) -> subprocess.Popen[str]:
    given = {
        "PORT": "0",
        "MODEL_DIR": str(models),
        "DATA_DIR": str(folder / "data"),
        "PYTHONPATH": str(ROOT),
        "DEVICE": "cpu",
        "ENGINE": engine,
        "THREADS": str(len(cores)),
        "BEAM": str(beam),
        "PREDICT_BUDGET_S": str(LONGEST_S),
        **dict.fromkeys(HIDDEN, ""),
    }
    command = ["env", *(f"{name}={value}" for name, value in given.items())]
    with (folder / "serve.log").open("w") as errors:
        return subprocess.Popen(
            [*command, *pinned(len(cores), "-m", "backend", "serve")],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=folder,
            preexec_fn=partial(os.sched_setaffinity, 0, cores),
        )
