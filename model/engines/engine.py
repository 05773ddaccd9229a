"""What computes a captioner: one small interface, and the engines that there are by name."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

from torch import Tensor

from model.preprocess import Photo
from model.stepper import Stepper

TORCH = "torch"
OPENVINO = "openvino"
ONNXRUNTIME = "onnxruntime"
AUTO = "auto"
# Those that compute in eight bits, on a CPU.
INT8 = (OPENVINO, ONNXRUNTIME)

T = TypeVar("T")


class EngineError(RuntimeError):
    """An engine that cannot be had here for this version: what is missing or went wrong."""


class Engine(Protocol):
    """A captioner's encoder and decoder, loaded. One caller at a time, and what that caller runs beside itself."""

    @property
    def name(self) -> str:
        """`torch`, `openvino` or `onnxruntime`."""
        ...

    @property
    def device(self) -> str:
        """Where it computes, as torch names devices."""
        ...

    @property
    def encoder(self) -> object:
        """The loaded encoder, which versions of the same encoder share."""
        ...

    @property
    def stepper(self) -> Stepper:
        """The loaded decoder, for beam search."""
        ...

    def encode(self, images: list[Photo]) -> Tensor:
        """Pictures (224, 224, 3), RGB in [0, 1], to their grids (B, 49, C) float32 on `device`."""
        ...

    def beside(self, search: Callable[[], T]) -> Future[T]:
        """Run a search with the stepper while the caller may go on to encode, where that is faster; else now."""
        ...
