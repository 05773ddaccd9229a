"""By which captions replayed photos are learnt: those that agree best, of people's and of what the champion proposes.

What annotators have written just now is learnt as they wrote it; what is replayed only keeps the champion where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from model.checkpoint import Checkpoint
from model.training.agreement import agreed, instead, several
from model.training.mixture import Lesson
from trainer.learning.files import read_rows, write_rows
from trainer.learning.tools import Tools, grids


def agreeing(folder: Path, champion: Checkpoint, replay: Sequence[Lesson], kept: int, tools: Tools) -> list[Lesson]:
    """The photos of `replay`, those with several captions by the `kept` best; 0 changes nothing.

    `agreed.jsonl` in the run's folder holds what was chosen, so that a resumed run learns the same.
    """
    path = folder / "agreed.jsonl"
    if not path.exists():
        found = several(replay) if kept else []
        if found:
            features = grids(champion, [lesson.key for lesson in found], tools)
            with tools.track("captions that agree", len(found)) as advance:
                found = agreed(found, features, champion, kept, device=tools.device, advance=advance)
        write_rows(path, map(asdict, found))
    return instead(replay, [Lesson(row["key"], tuple(row["captions"])) for row in read_rows(path)])
