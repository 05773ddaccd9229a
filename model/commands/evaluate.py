"""`python -m model evaluate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from model.commands import user_errors
from model.commands.options import BeamOption, CheckpointOption, DatasetOption, DeviceOption, SplitOption, ThreadsOption
from model.starter import STARTER


def evaluate(
    dataset: DatasetOption,
    checkpoint: CheckpointOption = STARTER,
    split: SplitOption = "dev",
    beam: BeamOption = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write figures and captions to this file.")] = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    engine: Annotated[
        str, typer.Option(help="torch, the float32 reference; openvino; onnxruntime; or auto, as it is served.")
    ] = "torch",
    against: Annotated[
        Path | None, typer.Option(help="A file that --json wrote: how many captions are the same?")
    ] = None,
) -> None:
    """BLEU-1..4, CIDEr-D, ROUGE-L and the variety of the captions that a checkpoint writes for a split."""
    from model.datasets import load_dataset
    from model.engines.opening import Wanted, open_exactly
    from model.evaluation import caption_split, report, summary

    with user_errors():
        data = load_dataset(dataset, split)
        captioner = open_exactly(checkpoint, Wanted(engine, device, threads))
        width = beam or captioner.beam
        figures = report(caption_split(captioner, data, width), captioner, width) | {"engine": captioner.engine.name}
        agreement = same_captions(figures["captions"], against) if against else ""
    for line in data.problems.lines():
        print(line, file=sys.stderr)
    if json_file:
        json_file.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    by = f"beam {width}, engine {figures['engine']}"
    print(f"{captioner.version} on {data.name} {split}, {figures['images']} images, {by}")
    print("\n".join(summary(figures)))
    if agreement:
        print(agreement)


def same_captions(captions: list[dict[str, Any]], other: Path) -> str:
    """Raises CheckpointError when the other file cannot be read, DatasetError when it is of no photo of these."""
    from model.checkpoint import read_json
    from model.datasets import DatasetError

    before = {row["image"]: row["caption"] for row in read_json(other).get("captions", [])}
    both = [row["caption"] == before[row["image"]] for row in captions if row["image"] in before]
    if not both:
        raise DatasetError(f"{other} has captions of none of these photos; it must be of the same split")
    return f"{sum(both)} of {len(both)} captions ({sum(both) / len(both):.1%}) are those of {other}"
