"""How long 200 corrections take to become a decision, on two CPU cores.

Before the clock starts: the corrections are in a real Label Studio, the starter is in the store, and the features of
the benchmark's validation split are cached. The clock runs from the start of `python -m trainer train` to its report,
so that importing torch, reading the corrections, fetching their pictures, the features of these and of the replayed
photos, the fine-tuning, both models' captions of the benchmark, and the gate are all in it.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from backend.local.serve import child_settings
from model.captioner import Captioner
from model.datasets import Example, load_dataset
from model.features import build
from model.starter import STARTER
from model.store_open import open_store
from proof.studio import Desk, Studio, started
from settings import Settings, environment, load
from trainer.learning.files import read_json

CORRECTIONS, CORES = 200, 2
LONGEST_S = 1800.0
LOOK_S = 0.05


def decide(dataset: str, folder: Path, corrections: int = CORRECTIONS) -> dict[str, Any]:
    """Seconds from the start of a training to its decision, and where they went."""
    work = folder.resolve() / "decision"
    shutil.rmtree(work, ignore_errors=True)
    cached(dataset, folder.resolve() / "features", work / "data" / "cache")
    with started(folder) as studio:
        examples = random.Random(1).sample(load_dataset(dataset, "train").examples, corrections)
        desk = Desk.new(studio, "Decision", [example.path for example in examples])
        correct(desk, examples)
        settings = settled(studio, dataset, work)
        open_store(settings.model_dir, by="proof")
        seconds, ended, report = train(settings, desk.project, work)
    return {
        "decision_200_corrections_s": seconds,
        "until_process_ended_s": ended,
        "corrections": corrections,
        "cores": min(CORES, len(os.sched_getaffinity(0))),
        "stages_s": report["seconds"],
        "event": report["event"],
        "reason": report["reason"],
        "counts": report["corrections"],
        "replayed": report.get("replayed"),
        "benchmark_photos": report.get("gate", {}).get("benchmark", {}).get("comparison", {}).get("images"),
    }


def cached(dataset: str, kept: Path, cache: Path) -> None:
    """Features of the validation split, kept from proof to proof: the one thing that is not cold."""
    features = build(load_dataset(dataset, "dev"), Captioner.load(STARTER, device="cpu").encoder, kept)
    cache.mkdir(parents=True)
    (cache / features.folder.name).symlink_to(features.folder)


def correct(desk: Desk, examples: Sequence[Example]) -> None:
    """Each photo gets one of the captions that people wrote about it."""
    chance = random.Random(2)
    for example in examples:
        desk.submit(example.path.name, chance.choice(example.captions))


def settled(studio: Studio, dataset: str, work: Path) -> Settings:
    return load(
        label_studio_url=studio.api.url,
        label_studio_api_key=SecretStr(studio.token),
        model_dir=work / "models",
        data_dir=work / "data",
        base_dataset=dataset,
        device="cpu",
        threads=CORES,
    )


def train(settings: Settings, project: int, work: Path) -> tuple[float, float, dict[str, Any]]:
    """One training in a process of its own: seconds to its report, seconds to its end, and the report."""
    command = [sys.executable, "-m", "trainer", "train", "--project", str(project)]
    runs = settings.model_dir / "runs" / str(project)
    with (work / "train.log").open("wb") as log:
        began = time.monotonic()
        process = subprocess.Popen(
            command, env=environment(child_settings(settings)), stdout=log, stderr=log, preexec_fn=pin
        )
        try:
            while not (found := list(runs.glob("*/report.json"))) and process.poll() is None:
                if time.monotonic() - began > LONGEST_S:
                    raise TimeoutError(f"no decision within {LONGEST_S:.0f} s: see {work / 'train.log'}")
                time.sleep(LOOK_S)
            seconds = time.monotonic() - began
            code = process.wait(timeout=60)
        finally:
            process.kill()
    report = read_json((found or list(runs.glob("*/report.json")))[0]) if code == 0 else None
    if report is None:
        raise RuntimeError(f"the training ended with exit code {code}: see {work / 'train.log'}")
    return seconds, time.monotonic() - began, report


def pin() -> None:
    """Keep the trainer to two cores, on a machine that has more."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
