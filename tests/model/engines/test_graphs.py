"""The converted networks against those in torch, and each image and row against its company."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from model.beam import beam_search
from model.checkpoint import Checkpoint, load_head
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
    words = torch.arange(4, 4 + len(grid))
    for _ in range(3):
        scores, state, weights = decoder.predict(words, state, memory)
        its_scores, its_state, its_weights = stepper.predict(words, its_state, its_memory)
        for row in range(len(grid)):
            assert apart(its_scores[row], scores[row]) < 0.03
            assert apart(its_weights[row], weights[row]) < 0.05
            assert apart(its_state.hidden[row], state.hidden[row]) < 0.05
        words = scores.argmax(-1)


def test_a_row_of_a_step_is_the_same_in_any_company(engine: Int8Engine, grid: Tensor) -> None:
    loud = grid * torch.linspace(0.2, 3, len(grid))[:, None, None]  # rows of unlike size: each has its own step
    stepper = engine.stepper
    memory = stepper.read(loud)
    state, words = stepper.begin(memory), torch.arange(4, 4 + len(grid))
    together = stepper.predict(words, state, memory)[0]
    for row in range(len(grid)):
        one = torch.tensor([row])
        alone = stepper.predict(words[one], state.select(one), memory.select(one))[0]
        torch.testing.assert_close(alone[0], together[row], rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_an_image_in_which_nothing_is_seen_is_rounded_too(engine: Int8Engine, grid: Tensor) -> None:
    stepper, words = engine.stepper, torch.tensor([4])
    memory = stepper.read(torch.zeros_like(grid[:1]))
    scores, state, weights = stepper.predict(words, stepper.begin(memory), memory)
    assert all(bool(found.isfinite().all()) for found in (scores, *state, weights))


@pytest.mark.parametrize("beam", [1, 3])
def test_captions_are_nearly_all_the_same_and_keep_the_rules(
    checkpoint: Checkpoint, engine: Int8Engine, grid: Tensor, beam: int
) -> None:
    theirs, its = beam_search(checkpoint.decoder, grid, beam), beam_search(engine.stepper, grid, beam)
    assert sum(a.tokens == b.tokens for a, b in zip(theirs, its, strict=True)) >= 0.75 * len(grid)
    for caption in its:
        assert caption.attention.shape == (len(caption.tokens), 49)
        torch.testing.assert_close(caption.attention.sum(1), torch.ones(len(caption.tokens)))
