"""A real queue server and real workers around the pretended trainer, and the census of what is left of them."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import redis

from tests.house.project import ROOT
from tests.trainer.pretend_trainer import read_log
from tests.waiting import WAIT_S, wait_until
from trainer.timings import Timings
from trainer.valkey import EmbeddedValkey

# In the environment of every process that a rig starts, and of all that those start.
MARKER = "RECAPTION_TEST_RIG"
QUICK = Timings(heartbeat_every=1, lost_after=4, look_every=1, failure_ttl=1, retries=(1, 1, 1))


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@dataclass
class Worker:
    """One worker process. `log` has what it and its children said."""

    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        return self.log.read_text()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Ask it to end; its exit code."""
        self.process.terminate()
        return self.process.wait(WAIT_S)


@dataclass
class Rig:
    """Everything in one temporary folder. `timings` are those of the workers that are started next."""

    folder: Path
    server: EmbeddedValkey
    timings: Timings = QUICK
    workers: list[Worker] = field(default_factory=list)

    @property
    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.server.url)

    @property
    def model_dir(self) -> Path:
        return self.folder / "models"

    def environment(self, **more: str) -> dict[str, str]:
        mine = {"REDIS_URL": self.server.url, "MODEL_DIR": str(self.model_dir), "DATA_DIR": str(self.folder / "data")}
        return {**os.environ, **mine, MARKER: str(self.folder), **more}

    def plan(self, **plan: Any) -> None:
        """What the trainers do from now on: see pretend_trainer."""
        (self.folder / "plan.json").write_text(json.dumps({"steps": 1, "step_s": 0.05, **plan}))

    def start(self, command: list[str], *, ready: str, **environment: str) -> Worker:
        self.model_dir.mkdir(exist_ok=True)
        log = self.folder / f"worker-{len(self.workers)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=self.environment(**environment),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        worker = Worker(process, log)
        self.workers.append(worker)
        wait_until(lambda: ready in worker.said() or process.poll() is not None, f"{ready!r} in {log}")
        assert process.poll() is None, worker.said()
        return worker

    def worker(self, **environment: str) -> Worker:
        """A worker with the pretended trainer, listening."""
        command = ["-m", "tests.trainer.pretend_worker", str(self.folder), json.dumps(asdict(self.timings))]
        return self.start(command, ready="ready", **environment)

    def events(self, event: str) -> list[dict[str, Any]]:
        """What the trainers noted: start, stopped or done."""
        return [line for line in read_log(self.folder) if line["event"] == event]

    def wait_for(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        def enough() -> bool:
            return len(self.events(event)) >= count

        try:
            wait_until(enough, f"{count} x {event}")
        except AssertionError:
            raise AssertionError("\n".join([f"never: {count} x {event}", *(w.said() for w in self.workers)])) from None
        return self.events(event)

    def processes(self) -> dict[int, str]:
        """Every process of this rig that is alive, with its command line."""
        marker = f"{MARKER}={self.folder}".encode()
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if marker in (folder / "environ").read_bytes().split(b"\0") and alive(int(folder.name)):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found

    def close(self) -> dict[int, str]:
        """Stop the workers; what of them is still there afterwards, killed now."""
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.end()
        deadline = time.monotonic() + 5.0
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        return left
