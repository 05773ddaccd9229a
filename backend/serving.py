"""What is being served: a version of the store, loaded and warm.

The pair of version and captioner is one value, taken once per request: a request that began with one version ends with
it, whatever is promoted meanwhile.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

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


def load(store: Store, settings: Settings) -> Serving:
    """Load the champion and caption one blank picture with it, so that the first request finds it warm.

    Raises ServingError if the champion's files are missing, torn or made for another release, or DEVICE is not here.
    """
    from model.captioner import Captioner
    from model.checkpoint import CheckpointError
    from model.devices import DeviceError
    from model.store import StoreError

    try:
        champion = store.champion()
        if champion is None:
            raise ServingError(f"the store in MODEL_DIR={settings.model_dir} has no champion. {HOW_TO_GET_ONE}")
        folder = store.folder(champion.version)
        captioner = Captioner.load(folder, device=settings.device, threads=settings.threads)
        captioner.caption([np.zeros((224, 224, 3), np.float32)])
    except DeviceError as error:
        raise ServingError(f"DEVICE={settings.device}: {error}") from error
    except (CheckpointError, StoreError, OSError) as error:
        raise ServingError(f"the champion of MODEL_DIR={settings.model_dir} cannot be loaded: {error}") from error
    return Serving(champion.version, captioner, time.time())


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
