"""The two sets of photos that a challenger is judged by: the benchmark, and the project's own held-out photos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from torch import Tensor

from model.checkpoint import Checkpoint
from model.datasets import Dataset
from model.durable import locked
from model.features import Features, build
from model.shelf import Shelf
from trainer.learning.evidence import Grids, Photos
from trainer.learning.gate import BENCHMARK, DOMAIN
from trainer.learning.gather import Corrected

Track = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


def benchmark_photos(validation: Dataset, champion: Checkpoint, cache: Path, device: str) -> Photos:
    """The validation split's sound photos; features of an encoder seen before come from the cache."""

    def features(checkpoint: Checkpoint) -> Features:
        with locked(cache / "lock"):  # trainings of two projects would build the same files
            return build(validation, checkpoint.encoder, cache, device=device)

    def grids(checkpoint: Checkpoint) -> Grids:
        cached = features(checkpoint)
        return lambda rows: cached.rows([cached.usable[row] for row in rows])

    examples = [validation.examples[row] for row in features(champion).usable]
    return Photos(
        BENCHMARK, tuple(example.name for example in examples), tuple(example.captions for example in examples), grids
    )


def domain_photos(held_out: Sequence[Corrected], shelf: Shelf, device: str, track: Track) -> Photos:
    """The held-out photos, by their keys."""
    keys = [photo.key for photo in held_out]

    def grids(checkpoint: Checkpoint) -> Grids:
        with track("features of held-out photos", len(keys)) as advance:
            inputs = shelf.grids(shelf.build(checkpoint.encoder, keys, device=device, progress=advance))

        def rows_of(rows: Sequence[int]) -> Tensor:
            return inputs([keys[row] for row in rows])

        return rows_of

    return Photos(DOMAIN, tuple(keys), tuple(photo.captions for photo in held_out), grids)
