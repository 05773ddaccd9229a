"""A study: trials until there are enough, each a training run, on disk from the first to the last."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna import Study, Trial
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState

from model.datasets import load_dataset
from model.durable import claim
from model.training.loop import Stopped
from model.training.prepare import prepare, starting_checkpoint
from model.training.run import Run
from model.training.settings import TrainingError, TrainingSettings
from model.training.subset import Subset
from model.tuning.plot import plot
from model.tuning.space import defaults, suggest

# A trial that lags behind the median of the others at the same epoch is given up, once there are so many of them, and
# not before this epoch: the first one says more of the warm-up than of the settings.
UNJUDGED_TRIALS = 4
FIRST_JUDGED_EPOCH = 2
DONE = (TrialState.COMPLETE, TrialState.PRUNED)
LOSSES = ("best", "last", "state.pt", "state.stage")


@dataclass(frozen=True)
class Plan:
    """What a study searches, and on what; a study goes on with the plan that it began with."""

    settings: TrainingSettings
    search: tuple[str, ...]
    photos: int = 0  # of the train split, drawn once; 0: all of them

    def facts(self) -> dict[str, Any]:
        return asdict(self.settings) | {"search": ",".join(self.search), "photos": self.photos}


class Tuning:
    def __init__(self, folder: Path, plan: Plan, cache: Path, device: str, say: Callable[[str], None] = print) -> None:
        """Open the study in `folder`, or begin it. Raises TrainingError for one that was begun with another plan."""
        # What is wrong with data or weights is found before a study with that plan is begun.
        train, _ = (load_dataset(plan.settings.dataset, split) for split in ("train", "dev"))
        starting_checkpoint(plan.settings, train)
        self.folder, self.plan, self.cache, self.device, self.say = folder, plan, cache, device, say
        folder.mkdir(parents=True, exist_ok=True)
        self.study = open_study(folder, plan)

    def go(self, trials: int) -> FrozenTrial:
        """Take trials until `trials` are done, and return the best. Raises Stopped; the same call goes on."""
        with alone(self.folder):
            started, before = time.monotonic(), len(self.done())
            while len(self.done()) < trials:
                trial = self.next()
                self.take(trial)
                plot(self.study, self.folder / "study.png")
                self.report(trial.number, trials, before, started)
        return self.study.best_trial

    def done(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=DONE)

    def next(self) -> Trial:
        """The trial that was interrupted, else a new one."""
        for left in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            return Trial(self.study, left._trial_id)  # Optuna has no public way to take up a trial again
        return self.study.ask()

    def take(self, trial: Trial) -> None:
        settings = suggest(trial, self.plan.settings, self.plan.search)
        run = self.run(trial, settings)
        values = ", ".join(f"{name} {getattr(settings, name.replace('-', '_'))}" for name in self.plan.search)
        self.say(f"trial {trial.number}: {values}")
        try:
            position = run.go()
        except optuna.TrialPruned:
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, position.best)
        self.tidy()
        if run.asked_to_stop:
            raise Stopped

    def run(self, trial: Trial, settings: TrainingSettings) -> Run:
        """The trial's training run, which reports to the trial and ends when the trial lags behind."""

        def judge(run: Run) -> None:
            for event in run.journal.read():  # after a kill, the epochs of before may not have been reported yet
                if event["event"] == "epoch" and event["epoch"] not in reported:
                    trial.report(event["bleu4"], event["epoch"])
                    reported.add(event["epoch"])
            if trial.should_prune():
                raise optuna.TrialPruned

        reported = set(self.study.trials[trial.number].intermediate_values)
        run = prepare(settings, self.folder / name(trial.number), self.cache, self.device)
        source = Subset(run.source, self.plan.photos, settings.seed) if self.plan.photos else run.source
        return replace(run, source=source, after_epoch=judge)

    def tidy(self) -> None:
        """Of all trials the best one keeps its checkpoint; what is only for going on goes."""
        complete = [trial for trial in self.done() if trial.state == TrialState.COMPLETE]
        best = max(complete, key=lambda trial: trial.value or 0.0).number if complete else None
        for trial in self.done():
            for left in LOSSES:
                if trial.number == best and left == "best":
                    continue
                path = self.folder / name(trial.number) / left
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    def report(self, number: int, trials: int, before: int, started: float) -> None:
        """Say how trial `number` ended and how far the study is, `before` trials having been done at `started`."""
        done, last = self.done(), self.study.trials[number]
        each = (time.monotonic() - started) / max(len(done) - before, 1)
        left = f", about {each * (trials - len(done)) / 60:.0f} min left" if len(done) < trials else ""
        fate = " (given up)" if last.state == TrialState.PRUNED else ""
        bar = "#" * round(20 * len(done) / max(trials, 1))
        value = f"{last.value:.2f}" if last.value is not None else "none"
        best = self.best()
        leader = f"best {best.value:.2f} in trial {best.number}" if best else "none finished yet"
        self.say(f"[{bar:.<20}] {len(done)}/{trials}: trial {last.number} BLEU-4 {value}{fate}, {leader}{left}")

    def best(self) -> FrozenTrial | None:
        return self.study.best_trial if any(trial.state == TrialState.COMPLETE for trial in self.done()) else None

    def best_settings(self) -> TrainingSettings:
        best = self.study.best_trial
        return suggest(optuna.trial.FixedTrial(best.params), self.plan.settings, self.plan.search)  # type: ignore[arg-type]  # same methods


def name(number: int) -> str:
    return f"trial-{number:04d}"


def open_study(folder: Path, plan: Plan) -> Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = f"sqlite:///{(folder / 'study.db').resolve()}"
    study = optuna.create_study(
        storage=storage, study_name="recaption", direction="maximize", load_if_exists=True, pruner=pruner()
    )
    # Another seed each time it is opened: the same one would suggest the same values once more.
    study.sampler = TPESampler(seed=plan.settings.seed + len(study.trials))
    facts, before = plan.facts(), study.user_attrs
    if not before:
        for key, value in facts.items():
            study.set_user_attr(key, value)
        study.enqueue_trial(defaults(plan.settings, plan.search))
        return study
    changed = [
        f"{key} was {before.get(key)!r}, now {value!r}" for key, value in facts.items() if before.get(key) != value
    ]
    if changed:
        raise TrainingError(
            f"{folder} holds a study with another plan ({', '.join(changed)}); "
            "give the same options, or another --study"
        )
    return study


def pruner() -> MedianPruner:
    return MedianPruner(n_startup_trials=UNJUDGED_TRIALS, n_warmup_steps=FIRST_JUDGED_EPOCH)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process a study: another would take up the trial that this one is at. Raises TrainingError."""
    held = claim(folder)
    if held is None:
        raise TrainingError(f"another process works on the study in {folder}; wait for it, or give another --study")
    try:
        yield
    finally:
        os.close(held)
