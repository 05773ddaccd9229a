"""What was lost in the end: corrections, whole versions, the order of promotions. Each finding is a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from model.history import MOVES
from proof.site import Site
from proof.witness import Witness
from trainer.learning.decide import DECISIONS
from trainer.learning.files import read_json, read_rows


def reports(site: Site) -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """Every run of the project, the oldest first, with its report."""
    for folder in sorted(path for path in site.runs.glob("*") if path.is_dir()):
        yield folder, read_json(folder / "report.json")


def lost_corrections(site: Site) -> list[str]:
    """Captions that Label Studio has stored and the last decided run does not know."""
    decided = [folder for folder, report in reports(site) if report and report["event"] in DECISIONS]
    rows = read_rows(decided[-1] / "corrections.jsonl") if decided else []
    known = {row["key"]: row["captions"] for row in rows}
    return [
        f"{photo}: {text!r} is stored, {known.get(site.keys[photo])} is known"
        for photo, (_, text) in site.said.items()
        if known.get(site.keys[photo]) != [text]
    ]


def half_written(witness: Witness) -> list[str]:
    """Versions that were served and are not, or were not, what their names say."""
    witness.check()
    return [f"{version}: {fault}" for version, fault in witness.broken.items()]


def double_promotions(site: Site, witness: Witness) -> list[str]:
    """Breaks in the one line of moves that the project's pointer should have made."""
    moves = [line for line in site.store.history(site.name) if line["event"] in MOVES]
    own = site.store.own_champion(site.name)
    epochs = [int(line["epoch"]) for line in moves]
    found = [f"epoch {after} follows {before}" for before, after in pairwise(epochs) if after <= before]
    wanted = range(1, (own.epoch if own else 0) + 1)
    found += [f"epoch {epoch} has {epochs.count(epoch)} lines" for epoch in wanted if epochs.count(epoch) != 1]
    found += [f"epoch {epoch} was never the pointer's" for epoch in epochs if epoch not in wanted]
    twice = {by: count for by, count in Counter(str(line["by"]) for line in moves).items() if count > 1}
    found += [f"{by} was promoted {count} times" for by, count in twice.items()]
    lines = {int(line["epoch"]): str(line["version"]) for line in moves}
    for epoch, versions in witness.pointers.items():
        if versions != {lines.get(epoch)}:
            found.append(f"epoch {epoch} was seen at {sorted(versions)}, its line says {lines.get(epoch)}")
    return found
