"""Images to captions: the one thing that the other rooms use.

captioner = Captioner.load(folder)
[caption] = captioner.caption([read_image(data)])
caption.text, caption.score                     # "a dog runs through the grass", 0.41

`load` gives the reference, torch in float32; `model.engines.opening` gives the fastest engine that there is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from model import checkpoint as checkpoints
from model.beam import Hypothesis, beam_search
from model.checkpoint import Checkpoint, Head
from model.decoder import Decoder
from model.devices import pick_device, set_threads
from model.encoder import GRID, Encoder
from model.engines.engine import Engine, EngineError
from model.engines.torch_engine import TorchEngine
from model.preprocess import Photo
from model.vocabulary import join

BATCH = 16


@dataclass(frozen=True)
class Caption:
    """`score` is exp of the mean log-probability per word, in [0, 1]; `attention` is (words, 7, 7).

    `pooled` is the mean of the photo's grid, (C,): photos that look alike have pooled features that point alike.
    """

    text: str
    score: float
    words: tuple[str, ...]
    pooled: NDArray[np.float32]
    attention: NDArray[np.float32] | None = None


class Captioner:
    """A loaded checkpoint, ready to caption. One caller at a time."""

    def __init__(self, checkpoint: Checkpoint | Head, device: str = "cpu", *, engine: Engine | None = None) -> None:
        """A `checkpoint` with its weights is computed by torch, in float32; a head alone needs an `engine`."""
        self.about = checkpoint
        self.engine = engine or TorchEngine(self.checkpoint.encoder, self.checkpoint.decoder, device)
        self.device = self.engine.device
        self.vocabulary = checkpoint.vocabulary
        self.version = checkpoint.version
        self.beam = checkpoint.config.decoding.beam
        # Why this engine computes and not a faster one; empty where it is what was asked for.
        self.fallback = ""
        # Whether a faster one is asked for and may take over, once somebody has converted this version.
        self.pending = False

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint with its weights. Raises EngineError where an engine has them in a form of its own."""
        if not isinstance(self.about, Checkpoint):
            raise EngineError(f"{self.version} is loaded for another engine than torch, without its float32 weights")
        return self.about

    @property
    def encoder(self) -> Encoder:
        return self.checkpoint.encoder

    @property
    def decoder(self) -> Decoder:
        return self.checkpoint.decoder

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        device: str = "auto",
        threads: int = 0,
        verify: bool = True,
        encoder: Encoder | None = None,
    ) -> Captioner:
        """Read and verify a checkpoint folder; `encoder` is one of these very weights, to be shared. Raises
        CheckpointError and DeviceError."""
        set_threads(threads)
        return cls(checkpoints.load(folder, verify=verify, encoder=encoder), pick_device(device))

    def caption(self, images: Sequence[Photo], *, beam: int | None = None, attention: bool = False) -> list[Caption]:
        """One caption for each picture (224, 224, 3), RGB in [0, 1], in order."""
        batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        begun = [self.begin(batch, beam=beam, attention=attention) for batch in batches]
        return [caption for captions in begun for caption in captions.result()]

    def begin(
        self, images: Sequence[Photo], *, beam: int | None = None, attention: bool = False
    ) -> Future[list[Caption]]:
        """Encode a few pictures; their captions come while the next ones are encoded, where the engine can do both.

        Raises what encoding raises; what the search raises is in the future.
        """
        search = partial(self.caption_grid, self.encode(images), beam=beam, attention=attention)
        return self.engine.beside(search)

    def encode(self, images: Sequence[Photo]) -> Tensor:
        """The features (B, 49, C) of a few pictures."""
        return self.engine.encode(list(images))

    def caption_grid(self, grid: Tensor, *, beam: int | None = None, attention: bool = False) -> list[Caption]:
        """One caption for each image's features (B, 49, C), cached or fresh."""
        power = self.about.config.decoding.length_power
        found = beam_search(self.engine.stepper, grid.to(self.device), beam or self.beam, length_power=power)
        pooled = grid.float().mean(1).cpu().numpy()  # (B, C)
        return [self.to_caption(*pair, attention) for pair in zip(found, pooled, strict=True)]

    def to_caption(self, hypothesis: Hypothesis, pooled: NDArray[np.float32], attention: bool) -> Caption:
        words = tuple(self.vocabulary.decode(hypothesis.tokens))
        looks = hypothesis.attention.view(-1, GRID, GRID).float().cpu().numpy() if attention else None
        score = math.exp(hypothesis.log_probability / max(hypothesis.steps, 1))
        return Caption(join(words), min(score, 1.0), words, pooled, looks)
