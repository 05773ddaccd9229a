"""Everything a run needs to go on after a kill with the result it would have had."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from model.checkpoint import Checkpoint
from model.durable import sync
from model.training.optimise import Average


@dataclass
class Position:
    """Where a run stands: epochs begin at 0, `batch` is the next batch of `epoch`."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best: float = -1.0
    best_epoch: int = -1
    finished: bool = False


def save_state(
    path: Path,
    position: Position,
    checkpoint: Checkpoint,
    optimizer: torch.optim.Optimizer,
    average: Average,
    *,
    encoder: bool,
) -> None:
    """Write the state beside its place, sync it, and put it there in one move. A frozen encoder is left out."""
    state: dict[str, Any] = {
        "position": asdict(position),
        "decoder": checkpoint.decoder.state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": average.state_dict(),
        "random": torch.get_rng_state(),
    }
    if encoder:
        state["encoder"] = checkpoint.encoder.state_dict()
    stage = path.with_suffix(".stage")
    torch.save(state, stage)
    sync(stage)
    os.replace(stage, path)
    sync(path.parent)


def load_state(path: Path, checkpoint: Checkpoint, optimizer: torch.optim.Optimizer, average: Average) -> Position:
    state = torch.load(path, weights_only=True, map_location="cpu")
    if "encoder" in state:
        checkpoint.encoder.load_state_dict(state["encoder"])
    checkpoint.decoder.load_state_dict(state["decoder"])
    optimizer.load_state_dict(state["optimizer"])
    average.load_state_dict(state["average"])
    torch.set_rng_state(state["random"])
    return Position(**state["position"])
