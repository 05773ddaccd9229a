"""One step as a module: a batch to its loss, with the weights that the stage trains and no others."""

from __future__ import annotations

from torch import Tensor, nn

from model.checkpoint import Checkpoint
from model.encoder import to_grid
from model.training.batches import Batch
from model.training.objective import Objective
from model.training.optimise import trained_part
from model.training.settings import Stage


class Learner(nn.Module):
    def __init__(self, checkpoint: Checkpoint, stage: Stage, objective: Objective) -> None:
        super().__init__()
        self.objective = objective
        # What is trained is registered; the rest is only used.
        part = trained_part(checkpoint.encoder, stage)
        self.trained = nn.ModuleList([checkpoint.decoder, *([part] if part else [])])
        self._networks = checkpoint.encoder, checkpoint.decoder

    def forward(self, batch: Batch) -> Tensor:
        encoder, decoder = self._networks
        return self.objective.loss(decoder, to_grid(encoder, batch.inputs), batch)
