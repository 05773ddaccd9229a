"""OpenVINO as this project uses it: one picture at a time, on the CPU, with a number of threads that somebody chose."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from types import ModuleType
from typing import Any

from model.engines.engine import EngineError
from model.engines.onnx_runtime import Array

# Of more threads than these a picture's layers keep not all at work: then several pictures are computed side by side.
THREADS_EACH = 4


class OpenVinoPhotos:
    """A loaded graph, for one picture (1, 224, 224, 3). Any thread may run it; `abreast` run at once, more wait."""

    def __init__(self, model: bytes | Path, threads: int) -> None:
        """Raises EngineError when the runtime is not installed or refuses the model."""
        runtime = core()
        self.abreast = max(threads // THREADS_EACH, 1)
        options = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": self.abreast,
            # What is not in eight bits stays in float32, as it was judged, also where bfloat16 would be faster.
            "INFERENCE_PRECISION_HINT": "f32",
            # Threads that may not move wait for those that decode pictures and answer requests on the same core.
            "ENABLE_CPU_PINNING": False,
        }
        try:
            network = runtime.read_model(model if isinstance(model, bytes) else str(model))
            # A size that is known beforehand is planned once.
            network.reshape([1, *(side.get_length() for side in list(network.inputs[0].partial_shape)[1:])])
            compiled = runtime.compile_model(network, "CPU", options)
        except Exception as error:  # the runtime's errors share no base but this one
            raise EngineError(f"openvino refuses the converted model: {error}") from error
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self.abreast):
            self._idle.put(compiled.create_infer_request())

    def __call__(self, image: Array) -> Array:
        request = self._idle.get()
        try:
            found: Array = request.infer([image], share_inputs=True)[0]
            return found
        finally:
            self._idle.put(request)


@cache
def core() -> Any:
    """What loads graphs, for as long as this process lives: on processors with AVX-512 it gives the thread that first
    uses it a stack for signals, whose memory goes with it. Raises EngineError."""
    return imported().Core()


def imported() -> ModuleType:
    """The package, without its telemetry, which tells an analytics service of every import. Raises EngineError."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # Python's way to say: not to be had
    try:
        import openvino
    except ImportError as error:
        raise EngineError(f"openvino cannot be imported ({error}); install it: pip install openvino") from error
    found: ModuleType = openvino
    return found
