"""Batched beam search over any `Stepper`: the decoder in torch, or the same decoder in another engine.

All images and beams of a batch advance together, K rows an image. A hypothesis that ends leaves the beam; an image is
done when K of its hypotheses have ended, and at the length limit the running ones count as they stand, so that there is
always a caption. Where only the best is wanted, an image is also done once no running hypothesis can overtake it. The
rows of an image that is done are computed no longer. With K = 1 this is greedy decoding.

The scores of all words stay with the decoder. Of each step it hands out the likeliest few words of each row, and for so
few plain Python is faster than a dozen small tensor operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

from model.attention import Memory
from model.decoder import State
from model.stepper import Stepper
from model.vocabulary import END, PAD, START, UNKNOWN, Vocabulary, join

MAX_WORDS = 30
NEVER = float("-inf")
UNSAID = (PAD, START, UNKNOWN)


@dataclass(frozen=True)
class Hypothesis:
    """A finished caption: word indices without <end>, the sum of their log-probabilities, where each word looked."""

    tokens: tuple[int, ...]
    log_probability: float
    steps: int  # words, and <end> if it was reached
    attention: Tensor  # (words, 49)


def beam_search(
    decoder: Stepper, grid: Tensor, beam: int, *, max_words: int = MAX_WORDS, length_power: float = 0.0
) -> list[Hypothesis]:
    """Grid features (B, 49, C) to the best caption of each image: the first of `ranked_hypotheses`."""
    return [found[0] for found in search(decoder, grid, Rules(beam, max_words, length_power, best_only=True))]


def ranked_hypotheses(
    decoder: Stepper, grid: Tensor, beam: int, *, max_words: int = MAX_WORDS, length_power: float = 0.0
) -> list[list[Hypothesis]]:
    """Grid features (B, 49, C) to the captions that each image's search ended with, K at most, the best first.

    Hypotheses are ranked by log-probability / steps ** length_power: 0 is the plain sum, 1 the mean per word.
    """
    return search(decoder, grid, Rules(beam, max_words, length_power))


class Path(NamedTuple):
    """A hypothesis in the making: its word indices from <start> on, <end> included once it is reached; the sum of their
    log-probabilities; and which row of its step each of them came from."""

    tokens: tuple[int, ...] = (START,)
    total: float = 0.0
    rows: tuple[int, ...] = ()

    @property
    def ended(self) -> bool:
        return self.tokens[-1] == END

    def then(self, word: int, total: float, row: int) -> Path:
        return Path((*self.tokens, word), total, (*self.rows, row))

    def told(self, looks: list[Tensor]) -> Hypothesis:
        """With where the rows of each step looked, (R, 49) each."""
        words = self.tokens[1:-1] if self.ended else self.tokens[1:]
        steps = zip(looks, self.rows[: len(words)], strict=False)
        return Hypothesis(words, self.total, len(self.rows), torch.stack([look[row] for look, row in steps]))


@dataclass(frozen=True)
class Rules:
    beam: int
    max_words: int
    length_power: float
    best_only: bool = False

    def worth(self, path: Path) -> float:
        return self.ranked(path.total, len(path.rows))

    def ranked(self, log_probability: float, steps: int) -> float:
        divisor: float = steps**self.length_power
        return log_probability / divisor

    def done(self, ended: list[Path], likeliest: Path) -> bool:
        """Whether an image's search is over; `likeliest` is the best path that runs on."""
        if len(ended) >= self.beam:
            return True
        if not ended or not self.best_only:
            return False
        # Each word makes a hypothesis less likely, and none has more than max_words of them.
        return max(map(self.worth, ended)) >= self.ranked(likeliest.total, self.max_words)


