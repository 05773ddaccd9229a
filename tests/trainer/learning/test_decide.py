"""The decision against a real store: told once, in the right words, whoever else moves the pointer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model import history as history_module
from model.store import Store
from settings import load
from tests.checkpoints import tiny_checkpoint
from trainer.learning import decide as decisions
from trainer.learning.begin import Start
from trainer.learning.decide import Decision, decide
from trainer.learning.gate import Verdict
from trainer.learning.recipe import Recipe

YES = Verdict(True, "Better, by 1.50.", {})
FIGURES: dict[str, Any] = {"run": "one", "watermark": "2026-01-02", "champion": "x"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "models")
    version = store.publish(tiny_checkpoint(tmp_path / "champion", 0))
    store.promote(version, expect_epoch=None, by="test", reason="first")
    return store


@pytest.fixture
def challenger(tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path / "challenger", 1)


def started(store: Store, run: str = "one") -> Start:
    champion = store.champion("7")
    own = store.own_champion("7")
    assert champion is not None
    return Start(run, "7", champion.version, own.epoch if own else None, 1, "", Recipe.of(load()))


def go(store: Store, start: Start, challenger: Path, verdict: Verdict = YES, fence: int | None = None) -> Decision:
    return decide(store, start, store.take_fence("7") if fence is None else fence, challenger, verdict, FIGURES)


def history(store: Store) -> list[tuple[str, str]]:
    return [(line["event"], line["by"]) for line in store.history("7")]


def test_a_promotion_moves_the_projects_own_pointer_alone(store: Store, challenger: Path) -> None:
    before, start = store.champion(), started(store)
    decision = go(store, start, challenger)
    own = store.own_champion("7")
    assert own is not None and decision.champion == own and decision.event == "promotion"
    assert (own.epoch, own.previous, own.by) == (1, start.champion, "run one") and store.champion() == before
    [line] = store.history("7")
    assert (line["reason"], line["watermark"], line["run"]) == ("Better, by 1.50.", "2026-01-02", "one")


def test_a_rejection_is_recorded_and_publishes_nothing(store: Store, challenger: Path) -> None:
    versions = store.versions()
    decision = go(store, started(store), challenger, replace(YES, promote=False, reason="Not better."))
    assert (decision.event, decision.reason) == ("rejection", "Not better.")
    assert store.versions() == versions and store.own_champion("7") is None
    assert [(line["event"], line["watermark"]) for line in store.history("7")] == [("rejection", "2026-01-02")]


def test_a_lost_race_is_refused_and_told(store: Store, challenger: Path, tmp_path: Path) -> None:
    start, fence = started(store), store.take_fence("7")
    other = store.publish(tiny_checkpoint(tmp_path / "other", 2))
    store.promote(other, "7", expect_epoch=None, by="a person", reason="by hand")
    decision = go(store, start, challenger, fence=fence)
    assert decision.event == "refused" and f"champion is {other} now" in decision.reason
    assert decision.champion is not None and decision.champion.version == other
    assert history(store)[-1] == ("refused", "run one")


def test_a_pointer_that_moved_away_and_back_is_a_lost_race_too(store: Store, challenger: Path, tmp_path: Path) -> None:
    first = store.champion()
    assert first is not None
    store.promote(first.version, "7", expect_epoch=None, by="test", reason="its own")
    start = started(store)
    other = store.publish(tiny_checkpoint(tmp_path / "other", 2))
    store.promote(other, "7", expect_epoch=1, by="a person", reason="by hand")
    store.rollback("7", by="a person", reason="no")
    decision = go(store, start, challenger)
    assert decision.event == "refused" and "it moved meanwhile" in decision.reason


def test_another_champion_of_default_is_seen_where_the_project_has_none(
    store: Store, challenger: Path, tmp_path: Path
) -> None:
    start = started(store)
    other = store.publish(tiny_checkpoint(tmp_path / "other", 2))
    store.promote(other, expect_epoch=1, by="a person", reason="by hand")
    assert go(store, start, challenger).event == "refused" and store.own_champion("7") is None


def test_a_stale_training_is_refused(store: Store, challenger: Path) -> None:
    start, fence = started(store), store.take_fence("7")
    store.take_fence("7")
    decision = go(store, start, challenger, fence=fence)
    assert decision.event == "refused" and "fencing token" in decision.reason


@pytest.mark.parametrize("verdict", [YES, replace(YES, promote=False)])
def test_a_decision_repeated_after_a_kill_is_told_once(store: Store, challenger: Path, verdict: Verdict) -> None:
    start = started(store)
    first = go(store, start, challenger, verdict)
    again = go(store, start, challenger, verdict)
    assert (again.event, again.champion) == (first.event, first.champion) and len(store.history("7")) == 1


def test_a_kill_between_pointer_and_history_loses_no_figure(
    store: Store, challenger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store mends the line without what only the run knows, such as how far its corrections reach."""
    start = started(store)

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        fence = store.take_fence("7")
        patch.setattr(history_module, "append", killed)
        go(store, start, challenger, fence=fence)
    assert store.history("7") == []
    go(store, start, challenger)
    go(store, start, challenger)
    assert history(store) == [("promotion", "run one"), ("figures", "run one")]
    assert store.history("7")[-1]["watermark"] == "2026-01-02"


def test_the_manifest_of_a_challenger_says_where_it_comes_from(store: Store, challenger: Path) -> None:
    before = (challenger / "decoder.safetensors").read_bytes()
    decisions.state_facts(challenger, {"run": "one", "grown": ["fuß"]})
    version = store.publish(challenger)
    manifest = store_manifest(store, version)
    assert (manifest["run"], manifest["grown"]) == ("one", ["fuß"]) and version.endswith(manifest["id"])
    assert (store.folder(version) / "decoder.safetensors").read_bytes() == before


def store_manifest(store: Store, version: str) -> dict[str, Any]:
    from model.checkpoint import read_json

    return read_json(store.folder(version) / "manifest.json")
