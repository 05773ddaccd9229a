"""`python -m model evaluate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from model.commands import user_errors
from model.starter import STARTER


def evaluate(
    dataset: Annotated[str, typer.Option(help="flickr8k:FOLDER or coco2017:FOLDER.")],
    checkpoint: Annotated[Path, typer.Option(help="Checkpoint folder.")] = STARTER,
    split: Annotated[str, typer.Option(help="train, dev or test; COCO's dev is val2017.")] = "dev",
    beam: Annotated[int, typer.Option(min=0, help="Beam width; 0 is the checkpoint's own.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write figures and captions to this file.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 is one a core.")] = 0,
) -> None:
    """BLEU-1..4 and CIDEr-D of the captions a checkpoint writes for a split."""
    from model.captioner import Captioner
    from model.datasets import load_dataset
    from model.evaluation import caption_split, report

    with user_errors():
        data = load_dataset(dataset, split)
        captioner = Captioner.load(checkpoint, device=device, threads=threads)
        width = beam or captioner.beam
        figures = report(caption_split(captioner, data, width), captioner, width)
    for line in data.problems.lines():
        print(line, file=sys.stderr)
    if json_file:
        json_file.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    bleu = "  ".join(f"BLEU-{order} {value:.2f}" for order, value in enumerate(figures["bleu"], 1))
    low, high = figures["confidence"]["bleu4"]
    print(f"{captioner.version} on {data.name} {split}, {figures['images']} images, beam {width}")
    print(f"{bleu} (95 %: {low:.2f} to {high:.2f})  CIDEr {figures['cider']:.1f}")
    print(f"brevity penalty {figures['brevity_penalty']:.3f}  {figures['signature']}")
