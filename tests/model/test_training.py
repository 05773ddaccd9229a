"""Real runs of the real command on drawn squares and a small network; the ones that are killed in a process each."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from model import checkpoint as checkpoints
from model.__main__ import app
from model.datasets import Example
from model.decoder import Decoder, DecoderConfig, flatten_targets
from model.preprocess import read_pixels
from model.training.batches import CachedSource, PhotoSource, collate, crop, epoch_batches, epoch_order, swap_sides
from model.training.optimise import Average, rate_factor
from model.training.prepare import with_dropout
from model.training.settings import TrainingError, TrainingSettings
from model.vocabulary import END, SPECIALS, START, Vocabulary
from tests.checkpoints import squares_checkpoint
from tests.photos import flickr8k_folder

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flickr8k_folder(tmp_path_factory.mktemp("data") / "squares", train=16, dev=8)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained captioner whose vocabulary fits the squares."""
    return squares_checkpoint(tmp_path_factory.mktemp("start") / "c", 8, embedding=32, hidden=48, dropout=0.1)


def arguments(data: Path, run: Path, start: Path, *options: str) -> list[str]:
    fixed = [
        "--dataset",
        f"flickr8k:{data}",
        "--run",
        str(run),
        "--start",
        str(start),
        "--threads",
        "1",
        "--batch",
        "4",
    ]
    return ["train", *fixed, "--cache", str(data.parent / "cache"), *options]


def train(data: Path, run: Path, start: Path, *options: str) -> Result:
    return CliRunner().invoke(app, arguments(data, run, start, *options))


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [
        {k: v for k, v in line.items() if k not in ("time", "validation_s")} for line in lines if line["event"] == kind
    ]


def weights(folder: Path) -> dict[str, str]:
    return {k: v["sha256"] for k, v in json.loads((folder / "manifest.json").read_text())["files"].items()}


def moved(before: Path, after: Path) -> set[str]:
    """The parts of the encoder that a run has changed; the statistics of batch norms are never among them."""
    ours, theirs = (checkpoints.load(folder).encoder.state_dict() for folder in (before, after))
    changed = [key for key in ours if not torch.equal(ours[key], theirs[key])]
    assert not [key for key in changed if "running" in key]
    return {key.split(".")[0] for key in changed}


DECODER = (
    "--stage",
    "decoder",
    "--epochs",
    "30",
    "--learning-rate",
    "5e-3",
    "--ema",
    "0.9",
    "--patience",
    "30",
    "--dropout",
    "0.1",
)
SHORT = ("--stage", "decoder", "--epochs", "6", "--learning-rate", "2e-3", "--patience", "6")


