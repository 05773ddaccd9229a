"""Photos to be captioned: crops of the free ones that scikit-image brings along, as many as wanted, no two alike."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from skimage import data

from model.preprocess import Photo, Pixels, resize, to_float

SOURCES = ("chelsea", "astronaut", "coffee", "rocket")
SHARE = 0.8
# The size of Flickr8k's photos as they were published, and of many on the web.
WEB_SIZE, QUALITY = (500, 375), 90


def crops(count: int, seed: int = 0) -> list[Pixels]:
    """RGB crops of different sizes; another seed gives others."""
    chance = np.random.default_rng(seed)
    sources = [getattr(data, name)() for name in SOURCES]
    return [_crop(sources[number % len(sources)], chance) for number in range(count)]


def photos(count: int) -> list[Photo]:
    """As the captioner takes them: float32 (224, 224, 3)."""
    return [to_float(resize(np.ascontiguousarray(crop))) for crop in crops(count)]


def jpegs(count: int, seed: int) -> list[bytes]:
    """As files of 500x375."""
    return [_encoded(crop) for crop in crops(count, seed)]


def _crop(source: Pixels, chance: np.random.Generator) -> Pixels:
    height, width = (int(side * SHARE) for side in source.shape[:2])
    top = int(chance.integers(0, source.shape[0] - height))
    left = int(chance.integers(0, source.shape[1] - width))
    return source[top : top + height, left : left + width]


def _encoded(crop: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(crop).resize(WEB_SIZE).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
