"""A captioner and a data set that train in seconds: drawn squares, for proofs about what surrounds a training."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from model import checkpoint as checkpoints
from model.checkpoint import Config, Decoding
from model.decoder import DecoderConfig
from model.features import encode
from model.training.finetune import FineTune, FineTuneSettings
from model.training.mixture import Lesson, Mixture
from model.vocabulary import Vocabulary

COLOURS = {"red": (220, 40, 40), "green": (40, 180, 60), "blue": (50, 60, 220), "yellow": (230, 220, 50)}
KINDS = tuple(product(COLOURS, ("left", "right"), ("small", "large")))
SIDE, INPUT = 96, 224
SCHOOL_FIRST, SCHOOLED, SCHOOL_EPOCHS = 200_000, 64, 24
WIDTH, BLOCKS = 8, (1, 1, 1, 1)


def captions_of(number: int) -> list[str]:
    """What people may say of picture `number`: much alike, so that even a few captions have a BLEU-4 above zero."""
    colour, side, size = KINDS[number % len(KINDS)]
    return [
        f"a square that is {colour} and {size} stands at the {side}",
        f"a square that is {size} and {colour} stands on the {side}",
        f"on the {side} there is a square that is {colour} and {size}",
        f"at the {side} a square that is {size} shines in {colour}",
    ]


def picture(number: int) -> Image.Image:
    """A coloured patch before noise, which makes each picture another one."""
    colour, side, size = KINDS[number % len(KINDS)]
    pixels = np.random.default_rng(number).integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
    half = SIDE // 2
    rows = slice(0, SIDE if size == "large" else half)
    pixels[rows, :half] = COLOURS[colour]
    return Image.fromarray(pixels if side == "left" else pixels[:, ::-1])


def pictures(folder: Path, numbers: Sequence[int]) -> list[Path]:
    """Picture files, one a number."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"square-{number:05d}.png" for number in numbers]
    for path, number in zip(paths, numbers, strict=True):
        picture(number).save(path)
    return paths


def dataset(folder: Path, *, train: int, dev: int, first: int) -> str:
    """A data set in Flickr8k's layout, as BASE_DATASET names it; its pictures are those from number `first` on."""
    lines: list[str] = []
    for split, start, count in (("train", first, train), ("dev", first + train, dev)):
        numbers = range(start, start + count)
        paths = pictures(folder / "images", numbers)
        (folder / f"Flickr_8k.{split}Images.txt").write_text("".join(f"{path.name}\n" for path in paths))
        for path, number in zip(paths, numbers, strict=True):
            lines += [f"{path.name}#{place}\t{caption}" for place, caption in enumerate(captions_of(number))]
    (folder / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    return f"flickr8k:{folder}"


def captioner(folder: Path) -> Path:
    """The checkpoint of a captioner that has been to school: it speaks of squares, not always of the right one."""
    vocabulary = Vocabulary.build([text for number in range(len(KINDS)) for text in captions_of(number)], 1)
    decoder = DecoderConfig(len(vocabulary), channels=WIDTH * 32, embedding=32, hidden=48, attention=32, dropout=0.1)
    config = Config(decoder, encoder_width=WIDTH, encoder_blocks=BLOCKS, decoding=Decoding(beam=1))
    torch.manual_seed(0)
    pupil = checkpoints.create(config, vocabulary)
    numbers = range(SCHOOL_FIRST, SCHOOL_FIRST + SCHOOLED)
    pixels = [np.asarray(picture(number).resize((INPUT, INPUT))) for number in numbers]
    grids = torch.from_numpy(encode(pupil.encoder.eval(), pixels)).float()
    places = {str(number): place for place, number in enumerate(numbers)}
    lessons = [Lesson(str(number), tuple(captions_of(number))) for number in numbers]
    source = Mixture(lambda keys: grids[[places[key] for key in keys]], lessons, [], replay_share=0.0, seed=1)
    settings = FineTuneSettings(epochs=SCHOOL_EPOCHS, batch=16, learning_rate=4e-3, dropout=0.1, ema=0.9)
    school = folder.with_name(f"{folder.name}-school")
    return checkpoints.save(FineTune(school, settings, pupil, source).run(), folder, {})
