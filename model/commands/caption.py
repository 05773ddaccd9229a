"""`python -m model caption`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from model.commands import user_errors
from model.commands.options import BeamOption, CheckpointOption, DeviceOption, ThreadsOption
from model.preprocess import ImageError, read_image
from model.starter import STARTER


def caption(
    photos: Annotated[list[Path], typer.Argument(help="Picture files.", metavar="PHOTO...")],
    checkpoint: CheckpointOption = STARTER,
    beam: BeamOption = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    attention: Annotated[
        Path | None, typer.Option(help="Folder for a picture per photo: where the model looked, word by word.")
    ] = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
) -> None:
    """Caption photos. A photo that cannot be read is named on standard error, the others are captioned all the same."""
    from model.captioner import Captioner

    failed = False
    with user_errors():
        captioner = Captioner.load(checkpoint, device=device, threads=threads)
    for path in photos:
        try:
            photo = read_image(path.read_bytes())
        except (ImageError, OSError) as error:
            print(f"error: {path}: {error}", file=sys.stderr)
            failed = True
            continue
        [found] = captioner.caption([photo], beam=beam or None, attention=attention is not None)
        if as_json:
            print(json.dumps({"image": str(path), "caption": found.text, "score": found.score}, ensure_ascii=False))
        else:
            print(f"{path}: {found.text} ({found.score:.2f})")
        if attention:
            from model.attention_picture import draw

            draw(photo, found, attention / f"{path.stem}.png")
    if failed:
        raise typer.Exit(1)
