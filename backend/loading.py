"""Versions from the store into memory: every file checked, the encoder shared where it is the same, a caption tried."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.conversions import Conversions
from backend.digests import Digests
from backend.fleet import Fleet
from backend.niceness import be_nice
from backend.predictor import Predictor
from backend.sanity import Sanity
from backend.serving import Serving, ServingError
from settings import Settings

if TYPE_CHECKING:
    from model.store import Store

log = logging.getLogger(__name__)


class BadVersion(RuntimeError):
    """A version that cannot serve, and why. `passing`: what is missing may still come, as on shared storage that lags
    behind the pointer."""

    def __init__(self, reason: str, *, passing: bool) -> None:
        super().__init__(reason)
        self.passing = passing


class Loader:
    """Loads beside what serves, and leaves the model thread alone but for two captions."""

    def __init__(self, store: Store, settings: Settings, predictor: Predictor) -> None:
        self._store = store
        self._device = settings.device
        self._engine = settings.engine
        self._threads = settings.threads
        self._digests = Digests()
        self._conversions = Conversions(store)
        self._sanity = Sanity(predictor)
        predictor.do(partial(_take_threads, settings.threads)).result()

    def load(self, version: str, fleet: Fleet, *, wait: bool = False) -> Serving:
        """`wait` for a conversion that ENGINE=auto wants; else torch serves until `faster` has a better answer.

        Raises BadVersion; ServingError where DEVICE is not here, which is no version's fault; CancelledError when
        the model thread is being closed."""
        from model.checkpoint import CheckpointError
        from model.devices import DeviceError
        from model.store import StoreError

        try:
            return _apart(partial(self._load, self._store.folder(version), version, fleet, wait))
        except DeviceError as error:
            raise ServingError(f"DEVICE={self._device}: {error}") from error
        except CancelledError:
            raise
        except (CheckpointError, StoreError) as error:
            raise BadVersion(str(error), passing=self._incomplete(version) or _of_the_disk(error)) from error
        except Exception as error:  # what a broken disk, a broken network or full memory raises has no common base
            log.debug("%s cannot serve", version, exc_info=True)
            raise BadVersion(f"{version}: {error or type(error).__name__}", passing=_of_the_disk(error)) from error

    def faster(self, serving: Serving, fleet: Fleet) -> Serving | None:
        """The same version on the engine that it waits for. None until it is converted, and for good if that failed."""
        reason = self._conversions.outcome(serving.version)
        if reason is None:
            return None
        try:
            if not reason:
                return self.load(serving.version, fleet, wait=True)
        except (BadVersion, ServingError) as error:
            reason = str(error)
        serving.captioner.pending, serving.captioner.fallback = False, reason
        log.warning("%s is computed by torch, several times slower than in int8: %s", serving.version, reason)
        return None

    def _load(self, folder: Path, version: str, fleet: Fleet, wait: bool) -> Serving:
        from model.checkpoint import CheckpointError, check_files, read_json
        from model.engines.entries import FOLDER
        from model.engines.opening import Wanted, open_captioner

        manifest = read_json(folder / "manifest.json")
        check_files(folder, manifest, self._digests)
        shared = fleet.engine(_encoder_of(manifest))
        entries, digest = self._store.root / FOLDER, self._digests
        wanted = Wanted(self._engine, self._device, self._threads, entries, half=True, wait=wait, digest=digest)
        captioner = open_captioner(folder, wanted, verify=False, shared=shared, loading_threads=1)
        if captioner.version != version:
            raise CheckpointError(f"{folder} holds {captioner.version}: a version's folder has its name")
        self._sanity.check(captioner)
        return Serving(version, captioner, time.time())

    def _incomplete(self, version: str) -> bool:
        from model.checkpoint import FILES

        folder = self._store.root / "versions" / version
        return not all((folder / name).is_file() for name in (*FILES, "manifest.json"))


def _apart(work: Callable[[], Serving]) -> Serving:
    """At the start, the main thread loads, and threads that an engine starts get the priority of who loads: it must be
    below that of the threads that answer. Later the watcher loads, which is nice already."""
    if threading.current_thread() is not threading.main_thread():
        return work()
    with ThreadPoolExecutor(1, thread_name_prefix="loader", initializer=be_nice) as thread:
        return thread.submit(work).result()


def _take_threads(threads: int) -> None:
    """Torch's number of threads is a thread's own: the model's has all of them, and whoever loads has one."""
    import torch

    from model.devices import set_threads

    set_threads(threads)
    torch.get_num_threads()  # a thread settles it when it first asks, and would then get what another set last


def _encoder_of(manifest: dict[str, Any]) -> str:
    return str(manifest["files"]["encoder.safetensors"]["sha256"])


def _of_the_disk(error: BaseException) -> bool:
    """Whether reading failed, rather than what was read: `raise ... from` keeps the cause."""
    return isinstance(error, OSError | MemoryError) or isinstance(error.__cause__, OSError)
