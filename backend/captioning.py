"""CaptioningBackend: the plug-in as `label_studio_ml` knows it.

Three servers construct and call it, each in its own way:

    ours               CaptioningBackend(project_id=7, label_config=xml).predict(tasks, context=None)
    label-studio-ml 1  CaptioningBackend(label_config=xml, train_output={}, hostname=..., access_token=...)
                       .predict(tasks, login=..., password=..., context=None)
                       .fit((), event=..., data=..., job_id=..., workdir=...), in a process of its own
    its 2.x line       CaptioningBackend(7, xml).predict(tasks, context=None); .fit(event, data)

It is constructed for every request, so it holds nothing but the request's own facts; the model belongs to the process
(backend.service).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from label_studio_ml.model import LabelStudioMLBase

from backend import service
from backend.drafts import Answer, Order, is_urgent
from backend.heap import give_back
from backend.serving import Serving
from backend.webhook import WebhookError, event, project_number
from settings import load as load_settings
from trainer.marks import Hint, write_hint

log = logging.getLogger(__name__)


class CaptioningBackend(LabelStudioMLBase):  # type: ignore[misc]  # the package ships no types
    """Writes the first draft of every caption."""

    def __init__(
        self,
        project_id: str | int | None = None,
        label_config: str | None = None,
        train_output: Mapping[str, Any] | None = None,
        **server: Any,
    ) -> None:
        # Nothing is passed on: either base class would parse the label config, and fail on one it cannot parse.
        super().__init__()
        self.project = project_number(project_id)
        self.caption_config = label_config or ""
        # Release 1's server names the version itself, by its own count of jobs, and tells only /setup: a prediction
        # with another one would be asked for again at every look at the task.
        self._server_names_version = "hostname" in server or train_output is not None

    def setup(self) -> None:
        """Called by the 2.x base class when constructed: tell it the version that its `/setup` reports."""
        running = service.opened()
        if running is not None and hasattr(self, "set"):
            self.set("model_version", running.fleet.of(self.project).version)

    def predict(
        self, tasks: Sequence[Mapping[str, Any]], context: Mapping[str, Any] | None = None, **request: Any
    ) -> list[Answer]:
        """One answer a task: a prediction, or `[]` for one that failed. Never raises for a task's own fault.

        With a `context` in which a person has written already (interactive labelling), their words come back
        unchanged: another caption would replace them in the editor.
        """
        started = time.monotonic()
        running = service.shared()
        serving = running.fleet.of(self.project)
        written = _written(context)
        if written is not None:
            return self._stamped([{"model_version": serving.version, "result": written} for _ in tasks])
        return self._stamped(self._draft(tasks, running, serving, started))

    def fit(self, *tasks_or_event: Any, **facts: Any) -> dict[str, Any]:
        """Leave the mark of an event, as `fit(event, data)` or `fit((), event=..., data=...)`. Trains nothing here:
        a worker does, when enough has gathered."""
        positional = [one for one in tasks_or_event if not isinstance(one, list | tuple)]
        action = facts.get("event") or (positional[0] if positional else None)
        data = facts.get("data") or (positional[1] if len(positional) > 1 else {})
        try:
            seen = event({**(data if isinstance(data, Mapping) else {}), "action": action})
        except WebhookError as error:
            log.warning("event ignored: %s", error)
            return {"status": "ignored"}
        if seen.marks:
            _leave_mark(seen.project or self.project or 0, seen.action, seen.captions)
        return {"status": "marked" if seen.marks else "ignored"}

    def _draft(
        self, tasks: Sequence[Mapping[str, Any]], running: service.Service, serving: Serving, started: float
    ) -> list[Answer]:
        project = running.projects.of(self.project, self.caption_config)
        if project.field is None:
            log.warning("no captions for project %s: %s", self.project, project.problem)
            return [[] for _ in tasks]
        beam = project.beam or running.settings.beam
        deadline = started + running.settings.predict_budget_s
        order = Order(tasks, project.field, serving, beam, deadline)

        def late(places: list[int]) -> None:
            if self.project:
                running.leave(self.project, [tasks[place] for place in places])

        try:
            answers = running.drafts.write(order, late=late)
        finally:
            if not is_urgent(tasks):
                give_back()
        if self.project and not self._server_names_version:
            return running.hand_over(self.project, tasks, answers)
        return answers

    def _stamped(self, answers: list[Answer]) -> list[Answer]:
        if self._server_names_version:
            for answer in answers:
                if isinstance(answer, dict):
                    del answer["model_version"]
        return answers


def _written(context: Mapping[str, Any] | None) -> list[Any] | None:
    """The text regions of a person's unfinished annotation; None when there is no such annotation."""
    regions = context.get("result") if isinstance(context, Mapping) else None
    if not isinstance(regions, list):
        return None
    return [region for region in regions if isinstance(region, Mapping) and region.get("type") == "textarea"]


def _leave_mark(project: int, action: str, captions: int) -> None:
    """By the courier of this process, or in the spool for that of another: release 1 calls `fit` in a process that
    lives for one event, where opening the service would load the model."""
    running = service.opened()
    if running is not None:
        running.marks.raise_mark(project, action, captions=captions)
        return
    write_hint(service.spool(load_settings()), Hint(project, action, captions, time.time()))
