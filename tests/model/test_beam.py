from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from model.attention import Memory
from model.beam import Hypothesis, Path, advance, beam_search, forbidden, ranked_hypotheses
from model.checkpoint import Checkpoint
from model.decoder import Decoder, DecoderConfig, Prediction, State
from model.vocabulary import END, PAD, SPECIALS, START, UNKNOWN
from tests.checkpoints import tiny


@pytest.fixture
def checkpoint() -> Checkpoint:
    """Random weights, stretched until captions differ from image to image and end at unlike lengths."""
    checkpoint = tiny(1)
    with torch.no_grad():
        checkpoint.decoder.start.weight.mul_(4)
        checkpoint.decoder.attention.reduce.weight.mul_(4)
        checkpoint.decoder.embedding.weight.mul_(4)
        checkpoint.decoder.bias.normal_(0, 0.3)
        checkpoint.decoder.bias[END] = 1.0
    return checkpoint


def grids(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 49, 128, generator=torch.Generator().manual_seed(seed)) * 3


def greedy(checkpoint: Checkpoint, grid: Tensor, max_words: int) -> list[int]:
    """The likeliest word at each step, one image at a time, by the decoder's own step."""
    decoder = checkpoint.decoder
    memory = decoder.read(grid)
    state, path = decoder.begin(memory), Path()
    for _ in range(max_words):
        [[path, *_]], state, _ = advance(decoder, [path], [0], state, memory, 1)
        if path.ended:
            return list(path.tokens[1:-1])
    return list(path.tokens[1:])


@torch.inference_mode()
def test_beam_1_is_greedy(checkpoint: Checkpoint) -> None:
    grid = grids(24)
    found = beam_search(checkpoint.decoder, grid, 1, max_words=12)
    expected = [greedy(checkpoint, image.unsqueeze(0), 12) for image in grid]
    assert [list(h.tokens) for h in found] == expected
    assert len({len(tokens) for tokens in expected}) > 1  # some end early: the comparison means something


@pytest.mark.parametrize("beam", [1, 3, 5])
def test_alone_and_in_a_batch_the_captions_are_the_same(checkpoint: Checkpoint, beam: int) -> None:
    grid = grids(16)
    together = beam_search(checkpoint.decoder, grid, beam)
    alone = [beam_search(checkpoint.decoder, image.unsqueeze(0), beam)[0] for image in grid]
    assert [h.tokens for h in together] == [h.tokens for h in alone]
    for a, b in zip(together, alone, strict=True):
        assert a.log_probability == pytest.approx(b.log_probability, abs=1e-4)
        torch.testing.assert_close(a.attention, b.attention, atol=1e-4, rtol=1e-3)


def log_probability(checkpoint: Checkpoint, grid: Tensor, words: tuple[int, ...]) -> float:
    """By the decoder as it is taught, which sees all words at once."""
    decoder = checkpoint.decoder
    scores = decoder(decoder.read(grid), torch.tensor([[START, *words[:-1]]]), torch.tensor([len(words)]))  # (T, V)
    return float(torch.log_softmax(scores, -1).gather(1, torch.tensor(words).unsqueeze(1)).sum())


@torch.inference_mode()
def test_a_wide_beam_finds_the_best_of_all_captions(checkpoint: Checkpoint) -> None:
    """Against every caption of up to two words, scored one by one."""
    grid = grids(3)
    vocabulary = range(len(checkpoint.vocabulary))
    ordinary = [w for w in vocabulary if w not in (PAD, START, END, UNKNOWN)]
    complete = [(a, END) for a in ordinary] + [(a, b) for a in ordinary for b in ordinary if a != b]
    for image in grid:
        found = beam_search(checkpoint.decoder, image.unsqueeze(0), len(complete), max_words=2)[0]
        best = max(log_probability(checkpoint, image.unsqueeze(0), words) for words in complete)
        assert found.log_probability == pytest.approx(best, abs=1e-4)


def test_no_beam_need_ever_finish(checkpoint: Checkpoint) -> None:
    with torch.no_grad():
        checkpoint.decoder.bias[END] = -1e4
    found = beam_search(checkpoint.decoder, grids(4), 3, max_words=7)
    assert [(len(h.tokens), h.steps, h.attention.shape[0]) for h in found] == [(7, 7, 7)] * 4


def test_a_caption_has_a_word_even_when_the_end_is_likeliest(checkpoint: Checkpoint) -> None:
    with torch.no_grad():
        checkpoint.decoder.bias[END] = 1e4
    assert [len(h.tokens) for h in beam_search(checkpoint.decoder, grids(4), 3)] == [1] * 4


