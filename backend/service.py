"""Everything that lives as long as the process: the models, their thread, the pictures' threads, the marks, and who
watches which model should serve.

One Service serves all requests; objects made for a request borrow it. Under another server than ours it is opened on
first use, by `shared()`.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from backend.drafts import Answer, Drafts, Task
from backend.fleet import Fleet
from backend.handover import hand_over
from backend.loading import Loader
from backend.metrics import Metrics
from backend.photos import Photos
from backend.predictor import Predictor
from backend.projects import Projects
from backend.serving import Serving, open_store
from backend.upkeep import Upkeep
from backend.watcher import Watcher
from labeling.images import ImageFetcher
from labeling.session import LabelStudio, LabelStudioError
from settings import Settings
from settings import load as load_settings
from trainer.marks import Marks
from trainer.valkey import EmbeddedValkey

log = logging.getLogger(__name__)

# A request to Label Studio in hand gets this long to end.
CLOSE_S = 5.0


class Service:
    """Open it once and close it once. Raises ServingError, ValkeyError or LabelStudioError when it cannot open."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.started = time.time()
        self.metrics = Metrics()
        self.projects = Projects(settings.caption_field)
        self.store = open_store(settings)
        self._studio = studio = _studio(settings)
        self._valkey = EmbeddedValkey(settings.data_dir / "valkey") if settings.redis_url is None else None
        self.marks = Marks(self._queue_url(), spool(settings), revive=self._revive_queue)
        self.predictor = Predictor(self.metrics.batch)
        self.fleet = Fleet()
        self.upkeep: Upkeep | None = None
        self.watcher = self._watched()
        self.photos = Photos(
            fetcher(settings, studio), max_pixels=settings.max_image_pixels, observe=self.metrics.photo
        )
        self.drafts = Drafts(self.photos, self.predictor, self.metrics.task)
        if studio is not None:
            self.upkeep = Upkeep(settings, studio, self.fleet, self.projects, self.drafts)
        self._moved()
        self.metrics.watch("model_queue", "Pictures waiting for the model", self.predictor.depth)
        self.metrics.watch("marks_waiting", "Marks not delivered to the queue server yet", self.marks.waiting)

    @property
    def serving(self) -> Serving:
        """What serves every project that has no version of its own."""
        return self.fleet.of(None)

    def heard_of(self, project: int | None) -> None:
        """Label Studio has spoken of a project. Costs next to nothing when it does so again."""
        if project:
            self.marks.know(project)
            if self.upkeep is not None:
                self.upkeep.know(project)

    def leave(self, project: int, tasks: Sequence[Task]) -> None:
        """Caption in the background what a request had no time for, with all tasks of the project behind the first."""
        numbers = [task["id"] for task in tasks if isinstance(task.get("id"), int)]
        if not numbers:
            return
        if self.upkeep is None:
            log.warning("%d tasks of project %d are left until Label Studio asks again", len(numbers), project)
        else:
            self.upkeep.leave(project, min(numbers), len(numbers))

    def hand_over(self, project: int, tasks: Sequence[Task], answers: list[Answer]) -> list[Answer]:
        """Store a bulk's captions in Label Studio where that is faster than to answer them: what is left to answer."""
        if self._studio is None:
            return answers
        return hand_over(self._studio, project, tasks, answers, partial(self.leave, project))

    def close(self) -> None:
        """Stop the threads, deliver what can be delivered, stop the embedded queue server."""
        self.watcher.close()
        if self.upkeep is not None:
            self.upkeep.stop()
        self.photos.close()
        self.predictor.close()
        if self.upkeep is not None:
            self.upkeep.join(CLOSE_S)
        self._close_queue()

    def _watched(self) -> Watcher:
        try:
            loader = Loader(self.store, self.settings, self.predictor)
            watcher = Watcher(self.store, loader, self.fleet, self.metrics, self._moved)
            watcher.begin()
        except BaseException:
            self.predictor.close()
            self._close_queue()
            raise
        return watcher

    def _moved(self) -> None:
        """Another version serves somebody: projects with one of their own are known by that."""
        for seat in self.fleet.table:
            self.heard_of(seat)
        if self.upkeep is not None:
            self.upkeep.wake()

    def _queue_url(self) -> str:
        if self._valkey is not None:
            return self._valkey.start()
        assert self.settings.redis_url is not None
        return self.settings.redis_url.get_secret_value()

    def _revive_queue(self) -> None:
        if self._valkey is not None:
            self._valkey.revive()

    def _close_queue(self) -> None:
        self.marks.close()
        if self._valkey is not None:
            self._valkey.stop()


def spool(settings: Settings) -> Path:
    """Where marks wait for the queue server."""
    return settings.data_dir / "marks"


def _studio(settings: Settings) -> LabelStudio | None:
    url, key = settings.label_studio_url, settings.label_studio_api_key
    if url and key:
        return LabelStudio(url, key.get_secret_value(), timeout=settings.image_timeout_s)
    log.warning(
        "LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY are not both set: uploaded pictures and cloud storage of "
        "Label Studio cannot be read, only public addresses, and no task is captioned again when another version serves"
    )
    return None


def fetcher(settings: Settings, studio: LabelStudio | None) -> ImageFetcher:
    """Pictures by their addresses, those of `studio` with its token."""
    return ImageFetcher(
        studio,
        allowed_hosts=settings.image_allowed_hosts,
        timeout_s=settings.image_timeout_s,
        max_bytes=settings.image_max_bytes,
        local_files_root=settings.local_files_document_root,
    )


_shared: Service | None = None
_opening = threading.Lock()


def install(service: Service | None) -> None:
    """Make `service` the one that `shared()` gives: our own server does so at its start."""
    global _shared
    _shared = service


def opened() -> Service | None:
    """The process's Service if there is one already."""
    return _shared


def shared() -> Service:
    """The process's Service, opened now if no server of ours has done so."""
    global _shared
    with _opening:
        if _shared is None:
            _shared = Service(load_settings())
            atexit.register(_shared.close)
        return _shared


__all__ = ["LabelStudioError", "Service", "install", "opened", "shared", "spool"]
