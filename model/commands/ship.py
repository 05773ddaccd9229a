"""`python -m model ship`."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from model.commands import user_errors
from model.commands.options import DatasetOption, DeviceOption, ThreadsOption


def ship(
    checkpoint: Annotated[Path, typer.Option(help="Checkpoint folder that a training run left, its best/.")],
    dataset: DatasetOption,
    out: Annotated[Path, typer.Option(help="Checkpoint folder to write.")],
    split: Annotated[str, typer.Option(help="The validation split; never the one to report on.")] = "dev",
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
) -> None:
    """Choose beam and length weight on the validation split, and write the checkpoint that states its figures.

    The figures are those of the shipped, float16 weights, decoded in float32 as they will be when they serve.
    """
    from model import checkpoint as checkpoints
    from model.captioner import Captioner
    from model.datasets import load_dataset, summary
    from model.decoding import Encoded, choose, describe
    from model.metrics import SIGNATURE

    with user_errors():
        data = load_dataset(dataset, split)
        captioner = Captioner.load(checkpoint, device=device, threads=threads)
        found, trials = choose(Encoded(captioner, data))
        shipped = replace(captioner.checkpoint, config=replace(captioner.checkpoint.config, decoding=found.decoding))
        before = captioner.checkpoint.manifest
        facts: dict[str, Any] = {key: before[key] for key in ("parent", "data", "training") if key in before}
        figures = [
            asdict(trial.decoding) | {"bleu": trial.scores.bleu, "cider": trial.scores.cider} for trial in trials
        ]
        facts["validation"] = {
            "decoding": asdict(found.decoding),
            "bleu": found.scores.bleu,
            "cider": found.scores.cider,
            "brevity_penalty": found.scores.brevity_penalty,
            "confidence": dict(found.scores.confidence),
            "signature": SIGNATURE,
            "data": summary(data),
            "trials": figures,
        }
        checkpoints.save(shipped, out, facts)
    for line in data.problems.lines():
        print(line, file=sys.stderr)
    for trial in trials:
        print(describe(trial))
    print(f"{shipped.version} in {out}: {describe(found)}")
