"""BLEU of *generated* captions on the validation split, from cached features or from photos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from model.beam import beam_search
from model.checkpoint import Checkpoint
from model.datasets import Example
from model.devices import autocast
from model.features import Features, read_examples, to_batch
from model.metrics import Scores, score
from model.vocabulary import join

BATCH = 50


def grids(
    checkpoint: Checkpoint, examples: Sequence[Example], features: Features | None, device: str
) -> Iterator[Tensor]:
    """Features (B, 49, C) of the examples, batch by batch."""
    for start in range(0, len(examples), BATCH):
        if features is not None:
            yield features.rows(features.usable[start : start + BATCH]).to(device)
            continue
        pixels = read_examples(examples[start : start + BATCH])
        with torch.inference_mode(), autocast(device):
            grid: Tensor = checkpoint.encoder(to_batch([p for p in pixels if p is not None], device))
        yield grid.float()


def generate(
    checkpoint: Checkpoint, examples: Sequence[Example], features: Features | None, beam: int, device: str
) -> list[str]:
    checkpoint.encoder.eval()
    checkpoint.decoder.eval()
    captions: list[str] = []
    for grid in grids(checkpoint, examples, features, device):
        found = beam_search(checkpoint.decoder, grid, beam)
        captions += [join(checkpoint.vocabulary.decode(hypothesis.tokens)) for hypothesis in found]
    return captions


def validate(
    checkpoint: Checkpoint, examples: Sequence[Example], features: Features | None, beam: int, device: str
) -> Scores:
    captions = generate(checkpoint, examples, features, beam, device)
    return score(captions, [example.captions for example in examples])
