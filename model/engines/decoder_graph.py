"""The decoder in int8 as three ONNX graphs: read an image, begin a caption, take one step.

    read    grid (B, 49, C)                                       values (B, 49, H), keys (B, 49, A)
    begin   values (B, 49, H)                                     hidden, cell (B, H)
    step    words, rows (R,), hidden, cell (S, H), values, keys,  log_probabilities, likeliest (R, N),
            most (1,)                                             hidden, cell (R, H), weights (R, 49)

R is a multiple of B: the captions of an image lie side by side. Each goes on from one of the S rows of the state, and
of its next words the N likeliest come out, `most` or all there are.

A step reads every weight for a few rows, so it costs what reading them costs, and the calls of its operators. Hence all
matrices are in eight bits, those that multiply the same rows are one, and what the decoder makes of a word is looked up
instead of computed. Each row is rounded by its own largest value, while the graph runs. So the decoder needs no
calibration, and what is said of one image cannot depend on those that share its batch. Attention, gates and sums stay
in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from model.decoder import Decoder
from model.encoder import GRID
from model.engines.onnx_file import RUNTIME, TYPES, Graph
from model.engines.quantise import LEVELS, WIDE, round_weights

# Where rows have negative values, their counts run from 1 to 255, and 128 stands for 0.
SIGNED_MOST = 127
SIGNED_ZERO = 128
PLACES = GRID * GRID


class Rows(NamedTuple):
    """Rows (..., N) as counts, uint8: `step` for each count above `zero`, times the row's largest value (..., 1)."""

    counts: str
    step: np.float32
    zero: np.uint8
    largest: str


class Linear(NamedTuple):
    """Weight (out, in) and bias (out,) of one of the products that share their rows."""

    weight: Tensor
    bias: Tensor | None = None


@torch.no_grad()
def read_graph(decoder: Decoder) -> bytes:
    writer = Writer()
    graph, attention, sizes = writer.graph, decoder.attention, decoder.config
    grid = graph.input("grid", np.float32, ["images", PLACES, sizes.channels])
    reduced = writer.products(writer.positive(grid), Linear(attention.reduce.weight, attention.reduce.bias))
    values = graph.node("Relu", reduced)
    keys = writer.products(writer.positive(values), Linear(attention.key.weight, attention.key.bias))
    graph.output(values, np.float32, ["images", PLACES, sizes.hidden])
    graph.output(keys, np.float32, ["images", PLACES, sizes.attention])
    return graph.model()


@torch.no_grad()
def begin_graph(decoder: Decoder) -> bytes:
    writer = Writer()
    graph, size = writer.graph, decoder.config.hidden
    values = graph.input("values", np.float32, ["images", PLACES, size])
    mean = graph.node("ReduceMean", values, axes=[1], keepdims=0)  # (B, H)
    start = writer.products(writer.positive(mean), Linear(decoder.start.weight, decoder.start.bias))
    for part in writer.split(graph.node("Tanh", start), [size, size]):
        graph.output(part, np.float32, ["images", size])
    return graph.model()


@torch.no_grad()
def step_graph(decoder: Decoder) -> bytes:
    writer = Writer()
    graph, sizes, attention, lstm = writer.graph, decoder.config, decoder.attention, decoder.lstm
    of_word, of_context = torch.split(by_kind(lstm.weight_ih), [sizes.embedding, sizes.hidden], 1)  # (4H, E), (4H, H)
    from_hidden, from_context = torch.split(decoder.output.weight, sizes.hidden, 1)  # (E, H) each
    words, rows = (graph.input(name, np.int64, ["rows"]) for name in ("words", "rows"))
    hidden, cell = (
        graph.node("Gather", graph.input(name, np.float32, ["states", sizes.hidden]), rows, axis=0)
        for name in ("hidden", "cell")
    )
    values = graph.input("values", np.float32, ["images", PLACES, sizes.hidden])
    keys = graph.input("keys", np.float32, ["images", PLACES, sizes.attention])
    most = graph.node("Min", graph.input("most", np.int64, [1]), graph.constant(np.array([sizes.vocabulary])))

    heard = writer.products(
        writer.signed(hidden),
        Linear(attention.query.weight),
        Linear(decoder.gate.weight, decoder.gate.bias),
        Linear(by_kind(lstm.weight_hh), by_kind(lstm.bias_ih + lstm.bias_hh)),
    )
    query, gate, gates = writer.split(heard, [sizes.attention, sizes.hidden, 4 * sizes.hidden])
    context, weights = writer.attend(decoder, query, values, keys)
    gated = writer.positive(graph.node("Mul", graph.node("Sigmoid", gate), context))  # (R, H)
    seen, from_seen = writer.split(
        writer.products(gated, Linear(of_context), Linear(from_context)), [4 * sizes.hidden, sizes.embedding]
    )
    known = writer.looked_up(words, decoder.embedding.weight @ of_word.T)  # (R, 4H)
    hidden, cell = writer.lstm(graph.node("Sum", gates, seen, known), cell, sizes.hidden)

    told = writer.products(writer.signed(hidden), Linear(from_hidden, decoder.output.bias))
    embedding = decoder.embedding.weight
    embedded = graph.node("Gather", graph.constant(embedding.numpy()), words, axis=0)
    output = graph.node("Sum", told, from_seen, embedded)  # (R, E)
    scores = writer.products(writer.signed(output), Linear(embedding, decoder.bias))  # (R, V)
    best, likeliest = graph.node("TopK", graph.node("LogSoftmax", scores, axis=-1), most, outputs=2)

    graph.output(best, np.float32, ["rows", "likeliest"])
    graph.output(likeliest, np.int64, ["rows", "likeliest"])
    graph.output(hidden, np.float32, ["rows", sizes.hidden])
    graph.output(cell, np.float32, ["rows", sizes.hidden])
    graph.output(weights, np.float32, ["rows", PLACES])
    return graph.model()


