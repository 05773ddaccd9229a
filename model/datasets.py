"""Flickr8k and COCO 2017 in their published layouts. One item is one image with all its captions.

`load_dataset("flickr8k:FOLDER", "dev")` reads

    FOLDER/images/ (or Flicker8k_Dataset/)        FOLDER/Flickr_8k.{train,dev,test}Images.txt
    FOLDER/Flickr8k.token.txt (or captions.txt, the CSV of the same captions)

and `load_dataset("coco2017:FOLDER", "train")`

    FOLDER/train2017/  FOLDER/val2017/            FOLDER/annotations/captions_{train,val}2017.json

Only the split asked for needs to exist. Splits are by image. A listed image that is not there and a caption without
words are left out, counted and named in `Dataset.problems`; a folder of another layout is refused.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model.vocabulary import tokenise


class DatasetError(ValueError):
    """A data set that cannot be read: names the path, what was found and what is expected there."""


@dataclass(frozen=True)
class Example:
    """One image with all its captions, as written by people."""

    name: str
    path: Path
    captions: tuple[str, ...]


@dataclass
class Problems:
    """What was left out of a split, by kind, each with its names."""

    missing: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    wordless: list[str] = field(default_factory=list)
    uncaptioned: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """One line a kind: how many, and the first few by name."""
        kinds = {
            "images listed but not in the folder": self.missing,
            "images torn or malformed": self.torn,
            "captions without a word": self.wordless,
            "images without a caption": self.uncaptioned,
        }
        return [f"left out: {len(v)} {k}: {', '.join(v[:3])}{' …' * (len(v) > 3)}" for k, v in kinds.items() if v]


@dataclass(frozen=True)
class Dataset:
    name: str
    split: str
    examples: tuple[Example, ...]
    problems: Problems

    def captions(self) -> Iterable[str]:
        return (caption for example in self.examples for caption in example.captions)


def load_dataset(spec: str, split: str) -> Dataset:
    """Read one split of `flickr8k:FOLDER` or `coco2017:FOLDER`. Raises DatasetError."""
    name, _, folder = spec.partition(":")
    if name not in LOADERS or not folder:
        known = " or ".join(f"{known}:FOLDER" for known in LOADERS)
        raise DatasetError(f"dataset {spec!r}: expected {known}")
    path = Path(folder)
    if not path.is_dir():
        raise DatasetError(f"dataset {spec!r}: no folder at {path}")
    return LOADERS[name](path, split)


def load_flickr8k(folder: Path, split: str) -> Dataset:
    if split not in ("train", "dev", "test"):
        raise DatasetError(f"flickr8k has the splits train, dev and test, not {split!r}")
    listing = folder / f"Flickr_8k.{split}Images.txt"
    names = [line.strip() for line in read_text(listing, "the split's image names, one a line").splitlines()]
    images = first_existing(folder, ("images", "Flicker8k_Dataset"), "the photos")
    captions = flickr8k_captions(folder)
    unique = dict.fromkeys(name for name in names if name)
    return assemble("flickr8k", split, {name: images / name for name in unique}, captions)


def flickr8k_captions(folder: Path) -> dict[str, list[str]]:
    path = first_existing(folder, ("Flickr8k.token.txt", "captions.txt"), "the captions")
    captions: dict[str, list[str]] = defaultdict(list)
    text = read_text(path, "the captions")
    if path.suffix == ".txt" and path.name.startswith("captions"):
        for row in csv.DictReader(text.splitlines()):
            if row.get("image") is None or row.get("caption") is None:
                raise DatasetError(f"{path}: expected CSV columns image,caption; found {', '.join(map(str, row))}")
            captions[row["image"]].append(row["caption"])
        return captions
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        key, tab, caption = line.partition("\t")
        if not tab or "#" not in key:
            raise DatasetError(f"{path}:{number}: expected IMAGE#NUMBER<tab>CAPTION, found {line[:60]!r}")
        captions[key.rsplit("#", 1)[0]].append(caption)
    return captions


def load_coco2017(folder: Path, split: str) -> Dataset:
    published = {"train": "train2017", "dev": "val2017", "val": "val2017"}.get(split)
    if published is None:
        raise DatasetError(f"coco2017 has the splits train and val (dev means val), not {split!r}")
    path = folder / "annotations" / f"captions_{published}.json"
    try:
        content = json.loads(read_text(path, "COCO's captions"))
        files: dict[int, str] = {image["id"]: image["file_name"] for image in content["images"]}
        captions: dict[str, list[str]] = defaultdict(list)
        for annotation in content["annotations"]:
            captions[files[annotation["image_id"]]].append(annotation["caption"])
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: not COCO's captions format ({type(error).__name__}: {error})") from error
    images = first_existing(folder, (published,), "the photos")
    return assemble("coco2017", split, {name: images / name for name in files.values()}, captions)


LOADERS: Mapping[str, Callable[[Path, str], Dataset]] = {"flickr8k": load_flickr8k, "coco2017": load_coco2017}


def assemble(name: str, split: str, images: Mapping[str, Path], captions: Mapping[str, list[str]]) -> Dataset:
    problems, examples = Problems(), []
    for image, path in images.items():
        written = captions.get(image, [])
        worded = tuple(caption.strip() for caption in written if tokenise(caption))
        problems.wordless += [f"{image}: {caption!r}" for caption in written if not tokenise(caption)]
        if not path.is_file():
            problems.missing.append(image)
        elif not worded:
            problems.uncaptioned.append(image)
        else:
            examples.append(Example(image, path, worded))
    if not examples:
        raise DatasetError(
            f"{name} {split}: none of its {len(images)} images can be used. " + " ".join(problems.lines())
        )
    return Dataset(name, split, tuple(examples), problems)


def read_text(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DatasetError(f"no file at {path}, where {what} should be") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} ({what}) cannot be read: {error}") from error


def first_existing(folder: Path, names: tuple[str, ...], what: str) -> Path:
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise DatasetError(f"{folder} has no {' or '.join(names)}, where {what} should be")


def summary(dataset: Dataset) -> dict[str, Any]:
    """Counts for a manifest: images, captions and what was left out."""
    return {
        "dataset": dataset.name,
        "split": dataset.split,
        "images": len(dataset.examples),
        "captions": sum(len(example.captions) for example in dataset.examples),
        "left_out": {kind: len(names) for kind, names in vars(dataset.problems).items() if names},
    }