@pytest.mark.parametrize("beam", [1, 3])
def test_unknown_and_markers_are_never_said_nor_a_word_twice_running(checkpoint: Checkpoint, beam: int) -> None:
    with torch.no_grad():
        checkpoint.decoder.bias[[PAD, START, UNKNOWN]] = 50.0
    for hypothesis in beam_search(checkpoint.decoder, grids(16), beam):
        assert not {PAD, START, END, UNKNOWN} & set(hypothesis.tokens)
        assert all(a != b for a, b in itertools.pairwise(hypothesis.tokens))


def test_three_words_in_a_row_are_not_said_twice(checkpoint: Checkpoint) -> None:
    with torch.no_grad():
        checkpoint.decoder.bias[END] = -1e4
        checkpoint.decoder.bias[8:11] = 50.0  # two or three words that it would say for ever
    for hypothesis in beam_search(checkpoint.decoder, grids(8), 3, max_words=20):
        words = hypothesis.tokens
        trigrams = list(zip(words, words[1:], words[2:], strict=False))
        assert len(words) == 20
        assert len(set(trigrams)) == len(trigrams)
        assert len(set(words)) < len(words)  # single words come again


@pytest.mark.parametrize(
    ("tokens", "also"),
    [
        ((START,), {END}),
        ((START, 7), {7}),
        ((START, 7, 8, 9, 7), {7}),
        ((START, 7, 8, 9, 7, 8), {8, 9}),
        ((START, 7, 8, 9, 7, 8, 10, 7, 8), {8, 9, 10}),
    ],
)
def test_which_words_may_not_follow(tokens: tuple[int, ...], also: set[int]) -> None:
    assert set(forbidden(tokens)) == {PAD, START, UNKNOWN} | also


def test_attention_has_a_row_a_word_and_sums_to_one(checkpoint: Checkpoint) -> None:
    for hypothesis in beam_search(checkpoint.decoder, grids(8), 3):
        assert hypothesis.attention.shape == (len(hypothesis.tokens), 49)
        torch.testing.assert_close(hypothesis.attention.sum(1), torch.ones(len(hypothesis.tokens)))


def counted(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each step of the decoder had, as the steps are taken."""
    rows: list[int] = []
    predict = checkpoint.decoder.predict

    def counting(words: Sequence[int], before: Sequence[int], state: State, memory: Memory, most: int) -> Prediction:
        rows.append(len(words))
        return predict(words, before, state, memory, most)

    monkeypatch.setattr(checkpoint.decoder, "predict", counting)
    return rows


@pytest.mark.parametrize("power", [0.0, 0.7])
@pytest.mark.parametrize("beam", [1, 3, 5])
def test_who_wants_the_best_alone_gets_the_same_for_less(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, beam: int, power: float
) -> None:
    rows = counted(checkpoint, monkeypatch)
    grid = grids(32)
    ranked = ranked_hypotheses(checkpoint.decoder, grid, beam, length_power=power)
    of_all = sum(rows)
    rows.clear()
    best = beam_search(checkpoint.decoder, grid, beam, length_power=power)
    assert [one.tokens for one in best] == [found[0].tokens for found in ranked]
    assert sum(rows) < of_all or (beam, sum(rows)) == (1, of_all), "a greedy search has nothing to stop early"


def test_images_that_are_done_are_computed_no_longer(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = counted(checkpoint, monkeypatch)
    found = beam_search(checkpoint.decoder, grids(24), 1, max_words=12)
    lengths = [one.steps for one in found]
    assert rows == [sum(length > step for length in lengths) for step in range(max(lengths))]
    assert len(set(rows)) > 2


def test_length_power_prefers_longer_captions(checkpoint: Checkpoint) -> None:
    def mean_length(power: float) -> float:
        found: list[Hypothesis] = beam_search(checkpoint.decoder, grids(32), 4, length_power=power)
        return sum(len(h.tokens) for h in found) / len(found)

    assert mean_length(2.0) > mean_length(0.0)


@pytest.mark.parametrize("ordinary", [1, 2, 3])
def test_a_beam_wider_than_the_vocabulary_finds_what_there_is(ordinary: int) -> None:
    decoder = Decoder(DecoderConfig(len(SPECIALS) + ordinary, 128, 8, 16, 8)).eval()
    found = ranked_hypotheses(decoder, grids(4), 5, max_words=4)
    for hypotheses in found:
        captions = [one.tokens for one in hypotheses]
        assert 1 <= len(set(captions)) == len(captions) <= 5
        assert all(one.log_probability > -float("inf") for one in hypotheses)
