"""What captioning a project's tasks takes: by whom, into which field, how wide a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.projects import Projects
from backend.serving import Serving
from labeling.config import CaptionField
from settings import Settings


class NoWork(RuntimeError):
    """A project whose tasks cannot be captioned, and why."""


@dataclass(frozen=True)
class Work:
    """What is to be captioned, by whom, and where each prediction goes."""

    project: int
    serving: Serving
    field: CaptionField
    beam: int | None
    explore_share: float
    data_dir: Path

    @property
    def version(self) -> str:
        return self.serving.version


def work_for(
    row: Mapping[str, Any], extra_params: object, serving: Serving, projects: Projects, settings: Settings
) -> Work:
    """The work that a project is: `row` is its own in Label Studio, `extra_params` those of its ML backend.

    Raises NoWork where the label config has no caption to fill.
    """
    number = int(row["id"])
    found = projects.set_up(number, str(row["label_config"]), extra_params)
    if found.field is None:
        raise NoWork(f"the tasks of project {number} cannot be captioned: {found.problem}")
    beam = found.beam or settings.beam
    return Work(number, serving, found.field, beam, settings.explore_share, settings.data_dir)
