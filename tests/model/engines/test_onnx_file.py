"""What is written is what the runtime runs."""

from __future__ import annotations

import numpy as np
import pytest

from model.engines.engine import EngineError
from model.engines.onnx_file import Graph
from model.engines.onnx_runtime import Network


def test_a_graph_with_all_kinds_of_constants_and_attributes() -> None:
    graph = Graph()
    x = graph.input("x", np.float32, ["rows", 6])
    halved = graph.node("Mul", x, graph.constant(np.float32(0.5)))
    leaky = graph.node("LeakyRelu", halved, alpha=0.25)
    turned = graph.node("Transpose", leaky, perm=[1, 0])
    first, second = graph.node("Split", turned, outputs=2, axis=-2)
    total = graph.node("ReduceSum", graph.node("Sub", first, second), graph.constant(np.array([-1])), keepdims=0)
    graph.output(total, np.float32, [3])
    values = np.arange(-6, 6, dtype=np.float32).reshape(2, 6)
    (found,) = Network(graph.model(), threads=1)({"x": values})
    half = np.where(values < 0, values / 8, values / 2).T
    np.testing.assert_allclose(found, (half[:3] - half[3:]).sum(-1), rtol=1e-6)


def test_a_constant_larger_than_one_byte_of_length() -> None:
    graph = Graph()
    x = graph.input("x", np.float32, [300, 200])
    weights = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)
    graph.output(graph.node("MatMul", x, graph.constant(weights)), np.float32, [300, 5])
    values = np.random.default_rng(1).normal(size=(300, 200)).astype(np.float32)
    (found,) = Network(graph.model(), threads=1)({"x": values})
    np.testing.assert_allclose(found, values @ weights, rtol=1e-4, atol=1e-4)


def test_what_does_not_fit_is_refused_and_not_run() -> None:
    graph = Graph()
    x = graph.input("x", np.float32, [2])
    graph.output(graph.node("Sharpen", x), np.float32, [2])
    with pytest.raises(EngineError, match=r"onnxruntime refuses .*Sharpen"):
        Network(graph.model(), threads=1)
    with pytest.raises(EngineError, match="onnxruntime refuses"):
        Network(b"torn", threads=1)
