"""What is being served: a version of the store, loaded and warm; and the store that it comes from.

The pair of version and captioner is one value, taken once per request: a request that began with one version ends with
it, whatever is promoted meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from settings import Settings

if TYPE_CHECKING:  # torch takes seconds to import, and a command that fails early should fail at once
    from model.captioner import Captioner
    from model.store import Store


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
    from model import store_open
    from model.checkpoint import CheckpointError
    from model.starter import STARTER
    from model.store import StoreError

    try:
        return store_open.open_store(settings.model_dir, by="serve", starter=STARTER)
    except (StoreError, CheckpointError, OSError) as error:
        raise ServingError(f"the store in MODEL_DIR={settings.model_dir} cannot be used: {error}") from error
