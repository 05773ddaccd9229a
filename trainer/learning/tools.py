"""What a fine-tuning works with, and the features that it learns from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from torch import Tensor

from model.checkpoint import Checkpoint
from model.shelf import Shelf


@dataclass(frozen=True)
class Tools:
    """`report` is told figures now and then, `track` opens a bar."""

    shelf: Shelf
    device: str
    report: Callable[[dict[str, float]], None]
    track: Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


def grids(champion: Checkpoint, keys: Sequence[str], tools: Tools) -> Callable[[Sequence[str]], Tensor]:
    """Keys to features (B, 49, C) by the champion's encoder, computed once for each photo."""
    with tools.track("features", len(set(keys))) as advance:
        mark = tools.shelf.build(champion.encoder, keys, device=tools.device, progress=advance)
    return tools.shelf.grids(mark)
