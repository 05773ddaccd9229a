from __future__ import annotations

from pathlib import Path

import pytest

from model.store import Store, StoreError
from model.store_open import open_store
from tests.checkpoints import tiny_checkpoint


def test_an_empty_store_begins_with_the_starter(tmp_path: Path) -> None:
    starter = tiny_checkpoint(tmp_path / "starter")
    store = open_store(tmp_path / "models", by="test", starter=starter)
    champion = store.champion()
    assert champion is not None and (champion.by, champion.epoch) == ("test", 1)
    assert open_store(tmp_path / "models", by="another", starter=starter).champion() == champion


def test_a_store_with_a_champion_needs_no_starter(tmp_path: Path) -> None:
    store = Store(tmp_path / "models")
    version = store.publish(tiny_checkpoint(tmp_path / "first"))
    store.promote(version, expect_epoch=None, by="test", reason="first")
    champion = open_store(tmp_path / "models", by="test", starter=tmp_path / "none").champion()
    assert champion is not None and champion.version == version


def test_who_comes_second_takes_the_first_ones_champion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starter, better = tiny_checkpoint(tmp_path / "starter"), tiny_checkpoint(tmp_path / "better", 1)
    publish = Store.publish

    def beaten(store: Store, checkpoint: Path) -> str:
        version = publish(store, checkpoint)
        store.promote(publish(store, better), expect_epoch=None, by="another", reason="first")
        return version

    monkeypatch.setattr(Store, "publish", beaten)
    champion = open_store(tmp_path / "models", by="test", starter=starter).champion()
    assert champion is not None and champion.by == "another"


def test_what_cannot_be_a_store_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"MODEL_DIR=.*file is a file; set it to a folder"):
        open_store(tmp_path / "file", by="test")
    with pytest.raises(StoreError, match=r"the store is empty and .*none has none"):
        open_store(tmp_path / "models", by="test", starter=tmp_path / "none")
