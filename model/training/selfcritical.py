"""Self-critical training (Rennie et al., 2017): captions sampled from the model, more of those that score well.

Of each image a few captions are sampled as the model serves, without dropout; a caption's advantage is its reward less
the mean reward of the image's other samples (Luo, 2020), and the loss raises the log-probability of its words and of
its end in proportion. `model.training.reward` says what a caption is worth.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from model.beam import NEVER
from model.decoder import Decoder, flatten_targets
from model.training.batches import LONGEST, Batch, pack
from model.training.reward import Reward, Tokens
from model.vocabulary import END, PAD, START, UNKNOWN


class SelfCritical:
    """`samples` captions are drawn of each image, at `temperature`: word scores are divided by it.

    A model that was taught with label smoothing spreads a tenth of its belief over words that make no sense. Sampled as
    it is, most captions hold one, and training would first have to unlearn that; below 1 they are near what it serves.
    """

    def __init__(self, reward: Reward, samples: int, temperature: float) -> None:
        self.reward, self.samples, self.temperature = reward, samples, temperature

    def loss(self, decoder: Decoder, grid: Tensor, batch: Batch) -> Tensor:
        sampled = sample(decoder, grid, self.samples, self.temperature)
        worth = torch.from_numpy(self.reward.worth(sampled, batch.references()))  # (B, K)
        advantage = (worth - worth.mean(1, keepdim=True)) * self.samples / (self.samples - 1)
        return policy_loss(decoder, grid, sampled, advantage.flatten().float(), self.temperature)


@torch.no_grad()
def sample(decoder: Decoder, grid: Tensor, samples: int, temperature: float = 1.0) -> list[Tokens]:
    """`samples` captions of each image, in the images' order, with their end unless they were cut at LONGEST words."""
    training = decoder.training
    decoder.eval()
    rows = torch.arange(len(grid), device=grid.device).repeat_interleave(samples)
    memory = decoder.read(grid).select(rows)
    state = decoder.begin(memory)
    spoken: list[Tokens] = [[] for _ in range(len(rows))]
    alive = torch.arange(len(rows), device=grid.device)
    words = torch.full_like(alive, START)
    for _ in range(LONGEST + 1):
        step = decoder.step(decoder.embed(words), state, memory)
        scores = decoder.logits(step.output).float() / temperature
        scores[:, [PAD, START, UNKNOWN]] = NEVER
        words = torch.multinomial(scores.softmax(-1), 1).squeeze(1)
        for row, word in zip(alive.tolist(), words.tolist(), strict=True):
            spoken[row].append(word)
        going = (words != END).nonzero().squeeze(1)
        if not len(going):
            break
        alive, words = alive[going], words[going]
        memory, state = memory.select(going), step.state.select(going)
    decoder.train(training)
    return spoken


def policy_loss(
    decoder: Decoder, grid: Tensor, sampled: Sequence[Tokens], advantage: Tensor, temperature: float = 1.0
) -> Tensor:
    """Minus the mean log-probability per word of the sampled captions, each weighed by its advantage (B*K,)."""
    device, samples = grid.device, len(sampled) // len(grid)
    order = sorted(range(len(sampled)), key=lambda row: -len(sampled[row]))
    tokens, targets, lengths = pack([sampled[row] for row in order])
    rows = torch.tensor(order, device=device)
    logits = decoder(decoder.read(grid).select(rows // samples), tokens.to(device), lengths)  # (words, V)
    spoken = flatten_targets(targets, lengths).to(device).unsqueeze(1)
    weights = flatten_targets(advantage[order].unsqueeze(1).expand(-1, targets.shape[1]), lengths).to(device)
    said: Tensor = (logits.float() / temperature).log_softmax(-1).gather(1, spoken).squeeze(1)  # (words,)
    return -(weights * said).mean()
