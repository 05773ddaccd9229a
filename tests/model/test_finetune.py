"""Fine-tuning on a tiny network and drawn squares: it learns, remembers, goes on after a kill, grows and blends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch

from model import checkpoint as checkpoints
from model.beam import captions
from model.checkpoint import Checkpoint
from model.metrics import score
from model.shelf import Shelf
from model.training.blend import blend
from model.training.finetune import FineTune, FineTuneSettings
from model.training.growth import grow, new_words
from model.training.mixture import Lesson, Mixture
from tests.checkpoints import tiny
from tests.photos import drawn, encoded

QUICK = FineTuneSettings(epochs=2, batch=4, learning_rate=1e-2, dropout=0.0, label_smoothing=0.0, ema=0.5)
NEW = {("red", "left"): ("a red dog sits",)}
REPEATS = 120  # of each lesson in an epoch: steps without the files that end an epoch
OLD = {("blue", "right"): ("the child jumps in water",)}


def lessons(shelf: Shelf, told: Mapping[tuple[str, str], tuple[str, ...]]) -> list[Lesson]:
    return [Lesson(shelf.add(encoded(drawn(*kind))), texts) for kind, texts in told.items()]


def grids(keys: Sequence[str]) -> torch.Tensor:
    """Features that tell the photos apart, as a trained encoder's would; a random encoder sees the same in all."""
    made = [torch.randn(49, 128, generator=torch.Generator().manual_seed(int(key[:8], 16))) for key in keys]
    return torch.stack(made).relu()


def bleu(checkpoint: Checkpoint, taught: list[Lesson]) -> float:
    said = captions(checkpoint.decoder, checkpoint.vocabulary, grids([one.key for one in taught]), 1)
    return score(said, [one.captions for one in taught], resamples=0).bleu[0]


def mixture(new: list[Lesson], replay: list[Lesson], share: float) -> Mixture:
    return Mixture(grids, new * REPEATS, replay, replay_share=share, seed=1)


def test_an_epoch_has_every_correction_once_and_the_share_of_replay() -> None:
    new, old = ([Lesson(f"{name}{n}", ("a dog",)) for n in range(count)] for name, count in (("n", 10), ("o", 7)))
    source = Mixture(lambda keys: torch.zeros(len(keys), 1), new, old, replay_share=0.75, seed=1)
    assert len(source) == 40
    seen = Counter(source.lesson(item, 0).key for item in range(40))
    assert all(seen[one.key] == 1 for one in new)
    assert {seen[one.key] for one in old} <= {4, 5}  # 30 of 7: none comes again before all had their turn
    again = [source.lesson(item, 1).key for item in range(40)]
    assert again == [source.lesson(item, 1).key for item in range(40)] != [source.lesson(i, 0).key for i in range(40)]


def test_without_replay_there_are_the_corrections_alone() -> None:
    source = Mixture(lambda keys: torch.zeros(len(keys), 1), [Lesson("n", ("a dog",))], [], replay_share=0.9, seed=1)
    assert len(source) == 1


