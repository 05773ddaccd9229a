"""That products of eight bits are exact, whatever this CPU's instructions make of them."""

from __future__ import annotations

import numpy as np
import pytest

from model.engines import onnx_runtime
from model.engines.onnx_file import RUNTIME, Graph
from model.engines.onnx_runtime import Network, multiplies_exactly
from model.engines.quantise import LEVELS, WIDE

INPUTS, COLUMNS = 512, 300


@pytest.mark.parametrize("rows", [1, 3, 49])
@pytest.mark.parametrize("trusted", [True, False])
def test_wide_weights_are_multiplied_exactly(monkeypatch: pytest.MonkeyPatch, rows: int, trusted: bool) -> None:
    """Where the CPU can be trusted, by its own instructions; and by those for CPUs that can't, which all have."""
    if trusted and not multiplies_exactly():
        pytest.skip("this CPU has no VNNI: its sums of products overflow")
    monkeypatch.setattr(onnx_runtime, "multiplies_exactly", lambda: trusted)
    random = np.random.default_rng(rows)
    weights = random.integers(-WIDE, WIDE + 1, (INPUTS, COLUMNS)).astype(np.int8)
    counts = random.integers(0, LEVELS + 1, (rows, INPUTS)).astype(np.uint8)
    counts[:, ::2], weights[::2] = LEVELS, WIDE  # pairs that do not fit into sixteen bits
    graph = Graph()
    x = graph.input("x", np.uint8, ["rows", INPUTS])
    constants = [graph.constant(one) for one in (weights, np.float32(1), np.ones(COLUMNS, np.float32))]
    found = graph.node("MatMulIntegerToFloat", x, *constants, domain=RUNTIME)
    graph.output(found, np.float32, ["rows", COLUMNS])
    (sums,) = Network(graph.model(), threads=1)({"x": counts})
    assert np.array_equal(sums, counts.astype(np.int64) @ weights.astype(np.int64))
