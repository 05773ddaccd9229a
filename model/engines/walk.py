"""The encoder's layers in the order in which they run, for whoever does something else with each than to run it.

Measuring activations, correcting biases and writing a graph all follow one walk, so that they cannot come to mean
different layers by the same name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar, cast

from torch import Tensor, nn

from model.encoder import Bottleneck, Encoder, fold

T = TypeVar("T")


@dataclass(frozen=True)
class Layer:
    """A convolution with its batch norm folded in. Those without a ReLU after them are 1x1 and end in a sum."""

    name: str
    weight: Tensor  # (out, in, size, size)
    bias: Tensor  # (out,)
    stride: int
    padding: int
    relu: bool


class Visitor(Protocol[T]):
    """Handles one layer after another; T is whatever stands for an activation."""

    def conv(self, x: T, layer: Layer) -> T: ...

    def pool(self, x: T) -> T: ...

    def join(self, x: T, shortcut: T, name: str, final: bool) -> T:
        """The sum of a block and its shortcut, and the ReLU after it; `final` in the last block."""
        ...


def walk(encoder: Encoder, x: T, visitor: Visitor[T]) -> T:
    """From the normalised pictures (B, 3, 224, 224) to the grid, as the visitor lays it out."""
    x = visitor.pool(visitor.conv(x, layer("conv1", encoder.conv1, encoder.bn1, relu=True)))
    for number, stage in enumerate((encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4), 1):
        for position, block in enumerate(stage):
            final = number == 4 and position == len(stage) - 1
            x = walk_block(cast(Bottleneck, block), x, f"layer{number}.{position}", visitor, final)
    return x


def walk_block(block: Bottleneck, x: T, name: str, visitor: Visitor[T], final: bool) -> T:
    shortcut = x
    if block.downsample is not None:
        conv, norm = cast(nn.Conv2d, block.downsample[0]), cast(nn.BatchNorm2d, block.downsample[1])
        shortcut = visitor.conv(x, layer(f"{name}.downsample", conv, norm, relu=False))
    x = visitor.conv(x, layer(f"{name}.conv1", block.conv1, block.bn1, relu=True))
    x = visitor.conv(x, layer(f"{name}.conv2", block.conv2, block.bn2, relu=True))
    x = visitor.conv(x, layer(f"{name}.conv3", block.conv3, block.bn3, relu=False))
    return visitor.join(x, shortcut, name, final)


def layer(name: str, conv: nn.Conv2d, norm: nn.BatchNorm2d, *, relu: bool) -> Layer:
    weight, bias = fold(conv, norm)
    return Layer(name, weight, bias, int(conv.stride[0]), int(cast(tuple[int, int], conv.padding)[0]), relu)
