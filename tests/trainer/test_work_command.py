"""`python -m trainer work`, as a user types it. Label Studio is an address where nothing answers: the reconciler says
so, and the worker works."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.house.project import ROOT
from tests.trainer.rig import Rig, Worker, alive
from tests.waiting import WAIT_S, wait_until
from trainer.__main__ import app
from trainer.valkey import EmbeddedValkey

WORK = ["-m", "trainer", "work"]
STUDIO = {"LABEL_STUDIO_URL": "http://127.0.0.1:1", "LABEL_STUDIO_API_KEY": "a-key-that-nobody-may-see"}


def typed(rig: Rig, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *WORK, *options]
    return subprocess.run(
        command, cwd=ROOT, env=rig.environment(**environment), capture_output=True, text=True, timeout=WAIT_S
    )


def started(rig: Rig, **environment: str) -> Worker:
    return rig.start(WORK, ready="Stop with Ctrl-C.", **STUDIO, **environment)


def reconcilers(rig: Rig) -> list[int]:
    return [pid for pid, command in rig.processes().items() if "trainer.reconciling" in command]


def test_it_says_once_that_it_is_ready_looks_for_what_is_due_and_ends_in_order(rig: Rig) -> None:
    worker = started(rig)
    assert f"Recaption's worker is ready: queue recaption on {rig.server.url}, store {rig.model_dir}, device auto." in (
        worker.said()
    )
    rig.client.sadd("recaption:projects", 7)
    wait_until(lambda: "Label Studio at http://127.0.0.1:1 cannot be reached" in worker.said(), "the reconciler's word")
    assert worker.end() == 0
    assert rig.processes() == {}
    assert STUDIO["LABEL_STUDIO_API_KEY"] not in worker.said()
    assert "Traceback" not in worker.said()


def test_a_worker_that_is_killed_takes_its_reconciler_along_and_leaves_a_queue_server_to_adopt(rig: Rig) -> None:
    valkey = EmbeddedValkey(rig.folder / "data" / "valkey")
    first = started(rig, REDIS_URL="")
    (reconciler,) = wait_until(lambda: reconcilers(rig), "the reconciler")
    assert valkey.answers()
    first.signal(signal.SIGKILL)
    first.process.wait()
    wait_until(lambda: not alive(reconciler), "the reconciler is gone")
    assert valkey.answers()
    second = started(rig, REDIS_URL="")
    second.signal(signal.SIGINT)
    assert second.process.wait(WAIT_S) == 0
    assert not valkey.answers()


def test_burst_looks_once_works_off_the_queue_and_tells_that_nobody_could_be_asked(rig: Rig) -> None:
    rig.client.sadd("recaption:projects", 7)
    done = typed(rig, "--burst", **STUDIO)
    assert done.returncode == 2
    assert "Error: GET" in done.stderr and "cannot be reached" in done.stderr
    rig.client.delete("recaption:projects")
    done = typed(rig, "--burst", **STUDIO)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({}, "Error: LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY not set: corrections are read from Label Studio."),
        ({"LABEL_STUDIO_URL": "http://localhost:8080"}, "Error: LABEL_STUDIO_API_KEY not set: corrections are read"),
        ({"PORT": "x"}, "Error: PORT is 'x', but must be a whole number from 0 to 65535."),
    ],
)
def test_what_it_cannot_start_without_is_said_in_a_line(
    environment: dict[str, str], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    ended = CliRunner().invoke(app, ["work"])
    assert ended.exit_code == 2
    assert ended.stderr.startswith(line) and ended.stderr.count("\n") == 1


def test_a_queue_server_that_does_not_answer_is_named_without_its_password(rig: Rig) -> None:
    ended = typed(rig, **STUDIO, REDIS_URL="redis://user:hidden-word@127.0.0.1:1/0")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("Error: the queue server cannot be reached: Error 111 connecting to 127.0.0.1:1.")
    assert "hidden-word" not in ended.stderr


def test_the_worker_and_what_it_forks_never_import_torch(tmp_path: Path) -> None:
    code = (
        "import sys, trainer.commands.work, trainer.job, trainer.reconciling;"
        "print(sorted({'torch', 'cv2', 'numpy', 'safetensors'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=WAIT_S)
    assert said.stdout == "[]\n"