@torch.inference_mode()
def search(decoder: Stepper, grid: Tensor, rules: Rules) -> list[list[Hypothesis]]:
    """The finished hypotheses of each image, the best first; that one alone where no other is wanted."""
    memory = decoder.read(grid)
    state = decoder.begin(memory)
    ended: list[list[Path]] = [[] for _ in grid]
    # The paths of each image that still runs: K, but before the first word one, since K equal ones would only bear the
    # same children.
    running = {image: [Path()] for image in range(len(grid))}
    rows = list(running)  # of the state that the paths go on from
    looks: list[Tensor] = []  # where the rows of each step looked, (B*K, 49)

    for _ in range(rules.max_words):
        paths = [path for group in running.values() for path in group]
        children, state, weights = advance(decoder, paths, rows, state, memory, 2 * rules.beam)
        looks.append(weights)
        going: dict[int, list[Path]] = {}
        # Of 2K at most K end, one for each row.
        for image, born in zip(running, children, strict=True):
            growing = sort_out(born, ended[image], rules.beam)
            if growing and not rules.done(ended[image], growing[0]):
                going[image] = growing
        if not going:
            break
        if len(going) < len(running):
            left = [place for place, image in enumerate(running) if image in going]
            memory = memory.select(torch.tensor(left, device=grid.device))
        running = going
        rows = [path.rows[-1] for group in running.values() for path in group]
    else:
        # At the length limit those still running count as they stand, for images that have too few ended ones.
        for image, group in running.items():
            possible = [path for path in group if path.total > NEVER]
            ended[image] += possible[: rules.beam - len(ended[image])]
    ranked = (sorted(group, key=rules.worth, reverse=True) for group in ended)
    return [[path.told(looks) for path in group[: 1 if rules.best_only else None]] for group in ranked]


def advance(
    decoder: Stepper, paths: Sequence[Path], rows: Sequence[int], state: State, memory: Memory, most: int
) -> tuple[list[list[Path]], State, Tensor]:
    """One step for all paths, each of which goes on from a row of the state: the likeliest paths of each image one word
    on, `most` of them; the new state; where each row looked (R, 49)."""
    never = [forbidden(path.tokens) for path in paths]
    wanted = most + max(map(len, never))  # of each, so that enough are left
    found = decoder.predict([path.tokens[-1] for path in paths], rows, state, memory, wanted)
    told = zip(paths, never, found.log_probabilities, found.words, strict=True)
    possible = [
        [(path.total + score, row, word) for score, word in zip(scores, words, strict=True) if word not in left_out]
        for row, (path, left_out, scores, words) in enumerate(told)
    ]
    each = len(paths) // len(memory.keys)
    children = []
    for start in range(0, len(paths), each):
        best = sorted(chain.from_iterable(possible[start : start + each]), reverse=True)[:most]
        children.append([paths[row].then(word, total, row) for total, row, word in best])
    return children, found.state, found.weights


def sort_out(children: list[Path], ended: list[Path], beam: int) -> list[Path]:
    """The K likeliest that run on. Those that end among the K likeliest of all go to `ended`, up to K of an image."""
    ending = [path for path in children[:beam] if path.ended and path.total > NEVER]
    ended += ending[: beam - len(ended)]
    growing = [path for path in children if not path.ended][:beam]
    # Images keep to K rows each, also where there are fewer words to choose from.
    return growing + [path._replace(total=NEVER) for path in growing[-1:]] * (beam - len(growing))


def captions(
    decoder: Stepper, vocabulary: Vocabulary, grid: Tensor, beam: int, *, length_power: float = 0.0
) -> list[str]:
    """The best captions of `beam_search` as text, where nothing but the text is wanted."""
    found = beam_search(decoder, grid, beam, length_power=length_power)
    return [join(vocabulary.decode(hypothesis.tokens)) for hypothesis in found]


def forbidden(tokens: tuple[int, ...]) -> tuple[int, ...]:
    """The words that may not follow: a caption has at least one word; none follows itself; no three in a row are said
    once more (Paulus et al., 2018), which is how loops begin."""
    if len(tokens) == 1:
        return (*UNSAID, END)
    before, last = tokens[-2:]
    threes = zip(tokens, tokens[1:], tokens[2:], strict=False)
    thirds = [third for first, second, third in threes if first == before and second == last]
    return (*UNSAID, last, *thirds)
