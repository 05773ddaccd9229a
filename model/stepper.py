"""What beam search needs of a decoder, whatever computes it: torch in float32, or another engine in int8.

The rules of the search live in `model.beam` alone; a stepper only says how likely each next word is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from model.attention import Memory
from model.decoder import Prediction, State


class Stepper(Protocol):
    """Steps R captions at a time, equally many of each image; `model.decoder.Decoder` is one."""

    def read(self, grid: Tensor) -> Memory:
        """Grid features (B, 49, C) to the memory of the images, computed once per image."""
        ...

    def begin(self, memory: Memory) -> State:
        """The state before the first word, one row per image."""
        ...

    def predict(self, words: Sequence[int], rows: Sequence[int], state: State, memory: Memory, most: int) -> Prediction:
        """R captions one word on: each goes on from a row of `state` with its last word, and the `most` likeliest next
        words are wanted, or all there are.

        `memory` has B images, and the R / B captions of an image lie side by side.
        """
        ...
