"""The LSTM that writes the caption, one word a step, looking at the image through soft attention.

There is one `step`. Training (`forward`, teacher forcing), greedy decoding and beam search all call it, so none of them
can drift from the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.attention import Attention, Memory


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes of the decoder; all of it goes into `config.json` of a checkpoint."""

    vocabulary: int
    channels: int = 2048
    embedding: int = 300
    hidden: int = 512
    attention: int = 512
    dropout: float = 0.5


class State(NamedTuple):
    """The LSTM's memory of the caption so far: hidden and cell, (B, H) each."""

    hidden: Tensor
    cell: Tensor

    def select(self, rows: Tensor) -> State:
        return State(self.hidden.index_select(0, rows), self.cell.index_select(0, rows))

    def first(self, count: int) -> State:
        return State(self.hidden[:count], self.cell[:count])


class Prediction(NamedTuple):
    """The likeliest next words of R rows, the likeliest first: their log-probabilities and indices, N a row each. The
    new state, and where each row looked (R, 49)."""

    log_probabilities: list[list[float]]
    words: list[list[int]]
    state: State
    weights: Tensor


class Step(NamedTuple):
    """What one step gives: word scores before the output layer (B, E), the new state, where it looked (B, 49)."""

    output: Tensor
    state: State
    weights: Tensor


class Decoder(nn.Module):
    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        hidden, embedding = config.hidden, config.embedding
        self.embedding = nn.Embedding(config.vocabulary, embedding)
        self.attention = Attention(config.channels, hidden, config.attention, config.dropout / 2)
        self.start = nn.Linear(hidden, 2 * hidden)  # the first hidden and cell, from the mean of the image
        self.gate = nn.Linear(hidden, hidden)  # how much of the context each channel lets in (Xu et al., 4.2.1)
        self.lstm = nn.LSTMCell(embedding + hidden, hidden)
        self.output = nn.Linear(hidden + hidden, embedding)
        self.bias = nn.Parameter(torch.zeros(config.vocabulary))
        self.dropout = nn.Dropout(config.dropout)
        nn.init.normal_(self.embedding.weight, std=embedding**-0.5)

    def read(self, grid: Tensor) -> Memory:
        """Grid features (B, 49, C) to the memory of the images, computed once per image."""
        return self.attention.read(grid)

    def begin(self, memory: Memory) -> State:
        hidden, cell = torch.tanh(self.start(memory.values.mean(1))).chunk(2, dim=-1)  # (B, H) each
        return State(hidden, cell)

    def step(self, embedded: Tensor, state: State, memory: Memory) -> Step:
        """Embedded previous words (B, E) to the next words' outputs; `logits` turns outputs into word scores."""
        context, weights = self.attention(memory, state.hidden)  # (B, H), (B, 49)
        context = torch.sigmoid(self.gate(state.hidden)) * context  # (B, H)
        hidden, cell = self.lstm(torch.cat([embedded, context], dim=-1), tuple(state))  # (B, H) each
        output = self.output(torch.cat([self.dropout(hidden), context], dim=-1)) + embedded  # (B, E)
        return Step(output, State(hidden, cell), weights)

    def logits(self, output: Tensor) -> Tensor:
        """Outputs (..., E) to word scores (..., V), through the embedding itself: input and output words are tied."""
        return nn.functional.linear(self.dropout(output), self.embedding.weight, self.bias)

    def embed(self, tokens: Tensor) -> Tensor:
        embedded: Tensor = self.dropout(self.embedding(tokens))
        return embedded

    def predict(self, words: Sequence[int], rows: Sequence[int], state: State, memory: Memory, most: int) -> Prediction:
        """As `model.stepper.Stepper`."""
        last, before = (torch.tensor(numbers, device=state.hidden.device) for numbers in (words, rows))
        step = self.step(self.embed(last), state.select(before), memory)
        scores = torch.log_softmax(self.logits(step.output).float(), dim=-1)  # (R, V)
        found = scores.topk(min(most, self.config.vocabulary))
        return Prediction(found.values.tolist(), found.indices.tolist(), step.state, step.weights)

    def forward(self, memory: Memory, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Teacher forcing: the word scores at every position that has a next word.

        `tokens` (N, T) begin with `<start>` and are sorted by `lengths` (N,), longest first, so that a step runs over
        the captions that still have words and no padding is ever computed. `memory` has one row per caption.
        Returns (sum(lengths), V), position by position: all first words, then all second words, and so on.
        """
        embedded = self.embed(tokens)  # (N, T, E)
        state = self.begin(memory)
        outputs: list[Tensor] = []
        for position, count in enumerate(running(lengths)):
            step = self.step(embedded[:count, position], state.first(count), memory.first(count))
            state = step.state
            outputs.append(step.output)
        return self.logits(torch.cat(outputs))


def running(lengths: Tensor) -> list[int]:
    """How many of the captions, sorted longest first, still run at each position."""
    longest = int(lengths[0])
    return [int(n) for n in (lengths.unsqueeze(0) > torch.arange(longest).unsqueeze(1)).sum(1)]


def flatten_targets(targets: Tensor, lengths: Tensor) -> Tensor:
    """Targets (N, T) in the order of `Decoder.forward`'s rows: (sum(lengths),)."""
    return torch.cat([targets[:count, position] for position, count in enumerate(running(lengths))])
