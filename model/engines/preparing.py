"""Converts a published version before a pointer names it, so that who serves only has to load it."""

from __future__ import annotations

import logging

from model.checkpoint import CheckpointError, load_head
from model.engines.converting import ensured, entries_of
from model.engines.engine import EngineError
from model.engines.entries import FOLDER
from model.engines.int8 import preferred
from model.store import Store

log = logging.getLogger(__name__)


def convert_version(store: Store, version: str) -> bool:
    """Whether `version` is converted when this returns, for the first runtime that does not harm it.

    Raises EngineError where none of the runtimes takes it, StoreError, CheckpointError and OSError.
    """
    folder, reasons = store.folder(version), []
    head = load_head(folder, verify=False)
    for runtime in preferred():
        try:
            here = ensured(folder, head, entries_of(store.root / FOLDER, runtime), runtime)
        except EngineError as error:
            reasons.append(f"{runtime}: {error}")
            continue
        if here is None or not here[2].fault:
            return here is not None
    if reasons:
        raise EngineError("; ".join(reasons))
    return True


def prepare(store: Store, version: str) -> bool:
    """Convert `version` if versions of this store are served in int8; whether it is converted when this returns.

    That is so where a serving process has kept conversions in the store. What fails here is logged and no more: the
    serving process tries again, and has torch. Raises StoreError when there is no such version.
    """
    store.folder(version)  # raises whether or not anything is to be converted
    if not (store.root / FOLDER).is_dir():
        return False
    try:
        return convert_version(store, version)
    except (EngineError, CheckpointError, OSError) as error:
        log.warning("%s was not converted before its promotion: %s", version, error)
        return False
