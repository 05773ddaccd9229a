"""`python -m model train`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, get_args

import typer

from model.commands import user_errors
from model.commands.options import CacheOption, DatasetOption, DeviceOption, EncoderOption, ThreadsOption
from model.devices import pick_device, set_threads
from model.training.settings import Stage, TrainingError, TrainingSettings

DEFAULTS = TrainingSettings(dataset="")

ProposalsOption = Annotated[int, typer.Option(min=1, help="Captions proposed of a photo, consensus stage only.")]
KeptOption = Annotated[int, typer.Option(min=1, help="Captions learnt of a photo, consensus stage only.")]
SamplesOption = Annotated[int, typer.Option(min=2, help="Captions sampled of a photo, reward stage only.")]
TemperatureOption = Annotated[
    float, typer.Option(min=0.01, help="Below 1, samples are nearer to what is served; reward stage only.")
]


def train(
    dataset: DatasetOption,
    run: Annotated[Path, typer.Option(help="Folder of this run; an unfinished run in it is resumed.")],
    stage: Annotated[
        str,
        typer.Option(
            help="decoder: over cached features. top: and the last stage of the ResNet. "
            "network: everything, from photos. consensus: the decoder, on the captions that agree best with the "
            "others. reward: self-critical, over cached features."
        ),
    ] = "decoder",
    start: Annotated[str, typer.Option(help="Checkpoint folder to go on from; decoder alone needs none.")] = "",
    encoder: EncoderOption = DEFAULTS.encoder,
    epochs: Annotated[int, typer.Option(min=1)] = DEFAULTS.epochs,
    batch: Annotated[int, typer.Option(min=1, help="Images a step, each with all its captions.")] = DEFAULTS.batch,
    optimizer: Annotated[str, typer.Option(help="adamw or sgd.")] = DEFAULTS.optimizer,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate of the decoder.")] = DEFAULTS.learning_rate,
    encoder_learning_rate: Annotated[
        float, typer.Option(help="Peak learning rate of the encoder, top and network stages only.")
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
    proposals: ProposalsOption = DEFAULTS.proposals,
    kept: KeptOption = DEFAULTS.kept,
    samples: SamplesOption = DEFAULTS.samples,
    temperature: TemperatureOption = DEFAULTS.temperature,
    cider_reward: Annotated[
        float, typer.Option(min=0, help="What CIDEr-D weighs in the reward.")
    ] = DEFAULTS.cider_reward,
    bleu_reward: Annotated[float, typer.Option(min=0, help="What BLEU-4 weighs in the reward.")] = DEFAULTS.bleu_reward,
    minimum_count: Annotated[int, typer.Option(min=1, help="Rarer words become <unk>.")] = DEFAULTS.minimum_count,
    validation_beam: Annotated[int, typer.Option(min=1)] = DEFAULTS.validation_beam,
    seed: Annotated[int, typer.Option()] = DEFAULTS.seed,
    cache: CacheOption = Path("cache"),
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Time a few steps, say what the run will take.")] = False,
) -> None:
    """Train a captioner, early-stopped on the BLEU-4 of captions generated for the validation split.

    Stop it with Ctrl-C or kill it: the same command resumes the run with the same result.
    """
    with user_errors():
        check(stage, optimizer)
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
            proposals=proposals,
            kept=kept,
            samples=samples,
            temperature=temperature,
            cider_reward=cider_reward,
            bleu_reward=bleu_reward,
            minimum_count=minimum_count,
            dropout=dropout,
            validation_beam=validation_beam,
        )
        (rehearse if dry_run else go)(settings, run, cache, device, threads)


def check(stage: str, optimizer: str) -> None:
    if stage not in get_args(Stage):
        raise TrainingError(f"--stage {stage!r}: accepted are {', '.join(get_args(Stage))}")
    if optimizer not in ("adamw", "sgd"):
        raise TrainingError(f"--optimizer {optimizer!r}: accepted are adamw, sgd")


def go(settings: TrainingSettings, folder: Path, cache: Path, device: str, threads: int) -> None:
    from model.training.loop import Stopped
    from model.training.prepare import prepare
    from model.world import World

    set_threads(threads)
    world, device = World.join(pick_device(device))
    run = prepare(settings, folder, cache, device, world)
    try:
        position = run.go()
    except Stopped:
        if world.first:
            print(f"stopped at step {run.position.step} of {run.steps}; the same command goes on from there")
        raise typer.Exit(os.EX_TEMPFAIL) from None
    finally:
        world.leave()
    if world.first:
        print(f"best: epoch {position.best_epoch + 1} with BLEU-4 {position.best:.2f}, in {folder / 'best'}")


def rehearse(settings: TrainingSettings, folder: Path, cache: Path, device: str, threads: int) -> None:
    from model.training.forecast import describe, forecast

    set_threads(threads)
    chosen = pick_device(device)
    found = forecast(settings, cache, chosen)
    print("\n".join(describe(found, settings, folder, cache, chosen)))
