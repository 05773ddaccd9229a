"""Two captions before a version may serve: of a blank picture and of a noisy one.

They prove little about its quality, which is the trainer's business; they do prove that it speaks at all. With an
encoder that is new here they are made on the model thread, between two batches, exactly as requests will be, which
warms it up, too. With one that serves already its part is known, and nobody else has the decoder yet: a narrow search
in the thread that loads keeps no request waiting for the model's.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from backend.predictor import Predictor

if TYPE_CHECKING:
    from torch import Tensor

    from model.captioner import Caption, Captioner
    from model.preprocess import Photo

SHAPE = (224, 224, 3)
WIDEST = 64
# A batch that the model has in hand goes first.
PATIENCE_S = 60.0


class InsaneError(ValueError):
    """A version that loads but does not caption: what it was shown, and what it said."""


class Sanity:
    """Remembers how an encoder sees the two pictures, for as long as the encoder is in use."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._pictures = pictures()
        self._seen: WeakKeyDictionary[object, Tensor] = WeakKeyDictionary()

    def check(self, captioner: Captioner) -> None:
        """Raises InsaneError, TimeoutError, CancelledError when the service closes, and what the model raises."""
        decoding = captioner.about.config.decoding
        if not 1 <= decoding.beam <= WIDEST or not math.isfinite(decoding.length_power):
            raise InsaneError(f"cannot be searched with {decoding}")
        seen = self._seen.get(captioner.engine.encoder)
        if seen is not None:
            captions = captioner.caption_grid(seen, beam=1)
        else:
            captions = self._predictor.do(partial(self._caption, captioner)).result(timeout=PATIENCE_S)
        for name, caption in zip(self._pictures, captions, strict=True):
            if problem := fault(caption):
                raise InsaneError(f"captioned a {name} picture with {caption.text!r}, score {caption.score}: {problem}")

    def _caption(self, captioner: Captioner) -> list[Caption]:
        grid = captioner.encode(list(self._pictures.values()))
        self._seen[captioner.engine.encoder] = grid
        return captioner.caption_grid(grid)


def pictures() -> dict[str, Photo]:
    return {"blank": np.zeros(SHAPE, np.float32), "noisy": np.random.default_rng(0).random(SHAPE, dtype=np.float32)}


def fault(caption: Caption) -> str:
    """What is wrong with a caption that any captioner must be able to write; empty if nothing is."""
    if not caption.words or not caption.text.strip():
        return "no words"
    if not math.isfinite(caption.score) or not 0.0 <= caption.score <= 1.0:
        return "the score is not a number from 0 to 1"
    return ""
