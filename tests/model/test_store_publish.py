"""What versions share: a file that another version has is linked, and each version still stands alone."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
import torch

from model import checkpoint as checkpoints
from model.checkpoint import FILES, CheckpointError, check_files, read_json
from model.store import Store
from tests.checkpoints import tiny, tiny_checkpoint


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def version(store: Store, tmp_path: Path) -> str:
    return store.publish(tiny_checkpoint(tmp_path / "first"))


@pytest.fixture
def update(tmp_path: Path) -> Path:
    """A checkpoint with the encoder and the words of the first, and another decoder."""
    updated = tiny()
    with torch.no_grad():
        updated.decoder.bias.add_(0.1)
    return checkpoints.save(updated, tmp_path / "update", {})


def check(folder: Path) -> None:
    check_files(folder, read_json(folder / "manifest.json"))


def shared(one: Path, two: Path) -> set[str]:
    return {name for name in (*FILES, "manifest.json") if (one / name).samefile(two / name)}


def test_equal_files_are_one_file_and_outlive_the_version_that_had_them_first(
    store: Store, version: str, update: Path
) -> None:
    first, second = store.folder(version), store.folder(store.publish(update))
    assert shared(first, second) == {"encoder.safetensors", "config.json", "vocabulary.json"}
    assert shared(update, second) == set(), "the folder of a run may be written to again"
    shutil.rmtree(first)
    check(second)
    assert (second / "encoder.safetensors").stat().st_nlink == 1


def test_a_file_that_was_damaged_in_one_version_is_not_shared(store: Store, version: str, update: Path) -> None:
    encoder = store.folder(version) / "encoder.safetensors"
    content = bytearray(encoder.read_bytes())
    content[-1] ^= 1
    encoder.write_bytes(content)
    second = store.folder(store.publish(update))
    check(second)
    assert shared(store.folder(version), second) == {"config.json", "vocabulary.json"}


def test_a_version_without_a_readable_manifest_shares_nothing(store: Store, version: str, update: Path) -> None:
    (store.folder(version) / "manifest.json").write_text("{")
    second = store.folder(store.publish(update))
    check(second)
    assert shared(store.folder(version), second) == set()


def test_where_links_fail_files_are_copied(
    store: Store, version: str, update: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refused)  # stands in for a file system without hard links: none can be mounted here
    second = store.folder(store.publish(update))
    check(second)
    assert shared(store.folder(version), second) == set()


def test_a_checkpoint_that_changes_while_it_is_copied_is_not_published(
    store: Store, version: str, update: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copyfile = shutil.copyfile

    def late(source: Path, target: Path) -> None:
        source.write_bytes(source.read_bytes()[:-1])  # stands in for a process that writes at this very moment
        copyfile(source, target)

    monkeypatch.setattr(shutil, "copyfile", late)
    with pytest.raises(CheckpointError, match=r"decoder\.safetensors is not the file that manifest\.json states"):
        store.publish(update)
    assert store.versions() == [version]
    assert list((store.root / "versions").glob(".*.stage")) == []
