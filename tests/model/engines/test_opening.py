"""Which engine computes: the one asked for, or torch with the reason, and one warning."""

from __future__ import annotations

import builtins
import json
import logging
import shutil
import subprocess
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from model import checkpoint as checkpoints
from model.captioner import Captioner
from model.encoder import Bottleneck
from model.engines import int8, pictures
from model.engines.engine import AUTO, INT8, OPENVINO, TORCH, EngineError
from model.engines.entries import ABOUT
from model.engines.int8 import BEGIN, ENCODER, READ, STEP, preferred
from model.engines.opening import Wanted, open_captioner, open_exactly
from model.engines.pictures import free_pictures
from model.preprocess import to_float


def wanted(entries: Path | None, engine: str = OPENVINO, device: str = "cpu") -> Wanted:
    return Wanted(engine, device, 1, entries)


@pytest.fixture
def entries(converted: Path, tmp_path: Path) -> Path:
    """Converted models of one's own."""
    return Path(shutil.copytree(converted, tmp_path / "engines"))


def names(entries: Path) -> list[str]:
    return sorted(path.name for path in entries.iterdir() if not path.name.startswith("."))


def test_a_version_is_converted_by_a_process_of_its_own_and_then_kept(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    captioner = open_captioner(folder, wanted(tmp_path / "engines"))
    assert (captioner.engine.name, captioner.device, captioner.fallback) == (OPENVINO, "cpu", "")
    assert [name.split("-")[0] for name in names(tmp_path / "engines")] == ["decoder", "encoder"]
    assert "converted the encoder" in caplog.text and "Verdict(pictures=35" in caplog.text
    caplog.clear()
    again = open_captioner(folder, wanted(tmp_path / "engines"))
    photos = [to_float(pixels) for pixels in free_pictures()[:6]]
    assert again.caption(photos)[0].text == captioner.caption(photos)[0].text and not caplog.records


def test_it_captions_as_the_reference_does_and_tells_where_it_looked(folder: Path, entries: Path) -> None:
    photos = [to_float(pixels) for pixels in free_pictures()[:20]]
    its = open_captioner(folder, wanted(entries)).caption(photos, attention=True)
    theirs = Captioner.load(folder, device="cpu", threads=1).caption(photos)
    assert sum(a.text == b.text for a, b in zip(its, theirs, strict=True)) >= 14
    for caption in its:
        assert caption.attention is not None and caption.attention.shape == (len(caption.words), 7, 7)
        assert 0 <= caption.score <= 1 and caption.pooled.shape == (128,)


def test_float32_weights_are_not_kept_in_memory(folder: Path, entries: Path) -> None:
    captioner = open_captioner(folder, wanted(entries))
    with pytest.raises(EngineError, match="without its float32 weights"):
        _ = captioner.encoder


def test_another_decoder_reuses_the_encoder_on_disk_and_in_memory(folder: Path, entries: Path, tmp_path: Path) -> None:
    first = open_captioner(folder, wanted(entries))
    made = checkpoints.load(folder)
    with torch.no_grad():
        made.decoder.bias.add_(torch.linspace(-0.1, 0.1, len(made.decoder.bias)))
    second = open_captioner(
        checkpoints.save(made, tmp_path / "second", {}), wanted(entries), shared=first.engine, loading_threads=1
    )
    assert second.engine.name == OPENVINO and second.version != first.version
    assert second.engine.encoder is first.engine.encoder
    assert [name.split("-")[0] for name in names(entries) if OPENVINO in name] == ["decoder", "decoder", "encoder"]


@pytest.mark.parametrize(("engine", "found"), [(AUTO, preferred()[0]), *((name, name) for name in (TORCH, *INT8))])
def test_the_engine_asked_for(folder: Path, entries: Path, engine: str, found: str) -> None:
    captioner = open_captioner(folder, wanted(entries, engine))
    assert (captioner.engine.name, captioner.fallback) == (found, "")


def test_a_name_of_no_engine_is_refused(folder: Path) -> None:
    with pytest.raises(EngineError, match="no engine 'steam'; accepted are auto, torch, openvino, onnxruntime"):
        open_captioner(folder, wanted(None, "steam"))


def test_without_the_runtime_torch_computes_and_one_warning_says_why(
    folder: Path, entries: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "onnxruntime":
            raise ImportError("No module named 'onnxruntime'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    captioner = open_captioner(folder, wanted(entries, AUTO))
    assert captioner.engine.name == TORCH and "pip install onnxruntime" in captioner.fallback
    assert [record.levelname for record in caplog.records if record.levelno > logging.INFO] == ["WARNING"]
    with pytest.raises(EngineError, match="pip install onnxruntime"):
        open_exactly(folder, wanted(entries))


def test_without_the_faster_runtime_the_other_one_computes(
    folder: Path, entries: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = preferred()
    monkeypatch.setattr(int8, "find_spec", lambda name: None if name == first else find_spec(name))
    captioner = open_captioner(folder, wanted(entries, AUTO))
    assert (captioner.engine.name, captioner.pending) == (second, False)
    assert captioner.fallback == f"{first}: it is not installed: pip install {first}"
    assert [record.levelname for record in caplog.records if record.levelno > logging.INFO] == ["WARNING"]
    hurried = open_captioner(folder, replace(wanted(entries, AUTO), wait=False))
    assert (hurried.engine.name, hurried.pending) == (second, False), "what is missing is not waited for"
    with pytest.raises(EngineError, match=f"pip install {first}"):
        open_exactly(folder, wanted(entries, first))


def test_who_cannot_wait_is_served_by_torch_until_the_faster_one_is_converted(folder: Path, entries: Path) -> None:
    first, _ = preferred()
    hurried = replace(wanted(entries, AUTO), wait=False)
    assert open_captioner(folder, hurried).engine.name == first
    for path in entries.glob(f"decoder-*{first}*"):
        shutil.rmtree(path)
    captioner = open_captioner(folder, hurried)
    assert (captioner.engine.name, captioner.pending) == (TORCH, True)


def test_files_are_judged_by_the_digest_that_is_given(folder: Path, entries: Path) -> None:
    hurried, read = replace(wanted(entries, AUTO), wait=False), set()

    def digest(path: Path) -> str:
        read.add(path.name)
        return checkpoints.sha256(path)

    assert open_captioner(folder, replace(hurried, digest=digest)).engine.name == preferred()[0]
    assert read >= {ENCODER, READ, BEGIN, STEP}
    assert open_captioner(folder, replace(hurried, digest=lambda path: "another")).pending


def test_what_harms_in_one_runtime_is_computed_by_the_other(folder: Path, entries: Path) -> None:
    first, second = preferred()
    (about,) = (path / ABOUT for path in entries.glob(f"decoder-*{first}*"))
    facts = json.loads(about.read_text())
    facts["verdict"]["same"] = 0.1
    about.write_text(json.dumps(facts))
    for wait in (True, False):
        captioner = open_captioner(folder, replace(wanted(entries, AUTO), wait=wait))
        assert captioner.engine.name == second and f"{first}: int8 was refused" in captioner.fallback


def test_a_conversion_that_fails_leaves_torch(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("where the folder should be")
    captioner = open_captioner(folder, wanted(tmp_path / "file"))
    assert captioner.engine.name == "torch" and "could not be converted" in captioner.fallback
    assert captioner.caption([to_float(free_pictures()[0])])[0].text


def test_a_version_that_int8_would_harm_is_refused_and_not_tried_again(
    folder: Path, entries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A huge weight of a channel that is always 0 changes nothing in float32; in int8 it takes the others' digits."""
    made = checkpoints.load(folder)
    with torch.no_grad():
        last = made.encoder.layer4[-1]
        assert isinstance(last, Bottleneck)
        last.bn3.bias[0] = -1e4
        made.decoder.attention.reduce.weight[:, 0] = 1000.0
    harmed = checkpoints.save(made, tmp_path / "harmed", {})
    captioner = open_captioner(harmed, wanted(entries))
    assert captioner.engine.name == "torch" and "int8 was refused: of its captions of 35" in captioner.fallback
    monkeypatch.setattr(subprocess, "run", lambda *command, **options: pytest.fail("converted again"))
    assert open_captioner(harmed, wanted(entries)).fallback == captioner.fallback


def test_int8_computes_on_no_other_device(folder: Path, entries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captioner = open_captioner(folder, wanted(entries, OPENVINO, "meta"))
    assert captioner.engine.name == "torch" and "the device is meta" in captioner.fallback


def test_too_few_photos_to_calibrate_by_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "PHOTOS", {"skimage": ("data/astronaut.png", "data/no_such.png"), "gone": ("a.png",)})
    with pytest.raises(EngineError, match=r"1 of the photos .* 5 are needed"):
        free_pictures()
