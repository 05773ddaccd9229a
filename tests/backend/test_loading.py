"""A version is read, checked and tried before it may serve: what is accepted, what is refused, what is read twice."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.digests import MOST, Digests
from backend.fleet import Fleet
from backend.loading import BadVersion, Loader
from backend.predictor import Predictor
from backend.sanity import Sanity, fault
from backend.serving import ServingError
from model import checkpoint as checkpoints
from model.captioner import Caption, Captioner
from model.checkpoint import Decoding
from model.store import Store
from settings import load
from tests.backend.versions import gone_mad, retrained, torn
from tests.checkpoints import tiny, tiny_checkpoint


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def first(store: Store, tmp_path: Path) -> str:
    return store.publish(tiny_checkpoint(tmp_path / "first"))


@pytest.fixture
def predictor() -> Iterator[Predictor]:
    made = Predictor()
    yield made
    made.close()


@pytest.fixture
def loader(store: Store, predictor: Predictor) -> Loader:
    return Loader(store, load(model_dir=store.root, threads=1), predictor)


def refused(loader: Loader, version: str) -> BadVersion:
    with pytest.raises(BadVersion) as caught:
        loader.load(version, Fleet())
    return caught.value


def test_a_loaded_version_captions_as_its_checkpoint_does(loader: Loader, store: Store, first: str) -> None:
    serving = loader.load(first, Fleet())
    picture = Sanity(Predictor())._pictures["noisy"]
    assert serving.version == first
    (caption,) = serving.captioner.caption([picture])
    assert caption.text == Captioner.load(store.folder(first), threads=1).caption([picture])[0].text
    assert fault(caption) == ""


def test_a_shared_encoder_changes_no_caption(loader: Loader, store: Store, first: str, tmp_path: Path) -> None:
    fleet = Fleet({None: loader.load(first, Fleet())})
    second = retrained(store, first, tmp_path / "second", seed=1)
    encoder = "encoder.safetensors"
    assert (store.folder(second) / encoder).samefile(store.folder(first) / encoder)
    picture = Sanity(Predictor())._pictures["noisy"]
    (shared,) = loader.load(second, fleet).captioner.caption([picture])
    (alone,) = Captioner.load(store.folder(second), threads=1).caption([picture])
    assert (shared.text, shared.score) == (alone.text, alone.score)


def test_a_version_that_is_missing_may_still_come(loader: Loader, store: Store, first: str) -> None:
    error = refused(loader, "recaption-away")
    assert error.passing and first in str(error)
    (store.folder(first) / "vocabulary.json").unlink()
    assert refused(loader, first).passing


def test_a_torn_version_stays_torn(loader: Loader, store: Store, first: str) -> None:
    error = refused(loader, torn(store, first))
    assert not error.passing and "decoder.safetensors is not the file that manifest.json states" in str(error)


def test_a_version_for_another_release_is_refused(loader: Loader, store: Store, tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "future")
    config = checkpoints.read_json(folder / "config.json") | {"schema": 99}
    checkpoints.write_json(folder / "config.json", config)
    manifest = checkpoints.read_json(folder / "manifest.json")
    path = folder / "config.json"
    manifest["files"]["config.json"] = {"sha256": checkpoints.sha256(path), "bytes": path.stat().st_size}
    checkpoints.write_json(folder / "manifest.json", manifest)
    error = refused(loader, store.publish(folder))
    assert not error.passing and "schema 99" in str(error)


def test_a_version_with_a_weight_that_is_no_number_is_refused(loader: Loader, store: Store, tmp_path: Path) -> None:
    assert not refused(loader, gone_mad(store, tmp_path / "mad")).passing


@pytest.mark.parametrize(
    ("text", "words", "score", "says"),
    [
        ("a dog", ("a", "dog"), 0.0, ""),
        ("", (), 0.5, "no words"),
        (" ", (" ",), 0.5, "no words"),
        ("a dog", ("a", "dog"), float("nan"), "score"),
        ("a dog", ("a", "dog"), 1.5, "score"),
    ],
)
def test_what_a_sane_caption_is(text: str, words: tuple[str, ...], score: float, says: str) -> None:
    found = fault(Caption(text, score, words, np.zeros(1, np.float32)))
    assert says in found and bool(says) == bool(found)


def test_a_version_that_cannot_be_searched_is_refused(predictor: Predictor) -> None:
    wild = tiny()
    config = checkpoints.Config(
        wild.config.decoder, wild.config.encoder_width, wild.config.encoder_blocks, Decoding(beam=0)
    )
    captioner = Captioner(checkpoints.Checkpoint(config, wild.encoder, wild.decoder, wild.vocabulary))
    with pytest.raises(ValueError, match="beam=0"):
        Sanity(predictor).check(captioner)


def test_a_folder_that_holds_another_version_is_refused(loader: Loader, store: Store, first: str) -> None:
    store.folder(first).rename(store.root / "versions" / "recaption-renamed")
    assert f"holds {first}" in str(refused(loader, "recaption-renamed"))


def test_a_device_that_is_not_here_is_no_fault_of_the_version(store: Store, first: str, predictor: Predictor) -> None:
    loader = Loader(store, load(model_dir=store.root, device="cuda:77", threads=1), predictor)
    with pytest.raises(ServingError, match="DEVICE=cuda:77"):
        loader.load(first, Fleet())


def test_the_model_thread_keeps_its_threads_whoever_loads(store: Store, first: str, predictor: Predictor) -> None:
    loader = Loader(store, load(model_dir=store.root, threads=2), predictor)
    elsewhere = threading.Thread(target=loader.load, args=(first, Fleet()))
    elsewhere.start()
    elsewhere.join()
    assert predictor.do(torch.get_num_threads).result(5) == 2


def test_what_is_read_once_is_known_and_what_changed_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(checkpoints, "sha256", lambda path: f"{len(read.append(path) or read)}")  # type: ignore[func-returns-value]
    digests = Digests()
    one, same = tmp_path / "one", tmp_path / "same"
    one.write_bytes(b"weights")
    same.hardlink_to(one)
    assert digests(one) == digests(same) == digests(one) == "1"
    one.unlink()
    one.write_bytes(b"WEIGHTS")
    assert (digests(one), digests(same)) == ("2", "1")


def test_not_everything_is_remembered_for_ever(tmp_path: Path) -> None:
    digests = Digests()
    for number in range(MOST + 5):
        path = tmp_path / str(number)
        path.write_bytes(b"x")
        digests(path)
    assert len(digests._known) == MOST
