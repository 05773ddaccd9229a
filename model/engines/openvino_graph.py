"""The encoder's graph as OpenVINO computes it fastest: plain convolutions, their weights in seven of the eight bits.

On CPUs without VNNI its kernels add up pairs of products in sixteen bits, which eight bits a weight would overflow:
half of what the starter's encoder sees would be wrong.
"""

from __future__ import annotations

from model.engines.calibration import Ranges
from model.engines.encoder_graph import Writer
from model.engines.quantise import Weights
from model.engines.walk import Layer


class OpenVinoWriter(Writer):
    def __init__(self, ranges: Ranges, weights: dict[str, Weights]) -> None:
        super().__init__(ranges, weights)
        self._exact: dict[str, str] = {}  # by a rounded value's name: what it was rounded from, for sums

    @staticmethod
    def is_wide(layer: Layer) -> bool:
        return False

    def conv(self, x: str, layer: Layer) -> str:
        graph = self.graph
        y = self.convolve(x, graph.constant(layer.bias.numpy()), layer)
        return self.rounded(graph.node("Relu", y), layer.name) if layer.relu else y

    def join(self, x: str, shortcut: str, name: str, final: bool) -> str:
        exact: str = self.graph.node("Relu", self.graph.node("Add", x, self._exact.get(shortcut, shortcut)))
        if final:
            return self.rows(self.graph.node("Transpose", exact, perm=[0, 2, 3, 1]))
        y = self.rounded(exact, name)
        self._exact[y] = exact
        return y
