"""One project in Label Studio, kept true to what serves it: its names, then the captions of its unlabelled tasks.

Compares what is with what should be, and changes what differs; whoever calls sees to it that one process does so at a
time, and tries again after an error.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from backend import bookmark, leftover
from backend.bookmark import Bookmark
from backend.checks.chain import backends_of
from backend.drafts import Drafts
from backend.fleet import Fleet
from backend.links import Link, at_url
from backend.prelabel import Prelabel, Tally
from backend.projects import Projects
from backend.relink import read_names, relink
from backend.running import login
from backend.work import work_for
from labeling.session import LabelStudio
from settings import Settings

log = logging.getLogger(__name__)

# Label Studio may be saving an old copy of the ML backend while its title is changed, or may be connecting the project.
LOOK_AGAIN_S = 5.0
# A project that asks for captions though its ML backend has another address is looked at ever more rarely.
STRANGER, STRANGEST = 6, 4
NEVER = float("inf")
RIGHT = "title and model_version name the served version"


class Care:
    """`linked`: the version that the names were last looked at for. `look_at`: when to look anyway, on the clock of
    time.monotonic. `note`: how things are, for people."""

    def __init__(
        self,
        project: int,
        settings: Settings,
        studio: LabelStudio,
        fleet: Fleet,
        projects: Projects,
        drafts: Drafts,
    ) -> None:
        self.project = project
        self.linked = ""
        self.look_at = 0.0
        self.note = "not looked at yet"
        self._settings = settings
        self._studio = studio
        self._fleet = fleet
        self._projects = projects
        self._drafts = drafts
        self._connected = False
        self._strange = 0
        # Whether a change of the names may have been undone.
        self._doubtful = False
        self._tally: Tally | None = None

    @property
    def version(self) -> str:
        """The version that serves the project."""
        return self._fleet.of(self.project).version

    def due(self) -> bool:
        """Whether to look at the names."""
        return self.version != self.linked or time.monotonic() >= self.look_at

    def heard_of(self) -> None:
        """Label Studio has asked about the project: if it was not connected when it was looked at, it may be by now."""
        if not self._connected and self.linked:
            pause = LOOK_AGAIN_S * STRANGER ** min(self._strange, STRANGEST)
            self.look_at = min(self.look_at, time.monotonic() + pause)

    def told(self) -> dict[str, Any]:
        """What was done, for people. Reads a small file."""
        mark = bookmark.read(self._settings.data_dir, self.project)
        tally = asdict(self._tally) if self._tally else {}
        return {"relink": self.note, "relabel": {**asdict(mark), **tally} if mark else None}

    def link(self) -> None:
        """Make the names those of the version that serves. Raises LabelStudioError, RelinkError and OSError."""
        version, self.look_at = self.version, 0.0
        meant = str(self._studio.get(f"/api/projects/{self.project}/").get("model_version") or "")
        look_at = NEVER
        if not self._doubtful and not meant and self.linked != version:
            # Most likely it is being connected at this moment: to look closer now would be in the way.
            look_at = time.monotonic() + LOOK_AGAIN_S
        elif not self._doubtful and meant == version:
            self._call_for_captions(version, swapped=False)
            self._connected, self.note = True, RIGHT
        elif self._relink(version):
            look_at = time.monotonic() + LOOK_AGAIN_S
        self.linked, self.look_at = version, look_at

    def _relink(self, version: str) -> bool:
        """Whether anything was changed."""
        names = read_names(self._studio, Link(self.project, self._settings.backend_url, version, login(self._settings)))
        self._connected = names is not None
        self._doubtful = names is not None and bool(names.faults())
        if names is None:
            self._strange += 1
            self.note = f"not connected to {self._settings.backend_url}"
            return False
        self._call_for_captions(version, swapped=names.of_another_version)
        if self._doubtful:
            relink(self._studio, names)
            log.info("project %d: title and model_version are %s now", self.project, version)
        self.note = RIGHT
        return self._doubtful

    def _call_for_captions(self, version: str, *, swapped: bool) -> None:
        """Leave the sign that all tasks are to be captioned, before the names are put right, so that a crash in between
        does not lose it. For a project that is new here, since the order of its tasks is decided by their scores; and
        after a swap that Label Studio has not heard of, so that no other machine sees to it."""
        new = swapped or bookmark.read(self._settings.data_dir, self.project) is None
        if new and self._settings.relabel_after_swap:
            bookmark.write(self._settings.data_dir, self.project, Bookmark(version))

    def caption_again(self, over: Callable[[], bool], between_pages: Callable[[], None]) -> None:
        """Caption what the bookmark calls for, until it is done, over, or another version serves. Raises
        LabelStudioError, NoWork and OSError."""
        serving = self._fleet.of(self.project)
        self._take_up_left(serving.version)
        mark = bookmark.read(self._settings.data_dir, self.project)
        begun = mark is not None and mark.version == serving.version and not mark.done
        if not begun or not self._connected or self.linked != serving.version:
            return
        row = self._studio.get(f"/api/projects/{self.project}/")
        ours = next(iter(at_url(backends_of(self._studio, self.project), self._settings.backend_url)), {})
        prelabel = Prelabel(
            self._studio,
            self._drafts,
            work_for(row, ours.get("extra_params"), serving, self._projects, self._settings),
            over=lambda: over() or self._fleet.of(self.project) is not serving,
            told=lambda tally, count: between_pages(),
        )
        self._tally = prelabel.tally
        log.info("project %d: captioned again with %s, %s", self.project, serving.version, prelabel.run())

    def _take_up_left(self, version: str) -> None:
        """Put the bookmark before the tasks that requests had no time for."""
        left = leftover.waiting(self._settings.data_dir, self.project)
        if not left or not self._connected or self.linked != version:
            return
        mark = bookmark.read(self._settings.data_dir, self.project)
        before = left[0] - 1
        if mark is not None and mark.version == version and not mark.done:
            before = min(before, mark.after)
        bookmark.write(self._settings.data_dir, self.project, Bookmark(version, before))
        leftover.taken_up(self._settings.data_dir, self.project, left)