@pytest.fixture(scope="module")
def trained(data: Path, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "decoder"
    done = train(data, run, start, *DECODER)
    assert done.exit_code == 0, done.stderr
    return run


def test_it_learns_to_describe_the_squares(trained: Path) -> None:
    epochs = events(trained, "epoch")
    assert max(epoch["bleu4"] for epoch in epochs) > 70 > 40 > epochs[0]["bleu4"]
    losses = [step["loss"] for step in events(trained, "step")]
    assert losses[-1] < losses[0] / 2


def test_the_best_epoch_is_what_is_kept(trained: Path) -> None:
    best = max(events(trained, "epoch"), key=lambda epoch: float(epoch["bleu4"]))
    manifest = json.loads((trained / "best" / "manifest.json").read_text())
    assert manifest["training"]["epoch"] == best["epoch"]
    assert manifest["validation"]["bleu"][3] == pytest.approx(best["bleu4"])
    assert manifest["data"]["train"]["images"] == 16 and manifest["validation"]["confidence"]["bleu4"]


def test_a_run_leaves_a_plot(trained: Path) -> None:
    assert (trained / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_frozen_encoder_stays_as_it_was(trained: Path, start: Path) -> None:
    ours, theirs = weights(trained / "best"), weights(start)
    assert ours["encoder.safetensors"] == theirs["encoder.safetensors"]
    assert ours["decoder.safetensors"] != theirs["decoder.safetensors"]


@pytest.mark.parametrize(("stage", "own"), [("reward", ("--samples", "3")), ("consensus", ("--proposals", "3"))])
def test_a_later_stage_of_the_decoder_goes_on_from_a_trained_one(
    data: Path, trained: Path, tmp_path: Path, stage: str, own: tuple[str, ...]
) -> None:
    options = ("--stage", stage, "--epochs", "2", "--learning-rate", "1e-4", "--dropout", "0.1", *own)
    done = train(data, tmp_path / "run", trained / "best", *options)
    assert done.exit_code == 0, done.stderr
    before = json.loads((trained / "best" / "manifest.json").read_text())
    after = json.loads((tmp_path / "run" / "last" / "manifest.json").read_text())
    assert after["parent"] == before["id"] and after["training"]["stage"] == stage
    assert after["files"]["decoder.safetensors"]["sha256"] != before["files"]["decoder.safetensors"]["sha256"]
    assert after["validation"]["bleu"][3] > 0.9 * before["validation"]["bleu"][3]


def test_the_top_stage_moves_the_last_stage_of_the_encoder_alone(data: Path, trained: Path, tmp_path: Path) -> None:
    done = train(data, tmp_path / "run", trained / "best", "--stage", "top", "--epochs", "1", "--warmup", "0")
    assert done.exit_code == 0, done.stderr
    assert moved(trained / "best", tmp_path / "run" / "best") == {"layer4"}


def test_the_network_stage_moves_every_stage_of_the_encoder(data: Path, trained: Path, tmp_path: Path) -> None:
    done = train(data, tmp_path / "run", trained / "best", "--stage", "network", "--epochs", "1", "--warmup", "0")
    assert done.exit_code == 0, done.stderr
    assert moved(trained / "best", tmp_path / "run" / "best") == {
        "conv1",
        "bn1",
        "layer1",
        "layer2",
        "layer3",
        "layer4",
    }
    manifest = json.loads((tmp_path / "run" / "best" / "manifest.json").read_text())
    assert manifest["parent"] == json.loads((trained / "best" / "manifest.json").read_text())["id"]


@pytest.fixture(scope="module")
def whole(data: Path, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run that nothing disturbed."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    assert train(data, run, start, *SHORT).exit_code == 0
    return run


def test_the_same_seed_gives_the_same_weights_and_another_does_not(
    data: Path, start: Path, whole: Path, tmp_path: Path
) -> None:
    for name, seed in (("again", "1"), ("other", "2")):
        assert train(data, tmp_path / name, start, *SHORT, "--seed", seed).exit_code == 0
    assert weights(tmp_path / "again" / "best") == weights(whole / "best")
    assert weights(tmp_path / "other" / "best") != weights(whole / "best")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_ends_as_if_it_had_not_been(
    data: Path, start: Path, whole: Path, tmp_path: Path, how: signal.Signals
) -> None:
    """SIGKILL loses the steps since the last save, SIGTERM none; the weights come out the same, bit for bit."""
    run = tmp_path / "killed"
    command = [sys.executable, "-m", "model", *arguments(data, run, start, *SHORT)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (run / "metrics.jsonl").exists() or len(events(run, "epoch")) < 2 or not (run / "state.pt").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, how)
    assert process.wait(60) == (os.EX_TEMPFAIL if how == signal.SIGTERM else -signal.SIGKILL)
    assert len(events(run, "epoch")) < 6
    resumed = train(data, run, start, *SHORT)
    assert resumed.exit_code == 0, resumed.stderr
    assert weights(run / "best") == weights(whole / "best")
    for kind in ("epoch", "step"):
        assert events(run, kind) == events(whole, kind)


def test_a_finished_run_is_left_as_it_is(data: Path, start: Path, trained: Path) -> None:
    before = (trained / "metrics.jsonl").read_text()
    again = train(data, trained, start, *DECODER)
    assert again.exit_code == 0 and "best: epoch" in again.stdout
    assert (trained / "metrics.jsonl").read_text() == before


def test_early_stopping(data: Path, start: Path, tmp_path: Path) -> None:
    """A learning rate of nothing never gets better: the first epoch is the best, and patience ends the run."""
    options = ("--stage", "decoder", "--epochs", "20", "--learning-rate", "0", "--patience", "2")
    assert train(data, tmp_path / "run", start, *options).exit_code == 0
    assert len(events(tmp_path / "run", "epoch")) == 3


def test_sgd_learns_too(data: Path, start: Path, tmp_path: Path) -> None:
    options = ("--stage", "decoder", "--epochs", "8", "--optimizer", "sgd", "--learning-rate", "0.5", "--patience", "8")
    assert train(data, tmp_path / "run", start, *options).exit_code == 0
    losses = [step["loss"] for step in events(tmp_path / "run", "step")]
    assert losses[-1] < losses[0] * 0.9


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--stage", "both"), "--stage 'both': accepted are decoder, top, network, consensus, reward"),
        (("--optimizer", "adam2"), "--optimizer 'adam2': accepted are adamw, sgd"),
        (("--start", "/nowhere"), "is /nowhere a checkpoint folder"),
        (("--dataset", "flickr8k:/nowhere"), "no folder at /nowhere"),
        (("--stage", "network", "--start", ""), "give its checkpoint with --start FOLDER"),
        (("--device", "tpu9"), "accepted are auto, cpu, cuda"),
    ],
)
def test_a_wrong_option_is_one_clear_line(
    data: Path, start: Path, tmp_path: Path, options: tuple[str, ...], says: str
) -> None:
    done = train(data, tmp_path / "run", start, *options)
    assert done.exit_code == 2
    assert says in done.stderr and "Traceback" not in done.stderr


def test_a_run_is_not_resumed_with_other_settings(tmp_path: Path) -> None:
    TrainingSettings("flickr8k:x", batch=8).save(tmp_path)
    with pytest.raises(TrainingError, match="batch was 8, now 16"):
        TrainingSettings("flickr8k:x", batch=16).check_resume(tmp_path)


def test_dropout_belongs_to_the_run_and_not_to_the_checkpoint(start: Path) -> None:
    before = checkpoints.load(start)
    after = with_dropout(checkpoints.load(start), 0.3)
    assert (before.config.decoder.dropout, after.config.decoder.dropout) == (0.1, 0.3)
    assert (after.decoder.dropout.p, after.decoder.attention.dropout.p) == (0.3, 0.15)
    theirs = before.decoder.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in after.decoder.state_dict().items())


