from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from model.checkpoint import CheckpointError
from model.store import Moved, StaleTrainer, Store, StoreError
from tests.checkpoints import tiny_checkpoint
from tests.house.project import ROOT


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def version(store: Store, tmp_path: Path) -> str:
    return store.publish(tiny_checkpoint(tmp_path / "first", 0))


@pytest.fixture
def other(store: Store, tmp_path: Path) -> str:
    return store.publish(tiny_checkpoint(tmp_path / "other", 1))


def test_an_empty_store_has_no_champion(store: Store) -> None:
    assert store.champion() is None and store.versions() == []


def test_a_published_version_is_the_checkpoint(store: Store, version: str, tmp_path: Path) -> None:
    published = store.folder(version)
    assert {path.name for path in published.iterdir()} == {path.name for path in (tmp_path / "first").iterdir()}
    assert store.publish(tmp_path / "first") == version and store.versions() == [version]


def test_a_torn_checkpoint_is_not_published(store: Store, tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "torn")
    (folder / "decoder.safetensors").write_bytes(b"torn")
    with pytest.raises(CheckpointError, match=r"decoder\.safetensors is not the file"):
        store.publish(folder)
    assert store.versions() == []


def test_promotion_moves_the_pointer_and_is_remembered(store: Store, version: str, tmp_path: Path) -> None:
    first = store.promote(version, expect_epoch=None, by="test", reason="first start")
    second_version = store.publish(tiny_checkpoint(tmp_path / "second", 1))
    second = store.promote(second_version, expect_epoch=first.epoch, by="test", reason="better")
    assert store.champion() == second and (second.epoch, second.previous) == (2, version)
    assert [(line["version"], line["reason"]) for line in store.history()] == [
        (version, "first start"),
        (second_version, "better"),
    ]


def test_a_project_without_its_own_champion_is_served_by_default(store: Store, version: str, tmp_path: Path) -> None:
    default = store.promote(version, expect_epoch=None, by="test", reason="start")
    assert store.champion("7") == default
    own = store.publish(tiny_checkpoint(tmp_path / "own", 1))
    store.promote(own, "7", expect_epoch=None, by="test", reason="its own corrections")
    seven, eight = store.champion("7"), store.champion("8")
    assert seven is not None and seven.version == own
    assert eight == default


def test_who_comes_second_is_told(store: Store, version: str) -> None:
    store.promote(version, expect_epoch=None, by="one", reason="first")
    with pytest.raises(Moved, match="champion of 'default' is at epoch 1, not None: it moved meanwhile"):
        store.promote(version, expect_epoch=None, by="two", reason="late")


def test_a_stale_token_is_refused(store: Store, version: str) -> None:
    store.promote(version, expect_epoch=None, by="new", reason="first", fence=9)
    with pytest.raises(StaleTrainer, match="fencing token 8 is older than 9"):
        store.promote(version, expect_epoch=1, by="old", reason="late", fence=8)


@pytest.mark.parametrize("name", ["../../etc", "", "a/b", ".hidden", "x" * 65, "a b"])
def test_names_cannot_leave_the_store(store: Store, version: str, name: str) -> None:
    for attempt in (lambda: store.folder(name), lambda: store.champion(name)):
        with pytest.raises(StoreError, match="is no name for a version or project"):
            attempt()


def test_an_unpublished_version_cannot_be_promoted(store: Store, version: str) -> None:
    with pytest.raises(StoreError, match=f"no version 'recaption-0'.*it holds: {version}"):
        store.promote("recaption-0", expect_epoch=None, by="test", reason="typo")


def test_a_torn_pointer_is_named(store: Store, version: str) -> None:
    (store.root / "refs").mkdir()
    (store.root / "refs" / "default.json").write_text("{")
    with pytest.raises(StoreError, match=r"default\.json is not a champion pointer"):
        store.champion()


def test_a_version_left_half_copied_is_not_one(store: Store, version: str) -> None:
    shutil.copytree(store.folder(version), store.root / "versions" / ".recaption-1.77.stage")
    assert store.versions() == [version]


