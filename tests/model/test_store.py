from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model.checkpoint import CheckpointError
from model.store import Store, StoreError
from tests.checkpoints import tiny_checkpoint


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def version(store: Store, tmp_path: Path) -> str:
    return store.publish(tiny_checkpoint(tmp_path / "first", 0))


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
    history = [json.loads(line) for line in (store.root / "history.jsonl").read_text().splitlines()]
    assert [(line["version"], line["reason"]) for line in history] == [
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
    with pytest.raises(StoreError, match="champion of 'default' is at epoch 1, not None: it moved meanwhile"):
        store.promote(version, expect_epoch=None, by="two", reason="late")


def test_a_stale_token_is_refused(store: Store, version: str) -> None:
    store.promote(version, expect_epoch=None, by="new", reason="first", fence=9)
    with pytest.raises(StoreError, match="fencing token 8 is older than 9"):
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


RACE = """
import sys
from pathlib import Path
from model.store import Store, StoreError

store, version, wins = Store(Path(sys.argv[1])), sys.argv[2], 0
for _ in range(40):
    seen = store.champion()
    try:
        store.promote(version, expect_epoch=seen.epoch if seen else None, by=sys.argv[3], reason="race")
        wins += 1
    except StoreError:
        pass
print(wins)
"""


def test_two_processes_racing_never_both_win(store: Store, version: str) -> None:
    root = Path(__file__).parents[2]
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(store.root), version, name], cwd=root, stdout=subprocess.PIPE, text=True
        )
        for name in ("one", "two")
    ]
    wins = sum(int(racer.communicate(timeout=120)[0]) for racer in racers)
    champion = store.champion()
    assert champion is not None and champion.epoch == wins >= 40
    epochs = [json.loads(line)["epoch"] for line in (store.root / "history.jsonl").read_text().splitlines()]
    assert epochs == list(range(1, wins + 1))


def test_a_version_left_half_copied_is_not_one(store: Store, version: str) -> None:
    shutil.copytree(store.folder(version), store.root / "versions" / ".recaption-1.77.stage")
    assert store.versions() == [version]
