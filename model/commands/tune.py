"""`python -m model tune`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from model.commands import user_errors
from model.commands.options import CacheOption, DatasetOption, DeviceOption, EncoderOption, ThreadsOption
from model.training.settings import TrainingSettings

DEFAULTS = TrainingSettings(dataset="")


def tune(
    dataset: DatasetOption,
    study: Annotated[Path, typer.Option(help="Folder of this study; an unfinished study in it goes on.")],
    trials: Annotated[int, typer.Option(min=1, help="Trials in all, those of before included.")] = 20,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs a trial.")] = 5,
    photos: Annotated[int, typer.Option(min=0, help="Train on so many photos of the split; 0 is all.")] = 0,
    search: Annotated[
        str,
        typer.Option(
            help="What to search, separated by commas: learning-rate, optimizer, batch, dropout, label-smoothing, ema, "
            "warmup, weight-decay. Nothing is all of them; the others keep the defaults of `train`."
        ),
    ] = "",
    start: Annotated[str, typer.Option(help="Checkpoint folder to go on from, with its encoder.")] = "",
    encoder: EncoderOption = DEFAULTS.encoder,
    validation_beam: Annotated[int, typer.Option(min=1)] = DEFAULTS.validation_beam,
    seed: Annotated[int, typer.Option()] = DEFAULTS.seed,
    cache: CacheOption = Path("cache"),
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
) -> None:
    """Search the settings that train the best decoder, by the BLEU-4 of captions generated for the validation split.

    Each trial trains over cached features; one that lags behind the others is given up. Stop it with Ctrl-C or kill
    it: the same command goes on. At the end it prints the best settings as the command to type.
    """
    from model.devices import pick_device, set_threads
    from model.training.loop import Stopped
    from model.tuning.space import command, parse
    from model.tuning.study import Plan, Tuning

    with user_errors():
        settings = TrainingSettings(
            dataset=dataset,
            encoder=encoder,
            start=start,
            epochs=epochs,
            patience=epochs,
            validation_beam=validation_beam,
            seed=seed,
        )
        set_threads(threads)
        tuning = Tuning(study, Plan(settings, parse(search), photos), cache, pick_device(device))
        try:
            best = tuning.go(trials)
        except Stopped:
            print(f"stopped with {len(tuning.done())} of {trials} trials done; the same command goes on from there")
            raise typer.Exit(os.EX_TEMPFAIL) from None
    first = tuning.study.trials[0]
    print(f"best: trial {best.number} with BLEU-4 {best.value:.2f}; the defaults had {first.value or 0:.2f}")
    print(f"plot: {study / 'study.png'}")
    if photos:
        print(f"the trials trained on {photos} photos; the command below trains on all of them")
    print(shlex.join(command(tuning.best_settings(), str(study / "trained"))))
