"""Pictures by content: each photo's 224x224 pixels, and its grid features for each encoder that has seen it.

    FOLDER/pixels/<key>.npy                (224, 224, 3) uint8, 150 KB
    FOLDER/grids/<fingerprint>/<key>.npy   (49, C) float16, 200 KB for a ResNet-50

`key` is the SHA-256 of the file that the photo came in, so the same photo is kept once whatever it is called. There is
one file a photo, put in place whole, so several processes may share a shelf.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.encoder import Encoder, fingerprint
from model.features import encode, to_batch
from model.preprocess import MAX_PIXELS, Pixels, read_pixels

BATCH = 16


def content_key(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Shelf:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, key: str) -> bool:
        return self._pixels(key).exists()

    def add(self, data: bytes, *, max_pixels: int = MAX_PIXELS) -> str:
        """Decode an encoded picture, keep its pixels, and return its key. Raises ImageError."""
        key = content_key(data)
        if not self.has(key):
            self.put(key, read_pixels(data, max_pixels=max_pixels))
        return key

    def put(self, key: str, pixels: Pixels) -> None:
        _write(self._pixels(key), pixels)

    def pixels(self, key: str) -> Pixels:
        """(224, 224, 3) uint8, RGB."""
        found: Pixels = np.load(self._pixels(key))
        return found

    def build(
        self,
        encoder: Encoder,
        keys: Sequence[str],
        *,
        device: str = "cpu",
        progress: Callable[[int], None] = lambda count: None,
    ) -> str:
        """Compute the grids that lack for these photos, and return the encoder's fingerprint; resumable by the photo.

        `progress` is told how many more photos are done.
        """
        mark = fingerprint(encoder)
        todo = [key for key in dict.fromkeys(keys) if not self._grid(mark, key).exists()]
        progress(len(set(keys)) - len(todo))
        encoder = encoder.to(device).eval()
        for start in range(0, len(todo), BATCH):
            some = todo[start : start + BATCH]
            for key, grid in zip(some, encode(encoder, [self.pixels(key) for key in some], device), strict=True):
                _write(self._grid(mark, key), grid)
            progress(len(some))
        return mark

    def grid(self, mark: str, key: str) -> NDArray[np.float16]:
        """(49, C) float16, computed before by `build`."""
        found: NDArray[np.float16] = np.load(self._grid(mark, key))
        return found

    def grids(self, mark: str) -> Callable[[Sequence[str]], Tensor]:
        """Keys to features (B, 49, C): what the decoder learns from while the encoder is frozen."""
        return lambda keys: torch.from_numpy(np.stack([self.grid(mark, key) for key in keys])).float()

    def photos(self) -> Callable[[Sequence[str]], Tensor]:
        """Keys to pictures (B, 3, 224, 224) in [0, 1]: what the whole network learns from."""
        return lambda keys: to_batch([self.pixels(key) for key in keys])

    def _pixels(self, key: str) -> Path:
        return self.folder / "pixels" / f"{key}.npy"

    def _grid(self, mark: str, key: str) -> Path:
        return self.folder / "grids" / mark / f"{key}.npy"


def _write(path: Path, array: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    stage = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}.stage")
    with stage.open("wb") as file:
        np.save(file, array)
    os.replace(stage, path)
