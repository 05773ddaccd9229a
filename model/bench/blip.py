"""BLIP-base (Li et al., 2022) of `transformers`, which most people would reach for: its time, not its words.

Its real size, with random weights, which cost as much as trained ones; every hypothesis is made as long as our captions
are.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

REQUIREMENTS = "requirements-bench.txt"
# Of Salesforce/blip-image-captioning-base; everything else is the default of BlipConfig.
TEXT_HEADS = 12


class BenchError(RuntimeError):
    """What the bench lacks, and the command that mends it."""


class Blip:
    """BlipForConditionalGeneration at its real size; `layers` and `image` make it small for tests."""

    def __init__(self, words: int, *, layers: int = 12, image: int = 384) -> None:
        """`words`: how many tokens each caption has. Raises BenchError where `transformers` is missing."""
        library = transformers()
        config = library.BlipConfig(
            vision_config={"num_hidden_layers": layers, "image_size": image},
            text_config={"num_hidden_layers": layers, "num_attention_heads": TEXT_HEADS},
        )
        torch.manual_seed(0)
        self.model = library.BlipForConditionalGeneration(config).eval()
        self.words = words
        self.shape = (3, image, image)

    @property
    def parameters(self) -> int:
        """How many numbers it has been given."""
        return sum(weights.numel() for weights in self.model.parameters())

    def pixels(self, count: int) -> NDArray[np.float32]:
        """Pictures of the size that it takes, normalised: (count, 3, 384, 384)."""
        return np.random.default_rng(0).standard_normal((count, *self.shape), dtype=np.float32)

    @torch.inference_mode()
    def caption(self, pixels: NDArray[np.float32], beam: int) -> Sequence[Sequence[int]]:
        """Tokens of each caption, with the one that begins it."""
        exactly = {"min_new_tokens": self.words, "max_new_tokens": self.words}
        tokens = self.model.generate(pixel_values=torch.from_numpy(pixels), num_beams=beam, **exactly)
        found: list[list[int]] = tokens.tolist()
        return found


def transformers() -> Any:
    """The library. Raises BenchError where it is missing."""
    try:
        library = importlib.import_module("transformers")
        library.logging.set_verbosity_error()
    except ImportError as error:
        raise BenchError(
            f"BLIP needs the package transformers, which cannot be imported ({error}); install it: "
            f"python -m pip install -r {REQUIREMENTS}, or leave BLIP out: --without blip"
        ) from error
    return library
