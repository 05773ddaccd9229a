"""BLEU of *generated* captions on the validation split, from cached features or from photos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from model.beam import captions
from model.checkpoint import Checkpoint
from model.datasets import Example
from model.devices import autocast
from model.encoder import to_grid
from model.features import Features, read_examples, to_batch
from model.metrics import Scores, score

BATCH = 50


def grids(
    checkpoint: Checkpoint, examples: Sequence[Example], features: Features | None, device: str
) -> Iterator[Tensor]:
    """Features (B, 49, C) of the examples, batch by batch."""
    for start in range(0, len(examples), BATCH):
        if features is not None:
            inputs = features.rows(features.usable[start : start + BATCH]).to(device)
        else:
            pixels = read_examples(examples[start : start + BATCH])
            inputs = to_batch([p for p in pixels if p is not None], device)
        with torch.inference_mode(), autocast(device):
            yield to_grid(checkpoint.encoder, inputs).float()


def generate(
    checkpoint: Checkpoint, examples: Sequence[Example], features: Features | None, beam: int, device: str
) -> list[str]:
    checkpoint.encoder.eval()
    checkpoint.decoder.eval()
    batches = grids(checkpoint, examples, features, device)
    return [text for grid in batches for text in captions(checkpoint.decoder, checkpoint.vocabulary, grid, beam)]


def validate(
    checkpoint: Checkpoint, examples: Sequence[Example], features: Features | None, beam: int, device: str
) -> Scores:
    generated = generate(checkpoint, examples, features, beam, device)
    return score(generated, [example.captions for example in examples])
