"""Training throughput against a plain loop that reads the photos again and projects the keys anew at each step.

    python -m proof throughput --dataset flickr8k:FOLDER

Both train the starter's decoder on the same photos with the same batches. Ours is what a dry run measures, the encoding
of the features included, shared out over the epochs of the recipe; the plain loop encodes in every epoch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model import checkpoint as checkpoints
from model.bench.naive import NaiveDecoder, look
from model.checkpoint import Checkpoint
from model.datasets import Example, load_dataset
from model.features import to_batch
from model.preprocess import read_pixels
from model.starter import STARTER
from model.training.batches import Batch, epoch_batches
from model.training.forecast import BATCHES, forecast, some
from model.training.objective import CrossEntropy
from model.training.prepare import with_dropout
from model.training.settings import TrainingSettings

EPOCHS = 7  # of the decoder stage behind the starter: docs/training.md


def throughput(dataset: str, cache: Path, steps: int = 2 * BATCHES) -> dict[str, Any]:
    """Photos a second of both, and the ratio. `cache` holds nothing afterwards that was not there before."""
    settings = TrainingSettings(dataset, start=str(STARTER), epochs=EPOCHS)
    found = forecast(settings, cache, "cpu")
    ours = 1 / (1 / found.step_rate + 1 / (EPOCHS * found.encode_rate))
    checkpoint = with_dropout(checkpoints.load(STARTER), settings.dropout)
    plain = PlainLoop(checkpoint, settings)
    photos = some(load_dataset(dataset, "train"), BATCHES * settings.batch).examples
    rate = plain.rate(photos, steps)
    return {
        "ratio": ours / rate,
        "photos_per_s": ours,
        "plain_photos_per_s": rate,
        "step_photos_per_s": found.step_rate,
        "encoded_photos_per_s": found.encode_rate,
        "epochs": EPOCHS,
        "batch": settings.batch,
        "threads": torch.get_num_threads(),
    }


class PlainLoop:
    """The same step as a first version has it."""

    def __init__(self, checkpoint: Checkpoint, settings: TrainingSettings) -> None:
        self.vocabulary, self.encoder = checkpoint.vocabulary, checkpoint.encoder.eval()
        self.decoder = NaiveDecoder(checkpoint.decoder.config)
        self.decoder.load_state_dict(checkpoint.decoder.state_dict())
        self.decoder.train()
        self.settings = settings
        self.goal = CrossEntropy(settings.label_smoothing)
        self.optimizer = torch.optim.AdamW(self.decoder.parameters(), lr=settings.learning_rate)

    def loss(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            grid = look(self.encoder, batch.inputs).flatten(2).transpose(1, 2)  # (B, 49, C)
        return self.goal.loss(self.decoder, grid, batch)

    def rate(self, photos: Sequence[Example], steps: int) -> float:
        """Photos a second over so many steps; one more before them warms up."""
        batches = self.batches(photos)
        self.step(next(batches))
        started, seen = time.monotonic(), 0
        for _ in range(steps):
            batch = next(batches)
            self.step(batch)
            seen += len(batch.inputs)
        return seen / (time.monotonic() - started)

    def batches(self, photos: Sequence[Example]) -> Iterator[Batch]:
        """Endless."""
        epoch = 0
        while True:
            yield from epoch_batches(
                Reread(photos), self.vocabulary, size=self.settings.batch, seed=self.settings.seed, epoch=epoch
            )
            epoch += 1

    def step(self, batch: Batch) -> None:
        self.optimizer.zero_grad()
        self.loss(batch).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        torch.nn.utils.clip_grad_norm_(self.decoder.parameters(), self.settings.clip)
        self.optimizer.step()


class Reread:
    """Photos from disk, every time."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def load(self, items: Sequence[int], epoch: int) -> tuple[Tensor, list[Sequence[str]]]:
        chosen = [self.examples[item] for item in items]
        photos = [read_pixels(example.path.read_bytes()) for example in chosen]
        return to_batch(photos), [example.captions for example in chosen]
