from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from trainer.learning import progress as progress_module
from trainer.learning.files import read_rows
from trainer.learning.progress import Reporter


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def shown(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder.parent / "progress.json").read_text())
    return found


def test_a_stage_is_told_at_once_and_figures_once_a_second(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    reporter = Reporter(folder.parent / "progress.json", folder)
    with reporter.stage("finetune"):
        assert (shown(folder)["stage"], shown(folder)["step"]) == ("finetune", None)
        clock[0] += 0.9
        reporter.say(step=1, steps=10, loss=3.0)
        assert shown(folder)["step"] is None
        clock[0] += 1.1
        reporter.say(step=2, steps=10, loss=2.5)
        assert {name: shown(folder)[name] for name in ("run", "step", "steps", "loss", "eta_s")} == {
            "run": "run",
            "step": 2,
            "steps": 10,
            "loss": 2.5,
            "eta_s": 8.0,
        }
    assert [row["event"] for row in read_rows(folder / "metrics.jsonl")] == ["stage", "step"]


def test_a_loss_that_is_no_number_is_null(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "EVERY_S", 0.0)
    reporter = Reporter(folder.parent / "progress.json", folder)
    reporter.say(step=1, steps=2, loss=float("nan"))
    assert "NaN" not in (folder.parent / "progress.json").read_text() and shown(folder)["loss"] is None


def test_the_last_bleu_stays_and_the_end_is_told(folder: Path) -> None:
    reporter = Reporter(folder.parent / "progress.json", folder)
    reporter.say(bleu4=21.5)
    reporter.ended("promotion")
    assert (shown(folder)["stage"], shown(folder)["event"], shown(folder)["bleu4"]) == ("done", "promotion", 21.5)


def test_seconds_add_up_over_processes_and_failures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), Reporter(folder.parent / "progress.json", folder).stage("gather"):
            clock[0] += 2.0
            raise KeyboardInterrupt
    assert Reporter(folder.parent / "progress.json", folder).seconds == {"gather": 4.0}
