"""Versions to swap between: of one encoder, as fine-tuning makes them, and some that are not fit to serve."""

from __future__ import annotations

from pathlib import Path

import torch

from model import checkpoint as checkpoints
from model.store import Store
from model.vocabulary import END
from tests.checkpoints import tiny


def retrained(store: Store, version: str, folder: Path, seed: int, by: float = 0.3) -> str:
    """Publish a version whose decoder differs from that of `version` and whose encoder is the same file."""
    made = checkpoints.load(store.folder(version))
    torch.manual_seed(seed)
    with torch.no_grad():
        for weights in made.decoder.parameters():
            weights.add_(torch.randn_like(weights) * weights.std().nan_to_num(0.0) * by)
    return store.publish(checkpoints.save(made, folder, {"parent": version, "seed": seed}))


def gone_mad(store: Store, folder: Path) -> str:
    """Publish a version with a weight that is not a number."""
    made = tiny()
    with torch.no_grad():
        made.decoder.bias[END + 1] = float("nan")
    return store.publish(checkpoints.save(made, folder, {}))


def torn(store: Store, version: str) -> str:
    """Cut off the end of a published decoder."""
    weights = store.folder(version) / "decoder.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    return version


def promote(store: Store, version: str, project: str = "default") -> None:
    """Point a project at a version, as a person does."""
    own = store.own_champion(project)
    store.promote(
        version,
        project,
        expect_epoch=own.epoch if own else None,
        by=f"tests {own.epoch if own else 0}",
        reason="a test",
    )
