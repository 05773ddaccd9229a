"""Challengers of runs that came to a decision: one that was promoted lies in the store, one that was turned down serves
nobody. The latest of each project stays, since the next run may go on from it (see apprentice)."""

from __future__ import annotations

from pathlib import Path

from model.pruning import age
from trainer.learning.apprentice import challenger


def spent(runs: Path, older_than_s: float) -> list[Path]:
    """The folders of challengers that nobody needs and nobody has touched for so long. `runs`: MODEL_DIR/runs."""
    found: list[Path] = []
    for project in sorted(runs.glob("*/")):
        ended = (challenger(project, report.parent.name) for report in sorted(project.glob("*/report.json")))
        there = [folder for folder in ended if folder.is_dir()]
        found += [folder for folder in there[:-1] if age(folder) > older_than_s]
    return found
