"""The command behind `make run`, for real: what it prints, that a caption arrives, and that nothing outlives it."""

import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from labeling.session import LabelStudio
from settings import environment
from tests.e2e.conftest import Studio
from trainer.valkey import EmbeddedValkey

READY = "Ctrl-C stops everything"
START_S = 120.0
STOP_S = 30.0
# What is promised for a start that is not the first.
SECOND_START_S = 30.0


@dataclass(frozen=True)
class Run:
    """A running `python -m backend run`, ready, and what it has printed."""

    process: subprocess.Popen[str]
    printed: str
    project_url: str

    @property
    def studio_url(self) -> str:
        return self.project_url.partition("/projects/")[0]

    @property
    def project(self) -> int:
        return int(self.project_url.split("/")[-2])


@contextmanager
def running(folder: Path, model_dir: Path, *options: str) -> Iterator[Run]:
    """The command on free ports with its data in `folder`, from its start until it is ready; killed at the end."""
    values = {"DATA_DIR": str(folder), "MODEL_DIR": str(model_dir), "PORT": "0"}
    command = [sys.executable, "-m", "backend", "run", "--label-studio-port", "0", *options]
    process = subprocess.Popen(
        command, env=environment(values), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=1
    )
    try:
        printed = _until_ready(process)
        url = re.search(r"http://\S+/projects/\d+/data", printed)
        assert url, printed
        yield Run(process, printed, url[0])
    finally:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def _until_ready(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if READY in line:
            return "".join(lines)
    raise AssertionError("it ended before it was ready:\n" + "".join(lines))


def descendants(pid: int) -> set[int]:
    """Every process below this one, as the kernel lists them."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (entry / "stat").exists():
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found: set[int] = set()
    while new := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= new
    return found


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path("/proc", str(pid)).exists()}


def wait_until_gone(pids: set[int]) -> None:
    deadline = time.monotonic() + STOP_S
    while alive(pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert alive(pids) == set()


def first_caption(run: Run, folder: Path) -> str:
    """Open the project's first task as the API does; the caption that Label Studio gets for it."""
    session = LabelStudio(run.studio_url, (folder / "label-studio" / "access-token").read_text(), timeout=30)
    task = session.get("/api/tasks", {"project": run.project, "page_size": 1})["tasks"][0]
    # Both may have been quick: Label Studio, which asks for it, and the backend, which stores one for every task.
    predictions = session.get(f"/api/tasks/{task['id']}/")["predictions"]
    (text,) = {text for one in predictions for text in one["result"][0]["value"]["text"]}
    return str(text)


def advised(run: Run, values: dict[str, str]) -> str:
    """What the check says that the printed text advises to type."""
    (line,) = re.findall(r"^ +(PORT=.* doctor .*)$", run.printed, re.M)
    line = line.replace(".venv/bin/python", shlex.quote(sys.executable))
    done = subprocess.run(
        line, shell=True, env=environment(values), text=True, capture_output=True, timeout=START_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path, studio: Studio) -> Path:
    """A data folder in which Label Studio has been started before."""
    shutil.copytree(studio.fresh, tmp_path / "label-studio")
    return tmp_path


@pytest.fixture
def album(tmp_path: Path, photos: dict[str, Path]) -> Path:
    """A folder of two photos, one of them there twice, and of what is no photo."""
    album = tmp_path / "My album"
    (album / "inner").mkdir(parents=True)
    shutil.copy(photos["coffee.png"], album / "one.png")
    shutil.copy(photos["coffee.png"], album / "inner" / "the same again.png")
    shutil.copy(photos["rocket.jpg"], album / "inner" / "ünïcode 100%.jpg")
    (album / "notes.txt").write_text("no picture")
    return album


def test_it_leads_to_a_caption_and_nothing_outlives_it(folder: Path, model_dir: Path, album: Path) -> None:
    with running(folder, model_dir, "--photos", str(album)) as first:
        assert "annotator@example.com" in first.printed and "Tab; Ctrl+Enter" in first.printed
        assert "2 new photos imported" in first.printed
        assert first_caption(first, folder)
        assert "connected" in advised(first, {"DATA_DIR": str(folder), "MODEL_DIR": str(model_dir)})
        started = descendants(first.process.pid)
        assert len(started) >= 3, "Label Studio, the backend and the queue server"
        first.process.send_signal(signal.SIGINT)
        assert first.process.wait(STOP_S) == 0
        wait_until_gone(started)

    begun = time.monotonic()
    with running(folder, model_dir, "--photos", str(album)) as second:
        assert first_caption(second, folder)
        seconds = time.monotonic() - begun
        assert seconds < SECOND_START_S, f"{seconds:.0f} s to a first caption"
        assert (second.project, "imported" in second.printed) == (first.project, False)
        started, queue = descendants(second.process.pid), queue_servers(second.process.pid)
        second.process.kill()
        second.process.wait()
        wait_until_gone(started - queue)
        adopt_and_stop(folder / "valkey")
        wait_until_gone(queue)


def queue_servers(pid: int) -> set[int]:
    """The embedded queue server outlives a kill on purpose: the next start adopts it with all that it holds."""
    return {
        child for child in descendants(pid) if b"valkey-server" in Path("/proc", str(child), "cmdline").read_bytes()
    }


def adopt_and_stop(folder: Path) -> None:
    server = EmbeddedValkey(folder)
    server.start()
    server.stop()


def test_a_label_studio_that_runs_already_is_used(studio: Studio, model_dir: Path, tmp_path: Path) -> None:
    values = {"LABEL_STUDIO_URL": studio.session.url, "LABEL_STUDIO_API_KEY": studio.token}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        with running(tmp_path, model_dir) as run:
            assert "6 new photos imported" in run.printed
            assert run.studio_url == studio.session.url
            assert "password" not in run.printed
            assert not (tmp_path / "label-studio").exists()
            (backend,) = studio.session.get("/api/ml/", {"project": run.project})
            assert backend["state"] == "CO"
            webhooks = studio.session.get("/api/webhooks/", {"project": run.project})
            assert [webhook["url"] for webhook in webhooks] == [f"{backend['url']}/webhook"]
            run.process.send_signal(signal.SIGTERM)
            assert run.process.wait(STOP_S) == 0


def refused(values: dict[str, str], *options: str) -> str:
    """What the command says when it cannot start; it must be one plain error and exit code 2."""
    command = [sys.executable, "-m", "backend", "run", *options]
    done = subprocess.run(command, env=environment(values), text=True, capture_output=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("Error: ")
    return done.stderr


def test_a_busy_port_is_named_with_the_way_out(studio: Studio, tmp_path: Path) -> None:
    busy = studio.session.url.rpartition(":")[2]
    said = refused({"DATA_DIR": str(tmp_path), "PORT": "0"}, "--label-studio-port", busy)
    assert f"Port {busy}" in said and f"make run LABEL_STUDIO_PORT={int(busy) + 1}" in said
    said = refused({"DATA_DIR": str(tmp_path), "PORT": busy}, "--label-studio-port", "0")
    assert f"Port {busy}" in said and f"make run PORT={int(busy) + 1}" in said


def test_a_wrong_token_is_named_and_never_printed(studio: Studio, tmp_path: Path) -> None:
    values = {"DATA_DIR": str(tmp_path), "PORT": "0", "LABEL_STUDIO_URL": studio.session.url}
    assert "LABEL_STUDIO_API_KEY" in refused(values)
    said = refused({**values, "LABEL_STUDIO_API_KEY": "0123456789abcdef"})
    assert "LABEL_STUDIO_API_KEY" in said
    assert "0123456789abcdef" not in said


def test_photos_that_are_not_there_cost_no_start(tmp_path: Path) -> None:
    values = {"DATA_DIR": str(tmp_path), "PORT": "0"}
    said = refused(values, "--label-studio-port", "0", "--photos", str(tmp_path / "nowhere"))
    assert "not a folder" in said and "make run PHOTOS=" in said
    (tmp_path / "empty").mkdir()
    assert ".jpg" in refused(values, "--label-studio-port", "0", "--photos", str(tmp_path / "empty"))
    assert not (tmp_path / "label-studio").exists()
