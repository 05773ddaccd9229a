"""The encoder in int8 as an ONNX graph: pictures (B, 224, 224, 3) in [0, 1] to the grid (B, 49, C), both float32.

Every activation goes through a pair of QuantizeLinear and DequantizeLinear, and so does every weight: the runtime
turns what stands between two pairs into one kernel on integers. What blocks add to their shortcuts, and the sums, are
not rounded: from block to block only float32 is handed on, and each block rounds it anew for its convolutions. Rounded
sums would take the rounding errors of all blocks along, half as much error again in the grid for 5 % less time.
"""

from __future__ import annotations

import numpy as np
import torch

from model.encoder import GRID, Encoder
from model.engines.calibration import INPUT, Ranges
from model.engines.onnx_file import RUNTIME, Graph
from model.engines.quantise import WEIGHT_ZERO, Range, Weights
from model.engines.rounding import is_wide
from model.engines.walk import Layer, walk
from model.preprocess import SIZE


@torch.no_grad()
def encoder_graph(encoder: Encoder, ranges: Ranges, weights: dict[str, Weights]) -> bytes:
    writer = Writer(ranges, weights)
    graph = writer.graph
    images = graph.input("images", np.float32, ["batch", SIZE, SIZE, 3])
    centred = graph.node("Sub", images, graph.constant(encoder.mean.view(3).numpy()))
    scaled = graph.node("Mul", centred, graph.constant((1 / encoder.std).view(3).numpy()))
    x = writer.rounded(graph.node("Transpose", scaled, perm=[0, 3, 1, 2]), INPUT)  # (B, 3, 224, 224)
    graph.output(walk(encoder, x, writer), np.float32, ["batch", GRID * GRID, encoder.channels])
    return graph.model()


class Writer:
    """Writes each layer. An activation is the name of its rounded value, restored to float32 (B, C, H, W)."""

    def __init__(self, ranges: Ranges, weights: dict[str, Weights]) -> None:
        self.graph = Graph()
        self._ranges = ranges
        self._weights = weights
        self._range: dict[str, Range] = {}
        # By the same name: the levels (B, H, W, C), and what they were rounded from, where sums need it.
        self._levels: dict[str, str] = {}
        self._exact: dict[str, str] = {}

    def conv(self, x: str, layer: Layer) -> str:
        if not layer.relu:
            return self._sums(x, layer)
        graph, size = self.graph, layer.weight.shape[-1]
        weights, wide = self._weights[layer.name], is_wide(layer)
        levels, scale = weights.wide() if wide else weights.levels, weights.scale
        zeros = np.full(len(scale), WEIGHT_ZERO if wide else 0, levels.dtype)
        weight = graph.node("DequantizeLinear", *(graph.constant(one) for one in (levels, scale, zeros)), axis=0)
        # The bias is counted in the steps of the products, as the integers are summed up.
        step = scale * np.float32(self._range[x].scale)
        counts = np.rint(layer.bias.numpy() / step).clip(-(2**31), 2**31 - 1).astype(np.int32)
        bias = graph.node("DequantizeLinear", graph.constant(counts), graph.constant(step), axis=0)
        strides, pads = [layer.stride] * 2, [layer.padding] * 4
        y = graph.node("Conv", x, weight, bias, kernel_shape=[size, size], strides=strides, pads=pads)
        return self.rounded(graph.node("Relu", y), layer.name)

    def pool(self, x: str) -> str:
        """The largest of rounded values is one of them: the pair after it rounds nothing, it lets the runtime fuse."""
        y = self.graph.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
        return self._pair(y, self._range[x])

    def join(self, x: str, shortcut: str, name: str, final: bool) -> str:
        graph = self.graph
        exact: str = graph.node("Relu", graph.node("Add", x, self._exact.get(shortcut, shortcut)))  # (B, H, W, C)
        if final:
            rows: str = graph.node("Reshape", exact, graph.constant(np.array([0, GRID * GRID, -1])))
            return rows
        values = self._ranges[name]
        scale, zero = self._steps(values)
        levels = graph.node("QuantizeLinear", exact, scale, zero)
        y: str = graph.node("DequantizeLinear", graph.node("Transpose", levels, perm=[0, 3, 1, 2]), scale, zero)
        self._range[y], self._levels[y], self._exact[y] = values, levels, exact
        return y

    def rounded(self, x: str, name: str) -> str:
        return self._pair(x, self._ranges[name])

    def _sums(self, x: str, layer: Layer) -> str:
        """A 1x1 convolution as the matrix product that it is: the sums (B, H, W, out), not rounded."""
        graph = self.graph
        rows = self._levels[x]
        if layer.stride > 1:
            begin, end = np.array([0, 0]), np.array([2**31, 2**31])
            axes, steps = np.array([1, 2]), np.array([layer.stride] * 2)
            rows = graph.node("Slice", rows, *(graph.constant(one) for one in (begin, end, axes, steps)))
        weights, values = self._weights[layer.name], self._range[x]
        zeros = np.uint8(values.zero), np.full(len(weights.scale), WEIGHT_ZERO, np.uint8)
        parts = (weights.for_product(), np.float32(values.scale), weights.scale, *zeros, layer.bias.numpy())
        constants = [graph.constant(one) for one in parts]
        found: str = graph.node("MatMulIntegerToFloat", rows, *constants, domain=RUNTIME)
        return found

    def _pair(self, x: str, values: Range) -> str:
        graph = self.graph
        scale, zero = self._steps(values)
        levels = graph.node("QuantizeLinear", x, scale, zero)
        y: str = graph.node("DequantizeLinear", levels, scale, zero)
        self._range[y], self._levels[y] = values, graph.node("Transpose", levels, perm=[0, 2, 3, 1])
        return y

    def _steps(self, values: Range) -> tuple[str, str]:
        return self.graph.constant(np.float32(values.scale)), self.graph.constant(np.uint8(values.zero))
