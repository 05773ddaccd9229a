"""Fine-tuning a champion on corrections: a few epochs, a low learning rate, a frozen encoder.

    challenger = FineTune(folder, settings, champion, Mixture(...)).run()

No validation decides when to stop: the split that the gate judges by must not have chosen what it judges. The result is
the running average of the weights, drawn towards the champion's by `interpolation` (Wortsman et al., 2022).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from model.checkpoint import Checkpoint
from model.training.batches import Source
from model.training.blend import blend
from model.training.loop import LOG_EVERY, Loop
from model.training.prepare import with_dropout
from model.training.settings import TrainingSettings

Report = Callable[[dict[str, float]], None]


@dataclass(frozen=True)
class FineTuneSettings:
    """`interpolation` is the share of the fine-tuned weights; `encoder` fine-tunes the ResNet as well."""

    epochs: int = 3
    batch: int = 32
    learning_rate: float = 2e-4
    encoder_learning_rate: float = 1e-5
    dropout: float = 0.3
    label_smoothing: float = 0.1
    ema: float = 0.99
    seed: int = 1
    encoder: bool = False
    interpolation: float = 1.0

    def training(self) -> TrainingSettings:
        return TrainingSettings(
            dataset="",
            stage="network" if self.encoder else "decoder",
            seed=self.seed,
            epochs=self.epochs,
            batch=self.batch,
            learning_rate=self.learning_rate,
            encoder_learning_rate=self.encoder_learning_rate,
            label_smoothing=self.label_smoothing,
            ema=self.ema,
            dropout=self.dropout,
        )


class FineTune(Loop):
    def __init__(
        self,
        folder: Path,
        settings: FineTuneSettings,
        champion: Checkpoint,
        source: Source,
        *,
        device: str = "cpu",
        report: Report = lambda figures: None,
    ) -> None:
        """`source` gives features, or photos where the encoder is fine-tuned. `champion` is left as it is.

        `report` is told {step, steps, loss, eta_s} now and then.
        """
        self.champion, self.share, self.report = champion, settings.interpolation, report
        student = with_dropout(champion, settings.dropout, copy_encoder=settings.encoder)
        super().__init__(folder, settings.training(), student, source, device=device)
        self.began, self.began_at = time.monotonic(), self.position.step

    def run(self) -> Checkpoint:
        """The challenger. Raises Stopped when asked to stop; the same folder goes on to the same result."""
        self.go()
        self.average.swap()
        challenger = with_dropout(self.checkpoint, self.champion.config.decoder.dropout)
        blend(self.champion, challenger, self.share)
        challenger.encoder.eval()
        challenger.decoder.eval()
        return challenger

    def resume(self) -> None:
        super().resume()
        self.began, self.began_at = time.monotonic(), self.position.step

    def stepped(self, loss: float) -> None:
        if self.position.step % LOG_EVERY and self.position.step != self.steps:
            return
        taken = self.position.step - self.began_at
        left = (self.steps - self.position.step) * (time.monotonic() - self.began) / max(taken, 1)
        self.report({"step": self.position.step, "steps": self.steps, "loss": loss, "eta_s": round(left, 1)})

    def end_epoch(self) -> None:
        position = self.position
        position.epoch, position.batch = position.epoch + 1, 0
        position.finished = position.epoch >= self.settings.epochs
        self.journal.write("epoch", step=position.step, epoch=position.epoch)
        self.save()
