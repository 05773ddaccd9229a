"""The baseline is slow, not wrong: it says what the captioner says."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from model.attention import Memory
from model.bench.naive import NaiveCaptioner, look, repeated
from model.bench.pictures import photos
from model.captioner import Captioner


@pytest.mark.parametrize("beam", [1, 3])
def test_its_captions_are_those_of_the_captioner(checkpoint: Path, beam: int) -> None:
    captioner = Captioner.load(checkpoint, device="cpu", threads=1)
    some = photos(4)
    naive = NaiveCaptioner(captioner.checkpoint).caption(some, beam)
    spoken = [tuple(captioner.vocabulary.decode(one.tokens)) for one in naive]
    captions = captioner.caption(some, beam=beam)
    assert spoken == [one.words for one in captions]
    scores = [math.exp(one.log_probability / one.steps) for one in naive]
    assert scores == pytest.approx([one.score for one in captions], rel=1e-4)
    assert len({round(score, 5) for score in scores}) == len(some), "each photo is seen"


def test_its_grid_is_the_encoders_with_each_place_four_times(checkpoint: Path) -> None:
    encoder = Captioner.load(checkpoint, device="cpu", threads=1).encoder
    images = torch.rand(2, 3, 224, 224)
    with torch.inference_mode():
        grid = repeated(look(encoder, images))
        expected = encoder(images)
    assert grid.shape == (2, 196, encoder.channels)
    places = grid.view(2, 7, 2, 7, 2, -1)
    for row in (0, 1):
        for column in (0, 1):
            torch.testing.assert_close(places[:, :, row, :, column].reshape(2, 49, -1), expected, rtol=1e-3, atol=1e-4)


def test_it_projects_all_196_places_at_every_step(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    naive = NaiveCaptioner(Captioner.load(checkpoint, device="cpu", threads=1).checkpoint)
    seen: list[tuple[int, ...]] = []
    read = naive.decoder.attention.read

    def counted(grid: torch.Tensor) -> Memory:
        seen.append(tuple(grid.shape[:2]))
        return read(grid)

    monkeypatch.setattr(naive.decoder.attention, "read", counted)
    [best] = naive.caption(photos(1), 3)
    assert len(seen) >= best.steps + 1 and seen[1] == (1, 196) and set(seen[2:]) == {(3, 196)}
