"""Soft attention over the image grid (Xu et al., 2015, after Bahdanau et al., 2014).

Each place of the grid is scored against the decoder's hidden state; the softmax of the scores weighs the places into
one context vector. What depends on the image alone, the values and the keys, is computed once per image and kept in a
`Memory`; a decoding step then costs one small matrix product and one tanh.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Memory(NamedTuple):
    """What the decoder remembers of B images: values (B, 49, H) to read, keys (B, 49, A) to find them by."""

    values: Tensor
    keys: Tensor

    def select(self, rows: Tensor) -> Memory:
        """The memory of the images at `rows`, one entry per row: beams and captions of one image share it."""
        return Memory(self.values[rows], self.keys[rows])

    def first(self, count: int) -> Memory:
        return Memory(self.values[:count], self.keys[:count])


class Attention(nn.Module):
    def __init__(self, channels: int, hidden: int, attention: int, dropout: float) -> None:
        super().__init__()
        self.reduce = nn.Linear(channels, hidden)
        self.key = nn.Linear(hidden, attention)
        self.query = nn.Linear(hidden, attention, bias=False)
        self.score = nn.Linear(attention, 1, bias=False)
        self.dropout = nn.Dropout(dropout)

    def read(self, grid: Tensor) -> Memory:
        """Grid features (B, 49, C) to the memory that every step of the caption uses."""
        values = self.dropout(torch.relu(self.reduce(grid)))  # (B, 49, H)
        return Memory(values, self.key(values))  # keys (B, 49, A)

    def forward(self, memory: Memory, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden state (B, H) to the context (B, H) and the weights over the grid (B, 49), which sum to 1."""
        query = self.query(hidden).unsqueeze(1)  # (B, 1, A)
        scores = self.score(torch.tanh(memory.keys + query)).squeeze(-1)  # (B, 49)
        weights = torch.softmax(scores.float(), dim=-1)  # (B, 49)
        context = torch.bmm(weights.to(memory.values.dtype).unsqueeze(1), memory.values).squeeze(1)  # (B, H)
        return context, weights
