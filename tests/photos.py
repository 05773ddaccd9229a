"""Photos and data sets that tests make: drawn, not downloaded."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

COLOURS = {"red": (220, 40, 40), "green": (40, 180, 60), "blue": (50, 60, 220), "yellow": (230, 220, 50)}


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def drawn(colour: str, side: str, seed: int = 0) -> Image.Image:
    """A coloured square at the left or right of a noisy grey picture."""
    pixels = np.random.default_rng(seed).integers(100, 140, (224, 224, 3), dtype=np.uint8)
    left = 20 if side == "left" else 120
    pixels[70:150, left : left + 80] = COLOURS[colour]
    return Image.fromarray(pixels)


def captions_of(colour: str, side: str) -> list[str]:
    return [
        f"A {colour} square at the {side} .",
        f"The {colour} square is on the {side}",
        f"a square that is {colour}",
    ]


def flickr8k_folder(folder: Path, *, train: int = 8, dev: int = 4) -> Path:
    """A data set in Flickr8k's published layout, of drawn squares."""
    images = folder / "images"
    images.mkdir(parents=True)
    kinds = [(colour, side) for colour in COLOURS for side in ("left", "right")]
    lines: list[str] = []
    for split, count in (("train", train), ("dev", dev)):
        names = [f"{split}{number}.jpg" for number in range(count)]
        (folder / f"Flickr_8k.{split}Images.txt").write_text("\n".join(names) + "\n")
        for number, name in enumerate(names):
            colour, side = kinds[number % len(kinds)]
            drawn(colour, side, seed=number).save(images / name, quality=90)
            lines += [f"{name}#{n}\t{caption}" for n, caption in enumerate(captions_of(colour, side))]
    (folder / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    return folder
