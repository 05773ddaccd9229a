"""What a step of training makes smaller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

from model.decoder import Decoder, flatten_targets
from model.training.batches import Batch


class Objective(Protocol):
    def loss(self, decoder: Decoder, grid: Tensor, batch: Batch) -> Tensor:
        """A number to step down, from the features (B, 49, C) of the batch's images."""
        ...


@dataclass(frozen=True)
class CrossEntropy:
    """The mean loss per word of the captions that people wrote, teacher-forced."""

    label_smoothing: float

    def loss(self, decoder: Decoder, grid: Tensor, batch: Batch) -> Tensor:
        memory = decoder.read(grid).select(batch.images.to(grid.device))
        logits = decoder(memory, batch.tokens.to(grid.device), batch.lengths)
        targets = flatten_targets(batch.targets, batch.lengths).to(grid.device)
        return F.cross_entropy(logits.float(), targets, label_smoothing=self.label_smoothing)
