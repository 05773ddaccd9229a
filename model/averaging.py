"""One checkpoint from several of the same shape: the mean of their weights (model soups, Wortsman et al., 2022).

It helps where the runs began at one checkpoint and went different ways from there, by their seeds or their settings.
Runs that began apart lie in different valleys, and the mean of two valleys is a hill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from model.checkpoint import Checkpoint, CheckpointError, Config, Decoding


@torch.no_grad()
def average(checkpoints: Sequence[Checkpoint]) -> Checkpoint:
    """The first one's words and settings with the mean of all weights, in float32; it becomes the mean itself.

    Raises CheckpointError for checkpoints with other words or of other shapes.
    """
    first, *others = checkpoints
    for other in others:
        check_alike(first, other)
    for name in ("encoder", "decoder"):
        networks: list[nn.Module] = [getattr(checkpoint, name) for checkpoint in checkpoints]
        states = [network.state_dict() for network in networks]
        for key, value in states[0].items():
            if value.is_floating_point():
                value.copy_(torch.stack([state[key] for state in states]).mean(0))
    return first


def check_alike(first: Checkpoint, other: Checkpoint) -> None:
    if shape(first) != shape(other):
        raise CheckpointError(
            f"{other.version} has another shape than {first.version}: {shape(other)}, not {shape(first)}"
        )
    if first.vocabulary.words != other.vocabulary.words:
        raise CheckpointError(
            f"{other.version} has other words than {first.version}; average runs that began at one checkpoint"
        )


def shape(checkpoint: Checkpoint) -> Config:
    """Runs that differ in dropout or in how they decode have weights that fit each other."""
    config = checkpoint.config
    return replace(config, decoder=replace(config.decoder, dropout=0.0), decoding=Decoding())
