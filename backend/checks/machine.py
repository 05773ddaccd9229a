"""This machine's side: the queue server, the store, the checkpoint, the running backend."""

from __future__ import annotations

import redis

from backend.checks.check import Check, failed, ok, warning
from backend.running import NotRunning, RunningBackend, find_backend
from model.checkpoint import CheckpointError, check_files, read_json
from model.starter import STARTER
from model.store import Store, StoreError
from settings import Settings
from trainer.valkey import EmbeddedValkey

PING_S = 5.0


def check_backend(settings: Settings) -> tuple[Check, RunningBackend | None]:
    """Whether the backend answers from here, and what it serves."""
    name = "backend"
    try:
        running = find_backend(settings)
        version, quarantined = running.served(), running.quarantined()
    except NotRunning as error:
        return failed(name, error.found, error.remedy), None
    if quarantined:
        found = "; ".join(f"{bad} is in quarantine: {why}" for bad, why in sorted(quarantined.items()))
        remedy = "Go back to a good version: python -m trainer rollback --help. What served before goes on meanwhile."
        return warning(name, f"serves {version} at {running.url}, but {found}", remedy), running
    return ok(name, f"serves {version} at {running.url}"), running


def check_queue(settings: Settings) -> Check:
    """Whether the queue server answers. Without it captions still come; marks of corrections wait on disk."""
    name = "queue server"
    if settings.redis_url is None:
        embedded = EmbeddedValkey(settings.data_dir / "valkey")
        if embedded.answers():
            return ok(name, f"embedded Valkey in {embedded.folder}")
        return warning(name, f"the embedded Valkey in {embedded.folder} is not running", "It starts with the backend.")
    try:
        with redis.Redis.from_url(settings.redis_url.get_secret_value(), socket_timeout=PING_S) as client:
            client.ping()
    except (redis.RedisError, OSError) as error:
        # The error's text may repeat the address, password included.
        return failed(name, f"no answer at REDIS_URL ({type(error).__name__})", "Start it, or correct REDIS_URL.")
    return ok(name, "answers at REDIS_URL")


def check_store(settings: Settings) -> Check:
    """Whether the store can be read and names a version to serve, or the starter checkpoint stands in."""
    name = "store"
    try:
        champion = Store(settings.model_dir).champion()
    except StoreError as error:
        return failed(name, str(error), "Set MODEL_DIR to the store's folder.")
    if champion is not None:
        return ok(name, f"{settings.model_dir} serves {champion.version} since {champion.at}")
    if (STARTER / "manifest.json").is_file():
        return ok(name, f"{settings.model_dir} is empty: the starter checkpoint serves")
    return failed(
        name, f"{settings.model_dir} is empty and no starter checkpoint is here", "python -m model train --help"
    )


def check_checkpoint(settings: Settings) -> Check:
    """Whether every file of the serving checkpoint is the one its manifest states."""
    name = "checkpoint"
    try:
        store = Store(settings.model_dir)
        champion = store.champion()
        folder = store.folder(champion.version) if champion else STARTER
        check_files(folder, read_json(folder / "manifest.json"))
    except (StoreError, CheckpointError) as error:
        return failed(name, str(error), "Restore that folder from a copy, or set MODEL_DIR to another store.")
    return ok(name, f"{folder}: every file is the one its manifest states")
