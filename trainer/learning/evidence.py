"""What the gate judges by: champion and challenger caption the same photos, each as it would serve.

Each model searches with its own checkpoint's beam and length weight, in the weights as they are stored. The captions
are kept in the run's folder, so that every figure of the gate can be computed again from them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.beam import captions
from model.behaviour import behaviour
from model.checkpoint import Checkpoint
from model.metrics import SIGNATURE, score
from model.significance import compare
from trainer.learning.files import read_json, write_json
from trainer.learning.gate import Evidence

BATCH = 50
Grids = Callable[[Sequence[int]], Tensor]


@dataclass(frozen=True)
class Photos:
    """Photos to be judged by: their names, what people wrote, and their features for each encoder, by position."""

    name: str
    names: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]
    grids: Callable[[Checkpoint], Grids]


@dataclass(frozen=True)
class Rival:
    """`role` is champion or challenger."""

    role: str
    checkpoint: Checkpoint


def write(
    folder: Path, photos: Photos, rival: Rival, *, device: str, advance: Callable[[int], None] = lambda count: None
) -> list[str]:
    """The rival's captions of these photos, from `evidence/` if this run has them already."""
    path = folder / "evidence" / f"{photos.name}-{rival.role}.json"
    before = read_json(path)
    if before is not None and [row["image"] for row in before["captions"]] == list(photos.names):
        return [row["caption"] for row in before["captions"]]
    texts = spoken(rival.checkpoint, photos.grids(rival.checkpoint), len(photos.names), device, advance)
    rows = [{"image": name, "caption": text} for name, text in zip(photos.names, texts, strict=True)]
    decoding = rival.checkpoint.config.decoding
    facts = {"version": rival.checkpoint.version, "beam": decoding.beam, "length_power": decoding.length_power}
    write_json(path, facts | {"captions": rows})
    return texts


def spoken(checkpoint: Checkpoint, grids: Grids, count: int, device: str, advance: Callable[[int], None]) -> list[str]:
    decoder, decoding = checkpoint.decoder.to(device).eval(), checkpoint.config.decoding
    texts: list[str] = []
    for start in range(0, count, BATCH):
        rows = range(start, min(start + BATCH, count))
        grid = grids(rows).to(device)  # (B, 49, C)
        texts += captions(decoder, checkpoint.vocabulary, grid, decoding.beam, length_power=decoding.length_power)
        advance(len(rows))
    return texts


def weigh(photos: Photos, champion: Sequence[str], challenger: Sequence[str]) -> Evidence:
    comparison = compare(champion, challenger, photos.references)
    return Evidence(comparison, behaviour(champion), behaviour(challenger))


def validation(photos: Photos, checkpoint: Checkpoint, texts: Sequence[str]) -> dict[str, Any]:
    """What a manifest says of these captions, with how the figures were made."""
    scores = score(texts, photos.references)
    return {
        "images": len(texts),
        "decoding": asdict(checkpoint.config.decoding),
        "bleu": list(scores.bleu),
        "cider": scores.cider,
        "brevity_penalty": scores.brevity_penalty,
        "confidence": dict(scores.confidence),
        "signature": SIGNATURE,
    }


def finite(checkpoint: Checkpoint) -> bool:
    """Whether every weight is a number: one that is not would make every caption nonsense, or none at all."""
    weights = (*checkpoint.encoder.state_dict().values(), *checkpoint.decoder.state_dict().values())
    return all(bool(torch.isfinite(weight).all()) for weight in weights if weight.is_floating_point())
