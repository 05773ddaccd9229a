"""Two real processes, started by torchrun and joined by gloo, train as one does on the same batches."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from model import checkpoint as checkpoints
from model.training.batches import shares
from tests.checkpoints import squares_checkpoint
from tests.photos import flickr8k_folder

ROOT = Path(__file__).parents[2]
# Behind "--", since torchrun would else take --start for an option of its own.
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--")
ALONE = ("-m",)
# Nothing that is drawn by each process for itself, so that two can compute what one does.
OPTIONS = "--batch 4 --epochs 3 --dropout 0 --learning-rate 1e-3 --encoder-learning-rate 1e-4 --threads 1".split()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flickr8k_folder(tmp_path_factory.mktemp("data") / "squares", train=14, dev=4)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return squares_checkpoint(tmp_path_factory.mktemp("start") / "c", 4, embedding=16, hidden=24, dropout=0.0)


def train(
    launcher: tuple[str, ...], data: Path, start: Path, run: Path, *options: str
) -> subprocess.CompletedProcess[str]:
    paths = ["--dataset", f"flickr8k:{data}", "--start", str(start), "--run", str(run), "--cache", str(run / "cache")]
    command = [sys.executable, *launcher, "model", "train", *paths, *OPTIONS, *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def figures(run: Path, event: str, name: str) -> list[float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line[name] for line in lines if line["event"] == event]


@pytest.mark.parametrize("stage", ["top", "network"])
def test_two_processes_have_the_loss_of_one_on_the_same_batches(
    data: Path, start: Path, tmp_path: Path, stage: str
) -> None:
    # Adam takes whole steps where a gradient is nothing but rounding, and processors round differently.
    options = ("--stage", stage, "--optimizer", "sgd")
    alone = train(ALONE, data, start, tmp_path / "alone", *options)
    assert alone.returncode == 0, alone.stderr
    together = train(TORCHRUN, data, start, tmp_path / "together", *options)
    assert together.returncode == 0, together.stderr
    assert together.stdout.count("epoch 1: BLEU-4") == together.stdout.count("best: epoch") == 1  # one speaks for both
    losses = [figures(tmp_path / name, "step", "loss") for name in ("alone", "together")]
    assert len(losses[0]) == 1 and losses[1] == pytest.approx(losses[0], rel=1e-5)
    ours, theirs = (checkpoints.load(tmp_path / name / "last") for name in ("alone", "together"))
    for network in ("decoder", "encoder"):
        one, other = (getattr(checkpoint, network).state_dict() for checkpoint in (ours, theirs))
        for key, weight in one.items():
            torch.testing.assert_close(other[key].float(), weight.float(), atol=2e-4, rtol=1e-3)
    assert figures(tmp_path / "together", "epoch", "bleu4") == figures(tmp_path / "alone", "epoch", "bleu4")


@pytest.mark.parametrize(("count", "processes", "batches"), [(8, 1, 2), (9, 1, 3), (9, 2, 2), (10, 2, 3), (3, 4, 0)])
def test_every_process_has_a_photo_of_every_batch(count: int, processes: int, batches: int) -> None:
    found = list(shares(count, 4, processes))
    assert len(found) == batches and all(end - start >= processes for start, end in found)
