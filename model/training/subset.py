"""Some of a source's items, drawn once."""

from __future__ import annotations

import random
from collections.abc import Sequence

from torch import Tensor

from model.training.batches import Source


class Subset:
    """`count` items of `source`, or all if it has fewer; the same ones for the same seed."""

    def __init__(self, source: Source, count: int, seed: int) -> None:
        self.source = source
        chance = random.Random(f"subset-{seed}")
        self.items = sorted(chance.sample(range(len(source)), min(count, len(source))))

    def __len__(self) -> int:
        return len(self.items)

    def load(self, items: Sequence[int], epoch: int) -> tuple[Tensor, list[Sequence[str]]]:
        return self.source.load([self.items[item] for item in items], epoch)
