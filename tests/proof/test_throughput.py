"""The plain training loop learns the same as ours: only so is their ratio one of speed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model import checkpoint as checkpoints
from model.datasets import load_dataset
from model.training.batches import epoch_batches
from model.training.learner import Learner
from model.training.objective import CrossEntropy
from model.training.prepare import with_dropout
from model.training.settings import TrainingSettings
from proof import throughput
from proof.throughput import PlainLoop, Reread
from tests.checkpoints import squares_checkpoint
from tests.photos import flickr8k_folder


@pytest.fixture
def squares(tmp_path: Path) -> str:
    flickr8k_folder(tmp_path / "squares", train=64, dev=32)
    return f"flickr8k:{tmp_path / 'squares'}"


@pytest.fixture
def starter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = squares_checkpoint(tmp_path / "starter", 4, embedding=16, hidden=24, dropout=0.5)
    monkeypatch.setattr(throughput, "STARTER", folder)
    return folder


def test_the_loss_is_ours(squares: str, starter: Path) -> None:
    checkpoint = with_dropout(checkpoints.load(starter), 0.0)
    settings = TrainingSettings(squares)
    photos = load_dataset(squares, "train").examples
    batch = next(epoch_batches(Reread(photos), checkpoint.vocabulary, size=32, seed=1, epoch=0))
    with torch.no_grad():
        plain = PlainLoop(checkpoint, settings).loss(batch)
        ours = Learner(checkpoint, "network", CrossEntropy(settings.label_smoothing))(batch)
    assert float(plain) == pytest.approx(float(ours), rel=1e-5)


def test_both_are_timed_and_nothing_stays(squares: str, starter: Path, tmp_path: Path) -> None:
    found = throughput.throughput(squares, tmp_path / "cache")
    assert min(found["photos_per_s"], found["plain_photos_per_s"]) > 0
    assert found["ratio"] == pytest.approx(found["photos_per_s"] / found["plain_photos_per_s"])
    assert not list((tmp_path / "cache").rglob("*.npy"))
