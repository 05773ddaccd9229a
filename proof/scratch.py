"""A captioner trained from nothing on some photos: what a round of corrections starts from, and is compared with."""

from __future__ import annotations

import json
import time
from pathlib import Path

import torch

from model import checkpoint as checkpoints
from model.checkpoint import Config
from model.datasets import Dataset
from model.decoder import DecoderConfig
from model.training.run import Run
from model.training.settings import TrainingSettings
from model.vocabulary import Vocabulary
from proof.corpus import Part

# As `python -m model train --stage decoder` trains, but for a small data set: smaller batches, rarer words kept.
RECIPE = TrainingSettings(
    dataset="",
    epochs=12,
    batch=16,
    learning_rate=1e-3,
    dropout=0.4,
    ema=0.995,
    patience=3,
    minimum_count=3,
    validation_beam=3,
)


def train_from_scratch(part: Part, folder: Path, settings: TrainingSettings = RECIPE) -> Path:
    """Train a new decoder on `part`, stopped early on the dev split; the folder of its best checkpoint.

    Resumes what a kill left. `cost.json` beside it holds processor seconds and photos seen.
    """
    if (folder / "cost.json").exists():
        return folder / "best"
    corpus = part.corpus
    torch.manual_seed(settings.seed)
    vocabulary = Vocabulary.build(part.dataset.captions(), settings.minimum_count)
    config = Config(DecoderConfig(len(vocabulary), dropout=settings.dropout))
    checkpoint = checkpoints.create(config, vocabulary)
    checkpoint.encoder.load_state_dict(corpus.encoder.state_dict())
    started, wall = time.process_time(), time.monotonic()
    dev = Dataset(corpus.dev.name, corpus.dev.split, corpus.dev_examples, corpus.dev.problems)
    run = Run(folder, settings, checkpoint, part, part.dataset, dev, corpus.dev_features)
    position = run.go()
    cost = {
        "cpu_s": round(time.process_time() - started, 1),
        "wall_s": round(time.monotonic() - wall, 1),
        "photos_seen": position.epoch * len(part),
        "epochs": position.epoch,
        "bleu4": position.best,
        "photos": len(part),
    }
    (folder / "cost.json").write_text(json.dumps(cost) + "\n")
    return folder / "best"