def test_pointers_are_read_without_waiting_for_torch() -> None:
    code = "import sys, model.store; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_a_training_is_stale_once_another_one_began(store: Store, version: str) -> None:
    older, newer = store.take_fence("7"), store.take_fence("7")
    with pytest.raises(StaleTrainer, match=f"fencing token {older} is older than {newer}, the newest of '7'"):
        store.promote(version, "7", expect_epoch=None, by="older", reason="late", fence=older)
    assert store.own_champion("7") is None and store.history() == []
    assert store.promote(version, "7", expect_epoch=None, by="newer", reason="better", fence=newer).fence == newer


def test_a_training_is_stale_once_a_person_promoted_or_rolled_back(store: Store, version: str, other: str) -> None:
    for step in ("promote", "roll back"):
        fence, own = store.take_fence("7"), store.own_champion("7")
        epoch = own.epoch if own else None
        if step == "promote":
            store.promote(version, "7", expect_epoch=epoch, by="ann", reason="by hand")
            store.promote(other, "7", expect_epoch=1, by="ann", reason="by hand")
        else:
            store.rollback("7", by="ann", reason="worse captions")
        moved = store.own_champion("7")
        assert moved is not None and moved.fence > fence
        with pytest.raises(StaleTrainer):
            store.promote(other, "7", expect_epoch=moved.epoch, by="trainer", reason="late", fence=fence)


def test_a_person_who_comes_second_makes_no_training_stale(store: Store, version: str) -> None:
    store.promote(version, "7", expect_epoch=None, by="ann", reason="first")
    fence = store.take_fence("7")
    with pytest.raises(Moved):
        store.promote(version, "7", expect_epoch=None, by="ben", reason="late")
    assert store.promote(version, "7", expect_epoch=1, by="trainer", reason="better", fence=fence).epoch == 2


def test_tokens_grow_for_each_project_by_itself_and_above_those_that_moved_the_pointer(
    store: Store, version: str
) -> None:
    assert [store.take_fence("7"), store.take_fence("7"), store.take_fence("8")] == [1, 2, 1]
    store.promote(version, "7", expect_epoch=None, by="test", reason="first", fence=9)
    assert Store(store.root).take_fence("7") == 10


def test_a_call_repeated_after_a_crash_moves_nothing(store: Store, version: str, other: str) -> None:
    fence = store.take_fence("7")
    first = store.promote(version, "7", expect_epoch=None, by="run-1", reason="better", fence=fence)
    store.take_fence("7")  # of the run that went on after the crash
    assert store.promote(version, "7", expect_epoch=None, by="run-1", reason="better", fence=fence) == first
    assert len(store.history("7")) == 1
    with pytest.raises(StaleTrainer):
        store.promote(other, "7", expect_epoch=1, by="run-1", reason="another version", fence=fence)


def test_going_back_is_a_promotion_of_the_previous_version_and_twice_goes_forth(
    store: Store, version: str, other: str
) -> None:
    store.promote(version, "7", expect_epoch=None, by="test", reason="first")
    store.promote(other, "7", expect_epoch=1, by="test", reason="better")
    back = store.rollback("7", by="ann", reason="worse captions")
    assert (back.version, back.epoch, back.previous, back.by) == (version, 3, other, "ann")
    forth = store.rollback("7", by="ann", reason="no, better")
    assert (forth.version, forth.epoch, forth.previous) == (other, 4, version)
    assert store.champion("7") == forth
    events = [(line["event"], line["reason"], line["version"]) for line in store.history("7")]
    assert events[2:] == [("rollback", "worse captions", version), ("rollback", "no, better", other)]


def test_the_first_own_champion_can_be_rolled_back_to_what_default_served(
    store: Store, version: str, other: str
) -> None:
    store.promote(version, expect_epoch=None, by="test", reason="start")
    own = store.promote(other, "7", expect_epoch=None, by="test", reason="its own corrections")
    assert (own.epoch, own.previous) == (1, version)
    assert store.rollback("7", by="ann", reason="worse captions").version == version
    default = store.own_champion("default")
    assert default is not None and default.epoch == 1


def test_the_same_version_promoted_again_keeps_the_way_back(store: Store, version: str, other: str) -> None:
    store.promote(version, expect_epoch=None, by="test", reason="start")
    store.promote(other, expect_epoch=1, by="test", reason="better")
    assert store.promote(other, expect_epoch=2, by="ann", reason="by hand, too").previous == version


