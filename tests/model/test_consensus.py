"""The consensus stage: which captions are learnt, and that a run goes on with the same ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from model import checkpoint as checkpoints
from model.beam import beam_search, ranked_hypotheses
from model.checkpoint import Checkpoint
from model.training.consensus import Consensus, best, choose, settled
from model.training.reward import Reward
from model.vocabulary import END, Vocabulary, join
from tests.checkpoints import tiny_checkpoint

PEOPLE = (
    "a dog runs through the grass",
    "a dog runs on the grass",
    "my friend took this",
    "the dog runs",
    "a dog runs",
)
OTHERS = ("two men play football", "men play with a ball", "two players and a ball", "men on a field", "a match")
VOCABULARY = Vocabulary.build([*PEOPLE, *OTHERS], 1)


def reward() -> Reward:
    documents = [[[*VOCABULARY.encode(caption), END] for caption in group] for group in (PEOPLE, OTHERS)]
    return Reward(documents, cider=1.0, bleu=None)


def test_what_most_people_would_say_comes_first_and_what_nobody_else_says_last() -> None:
    ordered = best(["a dog runs on grass", "two men play football"], PEOPLE, VOCABULARY, reward())
    assert len(ordered) == 7 and set(ordered[-2:]) == {"my friend took this", "two men play football"}
    assert ordered[0] in (
        "a dog runs through the grass",
        "a dog runs on the grass",
        "a dog runs on grass",
        "a dog runs",
    )


def test_a_caption_is_not_held_against_itself_nor_proposed_twice() -> None:
    ordered = best(["a dog runs", "a dog runs"], ("a dog runs", "two men"), VOCABULARY, reward())
    assert ordered == ["a dog runs", "two men"]


def test_the_only_caption_of_a_photo_is_learnt() -> None:
    assert best(["men on a field"], ("a match",), VOCABULARY, reward())[0] == "a match"


class Grids:
    """A source of drawn features; it counts how often it is read."""

    def __init__(self, channels: int) -> None:
        self.grid = torch.randn(5, 49, channels, generator=torch.Generator().manual_seed(2))
        self.reads = 0

    def __len__(self) -> int:
        return len(self.grid)

    def load(self, items: Sequence[int], epoch: int) -> tuple[Tensor, list[Sequence[str]]]:
        self.reads += 1
        return self.grid[list(items)], [(f"a dog {'runs' if item % 2 else 'sits'}",) for item in items]


def captioner(folder: Path) -> tuple[Checkpoint, Grids]:
    checkpoint = checkpoints.load(tiny_checkpoint(folder))
    return checkpoint, Grids(checkpoint.config.decoder.channels)


def worth(checkpoint: Checkpoint) -> Reward:
    return Reward([[[*checkpoint.vocabulary.encode("a dog runs"), END]]], cider=1.0, bleu=None)


def test_proposals_are_the_search_s_own_the_best_first(tmp_path: Path) -> None:
    checkpoint, source = captioner(tmp_path)
    decoder = checkpoint.decoder.eval()
    ranked = ranked_hypotheses(decoder, source.grid, 4, length_power=0.5)
    assert [found[0].tokens for found in ranked] == [
        one.tokens for one in beam_search(decoder, source.grid, 4, length_power=0.5)
    ]
    for found in ranked:
        values = [one.log_probability / one.steps**0.5 for one in found]
        assert len(found) == 4 and values == sorted(values, reverse=True)
    chosen = choose(checkpoint, source, worth(checkpoint), 4, 9)
    said = [[join(checkpoint.vocabulary.decode(one.tokens)) for one in found] for found in ranked]
    assert [set(group) >= set(own) for group, own in zip(chosen, said, strict=True)] == [True] * 5


def test_a_run_keeps_what_it_chose(tmp_path: Path) -> None:
    checkpoint, source = captioner(tmp_path / "checkpoint")
    path = tmp_path / "run" / "captions.json"
    chosen = partial(choose, checkpoint, source, worth(checkpoint), 3, 2)
    first = settled(path, chosen)
    reads = source.reads
    again = settled(path, chosen)
    assert source.reads == reads and again == first == json.loads(path.read_text())
    inputs, captions = Consensus(source, again).load([4, 1], 0)
    assert torch.equal(inputs, source.grid[[4, 1]]) and captions == [first[4], first[1]]
    assert all(len(group) == 2 for group in captions)
