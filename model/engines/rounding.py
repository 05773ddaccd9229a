"""Rounds the encoder's weights so that what comes out errs least, not each weight (GPTQ; Frantar et al., 2022).

Inputs of a convolution go together: where one is large, its neighbours are. So what one weight has lost by rounding,
those not rounded yet can make up for. How inputs go together is measured on real pictures, layer by layer, on what the
rounded layers before have made of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from model.encoder import Encoder
from model.engines.calibration import INPUT, Ranges
from model.engines.quantise import NARROW, WIDE, Weights, round_trip, round_weights, weight_scale
from model.engines.walk import Layer, walk

# Inputs that are looked at, over all pictures. A layer with more columns than they could tell apart is rounded plainly.
SAMPLE = 4000
MOST_COLUMNS = 2400
# Added to what inputs have in common with themselves, as a share of the mean: keeps corrections small and stable.
DAMPING = 0.01
BLOCK = 128

Wide = Callable[[Layer], bool]


class Value(NamedTuple):
    """An activation (N, C, H, W) as sums see it, and as convolutions do: rounded."""

    exact: Tensor
    rounded: Tensor


@torch.inference_mode()
def round_encoder(encoder: Encoder, ranges: Ranges, pictures: Tensor, is_wide: Wide) -> dict[str, Weights]:
    """The weights of each layer by its name. `pictures` (N, 3, 224, 224) are normalised; weights of layers that are
    wide use all eight bits."""
    rounder = Rounder(ranges, is_wide)
    walk(encoder, rounder.value(pictures, INPUT), rounder)
    return rounder.weights


class Rounder:
    """Runs the encoder as the graph will, in float arithmetic, rounding each weight on the way."""

    def __init__(self, ranges: Ranges, is_wide: Wide) -> None:
        self.weights: dict[str, Weights] = {}
        self._ranges = ranges
        self._is_wide = is_wide

    def conv(self, x: Value, layer: Layer) -> Value:
        most = WIDE if self._is_wide(layer) else NARROW
        if layer.weight[0].numel() <= MOST_COLUMNS:
            found = round_together(layer.weight, inputs(x.rounded, layer), most)
        else:
            found = round_weights(layer.weight, most)
        self.weights[layer.name] = found
        restored = torch.from_numpy(found.levels) * torch.from_numpy(found.scale)[:, None, None, None]
        images = torch.split(x.rounded, 1)
        y = torch.cat([F.conv2d(image, restored, layer.bias, layer.stride, layer.padding) for image in images])
        return self.value(F.relu_(y), layer.name) if layer.relu else Value(y, y)

    def pool(self, x: Value) -> Value:
        y = F.max_pool2d(x.rounded, 3, 2, 1)
        return Value(y, y)

    def join(self, x: Value, shortcut: Value, name: str, final: bool) -> Value:
        return self.value(F.relu(x.exact + shortcut.exact), name)

    def value(self, x: Tensor, name: str) -> Value:
        return Value(x, round_trip(x, self._ranges[name]))


def inputs(x: Tensor, layer: Layer) -> Tensor:
    """What the layer's weights are multiplied by at places spread over all pictures: (S, columns)."""
    each = SAMPLE // len(x)
    found = []
    for image in torch.split(x, 1):
        places = F.unfold(image, layer.weight.shape[-1], padding=layer.padding, stride=layer.stride)[0]  # (columns, P)
        found.append(places[:, torch.linspace(0, places.shape[1] - 1, min(each, places.shape[1])).long()])
    return torch.cat(found, 1).T


def round_together(weight: Tensor, x: Tensor, most: int) -> Weights:
    """`weight` (out, ...) for inputs like x (S, columns)."""
    left = weight.flatten(1).clone()  # (out, columns): what is to be rounded, errors of the columns before made up for
    common = x.T @ x / len(x)
    common.diagonal().add_(DAMPING * common.diagonal().mean() + 1e-8)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(common))
    passed = torch.linalg.cholesky(inverse, upper=True)  # row j: how the error of column j is passed on to later ones
    scale = weight_scale(weight, most)
    levels = torch.empty_like(left)
    for start in range(0, left.shape[1], BLOCK):
        block = slice(start, start + BLOCK)
        levels[:, block], errors = round_block(left[:, block], passed[block, block], scale, most)
        left[:, start + BLOCK :] -= errors @ passed[block, start + BLOCK :]
    return Weights(levels.view_as(weight).to(torch.int8).numpy(), scale.numpy())


def round_block(left: Tensor, passed: Tensor, scale: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Levels of a few columns (out, columns), and the errors that are left to the columns after them."""
    levels, errors = torch.empty_like(left), torch.empty_like(left)
    for column in range(left.shape[1]):
        value = left[:, column]
        levels[:, column] = (value / scale).round().clamp(-most, most)
        errors[:, column] = (value - levels[:, column] * scale) / passed[column, column]
        left[:, column:] -= errors[:, column, None] * passed[column, column:]
    return levels, errors
