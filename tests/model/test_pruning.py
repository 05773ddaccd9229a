"""What is removed of a store, and what never is."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import torch

from model import checkpoint as checkpoints
from model.checkpoint import check_files, read_json
from model.engines.entries import DIGITS, FOLDER
from model.pruning import DAY_S, prune, spare
from model.store import Store, StoreError
from tests.checkpoints import tiny

Versions = tuple[str, str, str, str]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def versions(store: Store, tmp_path: Path) -> Versions:
    """Updates of one decoder, all old: what a rollback goes back to, what serves, and two that were rejected."""
    found = []
    for number in range(4):
        updated = tiny()
        with torch.no_grad():
            updated.decoder.bias.add_(0.1 * number)
        found.append(store.publish(checkpoints.save(updated, tmp_path / str(number), {})))
    before, serving, one, two = found
    store.promote(before, expect_epoch=None, by="test", reason="the first")
    store.promote(serving, "7", expect_epoch=None, by="test", reason="better")
    for version in found:
        aged(store.folder(version))
    return before, serving, one, two


def aged(path: Path, days: float = 40) -> None:
    os.utime(path, (time.time() - days * DAY_S,) * 2)


def converted(store: Store, kind: str, version: str) -> Path:
    files = read_json(store.folder(version) / "manifest.json")["files"]
    parts = ("encoder",) if kind == "encoder" else ("encoder", "decoder")
    digests = [files[f"{part}.safetensors"]["sha256"][:DIGITS] for part in parts]
    path = store.root / FOLDER / "-".join([kind, *digests, "int8-1"])
    path.mkdir(parents=True)
    (path / "model.onnx").write_bytes(b"x" * 1000)
    aged(path)
    return path


def test_what_no_pointer_leads_to_is_removed_and_the_rest_is_whole(store: Store, versions: Versions) -> None:
    before, serving, one, two = versions
    found = spare(store, 30 * DAY_S)
    assert sorted(found.versions) == sorted([one, two]) and found.converted == []
    decoders = sum((store.folder(v) / "decoder.safetensors").stat().st_size for v in (one, two))
    encoder = (store.folder(one) / "encoder.safetensors").stat().st_size
    assert decoders <= found.size < decoders + encoder  # the encoder is that of all four
    prune(store, found)
    assert sorted(store.versions()) == sorted([before, serving])
    for version in (before, serving):
        check_files(store.folder(version), read_json(store.folder(version) / "manifest.json"))
    assert [path.name for path in (store.root / "versions").glob(".*.stage")] == []


def test_what_is_young_stays(store: Store, versions: Versions) -> None:
    *_, one, two = versions
    aged(store.folder(two), days=29)
    assert spare(store, 30 * DAY_S).versions == [one]


def test_converted_models_go_with_the_last_version_that_had_them(store: Store, versions: Versions) -> None:
    _, serving, one, two = versions
    encoder, kept, gone, young = (
        converted(store, kind, version)
        for kind, version in (("encoder", one), ("decoder", serving), ("decoder", one), ("decoder", two))
    )
    os.utime(young)
    stranger = store.root / FOLDER / "notes"
    stranger.mkdir()
    aged(stranger)
    found = spare(store, 30 * DAY_S)
    assert found.converted == [gone]
    prune(store, found)
    assert [path.exists() for path in (encoder, kept, gone, young, stranger)] == [True, True, False, True, True]


@pytest.mark.parametrize(("which", "says"), [(0, "a rollback would go back to in '7'"), (1, "serves '7'")])
def test_a_version_that_came_to_be_needed_meanwhile_stays(
    store: Store, versions: Versions, which: int, says: str
) -> None:
    with pytest.raises(StoreError, match=says):
        store.remove(versions[which])
    assert len(store.versions()) == 4


def test_a_pointer_that_cannot_be_read_stops_it(store: Store, versions: Versions) -> None:
    (store.root / "refs" / "7.json").write_text("{")
    with pytest.raises(StoreError):
        spare(store, 30 * DAY_S)
