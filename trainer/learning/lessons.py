"""What a fine-tuning sees: corrections that the champion has not learnt from yet, and photos replayed beside them.

Replayed are corrections of earlier trainings and photos of BASE_DATASET, half and half as far as there are. To learn
all corrections anew each time would cost more with every one of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from model.shelf import Shelf
from model.training.mixture import Lesson
from trainer.learning.base import Base
from trainer.learning.files import read_rows, write_rows
from trainer.learning.gather import Corrected, Gathered

Captions = tuple[str, ...]


@dataclass(frozen=True)
class Lessons:
    """`new` are learnt, each once an epoch; `replay` is what the rest of an epoch is drawn from."""

    new: Sequence[Lesson]
    replay: Sequence[Lesson]


def learnt_before(runs: Path, manifest: Mapping[str, object]) -> dict[str, Captions]:
    """The photos of this project that a version has learnt from, by key: those of the run that made it.

    A run gathers all corrections there are, so what its own champion had learnt is among them. Empty for a version
    that came from elsewhere.
    """
    path = runs / str(manifest.get("run")) / "corrections.jsonl"
    if not path.exists():
        return {}
    return {row["key"]: tuple(row["captions"]) for row in read_rows(path) if not row["held_out"]}


def divided(gathered: Gathered, before: Mapping[str, Captions]) -> tuple[list[Lesson], list[Lesson]]:
    """The corrections to learn, and the earlier ones; all of them to learn once more where none is new."""
    new = [photo for photo in gathered.learnt if before.get(photo.key) != photo.captions]
    earlier = [photo for photo in gathered.learnt if before.get(photo.key) == photo.captions]
    return (_lessons(new), _lessons(earlier)) if new else (_lessons(earlier), [])


def replayed(
    folder: Path,
    base: Base | None,
    shelf: Shelf,
    gathered: Gathered,
    earlier: Sequence[Lesson],
    *,
    count: int,
    seed: int,
    advance: Callable[[int], None] = lambda count: None,
) -> list[Lesson]:
    """`count` photos to replay, or as many as there are; from `replay.jsonl` if this run has chosen them before.

    Of BASE_DATASET never one of the benchmark, nor one that the annotators have described: held out, it must not be
    learnt from, and else their words are what counts.
    """
    path = folder / "replay.jsonl"
    if path.exists():
        return [Lesson(row["key"], tuple(row["captions"])) for row in read_rows(path)]
    chosen = pool(earlier, [], count // 2 if base else count, seed=seed)
    advance(len(chosen))
    if base:
        never = base.benchmark_keys | {photo.key for photo in gathered.photos}
        chosen += base.replay(shelf, count - len(chosen), seed=seed, never=never, advance=advance)
    write_rows(path, map(asdict, chosen))
    return chosen


def pool(earlier: Sequence[Lesson], base: Sequence[Lesson], count: int, *, seed: int) -> list[Lesson]:
    """Up to `count` photos to replay: half of them earlier corrections, each once, since the champion has seen these
    least; the rest from `base`."""
    share = count // 2 if base else count
    chance = random.Random(f"{seed}-pool")
    chosen = chance.sample([*earlier], min(share, len(earlier)))
    return chosen + chance.sample([*base], min(count - len(chosen), len(base)))


def wanted(new: int, share: float, epochs: int) -> int:
    """How many photos to replay: each epoch's share of them, drawn anew for every epoch."""
    return round(new * share / (1 - share)) * epochs


def share_of(lessons: Lessons, share: float) -> float:
    """The share of an epoch's photos that is replayed: what is asked for, but each photo once an epoch at most."""
    photos = len({lesson.key for lesson in lessons.replay})
    return min(share, photos / (photos + len(lessons.new)))


def _lessons(photos: Sequence[Corrected]) -> list[Lesson]:
    return [Lesson(photo.key, photo.captions) for photo in photos]
