"""`python -m model evaluate | caption | features`, on drawn squares and a small random captioner."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from model.__main__ import app
from model.behaviour import behaviour
from model.captioner import Captioner
from model.metrics import SIGNATURE, score
from tests.checkpoints import tiny_checkpoint
from tests.photos import captions_of, drawn, flickr8k_folder

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flickr8k_folder(tmp_path_factory.mktemp("data") / "squares", train=8, dev=8)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("checkpoint") / "c")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_evaluate_writes_figures_and_every_caption(data: Path, checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    done = run("evaluate", "--checkpoint", checkpoint, "--dataset", f"flickr8k:{data}", "--beam", "3", "--json", out)
    assert done.exit_code == 0, done.output
    figures = json.loads(out.read_text())
    assert {"bleu", "cider", "brevity_penalty", "images", "beam", "signature", "confidence", "captions"} <= set(figures)
    assert figures["images"] == 8 and figures["beam"] == 3 and figures["signature"] == SIGNATURE
    kinds = [(colour, side) for colour in ("red", "green", "blue", "yellow") for side in ("left", "right")]
    assert [line["image"] for line in figures["captions"]] == [f"dev{n}.jpg" for n in range(8)]
    again = score([line["caption"] for line in figures["captions"]], [captions_of(*kind) for kind in kinds])
    assert figures["bleu"] == pytest.approx(list(again.bleu)) and figures["cider"] == pytest.approx(again.cider)
    assert f"BLEU-4 {figures['bleu'][3]:.2f}" in done.output and f"ROUGE-L {figures['rouge_l']:.1f}" in done.output
    said = behaviour([line["caption"] for line in figures["captions"]])
    assert figures["behaviour"] == asdict(said) and f"{said.distinct_words} distinct words" in done.output
    assert sum(line["cider"] for line in figures["captions"]) / 8 == pytest.approx(figures["cider"])


def test_evaluate_leaves_out_and_names_a_torn_image(checkpoint: Path, tmp_path: Path) -> None:
    data = flickr8k_folder(tmp_path / "squares", dev=3)
    (data / "images" / "dev1.jpg").write_bytes(b"torn")
    done = run("evaluate", "--checkpoint", checkpoint, "--dataset", f"flickr8k:{data}", "--threads", "1")
    assert done.exit_code == 0 and "2 images" in done.stdout
    assert "left out: 1 images torn or malformed: dev1.jpg" in done.stderr


def test_caption_prints_caption_and_score(checkpoint: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    drawn("red", "left").save(photo)
    done = run("caption", photo, "--checkpoint", checkpoint)
    assert done.exit_code == 0 and done.stdout.startswith(f"{photo}: ") and done.stdout.rstrip().endswith(")")
    as_json = json.loads(run("caption", photo, "--checkpoint", checkpoint, "--json").stdout)
    assert as_json["image"] == str(photo) and as_json["caption"] in done.stdout and 0 <= as_json["score"] <= 1


def test_caption_draws_where_it_looked(checkpoint: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    drawn("blue", "right").save(photo)
    done = run("caption", photo, "--checkpoint", checkpoint, "--attention", tmp_path / "looks")
    assert done.exit_code == 0 and (tmp_path / "looks" / "photo.png").read_bytes().startswith(b"\x89PNG")


def test_one_bad_photo_does_not_take_the_others(checkpoint: Path, tmp_path: Path) -> None:
    good, bad, absent = tmp_path / "good.png", tmp_path / "bad.png", tmp_path / "absent.png"
    drawn("red", "left").save(good)
    bad.write_bytes(b"<html>")
    done = run("caption", bad, absent, good, "--checkpoint", checkpoint)
    assert done.exit_code == 1 and done.stdout.startswith(f"{good}: ")
    assert f"error: {bad}: not a picture" in done.stderr and f"error: {absent}: " in done.stderr


def test_features_are_computed_once(data: Path, checkpoint: Path, tmp_path: Path) -> None:
    arguments = (
        "features",
        "--dataset",
        f"flickr8k:{data}",
        "--encoder",
        checkpoint,
        "--cache",
        tmp_path,
        "--split",
        "dev",
    )
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    assert "flickr8k dev: 8 of 8 images in" in done.stdout
    [cache] = tmp_path.iterdir()
    before = (cache / "grid-00000.npy").stat().st_mtime_ns
    assert run(*arguments).exit_code == 0 and (cache / "grid-00000.npy").stat().st_mtime_ns == before


def test_ship_states_the_decoding_that_scored_best(data: Path, checkpoint: Path, tmp_path: Path) -> None:
    done = run("ship", "--checkpoint", checkpoint, "--dataset", f"flickr8k:{data}", "--out", tmp_path / "shipped")
    assert done.exit_code == 0, done.output
    manifest = json.loads((tmp_path / "shipped" / "manifest.json").read_text())
    validation = manifest["validation"]
    served = [trial for trial in validation["trials"] if trial["beam"] in (3, 4, 5)]
    assert validation["bleu"][3] == max(trial["bleu"][3] for trial in served) and len(validation["trials"]) >= 8
    shipped = Captioner.load(tmp_path / "shipped", threads=1)
    assert asdict(shipped.checkpoint.config.decoding) == validation["decoding"]
    assert shipped.version == f"recaption-{manifest['id']}"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("evaluate", "--dataset", "imagenet:x"), "expected flickr8k:FOLDER or coco2017:FOLDER"),
        (("evaluate", "--dataset", "flickr8k:{data}", "--split", "val"), "splits train, dev and test"),
        (("evaluate", "--dataset", "flickr8k:{data}", "--checkpoint", "{data}"), "a checkpoint folder?"),
        (("evaluate", "--dataset", "flickr8k:{data}", "--device", "npu"), "accepted are auto, cpu, cuda"),
        (("features", "--dataset", "flickr8k:{data}", "--encoder", "no.safetensors"), "no file at no.safetensors"),
    ],
)
def test_a_wrong_argument_is_one_clear_line(
    data: Path, checkpoint: Path, arguments: tuple[str, ...], says: str
) -> None:
    options = [argument.format(data=data) for argument in arguments]
    if options[0] == "evaluate" and "--checkpoint" not in options:
        options += ["--checkpoint", str(checkpoint)]
    done = run(*options)
    assert done.exit_code == 2 and says in done.stderr and len(done.stderr.splitlines()) == 1


def test_the_command_line_itself() -> None:
    done = subprocess.run([sys.executable, "-m", "model", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and all(name in done.stdout for name in ("train", "evaluate", "caption", "features"))
