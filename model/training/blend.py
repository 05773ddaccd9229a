"""Between two models: weights interpolated from one to the other (WiSE-FT, Wortsman et al., 2022)."""

from __future__ import annotations

import torch

from model.checkpoint import Checkpoint


@torch.no_grad()
def blend(base: Checkpoint, model: Checkpoint, share: float) -> None:
    """Draw the weights of `model` towards those of `base`: `share` of `model` remains, 1 changes nothing.

    Both must have the same shapes; grow a vocabulary before fine-tuning, not after.
    """
    if share == 1:
        return
    for ours, theirs in ((model.decoder, base.decoder), (model.encoder, base.encoder)):
        if ours is not theirs:
            for parameter, origin in zip(ours.parameters(), theirs.parameters(), strict=True):
                parameter.lerp_(origin.to(parameter.device), 1 - share)
