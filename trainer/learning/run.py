"""The whole of one training, stage by stage. See the package for what each stage leaves behind.

    with Signals() as signals:
        report = learn(settings, 7, Wishes(), signals)

SIGTERM and Ctrl-C raise Stop or Stopped, and the same call goes on from there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labeling.corrections import harvest
from model import checkpoint as checkpoints
from model.checkpoint import Checkpoint
from model.datasets import summary
from model.devices import pick_device, set_threads
from model.shelf import Shelf
from model.store import Store
from model.store_open import open_store
from model.training.growth import new_words
from settings import Settings
from trainer.learning import decide as decisions
from trainer.learning.apprentice import challenger as challenger_of
from trainer.learning.base import Base
from trainer.learning.begin import Start, alone, begin
from trainer.learning.decide import Decision
from trainer.learning.evidence import Photos, Rival, finite, validation, weigh, write
from trainer.learning.failures import recorded
from trainer.learning.files import read_json, write_json
from trainer.learning.gate import BENCHMARK, DOMAIN, Rules, Verdict, judge, refuse
from trainer.learning.gather import Gathered, gather, gathered
from trainer.learning.judges import benchmark_photos, domain_photos
from trainer.learning.lessons import Lessons, divided, learnt_before, replayed, wanted
from trainer.learning.pictures import pictures_of
from trainer.learning.progress import Reporter
from trainer.learning.recipe import Recipe
from trainer.learning.stopping import Signals
from trainer.learning.tools import Tools
from trainer.learning.tune import ALONE, finetune, share_encoder
from trainer.studio import label_studio

BROKEN = "The fine-tuning came apart: some of its weights are no numbers. Try a lower FINETUNE_LEARNING_RATE."
NOTHING = "Nothing to learn: no correction is left whose picture can be read and is not held out."


@dataclass(frozen=True)
class Wishes:
    """What the command asks for beyond the settings. `wait_s`: for another training of the project to end."""

    accepted: bool = False
    batch: int | None = None
    wait_s: float = 0.0


def learn(settings: Settings, project: int, wishes: Wishes, signals: Signals) -> dict[str, Any]:
    """Train once, and give the report. Goes on with an unfinished run if there is one.

    Raises Busy if another training of the project is at work; SettingsError, DatasetError, DeviceError, StoreError,
    CheckpointError, LabelStudioError or GatherError for what the user can mend; Stop or Stopped when asked to stop.
    """
    label_studio(settings)
    set_threads(settings.threads)
    device = pick_device(settings.device)
    runs = settings.model_dir / "runs" / str(project)
    with alone(runs, project, wishes.wait_s):
        store = open_store(settings.model_dir, by="train")
        fence = store.take_fence(str(project))
        champion, own = store.champion(str(project)), store.own_champion(str(project))
        assert champion is not None  # open_store has seen to it
        recipe = Recipe.of(settings, accepted=wishes.accepted, batch=wishes.batch)
        base = Base.load(recipe.base_dataset) if recipe.base_dataset else None
        start = begin(runs, project, champion, own.epoch if own else None, recipe, batch=wishes.batch)
        reporter = Reporter(runs / "progress.json", runs / start.run)
        training = Training(settings, store, start, fence, base, device, reporter, signals)
        with recorded(store, start, runs / start.run, reporter):
            return training.go()


@dataclass(frozen=True)
class Training:
    settings: Settings
    store: Store
    start: Start
    fence: int
    base: Base | None
    device: str
    reporter: Reporter
    signals: Signals

    @property
    def folder(self) -> Path:
        return self.settings.model_dir / "runs" / self.start.project / self.start.run

    @property
    def cache(self) -> Path:
        return self.settings.data_dir / "cache"

    @property
    def shelf(self) -> Shelf:
        return Shelf(self.cache / "shelf")

    def go(self) -> dict[str, Any]:
        """From wherever the run is to its report."""
        with self.reporter.stage("gather"):
            found = gathered(self.folder) or self.gather()
        if not found.learnt:
            return self.nothing(found)
        champion = checkpoints.load(self.store.folder(self.start.champion))
        with self.reporter.stage("finetune"):
            challenger = self.finetune(found, self.apprentice() or champion)
        with self.reporter.stage("evidence"):
            gate = read_json(self.folder / "gate.json") or self.judge(found, champion, challenger)
        with self.reporter.stage("decide"), self.signals.held():
            return self.decide(found, challenger, gate)

    def gather(self) -> Gathered:
        recipe, project, studio = self.start.recipe, self.start.project, label_studio(self.settings)
        found = harvest(
            studio,
            int(project),
            prefer=self.settings.caption_field,
            progress=lambda read, tasks: self.reporter.say(step=read, steps=tasks),
        )
        count = len(found.corrections) + (len(found.accepted) if recipe.accepted else 0)
        with self.reporter.track("pictures", count) as advance:
            return gather(
                self.folder,
                found,
                pictures_of(self.settings, studio, self.shelf, project, self.start.run),
                accepted=recipe.accepted,
                share=recipe.holdout_share,
                benchmark=self.base.benchmark_keys if self.base else (),
                advance=advance,
            )

    def nothing(self, found: Gathered) -> dict[str, Any]:
        with self.signals.held():
            figures = self.figures(found)
            decision = decisions.record(self.store, self.start, decisions.NOTHING, NOTHING, figures)
            return self.close(decision, figures)

    def apprentice(self) -> Checkpoint | None:
        """An earlier challenger to go on from instead of the champion."""
        run = self.start.apprentice
        return checkpoints.load(challenger_of(self.folder.parent, run)) if run else None

    def finetune(self, found: Gathered, begins: Checkpoint) -> Path:
        words = new_words(
            [photo.captions for photo in found.learnt], begins.vocabulary, self.start.recipe.grow_vocabulary
        )
        tools = Tools(self.shelf, self.device, lambda figures: self.reporter.say(**figures), self.reporter.track)
        return finetune(self.folder, self.start, begins, words, self.lessons(found, begins), tools)

    def lessons(self, found: Gathered, begins: Checkpoint) -> Lessons:
        recipe = self.start.recipe
        new, earlier = divided(found, learnt_before(self.folder.parent, begins.manifest))
        there = len(earlier) + (len(self.base.train.examples) if self.base else 0)
        count = min(there, wanted(len(new), recipe.replay_share, recipe.epochs))
        with self.reporter.track("photos to replay", count) as advance:
            replay = replayed(
                self.folder,
                self.base,
                self.shelf,
                found,
                earlier,
                count=count,
                seed=self.start.seed,
                advance=advance,
            )
        return Lessons(new, replay)

    def judge(self, found: Gathered, champion: Checkpoint, folder: Path) -> dict[str, Any]:
        """Write the evidence and, last, `gate.json`."""
        recipe, challenger = self.start.recipe, checkpoints.load(folder)
        rules = Rules(recipe.gate, recipe.gate_level, recipe.gate_margin, recipe.gate_images)
        evidence, figures = {}, {}
        sound = finite(challenger)
        for photos in self.judges(found, champion) if sound else ():
            ours = self.written(photos, "champion", champion)
            theirs = self.written(photos, "challenger", challenger)
            evidence[photos.name] = weigh(photos, ours, theirs)
            figures[photos.name] = validation(photos, challenger, theirs)
            self.reporter.say(bleu4=round(evidence[photos.name].comparison.challenger, 2))
        benchmark, domain = evidence.get(BENCHMARK), evidence.get(DOMAIN)
        verdict = judge(rules, benchmark=benchmark, domain=domain) if sound else refuse(rules, BROKEN)
        gate = {"verdict": asdict(verdict), "validation": figures}
        write_json(self.folder / "gate.json", gate)
        return gate

    def judges(self, found: Gathered, champion: Checkpoint) -> Iterator[Photos]:
        if found.kept:
            yield domain_photos(found.kept, self.shelf, self.device, self.reporter.track)
        if self.base:
            yield benchmark_photos(self.base.validation, champion, self.cache, self.device)

    def written(self, photos: Photos, role: str, checkpoint: Checkpoint) -> list[str]:
        with self.reporter.track(f"captions {photos.name}, {role}", len(photos.names)) as advance:
            return write(self.folder, photos, Rival(role, checkpoint), device=self.device, advance=advance)

    def decide(self, found: Gathered, challenger: Path, gate: dict[str, Any]) -> dict[str, Any]:
        verdict = Verdict(**gate["verdict"])
        made = read_json(self.folder / "finetune.json") or {}
        self.state_facts(challenger, found, made, gate["validation"])
        version = f"recaption-{checkpoints.read_json(challenger / 'manifest.json')['id']}"
        notes = [*verdict.notes, *([] if self.base else [ALONE])]
        figures = self.figures(found) | {
            "challenger": version,
            "gate": verdict.figures,
            "lessons": made["lessons"],
            "replayed": made["replayed"],
            "agreed": made.get("agreed", 0),
            "grown": made["grown"],
            "notes": notes,
        }
        decision = decisions.decide(self.store, self.start, self.fence, challenger, verdict, figures)
        promoted = decision.event == decisions.PROMOTION
        if not promoted:
            share_encoder(challenger, self.store.folder(self.start.champion))
        report = self.close(decision, figures | {"challenger_folder": None if promoted else str(challenger)})
        if promoted:
            shutil.rmtree(challenger, ignore_errors=True)  # it is among the versions now
        return report

    def state_facts(self, challenger: Path, found: Gathered, made: dict[str, Any], validation: dict[str, Any]) -> None:
        data = {"corrections": found.counts, "watermark": found.watermark, "replayed": made["replayed"]}
        if self.base:
            data |= {"base": summary(self.base.train), "benchmark": summary(self.base.validation)}
        facts = {
            "parent": self.start.champion.removeprefix("recaption-"),
            "data": data,
            "training": made["settings"],
            "validation": validation,
            "seed": self.start.seed,
            "interpolation": made["settings"]["interpolation"],
            "grown": made["grown"],
            "run": self.start.run,
            "fence": self.fence,
        }
        decisions.state_facts(challenger, facts)

    def figures(self, found: Gathered) -> dict[str, Any]:
        """What the history keeps of any decision of this run."""
        return {
            "run": self.start.run,
            "champion": self.start.champion,
            "apprentice": self.start.apprentice,
            "corrections": found.counts,
            "watermark": found.watermark,
            "recent": found.recent,
            "seconds": self.reporter.seconds,
        }

    def close(self, decision: Decision, figures: dict[str, Any]) -> dict[str, Any]:
        report = decisions.report(self.folder, decision, figures)
        self.reporter.ended(decision.event)
        return report
