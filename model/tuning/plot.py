"""A study as a picture: BLEU-4 over the trials, over the epochs, and over each setting that is searched."""

from __future__ import annotations

import math
from itertools import accumulate
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna import Study
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

COLUMNS = 4
BEST, OTHER, PRUNED = "tab:orange", "tab:blue", "silver"


def plot(study: Study, path: Path) -> Path:
    """Draw all trials that are done, pruned ones in grey, the best one in orange. Does nothing where there is none."""
    trials = [t for t in study.trials if t.value is not None and t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    if not trials:
        return path
    best = max(trials, key=worth)
    names = sorted({name for trial in trials for name in trial.params})
    rows = math.ceil((2 + len(names)) / COLUMNS)
    figure = Figure(figsize=(3.4 * COLUMNS, 2.9 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
    over_trials(panels[0], trials, best)
    over_epochs(panels[1], trials, best)
    for axes, name in zip(panels[2:], names, strict=False):
        over_setting(axes, trials, best, name)
    for axes in panels[2 + len(names) :]:
        axes.axis("off")
    finished = sum(trial.state == TrialState.COMPLETE for trial in trials)
    figure.suptitle(f"{len(trials)} trials, {finished} to the end; best: trial {best.number}, BLEU-4 {best.value:.2f}")
    figure.savefig(path, dpi=110)
    return path


def worth(trial: FrozenTrial) -> float:
    """A trial that was given up is never the best, whatever it had reached."""
    return (trial.value or 0.0) if trial.state == TrialState.COMPLETE else -1.0


def colour(trial: FrozenTrial, best: FrozenTrial) -> str:
    if trial.number == best.number:
        return BEST
    return OTHER if trial.state == TrialState.COMPLETE else PRUNED


def dots(axes: Axes, trials: list[FrozenTrial], best: FrozenTrial, places: list[Any]) -> None:
    axes.scatter(
        places, [round(t.value or 0.0, 3) for t in trials], c=[colour(t, best) for t in trials], s=26, zorder=3
    )
    axes.set_ylabel("BLEU-4")
    axes.grid(alpha=0.25)


def over_trials(axes: Axes, trials: list[FrozenTrial], best: FrozenTrial) -> None:
    numbers = [trial.number for trial in trials]
    dots(axes, trials, best, numbers)
    leaders = list(accumulate((worth(trial) for trial in trials), max))
    known = [(number, leader) for number, leader in zip(numbers, leaders, strict=True) if leader >= 0]
    axes.step([n for n, _ in known], [leader for _, leader in known], where="post", color=BEST, linewidth=1)
    axes.set_xlabel("trial (the line: the best so far)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def over_epochs(axes: Axes, trials: list[FrozenTrial], best: FrozenTrial) -> None:
    for trial in trials:
        steps = sorted(trial.intermediate_values.items())
        epochs, values = [step for step, _ in steps], [round(value, 3) for _, value in steps]
        axes.plot(epochs, values, color=colour(trial, best), linewidth=1, marker=".", zorder=2 + (trial is best))
    axes.set(xlabel="epoch", ylabel="BLEU-4")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)


def over_setting(axes: Axes, trials: list[FrozenTrial], best: FrozenTrial, name: str) -> None:
    having = [trial for trial in trials if name in trial.params]
    kind = having[0].distributions[name]
    if isinstance(kind, CategoricalDistribution):
        choices = list(kind.choices)
        axes.set_xticks(range(len(choices)), [str(choice) for choice in choices])
        axes.set_xlim(-0.5, len(choices) - 0.5)
        dots(axes, having, best, [choices.index(trial.params[name]) for trial in having])
    else:
        dots(axes, having, best, [trial.params[name] for trial in having])
    if isinstance(kind, FloatDistribution):
        if kind.log:
            axes.set_xscale("log")
        room = (kind.high / kind.low) ** 0.05 if kind.log else (kind.high - kind.low) * 0.05
        low, high = (kind.low / room, kind.high * room) if kind.log else (kind.low - room, kind.high + room)
        axes.set_xlim(low, high)
    axes.set_xlabel(name.replace("_", " "))
