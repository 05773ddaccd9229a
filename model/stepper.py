"""What beam search needs of a decoder, whatever computes it: torch in float32, or another engine in int8.

The rules of the search live in `model.beam` alone; a stepper only says how likely each next word is.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from model.attention import Memory
from model.decoder import State


class Stepper(Protocol):
    """Steps R captions at a time, equally many of each image; `model.decoder.Decoder` is one."""

    def read(self, grid: Tensor) -> Memory:
        """Grid features (B, 49, C) to the memory of the images, computed once per image."""
        ...

    def begin(self, memory: Memory) -> State:
        """The state before the first word, one row per image."""
        ...

    def predict(self, words: Tensor, state: State, memory: Memory) -> tuple[Tensor, State, Tensor]:
        """The last words (R,) to the scores of the next (R, V), the new state, and where it looked (R, 49).

        `memory` has B images, and the R / B rows of an image lie side by side.
        """
        ...
