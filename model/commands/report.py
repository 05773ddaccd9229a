"""`python -m model report`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from model.commands import user_errors
from model.commands.options import BeamOption, CheckpointOption, DatasetOption, DeviceOption, SplitOption, ThreadsOption
from model.starter import STARTER


def report(
    dataset: DatasetOption,
    out: Annotated[Path, typer.Option(help="Folder to write; the page is its index.html.")],
    checkpoint: CheckpointOption = STARTER,
    split: SplitOption = "dev",
    beam: BeamOption = 0,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
) -> None:
    """A page to look at: every photo with its caption, where each word looked, and the references, worst first.

    The page opens from disk and needs no network. Its figures are those of `evaluate`, and lie beside it as JSON.
    """
    from model.captioner import Captioner
    from model.datasets import load_dataset
    from model.evaluation import caption_split, summary
    from model.evaluation import report as figures_of
    from model.report.page import write

    with user_errors():
        data = load_dataset(dataset, split)
        captioner = Captioner.load(checkpoint, device=device, threads=threads)
        width = beam or captioner.beam
        captioned = caption_split(captioner, data, width, attention=True)
        figures = figures_of(captioned, captioner, width)
        page = write(captioned, figures, f"Captions of {data.name} {split}", out)
    (out / "figures.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for line in data.problems.lines():
        print(line, file=sys.stderr)
    print("\n".join([*summary(figures), f"{page}: {figures['images']} photos, worst first; open it in a browser"]))
