from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
import torch

from model import checkpoint as checkpoints
from model.captioner import Captioner
from model.checkpoint import FILES, CheckpointError
from tests.checkpoints import tiny, tiny_checkpoint


def test_it_survives_its_folder_bit_for_bit(tmp_path: Path) -> None:
    once = checkpoints.load(tiny_checkpoint(tmp_path / "once"))
    twice = checkpoints.load(checkpoints.save(once, tmp_path / "twice", {"seed": 0}))
    for name in ("encoder", "decoder"):
        a, b = getattr(once, name).state_dict(), getattr(twice, name).state_dict()
        assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    assert once.config == twice.config and once.vocabulary.words == twice.vocabulary.words
    assert once.version == twice.version


def test_the_version_names_the_content(tmp_path: Path) -> None:
    versions = {checkpoints.load(tiny_checkpoint(tmp_path / str(seed), seed)).version for seed in (0, 1)}
    assert len(versions) == 2 and all(version.startswith("recaption-") for version in versions)


def test_the_manifest_states_every_file(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "c")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["files"]) == set(FILES)
    assert all(manifest["files"][name]["bytes"] == (folder / name).stat().st_size for name in FILES)
    assert manifest["seed"] == 0 and manifest["libraries"]["torch"] == torch.__version__


def test_others_may_read_it(tmp_path: Path) -> None:
    os.umask(0o022)
    folder = tiny_checkpoint(tmp_path / "c")
    assert all(path.stat().st_mode & stat.S_IROTH for path in folder.iterdir())


def test_saving_replaces_the_folder_whole(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "c", 0)
    before = checkpoints.load(folder).version
    tiny_checkpoint(folder, 1)
    assert checkpoints.load(folder).version != before
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_refused(tmp_path: Path, name: str) -> None:
    folder = tiny_checkpoint(tmp_path / "c")
    data = bytearray((folder / name).read_bytes())
    data[-3] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(CheckpointError, match=f"{name} is not the file that manifest.json states"):
        checkpoints.load(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    folder = tiny_checkpoint(tmp_path / "c")
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        checkpoints.load(folder)


def test_a_folder_that_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is .* a checkpoint folder"):
        checkpoints.load(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("schema", 99, "schema 99; this release reads 1"),
        ("preprocessing", "crop256", "trained on 'crop256' pictures"),
        ("decoder", {"vocabulary": 25, "layers": 2}, "not a captioner's configuration"),
        ("decoder", {"vocabulary": 7}, "vocabulary.json has 25 words, config.json says 7"),
        ("encoder_width", 8, "does not fit its config.json"),
    ],
)
def test_another_configuration_is_refused(tmp_path: Path, key: str, value: object, says: str) -> None:
    folder = tiny_checkpoint(tmp_path / "c")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(CheckpointError, match=says):
        checkpoints.load(folder, verify=False)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    """Weights that would run code on loading are bytes like any others, and refused."""
    folder = tiny_checkpoint(tmp_path / "c")
    marker = tmp_path / "ran"

    class Attack:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (marker,))

    torch.save(Attack(), folder / "decoder.safetensors")
    with pytest.raises(CheckpointError, match=r"not a readable \.safetensors file"):
        checkpoints.load(folder, verify=False)
    assert not marker.exists()


def test_a_captioner_loads_and_captions(tmp_path: Path) -> None:
    captioner = Captioner.load(tiny_checkpoint(tmp_path / "c"), device="cpu", threads=1)
    photos = [torch.rand(224, 224, 3).numpy() for _ in range(3)]
    captions = captioner.caption(photos, attention=True)
    assert len(captions) == 3 and captioner.version == tiny_version(tmp_path)
    for caption in captions:
        assert caption.text and 0 <= caption.score <= 1
        assert caption.attention is not None and caption.attention.shape == (len(caption.words), 7, 7)
    assert [c.text for c in captions] == [captioner.caption([photo])[0].text for photo in photos]


def tiny_version(folder: Path) -> str:
    return f"recaption-{json.loads((folder / 'c' / 'manifest.json').read_text())['id']}"


def test_an_unsaved_checkpoint_has_no_version() -> None:
    assert tiny().version == "recaption-unsaved"
