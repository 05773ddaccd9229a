"""The int8 engine: encoder and decoder as converted graphs in ONNX Runtime, on the CPU.

    engine = Int8Engine(Int8Encoder(models, threads=1), Int8Decoder(models))

The rules of the search stay those of `model.beam`; tensors and arrays share their memory both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from model.attention import Memory
from model.decoder import State
from model.devices import set_threads
from model.engines.engine import INT8
from model.engines.runtime import Array, Network
from model.preprocess import Photo

ENCODER = "encoder.onnx"
READ, BEGIN, STEP = "read.onnx", "begin.onnx", "step.onnx"
T = TypeVar("T")

# The graphs by name: written to a file, or as they were made.
Models = Mapping[str, Path] | Mapping[str, bytes]


class Int8Encoder:
    """Pictures to grids. Raises EngineError where the runtime is missing or refuses the model.

    The runtime gets one picture at a time: several at once are no faster for it, and hold 10 to 15 MB more each. Of
    several each thread takes one, which keeps all cores at work; a single one's layers are shared among the threads.
    """

    def __init__(self, models: Models, threads: int) -> None:
        self._network = Network(models[ENCODER], threads)
        # Its threads begin with the first pictures, at the priority of who asks for them.
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="encoder")

    def __call__(self, images: Array) -> Array:
        """(B, 224, 224, 3) to (B, 49, C)."""
        if len(images) == 1:
            return self._one(images)
        return np.concatenate(list(self._threads.map(self._one, np.split(images, len(images)))))

    def _one(self, image: Array) -> Array:
        (grid,) = self._network({"images": image})
        return grid


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

    def predict(self, words: Tensor, state: State, memory: Memory) -> tuple[Tensor, State, Tensor]:
        named = {"words": words, **state._asdict(), **memory._asdict()}
        found = self._step({name: array(tensor) for name, tensor in named.items()})
        scores, hidden, cell, weights = map(torch.from_numpy, found)
        return scores, State(hidden, cell), weights


class Int8Engine:
    name = INT8
    device = "cpu"

    def __init__(self, encoder: Int8Encoder, decoder: Int8Decoder) -> None:
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
