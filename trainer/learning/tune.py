"""The challenger: the champion, fine-tuned on this run's lessons and stored in the run's folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from model import checkpoint as checkpoints
from model.checkpoint import Checkpoint
from model.training.finetune import FineTune, FineTuneSettings
from model.training.growth import grow
from model.training.loop import Stopped
from model.training.mixture import Mixture
from model.training.settings import TrainingError
from trainer.learning.agree import agreeing
from trainer.learning.begin import Start
from trainer.learning.files import read_json, write_json
from trainer.learning.lessons import Lessons, share_of
from trainer.learning.tools import Tools, grids

ENCODER = "encoder.safetensors"
# Without base data, these hold the challenger near the champion instead.
ALONE_RATE, ALONE_SHARE = 0.5, 0.5
ALONE = (
    "without base data: only earlier corrections are replayed; half the learning rate, half of the champion's weights"
)


def finetune(
    folder: Path, start: Start, champion: Checkpoint, words: Sequence[str], lessons: Lessons, tools: Tools
) -> Path:
    """The challenger's folder; `finetune.json` in the run's folder says how it was made. Done once in a run.

    `words` join the vocabulary. Raises Stopped when asked to stop; the same call goes on to the same weights.
    """
    challenger = folder / "challenger"
    if read_json(folder / "finetune.json") is not None:
        return challenger
    settings = how(start)
    replay = agreeing(folder, champion, lessons.replay, start.recipe.replay_captions, tools)
    chosen = sum(ours.captions != theirs.captions for ours, theirs in zip(replay, lessons.replay, strict=True))
    lessons = replace(lessons, replay=replay)
    tune = FineTune(
        fresh(folder / "finetune", settings),
        settings,
        grow(champion, words),
        mixture(start, champion, lessons, tools),
        device=tools.device,
        report=tools.report,
    )
    checkpoints.save(tune.run(), challenger, {"parent": champion.manifest.get("id")})
    if tune.asked_to_stop:
        raise Stopped
    write_json(folder / "finetune.json", facts(settings, lessons, words) | {"agreed": chosen})
    (folder / "finetune" / "state.pt").unlink()  # three times the size of the weights
    return challenger


def how(start: Start) -> FineTuneSettings:
    recipe = start.recipe
    alone = recipe.base_dataset is None
    return FineTuneSettings(
        epochs=recipe.epochs,
        batch=recipe.batch,
        learning_rate=recipe.learning_rate * (ALONE_RATE if alone else 1),
        seed=start.seed,
        encoder=recipe.encoder,
        interpolation=min(recipe.interpolation, ALONE_SHARE) if alone else recipe.interpolation,
    )


def fresh(folder: Path, settings: FineTuneSettings) -> Path:
    """The folder to resume in; emptied where its state is of other settings, such as a batch that did not fit."""
    try:
        settings.training().check_resume(folder)
    except TrainingError:
        shutil.rmtree(folder)
    return folder


def mixture(start: Start, champion: Checkpoint, lessons: Lessons, tools: Tools) -> Mixture:
    """The lessons as pictures where the encoder learns, too, else as features, computed once for each photo."""
    keys = [lesson.key for lesson in (*lessons.new, *lessons.replay)]
    inputs = tools.shelf.photos() if start.recipe.encoder else grids(champion, keys, tools)
    return Mixture(
        inputs, lessons.new, lessons.replay, replay_share=share_of(lessons, start.recipe.replay_share), seed=start.seed
    )


def facts(settings: FineTuneSettings, lessons: Lessons, grown: Sequence[str]) -> dict[str, Any]:
    return {
        "settings": asdict(settings),
        "lessons": len(lessons.new),
        "captions": sum(len(lesson.captions) for lesson in lessons.new),
        "replayed": len(lessons.replay),
        "grown": list(grown),
    }


def share_encoder(challenger: Path, champion: Path) -> None:
    """One file for both where the weights are the same: challengers that were not promoted stay, and take less room."""
    files = [checkpoints.read_json(folder / "manifest.json")["files"][ENCODER] for folder in (challenger, champion)]
    if files[0] != files[1] or (challenger / ENCODER).samefile(champion / ENCODER):
        return
    stage = challenger / f".{ENCODER}.stage"
    try:
        stage.unlink(missing_ok=True)
        os.link(champion / ENCODER, stage)
    except OSError:  # no links on this file system, or to another user's files
        return
    os.replace(stage, challenger / ENCODER)
