"""Captions that most people would agree with: of a photo's own and of those that the model proposes, the best few.

Cross-entropy on these, instead of on all that people wrote, moves the model towards captions that score well, as
self-critical training does by sampling, at the price of one beam search a photo (expert iteration; consensus as in
Phan et al., 2017). Each round proposes from a better model: to go on, start the stage again from its own checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from model.beam import ranked_hypotheses
from model.checkpoint import Checkpoint
from model.durable import replace
from model.training.batches import LONGEST, Source
from model.training.reward import Reward
from model.vocabulary import END, Vocabulary, join

BATCH = 32


class Consensus:
    """The inputs of `source`, each with captions of its own."""

    def __init__(self, source: Source, captions: Sequence[Sequence[str]]) -> None:
        self.source, self.captions = source, captions

    def __len__(self) -> int:
        return len(self.source)

    def load(self, items: Sequence[int], epoch: int) -> tuple[Tensor, list[Sequence[str]]]:
        inputs, _ = self.source.load(items, epoch)
        return inputs, [self.captions[item] for item in items]


def settled(path: Path, chosen: Callable[[], list[list[str]]]) -> list[list[str]]:
    """The captions in the file at `path`, which a run keeps so as to go on with the same; chosen where it is not."""
    if not path.exists():
        replace(path, json.dumps(chosen(), ensure_ascii=False, indent=0) + "\n")
    found: list[list[str]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def choose(
    checkpoint: Checkpoint,
    source: Source,
    reward: Reward,
    proposals: int,
    kept: int,
    device: str = "cpu",
    advance: Callable[[int], None] = lambda count: None,
) -> list[list[str]]:
    """For each item the `kept` best captions, the best first; `proposals` is the beam that the model proposes from."""
    decoder, vocabulary = checkpoint.decoder.to(device).eval(), checkpoint.vocabulary
    chosen: list[list[str]] = []
    for start in range(0, len(source), BATCH):
        inputs, written = source.load(range(start, min(start + BATCH, len(source))), 0)
        found = ranked_hypotheses(decoder, inputs.to(device), proposals)
        for hypotheses, people in zip(found, written, strict=True):
            proposed = [join(vocabulary.decode(hypothesis.tokens)) for hypothesis in hypotheses]
            chosen.append(best(proposed, people, vocabulary, reward)[:kept])
        advance(len(written))
    return chosen


def best(proposed: Sequence[str], people: Sequence[str], vocabulary: Vocabulary, reward: Reward) -> list[str]:
    """All captions of one photo, those first that are worth most by what (other) people wrote.

    A caption of somebody is held against the photo's others; the only one that there is comes first.
    """
    references = [[*vocabulary.encode(text)[:LONGEST], END] for text in people]
    own = [[*vocabulary.encode(text), END] for text in proposed]
    worth = dict(zip(proposed, reward.worth(own, [references])[0].tolist(), strict=True))
    for row, text in enumerate(people):
        others = references[:row] + references[row + 1 :]
        value = float(reward.worth([references[row]], [others])[0, 0]) if others else float("inf")
        worth[text] = max(value, worth.get(text, value))
    return sorted(worth, key=lambda text: -worth[text])
