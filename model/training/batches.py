"""What one training step sees: some images, and all their captions sorted longest first."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from model.datasets import Example
from model.features import Features, to_batch
from model.preprocess import SIZE, Pixels, read_pixels
from model.vocabulary import END, PAD, START, Vocabulary

LONGEST = 30  # words of a caption that are learnt from; the rest is cut


@dataclass(frozen=True)
class Batch:
    """`inputs` are features (B, 49, C) or photos (B, 3, 224, 224); the other tensors have a row a caption."""

    inputs: Tensor
    images: Tensor  # (N,): the row of `inputs` that each caption describes
    tokens: Tensor  # (N, T): <start> and the words
    targets: Tensor  # (N, T): the words and <end>
    lengths: Tensor  # (N,): longest first

    def to(self, device: str) -> Batch:
        """The inputs on `device`; the captions go there when they are needed."""
        return replace(self, inputs=self.inputs.to(device))

    def references(self) -> list[list[list[int]]]:
        """The captions of each image as word indices, with their end."""
        groups: list[list[list[int]]] = [[] for _ in range(len(self.inputs))]
        for image, words, length in zip(
            self.images.tolist(), self.targets.tolist(), self.lengths.tolist(), strict=True
        ):
            groups[image].append(words[:length])
        return groups


class Source(Protocol):
    """Where a stage's inputs come from: `load` gives the inputs and captions of some items of the split."""

    def __len__(self) -> int: ...

    def load(self, items: Sequence[int], epoch: int) -> tuple[Tensor, list[Sequence[str]]]: ...


class CachedSource:
    """Cached features of a frozen encoder."""

    def __init__(self, examples: Sequence[Example], features: Features) -> None:
        self.rows = features.usable
        self.examples, self.features = examples, features

    def __len__(self) -> int:
        return len(self.rows)

    def load(self, items: Sequence[int], epoch: int) -> tuple[Tensor, list[Sequence[str]]]:
        rows = [self.rows[item] for item in items]
        return self.features.rows(rows), [self.examples[row].captions for row in rows]


class PhotoSource:
    """Photos from disk, each mirrored or cropped anew in every epoch."""

    def __init__(self, examples: Sequence[Example], seed: int) -> None:
        self.examples, self.seed = examples, seed

    def __len__(self) -> int:
        return len(self.examples)

    def load(self, items: Sequence[int], epoch: int) -> tuple[Tensor, list[Sequence[str]]]:
        photos: list[Pixels] = []
        captions: list[Sequence[str]] = []
        for item in items:
            chance = random.Random(f"{self.seed}-{epoch}-{item}")
            example = self.examples[item]
            pixels = crop(read_pixels(example.path.read_bytes()), chance)
            mirrored = chance.random() < 0.5
            photos.append(np.ascontiguousarray(pixels[:, ::-1]) if mirrored else pixels)
            captions.append([swap_sides(c) if mirrored else c for c in example.captions])
        return to_batch(photos), captions


def crop(pixels: Pixels, chance: random.Random, least: float = 0.7) -> Pixels:
    """A random window of at least `least` of the picture's area, stretched to the full square again."""
    width, height = (int(SIZE * chance.uniform(least, 1) ** 0.5) for _ in range(2))
    left, top = chance.randint(0, SIZE - width), chance.randint(0, SIZE - height)
    window = pixels[top : top + height, left : left + width]
    return np.asarray(cv2.resize(window, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def swap_sides(caption: str) -> str:
    """A mirrored photo's caption: left is right and right is left."""
    sides = {"left": "right", "right": "left"}
    return " ".join(sides.get(word.lower(), word) for word in caption.split())


def epoch_order(count: int, seed: int, epoch: int) -> list[int]:
    """The same shuffle for the same seed and epoch, so that a resumed epoch goes on where it was."""
    order = list(range(count))
    random.Random(f"{seed}-{epoch}").shuffle(order)
    return order


def collate(inputs: Tensor, captions: Sequence[Sequence[str]], vocabulary: Vocabulary) -> Batch:
    encoded = [(image, vocabulary.encode(c)[:LONGEST]) for image, group in enumerate(captions) for c in group]
    encoded.sort(key=lambda pair: -len(pair[1]))
    return Batch(inputs, torch.tensor([image for image, _ in encoded]), *pack([[*words, END] for _, words in encoded]))


def pack(sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Captions as word indices with their end, longest first: `tokens`, `targets` and `lengths` of a Batch."""
    lengths = torch.tensor([len(words) for words in sequences])
    targets = torch.full((len(sequences), int(lengths[0])), PAD)
    for row, words in enumerate(sequences):
        targets[row, : len(words)] = torch.tensor(words)
    tokens = torch.cat(
        [torch.full_like(targets[:, :1], START), targets[:, :-1].masked_fill(targets[:, :-1] == END, PAD)], 1
    )
    return tokens, targets, lengths


def shares(count: int, size: int, processes: int) -> Iterator[tuple[int, int]]:
    """Where each batch of an epoch begins and ends; the last is left out where not every process would have a photo."""
    for start in range(0, count, size):
        end = min(start + size, count)
        if end - start >= processes:
            yield start, end


def epoch_batches(
    source: Source,
    vocabulary: Vocabulary,
    *,
    size: int,
    seed: int,
    epoch: int,
    skip: int = 0,
    share: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
    """The batches of one epoch from number `skip` on, the next one read while the present one is computed.

    `share` is (rank, processes): each process has every so manieth photo of a batch.
    """
    rank, processes = share
    order = epoch_order(len(source), seed, epoch)
    chunks = [order[start:end][rank::processes] for start, end in shares(len(order), size, processes)][skip:]

    def make(chunk: list[int]) -> Batch:
        return collate(*source.load(chunk, epoch), vocabulary)

    with ThreadPoolExecutor(1) as reader:
        ahead: Future[Batch] | None = None
        for number, chunk in enumerate(chunks):
            batch = (ahead or reader.submit(make, chunk)).result()
            ahead = reader.submit(make, chunks[number + 1]) if number + 1 < len(chunks) else None
            yield batch
