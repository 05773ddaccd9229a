"""Cached grid features: the encoder's output for every image of a split, memory-mapped; or the output of all its stages
but the last, for training that one.

A cache is a folder named by the split, the encoder's fingerprint and the preprocessing's version, so that features of
other weights or other pixels can never be taken for these; `model.shards` says what is in it. Building is resumable:
what is done stays done, and a kill costs one batch at most. Several processes share it out by shards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model import preprocess
from model.datasets import Dataset, Example
from model.devices import autocast
from model.encoder import Body, Encoder, fingerprint
from model.preprocess import ImageError, Pixels, read_pixels
from model.progress import Progress
from model.shards import DONE, SHARD, TODO, TORN, Shard, prepare, read_names, read_state, sizes
from model.world import ALONE, World


class Features:
    """Cached features: `rows([3, 8])` is (2, 49, C) float32, `usable` are the rows whose image is sound."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = read_names(folder)
        self.state = read_state(folder)
        self.shards = [Shard(folder, number) for number in range(len(sizes(len(self.names))))]

    @property
    def usable(self) -> list[int]:
        return [int(row) for row in np.flatnonzero(self.state == DONE)]

    def rows(self, rows: Sequence[int]) -> Tensor:
        wanted = np.asarray(rows, dtype=np.int64)
        found = np.empty((len(wanted), *self.shards[0].grid.shape[1:]), np.float16)
        for number in np.unique(wanted // SHARD):
            places = wanted // SHARD == number
            found[places] = self.shards[number].grid[wanted[places] % SHARD]
        return torch.from_numpy(found).float()


def cache_folder(folder: Path, dataset: Dataset, encoder: Encoder | Body) -> Path:
    names = hashlib.sha256("\n".join(example.name for example in dataset.examples).encode()).hexdigest()[:8]
    return folder / f"{dataset.name}-{dataset.split}-{names}-{fingerprint(encoder)}-{preprocess.VERSION}-{SHARD}"


def build(
    dataset: Dataset,
    encoder: Encoder | Body,
    folder: Path,
    *,
    batch: int = 32,
    device: str = "cpu",
    world: World = ALONE,
) -> Features:
    """Compute what the cache under `folder` still lacks of this split, each process of `world` its share of the
    shards; torn images go to `dataset.problems`."""
    cache = cache_folder(folder, dataset, encoder)
    names = [example.name for example in dataset.examples]
    with world.first_goes_first():
        prepare(cache, names, (encoder.places, encoder.channels))
    encoder = encoder.to(device).eval()
    mine = range(world.rank, len(sizes(len(names))), world.size)
    shards = [(number * SHARD, Shard(cache, number, "r+")) for number in mine]
    total = sum(len(shard.state) for _, shard in shards)
    done = sum(int(np.count_nonzero(shard.state)) for _, shard in shards)
    title = f"features {dataset.name} {dataset.split}"
    with Progress(title, total, done=done, silent=not world.first) as progress:
        for start, shard in shards:
            for rows in todo(shard, batch):
                fill(shard, rows, [dataset.examples[start + row] for row in rows], encoder, device)
                progress.advance(len(rows))
    world.meet()
    features = Features(cache)
    dataset.problems.torn[:] = [names[row] for row in np.flatnonzero(features.state == TORN)]
    return features


def todo(shard: Shard, batch: int) -> list[list[int]]:
    """The rows that the shard still lacks, `batch` at a time."""
    rows = [int(row) for row in np.flatnonzero(shard.state == TODO)]
    return [rows[start : start + batch] for start in range(0, len(rows), batch)]


def fill(shard: Shard, rows: Sequence[int], examples: Sequence[Example], encoder: Encoder | Body, device: str) -> None:
    """Compute these rows; only what is on disk counts as done."""
    pixels = read_examples(examples)
    sound = [(row, image) for row, image in zip(rows, pixels, strict=True) if image is not None]
    if sound:
        shard.grid[[row for row, _ in sound]] = encode(encoder, [image for _, image in sound], device)
    shard.grid.flush()
    for row, image in zip(rows, pixels, strict=True):
        shard.state[row] = TORN if image is None else DONE
    shard.state.flush()


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
