"""One run at a time, and which one."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from model.store import Champion
from settings import load
from tests.house.project import ROOT
from trainer.learning.begin import Busy, Start, alone, begin, unfinished
from trainer.learning.files import read_json, write_json
from trainer.learning.recipe import Recipe

CHAMPION = Champion("recaption-a", 3, None, 5, "2026-01-02T03:04:05+00:00", "test")


@pytest.fixture
def recipe() -> Recipe:
    return Recipe.of(load())


def start(folder: Path, recipe: Recipe, champion: Champion = CHAMPION, batch: int | None = None) -> Start:
    folder.mkdir(exist_ok=True)
    return begin(folder, 7, champion, champion.epoch, recipe, batch=batch)


def test_a_new_run_writes_down_what_it_is_made_of(tmp_path: Path, recipe: Recipe) -> None:
    run = start(tmp_path / "7", recipe)
    assert (run.project, run.champion, run.epoch, run.recipe) == ("7", "recaption-a", 3, recipe)
    facts = read_json(tmp_path / "7" / run.run / "run.json")
    assert facts is not None and facts["recipe"]["batch"] == 32 and facts["seed"] == run.seed >= 0


def test_an_unfinished_run_goes_on(tmp_path: Path, recipe: Recipe) -> None:
    run = start(tmp_path / "7", recipe)
    assert start(tmp_path / "7", recipe) == run


def test_a_finished_run_does_not(tmp_path: Path, recipe: Recipe) -> None:
    run = start(tmp_path / "7", recipe)
    write_json(tmp_path / "7" / run.run / "report.json", {})
    assert start(tmp_path / "7", recipe).run != run.run


@pytest.mark.parametrize(
    ("champion", "says"),
    [
        (replace(CHAMPION, version="recaption-b", epoch=4), "the champion is recaption-b now, and was recaption-a"),
        (replace(CHAMPION, epoch=4), "the champion is recaption-a now"),
    ],
)
def test_a_run_against_a_champion_of_the_past_is_superseded(
    tmp_path: Path, recipe: Recipe, champion: Champion, says: str
) -> None:
    run = start(tmp_path / "7", recipe)
    state = tmp_path / "7" / run.run / "finetune" / "state.pt"
    write_json(state, {})
    later = start(tmp_path / "7", recipe, champion)
    assert not state.exists()
    assert later.run != run.run and later.champion == champion.version
    report = read_json(tmp_path / "7" / run.run / "report.json")
    assert report is not None and report["event"] == "superseded" and says in report["reason"]


def test_a_run_that_was_promoted_and_could_not_say_so_goes_on(tmp_path: Path, recipe: Recipe) -> None:
    run = start(tmp_path / "7", recipe)
    promoted = replace(CHAMPION, version="recaption-b", epoch=4, by=run.by)
    assert start(tmp_path / "7", recipe, promoted) == run


def test_other_settings_supersede_it_and_are_named(tmp_path: Path, recipe: Recipe) -> None:
    run = start(tmp_path / "7", recipe)
    start(tmp_path / "7", replace(recipe, gate="domain", epochs=9))
    report = read_json(tmp_path / "7" / run.run / "report.json")
    assert report is not None and report["reason"].endswith("settings have changed since this run began: epochs, gate")


def test_a_smaller_batch_goes_on_with_the_same_run_and_stays(tmp_path: Path, recipe: Recipe) -> None:
    run = start(tmp_path / "7", recipe)
    halved = start(tmp_path / "7", recipe, batch=16)
    assert (halved.run, halved.recipe.batch) == (run.run, 16)
    assert start(tmp_path / "7", recipe).recipe.batch == 16


def test_only_the_latest_of_several_goes_on(tmp_path: Path, recipe: Recipe) -> None:
    first = start(tmp_path / "7", recipe)
    older = tmp_path / "7" / "20200101T000000Z-0000"
    write_json(older / "run.json", read_json(tmp_path / "7" / first.run / "run.json") or {})
    assert start(tmp_path / "7", recipe) == first
    assert [path.name for path in unfinished(tmp_path / "7")] == [first.run]


def test_a_run_killed_before_its_first_file_is_swept(tmp_path: Path, recipe: Recipe) -> None:
    empty = tmp_path / "7" / "20260101T000000Z-0000"
    empty.mkdir(parents=True)
    start(tmp_path / "7", recipe)
    assert not empty.exists()


HOLD = """
import sys, time
from pathlib import Path
from trainer.learning.begin import alone

with alone(Path(sys.argv[1]), 7):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_trainings_of_a_project_are_never_at_work_at_once(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    with holder, holder.stdout:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Busy, match=f"project 7 is at work already .process {holder.pid}."), alone(tmp_path, 7):
            pass
        began = time.monotonic()
        with pytest.raises(Busy), alone(tmp_path, 7, wait_s=0.5):
            pass
        assert time.monotonic() - began >= 0.5
        holder.kill()
        with alone(tmp_path, 7, wait_s=20):  # the kernel lets go of a dead process's lock
            assert (tmp_path / "lock").read_text().strip() != str(holder.pid)
