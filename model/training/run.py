"""A run from a data set to a checkpoint: the training loop, validated after every epoch and stopped early."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from model import checkpoint as checkpoints
from model.datasets import Dataset, summary
from model.features import Features
from model.metrics import SIGNATURE, Scores
from model.training.loop import Loop
from model.training.validate import validate


@dataclass
class Run(Loop):
    """A loop that keeps `best/` and `last/` by the BLEU-4 of captions generated for the validation split."""

    train: Dataset
    validation: Dataset
    validation_features: Features | None
    after_epoch: Callable[[Run], None] | None = field(default=None, kw_only=True)  # what it raises ends the run

    def __post_init__(self) -> None:
        super().__post_init__()
        self.parent = self.checkpoint.manifest.get("id")

    def begin(self) -> dict[str, Any]:
        return {"train": summary(self.train), "validation": summary(self.validation)}

    def end_epoch(self) -> None:
        """Validate the averaged weights, keep them if they are the best so far, stop if they have not been for long."""
        started = time.monotonic()
        self.average.swap()
        scores = validate(
            self.checkpoint,
            self.validation.examples,
            self.validation_features,
            self.settings.validation_beam,
            self.device,
        )
        position = self.position
        better = scores.bleu4 > position.best
        facts = self.facts(scores)
        checkpoints.save(self.checkpoint, self.folder / "last", facts)
        if better:
            position.best, position.best_epoch = scores.bleu4, position.epoch
            checkpoints.save(self.checkpoint, self.folder / "best", facts)
        self.average.swap()
        position.epoch, position.batch = position.epoch + 1, 0
        waited = position.epoch - 1 - position.best_epoch
        position.finished = position.epoch >= self.settings.epochs or waited >= self.settings.patience
        self.journal.write(
            "epoch",
            step=position.step,
            epoch=position.epoch,
            bleu=[round(value, 3) for value in scores.bleu],
            bleu4=scores.bleu4,
            cider=scores.cider,
            better=better,
            validation_s=round(time.monotonic() - started, 1),
        )
        self.journal.plot()
        print(
            f"epoch {position.epoch}: BLEU-4 {scores.bleu4:.2f}, CIDEr {scores.cider:.1f}{' (best)' * better}",
            flush=True,
        )
        self.save()
        if self.after_epoch:
            self.after_epoch(self)

    def facts(self, scores: Scores) -> dict[str, Any]:
        """What the manifest of `best/` says of this run."""
        figures = {"bleu": scores.bleu, "cider": scores.cider, "confidence": scores.confidence}
        decoding = {"beam": self.settings.validation_beam, "length_power": 0.0}
        return {
            "parent": self.parent,
            "data": {"train": summary(self.train), "validation": summary(self.validation)},
            "training": {"stage": self.settings.stage, "seed": self.settings.seed, "epoch": self.position.epoch + 1},
            "validation": figures | {"signature": SIGNATURE, "decoding": decoding},
        }
