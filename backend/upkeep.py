"""What serves a project, carried to Label Studio: first into its names there, then into its unlabelled tasks.

A thread of the serving process, at low priority. It compares what is with what should be, project by project, so it
needs no event: a swap wakes it, and a start, a crash or a Label Studio that was away only makes it later. Of several
serving processes that share DATA_DIR one does it for a project at a time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from backend import bookmark
from backend.bookmark import Bookmark
from backend.checks.chain import backends_of
from backend.drafts import Drafts
from backend.fleet import Fleet
from backend.links import Link, at_url
from backend.niceness import be_nice
from backend.onlyone import turn
from backend.prelabel import Prelabel, Tally
from backend.projects import Projects
from backend.relink import RelinkError, read_names, relink
from backend.running import login
from backend.work import NoWork, work_for
from labeling.session import LabelStudio, LabelStudioError
from settings import Settings

log = logging.getLogger(__name__)

# Label Studio calls back to see whether the backend is well, so the server must listen by then.
START_S = 3.0
EVERY_S = 5.0
# Label Studio may be saving an old copy of the ML backend while its title is changed, or may be connecting the project.
LOOK_AGAIN_S = 5.0
# A project that asks for captions though its ML backend has another address is looked at ever more rarely.
STRANGER = 6
OTHERS_TURN_S = 30.0
RETRY_S, LONGEST_RETRY_S = 60.0, 3600.0
NICER_BY = 10
NEVER = float("inf")
RIGHT = "title and model_version name the served version"
EXPECTED = (LabelStudioError, RelinkError, NoWork, OSError)


@dataclass
class _State:
    """Of one project. linked: the version that its names were last looked at for. strange: how often it was found
    without an ML backend at our address. doubtful: whether a change of the names may have been undone. look_at: when
    to look anyway, on the clock of time.monotonic. tried: the version at the last try. faults: what the log was told.
    """

    linked: str = ""
    connected: bool = False
    strange: int = 0
    doubtful: bool = False
    tried: str = ""
    look_at: float = 0.0
    failures: int = 0
    faults: set[str] = field(default_factory=set)
    note: str = "not looked at yet"
    tally: Tally | None = None


class Upkeep:
    """Looks after the projects that it is told of."""

    def __init__(
        self, settings: Settings, studio: LabelStudio, fleet: Fleet, projects: Projects, drafts: Drafts
    ) -> None:
        self._settings = settings
        self._studio = studio
        self._fleet = fleet
        self._projects = projects
        self._drafts = drafts
        self._states: dict[int, _State] = {}
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        self._thread.start()

    def know(self, project: int) -> None:
        """Look after this project: Label Studio has just asked about it."""
        state = self._states.get(project)
        if state is None:
            self._states[project] = _State()
            self._wake.set()
        elif not state.connected and not state.failures:
            # It was not connected when it was looked at, but it may be by now.
            pause = LOOK_AGAIN_S * STRANGER ** min(state.strange, 4)
            state.look_at = min(state.look_at, time.monotonic() + pause)

    def wake(self) -> None:
        """Another version may serve somebody now."""
        self._wake.set()

    def note(self, project: int) -> dict[str, Any]:
        """What was done for a project, for people. Reads a small file."""
        state = self._states.get(project)
        if state is None:
            return {}
        mark = bookmark.read(self._settings.data_dir, project)
        tally = asdict(state.tally) if state.tally else {}
        return {"relink": state.note, "relabel": {**asdict(mark), **tally} if mark else None}

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
            for project in list(self._states):
                self._try(project, self._caption_again)
            self._wake.wait(EVERY_S)

    def _link_all(self) -> None:
        for project, state in list(self._states.items()):
            if self._due(project, state):
                self._try(project, self._link)

    def _due(self, project: int, state: _State) -> bool:
        return self._fleet.of(project).version != state.linked or time.monotonic() >= state.look_at

    def _try(self, project: int, work: Callable[[int, _State], None]) -> None:
        """Do it if it is this process's turn; what goes wrong is said once, and tried again after a growing pause."""
        state, version = self._states[project], self._fleet.of(project).version
        if state.tried != version:
            state.tried, state.failures, state.faults = version, 0, set()
        if self._closing.is_set() or (state.failures and time.monotonic() < state.look_at):
            return
        try:
            with turn(self._settings.data_dir, project) as mine:
                if mine:
                    work(project, state)
                else:
                    state.note, state.look_at = "another process sees to it", time.monotonic() + OTHERS_TURN_S
        except EXPECTED as error:
            self._failed(project, state, str(error))
        except Exception as error:  # one project's surprise must not end the upkeep of the others
            log.exception("the upkeep of project %d failed", project)
            self._failed(project, state, f"{type(error).__name__}, see the log")

    def _failed(self, project: int, state: _State, reason: str) -> None:
        if self._closing.is_set():
            return
        if reason not in state.faults:
            log.warning("Label Studio is not up to date with what serves project %d: %s", project, reason)
        state.faults.add(reason)
        state.note = reason
        state.look_at = time.monotonic() + min(RETRY_S * 2**state.failures, LONGEST_RETRY_S)
        state.failures += 1

    def _link(self, project: int, state: _State) -> None:
        version = self._fleet.of(project).version
        meant = str(self._studio.get(f"/api/projects/{project}/").get("model_version") or "")
        state.look_at = NEVER
        if state.doubtful:
            self._relink(project, state, version)
        elif not meant and state.linked != version:
            # Most likely it is being connected at this moment: to look closer now would be in the way.
            state.look_at = time.monotonic() + LOOK_AGAIN_S
        elif meant == version:
            self._call_for_captions(project, version, swapped=False)
            state.connected, state.note = True, RIGHT
        else:
            self._relink(project, state, version)
        state.linked, state.failures, state.faults = version, 0, set()

    def _relink(self, project: int, state: _State, version: str) -> None:
        names = read_names(self._studio, Link(project, self._settings.backend_url, version, login(self._settings)))
        state.connected = names is not None
        state.doubtful = names is not None and bool(names.faults())
        if names is None:
            state.strange += 1
            state.note = f"not connected to {self._settings.backend_url}"
            return
        self._call_for_captions(project, version, swapped=names.of_another_version)
        if state.doubtful:
            relink(self._studio, names)
            log.info("project %d: title and model_version are %s now", project, version)
            state.look_at = time.monotonic() + LOOK_AGAIN_S
        state.note = RIGHT

    def _call_for_captions(self, project: int, version: str, *, swapped: bool) -> None:
        """Leave the sign that all tasks are to be captioned, before the names are put right, so that a crash in between
        does not lose it. For a project that is new here, since the order of its tasks is decided by their scores; and
        after a swap that Label Studio has not heard of, so that no other machine sees to it."""
        new = swapped or bookmark.read(self._settings.data_dir, project) is None
        if new and self._settings.relabel_after_swap:
            bookmark.write(self._settings.data_dir, project, Bookmark(version))

    def _caption_again(self, project: int, state: _State) -> None:
        serving = self._fleet.of(project)
        mark = bookmark.read(self._settings.data_dir, project)
        begun = mark is not None and mark.version == serving.version and not mark.done
        if not begun or not state.connected or state.linked != serving.version:
            return
        row = self._studio.get(f"/api/projects/{project}/")
        ours = next(iter(at_url(backends_of(self._studio, project), self._settings.backend_url)), {})
        prelabel = Prelabel(
            self._studio,
            self._drafts,
            work_for(row, ours.get("extra_params"), serving, self._projects, self._settings),
            over=lambda: self._closing.is_set() or self._fleet.of(project) is not serving,
            told=lambda tally, count: self._between_pages(project, state),
        )
        state.tally = prelabel.tally
        log.info("project %d: captioned again with %s, %s", project, serving.version, prelabel.run())

    def _between_pages(self, project: int, state: _State) -> None:
        """Other projects' names do not wait until this one's tasks are done; this one's turn is held already."""
        if self._due(project, state):
            self._link(project, state)
        for other, known in list(self._states.items()):
            if other != project and self._due(other, known):
                self._try(other, self._link)
