"""What Label Studio has told about each project: its label config's caption field, and its extra parameters.

Label Studio sends `/setup` before every prediction, so this is a cache in memory and nothing is lost with it.
"""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labeling.config import CaptionField, LabelConfigError, advice, caption_field

log = logging.getLogger(__name__)

MOST_PROJECTS = 1000
EXTRAS = ("beam", "caption_field")


@dataclass(frozen=True)
class Project:
    """`field` is None when the label config cannot be served; `problem` then says why. `beam` and `prefer` come from
    the extra parameters of the ML backend in Label Studio, and win over the settings."""

    label_config: str
    field: CaptionField | None
    problem: str | None
    advice: tuple[str, ...] = ()
    beam: int | None = None
    prefer: str | None = None

    def explained(self) -> dict[str, Any]:
        """For the answer to `/setup`, and for people who read it."""
        if self.field is None:
            return {"served": False, "problem": self.problem}
        return {"served": True, "field": self.field.from_name, "image": self.field.value, "advice": list(self.advice)}


class Projects:
    """The projects heard of, by number. `prefer` names the TextArea to fill unless a project says otherwise."""

    def __init__(self, prefer: str | None = None) -> None:
        self._prefer = prefer
        self._known: OrderedDict[int | None, Project] = OrderedDict()

    def set_up(self, number: int | None, label_config: str, extra_params: object) -> Project:
        """Take in what `/setup` says. A label config that cannot be served is explained, never refused."""
        beam, prefer, problems = _extras(extra_params)
        known = self._known.get(number)
        if known is not None and (known.label_config, known.beam, known.prefer) == (label_config, beam, prefer):
            return known
        project = self._read(label_config, beam, prefer)
        for text in (*problems, *([project.problem] if project.problem else []), *project.advice):
            log.warning("project %s: %s", number, text)
        self._remember(number, project)
        return project

    def of(self, number: int | None, label_config: str) -> Project:
        """The project as `/predict` names it, whose label config is sent along and is the newest."""
        known = self._known.get(number)
        if known is not None and known.label_config == label_config:
            return known
        return self._read(label_config, known.beam if known else None, known.prefer if known else None)

    def all(self) -> Mapping[int | None, Project]:
        return dict(self._known)

    def _read(self, label_config: str, beam: int | None, prefer: str | None) -> Project:
        try:
            found = caption_field(label_config, prefer=prefer or self._prefer)
        except LabelConfigError as error:
            return Project(label_config, None, str(error), beam=beam, prefer=prefer)
        return Project(label_config, found, None, tuple(advice(label_config)), beam, prefer)

    def _remember(self, number: int | None, project: Project) -> None:
        self._known[number] = project
        self._known.move_to_end(number)
        while len(self._known) > MOST_PROJECTS:
            self._known.popitem(last=False)


def _extras(sent: object) -> tuple[int | None, str | None, list[str]]:
    """Beam, caption field and complaints from `extra_params`: an object, or a JSON text of one."""
    if isinstance(sent, str) and sent.strip():
        try:
            sent = json.loads(sent)
        except ValueError:
            return None, None, ["the extra parameters are not JSON, so they are ignored"]
    if not isinstance(sent, Mapping):
        return None, None, []
    problems = [
        f"extra parameter {key!r} is not known; known are {', '.join(EXTRAS)}" for key in sent if key not in EXTRAS
    ]
    beam, prefer = sent.get("beam"), sent.get("caption_field")
    if beam is not None and (isinstance(beam, bool) or not isinstance(beam, int) or not 1 <= beam <= 20):
        problems.append("extra parameter 'beam' must be a whole number from 1 to 20, so it is ignored")
        beam = None
    return beam, prefer if isinstance(prefer, str) else None, problems
