"""SIGKILL at every change that the store makes to its files, and what the next process finds.

SIGKILL is a crash of the process. What a power cut adds, lost pages, is guarded by the order of the syncs alone; the
one trace of it that can be made here, a torn last line of the history, is in test_history.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from model import checkpoint as checkpoints
from model.checkpoint import check_files, read_json
from model.store import Champion, Store
from tests.checkpoints import tiny, tiny_checkpoint
from tests.house.project import ROOT
from tests.model.dying import BY, operate


@pytest.fixture
def template(tmp_path: Path) -> Store:
    """Project 7 at its second champion, with a token taken since."""
    store = Store(tmp_path / "template")
    first, second = (store.publish(tiny_checkpoint(tmp_path / str(seed), seed)) for seed in (0, 1))
    store.promote(first, "7", expect_epoch=None, by="test", reason="first")
    store.promote(second, "7", expect_epoch=1, by="test", reason="better")
    store.take_fence("7")
    return store


@pytest.fixture
def successor(tmp_path: Path) -> Path:
    """A checkpoint that shares the encoder of seed 0: a part of it is linked, a part is copied."""
    updated = tiny(0)
    with torch.no_grad():
        updated.decoder.bias.add_(0.1)
    return checkpoints.save(updated, tmp_path / "successor", {})


def killed_at_every_step(operation: str, template: Store, folder: Path, checkpoint: Path) -> list[Store]:
    """The stores that the dead left, by step; of the last one the operation lived."""
    command = [sys.executable, "-m", "tests.model.dying", operation, str(template.root), str(folder), str(checkpoint)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    return [Store(folder / str(step)) for step in range(1, int(done.stdout) + 1)]


def whole(store: Store) -> set[str]:
    """The versions, each checked against its manifest; CheckpointError if one is not whole."""
    for version in store.versions():
        check_files(store.folder(version), read_json(store.folder(version) / "manifest.json"))
    return set(store.versions())


def leftovers(store: Store) -> list[str]:
    return [path.name for path in store.root.rglob(".*.stage")]


def pointer(store: Store) -> Champion:
    champion = store.own_champion("7")
    assert champion is not None
    return champion


def moves(store: Store) -> list[int]:
    return [line["epoch"] for line in store.history("7") if line["event"] in ("promotion", "rollback")]


def test_a_publisher_killed_anywhere_leaves_no_version_or_a_whole_one(
    template: Store, successor: Path, tmp_path: Path
) -> None:
    # Of a publisher that died before: to sweep it is among the steps, and sweeping may be killed, too.
    stale = template.root / "versions" / ".recaption-0.0.stage"
    stale.mkdir()
    (stale / "encoder.safetensors").write_bytes(b"half")
    before, new = set(template.versions()), f"recaption-{read_json(successor / 'manifest.json')['id']}"
    left: list[set[str]] = []
    for store in killed_at_every_step("publish", template, tmp_path / "killed", successor):
        found = whole(store)
        assert before <= found <= before | {new}
        left.append({new} & found | {path.name for path in (store.root / "versions").glob(".*.stage/*")})
        assert store.publish(successor) == new
        assert whole(store) == before | {new} and leftovers(store) == []
    assert left.count({"encoder.safetensors"}) > 1 and {new} in left, "the kills missed a moment"


def test_the_stage_of_a_living_publisher_is_left_alone(template: Store, successor: Path, tmp_path: Path) -> None:
    stopped = """
import signal, sys
from pathlib import Path
from model.store import Store
from tests.model.dying import strike

strike(1, signal.SIGSTOP, {"shutil.copyfile"})
print(Store(Path(sys.argv[1])).publish(Path(sys.argv[2])))
"""
    command = [sys.executable, "-c", stopped, str(template.root), str(successor)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as publisher:
        try:
            assert os.WIFSTOPPED(os.waitpid(publisher.pid, os.WUNTRACED)[1])
            (stage,) = leftovers(template)
            third = template.publish(tiny_checkpoint(tmp_path / "2", 2))
            assert leftovers(template) == [stage]
        finally:
            publisher.send_signal(signal.SIGCONT)
        assert publisher.communicate(timeout=20)[0].strip() in whole(template)
    assert third in whole(template) and leftovers(template) == []


@pytest.mark.parametrize("operation", ["promote", "rollback"])
def test_a_pointer_killed_anywhere_on_its_way_is_old_or_new_and_the_history_is_mended(
    template: Store, tmp_path: Path, operation: str
) -> None:
    old = pointer(template)
    outcomes: list[tuple[int, int]] = []
    for store in killed_at_every_step(operation, template, tmp_path / "killed", tmp_path):
        found = pointer(store)
        assert found == old or (found.version, found.epoch, found.by) == (old.previous, old.epoch + 1, BY)
        outcomes.append((found.epoch, len(moves(store))))
        # Whatever the next locked operation is, it mends the history.
        store.record("rejection", "8", by="test", reason="another project's")
        assert moves(store) == list(range(1, found.epoch + 1))
        if outcomes[-1] == (3, 2):
            (mended,) = (line for line in store.history("7") if line["epoch"] == 3)
            assert mended == {"event": "promotion", "project": "7", "reason": "recorded after a crash"} | vars(found)
        check_next_moves(store, operation, found.epoch)
    assert set(outcomes) == {(2, 2), (3, 2), (3, 3)}, "the kills missed a moment"


def check_next_moves(store: Store, operation: str, epoch: int) -> None:
    """The operation is called again, as by a run that goes on, and then the next training begins."""
    if epoch == 2:
        operate(operation, store, store.root)
    moved = pointer(store)
    again: dict[str, Any] = {"expect_epoch": 2, "by": BY, "reason": "better"}
    assert store.promote(moved.version, "7", **again) == moved
    assert moved.epoch == 3 and moves(store) == [1, 2, 3]
    assert store.take_fence("7") > moved.fence
    assert leftovers(store) == []


def test_a_token_killed_on_its_way_is_never_given_twice(template: Store, tmp_path: Path) -> None:
    taken = Store(template.root).take_fence("7")
    nexts = []
    for store in killed_at_every_step("take_fence", template, tmp_path / "killed", tmp_path):
        nexts.append(store.take_fence("7"))
        assert pointer(store) == pointer(template) and leftovers(store) == []
    # Killed before the renaming, the token was nobody's; after it, it may have been somebody's.
    assert set(nexts) == {taken + 1, taken + 2} and nexts == sorted(nexts)
