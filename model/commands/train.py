"""`python -m model train`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, get_args

import typer

from model.commands import user_errors
from model.devices import pick_device, set_threads
from model.training.settings import Stage, TrainingError, TrainingSettings

DEFAULTS = TrainingSettings(dataset="")


def train(
    dataset: Annotated[str, typer.Option(help="flickr8k:FOLDER or coco2017:FOLDER.")],
    run: Annotated[Path, typer.Option(help="Folder of this run; an unfinished run in it is resumed.")],
    stage: Annotated[
        str, typer.Option(help="decoder: over cached features. network: everything, from photos.")
    ] = "decoder",
    start: Annotated[str, typer.Option(help="Checkpoint folder to go on from; needed by the network stage.")] = "",
    encoder: Annotated[
        str, typer.Option(help="ImageNet weights of a new encoder: torchvision, or a .safetensors file.")
    ] = DEFAULTS.encoder,
    epochs: Annotated[int, typer.Option(min=1)] = DEFAULTS.epochs,
    batch: Annotated[int, typer.Option(min=1, help="Images a step, each with all its captions.")] = DEFAULTS.batch,
    optimizer: Annotated[str, typer.Option(help="adamw or sgd.")] = DEFAULTS.optimizer,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate of the decoder.")] = DEFAULTS.learning_rate,
    encoder_learning_rate: Annotated[
        float, typer.Option(help="Peak learning rate of the encoder, network stage only.")
    ] = DEFAULTS.encoder_learning_rate,
    weight_decay: Annotated[float, typer.Option(min=0)] = DEFAULTS.weight_decay,
    warmup: Annotated[float, typer.Option(min=0, max=1, help="Share of the steps that warm up.")] = DEFAULTS.warmup,
    label_smoothing: Annotated[float, typer.Option(min=0, max=1)] = DEFAULTS.label_smoothing,
    clip: Annotated[float, typer.Option(help="Largest gradient norm.")] = DEFAULTS.clip,
    ema: Annotated[float, typer.Option(min=0, max=1, help="Decay of the averaged weights.")] = DEFAULTS.ema,
    patience: Annotated[
        int, typer.Option(min=1, help="Epochs without a better BLEU-4 before it stops.")
    ] = DEFAULTS.patience,
    dropout: Annotated[float, typer.Option(min=0, max=1)] = DEFAULTS.dropout,
    minimum_count: Annotated[int, typer.Option(min=1, help="Rarer words become <unk>.")] = DEFAULTS.minimum_count,
    validation_beam: Annotated[int, typer.Option(min=1)] = DEFAULTS.validation_beam,
    seed: Annotated[int, typer.Option()] = DEFAULTS.seed,
    cache: Annotated[Path, typer.Option(help="Folder of cached features.")] = Path("cache"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 is one a core.")] = 0,
) -> None:
    """Train a captioner, early-stopped on the BLEU-4 of captions generated for the validation split.

    Stop it with Ctrl-C or kill it: the same command resumes the run with the same result.
    """
    with user_errors():
        if stage not in get_args(Stage):
            raise TrainingError(f"--stage {stage!r}: accepted are {', '.join(get_args(Stage))}")
        if optimizer not in ("adamw", "sgd"):
            raise TrainingError(f"--optimizer {optimizer!r}: accepted are adamw, sgd")
        settings = TrainingSettings(
            dataset=dataset,
            stage=stage,  # type: ignore[arg-type]  # checked above
            encoder=encoder,
            start=start,
            seed=seed,
            epochs=epochs,
            batch=batch,
            optimizer=optimizer,  # type: ignore[arg-type]  # checked above
            learning_rate=learning_rate,
            encoder_learning_rate=encoder_learning_rate,
            weight_decay=weight_decay,
            warmup=warmup,
            clip=clip,
            label_smoothing=label_smoothing,
            ema=ema,
            patience=patience,
            minimum_count=minimum_count,
            dropout=dropout,
            validation_beam=validation_beam,
        )
        go(settings, run, cache, device, threads)


def go(settings: TrainingSettings, folder: Path, cache: Path, device: str, threads: int) -> None:
    from model.training.loop import Stopped
    from model.training.prepare import prepare

    set_threads(threads)
    run = prepare(settings, folder, cache, pick_device(device))
    try:
        position = run.go()
    except Stopped:
        print(f"stopped at step {run.position.step} of {run.steps}; the same command goes on from there")
        raise typer.Exit(os.EX_TEMPFAIL) from None
    print(f"best: epoch {position.best_epoch + 1} with BLEU-4 {position.best:.2f}, in {folder / 'best'}")
