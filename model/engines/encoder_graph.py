"""The encoder in int8 as an ONNX graph: pictures (B, 224, 224, 3) in [0, 1] to the grid (B, 49, C), both float32.

Every activation goes through a pair of QuantizeLinear and DequantizeLinear, and so does every weight: a runtime turns
what stands between two pairs into one kernel on integers. What blocks add to their shortcuts, and the sums, are not
rounded: from block to block only float32 is handed on, and each block rounds it anew for its convolutions. Rounded
sums would take the rounding errors of all blocks along, half as much error again in the grid for 5 % less time.

What is here is common to the runtimes; each fuses other patterns, so each has a writer of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch

from model.encoder import GRID, Encoder
from model.engines.calibration import INPUT, Ranges
from model.engines.onnx_file import Graph
from model.engines.quantise import Range, Weights
from model.engines.walk import Layer, walk
from model.preprocess import SIZE


class Writer(ABC):
    """Writes each layer. An activation is the name of its rounded value, restored to float32 (B, C, H, W)."""

    def __init__(self, ranges: Ranges, weights: dict[str, Weights]) -> None:
        self.graph = Graph()
        self.ranges = ranges
        self.weights = weights

    @staticmethod
    @abstractmethod
    def is_wide(layer: Layer) -> bool:
        """Whether a layer's weights use all eight bits."""

    @abstractmethod
    def conv(self, x: str, layer: Layer) -> str:
        """A convolution, rounded where a ReLU follows; else its sums."""

    def pool(self, x: str) -> str:
        found: str = self.graph.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
        return found

    @abstractmethod
    def join(self, x: str, shortcut: str, name: str, final: bool) -> str:
        """As `Visitor.join`; the final one as rows."""

    def convolve(self, x: str, bias: str, layer: Layer) -> str:
        """By the layer's rounded weight, restored to float32."""
        weights = self.weights[layer.name]
        parts = (*weights, weights.zeros())
        weight = self.graph.node("DequantizeLinear", *(self.graph.constant(one) for one in parts), axis=0)
        size, strides, pads = layer.weight.shape[-1], [layer.stride] * 2, [layer.padding] * 4
        found: str = self.graph.node("Conv", x, weight, bias, kernel_shape=[size, size], strides=strides, pads=pads)
        return found

    def rounded(self, x: str, name: str) -> str:
        return self.pair(x, self.ranges[name])

    def pair(self, x: str, values: Range) -> str:
        scale, zero = self.steps(values)
        found: str = self.graph.node("DequantizeLinear", self.graph.node("QuantizeLinear", x, scale, zero), scale, zero)
        return found

    def steps(self, values: Range) -> tuple[str, str]:
        return self.graph.constant(np.float32(values.scale)), self.graph.constant(np.uint8(values.zero))

    def rows(self, exact: str) -> str:
        """The last sums (B, 7, 7, C) as the grid (B, 49, C)."""
        found: str = self.graph.node("Reshape", exact, self.graph.constant(np.array([0, GRID * GRID, -1])))
        return found


@torch.no_grad()
def encoder_graph(encoder: Encoder, writer: Writer) -> bytes:
    graph = writer.graph
    images = graph.input("images", np.float32, ["batch", SIZE, SIZE, 3])
    centred = graph.node("Sub", images, graph.constant(encoder.mean.view(3).numpy()))
    scaled = graph.node("Mul", centred, graph.constant((1 / encoder.std).view(3).numpy()))
    x = writer.rounded(graph.node("Transpose", scaled, perm=[0, 3, 1, 2]), INPUT)  # (B, 3, 224, 224)
    graph.output(walk(encoder, x, writer), np.float32, ["batch", GRID * GRID, encoder.channels])
    return graph.model()
