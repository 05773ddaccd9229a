"""The dry run: real steps, a forecast that adds up, and nothing left behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from model.__main__ import app
from model.datasets import load_dataset
from model.training import forecast as module
from model.training.forecast import Forecast, describe, disk, duration, some
from model.training.settings import TrainingSettings
from tests.checkpoints import tiny_checkpoint
from tests.photos import flickr8k_folder


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_S", 0.5)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return flickr8k_folder(tmp_path / "squares", train=12, dev=4)


def dry_run(data: Path, stage: str, *options: str) -> Result:
    start = tiny_checkpoint(data.parent / "start")
    fixed = ["--dataset", f"flickr8k:{data}", "--start", str(start), "--stage", stage, "--threads", "1", "--batch", "2"]
    folders = ["--run", str(data.parent / "run"), "--cache", str(data.parent / "cache")]
    return CliRunner().invoke(app, ["train", *fixed, *folders, "--dry-run", *options])


@pytest.mark.parametrize("stage", ["decoder", "network", "consensus"])
def test_a_dry_run_says_what_a_stage_takes_and_keeps_nothing(data: Path, stage: str) -> None:
    done = dry_run(data, stage)
    assert done.exit_code == 0, done.output
    assert f"dry run of the {stage} stage on cpu, 1 CPU threads" in done.stdout
    assert "train 12 photos with 36 captions, validation 4 photos" in done.stdout
    rates = re.search(r"step +([\d.]+) photos, (\d+) captions a second", done.stdout)
    assert rates and float(rates[2]) == pytest.approx(3 * float(rates[1]), abs=1)
    assert ("16 photos still to encode" in done.stdout) is (stage != "network")
    assert ("12 photos to caption" in done.stdout) is (stage == "consensus")
    for said in ("to train, about", "in all    about", "for the run in", "memory "):
        assert said in done.stdout
    assert sorted(path.name for path in data.parent.iterdir()) == ["squares", "start"]


def test_features_that_are_there_are_not_counted_again(data: Path) -> None:
    start = tiny_checkpoint(data.parent / "start")
    cache = ["--cache", str(data.parent / "cache")]
    built = CliRunner().invoke(
        app, ["features", "--dataset", f"flickr8k:{data}", "--encoder", str(start), "--split", "train", *cache]
    )
    assert built.exit_code == 0, built.output
    assert "features  4 photos still to encode" in dry_run(data, "decoder").stdout


def test_the_parts_add_up() -> None:
    found = Forecast(
        photos=6000,
        captions=30000,
        validated=1000,
        epochs=10,
        missing=7000,
        encode_rate=14.0,
        propose_rate=15.0,
        feature_bytes=1_400_000_000,
        step_rate=30.0,
        validation_rate=25.0,
        save_s=2.0,
        run_bytes=300_000_000,
        memory_bytes=2_100_000_000,
    )
    assert found.epoch_s == 200 + 40 + 2 and found.whole_s == 500 + 400 + 2420
    said = "\n".join(describe(found, TrainingSettings("flickr8k:x"), Path("run"), Path("cache"), "cpu"))
    for part in (
        "8 min 20 s",
        "3 min 20 s to train, about 40 s to validate, 2 s to save",
        "6 min 40 s",
        "about 55 min 20 s",
    ):
        assert part in said
    assert "1.4 GB for features in cache" in said and "memory    2.1 GB" in said and "150 captions a second" in said


def test_a_disk_that_is_too_small_is_said(tmp_path: Path) -> None:
    [line] = disk([(tmp_path / "not" / "there", 10**18, "features")])
    assert "NOT ENOUGH" in line


def test_the_sample_is_spread_over_the_split(data: Path) -> None:
    split = load_dataset(f"flickr8k:{data}", "train")
    assert [example.name for example in some(split, 3).examples] == ["train0.jpg", "train4.jpg", "train8.jpg"]
    assert some(split, 50).examples == split.examples


@pytest.mark.parametrize(
    ("seconds", "said"), [(12.4, "12 s"), (245, "4 min 5 s"), (12000, "3 h 20 min"), (59.6, "1 min 0 s")]
)
def test_durations_are_for_people(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_wrong_option_is_still_one_clear_line(data: Path) -> None:
    done = dry_run(data, "decoder", "--dataset", "flickr8k:/nowhere")
    assert done.exit_code == 2 and "no folder at /nowhere" in done.stderr
