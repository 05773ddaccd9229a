from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TypeVar

import pytest
import torch

from model import features, shards
from model.datasets import Dataset, load_dataset
from model.features import build, cache_folder, read_examples, to_batch
from model.shards import DONE, TORN, FeatureError, read_state, sizes
from model.world import World
from tests.checkpoints import tiny
from tests.photos import flickr8k_folder

T = TypeVar("T")


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return load_dataset(f"flickr8k:{flickr8k_folder(tmp_path / 'data', train=12)}", "train")


def test_rows_are_what_the_encoder_gives(data: Dataset, tmp_path: Path) -> None:
    encoder = tiny().encoder
    found = build(data, encoder, tmp_path / "cache", batch=5)
    pixels = [p for p in read_examples(data.examples) if p is not None]
    with torch.inference_mode():
        expected = encoder(to_batch(pixels))
    rows = found.rows(range(12))
    assert rows.shape == (12, 49, 128) and found.usable == list(range(12))
    torch.testing.assert_close(rows, expected, rtol=0.05, atol=0.02 * float(expected.abs().max()))  # bfloat16, float16


def test_a_second_build_computes_nothing(data: Dataset, tmp_path: Path) -> None:
    encoder = tiny().encoder
    build(data, encoder, tmp_path / "cache")
    encoder.forward = None  # type: ignore[assignment]  # calling it would raise
    assert build(data, encoder, tmp_path / "cache").usable == list(range(12))


def test_other_weights_have_another_cache(data: Dataset, tmp_path: Path) -> None:
    folders = {cache_folder(tmp_path, data, tiny(seed).encoder) for seed in (0, 1)}
    assert len(folders) == 2


def test_a_torn_image_is_counted_named_and_left_out(data: Dataset, tmp_path: Path) -> None:
    data.examples[3].path.write_bytes(b"\xff\xd8\xff torn")
    found = build(data, tiny().encoder, tmp_path / "cache", batch=4)
    assert found.state[3] == TORN and 3 not in found.usable and len(found.usable) == 11
    assert data.problems.torn == ["train3.jpg"]
    assert "left out: 1 images torn or malformed: train3.jpg" in data.problems.lines()


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (shards, features):
        monkeypatch.setattr(module, "SHARD", 5)


def test_rows_come_from_any_shard_in_the_order_asked_for(data: Dataset, tmp_path: Path, small_shards: None) -> None:
    found = build(data, tiny().encoder, tmp_path / "cache", batch=4)
    assert sizes(12) == [5, 5, 2] and len(list(found.folder.glob("grid-*.npy"))) == 3
    whole = found.rows(range(12))
    assert torch.equal(found.rows([11, 0, 5, 11, 4]), whole[[11, 0, 5, 11, 4]])
    assert len({row.sum().item() for row in whole}) == 12


class Rank(World):
    """One of several processes, which does not wait for the others."""

    def meet(self) -> None:
        pass

    def tell(self, value: T) -> T:
        return value


def test_processes_share_the_shards_out(data: Dataset, tmp_path: Path, small_shards: None) -> None:
    encoder = tiny().encoder
    second = build(data, encoder, tmp_path / "cache", world=Rank(1, 2))
    assert second.usable == [5, 6, 7, 8, 9]
    nothing_left_to_do = build(data, encoder, tmp_path / "cache", world=Rank(3, 4))
    assert nothing_left_to_do.usable == second.usable
    first = build(data, encoder, tmp_path / "cache", world=Rank(0, 2))
    assert first.usable == list(range(12))
    assert torch.equal(first.rows(second.usable), second.rows(second.usable))


def test_a_cache_of_other_images_is_refused(data: Dataset, tmp_path: Path) -> None:
    build(data, tiny().encoder, tmp_path / "cache")
    names = cache_folder(tmp_path / "cache", data, tiny().encoder) / "names.json"
    names.write_text(names.read_text().replace("train3.jpg", "train33.jpg"))
    with pytest.raises(FeatureError, match="built for other images"):
        build(data, tiny().encoder, tmp_path / "cache")


SLOW_BUILD = """
import sys, time
from pathlib import Path
from model import features
from model.datasets import load_dataset
from tests.checkpoints import tiny

encode = features.encode
def slowly(*arguments):
    time.sleep(0.2)
    return encode(*arguments)
features.encode = slowly
features.build(load_dataset(sys.argv[1], "train"), tiny().encoder, Path(sys.argv[2]), batch=1)
"""


def test_a_killed_build_goes_on_where_it_was(data: Dataset, tmp_path: Path) -> None:
    spec = f"flickr8k:{data.examples[0].path.parents[1]}"
    cache = cache_folder(tmp_path / "cache", data, tiny().encoder)
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", SLOW_BUILD, spec, str(tmp_path / "cache")], cwd=root)
    deadline = time.monotonic() + 60
    while (read_state(cache) == DONE).sum() < 3:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = int((read_state(cache) == DONE).sum())
    assert 3 <= done < 12
    resumed = build(data, tiny().encoder, tmp_path / "cache")
    afresh = build(data, tiny().encoder, tmp_path / "another")
    assert resumed.usable == afresh.usable == list(range(12))
    torch.testing.assert_close(resumed.rows(range(12)), afresh.rows(range(12)), rtol=0.02, atol=0.02)
