"""Every step on a real slice of COCO 2017: features, training, the dry run, evaluation and the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from model import checkpoint as checkpoints
from model.__main__ import app
from model.checkpoint import Config
from model.datasets import load_dataset
from model.decoder import DecoderConfig
from model.training import forecast
from model.vocabulary import Vocabulary
from tests.shared import COCO2017, needs_coco2017

pytestmark = needs_coco2017
DATASET = ("--dataset", f"coco2017:{COCO2017}")


def run(*words: str | Path) -> Result:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A narrow, untrained captioner with the slice's own words: the photos are real, the network is small."""
    vocabulary = Vocabulary.build(load_dataset(f"coco2017:{COCO2017}", "train").captions(), 2)
    decoder = DecoderConfig(len(vocabulary), channels=8 * 32, embedding=48, hidden=64, attention=48, dropout=0.1)
    config = Config(decoder, encoder_width=8, encoder_blocks=(1, 1, 1, 1))
    return checkpoints.save(checkpoints.create(config, vocabulary), tmp_path_factory.mktemp("start") / "c", {})


@pytest.fixture(scope="module")
def options(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Sequence[str | Path]:
    cache = tmp_path_factory.mktemp("coco") / "cache"
    return (*DATASET, "--start", start, "--cache", cache, "--threads", "1", "--batch", "8", "--validation-beam", "1")


@pytest.fixture(scope="module")
def trained(options: Sequence[str | Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "decoder"
    rates = ("--epochs", "2", "--learning-rate", "3e-3", "--ema", "0.9")
    run("train", *options, "--run", folder, *rates)
    return folder


def test_the_split_is_the_published_one() -> None:
    for split, count in (("train", 80), ("val", 60)):
        dataset = load_dataset(f"coco2017:{COCO2017}", split)
        assert len(dataset.examples) == count and dataset.problems.lines() == []
        assert all(len(example.captions) >= 5 and split in str(example.path) for example in dataset.examples)


def test_the_decoder_trains_on_it(trained: Path) -> None:
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["event"] == "step"]
    assert losses == sorted(losses, reverse=True) and len(losses) == 2
    data = json.loads((trained / "best" / "manifest.json").read_text())["data"]
    assert (data["train"]["images"], data["validation"]["images"]) == (80, 60)


def test_the_encoder_fine_tunes_on_it(trained: Path, options: Sequence[str | Path], tmp_path: Path) -> None:
    run("train", *options, "--stage", "network", "--start", trained / "best", "--run", tmp_path / "n", "--epochs", "1")
    before, after = (checkpoints.load(one / "best").encoder.state_dict() for one in (trained, tmp_path / "n"))
    assert any(not before[key].equal(after[key]) for key in before)


def test_a_dry_run_counts_its_photos(
    options: Sequence[str | Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "LEAST_S", 0.5)
    done = run("train", *options, "--cache", tmp_path / "none", "--run", tmp_path / "run", "--dry-run")
    assert "train 80 photos with" in done.stdout and "140 photos still to encode" in done.stdout


def test_what_was_trained_is_evaluated_and_looked_at(trained: Path, tmp_path: Path) -> None:
    checkpoint = ("--checkpoint", trained / "best", "--threads", "1", "--beam", "1")
    run("evaluate", *DATASET, *checkpoint, "--split", "val", "--json", tmp_path / "f.json")
    figures = json.loads((tmp_path / "f.json").read_text())
    assert figures["images"] == 60 and figures["bleu"][0] > 0
    run("report", *DATASET, *checkpoint, "--split", "val", "--out", tmp_path / "page")
    assert (tmp_path / "page" / "index.html").read_text(encoding="utf-8").count("<article") == 60
    assert json.loads((tmp_path / "page" / "figures.json").read_text())["bleu"] == figures["bleu"]
