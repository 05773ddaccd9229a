"""From Label Studio's corrections to photos with captions: what this run may learn from, and what it is judged by.

The same photo in two tasks, or by two annotators, is one photo with the captions of both. A photo is held out by its
content (see holdout), and so is one that belongs to the benchmark, which nothing may be learnt from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labeling.corrections import Correction, Harvest
from model.vocabulary import tokenise
from trainer.learning.files import read_json, read_rows, write_json, write_rows
from trainer.learning.holdout import held_out
from trainer.learning.pictures import Found, Pictures


class GatherError(RuntimeError):
    """The corrections cannot be used at all: says why and what to do."""


@dataclass(frozen=True)
class Corrected:
    """One photo as people describe it. `key` names its content."""

    key: str
    captions: tuple[str, ...]
    tasks: tuple[int, ...]
    held_out: bool


@dataclass(frozen=True)
class Gathered:
    """`counts` is what the history says of the corrections; `recent` and `watermark` are the harvest's."""

    photos: tuple[Corrected, ...]
    counts: dict[str, Any]
    watermark: str
    recent: dict[str, str]

    @property
    def learnt(self) -> list[Corrected]:
        return [photo for photo in self.photos if not photo.held_out]

    @property
    def kept(self) -> list[Corrected]:
        return [photo for photo in self.photos if photo.held_out]


def gathered(folder: Path) -> Gathered | None:
    """What this run has gathered before; None if it has not come that far."""
    facts = read_json(folder / "harvest.json")
    if facts is None:
        return None
    rows = read_rows(folder / "corrections.jsonl")
    photos = (Corrected(r["key"], tuple(r["captions"]), tuple(r["tasks"]), r["held_out"]) for r in rows)
    return Gathered(tuple(photos), facts["counts"], facts["watermark"], facts["recent"])


def gather(
    folder: Path,
    harvest: Harvest,
    pictures: Pictures,
    *,
    accepted: bool,
    share: float,
    benchmark: Collection[str] = (),
    advance: Callable[[int], None] = lambda count: None,
) -> Gathered:
    """Fetch the pictures and write `corrections.jsonl` and, last, `harvest.json`.

    `accepted`: learn from drafts that were accepted unchanged, too. Raises GatherError if no picture can be had.
    """
    taken = [*harvest.corrections, *(harvest.accepted if accepted else ())]
    found = pictures.find(addresses(taken), advance)
    if found.failed and not found.keys:
        raise GatherError(
            f"none of the {found.failed.total()} pictures of the corrections can be read. The first: {found.example} "
            "Check the connection with: python -m backend doctor"
        )
    photos = merged(taken, found.keys, share, benchmark)
    result = Gathered(tuple(photos), counted(photos, harvest, found, taken), harvest.watermark, dict(harvest.recent))
    write_rows(folder / "corrections.jsonl", map(asdict, photos))
    facts = {"counts": result.counts, "watermark": result.watermark, "recent": result.recent}
    write_json(folder / "harvest.json", facts | {"example_of_failure": found.example})
    return result


def addresses(corrections: Iterable[Correction]) -> dict[str, int]:
    """Each picture's address once, with a task that shows it."""
    found: dict[str, int] = {}
    for correction in corrections:
        found.setdefault(correction.uri, correction.task)
    return found


def merged(
    corrections: Iterable[Correction], keys: Mapping[str, str], share: float, benchmark: Collection[str]
) -> list[Corrected]:
    """One entry a photo, in the order of first sight; captions without a word, and pictures not had, are left out."""
    captions: dict[str, dict[str, None]] = {}
    tasks: dict[str, dict[int, None]] = {}
    for correction in corrections:
        worded = [caption for caption in correction.captions if tokenise(caption)]
        key = keys.get(correction.uri)
        if key and worded:
            captions.setdefault(key, {}).update(dict.fromkeys(worded))
            tasks.setdefault(key, {})[correction.task] = None
    return [
        Corrected(key, tuple(texts), tuple(tasks[key]), key in benchmark or held_out(key, share))
        for key, texts in captions.items()
    ]


def counted(
    photos: Collection[Corrected], harvest: Harvest, found: Found, taken: Collection[Correction]
) -> dict[str, Any]:
    """What the history says of the corrections. `learnt` and `held_out` count photos."""
    excluded = Counter(harvest.excluded)
    del excluded["accepted"]  # counted by itself
    excluded["wordless"] += sum(not any(map(tokenise, correction.captions)) for correction in taken)
    return {
        "learnt": sum(not photo.held_out for photo in photos),
        "held_out": sum(photo.held_out for photo in photos),
        "captions": sum(len(photo.captions) for photo in photos if not photo.held_out),
        "accepted": len(harvest.accepted),
        "excluded": {reason: count for reason, count in excluded.items() if count},
        "failed_pictures": dict(found.failed),
    }
