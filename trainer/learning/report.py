"""A decision in plain words, on one screen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainer.learning.decide import NOTHING, PROMOTION, REFUSED, REJECTION
from trainer.learning.gate import BENCHMARK, DOMAIN, PLACE, photos

HEADS = {
    PROMOTION: "PROMOTED {challenger}",
    REJECTION: "KEPT {champion}",
    REFUSED: "NOT PROMOTED {challenger}",
    NOTHING: "NOTHING TO LEARN",
}


def text(report: dict[str, Any], folder: Path) -> str:
    """`report` is report.json, `folder` the run's."""
    return "\n".join(lines(report, folder))


def lines(report: dict[str, Any], folder: Path) -> Iterator[str]:
    yield HEADS[report["event"]].format(**{"challenger": "", "champion": report["champion"]} | report)
    yield report["reason"]
    yield ""
    corrections = report["corrections"]
    yield (
        f"corrections  {photos(corrections['learnt'])} learnt, {corrections['held_out']} held out, "
        f"{corrections['accepted']} drafts accepted unchanged"
    )
    if left_out := {**corrections["excluded"], **corrections["failed_pictures"]}:
        yield "left out     " + ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in left_out.items())
    if "replayed" in report:
        yield f"lessons      {photos(report['lessons'])} not learnt before, among {report['replayed']} to replay"
    if report.get("grown"):
        yield f"new words    {', '.join(report['grown'])}"
    yield from compared(report.get("gate", {}))
    for note in report.get("notes", ()):
        yield f"note         {note}"
    yield f"time         {', '.join(f'{stage} {seconds:.0f} s' for stage, seconds in report['seconds'].items())}"
    if report.get("challenger_folder"):
        yield f"challenger   {report['challenger_folder']}"
    yield f"serves now   {report['serves']}"
    yield f"report       {folder / 'report.json'}"


def compared(gate: dict[str, Any]) -> Iterator[str]:
    """Champion and challenger, side by side, on each set of photos."""
    for name in (BENCHMARK, DOMAIN):
        if name not in gate:
            continue
        comparison, decides = gate[name]["comparison"], " (decides)" if name == gate["decides"] else ""
        yield (
            f"{name:<12} BLEU-4 {comparison['champion']:.2f} -> {comparison['challenger']:.2f} "
            f"({comparison['difference']:+.2f}, 95 %: {comparison['low']:+.2f} to {comparison['high']:+.2f}, "
            f"p = {comparison['p']:.4f}), {comparison['changed']} of {comparison['images']} captions changed, on "
            f"{PLACE[name]}{decides}"
        )
