"""What a training run is made of; written to `settings.json` in the run's folder, and held to it on resume."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Stage = Literal["decoder", "top", "network", "consensus", "reward"]


class TrainingError(ValueError):
    """A run that cannot start or go on: says what was found and what to do."""


@dataclass(frozen=True)
class TrainingSettings:
    dataset: str
    stage: Stage = "decoder"
    encoder: str = "torchvision"  # or a .safetensors file; the later stages take it from `start`
    start: str = ""  # a checkpoint folder to go on from
    seed: int = 1

    epochs: int = 10
    batch: int = 32  # images, each with all its captions
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 1e-3
    encoder_learning_rate: float = 4e-5  # top and network stages only
    weight_decay: float = 0.01
    momentum: float = 0.9  # sgd only
    warmup: float = 0.1  # share of all steps over which the learning rate rises; it then falls along a cosine
    clip: float = 5.0
    label_smoothing: float = 0.1
    ema: float = 0.999  # decay of the averaged weights, which are the ones validated and kept
    patience: int = 3  # epochs without a better BLEU-4 before the run stops

    dropout: float = 0.5

    # consensus stage only: captions that the model proposes of an image, and how many are learnt of all there are
    proposals: int = 8
    kept: int = 3
    # reward stage only: captions sampled of an image and at what temperature
    samples: int = 5
    temperature: float = 0.5
    # consensus and reward stages: what the two measures of a caption weigh
    cider_reward: float = 1.0
    bleu_reward: float = 1.0

    # A new decoder's shape; a run that goes on from a checkpoint keeps the checkpoint's.
    minimum_count: int = 4
    embedding: int = 300
    hidden: int = 512
    attention: int = 512

    validation_beam: int = 3

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "settings.json").write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    def check_resume(self, folder: Path) -> None:
        """Refuse to go on with a run that began with other settings: its result would be neither run's."""
        path = folder / "settings.json"
        if not path.exists():
            return
        # A run from before a setting was there had its default.
        before = asdict(TrainingSettings(dataset="")) | json.loads(path.read_text(encoding="utf-8"))
        changed = {k: (before.get(k), v) for k, v in asdict(self).items() if before.get(k) != v}
        if changed:
            listed = ", ".join(f"{key} was {old!r}, now {new!r}" for key, (old, new) in changed.items())
            raise TrainingError(
                f"{folder} holds a run with other settings ({listed}); give the same ones, or another --run"
            )
