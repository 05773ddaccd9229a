"""What a run will take, before anything is spent on it: its own steps, timed on a few photos on this machine.

The rehearsal is a small run, made by the same code in a folder that is thrown away: features encoded, steps taken,
captions validated, checkpoints saved. Its figures are scaled to the whole data set.
"""

from __future__ import annotations

import io
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from model.datasets import Dataset, load_dataset
from model.features import build, cache_folder
from model.shards import read_state
from model.training.prepare import cached_part, furnish, starting_checkpoint
from model.training.run import Run
from model.training.settings import TrainingSettings
from model.training.validate import validate

BATCHES = 2
VALIDATED = 32
LEAST_S = 10.0  # the steps are timed for so long, over the same few photos


@dataclass(frozen=True)
class Forecast:
    """Rates are per second, sizes in bytes. `encode_rate` is 0 for a stage that trains from photos, `propose_rate` for
    one that learns from people's captions alone."""

    photos: int
    captions: int
    validated: int
    epochs: int
    missing: int
    encode_rate: float
    propose_rate: float
    feature_bytes: int
    step_rate: float
    validation_rate: float
    save_s: float
    run_bytes: int
    memory_bytes: int

    @property
    def features_s(self) -> float:
        return self.missing / self.encode_rate if self.encode_rate else 0.0

    @property
    def proposals_s(self) -> float:
        return self.photos / self.propose_rate if self.propose_rate else 0.0

    @property
    def epoch_s(self) -> float:
        return self.photos / self.step_rate + self.validated / self.validation_rate + self.save_s

    @property
    def whole_s(self) -> float:
        return self.features_s + self.proposals_s + self.epochs * self.epoch_s


def forecast(settings: TrainingSettings, cache: Path, device: str) -> Forecast:
    """Rehearse the run that `settings` describe. Raises what `prepare` raises; writes nothing that stays."""
    train, validation = (load_dataset(settings.dataset, split) for split in ("train", "dev"))
    checkpoint = starting_checkpoint(settings, train)
    few, fewer = some(train, BATCHES * settings.batch), some(validation, VALIDATED)
    part = cached_part(settings, checkpoint)
    missing = sum(to_encode(cache_folder(cache, split, part), split) for split in (train, validation)) if part else 0
    with tempfile.TemporaryDirectory(prefix="dry-run-") as name:
        scratch = Path(name)
        started = time.monotonic()
        if part:
            for split in (few, fewer):
                build(split, part, scratch / "cache", device=device)
        encoded_at = time.monotonic()
        run = furnish(settings, scratch / "run", scratch / "cache", device, checkpoint, few, fewer)
        proposing_s = time.monotonic() - encoded_at
        run.resume()
        step_rate = steps(run)
        validation_s, save_s = end(run)
        encoded = len(few.examples) + len(fewer.examples)
        return Forecast(
            photos=len(train.examples),
            captions=sum(1 for _ in train.captions()),
            validated=len(validation.examples),
            epochs=settings.epochs,
            missing=missing,
            encode_rate=encoded / (encoded_at - started) if part else 0.0,
            propose_rate=len(few.examples) / proposing_s if settings.stage == "consensus" else 0.0,
            feature_bytes=size(scratch / "cache") // encoded * missing,
            step_rate=step_rate,
            validation_rate=len(run.validation.examples) / validation_s,
            save_s=save_s,
            run_bytes=size(scratch / "run"),
            memory_bytes=peak_memory(device),
        )


def some(dataset: Dataset, count: int) -> Dataset:
    """So many of the split's photos, evenly spread over it."""
    total = len(dataset.examples)
    rows = sorted({row * total // count for row in range(count)}) if count < total else range(total)
    return Dataset(dataset.name, dataset.split, tuple(dataset.examples[row] for row in rows), dataset.problems)


def to_encode(folder: Path, split: Dataset) -> int:
    """How many photos of the split have no features in their cache yet."""
    return len(split.examples) - int(np.count_nonzero(read_state(folder)))


def steps(run: Run) -> float:
    """Photos a second of the real step, reading included; the first pass over the photos only warms up."""
    run.run_epoch()
    started, photos = time.monotonic(), 0
    while time.monotonic() - started < LEAST_S:
        run.position.batch = 0
        run.run_epoch()
        photos += len(run.source)
    return photos / (time.monotonic() - started)


def end(run: Run) -> tuple[float, float]:
    """Seconds to validate the few photos, and seconds of the rest of an epoch's end: what is saved and drawn."""
    started = time.monotonic()
    validate(run.checkpoint, run.validation.examples, run.validation_features, run.settings.validation_beam, run.device)
    validated = time.monotonic()
    with redirect_stdout(io.StringIO()):  # the BLEU-4 of a rehearsal means nothing
        run.end_epoch()
    return validated - started, max(0.0, time.monotonic() - validated - (validated - started))


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def peak_memory(device: str) -> int:
    """The most that this process has held: of the GPU's memory on a GPU, else of the machine's."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB


def describe(found: Forecast, settings: TrainingSettings, folder: Path, cache: Path, device: str) -> Iterator[str]:
    """The forecast as lines to print."""
    per_photo = settings.kept if settings.stage == "consensus" else found.captions / found.photos
    yield f"dry run of the {settings.stage} stage on {device}, {torch.get_num_threads()} CPU threads; nothing is kept"
    train = f"train {found.photos:,} photos with {found.captions:,} captions"
    yield f"data      {train}, validation {found.validated:,} photos"
    if found.encode_rate:
        yield (
            f"features  {found.missing:,} photos still to encode at {found.encode_rate:.1f} a second: "
            f"{duration(found.features_s)}"
        )
    if found.propose_rate:
        yield (
            f"proposals {found.photos:,} photos to caption at {found.propose_rate:.1f} a second: "
            f"{duration(found.proposals_s)}"
        )
    yield f"step      {found.step_rate:.1f} photos, {found.step_rate * per_photo:.0f} captions a second"
    yield (
        f"epoch     {duration(found.photos / found.step_rate)} to train, about "
        f"{duration(found.validated / found.validation_rate)} to validate, {duration(found.save_s)} to save"
    )
    yield f"in all    about {duration(found.whole_s)} for {settings.epochs} epochs; early stopping may end it sooner"
    yield from disk([(cache, found.feature_bytes, "features"), (folder, found.run_bytes, "the run")])
    yield f"memory    {gigabytes(found.memory_bytes)}{' of the GPU' * device.startswith('cuda')} at the peak"


def disk(needs: Sequence[tuple[Path, int, str]]) -> Iterator[str]:
    for place, needed, what in (need for need in needs if need[1]):
        there = next(parent for parent in (place.resolve(), *place.resolve().parents) if parent.exists())
        free = shutil.disk_usage(there).free
        short = "" if free > needed else ": NOT ENOUGH, free some or choose another folder"
        yield f"disk      {gigabytes(needed)} for {what} in {place}, {gigabytes(free)} free there{short}"


def gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def duration(seconds: float) -> str:
    """Two units are enough: `3 h 20 min`, `4 min 5 s`, `12 s`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
