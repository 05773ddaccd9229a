"""Batched beam search over any `Stepper`: the decoder in torch, or the same decoder in another engine.

All images and beams of a batch advance together, K rows an image. A hypothesis that ends leaves the beam; an image is
done when K of its hypotheses have ended, and at the length limit the running ones count as they stand, so that there is
always a caption. Where only the best is wanted, an image is also done once no running hypothesis can overtake it. The
rows of an image that is done are computed no longer. With K = 1 this is greedy decoding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.attention import Memory
from model.decoder import State
from model.stepper import Stepper
from model.vocabulary import END, PAD, START, UNKNOWN, Vocabulary, join

MAX_WORDS = 30
NEVER = float("-inf")


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


@dataclass(frozen=True)
class Rules:
    beam: int
    max_words: int
    length_power: float
    best_only: bool = False

    def worth(self, log_probability: float, steps: int) -> float:
        divisor: float = steps**self.length_power
        return log_probability / divisor

    def done(self, finished: list[Hypothesis], running: float) -> bool:
        """Whether an image's search is over; `running` is the log-probability of its best hypothesis that runs on."""
        if len(finished) >= self.beam:
            return True
        if not finished or not self.best_only:
            return False
        # Each word makes a hypothesis less likely, and none has more than max_words of them.
        reachable = self.worth(running, self.max_words)
        return max(self.worth(one.log_probability, one.steps) for one in finished) >= reachable


@torch.inference_mode()
def search(decoder: Stepper, grid: Tensor, rules: Rules) -> list[list[Hypothesis]]:
    """The finished hypotheses of each image, the best first."""
    images, beam = grid.shape[0], rules.beam
    memory = decoder.read(grid)
    state = decoder.begin(memory)
    # B images that still run, K rows each. Before the first word an image has one row: K equal ones would only bear
    # the same children.
    tokens = torch.full((images, 1), START, device=grid.device)  # (B*K, t + 1)
    looks = grid.new_zeros(images, 0, grid.shape[1])  # (B*K, t, 49)
    totals = grid.new_zeros(images, 1)  # (B, K)
    going = list(range(images))  # which images these are
    finished: list[list[Hypothesis]] = [[] for _ in range(images)]

    for _ in range(rules.max_words):
        scores, state, weights = advance(decoder, tokens, state, memory)
        size = scores.shape[-1]
        candidates = (totals.view(-1, 1) + scores).view(len(going), -1)  # (B, K*V)
        values, flat = candidates.topk(min(2 * beam, candidates.shape[1]), dim=1)  # (B, 2K): at most K of them end
        first = torch.arange(len(going), device=grid.device).unsqueeze(1) * totals.shape[1]  # each image's first row
        parents, words = first + flat // size, flat % size  # (B, 2K)
        looks = torch.cat([looks, weights.unsqueeze(1)], dim=1)  # (B*K, t + 1, 49)
        collect([finished[image] for image in going], values, parents, words, tokens, looks, beam)
        values = values.masked_fill(words == END, NEVER)
        totals, kept = values.topk(min(beam, values.shape[1]), dim=1)  # (B, K)
        best = totals[:, 0].tolist()
        left = [place for place, image in enumerate(going) if not rules.done(finished[image], best[place])]
        if not left:
            break
        if len(left) < len(going):
            rows = torch.tensor(left, device=grid.device)
            memory, totals, kept = memory.select(rows), totals[rows], kept[rows]
            parents, words, going = parents[rows], words[rows], [going[place] for place in left]
        chosen = parents.gather(1, kept).view(-1)  # (B*K)
        tokens = torch.cat([tokens[chosen], words.gather(1, kept).view(-1, 1)], dim=1)
        state, looks = state.select(chosen), looks[chosen]
    else:
        finish_running([finished[image] for image in going], totals, tokens, looks, beam)
    return [sorted(done, key=lambda one: -rules.worth(one.log_probability, one.steps)) for done in finished]


def captions(
    decoder: Stepper, vocabulary: Vocabulary, grid: Tensor, beam: int, *, length_power: float = 0.0
) -> list[str]:
    """The best captions of `beam_search` as text, where nothing but the text is wanted."""
    found = beam_search(decoder, grid, beam, length_power=length_power)
    return [join(vocabulary.decode(hypothesis.tokens)) for hypothesis in found]


def advance(decoder: Stepper, tokens: Tensor, state: State, memory: Memory) -> tuple[Tensor, State, Tensor]:
    """One step for all rows: log-probabilities (B*K, V) with the words that may not come next at -inf."""
    scores, state, weights = decoder.predict(tokens[:, -1], state, memory)
    scores = torch.log_softmax(scores.float(), dim=-1)
    scores[:, [PAD, START, UNKNOWN]] = NEVER
    if tokens.shape[1] == 1:
        scores[:, END] = NEVER  # a caption has at least one word
    else:
        scores.scatter_(1, tokens[:, -1:], NEVER)  # nor does a word follow itself
        forbid_repeats(scores, tokens)
    return scores, state, weights


def forbid_repeats(scores: Tensor, tokens: Tensor) -> None:
    """-inf for the words that would say three words in a row once more (Paulus et al., 2018): how loops begin."""
    third = tokens[:, 2:]
    said = (tokens[:, :-2] == tokens[:, -2:-1]) & (tokens[:, 1:-1] == tokens[:, -1:])
    scores.scatter_reduce_(1, third, torch.where(said, NEVER, -NEVER), "amin")


def collect(
    finished: list[list[Hypothesis]],
    values: Tensor,
    parents: Tensor,
    words: Tensor,
    tokens: Tensor,
    looks: Tensor,
    beam: int,
) -> None:
    """Move the hypotheses that end among the K best candidates to `finished`, up to K an image."""
    ended = (words[:, :beam] == END) & (values[:, :beam] > NEVER)
    for image, rank in ended.nonzero().tolist():
        if len(finished[image]) < beam:
            row = int(parents[image, rank])
            length = tokens.shape[1]
            finished[image].append(
                Hypothesis(
                    tuple(tokens[row, 1:].tolist()), float(values[image, rank]), length, looks[row, : length - 1]
                )
            )


def finish_running(finished: list[list[Hypothesis]], totals: Tensor, tokens: Tensor, looks: Tensor, beam: int) -> None:
    """At the length limit, hypotheses still running count as they stand, for images that have too few ended ones."""
    width = totals.shape[1]
    for image, done in enumerate(finished):
        for rank in range(width):
            total, row = float(totals[image, rank]), image * width + rank
            if len(done) < beam and total > NEVER:
                words = tuple(tokens[row, 1:].tolist())
                done.append(Hypothesis(words, total, len(words), looks[row]))
