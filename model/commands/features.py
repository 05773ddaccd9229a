"""`python -m model features`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from model.commands import user_errors
from model.commands.options import CacheOption, DatasetOption, DeviceOption, ThreadsOption


def features(
    dataset: DatasetOption,
    encoder: Annotated[
        str, typer.Option(help="torchvision, a .safetensors file, or a checkpoint folder.")
    ] = "torchvision",
    split: Annotated[
        list[str] | None, typer.Option(help="Split, once for each; train and dev if none is given.")
    ] = None,
    cache: CacheOption = Path("cache"),
    batch: Annotated[int, typer.Option(min=1)] = 32,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
) -> None:
    """Compute the encoder's features of a data set once, so that training a decoder need not.

    Resumable: what is done stays done. 200 KB an image, 1.6 GB for Flickr8k.
    """
    from model import checkpoint as checkpoints
    from model.datasets import load_dataset
    from model.devices import pick_device, set_threads
    from model.encoder import Encoder
    from model.features import build
    from model.training.prepare import load_encoder

    with user_errors():
        set_threads(threads)
        if Path(encoder).is_dir():
            network = checkpoints.load(Path(encoder)).encoder
        else:
            load_encoder(network := Encoder(), encoder)
        for name in split or ["train", "dev"]:
            data = load_dataset(dataset, name)
            found = build(data, network, cache, batch=batch, device=pick_device(device))
            for line in data.problems.lines():
                print(line, file=sys.stderr)
            print(f"{data.name} {name}: {len(found.usable)} of {len(data.examples)} images in {found.folder}")
