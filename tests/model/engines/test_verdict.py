from __future__ import annotations

import copy
from dataclasses import replace
from math import nan

import pytest
import torch

from model.beam import beam_search
from model.checkpoint import Checkpoint, Decoding
from model.engines.calibration import normalised
from model.engines.pictures import free_pictures
from model.engines.verdict import LEAST_SAME, MOST_LOSS, Verdict, judge, rank


@pytest.fixture(scope="module")
def grid(checkpoint: Checkpoint) -> torch.Tensor:
    encoder = checkpoint.encoder
    with torch.no_grad():
        found: torch.Tensor = encoder(normalised(encoder, free_pictures()[:15]) * encoder.std + encoder.mean)
    return found


def test_the_same_captions_lose_nothing(checkpoint: Checkpoint, grid: torch.Tensor) -> None:
    verdict = judge(checkpoint.decoder, grid, checkpoint.decoder, grid, checkpoint.config.decoding)
    assert (verdict.pictures, verdict.same, verdict.loss, verdict.fault) == (15, 1.0, 0.0, "")


def test_a_decoder_that_was_harmed_is_refused(checkpoint: Checkpoint, grid: torch.Tensor) -> None:
    harmed = copy.deepcopy(checkpoint.decoder)
    with torch.no_grad():
        for weights in (harmed.output.weight, harmed.bias):
            weights.neg_()  # it prefers what it would not have said
    verdict = judge(checkpoint.decoder, grid, harmed, grid, checkpoint.config.decoding)
    assert verdict.loss > MOST_LOSS and "nats a word less likely" in verdict.fault


@torch.inference_mode()
def test_the_rank_is_what_the_search_found(checkpoint: Checkpoint, grid: torch.Tensor) -> None:
    for image in grid[:6]:
        (caption,) = beam_search(checkpoint.decoder, image.unsqueeze(0), 3)
        mean = rank(checkpoint.decoder, image, caption, Decoding(3, length_power=1.0))
        assert mean == pytest.approx(caption.log_probability / caption.steps, abs=1e-4)


@pytest.mark.parametrize(
    ("change", "fine"),
    [
        ({}, True),
        ({"same": LEAST_SAME - 0.01}, False),
        ({"loss": MOST_LOSS + 0.001}, False),
        ({"loss": -0.2}, True),  # the search finds no best caption, and another one may be better
        ({"loss": nan}, False),
        ({"same": nan}, False),
    ],
)
def test_where_the_limits_are(change: dict[str, float], fine: bool) -> None:
    assert (replace(Verdict(35, LEAST_SAME, MOST_LOSS), **change).fault == "") is fine  # type: ignore[arg-type]  # of any field
