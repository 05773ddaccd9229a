"""Writes ONNX models: the few messages of the format that a network of plain operators needs.

    graph = Graph()
    x = graph.input("x", np.float32, ["rows", 4])
    graph.output(graph.node("Relu", x), np.float32, ["rows", 4])
    data = graph.model()

An ONNX file is a protocol buffer, and writing one takes two kinds of field: a number, and bytes with their length. So
the serving process needs the runtime alone, and no second package of 30 MB that is used once per version. Whoever
loads the file checks it: ONNX Runtime refuses a model that is malformed or whose types do not fit.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

IR_VERSION = 9
OPERATORS = 17
RUNTIME = "com.microsoft"
TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7}
Shape = Sequence[int | str]


class Graph:
    """A network under construction; nodes and constants are named in the order in which they come."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []
        self._inputs: list[bytes] = []
        self._outputs: list[bytes] = []
        self._names = 0

    def input(self, name: str, kind: type[np.generic], shape: Shape) -> str:
        self._inputs.append(_value(name, kind, shape))
        return name

    def constant(self, values: NDArray[Any] | np.generic) -> str:
        name = self._name()
        array = np.asarray(values)
        fields = [_number(1, size) for size in array.shape]
        fields += [
            _number(2, TYPES[array.dtype.name]),
            _text(8, name),
            _bytes(9, np.ascontiguousarray(array).tobytes()),
        ]
        self._constants.append(b"".join(fields))
        return name

    def node(self, operator: str, *inputs: str, outputs: int = 0, domain: str = "", **attributes: Any) -> Any:
        """Add a node and return the name of its output; of several, where `outputs` says how many, a list.

        `domain` is RUNTIME for the runtime's own operators, which the ONNX standard has not.
        """
        names = [self._name() for _ in range(outputs or 1)]
        fields = [_text(1, name) for name in inputs] + [_text(2, name) for name in names]
        fields += [_text(3, names[0]), _text(4, operator), _text(7, domain)]
        fields += [_bytes(5, _attribute(key, value)) for key, value in attributes.items()]
        self._nodes.append(b"".join(fields))
        return names if outputs else names[0]

    def output(self, name: str, kind: type[np.generic], shape: Shape) -> None:
        self._outputs.append(_value(name, kind, shape))

    def model(self) -> bytes:
        graph = b"".join(
            [_bytes(1, node) for node in self._nodes]
            + [_text(2, "recaption")]
            + [_bytes(5, constant) for constant in self._constants]
            + [_bytes(11, value) for value in self._inputs]
            + [_bytes(12, value) for value in self._outputs]
        )
        operators = _bytes(8, _number(2, OPERATORS)) + _bytes(8, _text(1, RUNTIME) + _number(2, 1))
        return _number(1, IR_VERSION) + _text(2, "recaption") + _bytes(7, graph) + operators

    def _name(self) -> str:
        self._names += 1
        return f"v{self._names}"


def _value(name: str, kind: type[np.generic], shape: Shape) -> bytes:
    sizes = [_bytes(1, _number(1, size) if isinstance(size, int) else _text(2, size)) for size in shape]
    tensor = _number(1, TYPES[np.dtype(kind).name]) + _bytes(2, b"".join(sizes))
    return _text(1, name) + _bytes(2, _bytes(1, tensor))


def _attribute(name: str, value: int | float | Sequence[int]) -> bytes:
    if isinstance(value, float):
        return _text(1, name) + _key(2, 5) + struct.pack("<f", value) + _number(20, 1)
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, 2)
    return _text(1, name) + b"".join(_number(8, one) for one in value) + _number(20, 7)


def _number(field: int, value: int) -> bytes:
    return _key(field, 0) + _varint(value)


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _bytes(field: int, value: bytes) -> bytes:
    return _key(field, 2) + _varint(len(value)) + value


def _key(field: int, wire: int) -> bytes:
    return _varint(field << 3 | wire)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; a negative number counts as its 64-bit two's complement."""
    value &= (1 << 64) - 1
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