def by_kind(gates: Tensor) -> Tensor:
    """The gates (4H, ...) of a `torch.nn.LSTMCell`, those that end in a sigmoid side by side, the new values last."""
    enter, keep, new, leave = gates.chunk(4)
    return torch.cat([enter, keep, leave, new])


class Writer:
    """Writes what the three graphs are made of."""

    def __init__(self) -> None:
        self.graph = Graph()

    def attend(self, decoder: Decoder, query: str, values: str, keys: str) -> tuple[str, str]:
        """`Attention.forward` after the query (R, A): the contexts (R, H) and the weights (R, 49)."""
        graph, sizes = self.graph, decoder.config
        one, third = graph.constant(np.array([1])), graph.constant(np.array([2]))
        images = graph.node("Shape", keys, start=0, end=1)  # the number of images, from which K follows
        rows = graph.node("Concat", images, graph.constant(np.array([-1, 1, sizes.attention])), axis=0)
        query = graph.node("Reshape", query, rows)  # (B, K, 1, A)
        found = graph.node("Tanh", graph.node("Add", graph.node("Unsqueeze", keys, one), query))  # (B, K, 49, A)
        # Half the time of the product the other way round.
        score = graph.constant(decoder.attention.score.weight.view(1, -1).numpy())
        scores = graph.node("FusedMatMul", score, found, domain=RUNTIME, transB=1)  # (B, K, 1, 49)
        scores = graph.node("Squeeze", scores, third)  # (B, K, 49)
        weights = graph.node("Softmax", scores, axis=-1)
        context = graph.node("MatMul", weights, values)  # (B, K, H)
        flat = (graph.constant(np.array([-1, size])) for size in (sizes.hidden, PLACES))
        return graph.node("Reshape", context, next(flat)), graph.node("Reshape", weights, next(flat))

    def lstm(self, gates: str, cell: str, hidden: int) -> tuple[str, str]:
        """The gates (R, 4H), `by_kind`, and the cell (R, H) to the new hidden state and cell."""
        graph = self.graph
        three, new = self.split(gates, [3 * hidden, hidden])
        enter, keep, leave = self.split(graph.node("Sigmoid", three), [hidden] * 3)
        entering = graph.node("Mul", enter, graph.node("Tanh", new))
        cell = graph.node("Add", graph.node("Mul", keep, cell), entering)
        return graph.node("Mul", leave, graph.node("Tanh", cell)), cell

    def looked_up(self, words: str, table: Tensor) -> str:
        """The rows (R, N) of a table (V, N) in eight bits, with a step for each column."""
        graph, weights = self.graph, round_weights(table.T, WIDE)
        rows = graph.node("Gather", graph.constant(weights.for_product()), words, axis=0)
        # A third of the time of DequantizeLinear, which takes column by column.
        found: str = graph.node("Mul", graph.node("Cast", rows, to=TYPES["float32"]), graph.constant(weights.scale))
        return found

    def positive(self, x: str) -> Rows:
        """Rows of values that are never negative, as all that comes out of a ReLU."""
        return self._rounded(x, x, LEVELS, 0)

    def signed(self, x: str) -> Rows:
        """Rows of any values."""
        return self._rounded(x, self.graph.node("Abs", x), SIGNED_MOST, SIGNED_ZERO)

    def products(self, rows: Rows, *parts: Linear) -> str:
        """The rows through each linear layer, side by side, by one matrix product."""
        graph = self.graph
        weights = round_weights(torch.cat([part.weight for part in parts]), WIDE)
        constants = [graph.constant(one) for one in (weights.for_product(), rows.step, weights.scale, rows.zero)]
        counted = graph.node("MatMulIntegerToFloat", rows.counts, *constants, domain=RUNTIME)
        found: str = graph.node("Mul", counted, rows.largest)  # that product takes one step for all rows
        if any(part.bias is not None for part in parts):
            biases = [torch.zeros(len(part.weight)) if part.bias is None else part.bias for part in parts]
            found = graph.node("Add", found, graph.constant(torch.cat(biases).numpy()))
        return found

    def split(self, x: str, sizes: Sequence[int]) -> list[str]:
        """The columns of rows (..., sum of the sizes)."""
        where = self.graph.constant(np.array(sizes))
        found: list[str] = self.graph.node("Split", x, where, outputs=len(sizes), axis=-1)
        return found

    def _rounded(self, x: str, sizes: str, most: int, zero: int) -> Rows:
        graph, step, level = self.graph, np.float32(1 / most), np.uint8(zero)
        largest = graph.node("ReduceMax", sizes, axes=[-1], keepdims=1)
        shares = graph.node("Div", x, largest)  # whatever becomes of a row of zeros: its products are multiplied by 0
        counts = graph.node("QuantizeLinear", shares, graph.constant(step), graph.constant(level))
        return Rows(counts, step, level, largest)
