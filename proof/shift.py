"""A domain shift: a captioner that never saw snow or water, then 500 corrected photos of snow and water.

    python -m proof shift --dataset flickr8k:FOLDER --encoder FILE.safetensors

Photos are sorted by what people wrote: of the new kind when two of their five captions have a word of WORDS, of the old
kind when none has. The benchmark is the dev photos of the old kind; effort is measured on unseen photos of the new.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from model import checkpoint as checkpoints
from model.datasets import Example
from model.significance import Comparison, compare
from model.training.finetune import FineTuneSettings
from model.vocabulary import tokenise
from proof.corpus import Corpus
from proof.rounds import Classroom, Recipe, caption_rows
from proof.scratch import RECIPE, train_from_scratch

WORDS = frozenset(
    "snow snowy snowboard snowboarder snowboarding ski skis skier skiing sled sledding water ocean sea wave waves "
    "surf surfer surfing surfboard pool swimming swim swims lake river beach wet splash splashes splashing boat "
    "kayak".split()
)
OLD_PHOTOS, CORRECTIONS, UNSEEN = 1800, 500, 400
# Two fifths of what is seen is new, the rest keeps what was known.
SHIFT_RECIPE = Recipe(
    settings=FineTuneSettings(epochs=12, batch=16, learning_rate=1e-3, dropout=0.4, ema=0.99), budget=15000
)


def kind(example: Example) -> str | None:
    """`new`, `old`, or None for a photo that only one of its captions puts in the snow."""
    about = sum(bool(WORDS & set(tokenise(caption))) for caption in example.captions)
    return "new" if about >= 2 else "old" if about == 0 else None


def run_shift(corpus: Corpus, folder: Path) -> dict[str, Any]:
    """The starter's and the challenger's figures on both kinds, with the gate's comparison on the old one."""
    train, dev = corpus.train.examples, corpus.dev.examples
    old = [row for row in corpus.order if kind(train[row]) == "old"]
    new = [row for row in corpus.order if kind(train[row]) == "new"]
    old_dev = [row for row in corpus.dev_features.usable if kind(dev[row]) == "old"]
    judged = corpus.judged_by(old_dev)
    starter = train_from_scratch(judged.part(old[:OLD_PHOTOS]), folder / "starter", replace(RECIPE, epochs=10))
    classroom = Classroom(judged, folder / "corrections", starter, old[:OLD_PHOTOS], SHIFT_RECIPE)
    unseen = new[CORRECTIONS : CORRECTIONS + UNSEEN]
    before = classroom.efforts(unseen)
    line = classroom.round(1, new[:CORRECTIONS])
    challenger = folder / "corrections" / "round-1" / "challenger"
    classroom.champion_folder = challenger
    after = classroom.efforts(unseen)
    return {
        "photos": {"old": OLD_PHOTOS, "corrections": CORRECTIONS, "unseen": UNSEEN, "old_dev": len(old_dev)},
        "starter": before,
        "challenger": after,
        "effort_reduction_percent": 100 * (1 - after["edits"] / before["edits"]),
        "old_kind": line,
        "old_kind_bleu4_loss": -line["difference"],
        "new_kind": asdict(compare_on(corpus, starter, challenger, unseen)),
    }


def compare_on(corpus: Corpus, starter: Path, challenger: Path, rows: list[int]) -> Comparison:
    """Both models on train photos that neither has seen."""
    ours, theirs = (caption_rows(checkpoints.load(path), corpus.train_features, rows) for path in (starter, challenger))
    return compare(ours, theirs, [corpus.train.examples[row].captions for row in rows])
