"""Numbers in eight bits: how activations and weights are rounded.

Activations are uint8 with one scale for a whole tensor. Weights are int8 with a scale for each output channel. CPUs
without VNNI multiply pairs of bytes into sixteen bits, where 2 x 255 x 127 would overflow and 2 x 255 x 63 just fits: a
weight is narrow where it uses seven of its bits. Where it is wide, and uses all eight, ONNX Runtime is told to widen
them first on such a CPU: slower there, and exact (`onnx_runtime.Network`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LEVELS = 255
# The largest level of a weight.
NARROW = 63
WIDE = 127


class Range(NamedTuple):
    """The values that a quantised activation can take, from `low` to `high`; zero is always one of them."""

    low: float
    high: float

    @property
    def scale(self) -> float:
        """The step between two levels."""
        return float(np.float32(max(self.high - self.low, 1e-6) / LEVELS))

    @property
    def zero(self) -> int:
        """The level that means 0."""
        return min(max(round(-self.low / self.scale), 0), LEVELS)


def round_trip(x: Tensor, found: Range) -> Tensor:
    """x as it is after it was quantised and restored."""
    levels = (x / found.scale).round_().add_(found.zero).clamp_(0, LEVELS)
    return levels.sub_(found.zero).mul_(found.scale)


class Weights(NamedTuple):
    """A rounded weight: levels (out, ...) int8 and the step of each output channel (out,) float32."""

    levels: NDArray[np.int8]
    scale: NDArray[np.float32]

    def zeros(self) -> NDArray[np.int8]:
        """The level that stands for 0, for each output channel (out,)."""
        return np.zeros(len(self.scale), np.int8)

    def for_product(self) -> NDArray[np.int8]:
        """The levels as the right side of a matrix product, (in, out)."""
        return np.ascontiguousarray(self.levels.reshape(len(self.levels), -1).T)


def weight_scale(weight: Tensor, most: int) -> Tensor:
    """The step of each output channel (out,) of a weight (out, ...): its largest value takes the level `most`."""
    return weight.abs().flatten(1).amax(1).clamp_min(1e-12) / most


def round_weights(weight: Tensor, most: int) -> Weights:
    """Each weight to the nearest level."""
    scale = weight_scale(weight, most)  # (out,)
    levels = (weight / scale.view(-1, *[1] * (weight.dim() - 1))).round().to(torch.int8)
    return Weights(levels.numpy(), scale.numpy())
