"""Small JPEGs of a split's photos, in their own proportions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from model.datasets import Example
from model.preprocess import to_rgb

SIDE = 360  # pixels of the longer side at most
QUALITY = 82
FOLDER = "photos"


@dataclass(frozen=True)
class Thumbnail:
    """`address` is relative to the page; `width` and `height` are pixels."""

    address: str
    width: int
    height: int


def thumbnail(example: Example, out: Path, number: int) -> Thumbnail:
    """Write the photo of an example, which must be one that decodes, to `out/photos/`, numbered from 1."""
    address = f"{FOLDER}/{number:05d}.jpg"
    with Image.open(example.path) as picture:
        small = Image.fromarray(to_rgb(ImageOps.exif_transpose(picture)))
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    small.save(out / address, "JPEG", quality=QUALITY, optimize=True)
    return Thumbnail(address, *small.size)
