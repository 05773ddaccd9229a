"""What is being served: a version of the store, loaded and warm; and the store that it comes from.

The pair of version and captioner is one value, taken once per request: a request that began with one version ends with
it, whatever is promoted meanwhile.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from settings import Settings

if TYPE_CHECKING:  # torch takes seconds to import, and a command that fails early should fail at once
    from model.captioner import Captioner
    from model.store import Store

HOW_TO_GET_ONE = "Train one with `python -m model train` (see --help), or set MODEL_DIR to a store that holds one"


class ServingError(RuntimeError):
    """There is nothing to serve: one sentence that says why, and the way out."""


class Serving(NamedTuple):
    """One loaded version. `since` is when it was ready, in seconds since 1970."""

    version: str
    captioner: Captioner
    since: float


def open_store(settings: Settings) -> Store:
    """The store in MODEL_DIR, with the starter checkpoint promoted if the store has no champion yet.

    Raises ServingError if there is neither a champion nor a starter.
    """
    from model.checkpoint import CheckpointError
    from model.starter import STARTER
    from model.store import Store, StoreError

    if settings.model_dir.exists() and not settings.model_dir.is_dir():
        raise ServingError(f"MODEL_DIR={settings.model_dir} is a file; set it to a folder")
    try:
        store = Store(settings.model_dir)
        if store.champion() is None:
            _begin_with(STARTER, store)
    except (StoreError, CheckpointError, OSError) as error:
        raise ServingError(f"the store in MODEL_DIR={settings.model_dir} cannot be used: {error}") from error
    return store


def _begin_with(starter: Path, store: Store) -> None:
    from model.store import StoreError

    if not (starter / "manifest.json").is_file():
        raise ServingError(
            f"there is no checkpoint to serve: the store is empty and {starter} has none. {HOW_TO_GET_ONE}"
        )
    version = store.publish(starter)
    try:
        store.promote(version, expect_epoch=None, by="serve", reason="first start: the checkpoint that ships")
    except StoreError:
        # Another process that starts beside this one was first, with this checkpoint or with a better one.
        if store.champion() is None:
            raise
