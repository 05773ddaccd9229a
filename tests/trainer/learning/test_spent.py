"""Which challengers `prune` removes: those of ended runs, but for the latest of each project."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from model.pruning import DAY_S
from trainer.learning.spent import spent


def run(runs: Path, project: str, name: str, *, ended: bool = True, days: float = 40) -> Path:
    """A run's challenger."""
    folder = runs / project / name / "challenger"
    folder.mkdir(parents=True)
    (folder / "decoder.safetensors").write_bytes(b"x" * 100)
    if ended:
        (folder.parent / "report.json").write_text("{}")
    os.utime(folder, (time.time() - days * DAY_S,) * 2)
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def test_the_latest_of_each_project_stays(runs: Path) -> None:
    first, second, _ = (run(runs, "7", f"2026010{day}T000000Z-0000") for day in (1, 2, 3))
    run(runs, "8", "20260101T000000Z-0000")
    (runs / "7" / "progress.json").write_text("{}")
    assert spent(runs, 30 * DAY_S) == [first, second]


def test_what_is_young_and_what_has_not_ended_stays(runs: Path) -> None:
    run(runs, "7", "20260101T000000Z-0000", days=1)
    run(runs, "7", "20260102T000000Z-0000", ended=False)
    old = run(runs, "7", "20260103T000000Z-0000")
    run(runs, "7", "20260104T000000Z-0000")
    assert spent(runs, 30 * DAY_S) == [old]


def test_a_run_after_it_that_made_none_does_not_cost_the_latest_one(runs: Path) -> None:
    run(runs, "7", "20260101T000000Z-0000")
    nothing = runs / "7" / "20260102T000000Z-0000"
    nothing.mkdir()
    (nothing / "report.json").write_text('{"event": "nothing-to-learn"}')
    assert spent(runs, 30 * DAY_S) == []


def test_a_store_without_trainings_has_none(runs: Path) -> None:
    assert spent(runs, 30 * DAY_S) == []
