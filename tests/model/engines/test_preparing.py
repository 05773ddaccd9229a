"""A version is converted before its promotion where the store is served in int8, and only there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from model import checkpoint as checkpoints
from model.engines.entries import FOLDER
from model.engines.int8 import preferred
from model.engines.preparing import prepare
from model.store import Store, StoreError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


def test_a_store_that_is_not_served_in_int8_is_left_alone(store: Store, folder: Path) -> None:
    assert not prepare(store, store.publish(folder))
    assert not (store.root / FOLDER).exists()


def test_another_decoder_is_converted(store: Store, folder: Path, converted: Path, tmp_path: Path) -> None:
    shutil.copytree(converted, store.root / FOLDER)
    assert prepare(store, store.publish(folder))
    made = checkpoints.load(folder)
    with torch.no_grad():
        made.decoder.bias.add_(0.01)
    assert prepare(store, store.publish(checkpoints.save(made, tmp_path / "second", {})))
    kinds = sorted(path.name.split("-")[0] for path in (store.root / FOLDER).glob(f"*-{preferred()[0]}-*"))
    assert kinds == ["decoder", "decoder", "encoder"]


def test_what_fails_is_told_and_stops_nobody(store: Store, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    version = store.publish(folder)
    (store.root / FOLDER).mkdir()
    weights = store.folder(version) / "encoder.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert not prepare(store, version)
    assert "was not converted before its promotion" in caplog.text
    with pytest.raises(StoreError, match="no version 'recaption-none'"):
        prepare(store, "recaption-none")
