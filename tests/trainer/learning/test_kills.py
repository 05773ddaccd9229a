"""A training killed anywhere ends as if it had not been, and nothing is done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.house.project import ROOT
from tests.labeling.servers import Asked, Reply, Server, serving
from tests.trainer.learning.killing import PLACES
from tests.trainer.learning.world import PROJECT, StandIn, World
from trainer.learning.begin import Start
from trainer.learning.files import write_json
from trainer.learning.recipe import Recipe
from trainer.learning.run import Wishes, learn
from trainer.learning.stopping import Signals

RUN = "20260101T000000Z-0000"
COUNT = 12
SETTINGS: dict[str, Any] = {"finetune_epochs": 8, "gate_level": 0.49, "gate_images": 2}


class Killer:
    """Runs the command in a process of its own that is killed at a place, or sent a signal by the test."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, place: str | None, environment: dict[str, str]) -> int:
        """The number of the process that runs the command."""
        assert self._process.stdin is not None
        asked = {"place": place, "environment": environment, "project": str(PROJECT)}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def wait(self) -> int:
        """Its exit code, or minus the signal that ended it."""
        return self._answer()

    def _answer(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def stop(self, world: World, when: Callable[[], bool], number: signal.Signals) -> int:
        """Send a signal once `when` says so; the exit code."""
        pid = self.start(None, world.environment())
        deadline = time.monotonic() + 120
        while not when():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.kill(pid, number)
        return self.wait()


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    command = [sys.executable, "-m", "tests.trainer.learning.killing"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        yield Killer(process)
        assert process.stdin is not None
        process.stdin.close()


def begun(folder: Path, untrained: Path, server: Server, studio: StandIn, squares: Path, **changes: Any) -> World:
    """A world with a run that has just begun, its seed known."""
    studio.correct(COUNT)
    world = World(folder, untrained, server, studio, squares)
    world.values |= SETTINGS | changes
    start = Start(RUN, str(PROJECT), world.champion, None, 7, "", Recipe.of(world.settings()))
    write_json(world.runs / RUN / "run.json", asdict(start))
    return world


def train(world: World) -> dict[str, Any]:
    with Signals() as signals:
        return learn(world.settings(), PROJECT, Wishes(), signals)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, untrained: Path, squares: Path) -> dict[str, Any]:
    studio = StandIn()
    with serving(studio.answer) as server:
        return train(begun(tmp_path_factory.mktemp("undisturbed"), untrained, server, studio, squares))


@pytest.mark.parametrize("place", PLACES)
def test_killed_anywhere_it_ends_as_if_it_had_not_been(
    place: str,
    killer: Killer,
    undisturbed: dict[str, Any],
    tmp_path: Path,
    untrained: Path,
    squares: Path,
) -> None:
    studio = StandIn()
    with serving(studio.answer) as server:
        world = begun(tmp_path, untrained, server, studio, squares)
        killer.start(place, world.environment())
        assert killer.wait() == -signal.SIGKILL
        assert not (world.runs / RUN / "report.json").exists()
        report = train(world)
    assert report["event"] == undisturbed["event"] == "promotion"
    for name in ("run", "challenger", "gate", "corrections", "watermark", "grown"):
        assert report[name] == undisturbed[name], name
    events = world.events()
    assert events == ["promotion"] + ["figures"] * (place == "between pointer and history")
    assert world.store.history(str(PROJECT))[-1]["watermark"] == undisturbed["watermark"]
    assert len(studio.fetched) <= COUNT + 4, "only what was on its way when it was killed is fetched again"


def test_sigterm_while_pictures_come_stops_at_once_and_goes_on(
    killer: Killer, tmp_path: Path, untrained: Path, squares: Path, undisturbed: dict[str, Any]
) -> None:
    studio = StandIn()
    last = f"/data/upload/{PROJECT}/{COUNT}.png"

    def slow(asked: Asked) -> Reply:
        if asked.path == last:
            time.sleep(1.0)
        return studio.answer(asked)

    with serving(studio.answer) as server:
        world = begun(tmp_path, untrained, server, studio, squares)
        server.answer = slow
        assert killer.stop(world, lambda: last in server.paths(), signal.SIGTERM) == os.EX_TEMPFAIL
        assert not (world.runs / RUN / "harvest.json").exists()
        report = train(world)
    assert report["challenger"] == undisturbed["challenger"] and world.events() == ["promotion"]


def test_ctrl_c_in_the_fine_tuning_loses_no_step(
    killer: Killer, tmp_path: Path, untrained: Path, squares: Path
) -> None:
    studio = StandIn()
    with serving(studio.answer) as server:
        world = begun(tmp_path, untrained, server, studio, squares, finetune_epochs=24)
        tuning = world.runs / RUN / "finetune"
        journal = tuning / "metrics.jsonl"
        enough = lambda: journal.exists() and '"epoch"' in journal.read_text()  # noqa: E731
        assert killer.stop(world, enough, signal.SIGINT) == os.EX_TEMPFAIL
        assert (tuning / "state.pt").exists() and not (world.runs / RUN / "finetune.json").exists()
        before = steps(journal)
        report = train(world)
    assert report["run"] == RUN and steps(journal)[: len(before)] == before and len(steps(journal)) > len(before)


def steps(journal: Path) -> list[dict[str, Any]]:
    """The steps that the journal tells of, each once."""
    lines = map(json.loads, journal.read_text().splitlines())
    return [{k: line[k] for k in ("step", "loss")} for line in lines if line["event"] == "step"]
