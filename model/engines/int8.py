"""The int8 engines: the encoder as a converted graph in OpenVINO or ONNX Runtime, the decoder in the latter.

    engine = Int8Engine(Int8Encoder("openvino", model, threads=1), Int8Decoder(models))

The rules of the search stay those of `model.beam`; tensors and arrays share their memory both ways.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from model.attention import Memory
from model.decoder import Prediction, State
from model.devices import set_threads
from model.engines.engine import INT8, OPENVINO
from model.engines.onnx_runtime import Array, Network, OnnxRuntimePhotos
from model.engines.openvino_runtime import OpenVinoPhotos
from model.preprocess import Photo

ENCODER = "encoder.onnx"
READ, BEGIN, STEP = "read.onnx", "begin.onnx", "step.onnx"
X86 = ("x86_64", "amd64")
T = TypeVar("T")

# The graphs by name: written to a file, or as they were made.
Models = Mapping[str, Path] | Mapping[str, bytes]


def preferred() -> tuple[str, ...]:
    """The runtimes, the faster one first: on x86 OpenVINO (docs/speed.md); elsewhere nobody has measured."""
    return INT8 if platform.machine().lower() in X86 else INT8[::-1]


def missing(runtime: str) -> str:
    """What to do where a runtime is not installed; empty where it is."""
    return "" if find_spec(runtime) else f"it is not installed: pip install {runtime}"


class Int8Encoder:
    """Pictures to grids, in one of INT8. Raises EngineError where the runtime is missing or refuses the model.

    The runtime gets one picture at a time: several at once are no faster for it, and hold 10 to 15 MB more each. Of
    several as many are computed side by side as keep all cores at work; a single one's layers share the threads.
    """

    def __init__(self, runtime: str, model: bytes | Path, threads: int) -> None:
        self.runtime = runtime
        self._network = OpenVinoPhotos(model, threads) if runtime == OPENVINO else OnnxRuntimePhotos(model, threads)
        # Its threads begin with the first pictures, at the priority of who asks for them.
        self._threads = ThreadPoolExecutor(self._network.abreast, thread_name_prefix="encoder")

    def __call__(self, images: Array) -> Array:
        """(B, 224, 224, 3) to (B, 49, C)."""
        if len(images) == 1:
            return self._network(images)
        return np.concatenate(list(self._threads.map(self._network, np.split(images, len(images)))))


class Int8Decoder:
    """A `Stepper`, on one thread: its products are too small to gain from two, and a core is left for the encoder.
    Raises EngineError where the runtime is missing or refuses a model."""

    def __init__(self, models: Models) -> None:
        self._read, self._begin, self._step = (Network(models[name], threads=1) for name in (READ, BEGIN, STEP))

    def read(self, grid: Tensor) -> Memory:
        values, keys = self._read({"grid": array(grid)})
        return Memory(torch.from_numpy(values), torch.from_numpy(keys))

    def begin(self, memory: Memory) -> State:
        hidden, cell = self._begin({"values": array(memory.values)})
        return State(torch.from_numpy(hidden), torch.from_numpy(cell))

    def predict(self, words: Sequence[int], rows: Sequence[int], state: State, memory: Memory, most: int) -> Prediction:
        numbers = {"words": words, "rows": rows, "most": [most]}
        named = {name: np.array(some, np.int64) for name, some in numbers.items()}
        named |= {name: array(tensor) for name, tensor in {**state._asdict(), **memory._asdict()}.items()}
        best, likeliest, *rest = self._step(named)
        hidden, cell, weights = map(torch.from_numpy, rest)
        return Prediction(best.tolist(), likeliest.tolist(), State(hidden, cell), weights)


class Int8Engine:
    device = "cpu"

    def __init__(self, encoder: Int8Encoder, decoder: Int8Decoder) -> None:
        self.name = encoder.runtime
        self.encoder = encoder
        self.stepper = decoder
        # What is left of torch in a search are small sums, in which more threads wait for each other.
        self._search = ThreadPoolExecutor(1, "search", initializer=set_threads, initargs=(1,))

    def encode(self, images: list[Photo]) -> Tensor:
        return torch.from_numpy(self.encoder(np.stack(images)))

    def beside(self, search: Callable[[], T]) -> Future[T]:
        return self._search.submit(search)


def array(tensor: Tensor) -> Array:
    """The tensor's memory as an array, in one piece."""
    found: Array = tensor.contiguous().numpy()
    return found
