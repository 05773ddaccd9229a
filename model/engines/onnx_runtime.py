"""ONNX Runtime as this project uses it: on the CPU, with a number of threads that somebody chose."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.engines.engine import EngineError
from model.engines.onnx_file import Graph
from model.engines.quantise import LEVELS, WIDE

Array = NDArray[Any]
# Errors alone: the runtime also warns of GPUs that it looked for in vain.
SEVERITY = 3


class Network:
    """A loaded graph. Any thread may run it, several at once too."""

    def __init__(self, model: bytes | Path, threads: int) -> None:
        """Raises EngineError when the runtime is not installed or refuses the model."""
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineError(
                f"onnxruntime cannot be imported ({error}); install it: pip install onnxruntime"
            ) from error
        onnxruntime.set_default_logger_severity(SEVERITY)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = SEVERITY
        # A plan of the memory for each batch size, each with a block of its own, is 100 MB more and no faster.
        options.enable_mem_pattern = False
        # Wide weights are widened where this CPU's sums of their products would overflow.
        options.add_session_config_entry("session.x64quantprecision", "0" if multiplies_exactly() else "1")
        # Threads that spin while they wait take the cores from those that decode pictures and answer requests.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        source = model if isinstance(model, bytes) else str(model)
        try:
            self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime's errors share no base but this one
            raise EngineError(f"onnxruntime refuses the converted model: {error}") from error

    def __call__(self, inputs: Mapping[str, Array]) -> list[Array]:
        found: list[Array] = self._session.run(None, inputs)
        return found


@cache
def multiplies_exactly() -> bool:
    """Whether this CPU multiplies uint8 by int8 without overflow, as those with VNNI do; found by trying."""
    import onnxruntime

    rows, inputs, columns = 4, 64, 64
    graph = Graph()
    x = graph.input("x", np.uint8, [rows, inputs])
    weights = graph.constant(np.full((inputs, columns), WIDE, np.int8))
    graph.output(graph.node("MatMulInteger", x, weights), np.int32, [rows, columns])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph.model(), options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {x: np.full((rows, inputs), LEVELS, np.uint8)})
    return bool((found == inputs * LEVELS * WIDE).all())


class OnnxRuntimePhotos:
    """A loaded encoder, for one picture (1, 224, 224, 3) at a time. Of several each thread takes one."""

    def __init__(self, model: bytes | Path, threads: int) -> None:
        """Raises EngineError as `Network`."""
        self.abreast = threads
        self._network = Network(model, threads)

    def __call__(self, image: Array) -> Array:
        (grid,) = self._network({"images": image})
        return grid
