"""Cached grid features: the encoder's output for every image of a split, memory-mapped; or the output of all its stages
but the last, for training that one.

A cache is a folder named by the split, the encoder's fingerprint and the preprocessing's version, so that features of
other weights or other pixels can never be taken for these:

    FOLDER/flickr8k-train-6f1d…-stretch224-area-1/
        grid.npy    (N, 49, C) float16, or (N, 196, C / 2) of a Body, opened with mmap
        state.npy   (N,) uint8: 0 still to do, 1 done, 2 the image is torn
        names.json  the N image names, in the split's order

Building is resumable: what is done stays done, and a kill costs one batch at most.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor

from model import preprocess
from model.datasets import Dataset, Example
from model.devices import autocast
from model.encoder import Body, Encoder, fingerprint
from model.preprocess import ImageError, Pixels, read_pixels
from model.progress import Progress

TODO, DONE, TORN = 0, 1, 2


class FeatureError(ValueError):
    """A feature cache that does not fit its split."""


class Features:
    """Cached features: `rows([3, 8])` is (2, 49, C) float32, `usable` are the rows whose image is sound."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: list[str] = json.loads((folder / "names.json").read_text(encoding="utf-8"))
        self.grid: NDArray[np.float16] = np.load(folder / "grid.npy", mmap_mode="r")
        self.state: NDArray[np.uint8] = np.load(folder / "state.npy", mmap_mode="r")

    @property
    def usable(self) -> list[int]:
        return [int(row) for row in np.flatnonzero(self.state == DONE)]

    def rows(self, rows: Sequence[int]) -> Tensor:
        return torch.from_numpy(self.grid[list(rows)]).float()


def cache_folder(folder: Path, dataset: Dataset, encoder: Encoder | Body) -> Path:
    names = hashlib.sha256("\n".join(example.name for example in dataset.examples).encode()).hexdigest()[:8]
    return folder / f"{dataset.name}-{dataset.split}-{names}-{fingerprint(encoder)}-{preprocess.VERSION}"


def build(dataset: Dataset, encoder: Encoder | Body, folder: Path, *, batch: int = 32, device: str = "cpu") -> Features:
    """Compute what the cache under `folder` still lacks of this split; torn images go to `dataset.problems`."""
    cache = cache_folder(folder, dataset, encoder)
    grid, state = open_cache(cache, dataset, (encoder.places, encoder.channels))
    todo = [int(row) for row in np.flatnonzero(state == TODO)]
    encoder = encoder.to(device).eval()
    with Progress(f"features {dataset.name} {dataset.split}", len(state), done=len(state) - len(todo)) as progress:
        for rows in (todo[start : start + batch] for start in range(0, len(todo), batch)):
            pixels = read_examples([dataset.examples[row] for row in rows])
            sound = [(row, image) for row, image in zip(rows, pixels, strict=True) if image is not None]
            if sound:
                grid[[row for row, _ in sound]] = encode(encoder, [image for _, image in sound], device)
            grid.flush()
            for row, image in zip(rows, pixels, strict=True):
                state[row] = TORN if image is None else DONE
            state.flush()
            progress.advance(len(rows))
    dataset.problems.torn[:] = [dataset.examples[row].name for row in np.flatnonzero(state == TORN)]
    return Features(cache)


def open_cache(
    cache: Path, dataset: Dataset, shape: tuple[int, int]
) -> tuple[np.memmap[Any, np.dtype[np.float16]], np.memmap[Any, np.dtype[np.uint8]]]:
    names = [example.name for example in dataset.examples]
    if not (cache / "names.json").exists():
        cache.mkdir(parents=True, exist_ok=True)
        create(cache / "grid.npy", np.float16, (len(names), *shape))
        create(cache / "state.npy", np.uint8, (len(names),))
        (cache / "names.json").write_text(json.dumps(names), encoding="utf-8")
    if json.loads((cache / "names.json").read_text(encoding="utf-8")) != names:
        raise FeatureError(f"{cache} was built for other images than this split's; delete the folder and run again")
    return np.load(cache / "grid.npy", mmap_mode="r+"), np.load(cache / "state.npy", mmap_mode="r+")


def create(path: Path, kind: type[np.generic], shape: tuple[int, ...]) -> None:
    """A memory-mapped array of zeros: a sparse file, so that it takes no room before it is filled."""
    open_memmap(path, "w+", kind, shape).flush()  # type: ignore[no-untyped-call]  # numpy leaves it untyped


def read_examples(examples: Sequence[Example]) -> list[Pixels | None]:
    """Decoded pictures, None for a torn one; decoding runs in threads, since Pillow and OpenCV release the GIL."""
    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(read_or_none, examples))


def read_or_none(example: Example) -> Pixels | None:
    try:
        return read_pixels(example.path.read_bytes())
    except (ImageError, OSError):
        return None


def sound_batches(dataset: Dataset, size: int) -> Iterator[list[tuple[Example, Pixels]]]:
    """The split's pictures, `size` at a time; the torn ones are left out and named in `dataset.problems`."""
    dataset.problems.torn.clear()
    for start in range(0, len(dataset.examples), size):
        examples = dataset.examples[start : start + size]
        pictures = list(zip(examples, read_examples(examples), strict=True))
        dataset.problems.torn += [example.name for example, pixels in pictures if pixels is None]
        yield [(example, pixels) for example, pixels in pictures if pixels is not None]


def to_batch(pixels: Sequence[Pixels], device: str = "cpu") -> Tensor:
    """Pictures (224, 224, 3) uint8 to one batch (B, 3, 224, 224) in [0, 1], channels last."""
    batch = torch.from_numpy(np.stack(pixels)).to(device).permute(0, 3, 1, 2)
    return batch.float().div_(255)


@torch.inference_mode()
def encode(encoder: Encoder | Body, pixels: Sequence[Pixels], device: str = "cpu") -> NDArray[np.float16]:
    with autocast(device):
        grid: Tensor = encoder(to_batch(pixels, device))
    features: NDArray[np.float16] = grid.to(torch.float16).cpu().numpy()
    return features
