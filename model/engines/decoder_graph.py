"""The decoder in int8 as three ONNX graphs: read an image, begin a caption, take one step.

    read    grid (B, 49, C)                                       values (B, 49, H), keys (B, 49, A)
    begin   values (B, 49, H)                                     hidden, cell (B, H)
    step    words (R,), hidden, cell (R, H), values, keys         scores (R, V), hidden, cell (R, H), weights (R, 49)

R is a multiple of B: the rows of an image lie side by side.

Each row is quantised by its own largest value, while the graph runs. So the decoder needs no calibration, and what is
said of one image cannot depend on those that share its batch. Attention, gates and sums stay in float32: all but the
large matrix products, in which nearly all of the time goes. The last two of these, which end in the scores, stay so
too: in eight bits they change more captions than all the others together, and save a millisecond of a caption.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from model.decoder import Decoder
from model.encoder import GRID
from model.engines.onnx_file import FLOAT, UINT8, Graph
from model.engines.quantise import WEIGHT_ZERO, WIDE, round_weights

# A row's values count from 1 to 255, and 128 stands for 0.
ROW_MOST = 127
ROW_ZERO = 128
PLACES = GRID * GRID


class Rows(NamedTuple):
    """Rows (..., width) as the names of their counts, uint8, and of the step of each row, (..., 1)."""

    counts: str
    step: str
    width: int


@torch.no_grad()
def read_graph(decoder: Decoder) -> bytes:
    writer = Writer()
    graph, attention, sizes = writer.graph, decoder.attention, decoder.config
    grid = graph.input("grid", np.float32, ["images", PLACES, sizes.channels])
    values = graph.node("Relu", writer.linear(grid, attention.reduce.weight, attention.reduce.bias))
    keys = writer.linear(values, attention.key.weight, attention.key.bias)
    graph.output(values, np.float32, ["images", PLACES, sizes.hidden])
    graph.output(keys, np.float32, ["images", PLACES, sizes.attention])
    return graph.model()


@torch.no_grad()
def begin_graph(decoder: Decoder) -> bytes:
    writer = Writer()
    graph, hidden = writer.graph, decoder.config.hidden
    values = graph.input("values", np.float32, ["images", PLACES, hidden])
    mean = graph.node("ReduceMean", values, axes=[1], keepdims=0)  # (B, H)
    start = graph.node("Tanh", writer.exact(mean, decoder.start.weight, decoder.start.bias))  # (B, 2H)
    for part in graph.node("Split", start, outputs=2, axis=-1):
        graph.output(part, np.float32, ["images", hidden])
    return graph.model()


@torch.no_grad()
def step_graph(decoder: Decoder) -> bytes:
    writer = Writer()
    graph, sizes = writer.graph, decoder.config
    words = graph.input("words", np.int64, ["rows"])
    hidden = graph.input("hidden", np.float32, ["rows", sizes.hidden])
    cell = graph.input("cell", np.float32, ["rows", sizes.hidden])
    values = graph.input("values", np.float32, ["images", PLACES, sizes.hidden])
    keys = graph.input("keys", np.float32, ["images", PLACES, sizes.attention])

    embedded = graph.node("Gather", graph.constant(decoder.embedding.weight.numpy()), words, axis=0)  # (R, E)
    before = writer.rounded(hidden, sizes.hidden)
    context, weights = writer.attend(decoder, before, values, keys)
    gate = graph.node("Sigmoid", writer.product([before], decoder.gate.weight, decoder.gate.bias))
    gated = graph.node("Mul", gate, context)  # (R, H)
    inputs = [writer.rounded(embedded, sizes.embedding), writer.rounded(gated, sizes.hidden), before]
    hidden, cell = writer.lstm(decoder, inputs, cell)
    both = graph.node("Concat", hidden, gated, axis=1)  # (R, 2H)
    output = graph.node("Add", writer.exact(both, decoder.output.weight, decoder.output.bias), embedded)  # (R, E)
    scores = writer.exact(output, decoder.embedding.weight, decoder.bias)  # (R, V)

    graph.output(scores, np.float32, ["rows", sizes.vocabulary])
    graph.output(hidden, np.float32, ["rows", sizes.hidden])
    graph.output(cell, np.float32, ["rows", sizes.hidden])
    graph.output(weights, np.float32, ["rows", PLACES])
    return graph.model()


class Writer:
    """Writes what the three graphs are made of."""

    def __init__(self) -> None:
        self.graph = Graph()

    def attend(self, decoder: Decoder, hidden: Rows, values: str, keys: str) -> tuple[str, str]:
        """`Attention.forward`: the contexts (R, H) and the weights (R, 49)."""
        graph, sizes = self.graph, decoder.config
        one, last = graph.constant(np.array([1])), graph.constant(np.array([3]))
        images = graph.node("Shape", keys, start=0, end=1)  # the number of images, from which K follows
        rows = graph.node("Concat", images, graph.constant(np.array([-1, 1, sizes.attention])), axis=0)
        query = graph.node("Reshape", self.product([hidden], decoder.attention.query.weight), rows)  # (B, K, 1, A)
        found = graph.node("Tanh", graph.node("Add", graph.node("Unsqueeze", keys, one), query))  # (B, K, 49, A)
        score = graph.constant(decoder.attention.score.weight.view(-1, 1).numpy())
        scores = graph.node("Squeeze", graph.node("MatMul", found, score), last)  # (B, K, 49)
        weights = graph.node("Softmax", scores, axis=-1)
        context = graph.node("MatMul", weights, values)  # (B, K, H)
        flat = (graph.constant(np.array([-1, size])) for size in (sizes.hidden, PLACES))
        return graph.node("Reshape", context, next(flat)), graph.node("Reshape", weights, next(flat))

    def lstm(self, decoder: Decoder, inputs: list[Rows], cell: str) -> tuple[str, str]:
        """`torch.nn.LSTMCell` of the embedded words, the context and the hidden state, its matrices side by side."""
        graph, part = self.graph, decoder.lstm
        weight = torch.cat([part.weight_ih, part.weight_hh], 1)  # (4H, E + 2H)
        gates = self.product(inputs, weight, part.bias_ih + part.bias_hh)
        enter, keep, new, leave = graph.node("Split", gates, outputs=4, axis=1)  # (R, H) each
        kept = graph.node("Mul", graph.node("Sigmoid", keep), cell)
        cell = graph.node("Add", kept, graph.node("Mul", graph.node("Sigmoid", enter), graph.node("Tanh", new)))
        return graph.node("Mul", graph.node("Sigmoid", leave), graph.node("Tanh", cell)), cell

    def exact(self, x: str, weight: Tensor, bias: Tensor) -> str:
        graph = self.graph
        product = graph.node("MatMul", x, graph.constant(weight.T.contiguous().numpy()))
        found: str = graph.node("Add", product, graph.constant(bias.numpy()))
        return found

    def linear(self, x: str, weight: Tensor, bias: Tensor) -> str:
        return self.product([self.rounded(x, weight.shape[1])], weight, bias)

    def rounded(self, x: str, width: int) -> Rows:
        """Rows (..., N) float32 to uint8, and the step of each row (..., 1)."""
        graph = self.graph
        largest = graph.node("ReduceMax", graph.node("Abs", x), axes=[-1], keepdims=1)
        step = graph.node("Mul", largest, graph.constant(np.float32(1 / ROW_MOST)))
        step = graph.node("Max", step, graph.constant(np.float32(1e-12)))  # a row of zeros
        counts = graph.node("Add", graph.node("Div", x, step), graph.constant(np.float32(ROW_ZERO)))
        return Rows(graph.node("Cast", graph.node("Round", counts), to=UINT8), step, width)

    def product(self, inputs: list[Rows], weight: Tensor, bias: Tensor | None = None) -> str:
        """The inputs, as if side by side, times the weight (out, in). Each keeps its own step: one of large values
        would else leave the small ones of another no digits."""
        graph = self.graph
        parts = torch.split(weight, [rows.width for rows in inputs], dim=1)
        products = [self._product(rows, part) for rows, part in zip(inputs, parts, strict=True)]
        products += [] if bias is None else [graph.constant(bias.numpy())]
        y = products[0]
        for one in products[1:]:
            y = graph.node("Add", y, one)
        return y

    def _product(self, rows: Rows, weight: Tensor) -> str:
        graph = self.graph
        weights = round_weights(weight, WIDE)
        parts = (weights.for_product(), np.uint8(ROW_ZERO), np.uint8(WEIGHT_ZERO))
        sums = graph.node("MatMulInteger", rows.counts, *(graph.constant(one) for one in parts))
        # One factor after the other: the runtime fuses a product of both, and then takes the first row's step for all.
        found: str = graph.node(
            "Mul", graph.node("Mul", graph.node("Cast", sums, to=FLOAT), rows.step), graph.constant(weights.scale)
        )
        return found
