"""Steps downhill: the optimizer, its learning rate over time, and the running average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from model.checkpoint import Checkpoint
from model.encoder import Encoder
from model.training.settings import Stage, TrainingSettings


def trained_part(encoder: Encoder, stage: Stage) -> nn.Module | None:
    """What a stage trains of the encoder."""
    return {"top": encoder.layer4, "network": encoder}.get(stage)


def parameter_groups(checkpoint: Checkpoint, settings: TrainingSettings) -> list[dict[str, object]]:
    """The decoder and what the stage trains of the encoder, each with its own learning rate; only matrices decay."""
    parts: list[tuple[nn.Module, float]] = [(checkpoint.decoder, settings.learning_rate)]
    if part := trained_part(checkpoint.encoder, settings.stage):
        parts.append((part, settings.encoder_learning_rate))
    groups: list[dict[str, object]] = []
    for module, rate in parts:
        matrices = [p for p in module.parameters() if p.dim() > 1]
        vectors = [p for p in module.parameters() if p.dim() <= 1]
        groups.append({"params": matrices, "lr": rate, "peak": rate, "weight_decay": settings.weight_decay})
        groups.append({"params": vectors, "lr": rate, "peak": rate, "weight_decay": 0.0})
    return groups


def make_optimizer(checkpoint: Checkpoint, settings: TrainingSettings) -> torch.optim.Optimizer:
    groups = parameter_groups(checkpoint, settings)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum, nesterov=True)
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98), fused=True)


def rate_factor(step: int, steps: int, warmup: float) -> float:
    """Share of the peak learning rate at `step` of `steps`: a linear rise, then a cosine down to a hundredth."""
    rise = max(1, round(steps * warmup))
    if step < rise:
        return (step + 1) / rise
    fallen = (step - rise) / max(1, steps - rise)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(fallen, 1.0)))


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


class Average:
    """Exponential moving average of some parameters; the first steps average over as many as there were."""

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self.parameters = list(parameters)
        self.decay = decay
        self.steps = 0
        self.values = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def update(self) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self.values, [p.detach() for p in self.parameters], 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the averaged and the live weights; call it again to go back."""
        for parameter, value in zip(self.parameters, self.values, strict=True):
            live = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(live)

    def state_dict(self) -> dict[str, object]:
        return {"steps": self.steps, "values": self.values}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.steps = int(state["steps"])  # type: ignore[call-overload]  # written by state_dict above
        values: list[Tensor] = state["values"]  # type: ignore[assignment]  # likewise
        for mine, saved in zip(self.values, values, strict=True):
            mine.copy_(saved)
