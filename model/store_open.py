"""A store to work with: the one in a folder, with the checkpoint that ships promoted if it has no champion yet."""

from __future__ import annotations

from pathlib import Path

from model.starter import STARTER
from model.store import Store, StoreError

HOW_TO_GET_ONE = "Train one with `python -m model train` (see --help), or set MODEL_DIR to a store that holds one"


def open_store(model_dir: Path, *, by: str, starter: Path = STARTER) -> Store:
    """Raises StoreError or CheckpointError where there is neither a champion nor a starter, or none can be read."""
    if model_dir.exists() and not model_dir.is_dir():
        raise StoreError(f"MODEL_DIR={model_dir} is a file; set it to a folder")
    store = Store(model_dir)
    if store.champion() is None:
        _begin_with(starter, store, by)
    return store


def _begin_with(starter: Path, store: Store, by: str) -> None:
    if not (starter / "manifest.json").is_file():
        raise StoreError(f"there is no checkpoint: the store is empty and {starter} has none. {HOW_TO_GET_ONE}")
    version = store.publish(starter)
    try:
        store.promote(version, expect_epoch=None, by=by, reason="first start: the checkpoint that ships")
    except StoreError:
        # Another process that starts beside this one was first, with this checkpoint or with a better one.
        if store.champion() is None:
            raise
