"""The encoder's graph as ONNX Runtime computes it fastest, and as exactly as it can.

1x1 convolutions that end in a sum are written as the matrix products that they are. Where it matters most weights use
all eight bits, which the runtime widens first on CPUs without VNNI, slower there, and exact.
"""

from __future__ import annotations

import numpy as np

from model.engines.calibration import Ranges
from model.engines.encoder_graph import Writer
from model.engines.onnx_file import RUNTIME
from model.engines.quantise import Range, Weights
from model.engines.walk import Layer

LAST_STAGE = "layer4"


class OnnxRuntimeWriter(Writer):
    def __init__(self, ranges: Ranges, weights: dict[str, Weights]) -> None:
        super().__init__(ranges, weights)
        self._range: dict[str, Range] = {}
        # By the same name: the levels (B, H, W, C), and what they were rounded from, where sums need it.
        self._levels: dict[str, str] = {}
        self._exact: dict[str, str] = {}

    @staticmethod
    def is_wide(layer: Layer) -> bool:
        """Sums of a block are, since nothing is rounded after them, and the last stage is: of what seven bits would
        lose in the whole network half is lost there, for 3 % of the time."""
        return not layer.relu or layer.name.startswith(LAST_STAGE)

    def conv(self, x: str, layer: Layer) -> str:
        if not layer.relu:
            return self._sums(x, layer)
        graph = self.graph
        # The bias is counted in the steps of the products, as the integers are summed up.
        step = self.weights[layer.name].scale * np.float32(self._range[x].scale)
        counts = np.rint(layer.bias.numpy() / step).clip(-(2**31), 2**31 - 1).astype(np.int32)
        bias = graph.node("DequantizeLinear", graph.constant(counts), graph.constant(step), axis=0)
        return self.rounded(graph.node("Relu", self.convolve(x, bias, layer)), layer.name)

    def pool(self, x: str) -> str:
        """The largest of rounded values is one of them: the pair after it rounds nothing, it lets the runtime fuse."""
        return self.pair(super().pool(x), self._range[x])

    def join(self, x: str, shortcut: str, name: str, final: bool) -> str:
        graph = self.graph
        exact: str = graph.node("Relu", graph.node("Add", x, self._exact.get(shortcut, shortcut)))  # (B, H, W, C)
        if final:
            return self.rows(exact)
        values = self.ranges[name]
        scale, zero = self.steps(values)
        levels = graph.node("QuantizeLinear", exact, scale, zero)
        y: str = graph.node("DequantizeLinear", graph.node("Transpose", levels, perm=[0, 3, 1, 2]), scale, zero)
        self._range[y], self._levels[y], self._exact[y] = values, levels, exact
        return y

    def pair(self, x: str, values: Range) -> str:
        graph = self.graph
        scale, zero = self.steps(values)
        levels = graph.node("QuantizeLinear", x, scale, zero)
        y: str = graph.node("DequantizeLinear", levels, scale, zero)
        self._range[y], self._levels[y] = values, graph.node("Transpose", levels, perm=[0, 2, 3, 1])
        return y

    def _sums(self, x: str, layer: Layer) -> str:
        """A 1x1 convolution as the matrix product that it is: the sums (B, H, W, out), not rounded."""
        graph = self.graph
        rows = self._levels[x]
        if layer.stride > 1:
            begin, end = np.array([0, 0]), np.array([2**31, 2**31])
            axes, steps = np.array([1, 2]), np.array([layer.stride] * 2)
            rows = graph.node("Slice", rows, *(graph.constant(one) for one in (begin, end, axes, steps)))
        weights, values = self.weights[layer.name], self._range[x]
        zeros = np.uint8(values.zero), weights.zeros()
        parts = (weights.for_product(), np.float32(values.scale), weights.scale, *zeros, layer.bias.numpy())
        constants = [graph.constant(one) for one in parts]
        found: str = graph.node("MatMulIntegerToFloat", rows, *constants, domain=RUNTIME)
        return found
