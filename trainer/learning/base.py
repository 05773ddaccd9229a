"""BASE_DATASET: what the champion learnt first. Its train split is replayed, its validation split is the benchmark."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

from model.datasets import Dataset, Example, load_dataset
from model.preprocess import ImageError
from model.shelf import Shelf, content_key
from model.training.mixture import Lesson

READERS = 2
CHUNK = 32


@dataclass(frozen=True)
class Base:
    train: Dataset
    validation: Dataset

    @classmethod
    def load(cls, spec: str) -> Base:
        """Raises DatasetError when a split cannot be read."""
        return cls(load_dataset(spec, "train"), load_dataset(spec, "dev"))

    @cached_property
    def benchmark_keys(self) -> frozenset[str]:
        """The content of the benchmark's photos: none of them may be learnt from, whatever it is called elsewhere."""
        with ThreadPoolExecutor(READERS) as readers:
            return frozenset(filter(None, readers.map(key_of, self.validation.examples)))

    def replay(
        self,
        shelf: Shelf,
        count: int,
        *,
        seed: int,
        never: Collection[str],
        advance: Callable[[int], None] = lambda count: None,
    ) -> list[Lesson]:
        """Up to `count` photos of the train split, picked at random, on the shelf; those in `never` are passed over.

        The same seed gives the same photos.
        """
        lessons: dict[str, Lesson] = {}
        for example, key in self._shelved(shelf, seed):
            if len(lessons) >= count:
                break
            if key is None or key in never or key in lessons:
                continue
            lessons[key] = Lesson(key, example.captions)
            advance(1)
        return list(lessons.values())

    def _shelved(self, shelf: Shelf, seed: int) -> Iterator[tuple[Example, str | None]]:
        """The train split in a random order, each photo with its key once it is on the shelf; None for a torn one."""
        order = random.Random(f"{seed}-base").sample(self.train.examples, len(self.train.examples))
        with ThreadPoolExecutor(READERS) as readers:
            for start in range(0, len(order), CHUNK):
                examples = order[start : start + CHUNK]
                keys = readers.map(lambda example: shelve(example, shelf), examples)
                yield from zip(examples, keys, strict=True)


def shelve(example: Example, shelf: Shelf) -> str | None:
    try:
        return shelf.add(example.path.read_bytes())
    except (OSError, ImageError):
        return None


def key_of(example: Example) -> str | None:
    try:
        return content_key(example.path.read_bytes())
    except OSError:
        return None
