"""Rounds of corrections, as the trainer makes them: fine-tune, compare with the champion on the dev split, swap."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from model import checkpoint as checkpoints
from model.beam import captions
from model.checkpoint import Checkpoint
from model.effort import effort
from model.features import Features
from model.significance import compare
from model.training.agreement import agreed, instead, several
from model.training.finetune import FineTune, FineTuneSettings
from model.training.growth import grow, new_words
from model.training.mixture import Lesson, Mixture
from proof.corpus import Corpus
from trainer.learning.lessons import pool, wanted

BEAM = 3
BATCH = 50
LEVEL = 0.025
GROW_FROM = 5


@dataclass(frozen=True)
class Recipe:
    """How a round learns. `budget` is how many photos it sees, replayed ones included; without `gate` all is kept.
    `replay_captions` is the trainer's setting."""

    settings: FineTuneSettings = field(
        default_factory=lambda: FineTuneSettings(epochs=4, batch=16, learning_rate=1e-3, dropout=0.4, ema=0.995)
    )
    budget: int = 4280
    replay: bool = True
    replay_captions: int = 0
    gate: bool = True

    def replay_share(self, new: int) -> float:
        """What the budget leaves for replay, once every correction has been seen in each epoch."""
        per_epoch = self.budget / self.settings.epochs
        return max(1 - new / per_epoch, 0.3) if self.replay else 0.0


class Classroom:
    """One project's life: the champion, who serves; the apprentice, from whom the next challenger goes on; what the
    apprentice has learnt, and what has arrived since.

    A challenger that is not surely better does not serve; unless it is surely worse, the next one goes on from it.
    """

    def __init__(self, corpus: Corpus, folder: Path, starter: Path, known: Sequence[int], recipe: Recipe) -> None:
        self.corpus, self.folder, self.recipe = corpus, folder, recipe
        self.champion_folder = self.apprentice_folder = starter
        self.base, self.earlier, self.new = list(known), list[int](), list[int]()
        self._said: dict[str, list[str]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    @cached_property
    def _keys(self) -> dict[str, int]:
        return {example.name: row for row, example in enumerate(self.corpus.train.examples)}

    @property
    def champion(self) -> Checkpoint:
        return checkpoints.load(self.champion_folder)

    def lessons(self, rows: Sequence[int]) -> list[Lesson]:
        examples = [self.corpus.train.examples[row] for row in rows]
        return [Lesson(example.name, example.captions) for example in examples]

    def inputs(self, keys: Sequence[str]) -> Tensor:
        return self.corpus.train_features.rows([self._keys[key] for key in keys])

    def round(self, number: int, arrived: Sequence[int]) -> dict[str, Any]:
        """Learn what has arrived; the round's figures, kept in `rounds.jsonl`. A finished round is not run again."""
        self.new += arrived
        done = self.done(number)
        if done is None:
            done = self._learn(number)
            with (self.folder / "rounds.jsonl").open("a") as file:
                file.write(json.dumps(done) + "\n")
        challenger = self.folder / f"round-{number}" / "challenger"
        if done["promoted"]:
            self.champion_folder = challenger
        if done["promoted"] or done["high"] > 0:
            self.apprentice_folder = challenger
            self.earlier, self.new = self.earlier + self.new, []
        return done

    def done(self, number: int) -> dict[str, Any] | None:
        path = self.folder / "rounds.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return next((line for line in lines if line["round"] == number), None)

    def _learn(self, number: int) -> dict[str, Any]:
        champion, apprentice = self.champion, checkpoints.load(self.apprentice_folder)
        folder, recipe = self.folder / f"round-{number}", self.recipe
        started, wall = time.process_time(), time.monotonic()
        lessons = self.lessons(self.new)
        told = [lesson.captions for lesson in self.lessons([*self.earlier, *self.new])]
        words = new_words(told, apprentice.vocabulary, GROW_FROM)
        share = recipe.replay_share(len(lessons))
        count = wanted(len(lessons), share, recipe.settings.epochs)
        replay = pool(self.lessons(self.earlier), self.lessons(self.base), count, seed=number)
        if recipe.replay_captions and (known := several(replay)):
            replay = instead(replay, agreed(known, self.inputs, apprentice, recipe.replay_captions))
        source = Mixture(self.inputs, lessons, replay, replay_share=share, seed=number)
        challenger = FineTune(folder, recipe.settings, grow(apprentice, words), source).run()
        checkpoints.save(challenger, folder / "challenger", {"parent": apprentice.manifest["id"], "round": number})
        trained = time.process_time() - started
        before, after = self.dev_captions(champion), self.dev_captions(challenger)
        found = compare(before, after, [example.captions for example in self.corpus.dev_examples])
        promoted = not recipe.gate or (found.difference > 0 and found.p < LEVEL)
        return {
            "round": number,
            "new": len(lessons),
            "photos_seen": len(source) * recipe.settings.epochs,
            "grown": len(words),
            "train_cpu_s": round(trained, 1),
            "wall_s": round(time.monotonic() - wall, 1),
            "promoted": promoted,
            **asdict(found),
        }

    def dev_captions(self, checkpoint: Checkpoint) -> list[str]:
        """Kept, since a challenger that wins is the next round's champion."""
        version = str(checkpoint.manifest["id"])
        if version not in self._said:
            self._said[version] = caption_rows(checkpoint, self.corpus.dev_features, self.corpus.dev_rows)
        return self._said[version]

    def efforts(self, rows: Sequence[int]) -> dict[str, float]:
        """What the champion's drafts of these photos would cost an annotator."""
        drafts = caption_rows(self.champion, self.corpus.train_features, rows)
        edits = [
            effort(draft, self.corpus.train.examples[row].captions) for draft, row in zip(drafts, rows, strict=True)
        ]
        return {"edits": fmean(edits), "untouched_percent": 100 * fmean(edit == 0 for edit in edits)}


@torch.inference_mode()
def caption_rows(checkpoint: Checkpoint, features: Features, rows: Sequence[int]) -> list[str]:
    checkpoint.decoder.eval()
    batches = (features.rows(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH))
    return [text for grid in batches for text in captions(checkpoint.decoder, checkpoint.vocabulary, grid, BEAM)]
