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
        """The memory of the images at `rows`, one entry a row."""
        return Memory(self.values.index_select(0, rows), self.keys.index_select(0, rows))

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
        """Hidden states (R, H) to the contexts (R, H) and the weights over the grid (R, 49), which sum to 1.

        The memory has B images, and R = B*K: the K rows of an image lie side by side, and share what is remembered.
        """
        images = memory.keys.shape[0]
        query = self.query(hidden).view(images, -1, 1, memory.keys.shape[-1])  # (B, K, 1, A)
        scores = self.score(torch.tanh(memory.keys.unsqueeze(1) + query)).squeeze(-1)  # (B, K, 49)
        weights = torch.softmax(scores.float(), dim=-1)  # (B, K, 49)
        context = torch.bmm(weights.to(memory.values.dtype), memory.values)  # (B, K, H)
        return context.flatten(0, 1), weights.flatten(0, 1)
