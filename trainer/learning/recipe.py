"""What a run is made of: the settings that its result depends on, written down when it begins and kept to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from settings import Settings


@dataclass(frozen=True)
class Recipe:
    base_dataset: str | None
    replay_share: float
    replay_captions: int
    holdout_share: float
    accepted: bool
    grow_vocabulary: int
    epochs: int
    batch: int
    learning_rate: float
    encoder: bool
    interpolation: float
    gate: str
    gate_level: float
    gate_margin: float
    gate_images: int

    @classmethod
    def of(cls, settings: Settings, *, accepted: bool = False, batch: int | None = None) -> Recipe:
        """From the settings in force; `accepted` and `batch` are a command's own wishes."""
        return cls(
            base_dataset=settings.base_dataset,
            replay_share=settings.replay_share,
            replay_captions=settings.replay_captions,
            holdout_share=settings.holdout_share,
            accepted=accepted or settings.learn_from_accepted,
            grow_vocabulary=settings.grow_vocabulary,
            epochs=settings.finetune_epochs,
            batch=batch or settings.finetune_batch,
            learning_rate=settings.finetune_learning_rate,
            encoder=settings.finetune_encoder,
            interpolation=settings.interpolation,
            gate=settings.gate,
            gate_level=settings.gate_level,
            gate_margin=settings.gate_margin,
            gate_images=settings.gate_images,
        )

    def changed(self, since: dict[str, Any]) -> list[str]:
        """Names of what differs from a recipe written before. The batch is left out: after an out-of-memory the same
        run goes on with a smaller one."""
        now = asdict(replace(self, batch=since.get("batch", self.batch)))
        return [name for name in now if now[name] != since.get(name)]
