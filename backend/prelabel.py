"""Caption a project's unlabelled tasks with one version, and hand the predictions to Label Studio.

Pages of tasks, by number; after each a bookmark, so that a stop costs a page at most. Within a page the scores are
handed out anew, so that sorting by them offers the photos that teach most (model/acquisition.py); the score of the
caption itself stays with its region.

A task's older prediction of ours is rewritten in place, since an annotator may have it open: one that is deleted could
not be submitted from any more. What is left over after that is deleted, but only where nobody has begun: Label Studio
would show it as a tab.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backend import bookmark
from backend.bookmark import Bookmark
from backend.drafts import Drafts, Order
from backend.links import is_ours
from backend.work import Work
from labeling.predictions import delete_predictions, older_of, push, rewrite, unlabelled
from labeling.session import LabelStudio, LabelStudioError
from model import acquisition
from model.captioner import Caption

log = logging.getLogger(__name__)

Row = dict[str, Any]

PAGE = 100
# An annotator's request waits for the batch in hand: so many pictures at most.
AT_ONCE = 4
# Tasks are given up for their own faults, not for lack of time.
PATIENCE_S = 600.0


@dataclass
class Tally:
    """What became of the tasks so far: `replaced` are those of the captioned that had an older caption of ours, and
    `deleted` counts surplus ones. `finished`: whether the last page was reached."""

    captioned: int = 0
    replaced: int = 0
    skipped: int = 0
    failed: int = 0
    deleted: int = 0
    finished: bool = False


@dataclass
class _Page:
    """Tasks of a page that have a caption now: each task's prediction, and how its pictures look."""

    predictions: list[Row] = field(default_factory=list)
    pooled: list[Any] = field(default_factory=list)
    failed: int = 0


class Prelabel:
    """`over()` is asked before every few tasks whether to stop; `told(tally, count)` is called after each page."""

    def __init__(
        self,
        studio: LabelStudio,
        drafts: Drafts,
        work: Work,
        *,
        over: Callable[[], bool] = lambda: False,
        told: Callable[[Tally, int], None] = lambda tally, count: None,
    ) -> None:
        self._studio = studio
        self._drafts = drafts
        self._work = work
        self._over = over
        self._told = told
        self.tally = Tally()

    def run(self) -> Tally:
        """Go on behind the bookmark, from the first task without one. Call it while holding the project's turn.

        Raises LabelStudioError, and OSError where DATA_DIR cannot be written.
        """
        work, version = self._work, self._work.version
        mark = bookmark.read(work.data_dir, work.project)
        if mark is None or mark.version != version or mark.done:
            mark = Bookmark(version)
        for rows in unlabelled(self._studio, work.project, after_task=mark.after, page_size=PAGE):
            if not self._page(rows):
                return self.tally
            mark = Bookmark(version, int(rows[-1]["id"]))
            bookmark.write(work.data_dir, work.project, mark)
            self._told(self.tally, len(rows))
        bookmark.write(work.data_dir, work.project, Bookmark(version, mark.after, done=True))
        self.tally.finished = True
        return self.tally

    def _page(self, rows: Sequence[Row]) -> bool:
        """Caption what lacks this version, and store it. False, and nothing stored, if it is over."""
        waiting = [row for row in rows if not _has(row, self._work.version)]
        page = self._captioned(waiting)
        if page is None:
            return False
        self.tally.failed += page.failed
        # While they were captioned, some were opened and have this version by now, some were submitted or deleted.
        now = {row["id"]: row for row in self._again(rows)}
        done = {number for number, row in now.items() if _has(row, self._work.version)}
        wanted = [one for one in self._scored(page, seed=int(rows[0]["id"])) if one["task"] in now.keys() - done]
        older = {number: sorted(older_of(row, self._work.version, is_ours)) for number, row in now.items()}
        new = [one for one in wanted if not self._rewritten(one, older[one["task"]])]
        stored = self._push(new)
        self.tally.captioned += stored
        self.tally.failed += len(new) - stored
        self.tally.skipped += len(rows) - page.failed - len(wanted)
        surplus = [number for task in sorted(done | {one["task"] for one in wanted}) for number in older[task]]
        self.tally.deleted += delete_predictions(self._studio, surplus)
        return True

    def _again(self, rows: Sequence[Row]) -> list[Row]:
        """The tasks of a page that are unlabelled still, as they are now."""
        first, last = int(rows[0]["id"]), int(rows[-1]["id"])
        page = next(unlabelled(self._studio, self._work.project, after_task=first - 1, page_size=len(rows)), [])
        return [row for row in page if int(row["id"]) <= last]

    def _rewritten(self, prediction: Row, older: list[int]) -> bool:
        """Put it in the place of the newest of the older ones; False if there is none. Takes it off the list."""
        while older:
            if rewrite(self._studio, older.pop(), prediction):
                self.tally.captioned += 1
                self.tally.replaced += 1
                return True
        return False

    def _captioned(self, rows: Sequence[Row]) -> _Page | None:
        page = _Page()
        for start in range(0, len(rows), AT_ONCE):
            few, looks = rows[start : start + AT_ONCE], defaultdict[int, list[Any]](list)

            def seen(place: int, caption: Caption, looks: dict[int, list[Any]] = looks) -> None:
                looks[place].append(caption.pooled)

            answers = [] if self._over() else self._drafts.write(self._order(few), seen)
            if self._over():  # then an empty answer says nothing about its task
                return None
            for place, (row, answer) in enumerate(zip(few, answers, strict=True)):
                if isinstance(answer, dict):
                    page.predictions.append({"task": row["id"], **answer})
                    page.pooled.append(np.mean(looks[place], axis=0))
                else:
                    page.failed += 1
        return page

    def _order(self, rows: Sequence[Row]) -> Order:
        work = self._work
        return Order(rows, work.field, work.serving, work.beam, time.monotonic() + PATIENCE_S, urgent=False)

    def _scored(self, page: _Page, seed: int) -> list[Row]:
        """The page's predictions with its scores handed out in the order in which their tasks should be offered."""
        if not page.predictions:
            return []
        confidence = np.array([one["score"] for one in page.predictions])
        share = self._work.explore_share
        positions = acquisition.order(confidence, np.stack(page.pooled), random_share=share, seed=seed)
        scores = acquisition.spread_scores(confidence, positions)
        return [one | {"score": float(score)} for one, score in zip(page.predictions, scores, strict=True)]

    def _push(self, predictions: Sequence[Row]) -> int:
        """Import predictions; how many Label Studio stored. One deleted task makes it refuse all the others."""
        try:
            return push(self._studio, self._work.project, predictions)
        except LabelStudioError as error:
            if error.status != 400:
                raise
            if len(predictions) > 1:
                return sum(self._push([one]) for one in predictions)
            log.warning("the caption of task %s was refused: %s", predictions[0]["task"], error)
            return 0


def _has(row: Row, version: str) -> bool:
    return any(one.get("model_version") == version for one in row.get("predictions") or ())
