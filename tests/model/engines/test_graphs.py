"""The converted networks against those in torch, and each image and row against its company."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from model.beam import beam_search
from model.checkpoint import Checkpoint, load_head
from model.decoder import Prediction, State
from model.engines.converting import entries_of, found
from model.engines.engine import INT8
from model.engines.int8 import BEGIN, ENCODER, READ, STEP, Int8Decoder, Int8Encoder, Int8Engine
from model.engines.pictures import free_pictures
from model.preprocess import Photo, to_float


@pytest.fixture(scope="module", params=INT8)
def engine(folder: Path, converted: Path, request: pytest.FixtureRequest) -> Int8Engine:
    here = found(load_head(folder), entries_of(converted, request.param))
    assert here is not None
    encoder_at, decoder_at, _ = here
    decoder = Int8Decoder({name: decoder_at / name for name in (READ, BEGIN, STEP)})
    return Int8Engine(Int8Encoder(request.param, encoder_at / ENCODER, 1), decoder)


@pytest.fixture(scope="module")
def photos() -> list[Photo]:
    return [to_float(pixels) for pixels in free_pictures()[:12]]


@pytest.fixture(scope="module")
def grid(checkpoint: Checkpoint, photos: list[Photo]) -> Tensor:
    with torch.no_grad():
        found: Tensor = checkpoint.encoder(torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2))
    return found


def scores_of(found: Prediction, vocabulary: int) -> Tensor:
    """The log-probabilities (R, V) of all words, of a prediction of all of them."""
    values, words = torch.tensor(found.log_probabilities), torch.tensor(found.words)
    assert [sorted(row) for row in found.words] == [list(range(vocabulary))] * len(words)
    assert (values.diff() <= 0).all()  # the likeliest first
    return torch.empty_like(values).scatter_(1, words, values)


def apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


def test_the_encoder_sees_what_it_saw(engine: Int8Engine, photos: list[Photo], grid: Tensor) -> None:
    seen = engine.encode(photos)
    assert seen.shape == grid.shape
    assert 0 < apart(seen, grid) < 0.1
    assert apart(seen, grid.roll(1, 0)) > 2 * apart(seen, grid)  # its own picture, not another's


def test_the_encoder_sees_the_same_in_any_company(engine: Int8Engine, photos: list[Photo]) -> None:
    together = engine.encode(photos[:5])
    for number in range(5):
        assert torch.equal(engine.encode([photos[number]])[0], together[number])


@torch.inference_mode()
def test_each_row_of_a_step_is_that_of_the_decoder(checkpoint: Checkpoint, engine: Int8Engine, grid: Tensor) -> None:
    decoder, stepper = checkpoint.decoder, engine.stepper
    memory, its_memory = decoder.read(grid), stepper.read(grid)
    state, its_state = decoder.begin(memory), stepper.begin(its_memory)
    rows, size = list(range(len(grid))), len(checkpoint.vocabulary)
    words = [4 + row for row in rows]
    for _ in range(3):
        theirs = decoder.predict(words, rows, state, memory, size)
        its = stepper.predict(words, rows, its_state, its_memory, size)
        scores, its_scores = (scores_of(found, size) for found in (theirs, its))
        state, its_state = theirs.state, its.state
        for row in rows:
            assert apart(its_scores[row], scores[row]) < 0.03
            assert apart(its.weights[row], theirs.weights[row]) < 0.05
            assert apart(its_state.hidden[row], state.hidden[row]) < 0.05
        words = [found[0] for found in theirs.words]


def test_a_row_of_a_step_is_the_same_in_any_company(checkpoint: Checkpoint, engine: Int8Engine, grid: Tensor) -> None:
    loud = grid * torch.linspace(0.2, 3, len(grid))[:, None, None]  # rows of unlike size: each has its own step
    stepper = engine.stepper
    memory, rows, size = stepper.read(loud), list(range(len(grid))), len(checkpoint.vocabulary)
    state, words = stepper.begin(memory), [4 + row for row in rows]
    together = scores_of(stepper.predict(words, rows, state, memory, size), size)
    for row in rows:
        alone = stepper.predict([words[row]], [row], state, memory.select(torch.tensor([row])), size)
        torch.testing.assert_close(scores_of(alone, size)[0], together[row], rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_the_likeliest_words_are_those_that_are_wanted_or_all(
    checkpoint: Checkpoint, engine: Int8Engine, grid: Tensor
) -> None:
    size = len(checkpoint.vocabulary)
    for stepper in (checkpoint.decoder, engine.stepper):
        memory = stepper.read(grid[:2])
        state = stepper.begin(memory)
        of_all = stepper.predict([4, 5], [0, 1], state, memory, size)
        few, too_many = (stepper.predict([4, 5], [0, 1], state, memory, most) for most in (3, size + 7))
        assert few.words == [row[:3] for row in of_all.words]
        assert few.log_probabilities == [row[:3] for row in of_all.log_probabilities]
        assert too_many.words == of_all.words
        for row in of_all.log_probabilities:
            assert sum(map(math.exp, row)) == pytest.approx(1, abs=1e-4)


@torch.inference_mode()
def test_an_image_in_which_nothing_is_seen_is_rounded_too(
    checkpoint: Checkpoint, engine: Int8Engine, grid: Tensor
) -> None:
    decoder, stepper, size = checkpoint.decoder, engine.stepper, len(checkpoint.vocabulary)
    blank = torch.zeros_like(grid[:1])
    memory, its_memory = decoder.read(blank), stepper.read(blank)
    torch.testing.assert_close(its_memory.values, memory.values)
    theirs = decoder.predict([4], [0], decoder.begin(memory), memory, size)
    its = stepper.predict([4], [0], stepper.begin(its_memory), its_memory, size)
    assert all(bool(found.isfinite().all()) for found in (*its.state, its.weights))
    assert apart(scores_of(its, size), scores_of(theirs, size)) < 0.03


@torch.inference_mode()
def test_a_state_of_zeros_says_what_the_decoder_says(checkpoint: Checkpoint, engine: Int8Engine, grid: Tensor) -> None:
    """Its rows have no largest value to be rounded by."""
    decoder, stepper, size = checkpoint.decoder, engine.stepper, len(checkpoint.vocabulary)
    memory, its_memory = decoder.read(grid), stepper.read(grid)
    nothing = State(*(torch.zeros_like(part) for part in decoder.begin(memory)))
    words, rows = [4] * len(grid), list(range(len(grid)))
    theirs = decoder.predict(words, rows, nothing, memory, size)
    its = stepper.predict(words, rows, nothing, its_memory, size)
    assert apart(scores_of(its, size), scores_of(theirs, size)) < 0.03


@pytest.mark.parametrize("beam", [1, 3])
def test_captions_are_nearly_all_the_same_and_keep_the_rules(
    checkpoint: Checkpoint, engine: Int8Engine, grid: Tensor, beam: int
) -> None:
    theirs, its = beam_search(checkpoint.decoder, grid, beam), beam_search(engine.stepper, grid, beam)
    assert sum(a.tokens == b.tokens for a, b in zip(theirs, its, strict=True)) >= 0.75 * len(grid)
    for caption in its:
        assert caption.attention.shape == (len(caption.tokens), 49)
        torch.testing.assert_close(caption.attention.sum(1), torch.ones(len(caption.tokens)))