def test_corrections_are_learnt_and_replay_keeps_what_was_known(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf")
    old, new = lessons(shelf, OLD), lessons(shelf, NEW)
    knows_old = FineTune(tmp_path / "old", QUICK, tiny(), mixture(old, [], 0)).run()
    assert bleu(knows_old, old) > 90
    assert bleu(knows_old, new) < 50
    naive = FineTune(tmp_path / "naive", QUICK, knows_old, mixture(new, [], 0)).run()
    replayed = FineTune(tmp_path / "replay", QUICK, knows_old, mixture(new, old, 0.6)).run()
    assert bleu(naive, new) > 90 and bleu(replayed, new) > 90
    assert bleu(replayed, old) > 90 > 50 > bleu(naive, old)


def test_the_champion_stays_as_it_is_and_the_encoder_is_shared(tmp_path: Path) -> None:
    shelf, champion = Shelf(tmp_path / "shelf"), tiny()
    before = {key: value.clone() for key, value in champion.decoder.state_dict().items()}
    challenger = FineTune(tmp_path / "run", QUICK, champion, mixture(lessons(shelf, NEW), [], 0)).run()
    assert challenger.encoder is champion.encoder
    assert all(torch.equal(before[key], value) for key, value in champion.decoder.state_dict().items())
    assert challenger.config == champion.config


def test_the_encoder_is_fine_tuned_when_asked(tmp_path: Path) -> None:
    shelf, champion = Shelf(tmp_path / "shelf"), tiny()
    before = champion.encoder.conv1.weight.clone()
    source = Mixture(shelf.photos(), lessons(shelf, NEW), [], replay_share=0, seed=1)
    settings = FineTuneSettings(epochs=2, batch=2, encoder=True, encoder_learning_rate=1e-3)
    challenger = FineTune(tmp_path / "run", settings, champion, source).run()
    assert torch.equal(champion.encoder.conv1.weight, before)
    assert not torch.equal(challenger.encoder.conv1.weight, before)
    assert torch.equal(
        challenger.encoder.state_dict()["bn1.running_mean"], champion.encoder.state_dict()["bn1.running_mean"]
    )


def test_progress_is_reported_with_the_time_left(tmp_path: Path) -> None:
    shelf, champion, told = Shelf(tmp_path / "shelf"), tiny(), list[dict[str, float]]()
    source = mixture(lessons(shelf, NEW), [], 0)
    FineTune(tmp_path / "run", QUICK, champion, source, report=told.append).run()
    assert told[-1]["step"] == told[-1]["steps"] == 60
    assert told[-1]["eta_s"] == 0 and told[-1]["loss"] > 0


SCRIPT = """
import sys, torch
from pathlib import Path
from model.training.loop import Stopped
from tests.model.test_finetune import *
torch.set_num_threads(1)
folder = Path(sys.argv[1])
shelf, champion = Shelf(folder / "shelf"), tiny()
new, old = lessons(shelf, NEW), lessons(shelf, OLD)
settings = FineTuneSettings(epochs=3, batch=8, learning_rate=1e-3, interpolation=0.8, dropout=0.1)
try:
    run = FineTune(folder / "run", settings, champion, mixture(new, old, 0.5))
    checkpoints.save(run.run(), folder / "challenger", {})
except Stopped:
    sys.exit(75)
"""


def started(folder: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], env=environment)


def digests(folder: Path) -> dict[str, str]:
    files = json.loads((folder / "challenger" / "manifest.json").read_text())["files"]
    return {name: facts["sha256"] for name, facts in files.items()}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_ended_goes_on_to_the_same_weights(tmp_path: Path, number: signal.Signals) -> None:
    whole = tmp_path / "whole"
    assert started(whole).wait(120) == 0
    broken = tmp_path / "broken"
    process = started(broken)
    deadline = time.monotonic() + 60
    while not (broken / "run" / "state.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(number)
    assert process.wait(60) in ((-9,) if number == signal.SIGKILL else (75,))
    assert not (broken / "challenger").exists()
    assert started(broken).wait(120) == 0
    assert digests(broken) == digests(whole)


def test_new_words_are_those_of_enough_photos() -> None:
    told = [("a zebra runs", "the zebra"), ("a zebra and a yak",), ("a dog",)]
    vocabulary = tiny().vocabulary
    assert new_words(told, vocabulary, 2) == ["zebra"]
    assert new_words(told, vocabulary, 1) == ["zebra", "and", "yak"]
    assert new_words(told, vocabulary, 0) == []


def test_a_grown_captioner_says_the_same_until_it_learns_the_word(tmp_path: Path) -> None:
    shelf, champion = Shelf(tmp_path / "shelf"), tiny()
    grown = grow(champion, ["zebra"])
    assert len(grown.vocabulary) == len(champion.vocabulary) + 1 == grown.config.decoder.vocabulary
    assert grown.vocabulary.words[:-1] == champion.vocabulary.words
    zebra = [Lesson(shelf.add(encoded(drawn("red", "left"))), ("a zebra sits",))]
    learnt = FineTune(tmp_path / "run", QUICK, grown, mixture(zebra, [], 0)).run()
    assert bleu(learnt, zebra) > 90
    folder = checkpoints.save(learnt, tmp_path / "grown", {"grown": ["zebra"]})
    assert bleu(checkpoints.load(folder), zebra) > 90
    assert grow(champion, []) is champion


def test_blending_draws_towards_the_base() -> None:
    base, model = tiny(0), tiny(1)
    theirs, ours = base.decoder.bias.detach().clone(), model.decoder.bias.detach().clone()
    blend(base, model, 1.0)
    assert torch.equal(model.decoder.bias, ours)
    blend(base, model, 0.25)
    assert torch.allclose(model.decoder.bias, theirs * 0.75 + ours * 0.25)
    assert torch.equal(base.decoder.bias, theirs)
