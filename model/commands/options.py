"""The options that several commands have, said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DatasetOption = Annotated[str, typer.Option(help="flickr8k:FOLDER or coco2017:FOLDER.")]
CheckpointOption = Annotated[Path, typer.Option(help="Checkpoint folder.")]
SplitOption = Annotated[str, typer.Option(help="train, dev or test; COCO's dev is val2017.")]
BeamOption = Annotated[int, typer.Option(min=0, help="Beam width; 0 is the checkpoint's own.")]
EncoderOption = Annotated[
    str, typer.Option(help="ImageNet weights of a new encoder: torchvision, or a .safetensors file.")
]
CacheOption = Annotated[Path, typer.Option(help="Folder of cached features.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
ThreadsOption = Annotated[int, typer.Option(min=0, help="CPU threads; 0 is one a core.")]
