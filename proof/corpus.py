"""Flickr8k as a labelling project would see it: photos with cached features, handed out in a fixed random order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from model.datasets import Dataset, Example, load_dataset
from model.encoder import Encoder
from model.features import Features, build
from model.shards import DONE, TORN
from model.training.prepare import load_encoder


@dataclass(frozen=True)
class Corpus:
    """Both splits with the features of one frozen encoder; `order` is the order in which train photos arrive."""

    encoder: Encoder
    train: Dataset
    dev: Dataset
    train_features: Features
    dev_features: Features
    order: tuple[int, ...]

    @classmethod
    def open(cls, dataset: str, weights: str, cache: Path, seed: int = 7) -> Corpus:
        """Load both splits and compute the features that the cache lacks; `weights` as `--encoder` takes them."""
        load_encoder(encoder := Encoder(), weights)
        train, dev = load_dataset(dataset, "train"), load_dataset(dataset, "dev")
        features = [build(split, encoder, cache) for split in (train, dev)]
        order = list(features[0].usable)
        random.Random(seed).shuffle(order)
        return cls(encoder, train, dev, features[0], features[1], tuple(order))

    def judged_by(self, rows: Sequence[int]) -> Corpus:
        """The same corpus with some of its dev photos alone."""
        return replace(self, dev_features=Chosen(self.dev_features, rows))

    @property
    def dev_rows(self) -> list[int]:
        return self.dev_features.usable

    @property
    def dev_examples(self) -> tuple[Example, ...]:
        return tuple(self.dev.examples[row] for row in self.dev_rows)

    def part(self, rows: Sequence[int]) -> Part:
        return Part(self, tuple(rows))


class Chosen(Features):
    """Some rows of a feature cache, as if there were no others."""

    def __init__(self, features: Features, rows: Sequence[int]) -> None:
        self.folder, self.names, self.shards = features.folder, features.names, features.shards
        self.state = np.full(len(features.state), TORN, dtype=np.uint8)
        self.state[list(rows)] = DONE


@dataclass(frozen=True)
class Part:
    """Some photos of the train split, by row: a data set, and a Source for the training loop."""

    corpus: Corpus
    rows: tuple[int, ...]

    @property
    def examples(self) -> tuple[Example, ...]:
        return tuple(self.corpus.train.examples[row] for row in self.rows)

    @property
    def dataset(self) -> Dataset:
        train = self.corpus.train
        return Dataset(train.name, train.split, self.examples, train.problems)

    def __len__(self) -> int:
        return len(self.rows)

    def load(self, items: Sequence[int], epoch: int) -> tuple[Tensor, list[Sequence[str]]]:
        rows = [self.rows[item] for item in items]
        return self.corpus.train_features.rows(rows), [self.corpus.train.examples[row].captions for row in rows]
