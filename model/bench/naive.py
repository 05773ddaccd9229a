"""The baseline: this network as a first version has it, one photo at a time in plain float32 PyTorch.

What costs it its time: batch norms apart from their convolutions; a 14x14 grid, made by repeating each place of the 7x7
one; and at every step, for every hypothesis, all 196 places projected to values and keys anew. The weights and the
search are ours, and a place that is there four times gets a quarter of the attention each time: so are the captions.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.attention import Memory
from model.beam import Hypothesis, beam_search
from model.checkpoint import Checkpoint
from model.decoder import Decoder, State, Step
from model.encoder import GRID, Bottleneck, Encoder
from model.preprocess import Photo

REPEATED = 2


class NaiveDecoder(Decoder):
    """Remembers the raw grid, and reads it again at every step."""

    def read(self, grid: Tensor) -> Memory:
        return Memory(grid, grid)

    def begin(self, memory: Memory) -> State:
        return super().begin(self.attention.read(memory.values))

    def step(self, embedded: Tensor, state: State, memory: Memory) -> Step:
        each = memory.values.repeat_interleave(len(embedded) // len(memory.values), dim=0)  # (R, 196, 2048)
        return super().step(embedded, state, self.attention.read(each))


class NaiveCaptioner:
    """`checkpoint`'s captions, slowly."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.encoder = copy.deepcopy(checkpoint.encoder).to(memory_format=torch.contiguous_format).float().eval()
        self.decoder = NaiveDecoder(checkpoint.decoder.config).eval()
        self.decoder.load_state_dict(checkpoint.decoder.state_dict())
        self.power = checkpoint.config.decoding.length_power

    @torch.inference_mode()
    def caption(self, photos: Sequence[Photo], beam: int) -> list[Hypothesis]:
        """The best hypothesis of each photo, (224, 224, 3)."""
        return [self._one(photo, beam) for photo in photos]

    def _one(self, photo: Photo, beam: int) -> Hypothesis:
        image = torch.from_numpy(np.ascontiguousarray(photo.transpose(2, 0, 1))).unsqueeze(0)  # (1, 3, 224, 224)
        grid = repeated(look(self.encoder, image))  # (1, 196, 2048)
        [best] = beam_search(self.decoder, grid, beam, length_power=self.power)
        return best


def look(encoder: Encoder, images: Tensor) -> Tensor:
    """(B, 3, 224, 224) to (B, 2048, 7, 7), one module after the other."""
    x = (images - encoder.mean) / encoder.std
    x = F.max_pool2d(F.relu(encoder.bn1(encoder.conv1(x))), 3, 2, 1)
    for stage in (encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4):
        for block in stage:
            x = _block(cast(Bottleneck, block), x)
    return x


def repeated(grid: Tensor) -> Tensor:
    """(B, C, 7, 7) to the 196 places of a 14x14 grid, (B, 196, C)."""
    assert grid.shape[-1] == GRID
    return F.interpolate(grid, scale_factor=REPEATED, mode="nearest").flatten(2).transpose(1, 2)


def _block(block: Bottleneck, x: Tensor) -> Tensor:
    shortcut = x if block.downsample is None else cast(nn.Module, block.downsample)(x)
    y = F.relu(block.bn1(block.conv1(x)))
    y = F.relu(block.bn2(block.conv2(y)))
    result: Tensor = F.relu(block.bn3(block.conv3(y)) + shortcut)
    return result
