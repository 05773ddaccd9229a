"""Where a fine-tuning begins: at the champion, or at the last challenger against it, if that was not surely worse.

A gain too small to be sure of is not lost by a rejection: the next challenger goes on from there, and learns what has
come since. It is compared with the champion all the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from model.store import Champion
from trainer.learning.files import read_json

UNDECIDED = ("superseded", "nothing-to-learn")


def apprentice(runs: Path, champion: Champion) -> str | None:
    """The latest run that came to a decision, if its challenger is worth going on from; else None.

    It was rejected against this same champion, and neither lost by more than chance nor drew a warning.
    """
    for folder in sorted(runs.glob("*/"), reverse=True):
        report = read_json(folder / "report.json")
        if report is not None and report.get("event") not in UNDECIDED:
            return folder.name if worthy(report, champion) and challenger(runs, folder.name).is_dir() else None
    return None


def worthy(report: dict[str, Any], champion: Champion) -> bool:
    same = (report.get("champion"), report.get("epoch")) == (champion.version, champion.epoch)
    gate = report.get("gate", {})
    comparison = gate.get(gate.get("decides"), {}).get("comparison")
    if not same or report["event"] != "rejection" or comparison is None:
        return False
    return bool(comparison["high"] > 0 and not gate["warnings"])


def challenger(runs: Path, run: str) -> Path:
    """Where a run keeps its challenger."""
    return runs / run / "challenger"
