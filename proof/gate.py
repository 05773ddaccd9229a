"""How often the gate promotes what is no better, and how often it sees what is: by thousands of real captions.

    python -m proof gate --dataset flickr8k:FOLDER

The starter captions the dev split twice, with a beam of 1 and of 5: two captioners whose difference is known. A trial
makes a champion and a challenger by tossing, for each photo, which of the two speaks. With equal odds on both sides the
challenger is no better, though half of its captions differ; with better odds for the challenger it is better by a
known amount, the mean over many tosses.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.behaviour import behaviour
from model.captioner import Captioner
from model.datasets import load_dataset
from model.features import Features, build
from model.metrics import bleu4, bleu_statistics, words
from model.significance import compare_statistics
from model.starter import STARTER
from settings import Settings
from trainer.learning.gate import Evidence, Rules, Verdict, judge

TRIALS = 200
BASE = 0.25  # how often the better captioner speaks for the champion
GAINS = (0.5, 1.0, 1.5, 2.0)  # BLEU-4 points that the challenger is truly better by
TOSSES = 400
Texts = Sequence[str]


class Voices:
    """Two captioners' captions of the same photos, and what they are held against."""

    def __init__(self, weak: Texts, strong: Texts, references: Sequence[Texts], seed: int = 1) -> None:
        self.weak, self.strong, self.references = weak, strong, references
        self.chance = np.random.default_rng(seed)
        targets = [[words(reference) for reference in group] for group in references]
        self.statistics = [bleu_statistics([words(text) for text in texts], targets) for texts in (weak, strong)]

    def toss(self, odds: float) -> NDArray[np.bool_]:
        return self.chance.random(len(self.references)) < odds

    def speaking(self, strong: NDArray[np.bool_]) -> tuple[list[str], NDArray[np.int64]]:
        """What is said when the strong one speaks for these photos: captions, and what BLEU adds up of each."""
        pairs = zip(strong, self.weak, self.strong, strict=True)
        texts = [better if chosen else worse for chosen, worse, better in pairs]
        return texts, np.where(strong[:, None], self.statistics[1], self.statistics[0])

    def quality(self, odds: float) -> float:
        """BLEU-4 x100 to expect when the strong one speaks with these odds: the mean over many tosses."""
        weak, strong = self.statistics
        sums = [np.where(self.toss(odds)[:, None], strong, weak).sum(0) for _ in range(TOSSES)]
        return fmean(bleu4(np.array(sums)).tolist()) * 100

    def odds_for(self, gain: float) -> float:
        """The odds that make a challenger better than the champion of BASE by `gain` points."""
        wanted, low, high = self.quality(BASE) + gain, BASE, 1.0
        for _ in range(12):
            middle = (low + high) / 2
            low, high = (middle, high) if self.quality(middle) < wanted else (low, middle)
        return (low + high) / 2

    def trial(self, odds: float, rules: Rules) -> Verdict:
        (champion, ours), (challenger, theirs) = (self.speaking(self.toss(chance)) for chance in (BASE, odds))
        changed = sum(one != other for one, other in zip(champion, challenger, strict=True))
        found = compare_statistics(ours, theirs, changed=changed)
        return judge(rules, benchmark=Evidence(found, behaviour(champion), behaviour(challenger)), domain=None)


def voices(dataset: str, cache: Path) -> Voices:
    """The starter with beams of 1 and 5 on the dev split."""
    captioner, dev = Captioner.load(STARTER, device="cpu"), load_dataset(dataset, "dev")
    features = build(dev, captioner.encoder, cache)
    references = [dev.examples[row].captions for row in features.usable]
    weak, strong = ([one.text for one in captions(captioner, features, beam)] for beam in (1, 5))
    return Voices(weak, strong, references)


def captions(captioner: Captioner, features: Features, beam: int) -> list[Any]:
    rows = features.usable
    batches = (features.rows(rows[start : start + 50]) for start in range(0, len(rows), 50))
    return [one for grid in batches for one in captioner.caption_grid(grid, beam=beam)]


def replay(found: Voices, settings: Settings) -> dict[str, Any]:
    """200 trials without a gain and 200 with each of GAINS, through the gate as the trainer calls it."""
    rules = Rules(settings.gate, settings.gate_level, settings.gate_margin, settings.gate_images)
    null = [found.trial(BASE, rules) for _ in range(TRIALS)]
    naive = sum(verdict.figures["benchmark"]["comparison"]["difference"] > 0 for verdict in null)
    power = {}
    for gain in GAINS:
        odds = found.odds_for(gain)
        trials = [found.trial(odds, rules) for _ in range(TRIALS)]
        power[f"{gain:g}"] = 100 * fmean(verdict.promote for verdict in trials)
    return {
        "trials": TRIALS,
        "level": rules.level,
        "photos": len(found.references),
        "null_promoted_percent": 100 * fmean(verdict.promote for verdict in null),
        "null_promoted_by_any_improvement_percent": 100 * naive / TRIALS,
        "power_percent_by_gain": power,
    }
