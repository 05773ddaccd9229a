"""How captions are searched, chosen by BLEU-4 on a validation split: the beam, then the weight of length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.beam import captions
from model.captioner import Captioner
from model.checkpoint import Decoding
from model.datasets import Dataset
from model.features import sound_batches
from model.metrics import Scores, score
from model.preprocess import to_float
from model.progress import Progress

BEAMS = (1, 3, 4, 5)
SERVED = (3, 4, 5)
POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
BATCH = 20


@dataclass(frozen=True)
class Trial:
    decoding: Decoding
    scores: Scores


class Encoded:
    """A split's features (N, 49, C), encoded once for all trials, and its references."""

    def __init__(self, captioner: Captioner, dataset: Dataset) -> None:
        self.captioner = captioner
        grids: list[Tensor] = []
        self.references: list[tuple[str, ...]] = []
        with Progress(f"encoding {dataset.name} {dataset.split}", len(dataset.examples)) as progress:
            for sound in filter(None, sound_batches(dataset, BATCH)):
                grids.append(captioner.encode([to_float(pixels) for _, pixels in sound]))
                self.references += [example.captions for example, _ in sound]
                progress.advance(len(sound))
        self.grid = torch.cat(grids)

    def captions(self, decoding: Decoding) -> Iterator[str]:
        decoder, vocabulary = self.captioner.decoder, self.captioner.vocabulary
        for start in range(0, len(self.grid), BATCH):
            rows = self.grid[start : start + BATCH]
            yield from captions(decoder, vocabulary, rows, decoding.beam, length_power=decoding.length_power)

    def score(self, decoding: Decoding) -> Trial:
        return Trial(decoding, score(list(self.captions(decoding)), self.references))


def choose(encoded: Encoded) -> tuple[Trial, Sequence[Trial]]:
    """The best decoding with a beam of 3 to 5, and every trial; each beam is tried at the best length weight, too."""
    trials: list[Trial] = []
    with Progress("decodings tried", 2 * len(BEAMS) + len(POWERS) - 2) as progress:

        def attempt(decodings: Iterable[Decoding]) -> None:
            for decoding in decodings:
                if decoding not in [trial.decoding for trial in trials]:
                    trials.append(encoded.score(decoding))
                progress.advance(1, describe(trials[-1]))

        attempt(Decoding(beam, 0.0) for beam in BEAMS)
        beam = best(trials).decoding.beam
        attempt(Decoding(beam, power) for power in POWERS[1:])
        power = best(trials).decoding.length_power
        attempt(Decoding(other, power) for other in BEAMS if other != beam)
    return best(trials), trials


def best(trials: Sequence[Trial]) -> Trial:
    return max((t for t in trials if t.decoding.beam in SERVED), key=lambda t: t.scores.bleu4)


def describe(trial: Trial) -> str:
    return f"beam {trial.decoding.beam}, length {trial.decoding.length_power}: BLEU-4 {trial.scores.bleu4:.2f}"
