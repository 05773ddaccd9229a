"""A bulk's captions, handed to Label Studio through its import while it waits, and not in the answer.

Label Studio stores what it is answered one by one: each prediction saves its task twice and looks up the project's
counts, 25 ms in 1.23.2, in which the model has nothing to do. The import takes 1.5 ms for each, and counts all of the
project's tasks anew once. A task whose caption has been imported is answered `[]`, which leaves it as it is.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence

from backend.drafts import Answer, Task
from labeling.predictions import push
from labeling.session import LabelStudio, LabelStudioError

log = logging.getLogger(__name__)

# Seconds for each prediction that is answered and for each that is imported, and for each task of the project that an
# import counts.
ANSWERED_S, IMPORTED_S, COUNTED_S = 0.025, 0.0015, 0.0008
# Fewer are not worth asking how many tasks there are.
FEWEST = 50
# Label Studio gives up 10 s after PREDICT_BUDGET_S.
LONGEST_S = 8.0


def hand_over(
    studio: LabelStudio,
    project: int,
    tasks: Sequence[Task],
    answers: list[Answer],
    leave: Callable[[Sequence[Task]], None],
) -> list[Answer]:
    """The answers that are left to be given, `[]` for each whose prediction was imported.

    Nothing is lost: where nothing is stored, the answers stay as they were; where it is not known what was, the tasks
    are left to the background, which captions those that have no caption.
    """
    rows = {
        place: {"task": task["id"], **answer}
        for place, (task, answer) in enumerate(zip(tasks, answers, strict=True))
        if isinstance(answer, dict) and isinstance(task.get("id"), int)
    }
    if len(rows) < FEWEST or not pays(len(rows), _task_number(studio, project)):
        return answers
    try:
        stored = push(studio, project, list(rows.values()))
    except LabelStudioError as error:
        log.warning("%d captions of project %d could not be imported: %s", len(rows), project, error)
        if error.status is not None:
            return answers
        stored = None
    if stored == 0:  # an import drops what it thinks does not fit, in 1.23.2 all predictions of a Repeater
        return answers
    if stored != len(rows):
        leave([tasks[place] for place in rows])
    return [[] if place in rows else answer for place, answer in enumerate(answers)]


def pays(predictions: int, tasks: float) -> bool:
    """Whether Label Studio stores predictions sooner by importing them, in a project of so many tasks."""
    imported = predictions * IMPORTED_S + tasks * COUNTED_S
    return imported < min(predictions * ANSWERED_S, LONGEST_S)


def _task_number(studio: LabelStudio, project: int) -> float:
    """Tasks of the project; without end where that cannot be found out."""
    try:
        return int(studio.get(f"/api/projects/{project}/")["task_number"])
    except (LabelStudioError, KeyError, TypeError, ValueError) as error:
        log.warning("the tasks of project %d cannot be counted: %s", project, error)
        return math.inf
