"""A split's features on disk, in files of SHARD images each, memory-mapped.

    FOLDER/names.json        the N image names, in the split's order
    FOLDER/grid-00000.npy    (SHARD, 49, C) float16, or (SHARD, 196, C / 2) of a Body; the last file has what is left
    FOLDER/state-00000.npy   (SHARD,) uint8: 0 still to do, 1 done, 2 the image is torn

Each file is written by one process, so several can fill a cache on a disk that they share. All files are there from
the start, and sparse: they take no room before they are filled.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

SHARD = 1024  # 200 MB of a ResNet-50's 7x7 grids
TODO, DONE, TORN = 0, 1, 2

NAMES = "names.json"


class FeatureError(ValueError):
    """A feature cache that does not fit its split."""


class Shard:
    """The files of one shard, open: `grid` and `state`."""

    def __init__(self, folder: Path, number: int, mode: Literal["r", "r+"] = "r") -> None:
        self.grid: np.memmap[Any, np.dtype[np.float16]] = np.load(grid_at(folder, number), mmap_mode=mode)
        self.state: np.memmap[Any, np.dtype[np.uint8]] = np.load(state_at(folder, number), mmap_mode=mode)


def prepare(folder: Path, names: Sequence[str], shape: tuple[int, int]) -> None:
    """Create what is not there. Raises FeatureError for a folder of other images."""
    if not (folder / NAMES).exists():
        folder.mkdir(parents=True, exist_ok=True)
        for number, size in enumerate(sizes(len(names))):
            create(grid_at(folder, number), np.float16, (size, *shape))
            create(state_at(folder, number), np.uint8, (size,))
        (folder / NAMES).write_text(json.dumps(list(names)), encoding="utf-8")
    if read_names(folder) != list(names):
        raise FeatureError(f"{folder} was built for other images than this split's; delete the folder and run again")


def read_names(folder: Path) -> list[str]:
    names: list[str] = json.loads((folder / NAMES).read_text(encoding="utf-8"))
    return names


def read_state(folder: Path) -> NDArray[np.uint8]:
    """The state of every image, (N,), as it is now; empty where there is no cache."""
    if not (folder / NAMES).exists():
        return np.zeros(0, np.uint8)
    count = len(sizes(len(read_names(folder))))
    return np.concatenate([np.load(state_at(folder, number)) for number in range(count)] or [np.zeros(0, np.uint8)])


def sizes(count: int) -> list[int]:
    """How many of `count` images each shard has."""
    return [min(SHARD, count - start) for start in range(0, count, SHARD)]


def grid_at(folder: Path, number: int) -> Path:
    return folder / f"grid-{number:05}.npy"


def state_at(folder: Path, number: int) -> Path:
    return folder / f"state-{number:05}.npy"


def create(path: Path, kind: type[np.generic], shape: tuple[int, ...]) -> None:
    open_memmap(path, "w+", kind, shape).flush()  # type: ignore[no-untyped-call]  # numpy leaves it untyped