def test_without_a_version_before_there_is_no_way_back(store: Store, version: str) -> None:
    store.promote(version, expect_epoch=None, by="test", reason="start")
    with pytest.raises(StoreError, match=f"nothing served 'default' before {version}; promote another version"):
        store.rollback("default", by="ann", reason="worse captions")
    with pytest.raises(StoreError, match="'7' has no champion of its own to roll back; with one: default"):
        store.rollback("7", by="ann", reason="worse captions")


def test_a_version_that_is_gone_is_not_rolled_back_to(store: Store, version: str, other: str) -> None:
    store.promote(version, expect_epoch=None, by="test", reason="start")
    champion = store.promote(other, expect_epoch=1, by="test", reason="better")
    shutil.rmtree(store.folder(version))
    with pytest.raises(StoreError, match=f"no version '{version}'"):
        store.rollback("default", by="ann", reason="worse captions")
    assert store.champion() == champion


def test_what_moved_nothing_is_remembered_with_the_champion_that_stays(store: Store, version: str, other: str) -> None:
    store.record("failure", "7", by="run-0", reason="no version yet")
    default = store.promote(version, expect_epoch=None, by="test", reason="start")
    store.record("rejection", "7", by="run-1", reason="no better", figures={"bleu4": 21.5})
    store.record("quarantine", "7", by="backend", reason="cannot be loaded", figures={"version": other})
    failure, rejection, quarantine = store.history("7")
    assert (failure["version"], failure["epoch"], failure["by"]) == (None, None, "run-0")
    assert rejection | asdict(default) | {"by": "run-1", "at": rejection["at"]} == rejection
    assert (rejection["event"], rejection["reason"], rejection["bleu4"]) == ("rejection", "no better", 21.5)
    assert (quarantine["version"], quarantine["epoch"]) == (other, default.epoch)
    assert store.own_champion("7") is None


def test_a_record_cannot_claim_a_promotion(store: Store) -> None:
    with pytest.raises(StoreError, match="a promotion is recorded by the move itself"):
        store.record("promotion", "7", by="test", reason="not true")


@pytest.mark.parametrize(("figures", "error"), [({"epoch": 9}, ValueError), ({"bleu4": object()}, TypeError)])
def test_figures_that_do_not_fit_are_found_out_before_anything_moves(
    store: Store, version: str, figures: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        store.promote(version, expect_epoch=None, by="test", reason="first", figures=figures)
    assert store.champion() is None and store.history() == []


def test_all_pointers_are_listed_by_project(store: Store, version: str, other: str) -> None:
    assert store.refs() == {}
    default = store.promote(version, expect_epoch=None, by="test", reason="start")
    seven = store.promote(other, "7", expect_epoch=None, by="test", reason="its own corrections")
    (store.root / "refs" / ".7.json.swp").write_text("what an editor leaves")
    (store.root / "refs" / ".8.json").write_text("{")
    assert store.refs() == {"default": default, "7": seven}


def test_a_torn_pointer_of_one_project_does_not_stop_another(store: Store, version: str) -> None:
    store.promote(version, "7", expect_epoch=None, by="test", reason="first")
    (store.root / "refs" / "7.json").write_text("{")
    assert store.promote(version, "8", expect_epoch=None, by="test", reason="first").epoch == 1
    with pytest.raises(StoreError, match=r"7\.json is not a champion pointer"):
        store.promote(version, "7", expect_epoch=1, by="test", reason="again")


def test_a_damaged_token_is_named_with_the_way_out(store: Store) -> None:
    store.take_fence("7")
    (store.root / "fences" / "7").write_text("one")
    with pytest.raises(StoreError, match=r"7 is not a fencing token.*stop every training of '7', then remove it"):
        store.take_fence("7")


def test_a_history_that_was_lost_begins_anew_with_the_pointers(store: Store, version: str) -> None:
    first = store.promote(version, expect_epoch=None, by="test", reason="start", figures={"bleu4": 22.2})
    (store.root / "history.jsonl").unlink()
    store.take_fence("7")
    (line,) = store.history()
    assert line == asdict(first) | {"event": "promotion", "project": "default", "reason": "recorded after a crash"}
