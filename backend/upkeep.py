"""What serves each project, carried to Label Studio by a thread of the serving process, at low priority.

It needs no event: a swap wakes it, and a start, a crash or a Label Studio that was away only makes it later. Of several
serving processes that share DATA_DIR one does it for a project at a time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from backend import leftover
from backend.care import LOOK_AGAIN_S, Care
from backend.drafts import Drafts
from backend.fleet import Fleet
from backend.niceness import be_nice
from backend.onlyone import turn
from backend.projects import Projects
from backend.relink import RelinkError
from backend.work import NoWork
from labeling.session import LabelStudio, LabelStudioError
from settings import Settings

log = logging.getLogger(__name__)

# Label Studio calls back to see whether the backend is well, so the server must listen by then.
START_S = 3.0
EVERY_S = 5.0
OTHERS_TURN_S = 30.0
RETRY_S, LONGEST_RETRY_S = 60.0, 3600.0
NICER_BY = 10
EXPECTED = (LabelStudioError, NoWork, OSError)


@dataclass
class _Tries:
    """Of one project's names, or of its captions: the version at the last try, how often that failed, when to try
    again, and what the log was told."""

    version: str = ""
    failures: int = 0
    again_at: float = 0.0
    faults: set[str] = field(default_factory=set)


class Upkeep:
    """Looks after the projects that it is told of."""

    def __init__(
        self, settings: Settings, studio: LabelStudio, fleet: Fleet, projects: Projects, drafts: Drafts
    ) -> None:
        self._settings = settings
        self._parts = (settings, studio, fleet, projects, drafts)
        self._cares: dict[int, Care] = {}
        self._names: defaultdict[int, _Tries] = defaultdict(_Tries)
        self._captions: defaultdict[int, _Tries] = defaultdict(_Tries)
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        self._thread.start()

    def know(self, project: int) -> None:
        """Look after this project: Label Studio has just asked about it."""
        care = self._cares.get(project)
        if care is not None:
            care.heard_of()
            return
        self._cares[project] = Care(project, *self._parts)
        self._wake.set()

    def leave(self, project: int, first_task: int, count: int) -> None:
        """Caption the project's tasks from this one on, of which `count` had been asked for in vain."""
        try:
            leftover.leave(self._settings.data_dir, project, first_task)
        except OSError as error:
            log.warning("%d tasks of project %d are left until Label Studio asks again: %s", count, project, error)
            return
        log.info("%d tasks of project %d are captioned in the background", count, project)
        self.know(project)
        self._wake.set()

    def wake(self) -> None:
        """Another version may serve somebody now."""
        self._wake.set()

    def note(self, project: int) -> dict[str, Any]:
        """What was done for a project, for people. Reads a small file."""
        care = self._cares.get(project)
        return care.told() if care else {}

    def stop(self) -> None:
        """End after the request in hand; `join` waits for that."""
        self._closing.set()
        self._wake.set()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def _run(self) -> None:
        be_nice(NICER_BY)
        self._closing.wait(START_S)
        while not self._closing.is_set():
            self._wake.clear()
            self._link_all()
            for care in list(self._cares.values()):
                self._try(care, self._caption_again, self._captions[care.project])
            self._wake.wait(EVERY_S)

    def _link_all(self, but: Care | None = None) -> None:
        for care in list(self._cares.values()):
            if care is not but and care.due():
                self._try(care, Care.link, self._names[care.project])

    def _caption_again(self, care: Care) -> None:
        care.caption_again(self._closing.is_set, lambda: self._between_pages(care))

    def _between_pages(self, care: Care) -> None:
        """Other projects' names do not wait until this one's tasks are done; this one's turn is held already."""
        if care.due():
            care.link()
        self._link_all(but=care)

    def _try(self, care: Care, work: Callable[[Care], None], tries: _Tries) -> None:
        """Do it if it is this process's turn; what goes wrong is said once, and tried again after a growing pause."""
        if tries.version != care.version:
            tries.version, tries.failures, tries.again_at, tries.faults = care.version, 0, 0.0, set()
        if self._closing.is_set() or time.monotonic() < tries.again_at:
            return
        try:
            with turn(self._settings.data_dir, care.project) as mine:
                if not mine:
                    care.note, tries.again_at = "another process sees to it", time.monotonic() + OTHERS_TURN_S
                    return
                work(care)
        except RelinkError as error:
            self._failed(care, tries, str(error), LOOK_AGAIN_S)
        except EXPECTED as error:
            self._failed(care, tries, str(error), RETRY_S)
        except Exception as error:  # one project's surprise must not end the upkeep of the others
            log.exception("the upkeep of project %d failed", care.project)
            self._failed(care, tries, f"{type(error).__name__}, see the log", RETRY_S)
        else:
            tries.failures, tries.faults = 0, set()

    def _failed(self, care: Care, tries: _Tries, reason: str, pause: float) -> None:
        if self._closing.is_set():
            return
        if reason not in tries.faults:
            log.warning("Label Studio is not up to date with what serves project %d: %s", care.project, reason)
        tries.faults.add(reason)
        care.note = reason
        tries.again_at = time.monotonic() + min(pause * 2**tries.failures, LONGEST_RETRY_S)
        tries.failures += 1
