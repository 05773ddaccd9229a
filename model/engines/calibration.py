"""Which range of values each activation of the encoder takes on real pictures.

One pass over the pictures in float32 keeps a sample of every activation; then the range is chosen that loses least: a
few rare large values are cut off where that leaves finer steps for all the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from model.encoder import Encoder
from model.engines.quantise import Range, round_trip
from model.engines.walk import Layer, walk
from model.preprocess import Pixels

BATCH = 4
# Values kept of one activation of one picture: enough for a range, few enough for a small machine's memory.
SAMPLE = 2048
CUTS = tuple(float(cut) for cut in np.linspace(0.4, 1.0, 25))
INPUT = "images"

Ranges = dict[str, Range]


@torch.inference_mode()
def calibrate(encoder: Encoder, pictures: Sequence[Pixels]) -> tuple[Ranges, Tensor]:
    """The range of each activation by its name, and the pictures' features (N, 49, C), computed on the way.

    `pictures` are (224, 224, 3) uint8, RGB: a few dozen, unlike one another.
    """
    observer = Observer()
    seen = [
        walk(encoder, observer.see(INPUT, part), observer) for part in torch.split(normalised(encoder, pictures), BATCH)
    ]
    ranges = {name: best_range(torch.cat(samples)) for name, samples in observer.samples.items()}
    return ranges, torch.cat(seen).flatten(2).transpose(1, 2)


def normalised(encoder: Encoder, pictures: Sequence[Pixels]) -> Tensor:
    batch = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255  # (N, 3, 224, 224)
    return (batch - encoder.mean) / encoder.std


class Observer:
    """Runs the encoder as it is and keeps samples of its activations."""

    def __init__(self) -> None:
        self.samples: dict[str, list[Tensor]] = {}

    def conv(self, x: Tensor, layer: Layer) -> Tensor:
        y = F.conv2d(x, layer.weight, layer.bias, layer.stride, layer.padding)
        return self.see(layer.name, F.relu(y) if layer.relu else y)

    def pool(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, 2, 1)

    def join(self, x: Tensor, shortcut: Tensor, name: str, final: bool) -> Tensor:
        return self.see(name, F.relu(x + shortcut))

    def see(self, name: str, x: Tensor) -> Tensor:
        flat = x.flatten(1)  # (B, values)
        spread = flat[:, :: max(flat.shape[1] // SAMPLE, 1)]
        ends = torch.stack([flat.amin(1), flat.amax(1)], 1)  # (B, 2): no sample may miss them
        self.samples.setdefault(name, []).append(torch.cat([spread, ends], 1).flatten())
        return x


def best_range(seen: Tensor) -> Range:
    """The range whose rounding errs least, in the mean of squares, among those cut off evenly at both ends."""
    low, high = min(float(seen.min()), 0.0), max(float(seen.max()), 0.0)
    candidates = [Range(low * cut, high * cut) for cut in CUTS]
    errors = [float((round_trip(seen, candidate) - seen).square().mean()) for candidate in candidates]
    return candidates[int(np.argmin(errors))]
