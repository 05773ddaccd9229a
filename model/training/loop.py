"""The training loop: one for all stages, and for fine-tuning. What follows an epoch is the subclass's."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from model.checkpoint import Checkpoint
from model.devices import autocast
from model.progress import Progress
from model.training.batches import Batch, Source, epoch_batches, shares
from model.training.journal import Journal
from model.training.learner import Learner
from model.training.objective import CrossEntropy, Objective
from model.training.optimise import Average, make_optimizer, rate_factor, set_rate, trained_part
from model.training.settings import TrainingSettings
from model.training.state import Position, load_state, save_state
from model.world import ALONE, World

SAVE_EVERY_S = 120.0
LOG_EVERY = 10  # steps


class Stopped(Exception):
    """The run was asked to stop; its state is on disk and the same command goes on with it."""


@dataclass
class Loop:
    """Steps over a source, in a folder to resume from. `go` returns when the run is finished, or raises Stopped."""

    folder: Path
    settings: TrainingSettings
    checkpoint: Checkpoint
    source: Source
    device: str = field(default="cpu", kw_only=True)
    position: Position = field(default_factory=Position, kw_only=True)
    objective: Objective | None = field(default=None, kw_only=True)  # cross-entropy unless it says otherwise
    world: World = field(default=ALONE, kw_only=True)

    def __post_init__(self) -> None:
        settings = self.settings
        self.checkpoint.encoder.to(self.device)
        self.checkpoint.decoder.to(self.device)
        objective = self.objective or CrossEntropy(settings.label_smoothing)
        self.learner = self.world.joined(Learner(self.checkpoint, settings.stage, objective))
        self.journal = Journal(self.folder, silent=not self.world.first)
        self.optimizer = make_optimizer(self.checkpoint, settings)
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.average = Average(self.parameters, settings.ema)
        self.batches = sum(1 for _ in shares(len(self.source), settings.batch, self.world.size))
        self.steps = self.batches * settings.epochs
        self.saved = time.monotonic()
        self.asked_to_stop = False

    def go(self) -> Position:
        self.resume()
        with self.signals():
            while not self.position.finished:
                self.run_epoch()
                if self.world.first:
                    self.end_epoch()
                self.position = self.world.tell(self.position)
        return self.position

    def resume(self) -> None:
        """Go on from `state.pt` if there is one, else begin: fresh weights follow from the seed alone."""
        with self.world.first_goes_first():
            self.settings.check_resume(self.folder)
            if self.world.first:
                self.settings.save(self.folder)
        if (self.folder / "state.pt").exists():
            self.position = load_state(self.folder / "state.pt", self.checkpoint, self.optimizer, self.average)
            self.journal.forget_after(self.position.step)
        else:
            torch.manual_seed(self.settings.seed)
            self.journal.write("start", **self.begin())
        if not self.world.first:  # no two processes drop out the same
            torch.manual_seed(hash((self.settings.seed, self.world.rank, self.position.step)))

    def run_epoch(self) -> None:
        settings, position = self.settings, self.position
        self.checkpoint.decoder.train()
        batches = epoch_batches(
            self.source,
            self.checkpoint.vocabulary,
            size=settings.batch,
            seed=settings.seed,
            epoch=position.epoch,
            skip=position.batch,
            share=(self.world.rank, self.world.size),
        )
        title, silent = f"epoch {position.epoch + 1}", not self.world.first
        with Progress(title, self.batches, done=position.batch, silent=silent) as progress:
            for batch in batches:
                loss = self.take_step(batch)
                position.batch += 1
                progress.advance(1, f"loss {loss:.3f}")
                self.stepped(loss)
                self.save_if_due()

    def take_step(self, batch: Batch) -> float:
        """One step; returns the mean loss per word, label smoothing included."""
        factor = rate_factor(self.position.step, self.steps, self.settings.warmup)
        set_rate(self.optimizer, factor)
        words, world = int(batch.lengths.sum()), self.world
        with autocast(self.device):
            loss = self.learner(batch.to(self.device))
        loss = loss * (words * world.size / world.sum(words, self.device))
        self.optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.clip)
        self.optimizer.step()
        self.average.update()
        self.position.step += 1
        value = world.sum(loss.item(), self.device) / world.size
        if self.position.step % LOG_EVERY == 0:
            self.journal.write("step", step=self.position.step, loss=value, norm=norm.item(), rate=factor)
        return value

    def end_epoch(self) -> None:
        """What comes after each epoch, in the first process; it counts the epoch and says when the run is finished."""
        raise NotImplementedError

    def begin(self) -> dict[str, Any]:
        """What the journal's first line says of this run."""
        return {}

    def stepped(self, loss: float) -> None:
        """Called after every step, with the mean loss per word."""

    def save_if_due(self) -> None:
        stopping = self.world.sum(self.asked_to_stop, self.device) > 0  # all stop after the same step
        if stopping or time.monotonic() - self.saved > SAVE_EVERY_S:
            self.save()
        if stopping:
            raise Stopped

    def save(self) -> None:
        self.saved = time.monotonic()
        if not self.world.first:
            return
        trained = trained_part(self.checkpoint.encoder, self.settings.stage) is not None
        save_state(
            self.folder / "state.pt", self.position, self.checkpoint, self.optimizer, self.average, encoder=trained
        )

    @contextmanager
    def signals(self) -> Iterator[None]:
        """SIGTERM and Ctrl-C save the state and stop after the step in progress."""

        def ask(number: int, frame: FrameType | None) -> None:
            self.asked_to_stop = True

        before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
