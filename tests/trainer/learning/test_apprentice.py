"""Which earlier challenger a run goes on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from model.store import Champion
from trainer.learning.apprentice import apprentice
from trainer.learning.files import write_json

CHAMPION = Champion("recaption-1", 3, None, 5, "2026-11-24T10:00:00+00:00", "run x")


def report(**changes: Any) -> dict[str, Any]:
    comparison = {"difference": 0.3, "high": 0.9} | changes.pop("comparison", {})
    gate = {"decides": "benchmark", "warnings": 0, "benchmark": {"comparison": comparison}} | changes.pop("gate", {})
    return {"event": "rejection", "champion": "recaption-1", "epoch": 3, "gate": gate, **changes}


def past(runs: Path, name: str, content: dict[str, Any] | None, *, kept: bool = True) -> None:
    (runs / name / ("challenger" if kept else "evidence")).mkdir(parents=True)
    if content is not None:
        write_json(runs / name / "report.json", content)


def test_the_last_challenger_that_was_not_surely_worse(tmp_path: Path) -> None:
    past(tmp_path, "1", report())
    past(tmp_path, "2", report(comparison={"difference": -0.2}))
    assert apprentice(tmp_path, CHAMPION) == "2"


@pytest.mark.parametrize("event", ["superseded", "nothing-to-learn"])
def test_a_run_that_decided_nothing_is_passed_over(tmp_path: Path, event: str) -> None:
    past(tmp_path, "1", report())
    past(tmp_path, "2", {"event": event}, kept=False)
    past(tmp_path, "3", None)
    assert apprentice(tmp_path, CHAMPION) == "1"


@pytest.mark.parametrize(
    "changes",
    [
        {"event": "promotion"},
        {"event": "refused"},
        {"event": "failure"},
        {"champion": "recaption-0"},
        {"epoch": 2},
        {"comparison": {"difference": -2.0, "high": -0.1}},
        {"gate": {"warnings": 1}},
        {"gate": {"decides": None, "warnings": 0}},
    ],
)
def test_after_anything_else_it_begins_at_the_champion(tmp_path: Path, changes: dict[str, Any]) -> None:
    past(tmp_path, "1", report())
    past(tmp_path, "2", report(**changes))
    assert apprentice(tmp_path, CHAMPION) is None


def test_without_its_weights_or_without_runs_it_begins_at_the_champion(tmp_path: Path) -> None:
    assert apprentice(tmp_path, CHAMPION) is None
    past(tmp_path, "1", report(), kept=False)
    assert apprentice(tmp_path, CHAMPION) is None
