"""The decision: the pointer first, the history with it, the report last. Each step may be repeated after a kill.

The store refuses a promotion if the pointer moved since the run began, or if another training began after this one.
That is recorded as `refused`, not as a rejection: the challenger was never compared with who serves now.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.checkpoint import read_json
from model.durable import replace
from model.engines.preparing import prepare
from model.store import Champion, Moved, StaleTrainer, Store
from trainer.learning.begin import Start
from trainer.learning.files import write_json
from trainer.learning.gate import Verdict

PROMOTION, REJECTION, NOTHING, REFUSED = "promotion", "rejection", "nothing-to-learn", "refused"
FAILURE, FIGURES = "failure", "figures"
DECISIONS = (PROMOTION, REJECTION, NOTHING, REFUSED)

Figures = dict[str, Any]


@dataclass(frozen=True)
class Decision:
    """`event` is one of DECISIONS; `champion` is who serves the project now."""

    event: str
    reason: str
    champion: Champion | None


def decide(store: Store, start: Start, fence: int, challenger: Path, verdict: Verdict, figures: Figures) -> Decision:
    """Promote the challenger, or record why not."""
    if not verdict.promote:
        return record(store, start, REJECTION, verdict.reason, figures)
    serving = store.champion(start.project)
    if serving is not None and serving.version != start.champion and serving.by != start.by:
        # Without a pointer of its own the project is served by default's, whose moves its own epoch does not show.
        return refuse(store, start, f"champion is {serving.version} now, it was {start.champion}", figures)
    try:
        champion = promote(store, start, fence, challenger, verdict.reason, figures)
    except (Moved, StaleTrainer) as error:
        return refuse(store, start, str(error), figures)
    return Decision(PROMOTION, verdict.reason, champion)


def promote(store: Store, start: Start, fence: int, challenger: Path, reason: str, figures: Figures) -> Champion:
    version = store.publish(challenger)
    prepare(store, version)
    champion = store.promote(
        version,
        start.project,
        expect_epoch=start.epoch,
        by=start.by,
        reason=reason,
        fence=fence,
        figures=figures,
    )
    if not any("run" in line for line in ours(store, start)):
        # A crash came between the pointer and its line, which the store has mended without what only the run knows.
        store.record(FIGURES, start.project, by=start.by, reason=reason, figures=figures)
    return champion


def refuse(store: Store, start: Start, why: str, figures: Figures) -> Decision:
    reason = f"The challenger passed the gate, but was compared with a champion of the past: {why}."
    return record(store, start, REFUSED, reason, figures)


def record(store: Store, start: Start, event: str, reason: str, figures: Figures) -> Decision:
    """Write the event into the history, once a run."""
    if not any(line["event"] in DECISIONS for line in ours(store, start)):
        store.record(event, start.project, by=start.by, reason=reason, figures=figures)
    return Decision(event, reason, store.champion(start.project))


def ours(store: Store, start: Start) -> list[dict[str, Any]]:
    """What the history says of this run."""
    return [line for line in store.history(start.project) if line.get("by") == start.by]


def state_facts(challenger: Path, facts: dict[str, Any]) -> None:
    """Put what became known after the weights were stored into the challenger's manifest."""
    path = challenger / "manifest.json"
    replace(path, json.dumps(read_json(path) | facts, indent=2) + "\n")


def report(folder: Path, decision: Decision, facts: dict[str, Any]) -> dict[str, Any]:
    """Write `report.json`, which closes the run."""
    champion = decision.champion
    content = {
        "run": folder.name,
        "event": decision.event,
        "reason": decision.reason,
        "serves": champion.version if champion else None,
        "epoch": champion.epoch if champion else None,
        **facts,
    }
    write_json(folder / "report.json", content)
    return content
