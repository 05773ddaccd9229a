"""ONNX graphs, put together node by node.

graph = Graph()
x = graph.input("x", np.float32, ["rows", 4])
graph.output(graph.node("Relu", x), np.float32, ["rows", 4])
data = graph.model()
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

IR_VERSION = 9
OPERATORS = 17
Shape = Sequence[int | str]


class Graph:
    """A network under construction; nodes and constants are named in the order in which they come."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._inputs: list[ValueInfoProto] = []
        self._outputs: list[ValueInfoProto] = []
        self._names = 0

    def input(self, name: str, kind: type[np.generic], shape: Shape) -> str:
        self._inputs.append(_value(name, kind, shape))
        return name

    def constant(self, values: NDArray[Any] | np.generic) -> str:
        name = self._name()
        self._constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, operator: str, *inputs: str, outputs: int = 0, **attributes: Any) -> Any:
        """Add a node and return the name of its output; of several, where `outputs` says how many, a list."""
        names = [self._name() for _ in range(outputs or 1)]
        self._nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names if outputs else names[0]

    def output(self, name: str, kind: type[np.generic], shape: Shape) -> None:
        self._outputs.append(_value(name, kind, shape))

    def model(self) -> bytes:
        graph = helper.make_graph(self._nodes, "recaption", self._inputs, self._outputs, self._constants)
        operators = [helper.make_opsetid("", OPERATORS)]
        data: bytes = helper.make_model(graph, opset_imports=operators, ir_version=IR_VERSION).SerializeToString()
        return data

    def _name(self) -> str:
        self._names += 1
        return f"v{self._names}"


def _value(name: str, kind: type[np.generic], shape: Shape) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), shape)
