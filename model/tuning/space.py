"""What is searched, and between which bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from optuna import Trial

from model.training.settings import TrainingError, TrainingSettings

BATCHES = (16, 32, 64, 128)
AVERAGES = (0.99, 0.995, 0.998, 0.999, 0.9995)


def short(value: float) -> float:
    """Three significant digits: what a person would type, and no model can tell from more."""
    return float(f"{value:.3g}")


def learning_rate(trial: Trial, optimizer: str) -> float:
    """SGD's useful rates are hundreds of times AdamW's, so each has a range, and a name in the study, of its own."""
    if optimizer == "sgd":
        return short(trial.suggest_float("learning_rate_sgd", 0.05, 2.0, log=True))
    return short(trial.suggest_float("learning_rate", 1e-4, 5e-3, log=True))


SPACE: Mapping[str, Callable[[Trial], Any]] = {
    "batch": lambda trial: trial.suggest_categorical("batch", BATCHES),
    "dropout": lambda trial: short(trial.suggest_float("dropout", 0.1, 0.6)),
    "label-smoothing": lambda trial: short(trial.suggest_float("label_smoothing", 0.0, 0.2)),
    "ema": lambda trial: trial.suggest_categorical("ema", AVERAGES),
    "warmup": lambda trial: short(trial.suggest_float("warmup", 0.02, 0.3)),
    "weight-decay": lambda trial: short(trial.suggest_float("weight_decay", 1e-4, 0.1, log=True)),
}
NAMES = ("learning-rate", "optimizer", *SPACE)


def parse(text: str) -> tuple[str, ...]:
    """Names separated by commas, put into the space's own order; nothing is all of them. Raises TrainingError."""
    asked = {name.strip().replace("_", "-") for name in text.split(",") if name.strip()}
    unknown = sorted(asked - set(NAMES))
    if unknown:
        raise TrainingError(f"--search {', '.join(unknown)}: accepted are {','.join(NAMES)}")
    return tuple(name for name in NAMES if name in asked or not asked)


def suggest(trial: Trial, base: TrainingSettings, search: Sequence[str]) -> TrainingSettings:
    """`base` with the trial's own value for every setting that is searched."""
    found: dict[str, Any] = {}
    if "optimizer" in search:
        found["optimizer"] = trial.suggest_categorical("optimizer", ("adamw", "sgd"))
    if "learning-rate" in search:
        found["learning_rate"] = learning_rate(trial, found.get("optimizer", base.optimizer))
    found |= {name.replace("-", "_"): SPACE[name](trial) for name in search if name in SPACE}
    return replace(base, **found)


def defaults(base: TrainingSettings, search: Sequence[str]) -> dict[str, Any]:
    """The values of `base` as a trial's parameters, so that a study begins with what it is to beat."""
    return {name.replace("-", "_"): getattr(base, name.replace("-", "_")) for name in search}


def command(settings: TrainingSettings, run: str) -> list[str]:
    """The words of `python -m model train` that make a run of these settings."""
    plain = TrainingSettings(dataset="")
    words = ["python", "-m", "model", "train", "--dataset", settings.dataset, "--run", run]
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.name != "dataset" and value != getattr(plain, field.name):
            words += [f"--{field.name.replace('_', '-')}", str(value)]
    return words
