"""The reference: the network as it was trained, in torch. Float32 on a CPU; float16 on a GPU, where asked for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from model.decoder import Decoder
from model.encoder import Encoder
from model.engines.engine import TORCH
from model.preprocess import Photo

T = TypeVar("T")


class TorchEngine:
    """`half`: the encoder computes in float16 where `device` is a GPU; the decoder, which is small, never does."""

    name = TORCH

    def __init__(self, encoder: Encoder, decoder: Decoder, device: str = "cpu", *, half: bool = False) -> None:
        self.device = device
        self.encoder = encoder.to(device).eval()
        self.stepper = decoder.to(device).eval()
        self._half = half and device.startswith("cuda")

    @torch.inference_mode()
    def encode(self, images: list[Photo]) -> Tensor:
        # Pictures lie channels-last in memory and stay so: what torch convolves fastest on CPUs and GPUs alike.
        batch = torch.from_numpy(np.stack(images)).to(self.device).permute(0, 3, 1, 2)  # (B, 3, 224, 224)
        with torch.autocast("cuda", torch.float16, enabled=self._half):
            grid: Tensor = self.encoder(batch)  # (B, 49, C)
        return grid.float()

    def beside(self, search: Callable[[], T]) -> Future[T]:
        """Now: another thread would bring torch's helpers for every core along, and they would share the same cores."""
        done: Future[T] = Future()
        try:
            done.set_result(search())
        except Exception as error:
            done.set_exception(error)
        return done