def test_teacher_forcing_is_the_step_repeated() -> None:
    """The sorted, shrinking batch gives what each caption gives alone."""
    torch.manual_seed(0)
    vocabulary = Vocabulary((*SPECIALS, *"abcdefgh"))
    decoder = Decoder(DecoderConfig(len(vocabulary), channels=32, embedding=8, hidden=16, attention=8)).eval()
    grid = torch.randn(2, 49, 32)
    batch = collate(grid, [["a b c", "d"], ["e f", "g h a b"]], vocabulary)
    assert batch.lengths.tolist() == [5, 4, 3, 2]
    memory = decoder.read(grid).select(batch.images)
    logits = decoder(memory, batch.tokens, batch.lengths)
    targets = flatten_targets(batch.targets, batch.lengths)
    assert logits.shape == (14, 12) and (targets == END).sum() == 4 and batch.tokens[:, 0].eq(START).all()
    row = 3  # the one-word caption
    one = decoder(memory.select(torch.tensor([row])), batch.tokens[row : row + 1], batch.lengths[row : row + 1])
    torch.testing.assert_close(one, logits[[row, 4 + row]])


def test_every_item_once_an_epoch_in_an_order_of_its_own() -> None:
    first, again, second = epoch_order(50, 1, 0), epoch_order(50, 1, 0), epoch_order(50, 1, 1)
    assert first == again != second and sorted(first) == list(range(50))


def test_skipping_batches_leaves_the_rest_as_it_was(data: Path) -> None:
    examples = [Example(p.name, p, ("a red square",)) for p in sorted((data / "images").glob("train*"))]
    vocabulary = Vocabulary.build(["a red square"], 1)

    def batches(skip: int) -> list[torch.Tensor]:
        found = epoch_batches(PhotoSource(examples, 1), vocabulary, size=4, seed=1, epoch=3, skip=skip)
        return [batch.inputs for batch in found]

    whole, rest = batches(0), batches(2)
    assert len(whole) == 4 and all(torch.equal(a, b) for a, b in zip(whole[2:], rest, strict=True))


def test_a_mirrored_photo_has_its_sides_swapped() -> None:
    assert swap_sides("A dog on the left of the Right tree") == "A dog on the right of the left tree"


def test_photos_are_mirrored_with_their_captions(data: Path) -> None:
    """Over many epochs a square at the left is seen at both sides, and its caption always tells which."""
    example = Example("x", data / "images" / "train0.jpg", ("a red square at the left",))
    source, seen = PhotoSource([example], seed=1), set()
    for epoch in range(12):
        photo, [[caption]] = source.load([0], epoch)
        redness = photo[0, 0] - photo[0, 1]  # (224, 224)
        side = "left" if redness[:, :112].sum() > redness[:, 112:].sum() else "right"
        assert caption == f"a red square at the {side}"
        seen.add(side)
    assert seen == {"left", "right"}


def test_crops_are_full_size(data: Path) -> None:
    pixels = read_pixels((data / "images" / "train0.jpg").read_bytes())
    assert {crop(pixels, random.Random(seed)).shape for seed in range(20)} == {(224, 224, 3)}


def test_the_rate_rises_then_falls_along_a_cosine() -> None:
    rates = [rate_factor(step, 100, 0.1) for step in range(100)]
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3]) and max(rates) == 1.0 and rates[-1] < 0.02
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_the_average_follows_and_swaps() -> None:
    parameter = torch.nn.Parameter(torch.zeros(3))
    average = Average([parameter], 0.9)
    for _ in range(500):
        with torch.no_grad():
            parameter.fill_(1.0)
        average.update()
    torch.testing.assert_close(average.values[0], torch.ones(3), atol=1e-3, rtol=0)
    with torch.no_grad():
        parameter.fill_(5.0)
    average.swap()
    torch.testing.assert_close(parameter.detach(), torch.ones(3), atol=1e-3, rtol=0)
    average.swap()
    assert parameter.detach().tolist() == [5.0] * 3


def test_cached_sources_skip_torn_rows() -> None:
    class Two:
        usable = (0, 2)

        def rows(self, rows: list[int]) -> torch.Tensor:
            return torch.tensor(rows)

    examples = [Example(str(n), Path(), (f"caption {n}",)) for n in range(3)]
    source = CachedSource(examples, Two())  # type: ignore[arg-type]  # all that a source asks of features
    inputs, captions = source.load([0, 1], 0)
    assert inputs.tolist() == [0, 2] and captions == [("caption 0",), ("caption 2",)]
